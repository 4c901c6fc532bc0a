"""The two files that a check writes: the cleaned copy, which is sent, and the rejects file, which a person reads."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cache
from itertools import chain, compress, count
from typing import BinaryIO, TypeAlias

from airflow_provider_queuecalls.contacts.files import Source, complete_file, no_room, temporary_file, write_all
from airflow_provider_queuecalls.contacts.lines import (
    LONGEST_LINE,
    Block,
    blocks,
    quote_where_needed,
    split_quoted,
    write_row,
)
from airflow_provider_queuecalls.contacts.results import CODES, OUTSIDE_HOURS, RESULTS, SENT, Results
from airflow_provider_queuecalls.contacts.rows import ABSENT, REASONS, RowValidator
from airflow_provider_queuecalls.exceptions import CheckFailed
from airflow_provider_queuecalls.parameters import show_path
from airflow_provider_queuecalls.stopping import StopRequest

_VALID, _REWRITTEN, _NORMALIZED = (CODES[result] for result in ("valid", "rewritten", "normalized"))
_OUTSIDE_HOURS = CODES[OUTSIDE_HOURS]
_IS_CHANGED = re.compile(b"[%b]" % re.escape(bytes((_REWRITTEN, _NORMALIZED))))


class _Chosen:
    """Picks from a block's lines those with certain codes."""

    def __init__(self, *results: str) -> None:
        chosen = bytes(CODES[result] for result in results)
        self._flags = bytes(code in chosen for code in range(256))
        self._others = bytes(code for code in range(256) if code not in chosen)

    def flags(self, codes: bytes | bytearray) -> bytes | bytearray:
        """1 for each line with one of the codes, else 0."""
        return codes.translate(self._flags)

    def codes(self, codes: bytes | bytearray) -> bytes | bytearray:
        """The codes without all others."""
        return codes.translate(None, self._others)


_SENT = _Chosen(*SENT)
_REJECTED = _Chosen(*REASONS)
_IS_REJECTED = re.compile(b"\1")
#: A line that is rejected for one of these may have quotes out of place, or control characters.
_MAY_NOT_BE_CELLS = _Chosen("line_too_long", "not_utf8", "control_character", "quoted_cell")
#: What a row of the rejects file has between the number of its line and its cells: the reason, and with calling hours the
#: zones where the number may be, which are empty for other reasons.
_Head: TypeAlias = tuple[str, ...]
#: A spreadsheet takes a cell that begins with one of these for a formula.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_FORMULA_BYTES = tuple(start.encode() for start in FORMULA_STARTS)
_QUOTED_FORMULA = re.compile(b'"[%b]' % re.escape(b"".join(_FORMULA_BYTES)))


def write_output(
    source: Source,
    validator: RowValidator,
    results: Results,
    stop: StopRequest,
    *,
    rejects_path: str | os.PathLike[str] | None,
    send: bool,
    all_safe: bool,
) -> tuple[BinaryIO, str] | None:
    """Write the rejects file if it has a path, and the cleaned copy if it is to be sent, in one pass over the contact file.

    Returns the cleaned copy and its digest. It has the valid rows: UTF-8 without byte-order mark, LF, commas, the service's
    order of columns; no blank lines, no header line. It is a temporary file, which is deleted when it is closed.

    The rejects file has line, reason, and cells of each reject as CSV, and with calling hours the time zones of those that
    are outside hours. Only its owner can read it. A cell that a spreadsheet would run as a formula gets a leading
    apostrophe. Bytes that are not UTF-8 and control characters are written as ``\\x..``. A line of more than 1 MiB is cut
    off there. The file gets its name only when it is complete. Raises :class:`CheckFailed` if it cannot be written.
    """
    sha256 = hashlib.sha256()

    def write(sent: bytes, rejects: bytes) -> None:
        if cleaned is not None:
            write_all(cleaned, sent)
            sha256.update(sent)
        write_rejects(rejects)

    heads = _Heads(validator)
    with ExitStack() as opened, _rejects_file(rejects_path, validator) as write_rejects:
        cleaned = opened.enter_context(temporary_file(buffering=0)) if send else None
        # A block is written and hashed while the next one is prepared.
        with ThreadPoolExecutor(1) as thread:
            writing = thread.submit(write, b"", b"")
            for block in (
                blocks(source.file, validator.delimiter, stop) if send or next(results.rejects(), None) else ()
            ):
                codes = results.codes(block.first, len(block.lines))
                sent = _cleaned(block, codes, validator) if send else b""
                rejects = _rejects(block, codes, heads, all_safe) if rejects_path is not None else b""
                writing.result()
                writing = thread.submit(write, sent, rejects)
            writing.result()
        opened.pop_all()
    return (cleaned, f"sha256:{sha256.hexdigest()}") if cleaned else None


# The cleaned copy.


def _cleaned(block: Block, codes: bytes | bytearray, validator: RowValidator) -> bytes:
    if codes.count(_VALID) == len(codes):
        data = block.data.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in block.data else block.data
        return validator.fast_path_rows(data.removesuffix(b"\n")) + b"\n"
    sent = _SENT.codes(codes)
    if not sent:
        return b""
    lines = list(compress(block.lines, _SENT.flags(codes)))
    text = b"\n".join(lines)
    rows = validator.fast_path_rows(text)
    if changed := [match.start() for match in _IS_CHANGED.finditer(sent)]:
        each = lines if rows is text else rows.split(b"\n")
        for index in changed:
            line = lines[index]
            is_normalized = sent[index] == _NORMALIZED
            each[index] = validator.normalized_row(line, each[index]) if is_normalized else validator(line).row
        rows = b"\n".join(each)
    return rows + b"\n"


# The rejects file.


@contextmanager
def _rejects_file(path: str | os.PathLike[str] | None, validator: RowValidator) -> Iterator[Callable[[bytes], object]]:
    """Yield a function that writes to the rejects file, if that has a path."""
    if path is None:
        yield len
        return
    names = validator.layout.names or validator.layout.columns
    with ExitStack() as opened:
        with _translate_errors(path):
            file = opened.enter_context(open(opened.enter_context(complete_file(path)), "wb", buffering=0))

        def write(rows: bytes) -> None:
            with _translate_errors(path):
                write_all(file, rows)

        write(_csv_rows([["line", "reason", *(["zones"] if validator.hours else []), *map(_safe, names)]]))
        yield write
        with _translate_errors(path):
            opened.close()


@contextmanager
def _translate_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        room = " Make room there." if isinstance(error, OSError) and no_room(error) else ""
        raise CheckFailed(
            f"The rejects file {show_path(path)} cannot be written: {reason}.{room} It is safe to try again."
        ) from None


class _Heads:
    """Makes the heads of rejects."""

    def __init__(self, validator: RowValidator) -> None:
        self.validator = validator
        has_zones = validator.hours is not None
        self._by_code: list[_Head] = [(result, "") if has_zones else (result,) for result in RESULTS]
        self._by_area_code: dict[bytes, _Head] = {}
        self._begins_with_number = not validator.layout.positions[0] and validator.layout.zone == ABSENT

    def of(self, codes: bytes | bytearray, numbered: Iterable[tuple[int, bytes]]) -> list[_Head]:
        """The heads of rejects, by their codes and their lines."""
        heads = list(map(self._by_code.__getitem__, codes))
        if _OUTSIDE_HOURS in codes:
            for index, (_, line) in enumerate(numbered):
                if codes[index] == _OUTSIDE_HOURS:
                    heads[index] = self._by_area_code.get(line[:4]) or self._outside_hours(line)
        return heads

    def _outside_hours(self, line: bytes) -> _Head:
        head = (RESULTS[_OUTSIDE_HOURS], str(self.validator.place_of(line)))
        if self._begins_with_number and self.validator.is_area_code(line[:4]):
            self._by_area_code[line[:4]] = head
        return head


@cache
def _format(head: _Head) -> bytes:
    """The format of a plain row, with the number of its line and its cells. There are few heads."""
    return b"%%d,%b,%%b\n" % write_row(head)


def _rejects(block: Block, codes: bytes | bytearray, heads_of: _Heads, all_safe: bool) -> bytes:
    """The rows of the rejects file for a block. Most lines are written as they are."""
    rejected = _REJECTED.codes(codes)
    if not rejected:
        return b""
    validator = heads_of.validator
    flags = _REJECTED.flags(codes)
    if len(rejected) * 8 < len(codes):  # one by one is then faster
        indexes = [match.start() for match in _IS_REJECTED.finditer(flags)]
        numbered = [(block.first + index, block.lines[index]) for index in indexes]
    else:
        numbered = list(zip(compress(count(block.first), flags), compress(block.lines, flags), strict=True))
    heads = heads_of.of(rejected, numbered)
    if _is_plain(block.data, validator, safe=all_safe):
        return _plain_rows(heads, chain.from_iterable(numbered), validator)
    if not _MAY_NOT_BE_CELLS.codes(rejected) and (rows := _quoted_rows(heads, numbered, validator)):
        return rows
    return _csv_rows(
        [number, *head, *map(_safe, _cells(line[:LONGEST_LINE], validator))]
        for head, (number, line) in zip(heads, numbered, strict=True)
    )


def _is_plain(data: bytes, validator: RowValidator, *, safe: bool = False) -> bool:
    """Whether the cells of these lines need no quotes and have no character that is escaped. It may miss some."""
    safe = safe or (len(data) <= LONGEST_LINE and validator.duckdb_safe(data.replace(b"\r\n", b"\n")))
    return safe and b'"' not in data and (validator.delimiter == "," or b"," not in data)


def _plain_rows(heads: Iterable[_Head], numbers_and_lines: Iterable[object], validator: RowValidator) -> bytes:
    """Rows of lines that are plain, one for each head, from their numbers and the lines in turns."""
    rows = b"".join(map(_format, heads)) % tuple(numbers_and_lines)
    if validator.delimiter != ",":
        rows = rows.replace(validator.delimiter.encode(), b",")
    for start in _FORMULA_BYTES:
        if start in rows:
            rows = rows.replace(b"," + start, b",'" + start)
    return rows


def _quoted_rows(
    heads: Iterable[_Head], numbered: Sequence[tuple[int, bytes]], validator: RowValidator
) -> bytes | None:
    """The same for lines of valid cells, some of which are quoted. None if one has an escaped quote, or needs quotes."""
    text = b"\n".join([b"", *(line for _, line in numbered)])
    parts = text.split(b'"')
    bare = b'"'.join(parts[::2])
    if b'""' in bare or (validator.delimiter != "," and b"," in bare):
        return None
    bare = bare.replace(validator.delimiter.encode(), b",")
    for start in _FORMULA_BYTES:
        for before in (b"\n", b","):
            bare = bare.replace(before + start, before + b"'" + start)
    parts[::2] = bare.split(b'"')
    if _QUOTED_FORMULA.search(text):
        parts[1::2] = [b"'" + cell if cell.startswith(_FORMULA_BYTES) else cell for cell in parts[1::2]]
    quote_where_needed(parts, numbered[0][1].count(b'"') // 2)
    lines = b"".join(parts).split(b"\n")[1:]
    numbers = (number for number, _ in numbered)
    return b"".join(map(_format, heads)) % tuple(chain.from_iterable(zip(numbers, lines, strict=True)))


def _csv_rows(rows: Iterable[Sequence[object]]) -> bytes:
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(rows)
    return written.getvalue().encode()


def _cells(row: bytes, validator: RowValidator) -> list[str]:
    text = row.decode(errors="backslashreplace")
    may_be_quoted = '"' in text and validator.rules.quoting == "allow"
    quoted = split_quoted(text, validator.delimiter) if may_be_quoted else None
    return text.split(validator.delimiter) if quoted is None else quoted


def _safe(cell: str) -> str:
    harmless = "'" + cell if cell.startswith(FORMULA_STARTS) else cell
    if harmless.isprintable():
        return harmless
    return "".join(
        f"\\x{ord(character):02x}" if ord(character) < 32 or 127 <= ord(character) < 160 else character
        for character in harmless
    )
