"""Builds one suppression list of several, in the format of :mod:`~airflow_provider_queuecalls.contacts.suppression.built_list`."""

# ruff: noqa: S608 - a query is built from our own constants, never from a value in a file

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime, timezone

from airflow_provider_queuecalls.contacts.row_results.in_duckdb import ResultsInDuckDB
from airflow_provider_queuecalls.contacts.rules import ContactRules, PhoneFormat
from airflow_provider_queuecalls.contacts.suppression.built_list import CHECKSUM, KEY, metadata_of
from airflow_provider_queuecalls.contacts.suppression.lists import open_suppression_list, read_suppression_list
from airflow_provider_queuecalls.exceptions import CheckFailed, InvalidContacts
from airflow_provider_queuecalls.files.duckdb_session import (
    MEMORY_LIMIT,
    assert_memory_limit,
    copy_to_parquet,
    translate_errors,
)
from airflow_provider_queuecalls.files.reading import is_same_file, show_role
from airflow_provider_queuecalls.files.writing import complete_file
from airflow_provider_queuecalls.parameters import show_path
from airflow_provider_queuecalls.progress import Progress, advance_of
from airflow_provider_queuecalls.stopping import StopRequest


@dataclass(frozen=True)
class Built:
    """What was built: how many different numbers, and when the oldest source was last changed."""

    numbers: int
    oldest_change: datetime


def build_suppression_list(
    path: str | os.PathLike[str],
    sources: Sequence[str | os.PathLike[str]],
    *,
    phone_format: PhoneFormat | None = None,
    memory_limit: int = MEMORY_LIMIT,
    progress: Progress | None = None,
    stop: StopRequest | None = None,
) -> Built:
    """Build one suppression list of several. A check reads it many times faster than text.

    The file gets its name when it is complete, and only its owner can read it. A file with this name is replaced.

    :param path: The file to write.
    :param sources: The suppression lists: text files as ``suppress`` accepts them, or built lists.
    :param phone_format: That of the contacts: digits without ``+`` that are not a North American number are accepted with
        ``'vendor'`` only. Default: ``'nanp'``.
    :param memory_limit: The memory that may be used, in MiB, at least 256. Default: 512, enough for lists of any size.
    :param progress: Called with (done, total), in bytes.
    :param stop: Ends the building once it is requested: :class:`NotSent` is raised, and nothing is written.

    Raises :class:`InvalidContacts` before anything is written if a list is missing or empty or has a row that cannot be
    parsed, or if it would be replaced, and :class:`CheckFailed` if another try may help.
    """
    assert_memory_limit(memory_limit)
    rules = ContactRules(phone_format=phone_format)
    stop = stop or StopRequest()
    shown = f"The suppression list {show_path(path)}"
    _assert_writable(path, shown)
    for location in sources:
        if is_same_file(location, path):
            raise InvalidContacts(
                f"{show_role('The suppression list', location)} is to be read and written. "
                "Nothing was written. Write to another file."
            )
    with ExitStack() as opened:
        lists = [open_suppression_list(each, rules, stop, memory_limit, opened) for each in sources]
        built, texts = ([each for each in lists if each.built is is_built] for is_built in (True, False))
        changed = min(each.changed for each in lists)
        total = 2 * sum(each.size for each in lists)
        with (
            translate_errors(shown, memory_limit),
            closing(_Builder(memory_limit // 2, stop, advance_of(progress, total), built=built)) as builder,
        ):
            for each in texts:
                read_suppression_list(each, builder, str(rules.phone_format))
            parts, checksum = builder.sorted_numbers()
            for each in lists:
                each.assert_unchanged()
            with complete_file(path) as partial:
                builder.write(parts, partial, metadata_of(changed, checksum))
    if progress:
        progress(total, total)
    return Built(int(checksum.split()[0]), datetime.fromtimestamp(changed, timezone.utc))


def _assert_writable(path: str | os.PathLike[str], shown: str) -> None:
    """Raise :class:`CheckFailed` before a long reading, not after it."""
    directory = os.path.dirname(os.fspath(path)) or "."
    if os.path.isdir(path) or not os.access(directory, os.W_OK | os.X_OK):
        raise CheckFailed(
            f"{shown} cannot be written. Nothing was written. Give the path of a file in a directory that exists and that "
            "you may write to."
        )


class _Builder(ResultsInDuckDB):
    """Has read the numbers of suppression lists, and sorts them in parts that fit into memory."""

    def sorted_numbers(self) -> tuple[Sequence[str], str]:
        """Sort the numbers into files, each of which continues the one before. Return them, and their checksum."""
        self._duckdb.run(f"CREATE VIEW suppressed AS {' UNION ALL '.join(self._suppressed)}")
        parts = []
        for in_part in self._in_parts("suppressed") or ["true"]:
            parts.append(self._duckdb.new_file())
            self._duckdb.run(
                copy_to_parquet(f"SELECT DISTINCT number FROM suppressed WHERE {in_part} ORDER BY number", parts[-1])
            )
        return parts, self._duckdb.value(f"SELECT {CHECKSUM} FROM read_parquet({parts})")

    def write(self, parts: Sequence[str], path: str, metadata: str) -> None:
        """Write one file with the numbers of all."""
        # The path may have a quote.
        statement = copy_to_parquet(f"FROM read_parquet({parts})", path.replace("'", "''"), **{KEY: metadata})
        self._duckdb.run(statement)
