"""The results on all lines of a file, wherever they are kept: in memory for small files, in tables for others."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from airflow_provider_queuecalls.contacts.reading import Counts, Progress, Reading
from airflow_provider_queuecalls.contacts.results_in_duckdb import open_results_in_duckdb
from airflow_provider_queuecalls.contacts.results_in_memory import ResultsInMemory
from airflow_provider_queuecalls.contacts.rows import RowValidator
from airflow_provider_queuecalls.contacts.source import Source

#: A contact file and its do-not-call lists are small up to this size together: some 10,000 contacts. Beyond it, DuckDB
#: is faster even though it must be loaded first (benchmarks/check.py).
SMALL_BYTES = 512 << 10


class Results(Protocol):
    """The results on a file. Built up in this order: :meth:`read` and :meth:`suppress` for every do-not-call list, then
    :meth:`read` for the contact file, and :meth:`decide`."""

    def read(self, source: Source, validator: RowValidator, progress: Progress | None = None) -> Reading:
        """Take in every line of a file."""

    def own_counts(self) -> Counts:
        """Count the lines that are no good rows in themselves."""

    def suppress(self) -> None:
        """Add the file's numbers to those on do-not-call lists, and forget the file."""

    def decide(self, *, look_for_duplicates: bool) -> None:
        """Find the rows that are left out: judged, then suppressed, then duplicates of a row that is still there."""

    def counts(self) -> Counts:
        """Count the lines that are left out, blank ones and the header line too."""

    def any_changed(self) -> bool:
        """Whether a good row isn't what its line would become if it were plain."""

    def normalized(self) -> int:
        """How many of the rows to send have another number than the file."""

    def rejects(self) -> Iterator[tuple[int, str]]:
        """The rows left out, by line, with the reason. Blank lines and the header line are none."""

    def changes(self) -> Iterator[tuple[int, str | None]]:
        """The lines to leave out (with a reason) or to rewrite (with None), by line."""


def open_results(source: Source, lists: Iterable[str | os.PathLike[str]]) -> AbstractContextManager[Results]:
    """A place for the results on a contact file that is to be checked with these do-not-call lists."""
    if source.size + sum(map(_size, lists)) <= SMALL_BYTES:
        return nullcontext(ResultsInMemory())
    return open_results_in_duckdb(source.shown)


def _size(path: str | os.PathLike[str]) -> int:
    try:
        return os.path.getsize(path)
    except (OSError, ValueError):
        return 0  # who opens it says what is wrong with it
