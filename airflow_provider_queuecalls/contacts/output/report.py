"""What a check found: counts, reasons, and line numbers, never a value from the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, NamedTuple

from airflow_provider_queuecalls.contacts.hours.calling_hours import Span
from airflow_provider_queuecalls.contacts.hours.places import Place
from airflow_provider_queuecalls.contacts.row_results.base import PlaceCount


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


def show_span(span: Span) -> str:
    """Return a span as a message shows it, in UTC."""
    start, end = (datetime.fromtimestamp(moment, timezone.utc) for moment in span)
    return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"
