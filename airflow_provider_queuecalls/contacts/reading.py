"""Reading a file in Python: what it is like as a whole, and the results on its lines, or on some of them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

from airflow_provider_queuecalls.contacts.lines import BOM, Block, blocks, picked
from airflow_provider_queuecalls.contacts.rows import BLANK, RowValidator
from airflow_provider_queuecalls.contacts.source import Source
from airflow_provider_queuecalls.exceptions import CheckFailed

Progress = Callable[[int, int], None]
#: For each reason, how many lines it left out, and the first of them.
Counts = Mapping[str, tuple[int, int]]

_DIGEST_BYTES = 4 << 20


class LineResult(NamedTuple):
    """The result on one line. ``changed``: the row to send isn't what the line would become if it were plain."""

    line: int
    number: int | None
    reason: str | None
    changed: bool
    normalized: bool


@dataclass(frozen=True)
class Reading:
    """What reading a file showed, beside the results."""

    lines: int
    bom: bool
    lone_cr: bool
    digest: str


def first_line_end(source: Source) -> str:
    """The line end of a file's first line."""
    first = next(blocks(source.file), None)
    return "\r\n" if first and first.data.partition(b"\n")[0].endswith(b"\r") else "\n"


@dataclass
class Survey:
    """What our own reading of a file shows. ``duckdb_safe``: lines hold nothing that the engine could misread."""

    lines: int = 0
    bom: bool = False
    lone_cr: bool = False
    duckdb_safe: bool = True
    line_ends: set[str] = field(default_factory=set)

    def take_in(self, block: Block, validator: RowValidator) -> None:
        """Add what a block shows."""
        data = block.data
        if b"\r" in data:
            pairs = data.count(b"\r\n")
            self.lone_cr = self.lone_cr or data.count(b"\r") > pairs
            self.line_ends |= {"\r\n"} if pairs else set()
            self.line_ends |= {"\n"} if data.count(b"\n") > pairs else set()
            data = data.replace(b"\r\n", b"\n")
        elif b"\n" in data:
            self.line_ends.add("\n")
        self.duckdb_safe = self.duckdb_safe and not block.abridged and validator.duckdb_safe(data)
        self.lines += block.count


def survey(source: Source, validator: RowValidator, progress: Progress | None) -> Survey:
    """Read a file once, without a result on any line."""
    seen, done = Survey(), 0

    def tap(data: bytes) -> None:
        nonlocal done
        seen.bom = seen.bom or (not done and data.startswith(BOM))
        done += len(data)
        if progress:
            progress(done // 2, source.size)  # the other half is what comes after

    for block in blocks(source.file, validator.delimiter, tap):
        seen.take_in(block, validator)
    return seen


def write_duckdb_safe(source: Source, validator: RowValidator, path: str) -> None:
    """Write the file anew for the engine, line for line, with a mark for each line that it could misread."""
    in_open_cell = False
    with open(path, "wb") as copy:
        for block in blocks(source.file, validator.delimiter):
            data = block.data.replace(b"\r\n", b"\n")
            if not copy.tell() and data.startswith(BOM):
                copy.write(BOM)  # the engine takes one off, and the file's own is off already
            if not in_open_cell and not block.abridged and validator.duckdb_safe(data):
                copy.write(data if data.endswith(b"\n") else data + b"\n")
                continue
            for line in block.lines():
                odd = in_open_cell or block.abridged or not validator.duckdb_safe(line)
                copy.write(b"?\n" if odd else line + b"\n")
                in_open_cell = validator.leaves_cell_open(line, in_open_cell)


def line_results(source: Source, validator: RowValidator, wanted: Iterator[tuple[int, None]]) -> Iterator[LineResult]:
    """The results on the lines with these numbers, in their order. The others must be known to be good and plain."""
    in_open_cell, blank = False, 0
    for number, line, _ in picked(blocks(source.file, validator.delimiter), wanted):
        result = validator(line, number=number, first=number == blank + 1, in_open_cell=in_open_cell)
        # A good row has closed what it opened.
        in_open_cell = result.reason is not None and validator.leaves_cell_open(line, in_open_cell)
        blank += result.reason == BLANK
        changed = result.reason is None and result.row != validator.row_of_good_line(line)
        yield LineResult(number, result.number, result.reason, changed, result.normalized)


def assert_same_lines(source: Source, surveyed: int, lines: int) -> None:
    """Raise :class:`CheckFailed` where the second reading of a file saw other lines than the first."""
    source.assert_unchanged()
    if lines != surveyed:
        raise CheckFailed(f"{source.shown} was read twice, with {surveyed:,} and {lines:,} lines. Nothing was sent.")


def file_digest(file: BinaryIO) -> str:
    """SHA-256 of a whole file. Leaves the file's position alone, so it may run beside other readers."""
    sha256, position = hashlib.sha256(), 0
    while data := os.pread(file.fileno(), _DIGEST_BYTES, position):
        sha256.update(data)
        position += len(data)
    return f"sha256:{sha256.hexdigest()}"
