"""The two files that a check writes: the cleaned copy, which is sent, and the rejects file, which a person reads."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain, compress
from typing import BinaryIO

from airflow_provider_queuecalls.contacts.files import Source, complete_file, no_room, temporary_file
from airflow_provider_queuecalls.contacts.lines import LONGEST_LINE, Block, blocks, split_quoted
from airflow_provider_queuecalls.contacts.results import CODES, Results, rejected
from airflow_provider_queuecalls.contacts.rows import RowValidator
from airflow_provider_queuecalls.exceptions import CheckFailed
from airflow_provider_queuecalls.parameters import show_path
from airflow_provider_queuecalls.stopping import StopRequest

_VALID, *_CHANGED = (CODES[result] for result in ("valid", "rewritten", "normalized"))
_IS_CHANGED = re.compile(b"[" + re.escape(bytes(_CHANGED)) + b"]")
#: Maps a code to 1 if the line is sent, else to 0.
_IS_SENT = bytes(code in (_VALID, *_CHANGED) for code in range(256))
#: A spreadsheet takes a cell that begins with one of these for a formula.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_FORMULA_BYTES = tuple(start.encode() for start in FORMULA_STARTS)


def write_cleaned(source: Source, validator: RowValidator, results: Results, stop: StopRequest) -> BinaryIO:
    """Write the valid rows to a temporary file, which is deleted when it is closed.

    UTF-8 without byte-order mark, LF, commas, the service's order of columns; no blank lines, no header line.
    """
    file = temporary_file()
    try:
        for block in blocks(source.file, validator.delimiter, stop=stop):
            file.write(_cleaned_block(block, results.codes(block.first, block.count), validator))
        file.flush()
    except BaseException:
        file.close()
        raise
    return file


def _cleaned_block(block: Block, codes: bytes | bytearray, validator: RowValidator) -> bytes:
    data = block.data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if not data.endswith(b"\n"):
        data += b"\n"
    if codes.count(_VALID) == len(codes) and not validator.rewrites_all:
        return data
    lines = data.splitlines(keepends=True)
    rows = [validator.fast_path_row(line[:-1]) + b"\n" for line in lines] if validator.rewrites_all else lines
    for match in _IS_CHANGED.finditer(codes):
        index = match.start()
        rows[index] = validator(lines[index][:-1]).row + b"\n"
    return b"".join(compress(rows, codes.translate(_IS_SENT)))


def write_rejects(
    path: str | os.PathLike[str],
    source: Source,
    validator: RowValidator,
    results: Results,
    stop: StopRequest,
) -> None:
    """Write line, reason, and cells of each reject as CSV to a file that only its owner can read.

    A cell that a spreadsheet would run as a formula gets a leading apostrophe. Bytes that are not UTF-8 and control
    characters are written as ``\\x..``. A line of more than 1 MiB is cut off there. The file gets its name only when it
    is complete. Raises :class:`CheckFailed` if it cannot be written.
    """
    try:
        with complete_file(path) as partial, open(partial, "wb") as file:
            names = validator.layout.names or validator.layout.columns
            file.write(_csv_row(["line", "reason", *map(_safe, names)]))
            for block in blocks(source.file, validator.delimiter, stop=stop):
                codes = results.codes(block.first, block.count)
                file.writelines(_rejects_in(block, rejected(codes), validator))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        room = " Make room there." if isinstance(error, OSError) and no_room(error) else ""
        raise CheckFailed(
            f"The rejects file {show_path(path)} cannot be written: {reason}.{room} Nothing was sent."
        ) from None


def _rejects_in(block: Block, rejects: Iterator[tuple[int, str]], validator: RowValidator) -> Iterator[bytes]:
    """The rows of the rejects file for a block. Most lines are written as they are."""
    if (first := next(rejects, None)) is None:
        return
    lines, delimiter = block.lines(), validator.delimiter.encode()
    all_plain = _is_plain(block.data, validator)
    for index, reason in chain([first], rejects):
        line, number = lines[index], block.first + index
        if all_plain or _is_plain(line, validator):
            yield b"%d,%b,%b\n" % (number, reason.encode(), line.replace(delimiter, b","))
        else:
            yield _csv_row([number, reason, *map(_safe, _cells(line[:LONGEST_LINE], validator))])


def _is_plain(data: bytes, validator: RowValidator) -> bool:
    """Whether the cells of these lines are written to the rejects file as they are, without quotes. It may miss some."""
    delimiter = validator.delimiter.encode()
    return (
        len(data) <= LONGEST_LINE
        and validator.duckdb_safe(data.replace(b"\r\n", b"\n"))
        and (delimiter == b"," or b"," not in data)
        and not data.startswith(_FORMULA_BYTES)
        and not any(start in data for start in _formula_cells(delimiter))
    )


@cache
def _formula_cells(delimiter: bytes) -> tuple[bytes, ...]:
    return tuple(before + start for before in (b"\n", delimiter) for start in _FORMULA_BYTES)


def _csv_row(values: Sequence[object]) -> bytes:
    row = io.StringIO()
    csv.writer(row, lineterminator="\n").writerow(values)
    return row.getvalue().encode()


def _cells(row: bytes, validator: RowValidator) -> list[str]:
    text = row.decode(errors="backslashreplace")
    quoted = split_quoted(text, validator.delimiter) if validator.rules.quoting == "allow" else None
    return text.split(validator.delimiter) if quoted is None else quoted


def _safe(cell: str) -> str:
    harmless = "'" + cell if cell.startswith(FORMULA_STARTS) else cell
    return "".join(
        f"\\x{ord(character):02x}" if ord(character) < 32 or 127 <= ord(character) < 160 else character
        for character in harmless
    )
