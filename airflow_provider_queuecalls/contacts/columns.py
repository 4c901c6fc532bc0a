"""Which column is which: by the header line of a file, or by the names that rows bring along."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence

from airflow_provider_queuecalls.contacts.lines import blocks
from airflow_provider_queuecalls.contacts.rows import ABSENT, Layout, RowValidator, is_blank
from airflow_provider_queuecalls.contacts.rules import COLUMNS, ContactRules
from airflow_provider_queuecalls.contacts.source import Source
from airflow_provider_queuecalls.exceptions import InvalidContacts
from airflow_provider_queuecalls.parameters import MOST_DIGITS

#: Words in names of columns that stand for a word of ours.
_SYNONYMS = {
    **{"msg": "message", "ref": "reference", "param": "parameter"},
    **dict.fromkeys(("tel", "telephone"), "phone"),
    **dict.fromkeys(("no", "nr", "num"), "number"),
}
#: Names that are one word of ours only, and what is probably meant.
_SHORT_NAMES = {
    **{"phone": "phone_number", "number": "phone_number"},
    **{"reference": "message_reference", "parameter": "call_parameter"},
}
#: Of difflib's ratio: one or two wrong letters, not another word.
_SIMILAR = 0.88


def find_layout(source: Source, rules: ContactRules) -> Layout:
    """Find the columns in the header line of a file: with ``has_header``, its first line that is not blank.

    Raises :class:`InvalidContacts` if :func:`place_columns` finds a problem.
    """
    first = (numbered for block in blocks(source.file) for numbered in block.numbered() if not is_blank(numbered[1]))
    if not rules.has_header or (found := next(first, None)) is None:
        return Layout()
    number, line = found
    where = f"{source.shown}: line {number}, the header line,"
    names = RowValidator(rules).column_names(line)
    if names is None:
        raise InvalidContacts(
            f"{where} has control characters, bytes that are not UTF-8, or quotes out of place. Nothing was sent. Write "
            "the file as UTF-8; quoting='allow' allows quotes."
        )
    try:
        positions = place_columns(names, rules)
    except ValueError as problems:
        raise InvalidContacts(
            f"{where} {problems}. Nothing was sent. Tell the names that the file has with columns={{…}}."
        ) from None
    return Layout(positions, COLUMNS[: len(positions)], len(names), tuple(names), number)


def place_columns(names: Sequence[str], rules: ContactRules) -> tuple[int, ...]:
    """Find the vendor's columns among names: the place of each, ABSENT for one that isn't there, up to the last that is.

    Names are compared without regard to case and surrounding blanks. Raises ValueError with all problems: a column
    that is there more than once, one that is missing though it is required or named by ``columns``, and a name that
    is so similar to that of a missing column that it is probably meant. ``columns`` may say None for a column that is
    not sent.
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
                f"has {' and '.join(similar)}, which is probably meant as {column} (columns={{'{column}': None}} sends none)"
            )
        positions.append(folded.index(name.casefold()) if name is not None and times else ABSENT)
    if problems:
        raise ValueError(" and ".join(problems))
    while positions[-1] == ABSENT:
        positions.pop()
    return tuple(positions)


def probably_meant(name: str) -> str | None:
    """The column of ours that another name is probably meant as, such as ``call_parameters``; None for other names."""
    if len(name) > 64 or sum(map(str.isnumeric, name)) > MOST_DIGITS:
        return None  # it may be a value
    words = re.split("[^0-9a-z]+", re.sub("(?<=[a-z])(?=[A-Z])", "_", name).casefold())
    singular = [word[:-1] if len(word) > 3 and word.endswith("s") else word for word in words if word]
    joined = "_".join(_SYNONYMS.get(word, word) for word in singular)
    if name.strip().casefold() in COLUMNS:
        return None
    return _SHORT_NAMES.get(joined) or next(iter(difflib.get_close_matches(joined, COLUMNS, 1, _SIMILAR)), None)


def names_left_out(names: Sequence[str], positions: Collection[int]) -> list[str]:
    """The names of the columns that are not sent."""
    return [name for place, name in enumerate(names) if place not in positions]


def listed(names: Collection[str]) -> str:
    """Names of columns as a message lists them. A name that may be a value is counted, not shown."""
    plain = [repr(name) for name in names if is_plain_name(name)][:20]
    hidden = len(names) - len(plain)
    return ", ".join([*plain, *([f"{hidden} more that {'is' if hidden == 1 else 'are'} not shown"] if hidden else [])])


def is_plain_name(name: str) -> bool:
    """Whether the name of a column or a key may be shown: an identifier that cannot be a phone number."""
    return name.isidentifier() and len(name) <= 64 and sum(map(str.isnumeric, name)) <= MOST_DIGITS
