"""Where a row is checked: the one definition of every rule about cells and rows.

:class:`RowValidator` checks one line in Python. ``in_duckdb`` gives the same results in SQL for the most common
lines. All other lines are checked here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import repeat
from typing import NamedTuple

from airflow_provider_queuecalls.contacts.hours.check import HoursCheck
from airflow_provider_queuecalls.contacts.hours.places import Place
from airflow_provider_queuecalls.contacts.rows.phone_numbers import looks_rewritten, normalized_number, number_called
from airflow_provider_queuecalls.contacts.rules import COLUMNS, TIME_ZONE, ContactRules
from airflow_provider_queuecalls.files.lines import (
    LONGEST_LINE,
    ControlCharacters,
    is_blank,
    leaves_cell_open,
    quote_where_needed,
    split_quoted,
    write_row,
)

#: Every reason to reject a row, in the order in which they are checked, with its meaning and what to do about it.
REASONS: Mapping[str, str] = {
    "line_too_long": "a line of more than 1 MiB; write one row per line",
    "not_utf8": "bytes that are not UTF-8; write the file as UTF-8",
    "control_character": "a control character or a line break within a cell; remove it",
    "quoted_cell": "quotes, or a comma that requires them; remove them, or set quoting='allow' and quote as in RFC 4180",
    "too_many_cells": "more cells than columns; a row is phone_number, message_reference, call_parameter unless has_header is set",
    "header": "column names instead of a phone number in the first row; remove the line or set has_header=True",
    "no_number": "no phone number",
    "spreadsheet_number": "a phone number that a spreadsheet has rewritten, such as 1.6E+10; export that column as text",
    "invalid_number": "not a phone number in the given phone_format; normalize=True accepts common spellings",
    "message_reference_too_long": "a message_reference of more than 128 bytes of UTF-8",
    "call_parameter_too_long": "a call_parameter of more than 255 bytes of UTF-8",
    "outside_hours": "may not be called during the whole campaign by calling_hours, or has no known time zone (unknown_zone)",
    "suppressed": "a phone number on a suppression list",
    "called_too_often": "a phone number that earlier campaigns have called as often as max_per_period allows",
    "duplicate": "a phone number that an earlier row has",
}
#: The results for lines that are not rows: a blank line, and the header line of a file with one.
BLANK = "blank"
COLUMN_NAMES = "column_names"

#: The service's limits are in characters. Bytes of UTF-8 are stricter, since no character has less than one.
MAX_BYTES = {"message_reference": 128, "call_parameter": 255, TIME_ZONE: LONGEST_LINE}

#: The position of a column that the file does not have.
ABSENT = 1 << 30
#: Separates cells that may have a delimiter. It is a control character, so no cell that is sent contains it.
_SEPARATOR = b"\x1f"
_NOT_DIGITS = bytes(set(range(256)) - set(b"0123456789"))


def names_columns(cells: Sequence[str]) -> bool:
    """Whether a first row names columns: its first cell begins with a letter, and no cell has seven digits or more."""
    text = cells[0].strip()
    digits = max(sum(map(str.isdigit, cell)) for cell in cells)
    return text[:1].isalpha() and ":" not in text and digits < 7


class _Rejected(Exception):
    """The row is rejected for this reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Layout:
    """Where the cells of a row are.

    ``positions`` are the positions of phone number, reference, and parameter in a row (or ABSENT), and ``columns`` are
    their names. ``cells`` is the most cells that a row may have (None: any number). ``names`` are the names in the
    header line, if there is one. ``zone`` is the position of the column that names the time zone.
    """

    positions: tuple[int, ...] = (0, 1, 2)
    columns: tuple[str, ...] = COLUMNS
    cells: int | None = 3
    names: tuple[str, ...] = ()
    header_line: int | None = None
    zone: int = ABSENT

    def with_zone(self) -> Layout:
        """The same, with the column that names the time zone as the fourth that is sent, if there is one."""
        if self.zone == ABSENT:
            return self
        positions = (*self.positions, ABSENT, ABSENT)[: len(COLUMNS)]
        return replace(self, positions=(*positions, self.zone), columns=(*COLUMNS, TIME_ZONE))


class RowResult(NamedTuple):
    """The result for one line: why it is rejected (None if it is valid), the number it calls, the row to send, and the
    place of a number that is valid or outside hours, if there are calling hours."""

    reason: str | None
    number: int | None = None
    row: bytes = b""
    normalized: bool = False
    place: Place | None = None


class RowValidator:
    """Checks one line at a time. It knows no other lines: :meth:`Results.mark_by_number` finds duplicates and
    suppressed numbers afterwards."""

    def __init__(self, rules: ContactRules, layout: Layout | None = None, hours: HoursCheck | None = None) -> None:
        self.rules = rules
        self.hours = hours
        self.layout = layout or Layout()
        self.delimiter = str(rules.delimiter)
        self.control = ControlCharacters(self.delimiter)
        self._not_duckdb_safe = self.control.ascii.replace(b"\n", b"")
        self._cached_place = lru_cache(maxsize=4096)(self._place_by_code)

    def __call__(
        self, line: bytes, *, number: int | None = None, first: bool = False, in_open_cell: bool = False
    ) -> RowResult:
        """Check one line, given without its line end.

        ``number`` is the line's number. ``first``: no line before it has a row. ``in_open_cell``: the line begins
        within a quoted cell that an earlier line has opened, so it is not a row whatever it looks like.
        """
        if len(line) > LONGEST_LINE:
            return RowResult("line_too_long")
        if is_blank(line) and not in_open_cell:
            return RowResult(BLANK)
        if number is not None and number == self.layout.header_line:
            return RowResult(COLUMN_NAMES)
        try:
            cells = self._cells(self._text(line, in_open_cell))
            if first and not self.layout.names and names_columns(cells):
                raise _Rejected("header")
            return self._valid_row(line, cells)
        except _Rejected as rejected:
            return RowResult(rejected.reason)

    def _text(self, line: bytes, in_open_cell: bool) -> str:
        try:
            text = line.decode()
        except UnicodeDecodeError:
            raise _Rejected("not_utf8") from None
        if in_open_cell or self.control.in_text.search(text):
            raise _Rejected("control_character")
        return text

    def _cells(self, text: str) -> list[str]:
        """The row's cells, of which there is at least one."""
        quotable = self.rules.quoting == "allow"
        if '"' not in text:
            cells = text.split(self.delimiter)
        elif not quotable:
            raise _Rejected("quoted_cell")
        elif (split := split_quoted(text, self.delimiter)) is not None:
            cells = split
        else:
            raise _Rejected("control_character" if self.leaves_cell_open(text.encode(), False) else "quoted_cell")
        if self.delimiter == "\t" and any("\t" in cell for cell in self._wanted(cells)):
            raise _Rejected("control_character")  # the delimiter within quotes, in a cell that is sent
        if not quotable and self.delimiter != "," and any("," in cell for cell in self._wanted(cells)):
            raise _Rejected("quoted_cell")
        if self.layout.cells is not None and len(cells) > self.layout.cells:
            raise _Rejected("too_many_cells")
        return cells

    def _wanted(self, cells: Sequence[str]) -> list[str]:
        return [cells[position] if position < len(cells) else "" for position in self.layout.positions]

    def _valid_row(self, line: bytes, cells: Sequence[str]) -> RowResult:
        given, *others = self._wanted(cells)
        number, called = self._number(given)
        for column, cell in zip(self.layout.columns[1:], others, strict=True):
            if len(cell.encode()) > MAX_BYTES[column]:
                raise _Rejected(f"{column}_too_long")
        place = self._place(called, cells)
        if self.hours and place and not self.hours.allows(place):
            return RowResult("outside_hours", place=place)
        if number == given and not self.rewrites_all and b'"' not in line:
            return RowResult(None, called, line, place=place)
        row = [number, *others] if self._picks_cells else [number, *others][: len(cells)]
        return RowResult(None, called, write_row(row), number != given, place)

    def _place(self, number: int, cells: Sequence[str]) -> Place | None:
        zone = self.layout.zone
        return None if self.hours is None else self.hours.place(number, cells[zone] if zone < len(cells) else "")

    def place_of(self, line: bytes) -> Place | None:
        """The place of a line that is known to be outside hours. Mostly its area code and its zone say it."""
        if b'"' in line:
            return self(line).place
        cells, zone = line.split(self.delimiter.encode()), self.layout.zone
        code = cells[self.layout.positions[0]][:4]
        if not self.is_area_code(code):
            return self(line).place
        return self._cached_place(code, cells[zone] if zone < len(cells) else b"")

    def is_area_code(self, beginning: bytes) -> bool:
        """Whether the first four bytes of a valid number are 1 and its area code, however the rest is written."""
        return self.rules.phone_format == "nanp" and beginning[:1] == b"1" and beginning.isdigit()

    def _place_by_code(self, code: bytes, zone: bytes) -> Place | None:
        return None if self.hours is None else self.hours.place(int(code) * 10_000_000, zone.decode())

    def _number(self, given: str) -> tuple[str, int]:
        """The phone number as it is sent, and as an integer."""
        if not given.strip(" "):
            raise _Rejected("no_number")
        if looks_rewritten(given):
            raise _Rejected("spreadsheet_number")
        phone_format = str(self.rules.phone_format)
        number = normalized_number(given, phone_format) if self.rules.normalize else given
        called = number_called(number, phone_format)
        if called is None:
            raise _Rejected("invalid_number")
        return number, called

    def column_names(self, line: bytes) -> list[str] | None:
        """The names in a header line, without spaces around them. None if the line is not valid."""
        if len(line) > LONGEST_LINE:
            return None
        try:
            text = line.decode()
        except UnicodeDecodeError:
            return None
        allowed = self.rules.quoting == "allow"
        cells = split_quoted(text, self.delimiter) if allowed else text.split(self.delimiter)
        if cells is None or self.control.in_text.search(text) or ('"' in text and not allowed):
            return None
        return [cell.strip() for cell in cells]

    def leaves_cell_open(self, line: bytes, in_open_cell: bool) -> bool:
        """Whether the next line begins within a quoted cell. Never true where quotes are refused."""
        if self.rules.quoting == "refuse" or not (in_open_cell or b'"' in line):
            return False
        return leaves_cell_open(line, self.delimiter.encode(), in_open_cell)

    @property
    def rewrites_all(self) -> bool:
        """Whether every row has to be rewritten, not only those that need a change themselves."""
        return self._picks_cells or self.delimiter != ","

    @property
    def _picks_cells(self) -> bool:
        """Whether a row has other cells than those that are sent, or in another order."""
        return bool(self.layout.names) or self.layout.zone != ABSENT

    def fast_path_rows(self, text: bytes) -> bytes:
        """The rows to send for lines that are valid by ``in_duckdb``, both as text without a line end at its end."""
        delimiter = self.delimiter.encode()
        if b'"' in text:
            text, delimiter = self._unquoted(text)
        if not self._picks_cells:
            return text.replace(delimiter, b",") if delimiter != b"," else text
        # Most often, all lines have the same number of cells. Then each column is a slice of all cells.
        lines = text.count(b"\n") + 1
        width = text.partition(b"\n")[0].count(delimiter) + 1
        cells = text.replace(b"\n", delimiter + b"\n" + delimiter).split(delimiter)
        if len(cells) + 1 != lines * (width + 1) or cells[width :: width + 1] != [b"\n"] * (lines - 1):
            return b"\n".join(self._picked(line.split(delimiter)) for line in text.split(b"\n"))
        columns = [
            cells[position :: width + 1] if position < width else repeat(b"") for position in self.layout.positions
        ]
        return b"\n".join(map(b",".join, zip(*columns, strict=False)))

    def _picked(self, cells: list[bytes]) -> bytes:
        return b",".join(cells[position] if position < len(cells) else b"" for position in self.layout.positions)

    def _unquoted(self, text: bytes) -> tuple[bytes, bytes]:
        """Lines whose quotes only open and close cells, with quotes only around cells with a comma. Returns the delimiter
        too, which no cell contains if cells are picked."""
        parts, delimiter = text.split(b'"'), self.delimiter.encode()
        quote_where_needed(parts, text.count(b'"', 0, text.find(b"\n")) // 2)
        if self.rewrites_all:
            parts[::2] = b'"'.join(parts[::2]).replace(delimiter, _SEPARATOR).split(b'"')
            delimiter = _SEPARATOR
        return b"".join(parts), delimiter

    def normalized_row(self, line: bytes, fast_path_row: bytes) -> bytes:
        """The row to send for a valid line whose number is rewritten."""
        may_need_quotes = b'""' in line or (self.delimiter != "," and b"," in line)
        if self.rules.phone_format != "nanp" or may_need_quotes:
            return self(line).row
        given, *rest = fast_path_row.partition(b",")
        return b"".join((b"1", given.translate(None, _NOT_DIGITS)[-10:], *rest))

    def duckdb_safe(self, data: bytes) -> bool:
        """Whether DuckDB reads lines exactly as Python does: lines of UTF-8 that end in LF, without control characters."""
        if len(data.translate(None, self._not_duckdb_safe)) < len(data):
            return False
        if data.isascii():
            return True
        try:
            data.decode()
        except UnicodeDecodeError:
            return False
        return not self.control.beyond_ascii(data)
