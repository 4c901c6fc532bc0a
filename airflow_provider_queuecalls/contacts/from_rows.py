"""A contact file made of rows: of a query, of a function, or of a DataFrame. One line per row, for the usual check."""

from __future__ import annotations

import codecs
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from itertools import islice
from numbers import Integral
from uuid import UUID

from airflow_provider_queuecalls.contacts.columns import listed, names_left_out, place_columns
from airflow_provider_queuecalls.contacts.rows import ABSENT, is_blank, write_row
from airflow_provider_queuecalls.contacts.rules import COLUMNS, ContactRules
from airflow_provider_queuecalls.contacts.temporary import LocalCopy, no_room, temporary_file, write_all
from airflow_provider_queuecalls.exceptions import CheckFailed, InvalidContacts
from airflow_provider_queuecalls.parameters import describe
from airflow_provider_queuecalls.progress import Throttle
from airflow_provider_queuecalls.stopping import StopRequest

#: Rows that are held in memory together.
ROWS_AT_ONCE = 10_000

#: Of a Decimal. Beyond, a few bytes of it would fill the disk.
_MOST_DIGITS = 10_000
#: Spreadsheets write a line break within a cell as this character. The check rejects it, and the row stays one line.
_WITHOUT_LINE_BREAKS = {ord("\n"): "\v", ord("\r"): "\v"}
_HOW_A_ROW_LOOKS = f"A row is a tuple or a list ({', '.join(COLUMNS)}), or a mapping with these names"


@contextmanager
def written(
    rows: Iterable[object],
    rules: ContactRules,
    origin: str,
    *,
    names: Sequence[str] | None = None,
    log: Callable[..., object],
    stop: StopRequest,
) -> Iterator[LocalCopy]:
    """Write rows to a temporary contact file, one line each, in their order; give its path.

    A row is a tuple or a list of phone number, message_reference, and call_parameter, of which the last two may be
    missing, or a mapping with these names or those of ``rules.columns``. With ``names`` every row is a sequence of
    values in the order of these names. Other names are not sent; ``log``, which takes a message and its arguments,
    reports them once. ``origin`` is what messages call the rows' source.

    A value is a text, a whole number, a Decimal, a UUID, or None for an empty cell. Whether the values make a good
    contact is decided by the check.

    Raises :class:`InvalidContacts` with row and column for a value of another type, such as a float, and for names that
    are missing or misspelled; :class:`CheckFailed` if there is no room; :class:`NotSent` if a stop is requested. Errors
    that the rows raise themselves are not changed.
    """
    lines = _Lines(rules, origin, names)
    blocks = _blocks(lines.of(rows))
    done, throttle = 0, Throttle()
    with temporary_file(buffering=0) as file:
        for block in blocks:
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
                log("Took %s rows of %s so far", f"{done:,}", origin)
        log("Took %s rows of %s", f"{done:,}", origin)
        if lines.left_out:
            log("Columns of %s that are not sent: %s", origin, listed(lines.left_out))
        yield LocalCopy(file, "contacts.csv", f"(rows of {origin})")


def _blocks(lines: Iterator[bytes]) -> Iterator[list[bytes]]:
    first = True
    while block := list(islice(lines, ROWS_AT_ONCE)):
        if first and block[0].startswith(codecs.BOM_UTF8):
            block[0] = codecs.BOM_UTF8 + block[0]  # the check removes the file's mark; this one belongs to the cell
        first = False
        yield block


class _Lines:
    """Turns rows into lines. ``left_out`` are the names that were not sent so far."""

    def __init__(self, rules: ContactRules, origin: str, names: Sequence[str] | None) -> None:
        self.left_out: dict[str, None] = {}
        self._rules = rules
        self._origin = origin
        self._places = None if names is None else self._placed(names, origin)
        self._keys: tuple[object, ...] | None = None
        self._places_of_keys: tuple[int, ...] = ()

    def of(self, rows: Iterable[object]) -> Iterator[bytes]:
        """Each row as a line, without its end."""
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
            # The check passes over a blank line, but rejects a row without a number.
            yield line + b"," if is_blank(line) else line

    def _values(self, row: object, number: int) -> Sequence[object]:
        """A row's values in the order of our columns."""
        if self._places is None:
            given = row._asdict() if hasattr(row, "_asdict") else row
            if isinstance(given, Mapping):
                if (keys := tuple(given)) != self._keys:
                    where = f"row {number:,} of {self._origin}"
                    self._keys, self._places_of_keys = keys, self._placed(list(map(str, keys)), where)
                return _picked(tuple(given.values()), self._places_of_keys)
        if isinstance(row, tuple | list):
            return row if self._places is None else _picked(row, self._places)
        raise InvalidContacts(
            f"Row {number:,} of {self._origin} is {describe(row)}. Nothing was sent. {_HOW_A_ROW_LOOKS}."
        )

    def _placed(self, names: Sequence[str], where: str) -> tuple[int, ...]:
        try:
            places = place_columns(names, self._rules)
        except ValueError as problems:
            # A name that is not an identifier may be a value: the key of a mapping from numbers, or an unnamed column.
            raise InvalidContacts(
                f"{where[0].upper()}{where[1:]} {problems}; it has {listed(names) or 'no columns at all'}. Nothing was sent. "
                "Name the columns phone_number, message_reference, and call_parameter, or pass their names with "
                "columns={…}; leave out what is not to be sent."
            ) from None
        self.left_out.update(dict.fromkeys(names_left_out(names, places)))
        return places


def _picked(values: Sequence[object], places: Sequence[int]) -> Sequence[object]:
    return [None if place == ABSENT else values[place] for place in places]


def _cell(value: object) -> str:
    """The text of a value. Raises ValueError with the problem, never with the value."""
    if isinstance(value, str):
        return value if value.isprintable() else value.translate(_WITHOUT_LINE_BREAKS)
    if value is None:
        return ""
    if isinstance(value, bool):
        raise ValueError("is a bool: give it as a text, such as 'yes'")
    if isinstance(value, Integral | UUID):
        return str(value)
    if isinstance(value, Decimal):
        if not value.is_finite() or abs(value.adjusted()) > _MOST_DIGITS:
            raise ValueError("is a Decimal that is not a usable number: give None, or leave the row out")
        return f"{value:f}"
    if isinstance(value, float):
        raise ValueError(
            "is a float, which adds a fraction to a number and may have lost digits: give it as a text or as a whole "
            "number. In SQL, CAST it to a text or a BIGINT; in pandas, read it with dtype=str, or convert it to 'Int64'"
        )
    raise ValueError(f"is {describe(value)}: give it as a text")
