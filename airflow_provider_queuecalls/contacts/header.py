"""The header line: which column is which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from airflow_provider_queuecalls.contacts.lines import blocks
from airflow_provider_queuecalls.contacts.rows import ABSENT, Layout, RowValidator, is_blank
from airflow_provider_queuecalls.contacts.rules import COLUMNS, ContactRules
from airflow_provider_queuecalls.contacts.source import Source
from airflow_provider_queuecalls.exceptions import InvalidContacts


def find_layout(source: Source, rules: ContactRules) -> Layout:
    """Find the columns in the header line, if the file is to have one: its first line that is not blank.

    Names are compared without regard to case and surrounding blanks. The number's column must be there; the others
    may be missing, unless ``columns`` names them. Raises :class:`InvalidContacts` for a column that is missing or
    there more than once.
    """
    first = (numbered for block in blocks(source.file) for numbered in block.numbered() if not is_blank(numbered[1]))
    if not rules.has_header or (found := next(first, None)) is None:
        return Layout()
    number, line = found
    where = f"Line {number} of {source.shown[0].lower()}{source.shown[1:]} is to name the columns, but"
    names = RowValidator(rules).column_names(line)
    if names is None:
        raise InvalidContacts(f"{where} has control characters, bytes that are not UTF-8, or quotes out of place.")
    try:
        positions = place_columns(names, rules)
    except ValueError as problems:
        raise InvalidContacts(f"{where} {problems}. Name them with columns={{…}} as the file does.") from None
    return Layout(positions, COLUMNS[: len(positions)], len(names), tuple(names), number)


def place_columns(names: Sequence[str], rules: ContactRules) -> tuple[int, ...]:
    """Find the vendor's columns among names: the place of each, ABSENT for one that isn't there, up to the last that is.

    Raises ValueError with all problems in words.
    """
    given = rules.columns if isinstance(rules.columns, Mapping) else {}
    wanted = {column: given.get(column, column) for column in COLUMNS}
    folded = [name.strip().casefold() for name in names]
    problems = []
    for column, name in wanted.items():
        times = folded.count(name.casefold())
        if times > 1:
            problems.append(f"has {times} columns for {column}")
        elif not times and (column == "phone_number" or column in given):
            problems.append(f"has no column {name!r} for {column}")
    if problems:
        raise ValueError(" and ".join(problems))
    positions = [folded.index(name.casefold()) if name.casefold() in folded else ABSENT for name in wanted.values()]
    while positions[-1] == ABSENT:
        positions.pop()
    return tuple(positions)
