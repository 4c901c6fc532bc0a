"""Simulated calls: magic numbers, attempts, and the clock."""

from __future__ import annotations

import time
from collections import Counter
from datetime import datetime, timedelta, timezone

import pytest

from airflow_provider_queuecalls.sandbox.numbers import MAGIC_NUMBERS
from airflow_provider_queuecalls.sandbox.server import Sandbox, run_sandbox
from airflow_provider_queuecalls.sandbox.store import CALLS_PER_SECOND
from tests.support.logs import everything_logged
from tests.support.sandbox import FORM, Listener, number, post, post_form, states

#: How calls to each magic number end with five retries, and after how many attempts.
MAGIC: dict[str, tuple[str, str, int]] = {
    "555-0100": ("completed", "answered", 1),
    "555-0101": ("failed", "busy", 6),
    "555-0102": ("failed", "no answer", 6),
    "555-0103": ("completed", "answered", 3),
    "555-0104": ("completed", "answered", 2),
    "555-0105": ("completed", "answered", 1),
    "555-0106": ("failed", "out of service", 6),
    "555-0107": ("completed", "answered", 1),
    "555-0108": ("completed", "answered", 1),
    "555-0109": ("completed", "answered", 5),
    **{f"555-01{n}": ("completed", "answered", 1) for n in range(10, 21)},
}


def test_a_campaign_starts_fifty_calls_a_second(queuecalls_sandbox: Sandbox) -> None:
    post(queuecalls_sandbox, f"{number('555-0108')}\n" * 3 * CALLS_PER_SECOND)

    for second in (1, 2, 3, 3):
        queuecalls_sandbox.advance(seconds=1 if second > 1 else 0)
        assert Counter(state for state, _ in states(queuecalls_sandbox))["connected"] == second * CALLS_PER_SECOND


def test_the_clock_stands_still_until_it_is_advanced(queuecalls_sandbox: Sandbox) -> None:
    before = queuecalls_sandbox.now
    post(queuecalls_sandbox, scheduled_timestamp=str(int(time.time()) + 3600))

    queuecalls_sandbox.advance(minutes=59)
    assert states(queuecalls_sandbox) == [("waiting", 0)]
    queuecalls_sandbox.advance(minutes=1)
    assert states(queuecalls_sandbox) == [("connected", 1)]
    queuecalls_sandbox.advance(seconds=45)
    assert states(queuecalls_sandbox) == [("completed", 1)]
    assert queuecalls_sandbox.now - before == timedelta(hours=1, seconds=45)


def test_the_clock_cannot_be_put_back(queuecalls_sandbox: Sandbox) -> None:
    before = queuecalls_sandbox.now
    with pytest.raises(ValueError, match="the clock cannot be put back, by 60 s"):
        queuecalls_sandbox.advance(minutes=-1)
    assert queuecalls_sandbox.now == before


def test_a_faster_clock_dials_without_being_advanced(listener: Listener) -> None:
    with run_sandbox(speed=100_000) as sandbox:
        before = sandbox.now
        post(sandbox, f"{number('555-0104')}\n", max_retries="1", retry_interval="86400", result_url=listener.url)
        listener.wait_for(1)
        assert states(sandbox) == [("completed", 2)]
        assert sandbox.now - before >= timedelta(days=1)


@pytest.mark.parametrize("expiration", ["expiration_timestamp", "expiration_time"])
def test_times_in_a_request_count_from_its_arrival_however_far_the_clock_is_ahead(
    queuecalls_sandbox: Sandbox, expiration: str
) -> None:
    # As four minutes after the start at --speed 600.
    queuecalls_sandbox.advance(hours=40)
    real_now = int(time.time())
    expires = {"expiration_timestamp": str(real_now + 86_400), "expiration_time": "+1 day"}[expiration]
    post(queuecalls_sandbox, f"{number('555-0104')}\n", scheduled_timestamp=str(real_now + 3_600), max_retries="1", **{expiration: expires})  # fmt: skip
    queuecalls_sandbox.advance(hours=2)

    (campaign,) = queuecalls_sandbox.campaigns
    assert 3_590 <= campaign.starts_at - campaign.received_at <= 3_600
    assert 86_390 <= (campaign.expires_at or 0) - campaign.received_at <= 86_400
    assert states(queuecalls_sandbox) == [("completed", 2)]


def test_expired_calls_are_not_attempted_and_the_notes_and_the_log_report_them(
    queuecalls_sandbox: Sandbox, listener: Listener
) -> None:
    with everything_logged() as logged:
        post(
            queuecalls_sandbox, f"{number('555-0100')}\n{number('555-0101')}\n", max_retries="10", retry_interval="400",
            expiration_timestamp=str(int(time.time()) + 600), start_url=listener.url, result_url=listener.url,
        )  # fmt: skip
        assert queuecalls_sandbox.campaigns[0].notes == ()
        queuecalls_sandbox.advance(days=1)

    assert states(queuecalls_sandbox) == [("completed", 1), ("expired", 2)]
    assert sorted(fields["result"] for _, fields in listener.received if "result" in fields) == ["completed", "failed"]
    (campaign,) = queuecalls_sandbox.campaigns
    expired = datetime.fromtimestamp(campaign.expires_at or 0, timezone.utc)
    note = f"1 call expired at {expired:%Y-%m-%d %H:%M:%S} UTC by the sandbox's clock before being completed."
    assert campaign.notes == (note,)
    assert {entry.message for entry in logged if "expired" in entry.message} == {f"Campaign 1: {note}"}


@pytest.mark.parametrize(
    ("expression", "later"),
    [("now", 0), ("+3 days", 3 * 86_400), ("+90 minutes", 5_400), ("1 week", 7 * 86_400), ("1 hour", 3_600)],
)
def test_relative_time_expressions_are_understood(queuecalls_sandbox: Sandbox, expression: str, later: int) -> None:
    post(queuecalls_sandbox, scheduled_time=expression)

    (campaign,) = queuecalls_sandbox.campaigns
    assert campaign.starts_at - campaign.received_at == later


@pytest.mark.parametrize(
    ("expression", "timestamp"),
    [("oct 14th, 2096 11:05PM EST", 4_001_112_300), ("2096-10-15T04:05:00Z", 4_001_112_300), ("October 15 2096 4:05", 4_001_112_300)],
)  # fmt: skip
def test_dates_are_understood(sandbox: Sandbox, expression: str, timestamp: int) -> None:
    post_form(sandbox, {**FORM, "expiration_time": expression})

    assert [campaign.expires_at for campaign in sandbox.campaigns] == [timestamp]


@pytest.mark.parametrize("expression", ["third monday of next month", "smarch 14th, 2096 1:00PM EST", "2096-99-99"])
def test_a_time_that_cannot_be_read_is_ignored_with_a_note(queuecalls_sandbox: Sandbox, expression: str) -> None:
    post(queuecalls_sandbox, scheduled_time=expression)

    (campaign,) = queuecalls_sandbox.campaigns
    assert campaign.starts_at == campaign.received_at
    assert "cannot read scheduled_time" in campaign.notes[0]


def test_every_magic_number_is_in_the_table_above() -> None:
    assert [magic.ending for magic in MAGIC_NUMBERS] == list(MAGIC)


@pytest.mark.parametrize("ending", MAGIC)
def test_a_call_to_a_magic_number_ends_as_documented(queuecalls_sandbox: Sandbox, ending: str) -> None:
    post(queuecalls_sandbox, f"tel:+{number(ending)};ani=8001234567\n", max_retries="5", retry_interval="60")
    queuecalls_sandbox.advance(hours=1)

    (call,) = queuecalls_sandbox.calls
    assert (call.state, call.last_attempt, call.attempts) == MAGIC[ending]
    assert queuecalls_sandbox.attempts == {number(ending): call.attempts}


def outcomes(seed: int) -> list[tuple[str | None, int | None]]:
    with run_sandbox(speed=0, seed=seed) as sandbox:
        post(sandbox, "".join(f"1617444{i:04d}\n" for i in range(500)))
        sandbox.advance(hours=1)
        return [(call.last_attempt, call.duration) for call in sandbox.calls]


def test_other_numbers_end_by_chance_and_repeatably_with_the_same_seed() -> None:
    first = outcomes(seed=1)

    assert Counter(result for result, _ in first).keys() == {"answered", "busy", "no answer", "out of service"}
    assert outcomes(seed=1) == first
    assert outcomes(seed=2) != first


def test_the_next_attempt_comes_after_the_interval_not_sooner(queuecalls_sandbox: Sandbox) -> None:
    post(queuecalls_sandbox, f"{number('555-0101')}\n", max_retries="2", retry_interval="900")

    queuecalls_sandbox.advance(seconds=899)
    assert states(queuecalls_sandbox) == [("waiting", 1)]
    queuecalls_sandbox.advance(seconds=1)
    assert states(queuecalls_sandbox) == [("waiting", 2)]
    queuecalls_sandbox.advance(seconds=900)
    assert states(queuecalls_sandbox) == [("failed", 3)]


def test_without_max_retries_there_is_one_attempt(queuecalls_sandbox: Sandbox) -> None:
    post(queuecalls_sandbox, f"{number('555-0102')}\n")
    queuecalls_sandbox.advance(days=30)

    assert queuecalls_sandbox.attempts == {number("555-0102"): 1}
