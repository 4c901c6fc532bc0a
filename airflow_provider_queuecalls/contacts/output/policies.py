"""Whether a list is sent after its check: the rules about the file as a whole, and the error if it breaks them."""

from __future__ import annotations

from airflow_provider_queuecalls.contacts.hours.places import UNKNOWN
from airflow_provider_queuecalls.contacts.output.probable_cause import probable_cause
from airflow_provider_queuecalls.contacts.output.report import Report
from airflow_provider_queuecalls.contacts.rows.validator import REASONS
from airflow_provider_queuecalls.contacts.rules import ContactRules
from airflow_provider_queuecalls.exceptions import EmptyContacts, InvalidContacts
from airflow_provider_queuecalls.files.reading import Source
from airflow_provider_queuecalls.value_types import counted


def broken_policies(rules: ContactRules, report: Report, source: Source, advice: str) -> InvalidContacts | None:
    """The error to raise if the report breaks a policy of the rules. Its message lists all that are broken.

    If most rows are rejected, the message begins with the probable cause. ``advice`` is what helps if they are outside hours.
    """
    shown = source.shown
    if not report.contacts:
        kind = EmptyContacts if rules.on_empty == "skip" else InvalidContacts
        content = f"has only {'blank lines' if report.blank else 'a header line'}" if report.lines else "is empty"
        return kind(f"{shown} {content}: there is nobody to call. Check the task that wrote it.", report=report)
    broken = _broken(rules, report)
    if not broken:
        return None
    cause = probable_cause(source, rules) if report.rejected * 2 > report.contacts else ""
    beginning = f"{shown} did not pass the check{f'. {cause} ' if cause else ': '}"
    return InvalidContacts(
        f"{beginning}{'; '.join(broken)}.{_list_reasons(report)}{_list_zones(report, advice)}", report=report
    )


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
    )


def _list_zones(report: Report, advice: str) -> str:
    """The zones with rows that are outside hours, and how to find out more."""
    outside = {zone: counts for zone, counts in report.zones.items() if counts["outside_hours"]}
    lines = [
        f"\n    {zone}: {counts['outside_hours']:,} of {counts['contacts']:,} rows" for zone, counts in outside.items()
    ]
    if not lines:
        return ""
    return (
        f"\n  Outside hours, by time zone (tzdata {report.tzdata}):{''.join(lines)}"
        f"\n'queuecalls hours FILE' shows when each zone may be called. {advice}"
    )
