"""What makes a row good: the one definition of every rule about numbers, cells and rows.

:class:`RowValidator` gives the result on one line. :meth:`RowValidator.fast_path_sql` is its shortcut for the engine: an expression
that holds only for lines on which the result is known beforehand, namely good and sent as they are. Whatever it
does not recognize is judged here, so it may miss good lines but never pass a bad one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from airflow_provider_queuecalls.contacts.phone_numbers import NANP, looks_rewritten, normalized_number, number_called
from airflow_provider_queuecalls.contacts.rules import COLUMNS, ContactRules

#: Every reason to leave a row out, in the order in which they are looked for, with what to do about it.
REASONS: Mapping[str, str] = {
    "not_utf8": "bytes that are not UTF-8; write the file as UTF-8",
    "control_character": "a control character or a line break within a cell; take it out",
    "quoted_cell": "quotes, or a comma that would need them; take them out, or set quoting='allow' and quote as RFC 4180 says",
    "too_many_cells": "more cells than columns; the row is phone number, message_reference, call_parameter unless has_header names others",
    "header": "column names instead of a phone number in the first row; leave the line out or set has_header=True",
    "no_number": "no phone number",
    "spreadsheet_number": "a number that a spreadsheet has rewritten, as 1.6E+10; export that column as text",
    "invalid_number": "not a phone number in the given phone_format; normalize=True accepts common spellings",
    "message_reference_too_long": "a message_reference of more than 128 bytes of UTF-8",
    "call_parameter_too_long": "a call_parameter of more than 255 bytes of UTF-8",
    "suppressed": "a number on a suppression list",
    "duplicate": "a number that an earlier row has already",
}
#: Not reasons to reject: a line without a row, and the line that names the columns.
BLANK = "blank"
COLUMN_NAMES = "column_names"

#: Unit of the limits: characters and bytes of UTF-8, the stricter counts, which is always the bytes.
MAX_BYTES = {"message_reference": 128, "call_parameter": 255}
#: A longer line is read up to here; it is never good, and never a header.
LONGEST_LINE = 1 << 20

#: Characters of Unicode's category Cc, and the two that some programs take for a line end.
_CONTROL = frozenset(chr(code) for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029))


class ControlCharacters:
    """What ``control_character`` finds, in text and, faster, in bytes. A tab that separates cells is none."""

    def __init__(self, delimiter: str) -> None:
        characters = _CONTROL - {delimiter}
        self.in_text = re.compile(f"[{re.escape(''.join(sorted(characters)))}]")
        self.ascii = "".join(filter(str.isascii, characters)).encode()
        self.beyond_ascii = re.compile(rb"\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9]")


def is_blank(line: bytes) -> bool:
    """Whether a line holds nothing, or nothing but spaces and tabs. A row of empty cells is not blank."""
    return not line.strip(b" \t")


def names_columns(cells: Sequence[str]) -> bool:
    """Whether a first row names columns: its first cell begins with a letter, and no cell holds seven digits or more."""
    text = cells[0].strip()
    digits = max(sum(map(str.isdigit, cell)) for cell in cells)
    return text[:1].isalpha() and ":" not in text and digits < 7


class Rejected(Exception):
    """A row breaks the rule with this code."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def split_quoted(text: str, delimiter: str) -> list[str]:
    """Split a row by RFC 4180. A quote may only open and close a cell; raises :class:`Rejected` otherwise."""
    cell = re.compile(rf'(?:"([^"]*(?:""[^"]*)*)"|([^"{delimiter}]*))([{delimiter}]|\Z)')
    cells, position, more = [], 0, True
    while more:
        match = cell.match(text, position)
        if match is None:
            is_open = leaves_cell_open(text.encode(), delimiter.encode())
            raise Rejected("control_character" if is_open else "quoted_cell")
        quoted, bare, end = match.groups()
        cells.append(bare if quoted is None else quoted.replace('""', '"'))
        position, more = match.end(), end != ""
    return cells


def write_row(cells: Iterable[str]) -> bytes:
    """Write a row by RFC 4180, with quotes only where they are needed."""
    written = ('"' + cell.replace('"', '""') + '"' if '"' in cell or "," in cell else cell for cell in cells)
    # A lone surrogate is no UTF-8, and for the check to name.
    return ",".join(written).encode(errors="surrogatepass")


_TO_CLOSING_QUOTE = re.compile(rb'[^"]*(?:""[^"]*)*"(?!")')


def leaves_cell_open(line: bytes, delimiter: bytes, is_open: bool = False) -> bool:
    """Whether a quoted cell goes on in the next line. ``is_open``: whether one came from the line before."""
    position = 0
    while True:
        if is_open or line[position : position + 1] == b'"':
            closing = _TO_CLOSING_QUOTE.match(line, position + (not is_open))
            if closing is None:
                return True
            position = closing.end()
        is_open = False
        position = line.find(delimiter, position) + 1
        if not position:
            return False


#: The place of a column that the file doesn't have.
ABSENT = 1 << 30
#: The engine's regular expressions repeat no part more than a thousand times.
_MOST_REPEATS = 1000


@dataclass(frozen=True)
class Layout:
    """Where the cells are. ``positions`` are the places of number, reference and parameter in a row (or ABSENT),
    ``cells`` is how many a row may have (None: any number), ``names`` are those of the header line, where there is one."""

    positions: tuple[int, ...] = (0, 1, 2)
    columns: tuple[str, ...] = COLUMNS
    cells: int | None = 3
    names: tuple[str, ...] = ()
    header_line: int | None = None


class RowResult(NamedTuple):
    """On one line: why it is left out (None: it is good), the number it calls, and the row to send."""

    reason: str | None
    number: int | None = None
    row: bytes = b""
    normalized: bool = False


class RowValidator:
    """Gives the result on one line at a time. Knows nothing of other lines, so of neither duplicates nor lists."""

    def __init__(self, rules: ContactRules, layout: Layout | None = None) -> None:
        self.rules = rules
        self.layout = layout or Layout()
        self.delimiter = str(rules.delimiter)
        self.control = ControlCharacters(self.delimiter)
        self._not_duckdb_safe = self.control.ascii.replace(b"\n", b"") + b'"'

    def __call__(
        self, line: bytes, *, number: int | None = None, first: bool = False, in_open_cell: bool = False
    ) -> RowResult:
        """RowValidator one line, given without its line end.

        ``number``: the line's. ``first``: it is the first that is not blank. ``in_open_cell``: it begins within a
        quoted cell that an earlier line has opened, so whatever it looks like, it is no row.
        """
        if is_blank(line) and not in_open_cell:
            return RowResult(BLANK)
        if number is not None and number == self.layout.header_line:
            return RowResult(COLUMN_NAMES)
        try:
            cells = self._cells(self._text(line, in_open_cell))
            if first and not self.layout.names and len(line) <= LONGEST_LINE and names_columns(cells):
                raise Rejected("header")
            return self._good(line, cells)
        except Rejected as rejected:
            return RowResult(rejected.reason)

    def _text(self, line: bytes, in_open_cell: bool) -> str:
        try:
            text = line.decode()
        except UnicodeDecodeError:
            raise Rejected("not_utf8") from None
        if in_open_cell or self.control.in_text.search(text):
            raise Rejected("control_character")
        return text

    def _cells(self, text: str) -> list[str]:
        """The row's cells, of which there is at least one."""
        quotable = self.rules.quoting == "allow"
        if '"' not in text:
            cells = text.split(self.delimiter)
        elif quotable:
            cells = split_quoted(text, self.delimiter)
        else:
            raise Rejected("quoted_cell")
        if self.delimiter == "\t" and any("\t" in cell for cell in self._wanted(cells)):
            raise Rejected("control_character")  # no delimiter within quotes, nor in what is sent
        if not quotable and self.delimiter != "," and any("," in cell for cell in self._wanted(cells)):
            raise Rejected("quoted_cell")
        if self.layout.cells is not None and len(cells) > self.layout.cells:
            raise Rejected("too_many_cells")
        return cells

    def _wanted(self, cells: Sequence[str]) -> list[str]:
        return [cells[position] if position < len(cells) else "" for position in self.layout.positions]

    def _good(self, line: bytes, cells: Sequence[str]) -> RowResult:
        given, *others = self._wanted(cells)
        number, called = self._number(given)
        for column, cell in zip(self.layout.columns[1:], others, strict=True):
            if len(cell.encode()) > MAX_BYTES[column]:
                raise Rejected(f"{column}_too_long")
        if len(line) > LONGEST_LINE:  # with hundreds of columns that are ignored
            raise Rejected("too_many_cells")
        if number == given and not self.rewrites_all and b'"' not in line:
            return RowResult(None, called, line)
        row = [number, *others] if self.layout.names else [number, *others][: len(cells)]
        return RowResult(None, called, write_row(row), number != given)

    def _number(self, given: str) -> tuple[str, int]:
        """The number as it is sent, and as an integer."""
        if not given.strip(" "):
            raise Rejected("no_number")
        if looks_rewritten(given):
            raise Rejected("spreadsheet_number")
        phone_format = str(self.rules.phone_format)
        number = normalized_number(given, phone_format) if self.rules.normalize else given
        called = number_called(number, phone_format)
        if called is None:
            raise Rejected("invalid_number")
        return number, called

    def column_names(self, line: bytes) -> list[str] | None:
        """The names in a header line, without blanks around them; None where it cannot be read."""
        try:
            text = line.decode()
            cells = split_quoted(text, self.delimiter) if self.rules.quoting == "allow" else text.split(self.delimiter)
        except (UnicodeDecodeError, Rejected):
            return None
        if self.control.in_text.search(text) or (self.rules.quoting == "refuse" and '"' in text):
            return None
        return [cell.strip() for cell in cells]

    def leaves_cell_open(self, line: bytes, in_open_cell: bool) -> bool:
        """Whether the next line begins within a quoted cell; never, where quotes are refused."""
        if self.rules.quoting == "refuse" or not (in_open_cell or b'"' in line):
            return False
        return leaves_cell_open(line, self.delimiter.encode(), in_open_cell)

    @property
    def rewrites_all(self) -> bool:
        """Whether every row has to be laid out anew, not only those that need it."""
        return bool(self.layout.names) or self.delimiter != ","

    def row_of_good_line(self, plain: bytes) -> bytes:
        """The row to send for a line that :meth:`fast_path_sql` recognizes."""
        if not self.rewrites_all:
            return plain
        cells = plain.split(self.delimiter.encode())
        if not self.layout.names:
            return b",".join(cells)
        return b",".join(cells[position] if position < len(cells) else b"" for position in self.layout.positions)

    def duckdb_safe(self, data: bytes) -> bool:
        """Whether lines that end in LF hold only what the engine reads exactly as we do: UTF-8 without control
        characters and quotes."""
        if len(data.translate(None, self._not_duckdb_safe)) < len(data):
            return False
        if data.isascii():
            return True
        try:
            data.decode()
        except UnicodeDecodeError:
            return False
        return self.control.beyond_ascii.search(data) is None

    def fast_path_sql(self) -> tuple[str, str]:
        """Two expressions over a duckdb_safe ``line``: whether it is good and needs no change in itself, and its number."""
        separator = self.delimiter
        place = self.layout.positions[0]
        others = zip(self.layout.columns[1:], self.layout.positions[1:], strict=True)
        fits = [f"strlen(line) <= {LONGEST_LINE}"] + [
            f"strlen(split_part(line, '{separator}', {position + 1})) <= {MAX_BYTES[column]}"
            for column, position in others
        ]
        conditions = [f"(strlen(line) <= {min(MAX_BYTES.values())} OR ({' AND '.join(fits)}))"]
        if self.layout.cells is not None:
            conditions.append(f"line NOT LIKE '{f'%{separator}' * self.layout.cells}%'")
        if separator != ",":
            conditions.append("NOT contains(line, ',')")
        skipped = f"([^{separator}]*[{separator}]){{{place}}}" if place else ""
        if place >= _MOST_REPEATS:
            conditions.append("false")
        else:
            conditions.append(f"regexp_matches(line, '^{skipped}{NANP}([{separator}]|$)')")
        number = f"split_part(line, '{separator}', {place + 1})" if place else "left(line, 11)"
        return " AND ".join(conditions), f"CAST({number} AS BIGINT)"
