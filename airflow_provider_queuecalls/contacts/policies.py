"""The policies of the rules, and the error if a file breaks them."""

from __future__ import annotations

from airflow_provider_queuecalls.contacts.causes import probable_cause
from airflow_provider_queuecalls.contacts.report import Report
from airflow_provider_queuecalls.contacts.rows import REASONS
from airflow_provider_queuecalls.contacts.rules import ContactRules
from airflow_provider_queuecalls.contacts.source import Source
from airflow_provider_queuecalls.exceptions import EmptyContacts, InvalidContacts


def enforce(rules: ContactRules, report: Report, source: Source) -> None:
    """Raise :class:`InvalidContacts` if the report breaks a policy. The message names all that are broken.

    If most rows are rejected, it begins with the probable cause.
    """
    shown = source.shown
    if not report.contacts:
        kind = EmptyContacts if rules.on_empty == "skip" else InvalidContacts
        content = f"has only {'blank lines' if report.blank else 'a header line'}" if report.lines else "is empty"
        raise kind(f"{shown} {content}: there is nobody to call. Check what wrote it.", report=report)
    broken = _broken(rules, report)
    if broken:
        cause = probable_cause(source, rules) if report.rejected * 2 > report.contacts else ""
        begins = f"{shown} was not sent{f'. {cause} ' if cause else ': '}"
        raise InvalidContacts(f"{begins}{'; '.join(broken)}.{found(report)}", report=report)


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
