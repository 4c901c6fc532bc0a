"""Finding the columns by their names: those in the header line of a file, or those of rows."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache

from airflow_provider_queuecalls.contacts.rows.validator import ABSENT, Layout, RowValidator
from airflow_provider_queuecalls.contacts.rules import COLUMNS, TIME_ZONE, ContactRules
from airflow_provider_queuecalls.exceptions import InvalidContacts
from airflow_provider_queuecalls.files.lines import blocks, is_blank
from airflow_provider_queuecalls.files.reading import Source
from airflow_provider_queuecalls.parameters import MOST_DIGITS, is_plain_name

#: Words in the names of columns, and the word in the service's names that they stand for.
_SYNONYMS = {
    **{"msg": "message", "ref": "reference", "param": "parameter"},
    **dict.fromkeys(("tel", "telephone"), "phone"),
    **dict.fromkeys(("no", "nr", "num"), "number"),
}
#: Names that are only one word of a service's name, and the column that is probably meant.
_SHORT_NAMES = {
    **{"phone": "phone_number", "number": "phone_number"},
    **{"reference": "message_reference", "parameter": "call_parameter"},
}
#: The least ratio of difflib at which a name is similar: one or two wrong letters, not another word.
_SIMILAR = 0.88


def find_layout(source: Source, rules: ContactRules) -> Layout:
    """Find the columns by the header line of a file, which is its first line that is not blank if ``has_header`` is set.

    Raises :class:`InvalidContacts` if :func:`find_columns` finds a problem.
    """
    first = (numbered for block in blocks(source.file) for numbered in block.numbered() if not is_blank(numbered[1]))
    if not rules.has_header or (found := next(first, None)) is None:
        return layout_without_names(rules)
    number, line = found
    where = f"{source.shown}: line {number}, the header line,"
    names = RowValidator(rules).column_names(line)
    if names is None:
        raise InvalidContacts(
            f"{where} is longer than 1 MiB, or has control characters, bytes that are not UTF-8, or quotes out of "
            "place. Write the file as UTF-8; quoting='allow' allows quotes."
        )
    try:
        positions, zone = find_columns(names, rules), find_time_zone(names, rules)
    except ValueError as problems:
        raise InvalidContacts(f"{where} {problems}. Give the names that the file has as columns={{…}}.") from None
    return Layout(positions, COLUMNS[: len(positions)], len(names), tuple(names), number, zone)


def layout_without_names(rules: ContactRules) -> Layout:
    """The columns of a file that does not name them: the service's, and of rows with calling hours also the time zone."""
    if rules.of_rows and rules.calling_hours is not None:
        return Layout(cells=len(COLUMNS) + 1, zone=len(COLUMNS))
    return Layout()


def find_columns(names: Sequence[str], rules: ContactRules) -> tuple[int, ...]:
    """Find the service's columns among names. Returns the position of each column up to the last one that exists, ABSENT
    for one that does not.

    Case and surrounding spaces are ignored. Raises ValueError with all problems: a column that occurs more than once, a
    missing column that is required or named in ``columns``, and a name that is probably meant as that of a missing
    column. A column that is None in ``columns`` is not sent.
    """
    given = rules.columns if isinstance(rules.columns, Mapping) else {}
    folded = [name.strip().casefold() for name in names]
    problems, positions = [], []
    for column in COLUMNS:
        name = given.get(column, column)
        times = 0 if name is None else folded.count(name.casefold())
        similar = [
            repr(other) for other in names if column not in given and not times and probably_meant(other) == column
        ]
        if times > 1:
            problems.append(f"has {times} columns for {column}")
        elif not times and name is not None and (column == "phone_number" or column in given):
            meant = f" (is {' or '.join(similar)} meant?)" if similar else ""
            problems.append(f"has no column {name!r} for {column}{meant}")
        elif similar:
            problems.append(
                f"has {' and '.join(similar)}, which is probably meant as {column} (if not, set columns={{'{column}': None}})"
            )
        positions.append(folded.index(name.casefold()) if name is not None and times else ABSENT)
    if problems:
        raise ValueError(" and ".join(problems))
    while positions[-1] == ABSENT:
        positions.pop()
    return tuple(positions)


def find_columns_of_rows(names: Sequence[str], rules: ContactRules) -> tuple[int, ...]:
    """The positions of the columns of a file that is written from rows: the service's, and the time zone as the fourth."""
    positions, zone = find_columns(names, rules), find_time_zone(names, rules)
    return positions if zone == ABSENT else (*(*positions, ABSENT, ABSENT)[: len(COLUMNS)], zone)


def find_time_zone(names: Sequence[str], rules: ContactRules) -> int:
    """Return the position of the column that names the time zone of each row, ABSENT without one or without calling hours.

    Raises ValueError if the column is named in ``columns`` and missing, or if it occurs more than once.
    """
    given = rules.columns if isinstance(rules.columns, Mapping) else {}
    name = given.get(TIME_ZONE, TIME_ZONE)
    if rules.calling_hours is None or name is None:
        return ABSENT
    folded = [other.strip().casefold() for other in names]
    if (times := folded.count(name.casefold())) > 1:
        raise ValueError(f"has {times} columns for {TIME_ZONE}")
    if not times and TIME_ZONE in given:
        raise ValueError(f"has no column {name!r} for {TIME_ZONE}")
    return folded.index(name.casefold()) if times else ABSENT


@lru_cache(maxsize=128)  # the search for a probable cause asks for the same names again and again
def probably_meant(name: str) -> str | None:
    """Return the column that a similar name is probably meant as, such as ``call_parameters``; None for other names."""
    # Here, so that it is not imported by every process that parses a DAG.
    from difflib import get_close_matches

    if len(name) > 64 or sum(map(str.isnumeric, name)) > MOST_DIGITS:
        return None  # it may be a value
    words = re.split("[^0-9a-z]+", re.sub("(?<=[a-z])(?=[A-Z])", "_", name).casefold())
    singular = [word[:-1] if len(word) > 3 and word.endswith("s") else word for word in words if word]
    joined = "_".join(_SYNONYMS.get(word, word) for word in singular)
    if name.strip().casefold() in COLUMNS:
        return None
    return _SHORT_NAMES.get(joined) or next(iter(get_close_matches(joined, COLUMNS, 1, _SIMILAR)), None)


def names_not_sent(names: Sequence[str], positions: Collection[int]) -> list[str]:
    """The names of the columns that are not sent."""
    return [name for place, name in enumerate(names) if place not in positions]


def show_names(names: Collection[str]) -> str:
    """List names of columns for a message. A name that may be a value is counted, not shown."""
    plain = [repr(name) for name in names if is_plain_name(name)][:20]
    hidden = len(names) - len(plain)
    return ", ".join([*plain, *([f"{hidden} more that {'is' if hidden == 1 else 'are'} not shown"] if hidden else [])])
