"""A contact file written from rows of a query, a function, or a DataFrame: one line per row, for the usual check.

DataFrames of pandas and polars and Arrow tables are recognized by their methods, without importing a library.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from itertools import chain, islice
from numbers import Integral
from typing import Any
from uuid import UUID

from airflow_provider_queuecalls.contacts.columns import names_not_sent, place_columns, show_names
from airflow_provider_queuecalls.contacts.files import LocalCopy, no_room, temporary_file, write_all
from airflow_provider_queuecalls.contacts.lines import BOM, is_blank, write_row
from airflow_provider_queuecalls.contacts.rows import ABSENT
from airflow_provider_queuecalls.contacts.rules import COLUMNS, ContactRules
from airflow_provider_queuecalls.exceptions import CheckFailed, InvalidContacts
from airflow_provider_queuecalls.parameters import describe
from airflow_provider_queuecalls.progress import Throttle
from airflow_provider_queuecalls.stopping import StopRequest

#: Rows that are in memory at the same time.
ROWS_AT_ONCE = 10_000

#: The most digits of a Decimal: a short one such as 1E+999999999 would fill the disk.
_MOST_DIGITS = 10_000
#: Line breaks within a cell become a vertical tab, so that the row stays one line, and the check rejects it.
_WITHOUT_LINE_BREAKS = {ord("\n"): "\v", ord("\r"): "\v"}
_ROW_FORMAT = f"A row is a tuple or a list ({', '.join(COLUMNS)}), or a mapping with these names"


@contextmanager
def write_contact_file(
    rows: Iterable[object],
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
    values in the order of these names. Other columns are not sent; their names are logged once with ``log``, which takes
    a message and its arguments. ``origin`` is how messages refer to the source of the rows.

    A value is a string, a whole number, a Decimal, a UUID, or None for an empty cell. The check decides whether the values
    are a valid contact.

    Raises :class:`InvalidContacts` with row and column for a value of another type, such as a float, and for names that
    are missing or misspelled; :class:`CheckFailed` if the disk is full; :class:`NotSent` if a stop is requested. Errors
    that the rows themselves raise are not changed.
    """
    lines = _Lines(rules, origin, names)
    remaining = lines.of(rows)
    done, throttle = 0, Throttle()
    with temporary_file(buffering=0) as file:
        while block := list(islice(remaining, ROWS_AT_ONCE)):
            stop.raise_if_requested()
            try:
                write_all(file, b"\n".join([*block, b""]))
            except OSError as error:
                room = f" Make room in {tempfile.gettempdir()!r}." if no_room(error) else ""
                raise CheckFailed(
                    f"The rows of {origin} could not be written to a file: {error.strerror}.{room} Nothing was sent."
                ) from None
            done += len(block)
            if throttle.due():
                log("Wrote %s rows of %s to a contact file so far", f"{done:,}", origin)
        log("Wrote %s rows of %s to a contact file", f"{done:,}", origin)
        if lines.not_sent:
            log("Columns of %s that are not sent: %s", origin, show_names(lines.not_sent))
        yield LocalCopy(file, "contacts.csv", f"(rows of {origin})")


class _Lines:
    """Turns rows into lines. ``not_sent`` are the names of columns that have not been sent so far."""

    def __init__(self, rules: ContactRules, origin: str, names: Sequence[str] | None) -> None:
        self.not_sent: dict[str, None] = {}
        self._rules = rules
        self._origin = origin
        self._places = None if names is None else self._placed(names, origin)
        self._keys: tuple[object, ...] | None = None
        self._places_of_keys: tuple[int, ...] = ()

    def of(self, rows: Iterable[object]) -> Iterator[bytes]:
        """Yield each row as a line, without its end."""
        for number, row in enumerate(rows, 1):
            cells = []
            for place, value in enumerate(self._values(row, number)):
                try:
                    cells.append(_cell(value))
                except ValueError as problem:
                    column = COLUMNS[place] if place < len(COLUMNS) else f"column {place + 1}"
                    raise InvalidContacts(
                        f"Row {number:,} of {self._origin}: {column} {problem}. Nothing was sent."
                    ) from None
            line = write_row(cells)
            if number == 1 and line.startswith(BOM):
                line = BOM + line  # the check removes the first one; the other belongs to the cell
            # The check skips a blank line, but rejects a row without a phone number.
            yield line + b"," if is_blank(line) else line

    def _values(self, row: object, number: int) -> Sequence[object]:
        """The values of a row in the order of the service's columns."""
        if self._places is None:
            given = row._asdict() if hasattr(row, "_asdict") else row
            if isinstance(given, Mapping):
                if (keys := tuple(given)) != self._keys:
                    where = f"row {number:,} of {self._origin}"
                    self._keys, self._places_of_keys = keys, self._placed(list(map(str, keys)), where)
                return _picked(tuple(given.values()), self._places_of_keys)
        if isinstance(row, tuple | list):
            return row if self._places is None else _picked(row, self._places)
        raise InvalidContacts(f"Row {number:,} of {self._origin} is {describe(row)}. Nothing was sent. {_ROW_FORMAT}.")

    def _placed(self, names: Sequence[str], where: str) -> tuple[int, ...]:
        try:
            places = place_columns(names, self._rules)
        except ValueError as problems:
            # A name that is not an identifier may be a value: the key of a mapping from numbers, or an unnamed column.
            raise InvalidContacts(
                f"{where[0].upper()}{where[1:]} {problems}; it has {show_names(names) or 'no columns at all'}. Nothing was sent. "
                "Name the columns phone_number, message_reference, and call_parameter, or pass their names with "
                "columns={…}, and leave out columns that are not to be sent."
            ) from None
        self.not_sent.update(dict.fromkeys(names_not_sent(names, places)))
        return places


def _picked(values: Sequence[object], places: Sequence[int]) -> Sequence[object]:
    return [None if place == ABSENT else values[place] for place in places]


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


# DataFrames.


def dataframe_rows(value: Any) -> tuple[list[str], Iterator[Sequence[object]]] | None:
    """Return the names of a DataFrame's columns and its rows; None for any other value.

    A missing value becomes None. In pandas, NaN, NA, and NaT are missing values.
    """
    if is_lazy(value):
        return None
    if hasattr(value, "itertuples") and hasattr(value, "iloc"):
        return list(map(str, value.columns)), _pandas_rows(value)
    if hasattr(value, "iter_rows") and hasattr(value, "columns"):
        return list(value.columns), value.iter_rows()
    if hasattr(value, "schema") and (hasattr(value, "to_batches") or hasattr(value, "read_next_batch")):
        batches = value.to_batches(ROWS_AT_ONCE) if hasattr(value, "to_batches") else value
        return list(value.schema.names), chain.from_iterable(map(_arrow_rows, batches))
    if hasattr(value, "schema") and hasattr(value, "to_pylist") and hasattr(value, "num_rows"):
        return list(value.schema.names), _arrow_rows(value)
    return None


def is_lazy(value: Any) -> bool:
    """Whether a value is a query that has not run yet, such as a LazyFrame of polars."""
    return hasattr(value, "collect") and hasattr(value, "collect_schema") and not hasattr(value, "iter_rows")


def _pandas_rows(dataframe: Any) -> Iterator[Sequence[object]]:
    """Yield the rows, without the index."""
    for start in range(0, len(dataframe), ROWS_AT_ONCE):
        part = dataframe.iloc[start : start + ROWS_AT_ONCE].astype(object)
        yield from part.where(part.notna(), None).itertuples(index=False, name=None)


def _arrow_rows(batch: Any) -> Iterator[Sequence[object]]:
    for start in range(0, batch.num_rows, ROWS_AT_ONCE):
        yield from zip(*(column.to_pylist() for column in batch.slice(start, ROWS_AT_ONCE).columns), strict=True)
