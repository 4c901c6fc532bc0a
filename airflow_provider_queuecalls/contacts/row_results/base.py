"""The results for all lines of a file: what both ways to get them share, in memory and in DuckDB.

A result is one byte per line, so that any number of lines takes little memory.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

from airflow_provider_queuecalls.contacts.hours.places import Place
from airflow_provider_queuecalls.contacts.row_results.codes_in_file import CodesInFile
from airflow_provider_queuecalls.contacts.rows.validator import BLANK, COLUMN_NAMES, REASONS, RowValidator
from airflow_provider_queuecalls.exceptions import CheckFailed
from airflow_provider_queuecalls.files.lines import BOM, Block, blocks, pick_lines, read_at
from airflow_provider_queuecalls.files.reading import Source, file_digest
from airflow_provider_queuecalls.progress import Advance
from airflow_provider_queuecalls.stopping import StopRequest

#: Every result, at the index that is its code. ``valid``: the row is sent as :meth:`RowValidator.fast_path_rows` returns
#: it. ``rewritten``: the row needs another change. ``normalized``: its number is rewritten. All others are not sent.
RESULTS = ("valid", "rewritten", "normalized", BLANK, COLUMN_NAMES, *REASONS)
CODES: Mapping[str, int] = {result: code for code, result in enumerate(RESULTS)}
#: The results of lines that are sent, and their codes.
SENT = RESULTS[:3]
_SENT = frozenset(CODES[result] for result in SENT)
OUTSIDE_HOURS = "outside_hours"
_REJECTED = re.compile(b"[" + re.escape(bytes(CODES[reason] for reason in REASONS)) + b"]")

#: For each result, the number of lines that have it, and the first of them.
Counts = Mapping[str, tuple[int, int]]

_CODES_AT_ONCE = 1 << 20
_AFTER_ALL_LINES = 1 << 60


class PlaceCount(NamedTuple):
    """How many rows have a number of a place, and how many of these are outside hours."""

    contacts: int
    outside_hours: int


class Results(ABC):
    """The results of a check. Call :meth:`add_suppression_list` for every list, then :meth:`read_contacts`, then
    :meth:`mark_by_number`. After that the results are complete."""

    def __init__(self, stop: StopRequest, advance: Advance) -> None:
        self._stop = stop
        self._advance = advance
        #: The code of each line's result; line 1 is at index 0.
        self._codes: bytearray | CodesInFile = bytearray()
        self._places = Counter[tuple[Place, bool]]()

    @abstractmethod
    def add_suppression_list(self, source: Source, validator: RowValidator) -> Counts:
        """Add the numbers of a suppression list, and count its lines by result."""

    @abstractmethod
    def read_contacts(self, source: Source, validator: RowValidator) -> Survey:
        """Check every line of the contact file by itself."""

    @abstractmethod
    def mark_by_number(self, *, look_for_duplicates: bool) -> None:
        """Reject the valid rows whose number is suppressed, then those that exceed a limit, and then those whose number an
        earlier row has."""

    def digest(self, source: Source) -> str:
        """The digest of the contact file."""
        return file_digest(source.file, self._stop)

    def codes(self, first: int, count: int) -> bytes | bytearray:
        """The codes of ``count`` lines, starting with line ``first``."""
        return self._codes[first - 1 : first - 1 + count]

    def counts(self) -> Counts:
        """Count the lines by result."""
        counts: dict[str, tuple[int, int]] = {}
        for start, codes in self._parts():
            for result, code in CODES.items():
                if found := codes.count(code):
                    before, first = counts.get(result, (0, start + codes.find(code) + 1))
                    counts[result] = before + found, first
        return counts

    def places(self) -> dict[Place, PlaceCount]:
        """Count the rows by the place of their numbers, in the order of the counts, the zones, and the regions; empty without
        calling hours."""
        counts = dict[Place, PlaceCount]()
        for (place, outside), count in self._places.items():
            before = counts.get(place, PlaceCount(0, 0))
            counts[place] = PlaceCount(before.contacts + count, before.outside_hours + outside * count)
        return dict(sorted(counts.items(), key=lambda item: (-item[1].contacts, str(item[0]), item[0])))

    def sent_places(self) -> list[Place]:
        """The places of the rows that are sent, in the same order."""
        return [place for place in self.places() if any(self._codes[line - 1] in _SENT for line in self._lines(place))]

    @abstractmethod
    def _lines(self, place: Place) -> Iterator[int]:
        """The lines at a place that are sent unless :meth:`mark_by_number` has marked them."""

    def _add_place(self, result: LineResult) -> None:
        if result.place is not None:
            self._places[result.place, RESULTS[result.code] == OUTSIDE_HOURS] += 1

    def rejects(self) -> Iterator[tuple[int, str]]:
        """The line numbers of the rows that are not sent, each with the reason. Blank lines and the header line are not
        rows."""
        for start, codes in self._parts():
            for index, reason in rejected(codes):
                yield start + index + 1, reason

    def _parts(self) -> Iterator[tuple[int, bytes | bytearray]]:
        for start in range(0, len(self._codes), _CODES_AT_ONCE):
            yield start, self._codes[start : start + _CODES_AT_ONCE]


def rejected(codes: bytes | bytearray) -> Iterator[tuple[int, str]]:
    """The index of each reject among the codes of some lines, with the reason."""
    for match in _REJECTED.finditer(codes):
        yield match.start(), RESULTS[codes[match.start()]]


def add_to_counts(counts: dict[str, tuple[int, int]], line: int, code: int, count: int = 1) -> None:
    """Count more lines, of which ``line`` is the first."""
    before, first = counts.get(RESULTS[code], (0, line))
    counts[RESULTS[code]] = before + count, min(first, line)


# Reading a file in Python.


class LineResult(NamedTuple):
    """The result for one line: the number it calls (None if it is not sent), the result's code, and the number's place."""

    line: int
    number: int | None
    code: int
    place: Place | None


@dataclass
class Survey:
    """The properties of a file as a whole. ``duckdb_safe``: DuckDB cannot misread any of its lines."""

    lines: int = 0
    bom: bool = False
    lone_cr: bool = False
    quoted: bool = False
    duckdb_safe: bool = True
    line_ends: set[str] = field(default_factory=set)

    def add(self, block: Block, validator: RowValidator) -> None:
        """Take in another block."""
        data = block.data
        if b"\r" in data:
            pairs = data.count(b"\r\n")
            self.lone_cr = self.lone_cr or data.count(b"\r") > pairs
            self.line_ends |= {"\r\n"} if pairs else set()
            self.line_ends |= {"\n"} if data.count(b"\n") > pairs else set()
            data = data.replace(b"\r\n", b"\n")
        elif b"\n" in data:
            self.line_ends.add("\n")
        self.quoted = self.quoted or b'"' in data
        self.duckdb_safe = self.duckdb_safe and not block.abridged and validator.duckdb_safe(data)
        self.lines += block.count


def survey(source: Source, validator: RowValidator, stop: StopRequest, advance: Advance) -> Survey:
    """Read a file once, without checking any line."""
    seen, done = Survey(bom=read_at(source.file, len(BOM), 0) == BOM), 0
    for block in blocks(source.file, validator.delimiter, stop):
        seen.add(block, validator)
        advance(block.end - done)
        done = block.end
    return seen


def line_results(
    source: Source, validator: RowValidator, wanted: Iterator[int], stop: StopRequest
) -> Iterator[LineResult]:
    """Check the lines with these numbers, which are in ascending order, and those that begin within a cell that one of them
    has opened. All other lines must be known not to leave a cell open."""
    in_open_cell, blank = False, 0

    def numbers() -> Iterator[int]:
        last = 0
        for line in chain(wanted, (_AFTER_ALL_LINES,)):
            while in_open_cell and last + 1 < line:
                last += 1
                yield last
            last = line
            yield line

    for number, line in pick_lines(blocks(source.file, validator.delimiter, stop), numbers()):
        result = validator(line, number=number, first=number == blank + 1, in_open_cell=in_open_cell)
        # A valid row closes every cell that it opens.
        in_open_cell = result.reason is not None and validator.leaves_cell_open(line, in_open_cell)
        blank += result.reason == BLANK
        name = result.reason
        if name is None:
            rewritten = result.row is not line and result.row != validator.fast_path_rows(line)
            name = "normalized" if result.normalized else "rewritten" if rewritten else "valid"
        yield LineResult(number, result.number, CODES[name], result.place)


def assert_same_lines(source: Source, surveyed: int, lines: int) -> None:
    """Raise :class:`CheckFailed` if the second reading of a file found another number of lines than the first."""
    source.assert_unchanged()
    if lines != surveyed:
        raise CheckFailed(
            f"{source.shown} was read twice, first with {surveyed:,} lines and then with {lines:,}. It is safe to try "
            "again."
        )
