"""The rejects file: every row that is not sent, for a person to look at in a spreadsheet."""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress

from airflow_provider_queuecalls.contacts.lines import blocks, picked
from airflow_provider_queuecalls.contacts.rows import LONGEST_LINE, Rejected, RowValidator, split_quoted
from airflow_provider_queuecalls.contacts.source import Source
from airflow_provider_queuecalls.contacts.temporary import no_room
from airflow_provider_queuecalls.exceptions import CheckFailed
from airflow_provider_queuecalls.parameters import show_path
from airflow_provider_queuecalls.stopping import StopRequest

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_rejects(
    path: str | os.PathLike[str],
    source: Source,
    validator: RowValidator,
    rejects: Iterator[tuple[int, str]],
    stop: StopRequest,
) -> None:
    """Write line, reason and the cells of each reject as CSV, readable by the owner only.

    A cell that a spreadsheet would run as a formula gets an apostrophe in front. Bytes that are not UTF-8 and
    control characters are written as ``\\x..``; a line of more than a mebibyte is cut there. The file appears under
    its name only when it is complete. Raises :class:`CheckFailed` if it cannot be written.
    """
    target = os.fspath(path)
    directory, name = os.path.split(target)
    try:
        descriptor, partial = tempfile.mkstemp(prefix=f".{name[:100]}.", dir=directory or ".")
        try:
            with open(descriptor, "w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(
                    ["line", "reason", *(_safe(name) for name in validator.layout.names or validator.layout.columns)]
                )
                for line, row, reason in picked(blocks(source.file, validator.delimiter, stop=stop), rejects):
                    writer.writerow([line, reason, *map(_safe, _cells(row[:LONGEST_LINE], validator))])
            os.replace(partial, target)
        except BaseException:
            with suppress(OSError):
                os.unlink(partial)
            raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        room = " Make room there." if isinstance(error, OSError) and no_room(error) else ""
        raise CheckFailed(
            f"The rejects file {show_path(target)} cannot be written: {reason}.{room} Nothing was sent."
        ) from None


def _cells(row: bytes, validator: RowValidator) -> list[str]:
    text = row.decode(errors="backslashreplace")
    if '"' in text and validator.rules.quoting == "allow":
        with suppress(Rejected):
            return split_quoted(text, validator.delimiter)
    return text.split(validator.delimiter)


def _safe(cell: str) -> str:
    harmless = "'" + cell if cell.startswith(_FORMULA) else cell
    return "".join(
        f"\\x{ord(character):02x}" if ord(character) < 32 or 127 <= ord(character) < 160 else character
        for character in harmless
    )
