"""What a check found: the report, the error if it breaks a policy of the rules, and the probable cause of most rejects.

A report and a message contain counts, reasons, and line numbers, never a value from the file.
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from itertools import combinations
from typing import Any, NamedTuple

from airflow_provider_queuecalls.contacts.hours.calling_hours import Span
from airflow_provider_queuecalls.contacts.hours.places import UNKNOWN, Place
from airflow_provider_queuecalls.contacts.results.base import PlaceCount
from airflow_provider_queuecalls.contacts.rows.columns import find_columns, probably_meant
from airflow_provider_queuecalls.contacts.rows.validator import REASONS, Layout, RowValidator
from airflow_provider_queuecalls.contacts.rules import COLUMNS, ContactRules
from airflow_provider_queuecalls.exceptions import EmptyContacts, InvalidContactRules, InvalidContacts
from airflow_provider_queuecalls.files.lines import is_blank
from airflow_provider_queuecalls.files.reading import Source
from airflow_provider_queuecalls.parameters import is_plain_name
from airflow_provider_queuecalls.value_types import counted

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


class Example(NamedTuple):
    """One reject."""

    line: int
    reason: str


@dataclass(frozen=True)
class Report:
    """The counts of one check. Every line of the file counts as exactly one of ``valid``, ``rejected``, ``duplicates``,
    ``suppressed``, and ``blank``, or it is the header line of a file with one."""

    #: Lines, as counted in an editor.
    lines: int
    #: Lines that are empty or have only spaces and tabs.
    blank: int
    #: Rows: lines that are not blank, without the header line if ``has_header`` is set.
    contacts: int
    #: Rows to send.
    valid: int
    #: Rows that are rejected for a reason other than the next two.
    rejected: int
    #: Rows whose number is that of an earlier row; 0 with duplicates="keep".
    duplicates: int
    #: Rows whose number is on a suppression list.
    suppressed: int
    #: The number of rows per reason, including ``duplicate`` and ``suppressed``, in the order of the reasons.
    reasons: Mapping[str, int]
    #: For each of ``reasons``, the number of the first line that has it.
    first_lines: Mapping[str, int] = field(default_factory=dict)
    #: The first ten rejects.
    examples: Sequence[Example] = ()
    #: Rows to send whose phone number is rewritten.
    normalized: int = 0
    #: Whether the file begins with a byte-order mark.
    bom: bool = False
    #: The columns that are not sent, by name where a name may be shown; empty without a header line.
    columns_not_sent: str = ""
    #: With calling hours: the rows by the place of their number, the places of the rows to send, the span in which calls may
    #: be made to these (None if there is none), and the release of the time zone data.
    places: Mapping[Place, PlaceCount] = field(default_factory=dict)
    sent_places: Sequence[Place] = ()
    span: Span | None = None
    tzdata: str = ""
    #: ``sha256:`` and the digest of the bytes to send; None if nothing may be sent.
    digest: str | None = None

    @property
    def zones(self) -> dict[str, dict[str, int]]:
        """The rows by the time zones of their numbers, and how many of them are outside hours."""
        counts: dict[str, dict[str, int]] = {}
        for place, count in self.places.items():
            known = counts.setdefault(str(place), dict.fromkeys(PlaceCount._fields, 0))
            for name, value in count._asdict().items():
                known[name] += value
        return counts

    def to_dict(self) -> dict[str, Any]:
        """The object that ``queuecalls check --json`` prints."""
        span = [datetime.fromtimestamp(moment, timezone.utc).isoformat() for moment in self.span or ()]
        of_hours = {"zones": self.zones, "span": span, "tzdata": self.tzdata}
        return {
            "lines": self.lines,
            "blank": self.blank,
            "contacts": self.contacts,
            "valid": self.valid,
            "rejected": self.rejected,
            "reasons": dict(self.reasons),
            "bom": self.bom,
            "digest": self.digest,
            "examples": [{"line": example.line, "reason": example.reason} for example in self.examples],
            **(of_hours if self.tzdata else {}),
        }

    def summary(self) -> str:
        """One sentence for the log."""
        parts = [f"{self.contacts:,} contacts in {self.lines:,} lines: {self.valid:,} valid"]
        parts += [f"{count:,} {reason}" for reason, count in self.reasons.items()]
        parts += [f"{self.blank:,} blank line{'s' * (self.blank > 1)} skipped"] if self.blank else []
        parts += [f"{self.normalized:,} number{'s' * (self.normalized > 1)} normalized"] if self.normalized else []
        parts += ["a byte-order mark removed"] if self.bom else []
        columns = f" Columns that are not sent: {self.columns_not_sent}." if self.columns_not_sent else ""
        calls = f" Calls are within hours from {show_span(self.span)} (tzdata {self.tzdata})." if self.span else ""
        return f"{', '.join(parts)}.{columns}{calls}"


def broken_policies(rules: ContactRules, report: Report, source: Source) -> InvalidContacts | None:
    """The error to raise if the report breaks a policy of the rules. Its message lists all that are broken.

    If most rows are rejected, the message begins with the probable cause.
    """
    shown = source.shown
    if not report.contacts:
        kind = EmptyContacts if rules.on_empty == "skip" else InvalidContacts
        content = f"has only {'blank lines' if report.blank else 'a header line'}" if report.lines else "is empty"
        return kind(f"{shown} {content}: there is nobody to call. Check the task that wrote it.", report=report)
    broken = _broken(rules, report)
    if not broken:
        return None
    cause = _probable_cause(source, rules) if report.rejected * 2 > report.contacts else ""
    beginning = f"{shown} did not pass the check{f'. {cause} ' if cause else ': '}"
    return InvalidContacts(f"{beginning}{'; '.join(broken)}.{_list_reasons(report)}", report=report)


def _broken(rules: ContactRules, report: Report) -> list[str]:
    broken = []
    share = f"{report.rejected:,} of {report.contacts:,} rows"
    if report.rejected and rules.on_invalid == "fail":
        broken.append(f"{share} are rejected (on_invalid='skip' sends the others)")
    elif not rules.allows(report.rejected, report.contacts):
        broken.append(f"{share} are rejected, and max_rejects allows {rules.max_rejects}")
    if report.duplicates and rules.duplicates == "fail":
        broken.append(
            f"{report.duplicates:,} rows repeat a phone number (duplicates='drop' sends only the first row with each number)"
        )
    unknown = report.places.get(UNKNOWN)
    if unknown and unknown.outside_hours and rules.unknown_zone == "fail":
        rows = f"{counted(unknown.contacts, 'row')} {'has' if unknown.contacts == 1 else 'have'} no known time zone"
        broken.append(
            f"{rows} (unknown_zone='skip' rejects only these rows; 'strictest' calls them within the hours of all places)"
        )
    if not report.valid:
        broken.append("no valid row is left")
    return broken


def _list_reasons(report: Report) -> str:
    """The reasons, one per line, each with its count and the number of the first line that has it."""
    return "".join(
        f"\n  - {reason}: {count:,} {'row' if count == 1 else 'rows'}, first in line {report.first_lines[reason]:,}: "
        f"{REASONS[reason]}"
        for reason, count in report.reasons.items()
    ) + _list_zones(report)


def _list_zones(report: Report) -> str:
    """The zones with rows that are outside hours, and how to find out more."""
    outside = {zone: counts for zone, counts in report.zones.items() if counts["outside_hours"]}
    lines = [
        f"\n    {zone}: {counts['outside_hours']:,} of {counts['contacts']:,} rows" for zone, counts in outside.items()
    ]
    advice = "\n'queuecalls hours FILE' shows when each zone may be called. Choose another time, or split the list by calling hours."
    return f"\n  Outside hours, by time zone (tzdata {report.tzdata}):{''.join(lines)}{advice}" if lines else ""


def show_span(span: Span) -> str:
    """Return a span as a message shows it, in UTC."""
    start, end = (datetime.fromtimestamp(moment, timezone.utc) for moment in span)
    return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"


# The probable cause.


def _probable_cause(source: Source, rules: ContactRules) -> str:
    """Return sentences with the probable cause of most rejects and what to do; empty if no cause is found.

    A cause is a change of the rules or of the encoding that makes nearly all of the first rows valid. The smallest
    number of changes is preferred. The sentences contain nothing from the file but names of columns.
    """
    texts = list(_texts(os.pread(source.file.fileno(), _SAMPLE_BYTES, 0)))
    possible = [setting for setting in _SETTINGS if getattr(rules, setting[0]) != setting[1]]
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
        return {} if _valid(rows, RowValidator(changed)) else None
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
