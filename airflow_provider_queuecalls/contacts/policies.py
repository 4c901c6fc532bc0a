"""What the rules allow, and the sentences for the person who finds that the file went beyond."""

from __future__ import annotations

from airflow_provider_queuecalls.contacts.report import Report
from airflow_provider_queuecalls.contacts.rows import REASONS
from airflow_provider_queuecalls.contacts.rules import ContactRules
from airflow_provider_queuecalls.exceptions import EmptyContacts, InvalidContacts


def enforce(rules: ContactRules, report: Report, shown: str) -> None:
    """Raise :class:`InvalidContacts` where the report breaks a policy, naming all that are broken at once."""
    if not report.contacts:
        kind = EmptyContacts if rules.on_empty == "skip" else InvalidContacts
        content = f"holds only {'blank lines' if report.blank else 'a header line'}" if report.lines else "is empty"
        raise kind(f"{shown} {content}: there is nobody to call. Look at what wrote it.", report=report)
    broken = list(_broken(rules, report))
    if broken:
        raise InvalidContacts(f"{shown} was not sent: {'; '.join(broken)}.{found(report)}", report=report)


def _broken(rules: ContactRules, report: Report) -> list[str]:
    broken = []
    share = f"{report.rejected:,} of {report.contacts:,} rows"
    if report.rejected and rules.on_invalid == "fail":
        broken.append(f"{share} cannot be called (on_invalid='skip' sends the others)")
    elif not rules.allows(report.rejected, report.contacts):
        broken.append(f"{share} cannot be called, and max_rejects allows {rules.max_rejects}")
    if report.duplicates and rules.duplicates == "fail":
        broken.append(
            f"{report.duplicates:,} rows repeat a number (duplicates='drop' sends the first row of each only)"
        )
    if not report.valid:
        broken.append("no row is left to call")
    return broken


def found(report: Report) -> str:
    """The reasons, one a line, each with its count and the first line it was found in."""
    return "".join(
        f"\n  - {reason}: {count:,} {'row' if count == 1 else 'rows'}, first in line {report.first_lines[reason]:,}: "
        f"{REASONS[reason]}"
        for reason, count in report.reasons.items()
    )
