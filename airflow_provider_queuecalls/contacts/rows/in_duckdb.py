"""The rules about cells and rows in SQL: a shortcut past :class:`RowValidator` for the lines that files have most.

Every expression is over a ``line`` that DuckDB reads exactly as Python does (:meth:`RowValidator.duckdb_safe`), and does not
begin within a quoted cell. A line whose result it does not know is checked in Python.
"""

# ruff: noqa: S608 - a query is built from our own constants, never from a value in a file

from __future__ import annotations

from collections.abc import Iterable, Iterator

from airflow_provider_queuecalls.contacts.hours.check import HoursCheck
from airflow_provider_queuecalls.contacts.rows.phone_numbers import (
    AREA_CODE,
    LOCAL_NUMBER,
    NANP,
    SPREADSHEET,
    WRITTEN_NANP,
)
from airflow_provider_queuecalls.contacts.rows.validator import ABSENT, BLANK, MAX_BYTES, RowValidator
from airflow_provider_queuecalls.contacts.rules import TIME_ZONE
from airflow_provider_queuecalls.files.lines import LONGEST_LINE

#: Stands for a line that DuckDB could misread.
UNSAFE = "?"
#: No line that DuckDB reads contains it.
_SEPARATOR = "\x1f"


class RowsInDuckDB:
    """Rows of a contact file."""

    def __init__(self, validator: RowValidator) -> None:
        self.rules = validator.rules
        self.layout = validator.layout
        self.hours = validator.hours
        self.delimiter = validator.delimiter

    def cells(self, lines: str) -> str:
        """A query for the ``cells`` of each ``line`` of a table; NULL where quotes do more than open and close cells."""
        delimiter = self.delimiter
        split = f"string_split(line, '{delimiter}')"
        if self.rules.quoting == "refuse":
            return f"SELECT line, {split} AS cells FROM {lines}"
        inner, bare = f'"[^"{delimiter}]*"', f'[^"{delimiter}]*'
        cell = f'(?:"([^"]*)"|({bare}))'
        each = f"regexp_replace(line || '{delimiter}', '{cell}[{delimiter}]', '\\1\\2{_SEPARATOR}', 'g')"
        # Most often no cell is quoted, or all are, or no delimiter is quoted: none of these needs a slow replacement.
        return f"""SELECT line, CASE
            WHEN NOT contains(line, '"') THEN {split}
            WHEN starts_with(separated, '"') AND ends_with(separated, '"') AND strlen(text) = strlen(separated) - 2
                THEN string_split(text, '{_SEPARATOR}')
            WHEN {_is_row_of(f"{inner}|{bare}", delimiter)} THEN string_split(replace(line, '"', ''), '{delimiter}')
            WHEN {_is_row_of(cell, delimiter)} THEN string_split({each}, '{_SEPARATOR}')[:-2] END AS cells
            FROM (SELECT line, separated, replace(separated, '"', '') AS text
                FROM (SELECT line, replace(line, '"{delimiter}"', '{_SEPARATOR}') AS separated FROM {lines}))"""

    def results(self) -> Iterator[tuple[str, str | None]]:
        """Conditions over a ``line`` and its ``cells``, each with the result of a line for which it is the first to hold.

        None stands for a line that has to be checked in Python, as does every line up to the first row.
        """
        given, *others = (self._cell(position) for position in self.layout.positions)
        limits = [
            (f"{column}_too_long", f"strlen({cell}) > {MAX_BYTES[column]}")
            for column, cell in zip(self.layout.columns[1:], others, strict=True)
            if column != TIME_ZONE
        ]
        too_many = "false" if self.layout.cells is None else f"len(cells) > {self.layout.cells}"
        has_quote = "contains(line, '\"')"
        # A comma in a cell is written with quotes, or rejected if the cell is sent.
        has_other = "false" if self.delimiter == "," else "contains(line, ',')"
        if self.delimiter == "\t":  # so is a tab within quotes
            has_other += " OR (" + has_quote + " AND strlen(line) - strlen(replace(line, '\t', '')) >= len(cells))"
        too_long = " OR ".join([f"strlen(line) > {LONGEST_LINE}", *(condition for _, condition in limits)])
        # Most lines are short.
        fits = f"strlen(line) <= {min(MAX_BYTES.values())} OR NOT ({too_long})"
        within_hours = self._within_hours(self.hours) if self.hours else "true"
        is_valid = f"regexp_full_match({given}, '{NANP}')"
        if self.hours and self.layout.zone == ABSENT:  # in one pattern, which costs nothing
            is_valid = is_valid.replace(AREA_CODE, f"({_any_code(self.hours.area_codes)})")
        elif self.hours:
            is_valid = f"{is_valid} AND {within_hours}"
        quoted = has_quote if self.rules.quoting == "refuse" else "false"
        yield f"{is_valid} AND ({fits}) AND NOT ({too_many} OR {has_other} OR {quoted})", "valid"
        yield f"line = '{UNSAFE}' OR strlen(line) > {LONGEST_LINE}", None
        yield "line IS NULL OR trim(line, ' \t') = ''", BLANK
        yield quoted, "quoted_cell"
        yield f"cells IS NULL OR {has_other}", None
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

    def valid_number(self) -> str:
        """An expression for the number of a line that is valid by :meth:`results`."""
        return f"CAST({self._cell(self.layout.positions[0])} AS BIGINT)"

    def number(self) -> str:
        """An expression for the number of a line that is valid, normalized, or outside hours by :meth:`results`."""
        return f"CAST({self._number_text()} AS BIGINT)"

    def _number_text(self) -> str:
        given = self._cell(self.layout.positions[0])
        if self.rules.normalize:
            # Eleven characters that begin with 1 have no separators.
            plain = f"strlen({given}) = 11 AND starts_with({given}, '1')"
            ten_digits = f"right(regexp_replace({given}, '[^0-9]', '', 'g'), 10)"
            given = f"CASE WHEN {plain} THEN {given} ELSE '1' || {ten_digits} END"
        return given

    def _within_hours(self, hours: HoursCheck) -> str:
        """A condition for lines with a North American number that are within hours. It may miss some that name their zone."""

        def has_code(codes: Iterable[int]) -> str:
            return f"regexp_matches({self._number_text()}, '^1({_any_code(codes)})')"

        if self.layout.zone == ABSENT:
            return has_code(hours.area_codes)
        zone = self.zone()
        by_name = (
            f"regexp_full_match({zone}, '{'|'.join(hours.names)}') AND NOT {has_code(hours.area_codes_without_hours)}"
        )
        return f"CASE WHEN {zone} = '' THEN {has_code(hours.area_codes)} ELSE {by_name} END"

    def zone(self) -> str:
        """An expression for the time zone that a line names; empty if it names none."""
        return "''" if self.layout.zone == ABSENT else f"trim({self._cell(self.layout.zone)}, ' ')"

    @staticmethod
    def _cell(position: int) -> str:
        return f"coalesce(cells[{position + 1}], '')"


class ListRowsInDuckDB(RowsInDuckDB):
    """Rows of a suppression list."""

    def cells(self, lines: str) -> str:
        """A query for each ``line`` of a table, and for the digits of a North American number in place of its ``cells``."""
        cell = """trim(if(starts_with(line, '"'), split_part(line, '"', 2), split_part(line, ',', 1)), ' ')"""
        return f"""SELECT line, CASE
            WHEN contains(line, '"') AND NOT {_is_row_of('"[^"]*"|[^",]*', ",")} THEN NULL
            WHEN regexp_matches(line, '^{NANP}(,|$)') THEN left(line, 11)
            WHEN regexp_matches(line, '^{NANP[1:]}(,|$)') THEN '1' || left(line, 10)
            WHEN regexp_full_match(line, '{AREA_CODE},{LOCAL_NUMBER}') THEN '1' || left(line, 3) || right(line, 7)
            WHEN regexp_full_match({cell}, '{WRITTEN_NANP.pattern}')
                THEN '1' || right(regexp_replace({cell}, '[^0-9]', '', 'g'), 10) END AS cells FROM {lines}"""

    def results(self) -> Iterator[tuple[str, str | None]]:
        """The results of North American numbers in common spellings. All other lines are checked in Python."""
        yield f"cells IS NOT NULL AND strlen(line) <= {LONGEST_LINE}", "valid"
        yield "line IS NULL OR trim(line, ' \t') = ''", BLANK
        yield "true", None

    def valid_number(self) -> str:
        """An expression for the number of a line that is valid by :meth:`results`."""
        return "CAST(cells AS BIGINT)"

    number = valid_number


def _any_code(codes: Iterable[int]) -> str:
    """A pattern for any of some area codes."""
    return "|".join(map(str, sorted(codes))) or "none"


def _is_row_of(cell: str, delimiter: str) -> str:
    """A condition for a line of cells that match a pattern."""
    return f"regexp_full_match(line, '(?:{cell})(?:[{delimiter}](?:{cell}))*')"
