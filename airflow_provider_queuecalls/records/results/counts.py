"""The counts of a campaign's results, as XCom, logs, and pages have them. No people's data."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from airflow_provider_queuecalls.parameters import show
from airflow_provider_queuecalls.records.call_results import COMPLETED

if TYPE_CHECKING:
    from airflow_provider_queuecalls.records.database.database import ResultCounts

#: How many values of a field are counted by name. Which values the service posts is not known.
MOST_VALUES = 20
EMPTY, OTHER = "(empty)", "(other)"


def summary(counts: ResultCounts, contacts: int | None) -> dict[str, Any]:
    """The counts of a campaign's results, with what follows from the number of contacts.

    ``missing`` is how many contacts have no result, and ``reached_share`` the share of those whose call was completed.
    Both are None where the contacts are not known. A campaign can have more results than contacts, if the service makes
    several calls to one.
    """
    completed = sum(number for result, number in counts.by_result.items() if result.lower() == COMPLETED)
    return {
        "contacts": contacts,
        "results": counts.results,
        "by_result": by_value(counts.by_result),
        "by_callee_type": by_value(counts.by_callee_type),
        "by_choice": by_value(counts.by_choice),
        "attempts": counts.attempts,
        "missing": None if contacts is None else max(0, contacts - counts.results),
        "reached_share": min(1.0, round(completed / contacts, 4)) if contacts else None,
    }


def by_value(counts: Counter[str]) -> dict[str, int]:
    """The counts by value. Whatever the service posts, no value is repeated that might be people's data."""
    shown = Counter[str]()
    for value, number in counts.most_common():
        name = value or EMPTY
        shown[name if len(shown) < MOST_VALUES and show(name) == repr(name) else OTHER] += number
    return dict(shown)
