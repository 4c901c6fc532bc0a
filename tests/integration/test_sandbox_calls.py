"""What becomes of calls in the sandbox: by its clock, by magic numbers, and told to the customer's own server."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from airflow_provider_queuecalls.sandbox.numbers import MAGIC_NUMBERS
from airflow_provider_queuecalls.sandbox.server import Sandbox, run_sandbox
from airflow_provider_queuecalls.sandbox.store import CALLS_PER_SECOND
from tests.support.sandbox import Listener, listening, post

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
}


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as listener:
        yield listener


def number(ending: str) -> str:
    return f"1617{ending.replace('-', '')}"


def states(sandbox: Sandbox) -> list[tuple[str, int]]:
    return [(call.state, call.attempts) for call in sandbox.calls]


# The clock


def test_the_clock_stands_still_until_it_is_put_forward(queuecalls_sandbox: Sandbox) -> None:
    before = queuecalls_sandbox.now
    post(queuecalls_sandbox, scheduled_timestamp=str(int(before.timestamp()) + 3600))

    queuecalls_sandbox.advance(minutes=59)
    assert states(queuecalls_sandbox) == [("waiting", 0)]
    queuecalls_sandbox.advance(minutes=1)
    assert states(queuecalls_sandbox) == [("talking", 1)]
    queuecalls_sandbox.advance(seconds=45)
    assert states(queuecalls_sandbox) == [("completed", 1)]
    assert queuecalls_sandbox.now - before == timedelta(hours=1, seconds=45)


def test_a_faster_clock_dials_by_itself() -> None:
    with run_sandbox(speed=100_000) as sandbox:
        before = sandbox.now
        post(sandbox, f"{number('555-0104')}\n", max_retries="1", retry_interval="86400")
        while states(sandbox) != [("completed", 2)]:  # the watchdog ends this one if it never comes
            time.sleep(0.01)
        assert sandbox.now - before >= timedelta(days=1)


def test_a_campaign_is_dialled_so_many_calls_a_second(queuecalls_sandbox: Sandbox) -> None:
    post(queuecalls_sandbox, f"{number('555-0108')}\n" * 3 * CALLS_PER_SECOND)

    for second in (1, 2, 3, 3):
        queuecalls_sandbox.advance(seconds=1 if second > 1 else 0)
        assert Counter(state for state, _ in states(queuecalls_sandbox))["talking"] == second * CALLS_PER_SECOND


def test_expired_calls_are_given_up_and_not_dialled(queuecalls_sandbox: Sandbox, listener: Listener) -> None:
    expires = int(time.time()) + 600
    post(
        queuecalls_sandbox, f"{number('555-0100')}\n{number('555-0101')}\n", max_retries="10", retry_interval="400",
        expiration_timestamp=str(expires), result_url=listener.url,
    )  # fmt: skip
    queuecalls_sandbox.advance(days=1)

    assert states(queuecalls_sandbox) == [("completed", 1), ("expired", 2)]
    assert sorted(fields["result"] for _, fields in listener.received) == ["completed", "failed"]


@pytest.mark.parametrize(
    ("expression", "later"),
    [("now", 0), ("+3 days", 3 * 86_400), ("+90 minutes", 5_400), ("1 week", 7 * 86_400)],
)
def test_time_expressions_of_the_vendors_pages_are_understood(
    queuecalls_sandbox: Sandbox, expression: str, later: int
) -> None:
    post(queuecalls_sandbox, scheduled_time=expression)

    (campaign,) = queuecalls_sandbox.campaigns
    assert campaign.starts_at - campaign.received_at == later


@pytest.mark.parametrize(
    ("expression", "timestamp"),
    [("oct 14th, 2096 11:05PM EST", 4_001_112_300), ("2096-10-15T04:05:00Z", 4_001_112_300), ("October 15 2096 4:05", 4_001_112_300)],
)  # fmt: skip
def test_dates_of_the_vendors_pages_are_understood(
    queuecalls_sandbox: Sandbox, expression: str, timestamp: int
) -> None:
    post(queuecalls_sandbox, expiration_time=expression)

    assert [campaign.expires_at for campaign in queuecalls_sandbox.campaigns] == [timestamp]


@pytest.mark.parametrize("expression", ["third monday of next month", "smarch 14th, 2096 1:00PM EST", "2096-99-99"])
def test_a_time_it_cannot_read_counts_as_none_and_the_campaign_says_so(
    queuecalls_sandbox: Sandbox, expression: str
) -> None:
    post(queuecalls_sandbox, scheduled_time=expression)

    (campaign,) = queuecalls_sandbox.campaigns
    assert campaign.starts_at == campaign.received_at
    assert "cannot read scheduled_time" in campaign.notes[0]


# Numbers


def test_every_magic_number_is_in_the_table_above() -> None:
    assert [magic.ending for magic in MAGIC_NUMBERS] == list(MAGIC)


@pytest.mark.parametrize("ending", MAGIC)
def test_a_call_to_a_magic_number_ends_as_documented(queuecalls_sandbox: Sandbox, ending: str) -> None:
    post(queuecalls_sandbox, f"tel:+{number(ending)};ani=8001234567\n", max_retries="5", retry_interval="60")
    queuecalls_sandbox.advance(hours=1)

    (call,) = queuecalls_sandbox.calls
    assert (call.state, call.last_attempt, call.attempts) == MAGIC[ending]
    assert queuecalls_sandbox.rings == {number(ending): call.attempts}


def outcomes(seed: int) -> list[tuple[str | None, int | None]]:
    with run_sandbox(speed=0, seed=seed) as sandbox:
        post(sandbox, "".join(f"1617444{i:04d}\n" for i in range(500)))
        sandbox.advance(hours=1)
        return [(call.last_attempt, call.duration) for call in sandbox.calls]


def test_other_numbers_end_by_chance_and_always_alike_with_the_same_seed() -> None:
    first = outcomes(seed=1)

    assert Counter(result for result, _ in first).keys() == {"answered", "busy", "no answer", "out of service"}
    assert outcomes(seed=1) == first
    assert outcomes(seed=2) != first


# Attempts


def test_the_next_attempt_comes_after_the_interval_and_no_sooner(queuecalls_sandbox: Sandbox) -> None:
    post(queuecalls_sandbox, f"{number('555-0101')}\n", max_retries="2", retry_interval="900")

    queuecalls_sandbox.advance(seconds=899)
    assert states(queuecalls_sandbox) == [("waiting", 1)]
    queuecalls_sandbox.advance(seconds=1)
    assert states(queuecalls_sandbox) == [("waiting", 2)]
    queuecalls_sandbox.advance(seconds=900)
    assert states(queuecalls_sandbox) == [("failed", 3)]


def test_without_max_retries_a_number_rings_once(queuecalls_sandbox: Sandbox) -> None:
    post(queuecalls_sandbox, f"{number('555-0102')}\n")
    queuecalls_sandbox.advance(days=30)

    assert queuecalls_sandbox.rings == {number("555-0102"): 1}


# Callbacks


def test_start_url_is_told_on_connect_and_result_url_at_the_end(
    queuecalls_sandbox: Sandbox, listener: Listener
) -> None:
    post(
        queuecalls_sandbox, f"{number('555-0104')},order-1,lang=en\n", start_url=f"{listener.url}/start?a=1",
        result_url=f"{listener.url}/result", max_retries="1", retry_interval="60",
    )  # fmt: skip
    (call,) = queuecalls_sandbox.calls
    dialled = int(queuecalls_sandbox.now.timestamp())
    told = {"phone_number": number("555-0104"), "message_reference": "order-1", "call_id": str(call.call_id)}

    queuecalls_sandbox.advance(seconds=59)
    assert listener.received == []
    queuecalls_sandbox.advance(seconds=1)
    assert listener.received == [("/start?a=1", {**told, "call_parameters": "lang=en"})]
    queuecalls_sandbox.advance(hours=2)
    assert listener.received[1:] == [
        (
            "/result",
            {
                **told, "result": "completed", "callee_type": "human", "attempts": "2",
                "last_attempt_timestamp": str(dialled + 60), "duration": "45",
            },
        )
    ]  # fmt: skip


def test_a_call_that_was_never_answered_is_told_after_its_last_attempt(
    queuecalls_sandbox: Sandbox, listener: Listener
) -> None:
    post(
        queuecalls_sandbox, f"{number('555-0101')}\n", start_url=listener.url, result_url=listener.url, max_retries="1"
    )
    queuecalls_sandbox.advance(hours=1)

    ((_, fields),) = listener.received
    assert (fields["result"], fields["attempts"], fields["duration"], fields["callee_type"]) == ("failed", "2", "0", "")


def test_a_row_without_a_reference_gets_the_campaigns(queuecalls_sandbox: Sandbox, listener: Listener) -> None:
    rows = f"{number('555-0100')},its own,its parameter\n{number('555-0100')}\n"
    post(queuecalls_sandbox, rows, start_url=listener.url, message_reference="the campaign's", call_parameters="a=1")
    queuecalls_sandbox.advance(seconds=1)

    told = {(fields["message_reference"], fields["call_parameters"]) for _, fields in listener.received}
    assert told == {("its own", "its parameter"), ("the campaign's", "a=1")}


def test_callbacks_are_in_the_journal_with_their_answers(queuecalls_sandbox: Sandbox) -> None:
    with listening(status=500) as failing:
        post(queuecalls_sandbox, start_url=failing.url)
        queuecalls_sandbox.advance(seconds=1)
    post(queuecalls_sandbox, start_url=failing.url)
    queuecalls_sandbox.advance(seconds=1)

    sent = [entry for entry in queuecalls_sandbox.journal if entry.direction == "sent"]
    assert [(entry.url, entry.status) for entry in sent] == [(failing.url, 500), (failing.url, None)]
    assert sent[0].note == "start_url for call 100000001."
    assert sent[1].note == "start_url for call 100000002: not delivered (ConnectionError)."
    assert [call.state for call in queuecalls_sandbox.calls] == ["talking", "talking"]


def test_a_redirect_of_a_callback_is_not_followed(queuecalls_sandbox: Sandbox) -> None:
    with listening(status=302) as redirecting:
        post(queuecalls_sandbox, start_url=redirecting.url)
        queuecalls_sandbox.advance(seconds=1)

    assert (len(redirecting.received), redirecting.asked) == (1, [])


def test_only_this_machine_is_called_back_and_the_campaign_says_so(queuecalls_sandbox: Sandbox) -> None:
    urls = {"start_url": "http://192.0.2.1/start", "result_url": "http://voice.example/result"}
    post(queuecalls_sandbox, **urls)
    queuecalls_sandbox.advance(hours=1)

    (campaign,) = queuecalls_sandbox.campaigns
    assert "Nothing is sent to start_url and result_url" in campaign.notes[0]
    assert [entry.direction for entry in queuecalls_sandbox.journal] == ["received"]


def test_an_allowed_host_is_called_back() -> None:
    # This machine by another of its names, so that nothing leaves it.
    with listening() as listener, run_sandbox(speed=0, callback_hosts=["localhost.localdomain", "0.0.0.0"]) as sandbox:
        url = listener.url.replace("127.0.0.1", "0.0.0.0")
        post(sandbox, start_url=url)
        sandbox.advance(seconds=1)

        assert len(listener.received) == 1
        assert sandbox.campaigns[0].notes == ()


@pytest.mark.parametrize(("status", "queued"), [(200, True), (204, False), (302, False), (404, False)])
def test_with_check_urls_both_have_to_answer_200_before_anything_is_queued(status: int, queued: bool) -> None:
    with listening(status) as listener, run_sandbox(speed=0, check_urls=True) as sandbox:
        answer = post(sandbox, start_url=f"{listener.url}/start", result_url=f"{listener.url}/result")

        assert bool(sandbox.campaigns) is queued
        assert listener.asked == ["/start", "/result"]
        wrong = [error.get("field") for error in ElementTree.fromstring(answer.content).iter("error")]
        assert wrong == ([] if queued else ["start_url", "result_url"])


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x", "https://voice.example/start"])
def test_with_check_urls_one_that_cannot_be_asked_is_refused(url: str) -> None:
    with run_sandbox(speed=0, check_urls=True) as sandbox:
        assert 'field="start_url"' in post(sandbox, start_url=url).text
        assert sandbox.campaigns == []


# What survives


def test_calls_go_on_after_a_restart_where_they_were(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"db": tmp_path / "sandbox.db", "speed": 0}
    with run_sandbox(**settings) as sandbox:
        post(sandbox, f"{number('555-0104')}\n{number('555-0100')}\n", campaign_name="a", max_retries="1")
        sandbox.fail_next("refuse_503", times=2)
        sandbox.advance(days=400)
        post(sandbox, campaign_name="refused")
        post(sandbox, campaign_name="refused")
        post(sandbox, f"{number('555-0104')}\n", campaign_name="b", max_retries="1")
        sandbox.fail_next("refuse_429")
        sandbox.advance(seconds=1)
        before = (sandbox.campaigns, sandbox.calls, sandbox.journal, sandbox.now)

    with run_sandbox(**settings) as sandbox:
        assert (sandbox.campaigns, sandbox.calls, sandbox.journal) == before[:3]
        assert abs(sandbox.now - before[3]) < timedelta(minutes=1)
        assert post(sandbox).status_code == 429
        sandbox.advance(hours=1)
        assert states(sandbox) == [("completed", 2), ("completed", 1), ("completed", 2)]


def test_a_reset_forgets_everything(queuecalls_sandbox: Sandbox) -> None:
    post(queuecalls_sandbox, campaign_name="a")
    queuecalls_sandbox.fail_next("refuse_429", times=None)
    queuecalls_sandbox.advance(days=1)
    queuecalls_sandbox.reset()

    assert (queuecalls_sandbox.campaigns, queuecalls_sandbox.calls, queuecalls_sandbox.rings) == ([], [], {})
    assert queuecalls_sandbox.journal == []
    assert abs(queuecalls_sandbox.now.timestamp() - time.time()) < 60
    assert 'status="queued"' in post(queuecalls_sandbox, campaign_name="a").text
