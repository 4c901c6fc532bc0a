"""The probable cause of most rejects: another delimiter or encoding, a header line, or numbers in another format."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import combinations
from typing import Any

from airflow_provider_queuecalls.contacts.rows.columns import find_columns, layout_without_names, probably_meant
from airflow_provider_queuecalls.contacts.rows.validator import Layout, RowValidator
from airflow_provider_queuecalls.contacts.rules import COLUMNS, ContactRules
from airflow_provider_queuecalls.exceptions import InvalidContactRules
from airflow_provider_queuecalls.files.lines import is_blank
from airflow_provider_queuecalls.files.reading import Source
from airflow_provider_queuecalls.parameters import is_plain_name

#: The beginning of a file, in which a probable cause is looked for.
_SAMPLE_BYTES = 64 << 10
_SAMPLE_LINES = 20
#: With more columns than this, the one with the phone numbers is looked for by its name only.
_MOST_COLUMNS = 100
#: With the right settings, at most one in this many rows of the sample is still rejected.
_ROWS_PER_REJECT = 10
_MOST_CHANGES = 4
#: Settings that may be the cause, in the order in which they are tried, each with the property of the file that it is for.
_SETTINGS: Mapping[tuple[str, Any], str] = {
    ("delimiter", ";"): "its cells are separated by semicolons",
    ("delimiter", "\t"): "its cells are separated by tabs",
    ("delimiter", "|"): "its cells are separated by '|'",
    ("has_header", True): "its first row names the columns",
    ("quoting", "allow"): "its cells are quoted",
    ("normalize", True): "its numbers lack the leading 1, or have spaces or punctuation",
    ("phone_format", "vendor"): "its numbers begin with + or tel:, or are those of other countries",
}
#: The settings among these that rows can have, which are not read from a file.
_SETTINGS_OF_ROWS = ("normalize", "phone_format")


def probable_cause(source: Source, rules: ContactRules) -> str:
    """Return sentences with the probable cause of most rejects and what to do; empty if no cause is found.

    A cause is a change of the rules or of the encoding that makes nearly all of the first rows valid. The smallest
    number of changes is preferred. The sentences contain nothing from the file but names of columns.
    """
    texts = list(_texts(os.pread(source.file.fileno(), _SAMPLE_BYTES, 0)))
    possible = [
        (name, value)
        for name, value in _SETTINGS
        if getattr(rules, name) != value and (name in _SETTINGS_OF_ROWS or not rules.of_rows)
    ]
    for count in range(_MOST_CHANGES + 1):
        for changes in combinations(possible, count):
            for encoding, lines in texts:
                columns = _columns_if_valid(lines, rules, dict(changes))
                if columns is not None:
                    return _sentences(encoding, changes, columns)
    return ""


def _sentences(encoding: str, changes: Sequence[tuple[str, Any]], columns: Mapping[str, str]) -> str:
    facts = [*filter(None, [encoding]), *(_SETTINGS[change] for change in changes)]
    settings = [f"{name}={value!r}" for name, value in changes]
    if columns:
        settings.append(f"columns={columns!r}" if all(map(is_plain_name, columns.values())) else "columns={…}")
    actions = ["write it as UTF-8 with at most one byte-order mark"] if encoding else []
    actions += [f"set {' and '.join(settings)}"] if settings else []
    advice = " and ".join(actions)
    return f"Probable cause: {' and '.join(facts)}. {advice[0].upper()}{advice[1:]}." if facts else ""


def _texts(sample: bytes) -> Iterator[tuple[str, list[str]]]:
    """Yield the first rows of a file in each possible encoding, with what is wrong with the encoding."""
    readings = {"": "utf-8"}
    if b"\0" in sample:
        readings = {"it is UTF-16, little-endian": "utf-16-le", "it is UTF-16, big-endian": "utf-16-be"}
    elif not _is_utf8(sample):
        readings = {"it is Windows-1252 or Latin-1": "cp1252"}
    for meaning, encoding in readings.items():
        text = sample.decode(encoding, errors="replace")
        marks = len(text) - len(text.lstrip("\ufeff"))
        lines = re.split("\r\n|\n|\r", text.lstrip("\ufeff"))
        if len(sample) == _SAMPLE_BYTES:
            lines.pop()
        rows = [line for line in lines if not is_blank(line.encode(errors="replace"))]
        yield meaning or ("it begins with two byte-order marks" if marks > 1 else ""), rows[:_SAMPLE_LINES]


def _is_utf8(sample: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        return False
    return True


def _columns_if_valid(lines: Sequence[str], rules: ContactRules, changes: Mapping[str, Any]) -> dict[str, str] | None:
    """Check the rows with changed rules. Returns the ``columns`` that make them valid, or None if they are not valid."""
    try:
        changed = replace(rules, **changes)
    except InvalidContactRules:
        return None
    rows = [line.encode(errors="replace") for line in lines]
    if not changed.has_header:
        return {} if _valid(rows, RowValidator(changed, layout_without_names(changed))) else None
    names = RowValidator(changed).column_names(rows[0]) if rows else None
    for columns, positions in _columns_to_try(names or [], changed):
        layout = Layout(positions, COLUMNS[: len(positions)], len(names or []), tuple(names or []))
        if _valid(rows[1:], RowValidator(changed, layout)):
            return columns
    return None


def _columns_to_try(names: Sequence[str], rules: ContactRules) -> Iterator[tuple[dict[str, str], tuple[int, ...]]]:
    """Yield ``columns`` to try, with the positions of the columns: by their names, else with each as that of the numbers."""
    with suppress(ValueError):
        yield {}, find_columns(names, rules)
        return
    if len(names) > _MOST_COLUMNS:
        return
    similar = {column: name for name in names if (column := probably_meant(name))}
    for name in names:
        columns = {column: given for column, given in {**similar, "phone_number": name}.items() if given != column}
        with suppress(ValueError, InvalidContactRules):
            yield columns, find_columns(names, replace(rules, columns=columns))


def _valid(rows: Sequence[bytes], validator: RowValidator) -> bool:
    """Whether nearly all rows are valid."""
    rejected = 0
    for number, row in enumerate(rows):
        rejected += validator(row, first=number == 0).reason is not None
        if rejected * _ROWS_PER_REJECT > len(rows):
            return False
    return bool(rows)
