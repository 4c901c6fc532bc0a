"""What a check found, as data: numbers, reasons and line numbers, never a value of the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Example(NamedTuple):
    """One row that is left out."""

    line: int
    reason: str


@dataclass(frozen=True)
class Report:
    """The counts of one check. Every line of the file is in exactly one of ``valid``, ``rejected``,
    ``duplicates``, ``suppressed`` and ``blank``, or is the header line of a file with one."""

    #: Lines as an editor counts them.
    lines: int
    #: Lines with nothing in them but spaces and tabs.
    blank: int
    #: Rows: lines that are not blank, without the header line where ``has_header`` is set.
    contacts: int
    #: Rows to send.
    valid: int
    #: Rows left out for any reason but the next two.
    rejected: int
    #: Rows left out, or to be left out, because their number comes earlier in the file; 0 with duplicates="keep".
    duplicates: int
    #: Rows left out because their number is on a do-not-call list.
    suppressed: int
    #: How many rows each reason left out, ``duplicate`` and ``suppressed`` included, in the order of the reasons.
    reasons: Mapping[str, int]
    #: For each of ``reasons``, the first line it was found in.
    first_lines: Mapping[str, int] = field(default_factory=dict)
    #: The first ten rows left out.
    examples: Sequence[Example] = ()
    #: Rows to send whose number was rewritten.
    normalized: int = 0
    #: Whether the file began with a byte-order mark.
    bom: bool = False
    #: The columns of a file with a header line that are not sent, by name where a name may be shown; else empty.
    columns_not_sent: str = ""
    #: ``sha256:`` and the digest of the bytes to send; None where nothing may be sent.
    digest: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The object that ``queuecalls check --json`` prints."""
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
        }

    def summary(self) -> str:
        """One sentence for the log."""
        parts = [f"{self.contacts:,} contacts in {self.lines:,} lines: {self.valid:,} valid"]
        parts += [f"{count:,} {reason}" for reason, count in self.reasons.items()]
        parts += [f"{self.blank:,} blank line{'s' * (self.blank > 1)} passed over"] if self.blank else []
        parts += [f"{self.normalized:,} number{'s' * (self.normalized > 1)} normalized"] if self.normalized else []
        parts += ["a byte-order mark removed"] if self.bom else []
        columns = f" Columns that are not sent: {self.columns_not_sent}." if self.columns_not_sent else ""
        return f"{', '.join(parts)}.{columns}"
