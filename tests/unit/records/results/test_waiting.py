"""Waiting for results: what is accepted, what ends the wait, and what its counts are."""

from __future__ import annotations

import json
import string
import time
from collections import Counter
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_provider_queuecalls.exceptions import InvalidWait
from airflow_provider_queuecalls.records.database.database import ResultCounts
from airflow_provider_queuecalls.records.results.counts import MOST_VALUES, summary
from airflow_provider_queuecalls.records.results.waiting import Wait, read_wait
from airflow_provider_queuecalls.records.sent.entry import CampaignKey

PAST, FUTURE = (int(time.time()) + seconds for seconds in (-7200, 7200))
MOMENT = datetime(2999, 12, 31, 23, tzinfo=timezone.utc)
QUEUED = {
    "campaign_key": "00d1",
    "campaign_name": "spring",
    "contacts": 10,
    "dry_run": False,
    "expiration_timestamp": FUTURE,
    "call_ids": [],
}


KEY = CampaignKey.of("spring", "https://h/queuecalls/", "bob")


def key_of(campaign_name: str) -> CampaignKey:
    return {"spring": KEY}[campaign_name]


def counts(results: int, **known: Any) -> ResultCounts:
    return ResultCounts("key", "spring", results=results, by_result=Counter({"completed": results}), **known)


@pytest.mark.parametrize("queued", [QUEUED, json.dumps(QUEUED), str(QUEUED)], ids=["native", "JSON", "rendered"])
def test_a_wait_is_read_as_templates_render_it(queued: object) -> None:
    given = {"queued": queued, "campaign_name": "None", "min_results": "7", "min_share": "7%", "grace": "90"}
    assert read_wait({**given, "deadline": MOMENT.isoformat()}, key_of) == Wait(
        campaign_key="00d1", campaign_name="spring", contacts=10, expires_at=FUTURE, grace=5400, min_results=7, min_share=0.07,
        deadline=int(MOMENT.timestamp()),
    )  # fmt: skip
    assert read_wait({"campaign_name": "spring"}, key_of) == Wait(
        campaign_key=KEY.digest, campaign_name="spring", grace=3600
    )


def test_after_a_dry_run_there_is_nothing_to_wait_for() -> None:
    assert read_wait({"queued": QUEUED | {"dry_run": True}}, key_of) is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "campaign_name is missing; it must be the name of the campaign, unless queued is given"),
        ({"campaign_name": "a", "queued": QUEUED}, "campaign_name is given together with queued"),
        (
            {"queued": {"outcome": "queued"}},
            "queued has no campaign_key, campaign_name, or contacts; it must be the result of a Q",
        ),
        ({"queued": "16175550100"}, "queued is a value of type int; it must be the result of a QueueCallsOperator"),
        ({"campaign_name": "a", "min_results": 0}, "min_results is 0, which is too small"),
        ({"campaign_name": "a", "min_share": 80}, "min_share is 80, which is not between 0 and 1; it must be a number"),
        ({"campaign_name": "a", "min_share": "most"}, "min_share is 'most', which is not a share"),
        ({"campaign_name": "a", "deadline": "tomorrow"}, "deadline is 'tomorrow', which is not a time in ISO 8601"),
        ({"campaign_name": "a", "deadline": 0}, "deadline is 0, which is not a time"),
        ({"campaign_name": "a", "grace": "-1"}, "grace is '-1', which is not a duration"),
    ],
)
def test_what_is_not_valid_is_reported(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidWait) as caught:
        read_wait(given, key_of)
    assert said in str(caught.value)
    assert "16175550100" not in str(caught.value)


@pytest.mark.parametrize(
    ("wait", "results", "ended_by"),
    [
        ({"contacts": 10}, 9, None),
        ({"contacts": 10}, 10, "complete"),
        ({"contacts": 10}, 12, "complete"),
        ({"contacts": 10, "min_results": 3}, 2, None),
        ({"contacts": 10, "min_results": 3}, 3, "min_results"),
        ({"contacts": 100, "min_share": 0.07}, 6, None),
        ({"contacts": 100, "min_share": 0.07}, 7, "min_share"),
        ({"contacts": None, "min_share": 0.07}, 7, None),
        ({"contacts": 10, "expires_at": PAST, "grace": 7000}, 0, "expiration"),
        ({"contacts": 10, "expires_at": PAST, "grace": 500_000}, 0, None),
        ({"contacts": 10, "deadline": PAST, "expires_at": FUTURE}, 0, "deadline"),
        ({"contacts": 10, "deadline": FUTURE, "expires_at": PAST}, 0, "expiration"),
    ],
)
def test_what_ends_a_wait(wait: dict[str, Any], results: int, ended_by: str | None) -> None:
    assert Wait(campaign_key="00d1", campaign_name="spring", **wait).ended_by(counts(results)) == ended_by


def test_the_database_knows_what_a_name_alone_does_not() -> None:
    known = counts(0, contacts=3, expires_at=FUTURE)
    assert Wait(campaign_key="00d1", campaign_name="spring").of(known) == Wait(
        campaign_key="00d1", campaign_name="spring", contacts=3, expires_at=FUTURE
    )
    queued = Wait(campaign_key="00d1", campaign_name="spring", contacts=4, expires_at=PAST)
    assert queued.of(known) == queued


def test_the_message_says_until_when_and_why() -> None:
    expires, grace = int(MOMENT.timestamp()), timedelta(hours=1).total_seconds()
    wait = Wait(campaign_key="00d1", campaign_name="spring", contacts=2000, expires_at=expires, grace=grace)
    assert wait.until == (
        "until 3000-01-01 00:00 UTC: the campaign expires at 2999-12-31 23:00 UTC, and its last results may be 1 hour "
        "late"
    )
    assert wait.progress(counts(1000)) == "1,000 of 2,000 results: completed 1,000"
    assert (
        Wait(campaign_key="00d1", campaign_name="spring", deadline=expires).until
        == "until the deadline at 2999-12-31 23:00 UTC"
    )
    assert "neither an expiration_timestamp nor a deadline" in Wait(campaign_key="00d1", campaign_name="spring").until


@pytest.mark.parametrize(
    ("contacts", "missing", "reached"), [(4, 1, 0.5), (3, 0, 0.6667), (1, 0, 1.0), (0, 0, None), (None, None, None)]
)
def test_a_summary_has_counts_whatever_is_known_of_the_contacts(
    contacts: int | None, missing: int | None, reached: float | None
) -> None:
    found = ResultCounts("key", results=3, attempts=5, by_result=Counter({"Completed": 2, "": 1}))
    assert summary(found, contacts) == {
        "contacts": contacts, "results": 3, "by_result": {"Completed": 2, "(empty)": 1}, "by_callee_type": {}, "by_choice": {},
        "attempts": 5, "missing": missing, "reached_share": reached,
    }  # fmt: skip


def test_no_value_of_a_field_is_repeated_that_may_be_somebodys_number() -> None:
    values = Counter({"human": 9, "16175550100": 8, "ann@example.com": 7, **dict.fromkeys(string.ascii_lowercase, 1)})
    shown = summary(ResultCounts("key", by_callee_type=values), None)["by_callee_type"]
    assert (shown["human"], len(shown), shown["(other)"]) == (9, MOST_VALUES, 8 + 7 + 26 - (MOST_VALUES - 2))
