"""A contact file written from rows of a query, a function, or a DataFrame: one line per row, for the usual check.

:meth:`_Lines.of` defines the line of a row, and its error. Rows that are alike are written as columns instead, and
DataFrames and Arrow tables by ``tables``, without a Python value for each cell. Both are faster ways to the same lines.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from itertools import islice
from numbers import Integral
from operator import itemgetter
from typing import Any, BinaryIO
from uuid import UUID

from airflow_provider_queuecalls.contacts.from_rows.tables import ColumnBlock, ColumnWriter, Table
from airflow_provider_queuecalls.contacts.rows.columns import find_columns_of_rows, names_not_sent, show_names
from airflow_provider_queuecalls.contacts.rows.validator import ABSENT
from airflow_provider_queuecalls.contacts.rules import COLUMNS, ContactRules
from airflow_provider_queuecalls.exceptions import CheckFailed, InvalidContacts
from airflow_provider_queuecalls.files.lines import BOM, write_cell
from airflow_provider_queuecalls.files.writing import LocalCopy, no_room, temporary_file, write_all
from airflow_provider_queuecalls.parameters import describe
from airflow_provider_queuecalls.progress import Throttle
from airflow_provider_queuecalls.stopping import StopRequest

#: Rows that are in memory at the same time.
ROWS_AT_ONCE = 10_000

#: The most digits of a Decimal: a short one such as 1E+999999999 would fill the disk.
_MOST_DIGITS = 10_000
#: Line breaks within a cell become a vertical tab, so that the row stays one line, and the check rejects it.
_WITHOUT_LINE_BREAKS = {ord("\n"): "\v", ord("\r"): "\v"}
#: The characters for which a cell is not written as it is.
_SPECIAL = ('"', ",", "\n", "\r")
_ROW_FORMAT = f"A row is a tuple or a list ({', '.join(COLUMNS)}), or a mapping with these names"


@contextmanager
def write_contact_file(
    rows: Iterable[object] | Table,
    rules: ContactRules,
    origin: str,
    *,
    names: Sequence[str] | None = None,
    log: Callable[..., object],
    stop: StopRequest,
) -> Iterator[LocalCopy]:
    """Write rows to a temporary contact file, one line each, in their order. Yields its path.

    A row is a tuple or a list of phone number, message_reference, and call_parameter, of which the last two may be
    missing, or a mapping with these names or the names in ``rules.columns``. With ``names``, every row is a sequence of
    values in the order of these names; a :class:`Table` has names itself. Other columns are not sent; their names are
    logged once with ``log``, which takes a message and its arguments. ``origin`` is how messages refer to the source of
    the rows.

    A value is a string, a whole number, a Decimal, a UUID, or None for an empty cell. The check decides whether the values
    are a valid contact.

    Raises :class:`InvalidContacts` with row and column for a value of another type, such as a float, and for names that
    are missing or misspelled; :class:`CheckFailed` if the disk is full; :class:`NotSent` if a stop is requested. Errors
    that the rows themselves raise are not changed.
    """
    blocks: Iterable[list[object] | ColumnBlock]
    names, blocks = (rows.names, rows.blocks) if isinstance(rows, Table) else (names, _in_blocks(rows))
    lines = _Lines(rules, origin, names)
    done, throttle = 0, Throttle()
    with temporary_file(buffering=0) as file:
        with ColumnWriter(lines.positions or (), stop) as columns:
            for block in blocks:
                stop.raise_if_requested()
                for data in lines.of_block(block, done + 1, columns):
                    _write(file, data, origin)
                done += len(block)
                if throttle.due():
                    log("Wrote %s rows of %s to a contact file so far", f"{done:,}", origin)
        log("Wrote %s rows of %s to a contact file", f"{done:,}", origin)
        if lines.not_sent:
            log("Columns of %s that are not sent: %s", origin, show_names(lines.not_sent))
        yield LocalCopy(file, "contacts.csv", f"(rows of {origin})")


def _in_blocks(rows: Iterable[object]) -> Iterator[list[object]]:
    remaining = iter(rows)
    while block := list(islice(remaining, ROWS_AT_ONCE)):
        yield block


def _write(file: BinaryIO, data: bytes, origin: str) -> None:
    if not file.tell() and data.startswith(BOM):
        data = BOM + data  # the check removes the first one; the other belongs to the cell
    try:
        write_all(file, data)
    except OSError as error:
        room = f" Make room in {tempfile.gettempdir()!r}." if no_room(error) else ""
        raise CheckFailed(
            f"The rows of {origin} could not be written to a file: {error.strerror}.{room} Nothing was sent."
        ) from None


class _Lines:
    """Turns rows into lines.

    ``positions`` are the positions of the service's columns among the names, ``not_sent`` the names of columns that have not
    been sent so far.
    """

    def __init__(self, rules: ContactRules, origin: str, names: Sequence[str] | None) -> None:
        self.not_sent: dict[str, None] = {}
        self._rules = rules
        self._origin = origin
        self.positions = None if names is None else self._find_columns(names, origin)
        self._keys: tuple[object, ...] | None = None
        self._positions_of_keys: tuple[int, ...] = ()

    def of_block(self, block: list[object] | ColumnBlock, first: int, columns: ColumnWriter) -> Iterator[bytes]:
        """The lines of a block, the first row of which has the number ``first``."""
        if not isinstance(block, ColumnBlock):
            lines = self._alike(block, first) or self.of(block, first)
            # The check reports a lone surrogate: its bytes are not UTF-8.
            yield "\n".join([*lines, ""]).encode(errors="surrogatepass")
        elif (written := columns.lines_of(block)) is not None:
            yield from written
        else:
            for part in _in_blocks(block.rows()):
                yield from self.of_block(part, first, columns)
                first += len(part)

    def of(self, rows: Iterable[object], first: int) -> Iterator[str]:
        """Yield the line of each row, without its end."""
        for number, row in enumerate(rows, first):
            cells = []
            for position, value in enumerate(self._values(row, number)):
                try:
                    cells.append(_cell(value))
                except ValueError as problem:
                    column = COLUMNS[position] if position < len(COLUMNS) else f"column {position + 1}"
                    raise InvalidContacts(
                        f"Row {number:,} of {self._origin}: {column} {problem}. Nothing was sent."
                    ) from None
            yield _not_blank(",".join(map(write_cell, cells)))

    def _alike(self, rows: list[Any], first: int) -> Iterator[str] | None:
        """The lines of rows of the same type and length, as :meth:`of` yields them. None if they are not alike, or if a
        value has no text."""
        kinds, positions = set(map(type, rows)), self.positions
        if kinds == {dict} and positions is None:
            if len(set(map(tuple, rows))) > 1:
                return None
            positions = self._positions_of(rows[0], first)
            rows = [tuple(row.values()) for row in rows]
        elif not kinds <= {tuple, list}:
            return None
        if len(set(map(len, rows))) > 1 or not rows[0]:
            return None
        try:
            texts = [
                # Not zip(*rows): the garbage collector would look at an iterator for each row.
                [""] * len(rows) if position == ABSENT else _texts(list(map(itemgetter(position), rows)))
                for position in (range(len(rows[0])) if positions is None else positions)
            ]
        except ValueError:
            return None
        lines = map(",".join, zip(*texts, strict=True))
        return map(_not_blank, lines) if len(texts) == 1 else lines

    def _values(self, row: object, number: int) -> Sequence[object]:
        """The values of a row in the order of the service's columns."""
        if self.positions is None:
            given = row._asdict() if hasattr(row, "_asdict") else row
            if isinstance(given, Mapping):
                return _picked(tuple(given.values()), self._positions_of(given, number))
        if isinstance(row, tuple | list):
            return row if self.positions is None else _picked(row, self.positions)
        raise InvalidContacts(f"Row {number:,} of {self._origin} is {describe(row)}. Nothing was sent. {_ROW_FORMAT}.")

    def _positions_of(self, row: Mapping[Any, object], number: int) -> tuple[int, ...]:
        if (keys := tuple(row)) != self._keys:
            where = f"row {number:,} of {self._origin}"
            self._keys, self._positions_of_keys = keys, self._find_columns(list(map(str, keys)), where)
        return self._positions_of_keys

    def _find_columns(self, names: Sequence[str], where: str) -> tuple[int, ...]:
        try:
            positions = find_columns_of_rows(names, self._rules)
        except ValueError as problems:
            # A name that is not an identifier may be a value: the key of a mapping from numbers, or an unnamed column.
            raise InvalidContacts(
                f"{where[0].upper()}{where[1:]} {problems}; it has {show_names(names) or 'no columns at all'}. Nothing was sent. "
                "Name the columns phone_number, message_reference, and call_parameter, or pass their names with "
                "columns={…}, and leave out columns that are not to be sent."
            ) from None
        self.not_sent.update(dict.fromkeys(names_not_sent(names, positions)))
        return positions


def _picked(values: Sequence[object], positions: Sequence[int]) -> Sequence[object]:
    return [None if position == ABSENT else values[position] for position in positions]


def _not_blank(line: str) -> str:
    # The check skips a blank line, but rejects a row without a phone number.
    return line if line.strip(" \t") else line + ","


def _texts(values: Sequence[object]) -> Sequence[str]:
    """The cells of a column as they are written. Raises ValueError for a value that has no text."""
    kinds = set(map(type, values))
    if kinds == {int}:
        return list(map(str, values))
    texts: Sequence[Any] = values
    if kinds != {str}:
        texts = [value if type(value) is str else "" if value is None else _cell(value) for value in values]
    all_text = "".join(texts)
    if any(character in all_text for character in _SPECIAL):
        return [write_cell(text.translate(_WITHOUT_LINE_BREAKS)) for text in texts]
    return texts


def _cell(value: object) -> str:
    """Return the text of a value. Raises ValueError with the problem, never with the value."""
    if isinstance(value, str):
        return value if value.isprintable() else value.translate(_WITHOUT_LINE_BREAKS)
    if value is None:
        return ""
    if isinstance(value, bool):
        raise ValueError("is a bool: give it as text, such as 'yes'")
    if isinstance(value, Integral | UUID):
        return str(value)
    if isinstance(value, Decimal):
        if not value.is_finite() or abs(value.adjusted()) > _MOST_DIGITS:
            raise ValueError("is a Decimal that is not a usable number: give None, or leave the row out")
        return f"{value:f}"
    if isinstance(value, float):
        raise ValueError(
            "is a float, which adds a fraction to a number and may have lost digits: give it as text or as a whole "
            "number. In SQL, CAST it to a text type or BIGINT; in pandas, read it with dtype=str, or convert it to 'Int64'"
        )
    raise ValueError(f"is {describe(value)}: give it as text")
