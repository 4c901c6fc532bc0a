"""Where a row is checked: the one definition of every rule about cells and rows.

:class:`RowValidator` checks one line in Python. :meth:`RowValidator.results_sql` is a shortcut for DuckDB: the results of the
lines that files have most. A line whose result it does not know is checked in Python.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import NamedTuple

from airflow_provider_queuecalls.contacts.hours_check import HoursCheck
from airflow_provider_queuecalls.contacts.lines import (
    LONGEST_LINE,
    ControlCharacters,
    is_blank,
    leaves_cell_open,
    split_quoted,
    split_simply_quoted,
    write_row,
)
from airflow_provider_queuecalls.contacts.phone_numbers import (
    AREA_CODE,
    NANP,
    SPREADSHEET,
    WRITTEN_NANP,
    looks_rewritten,
    normalized_number,
    number_called,
)
from airflow_provider_queuecalls.contacts.places import Place
from airflow_provider_queuecalls.contacts.rules import COLUMNS, TIME_ZONE, ContactRules

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
    "duplicate": "a phone number that an earlier row has",
}
#: The results for lines that are not rows: a blank line, and the header line of a file with one.
BLANK = "blank"
COLUMN_NAMES = "column_names"

#: The service's limits are in characters. Bytes of UTF-8 are stricter, since no character has less than one.
MAX_BYTES = {"message_reference": 128, "call_parameter": 255, TIME_ZONE: LONGEST_LINE}

#: The position of a column that the file does not have.
ABSENT = 1 << 30
#: Stands for a line that DuckDB could misread.
UNSAFE = "?"
#: Separates cells without quotes. It is a control character, so no cell that is sent contains it.
SEPARATOR = "\x1f"
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
    """Checks one line at a time. It knows no other lines, so it finds neither duplicates nor suppressed numbers."""

    def __init__(self, rules: ContactRules, layout: Layout | None = None, hours: HoursCheck | None = None) -> None:
        self.rules = rules
        self.hours = hours
        self.layout = layout or Layout()
        self.delimiter = str(rules.delimiter)
        self.control = ControlCharacters(self.delimiter)
        self._not_duckdb_safe = self.control.ascii.replace(b"\n", b"") + b'"'

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

    def fast_path_row(self, line: bytes) -> bytes:
        """The row to send for a line that is valid by :meth:`results_sql`."""
        if not self.rewrites_all:
            return line
        cells = line.split(self.delimiter.encode())
        if not self._picks_cells:
            return b",".join(cells)
        return b",".join(cells[position] if position < len(cells) else b"" for position in self.layout.positions)

    def fast_path_rows(self, lines: list[bytes]) -> list[bytes]:
        """The rows to send for many lines that are valid by :meth:`results_sql`, or have quotes and are valid."""
        delimiter = self.delimiter.encode()
        if self.rules.quoting == "allow" and b'"' in b"".join(lines):
            return self._rows_of_quoted(lines)
        if not lines or not self.rewrites_all:
            return lines[:]
        if not self._picks_cells:
            return b"\n".join(lines).replace(delimiter, b",").split(b"\n")
        # Most often, all lines have the same number of cells. Then each column is a slice of all cells.
        width = lines[0].count(delimiter) + 1
        cells = (delimiter + b"\n" + delimiter).join(lines).split(delimiter)
        if len(cells) + 1 != len(lines) * (width + 1) or cells[width :: width + 1] != [b"\n"] * (len(lines) - 1):
            return list(map(self.fast_path_row, lines))
        columns = [
            cells[position :: width + 1] if position < width else repeat(b"") for position in self.layout.positions
        ]
        return list(map(b",".join, zip(*columns, strict=False)))

    def _rows_of_quoted(self, lines: list[bytes]) -> list[bytes]:
        rows = split_simply_quoted(b"\n".join(lines).decode().split("\n"), self.delimiter)
        if rows is None:
            return [self(line).row if b'"' in line else self.fast_path_row(line) for line in lines]
        written = io.StringIO()
        csv.writer(written, lineterminator="\n").writerows(map(self._wanted, rows) if self._picks_cells else rows)
        return written.getvalue().encode().split(b"\n")[:-1]

    def normalized_row(self, line: bytes) -> bytes:
        """The row to send for a valid line whose number is rewritten."""
        if self.rules.phone_format != "nanp" or b'"' in line:
            return self(line).row
        given, *rest = self.fast_path_row(line).partition(b",")
        return b"".join((b"1", given.translate(None, _NOT_DIGITS)[-10:], *rest))

    def duckdb_safe(self, data: bytes) -> bool:
        """Whether DuckDB reads lines exactly as Python does: lines of UTF-8 that end in LF, without control characters
        and quotes."""
        if len(data.translate(None, self._not_duckdb_safe)) < len(data):
            return False
        if data.isascii():
            return True
        try:
            data.decode()
        except UnicodeDecodeError:
            return False
        return not self.control.beyond_ascii(data)

    def duckdb_lines(self, lines: Sequence[bytes]) -> list[bytes] | None:
        """The lines as DuckDB reads them from a copy: cells without quotes, with :data:`SEPARATOR` between them. Returns
        None if DuckDB could misread one of them."""
        together = b"\n".join(lines)
        if self.duckdb_safe(together):
            cells = together.replace(self.delimiter.encode(), SEPARATOR.encode())
        else:
            quotable = self.rules.quoting == "allow" and len(together) <= LONGEST_LINE
            if not quotable or not self.duckdb_safe(together.replace(b'"', b"")):
                return None
            rows = split_simply_quoted(together.decode().split("\n"), self.delimiter)
            if rows is None:
                return None
            cells = "\n".join(map(SEPARATOR.join, rows)).encode()
        return [
            # Of a line without text, only the quotes tell whether it is blank.
            found if found.strip(b" \t\x1f") else b"" if is_blank(line) else UNSAFE.encode()
            for line, found in zip(lines, cells.split(b"\n"), strict=True)
        ]

    def cells_sql(self, separator: str) -> str:
        """An expression for the ``cells`` of a ``line``, see :meth:`results_sql`."""
        return f"string_split(line, '{separator}')"

    def results_sql(self, separator: str) -> Iterator[tuple[str, str | None]]:
        """Conditions over a ``line`` and its ``cells``, each with the result of a line for which it is the first to hold.

        ``separator`` is what separates the cells: the delimiter in a line that is duckdb_safe, :data:`SEPARATOR` in one of
        :meth:`duckdb_lines`. None stands for a line that has to be checked in Python, as does every line up to the first row.
        """
        given, *others = (self._cell_sql(position) for position in self.layout.positions)
        limits = [
            (f"{column}_too_long", f"strlen({cell}) > {MAX_BYTES[column]}")
            for column, cell in zip(self.layout.columns[1:], others, strict=True)
            if column != TIME_ZONE
        ]
        too_many = "false" if self.layout.cells is None else f"len(cells) > {self.layout.cells}"
        # A comma in a cell is written with quotes, or rejected if the cell is sent. So is a tab.
        has_other = "false" if self.delimiter == "," else "contains(line, ',')"
        if separator != self.delimiter == "\t":
            has_other += " OR contains(line, '\t')"
        too_long = " OR ".join([f"strlen(line) > {LONGEST_LINE}", *(condition for _, condition in limits)])
        # Most lines are short.
        fits = f"strlen(line) <= {min(MAX_BYTES.values())} OR NOT ({too_long})"
        within_hours = self._within_hours_sql(self.hours) if self.hours else "true"
        is_valid = f"regexp_full_match({given}, '{NANP}')"
        if self.hours and self.layout.zone == ABSENT:  # in one pattern, which costs nothing
            is_valid = is_valid.replace(AREA_CODE, f"({_any_code(self.hours.area_codes)})")
        elif self.hours:
            is_valid = f"{is_valid} AND {within_hours}"
        yield f"{is_valid} AND ({fits}) AND NOT ({too_many} OR {has_other})", "valid"
        yield f"line = '{UNSAFE}' OR strlen(line) > {LONGEST_LINE}", None
        yield "line IS NULL OR trim(line, ' \t') = ''", BLANK
        yield has_other, None
        yield too_many, "too_many_cells"
        number = f"trim({given}, ' ')"
        yield f"{number} = ''", "no_number"
        yield f"regexp_full_match({number}, '{SPREADSHEET.pattern}')", "spreadsheet_number"
        if self.rules.phone_format != "nanp":
            yield f"NOT regexp_full_match({given}, '{NANP}')", None
        elif self.rules.normalize:
            yield f"NOT regexp_full_match({number}, '{NANP}|{WRITTEN_NANP.pattern}')", "invalid_number"
        else:
            yield f"NOT regexp_full_match({given}, '{NANP}')", "invalid_number"
        for reason, condition in limits:
            yield condition, reason
        if self.hours:
            # Python reads the names of zones that are not in the pattern.
            yield f"NOT ({within_hours})", "outside_hours" if self.layout.zone == ABSENT else None
        yield f"NOT regexp_full_match({given}, '{NANP}')", "normalized"

    def number_sql(self) -> str:
        """An expression for the number of a line that is valid, normalized, or outside hours by :meth:`results_sql`."""
        return f"CAST({self._number_text_sql()} AS BIGINT)"

    def _number_text_sql(self) -> str:
        given = self._cell_sql(self.layout.positions[0])
        if self.rules.normalize:
            # Eleven characters that begin with 1 have no separators.
            plain = f"strlen({given}) = 11 AND starts_with({given}, '1')"
            ten_digits = f"right(regexp_replace({given}, '[^0-9]', '', 'g'), 10)"
            given = f"CASE WHEN {plain} THEN {given} ELSE '1' || {ten_digits} END"
        return given

    def _within_hours_sql(self, hours: HoursCheck) -> str:
        """A condition for lines with a North American number that are within hours. It may miss some that name their zone."""

        def has_code(codes: Iterable[int]) -> str:
            return f"regexp_matches({self._number_text_sql()}, '^1({_any_code(codes)})')"

        if self.layout.zone == ABSENT:
            return has_code(hours.area_codes)
        zone = self.zone_sql()
        by_name = (
            f"regexp_full_match({zone}, '{'|'.join(hours.names)}') AND NOT {has_code(hours.area_codes_without_hours)}"
        )
        return f"CASE WHEN {zone} = '' THEN {has_code(hours.area_codes)} ELSE {by_name} END"

    def zone_sql(self) -> str:
        """An expression for the time zone that a line names; empty if it names none."""
        return "''" if self.layout.zone == ABSENT else f"trim({self._cell_sql(self.layout.zone)}, ' ')"

    @staticmethod
    def _cell_sql(position: int) -> str:
        return f"coalesce(cells[{position + 1}], '')"


def _any_code(codes: Iterable[int]) -> str:
    """A pattern for any of some area codes."""
    return "|".join(map(str, sorted(codes))) or "none"
