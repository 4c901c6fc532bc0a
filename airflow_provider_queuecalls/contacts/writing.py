"""Rows of a query, a function or a frame, as a contact file: one line for each row, for the same check as any other."""

from __future__ import annotations

import codecs
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from itertools import islice
from numbers import Integral
from pathlib import Path
from uuid import UUID

from airflow_provider_queuecalls.client.multipart import PROGRESS_INTERVAL
from airflow_provider_queuecalls.contacts.header import place_columns
from airflow_provider_queuecalls.contacts.rows import ABSENT, is_blank, write_row
from airflow_provider_queuecalls.contacts.rules import COLUMNS, ContactRules
from airflow_provider_queuecalls.contacts.source import LocalCopy, no_room
from airflow_provider_queuecalls.exceptions import CheckFailed, InvalidContacts

#: Rows that are held in memory together.
ROWS_AT_ONCE = 10_000

#: Of a Decimal. Beyond, a few bytes of it would fill the disk.
_MOST_DIGITS = 10_000
#: A line break within a cell stays one row's, and a character that the check names: the one that spreadsheets take for it.
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
) -> Iterator[LocalCopy]:
    """Write rows to a local contact file, in their order, line for row; it is removed at the end.

    A row is a tuple or a list of phone number, message_reference and call_parameter, as far as they are given, or a
    mapping with these names or those of ``rules.columns``; what else is in a mapping is ignored, as are further columns
    of a file with a header line. With ``names`` every row is a sequence of values in the order of these names.

    Values are texts, whole numbers, Decimals, UUIDs and None. Whether they make a good contact is for the check to say;
    here it is only made sure that they arrive there as they are. ``origin`` is what messages call the rows' source,
    ``log`` takes a message and what to put into it.

    Raises :class:`InvalidContacts` with row and column for anything that has no single text to stand for it, such as a
    float, and :class:`CheckFailed` where there is no room. Errors of the rows' own are left as they are.
    """
    with tempfile.TemporaryDirectory(prefix="queuecalls-") as directory:
        path = Path(directory, "contacts.csv")
        lines = _lines(rows, rules, origin, names)
        done, told = 0, time.monotonic()
        with path.open("wb", buffering=0) as file:
            while block := list(islice(lines, ROWS_AT_ONCE)):
                if not done and block[0].startswith(codecs.BOM_UTF8):
                    block[0] = codecs.BOM_UTF8 + block[0]  # the check removes the file's mark, this one is the cell's
                view = memoryview(b"\n".join([*block, b""]))
                try:
                    while view:
                        view = view[file.write(view) :]
                except OSError as error:
                    room = f" Make room in {tempfile.gettempdir()!r}." if no_room(error) else ""
                    raise CheckFailed(
                        f"The rows of {origin} could not be written to a file: {error.strerror}.{room} Nothing was sent."
                    ) from None
                done += len(block)
                if time.monotonic() - told >= PROGRESS_INTERVAL:
                    told = time.monotonic()
                    log("Took %s rows of %s so far", f"{done:,}", origin)
        log("Took %s rows of %s", f"{done:,}", origin)
        yield LocalCopy(path, f"rows of {origin}")


def _lines(rows: Iterable[object], rules: ContactRules, origin: str, names: Sequence[str] | None) -> Iterator[bytes]:
    """Each row as a line, without its end."""
    places = None if names is None else _places(names, rules, origin)
    known: dict[tuple[object, ...], tuple[int, ...]] = {}
    for number, row in enumerate(rows, 1):
        given = row._asdict() if places is None and hasattr(row, "_asdict") else row
        if isinstance(given, Mapping) and places is None:
            if (keys := tuple(given)) not in known:
                known = {keys: _places(list(map(str, keys)), rules, f"row {number:,} of {origin}")}
            values = _picked(tuple(given.values()), known[keys])
        elif isinstance(given, tuple | list):
            values = given if places is None else _picked(given, places)
        else:
            raise InvalidContacts(
                f"Row {number:,} of {origin} is a {type(row).__name__}. Nothing was sent. {_HOW_A_ROW_LOOKS}."
            )
        cells = []
        for place, value in enumerate(values):
            try:
                cells.append(_cell(value))
            except ValueError as problem:
                column = COLUMNS[place] if place < len(COLUMNS) else f"column {place + 1}"
                raise InvalidContacts(f"Row {number:,} of {origin}: {column} {problem}. Nothing was sent.") from None
        line = write_row(cells)
        # A blank line would be passed over; a row without a number is a reject.
        yield line + b"," if is_blank(line) else line


def _picked(values: Sequence[object], places: Sequence[int]) -> Sequence[object]:
    return [None if place == ABSENT else values[place] for place in places]


def _places(names: Sequence[str], rules: ContactRules, origin: str) -> tuple[int, ...]:
    try:
        return place_columns(names, rules)
    except ValueError as problems:
        # A name that is no word may be a value: of a mapping by numbers, or of a column that the query doesn't name.
        words = [repr(name) if name.isidentifier() and len(name) <= 64 else "…" for name in names[:20]]
        raise InvalidContacts(
            f"{origin[0].upper()}{origin[1:]} {problems}; it has {', '.join(words) or 'none at all'}. Nothing was sent. "
            "Name the columns phone_number, message_reference and call_parameter, or tell their names with columns={…}."
        ) from None


def _cell(value: object) -> str:
    """The text that stands for a value. Raises ValueError with the problem in words, never with the value."""
    if isinstance(value, str):
        return value if value.isprintable() else value.translate(_WITHOUT_LINE_BREAKS)
    if value is None:
        return ""
    if isinstance(value, bool):
        raise ValueError("is a bool: give it as text, in the words that are meant")
    if isinstance(value, Integral | UUID):
        return str(value)
    if isinstance(value, Decimal):
        if not value.is_finite() or abs(value.adjusted()) > _MOST_DIGITS:
            raise ValueError("is a Decimal that is no number of any use: give None, or leave the row out")
        return f"{value:f}"
    if isinstance(value, float):
        raise ValueError(
            "is a float, which adds a fraction to a number and may have lost digits: give it as text or as a whole "
            "number. In SQL CAST it to a text or a BIGINT, in pandas read it with dtype=str, or turn it to 'Int64'"
        )
    raise ValueError(f"is a {type(value).__name__}: give it as text, written as it is meant")
