"""Waiting for the results of a campaign: until when, what ends it, and the counts that come of it. No people's data.

All limits are absolute times, so that whoever goes on with a wait does not prolong it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from airflow_provider_queuecalls.exceptions import InvalidWait, Violation
from airflow_provider_queuecalls.parameters import Parameter, ValueType, is_unset, read_values
from airflow_provider_queuecalls.records.results.counts import by_value, summary
from airflow_provider_queuecalls.value_types import (
    INTEGER,
    NAME,
    TIMESTAMP,
    format_duration,
    format_moment,
    read_duration,
    read_structure,
    type_name,
)

if TYPE_CHECKING:
    from airflow_provider_queuecalls.records.database.database import ResultCounts
    from airflow_provider_queuecalls.records.sent.entry import CampaignKey

COMPLETE = "complete"


def _queued(value: object, _: Parameter) -> Mapping[str, Any]:
    if isinstance(value, str):
        value = read_structure(value)
    if not isinstance(value, Mapping):
        raise ValueError(type_name(value))
    texts = all(isinstance(value.get(name), str) for name in ("campaign_key", "campaign_name"))
    if not texts or not isinstance(value.get("contacts"), int):
        raise ValueError("has no campaign_key, campaign_name, or contacts")
    return value


def _share(value: object, _: Parameter) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(type_name(value))
    text = str(value).strip()
    try:
        share = Fraction(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except (ValueError, ZeroDivisionError):
        raise ValueError("is not a share") from None
    if not 0 < share <= 1:
        raise ValueError("is not between 0 and 1")
    return float(share)


def _read_deadline(value: object, parameter: Parameter) -> int:
    if not (seconds := TIMESTAMP.read(value, parameter)):
        raise ValueError("is not a time")
    return int(seconds)


#: Every parameter of a wait.
#:
#: :meta hide-value:
PARAMETERS: tuple[Parameter, ...] = (
    Parameter(
        name="queued", type=ValueType("the result of a QueueCallsOperator, as a mapping or text", _queued, shown=False), default_doc="none",
        doc="The result of the task that sent the campaign. After a dry run, the task is skipped. Give this or campaign_name.",
    ),
    Parameter(name="campaign_name", type=NAME, doc="The name of the campaign. Give this or queued.", default_doc="none"),
    Parameter(
        name="min_results", type=INTEGER, minimum=1, maximum=1_000_000_000, default_doc="a result for every contact",
        doc="How many results are enough.",
    ),
    Parameter(
        name="min_share", type=ValueType("a number above 0 and at most 1, or a percentage such as '80%'", _share),
        doc="The share of the contacts whose results end the wait.", default_doc="a result for every contact",
    ),
    Parameter(
        name="deadline",
        type=ValueType(
            "a datetime with a time zone, an ISO 8601 time with an offset or the name of a time zone, or a UNIX time in seconds",
            _read_deadline,
        ),
        doc="When the wait ends, whatever is missing.", default_doc="none",
    ),
    Parameter(
        name="grace", type=ValueType("a timedelta, a number of minutes, or a string such as '2 hours' or 'PT2H'", read_duration),
        doc="How long to wait after the campaign's expiration_timestamp: the last calls may still be going on then, and their "
        "results may be late.",
        unit="minutes", minimum=0, default=timedelta(hours=1), default_doc="1 hour",
    ),
)  # fmt: skip
BY_NAME = {parameter.name: parameter for parameter in PARAMETERS}


@dataclass(frozen=True, kw_only=True)
class Wait:
    """What somebody waits for: the results of a campaign. Times are UNIX times, and ``grace`` is in seconds.

    ``contacts`` and ``expires_at`` are None where they are not known.
    """

    campaign_key: str
    campaign_name: str
    contacts: int | None = None
    expires_at: int | None = None
    grace: float = 0
    min_results: int | None = None
    min_share: float | None = None
    deadline: int | None = None

    def of(self, counts: ResultCounts) -> Wait:
        """The same wait with what the results database knows of the campaign and the wait does not."""
        contacts = counts.contacts if self.contacts is None else self.contacts
        return replace(self, contacts=contacts, expires_at=self.expires_at or counts.expires_at)

    @property
    def end(self) -> tuple[float, str] | None:
        """When the wait ends whatever is missing, and why; None if nothing limits it."""
        ends = [] if self.expires_at is None else [(self.expires_at + self.grace, "expiration")]
        if self.deadline is not None:
            ends.append((float(self.deadline), "deadline"))
        return min(ends, default=None)

    def ended_by(self, counts: ResultCounts) -> str | None:
        """What ends the wait by now; None if it goes on."""
        results, contacts = counts.results, self.contacts
        if contacts is not None and results >= contacts:
            return COMPLETE
        if self.min_results is not None and results >= self.min_results:
            return "min_results"
        if self.min_share is not None and contacts and results / contacts >= self.min_share:
            return "min_share"
        return self.end[1] if self.end and self.end[0] <= time.time() else None

    def result(self, counts: ResultCounts, ended_by: str) -> dict[str, Any]:
        """What the wait returns in the end."""
        return {
            "campaign_name": self.campaign_name,
            **summary(counts, self.contacts),
            "complete": ended_by == COMPLETE,
            "ended_by": ended_by,
        }

    @property
    def until(self) -> str:
        """When the wait ends at the latest, and why, as a message says it."""
        if self.end is None:
            return "without a limit of its own: neither an expiration_timestamp nor a deadline is known"
        end, why = self.end
        if why == "deadline":
            return f"until the deadline at {format_moment(end)}"
        return (
            f"until {format_moment(end)}: the campaign expires at {format_moment(self.expires_at or 0)}, and its last results "
            f"may be {format_duration(timedelta(seconds=self.grace))} late"
        )

    def progress(self, counts: ResultCounts) -> str:
        """How far the results are, as a message says it."""
        of = "" if self.contacts is None else f" of {self.contacts:,}"
        by_result = ", ".join(f"{name} {number:,}" for name, number in by_value(counts.by_result).items())
        return f"{counts.results:,}{of} results{f': {by_result}' if by_result else ''}"


def read_wait(values: Mapping[str, object], key_of: Callable[[str], CampaignKey]) -> Wait | None:
    """Read the values of :data:`PARAMETERS`; None if there is nothing to wait for, since only a dry run was made.

    ``key_of`` gives the key of a campaign that is known by its name.

    Raises :class:`InvalidWait` with all violations.
    """
    read, violations = read_for_campaign(PARAMETERS, values)
    if violations:
        raise InvalidWait(violations.values())
    queued = read.pop("queued") or {}
    if queued.get("dry_run"):
        return None
    name = read.pop("campaign_name")
    return Wait(
        campaign_key=key_of(name).digest if name else queued["campaign_key"],
        campaign_name=name or queued["campaign_name"],
        contacts=queued.get("contacts"),
        expires_at=queued.get("expiration_timestamp"),
        grace=read.pop("grace").total_seconds(),
        **read,
    )


def read_for_campaign(
    table: Iterable[Parameter], values: Mapping[str, object]
) -> tuple[dict[str, Any], dict[str, Violation]]:
    """Read values as :func:`read_values` does. Exactly one of ``queued`` and ``campaign_name`` must be given."""
    read, violations = read_values(table, values)
    if is_unset(values.get("queued")) == is_unset(values.get("campaign_name")):
        problem = "is missing" if is_unset(values.get("queued")) else "is given together with queued"
        violations["campaign_name"] = Violation(
            "campaign_name", problem, "the name of the campaign, unless queued is given"
        )
    return read, violations
