"""The two files that a check writes: the cleaned copy, which is sent, and the rejects file, which a person reads."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import compress, islice
from typing import BinaryIO

from airflow_provider_queuecalls.contacts.row_results.base import CODES, OUTSIDE_HOURS, RESULTS, SENT, Results
from airflow_provider_queuecalls.contacts.rows.validator import ABSENT, REASONS, RowValidator
from airflow_provider_queuecalls.files.lines import (
    LONGEST_LINE,
    Block,
    blocks,
    quote_where_needed,
    split_quoted,
    write_row,
)
from airflow_provider_queuecalls.files.reading import Source
from airflow_provider_queuecalls.files.writing import complete_file, temporary_file, unwritable, write_all
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
#: A spreadsheet takes a cell that begins with one of these for a formula.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_FORMULA_BYTES = tuple(start.encode() for start in FORMULA_STARTS)
_BLOCKS_AT_ONCE = 4
_DIGITS, _THREE_DIGITS = [b"%d" % n for n in range(1000)], [b"%03d" % n for n in range(1000)]
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
    off there. The file gets its name only when it is complete. Raises :class:`InvalidContacts` if it cannot be written, or
    :class:`CheckFailed` if another try may help.
    """
    sha256 = hashlib.sha256()

    def write(sent: bytes, rejects: bytes) -> None:
        if cleaned is not None:
            write_all(cleaned, sent)
            sha256.update(sent)
        write_rejects(rejects)

    def prepared() -> Iterator[tuple[bytes, bytes]]:
        for block in blocks(source.file, validator.delimiter, stop):
            codes = results.codes(block.first, block.count)
            sent = _cleaned(block, codes, validator) if send else b""
            yield sent, _rejects(block, codes, reasons, all_safe) if rejects_path is not None else b""

    reasons = _Reasons(validator)
    with ExitStack() as opened, _rejects_file(rejects_path, validator) as write_rejects:
        cleaned = opened.enter_context(temporary_file(buffering=0)) if send else None
        parts = prepared() if send or next(results.rejects(), None) else iter(())
        # Some blocks are written and hashed while the next ones are prepared. One by one, the threads would wait for each
        # other most of the time.
        with ThreadPoolExecutor(1) as thread:
            writing = thread.submit(write, b"", b"")
            while some := list(islice(parts, _BLOCKS_AT_ONCE)):
                sent, rejects = map(b"".join, zip(*some, strict=True))
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

        zones = ["zones"] if validator.hours else []
        write(write_row(["line", "reason", *zones, *map(_safe, names)]) + b"\n")
        yield write
        with _translate_errors(path):
            opened.close()


@contextmanager
def _translate_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        problem = (
            f"The rejects file {show_path(path)} cannot be written: {getattr(error, 'strerror', None) or 'not a path'}."
        )
        create = " Create its directory first." if isinstance(error, FileNotFoundError) else ""
        raise unwritable(problem, error, create) from None


class _Reasons:
    """What a row of the rejects file has between the number of its line and its cells: the reason, and with calling hours
    the zones where the number may be, which are empty for other reasons."""

    def __init__(self, validator: RowValidator) -> None:
        self.validator = validator
        has_zones = validator.hours is not None
        self._by_code = [_between_delimiters(result, *([""] if has_zones else [])) for result in RESULTS]
        self._by_area_code: dict[bytes, bytes] = {}
        self._begins_with_number = not validator.layout.positions[0] and validator.layout.zone == ABSENT

    def of(self, codes: bytes | bytearray, lines: Sequence[bytes]) -> list[bytes]:
        """The reasons of rejects, by their codes and their lines."""
        reasons = list(map(self._by_code.__getitem__, codes))
        if _OUTSIDE_HOURS in codes:
            for index, line in enumerate(lines):
                if codes[index] == _OUTSIDE_HOURS:
                    reasons[index] = self._by_area_code.get(line[:4]) or self._outside_hours(line)
        return reasons

    def _outside_hours(self, line: bytes) -> bytes:
        reason = _between_delimiters(RESULTS[_OUTSIDE_HOURS], str(self.validator.place_of(line)))
        if self._begins_with_number and self.validator.is_area_code(line[:4]):
            self._by_area_code[line[:4]] = reason
        return reason


def _between_delimiters(*cells: str) -> bytes:
    return b",%b," % write_row(cells)


def _rejects(block: Block, codes: bytes | bytearray, reasons: _Reasons, all_safe: bool) -> bytes:
    """The rows of the rejects file for a block. Most lines are written as they are."""
    rejected = _REJECTED.codes(codes)
    if not rejected:
        return b""
    validator = reasons.validator
    flags = _REJECTED.flags(codes)
    if len(rejected) * 8 < len(codes):  # one by one is then faster
        indexes = [match.start() for match in _IS_REJECTED.finditer(flags)]
        starts = [b"\n%d" % (block.first + index) for index in indexes]
        lines = [block.lines[index] for index in indexes]
    else:
        starts = list(compress(_numbered_starts(block.first, len(codes)), flags))
        lines = list(compress(block.lines, flags))
    why = reasons.of(rejected, lines)
    if not _is_plain(block.data, validator, safe=all_safe):
        may_be_quoted = not _MAY_NOT_BE_CELLS.codes(rejected)
        return _joined(starts, why, _written(lines, validator, may_be_quoted=may_be_quoted))
    rows = _joined(starts, why, lines)
    if validator.delimiter != ",":
        rows = rows.replace(validator.delimiter.encode(), b",")
    for start in _FORMULA_BYTES:
        if start in rows:
            rows = rows.replace(b"," + start, b",'" + start)
    return rows


def _joined(starts: Sequence[bytes], reasons: Sequence[bytes], lines: Sequence[bytes]) -> bytes:
    parts = [b"\n"] * (3 * len(lines) + 1)
    parts[:-1:3], parts[1::3], parts[2::3] = starts, reasons, lines
    parts[0] = parts[0].removeprefix(b"\n")
    return b"".join(parts)


def _numbered_starts(first: int, lines: int) -> Iterator[bytes]:
    """The starts of rows with consecutive numbers, each after the end of the row before. Adding three digits is twice as
    fast as writing all."""
    for thousand in range(first // 1000, (first + lines - 1) // 1000 + 1):
        digits, start = (_THREE_DIGITS, b"\n%d" % thousand) if thousand else (_DIGITS, b"\n")
        yield from map(start.__add__, digits[max(first - 1000 * thousand, 0) : first + lines - 1000 * thousand])


def _is_plain(data: bytes, validator: RowValidator, *, safe: bool = False) -> bool:
    """Whether the cells of these lines need no quotes and have no character that is escaped. It may miss some."""
    safe = safe or (len(data) <= LONGEST_LINE and validator.duckdb_safe(data.replace(b"\r\n", b"\n")))
    return safe and b'"' not in data and (validator.delimiter == "," or b"," not in data)


def _written(lines: Sequence[bytes], validator: RowValidator, *, may_be_quoted: bool) -> list[bytes]:
    """The lines as they are written."""
    quoted = _quoted_lines(lines, validator) if may_be_quoted else None
    return quoted or [write_row(map(_safe, _cells(line[:LONGEST_LINE], validator))) for line in lines]


def _quoted_lines(lines: Sequence[bytes], validator: RowValidator) -> list[bytes] | None:
    """How lines of valid cells are written, some of which are quoted. None if one has an escaped quote, or needs quotes."""
    text = b"\n".join([b"", *lines])
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
    quote_where_needed(parts, lines[0].count(b'"') // 2)
    return b"".join(parts).split(b"\n")[1:]


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
