"""Requests to start_url and result_url."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from airflow_provider_queuecalls.sandbox.server import Sandbox, run_sandbox
from tests.support.sandbox import Listener, listening, number, post


def test_start_url_is_posted_on_connect_and_result_url_at_the_end(
    queuecalls_sandbox: Sandbox, listener: Listener
) -> None:
    post(
        queuecalls_sandbox, f"{number('555-0104')},order-1,lang=en\n", start_url=f"{listener.url}/start?a=1",
        result_url=f"{listener.url}/result", max_retries="1", retry_interval="60",
    )  # fmt: skip
    (call,) = queuecalls_sandbox.calls
    dialed = int(queuecalls_sandbox.now.timestamp())
    fields = {"phone_number": number("555-0104"), "message_reference": "order-1", "call_id": str(call.call_id)}

    queuecalls_sandbox.advance(seconds=59)
    assert listener.received == []
    queuecalls_sandbox.advance(seconds=1)
    assert listener.received == [("/start?a=1", {**fields, "call_parameters": "lang=en"})]
    queuecalls_sandbox.advance(hours=2)
    assert listener.received[1:] == [
        (
            "/result",
            {
                **fields, "result": "completed", "callee_type": "human", "attempts": "2",
                "last_attempt_timestamp": str(dialed + 60), "duration": "45",
            },
        )
    ]  # fmt: skip


def test_an_unanswered_call_is_posted_after_its_last_attempt(queuecalls_sandbox: Sandbox, listener: Listener) -> None:
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

    posted = {(fields["message_reference"], fields["call_parameters"]) for _, fields in listener.received}
    assert posted == {("its own", "its parameter"), ("the campaign's", "a=1")}


def test_callbacks_are_sent_once_and_recorded_in_the_journal(queuecalls_sandbox: Sandbox) -> None:
    with listening(status=500) as failing:
        post(queuecalls_sandbox, result_url=failing.url)
        queuecalls_sandbox.advance(hours=1)
    post(queuecalls_sandbox, start_url=failing.url, result_url=failing.url)
    queuecalls_sandbox.advance(hours=1)

    sent = [entry for entry in queuecalls_sandbox.journal if entry.direction == "sent"]
    assert [(entry.url, entry.status, entry.note) for entry in sent] == [
        (failing.url, 500, "result_url for call 100000001."),
        (
            failing.url,
            None,
            "start_url for call 100000002: the call fails, since the script does not respond (ConnectionError).",
        ),
        (failing.url, None, "result_url for call 100000002: not delivered (ConnectionError), and not sent again."),
    ]
    assert [call.state for call in queuecalls_sandbox.calls] == ["completed", "failed"]


def test_a_redirect_of_a_callback_is_not_followed(queuecalls_sandbox: Sandbox) -> None:
    with listening(status=302) as redirecting:
        post(queuecalls_sandbox, start_url=redirecting.url)
        queuecalls_sandbox.advance(seconds=1)

    assert (len(redirecting.received), redirecting.asked) == (1, [])


def test_only_this_machine_is_called_back_and_a_note_says_so(queuecalls_sandbox: Sandbox) -> None:
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
def test_with_check_urls_both_must_respond_with_200(status: int, queued: bool) -> None:
    with listening(status) as listener, run_sandbox(speed=0, check_urls=True) as sandbox:
        response = post(sandbox, start_url=f"{listener.url}/start", result_url=f"{listener.url}/result")

        assert bool(sandbox.campaigns) is queued
        assert listener.asked == ["/start", "/result"]
        refused = [error.get("field") for error in ElementTree.fromstring(response.content).iter("error")]
        assert refused == ([] if queued else ["start_url", "result_url"])


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x", "https://voice.example/start"])
def test_with_check_urls_an_unreachable_url_is_refused(url: str) -> None:
    with run_sandbox(speed=0, check_urls=True) as sandbox:
        assert 'field="start_url"' in post(sandbox, start_url=url).text
        assert sandbox.campaigns == []
