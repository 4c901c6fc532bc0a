"""Reading a file in Python: what it is like as a whole, and the results for its lines, or for some of them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

from airflow_provider_queuecalls.contacts.lines import BOM, Block, blocks, picked
from airflow_provider_queuecalls.contacts.results import CODES, Advance
from airflow_provider_queuecalls.contacts.rows import BLANK, RowValidator
from airflow_provider_queuecalls.contacts.source import Source
from airflow_provider_queuecalls.exceptions import CheckFailed
from airflow_provider_queuecalls.stopping import StopRequest

_DIGEST_BYTES = 4 << 20


class LineResult(NamedTuple):
    """The result for one line: the number it calls (None if it is not sent), and the result's code."""

    line: int
    number: int | None
    code: int


def first_line_end(source: Source) -> str:
    """The line end of a file's first line."""
    first = next(blocks(source.file), None)
    return "\r\n" if first and first.data.partition(b"\n")[0].endswith(b"\r") else "\n"


@dataclass
class Survey:
    """What a file is like. ``duckdb_safe``: DuckDB cannot misread any of its lines."""

    lines: int = 0
    bom: bool = False
    lone_cr: bool = False
    duckdb_safe: bool = True
    line_ends: set[str] = field(default_factory=set)

    def add(self, block: Block, validator: RowValidator) -> None:
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


def survey(source: Source, validator: RowValidator, stop: StopRequest, advance: Advance) -> Survey:
    """Read a file once, without validating any line."""
    seen = Survey()
    at_start = True

    def tap(data: bytes) -> None:
        nonlocal at_start
        seen.bom = seen.bom or (at_start and data.startswith(BOM))
        at_start = False
        advance(len(data))

    for block in blocks(source.file, validator.delimiter, tap, stop):
        seen.add(block, validator)
    return seen


def write_duckdb_safe(source: Source, validator: RowValidator, copy: BinaryIO, stop: StopRequest) -> None:
    """Copy the file line for line for DuckDB, with ``?`` in place of each line that it could misread."""
    in_open_cell, at_start = False, True
    for block in blocks(source.file, validator.delimiter, stop=stop):
        data = block.data.replace(b"\r\n", b"\n")
        if at_start and data.startswith(BOM):
            copy.write(BOM)  # DuckDB removes one, and the file's own is removed already
        at_start = False
        if not in_open_cell and not block.abridged and validator.duckdb_safe(data):
            copy.write(data if data.endswith(b"\n") else data + b"\n")
            continue
        for line in block.lines():
            unsafe = in_open_cell or block.abridged or not validator.duckdb_safe(line)
            copy.write(b"?\n" if unsafe else line + b"\n")
            in_open_cell = validator.leaves_cell_open(line, in_open_cell)
    copy.flush()


def line_results(
    source: Source, validator: RowValidator, wanted: Iterator[int], stop: StopRequest
) -> Iterator[LineResult]:
    """Validate the lines with these numbers, in their order. The others must be known to be valid and unquoted."""
    in_open_cell, blank = False, 0
    marks = ((line, None) for line in wanted)
    for number, line, _ in picked(blocks(source.file, validator.delimiter, stop=stop), marks):
        result = validator(line, number=number, first=number == blank + 1, in_open_cell=in_open_cell)
        # A valid row has closed what it opened.
        in_open_cell = result.reason is not None and validator.leaves_cell_open(line, in_open_cell)
        blank += result.reason == BLANK
        name = result.reason
        if name is None:
            rewritten = result.row != validator.row_of_good_line(line)
            name = "normalized" if result.normalized else "rewritten" if rewritten else "valid"
        yield LineResult(number, result.number, CODES[name])


def assert_same_lines(source: Source, surveyed: int, lines: int) -> None:
    """Raise :class:`CheckFailed` if the second reading of a file found other lines than the first."""
    source.assert_unchanged()
    if lines != surveyed:
        raise CheckFailed(
            f"{source.shown} was read twice, first with {surveyed:,} lines and then with {lines:,}. Nothing was sent."
        )


def file_digest(file: BinaryIO, stop: StopRequest) -> str:
    """SHA-256 of a whole file. Leaves the file's position alone, so it may run beside other readers."""
    sha256, position = hashlib.sha256(), 0
    while data := os.pread(file.fileno(), _DIGEST_BYTES, position):
        stop.raise_if_requested()
        sha256.update(data)
        position += len(data)
    return f"sha256:{sha256.hexdigest()}"
