"""The sandbox going wrong on purpose, and what the hook makes of it: the table of faults, row by row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import requests

from airflow_provider_queuecalls.client.campaign import Campaign
from airflow_provider_queuecalls.client.response import Response
from airflow_provider_queuecalls.exceptions import NotAccepted, OutcomeUnknown, Refused, WireError
from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook
from airflow_provider_queuecalls.outcome import Outcome
from airflow_provider_queuecalls.sandbox.faults import FAULTS, Fault
from airflow_provider_queuecalls.sandbox.server import Sandbox, run_sandbox
from tests.integration.conftest import write_rows
from tests.support.sandbox import START_URL, post

OUTCOMES: dict[Outcome, type[Any]] = {
    Outcome.QUEUED: Response,
    Outcome.REFUSED: Refused,
    Outcome.NOT_ACCEPTED: NotAccepted,
    Outcome.UNKNOWN: OutcomeUnknown,
}
EVERY_FAULT = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)


def queue(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, path: Path, name: str) -> Response | WireError:
    """Queue a campaign by the hook; the answer, or the error that says what became of it."""
    connection = {**json.loads(sandbox.connection), "extra": {"read_timeout": 1.5}}
    monkeypatch.setenv("AIRFLOW_CONN_QUEUECALLS_DEFAULT", json.dumps(connection))
    try:
        return QueueCallsHook().queue_calls(path, Campaign(start_url=START_URL, campaign_name=name))
    except WireError as error:
        return error


@EVERY_FAULT
@pytest.mark.parametrize("by_name", [False, True], ids=["armed", "by_name"])
def test_the_outcome_is_the_one_in_the_table(
    fault: Fault, by_name: bool, queuecalls_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, small_list: Path
) -> None:
    name = f"fault-{fault.name}-spring" if by_name else "spring"
    if not by_name:
        queuecalls_sandbox.fail_next(fault.name)

    result = queue(queuecalls_sandbox, monkeypatch, small_list, name)

    assert type(result) is OUTCOMES[fault.outcome], result
    assert [campaign.name for campaign in queuecalls_sandbox.campaigns] == ([name] if fault.queued else [])
    (entry,) = queuecalls_sandbox.journal
    answered = fault.sent > 0
    assert (entry.fault, entry.status) == (fault.name, fault.status if answered else None)
    assert result.status_code == entry.status


def test_an_unknown_outcome_does_not_mean_that_nobody_is_called(
    queuecalls_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, small_list: Path
) -> None:
    queuecalls_sandbox.fail_next("accept_then_reset")
    queue(queuecalls_sandbox, monkeypatch, small_list, "spring")
    queuecalls_sandbox.advance(hours=1)

    assert set(queuecalls_sandbox.rings.values()) == {1}


@pytest.mark.parametrize(("fault", "listed"), [("no_call_ids", 0), ("fewer_call_ids", 50)])
def test_fewer_call_ids_are_listed_than_calls_are_queued(
    queuecalls_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fault: str, listed: int
) -> None:
    queuecalls_sandbox.fail_next(fault)
    answer = queue(queuecalls_sandbox, monkeypatch, write_rows(tmp_path / "calls.csv", 100), "spring")

    assert isinstance(answer, Response)
    assert (answer.call_id_count, len(queuecalls_sandbox.calls)) == (listed, 100)


@pytest.mark.parametrize("by_name", [False, True], ids=["armed", "by_name"])
def test_a_large_upload_is_read_slowly(by_name: bool, queuecalls_sandbox: Sandbox) -> None:
    if not by_name:
        queuecalls_sandbox.fail_next("slow_reading")
    rows = "16175550100\n" * (44 << 10)
    answer = post(queuecalls_sandbox, rows, campaign_name="fault-slow_reading-x" if by_name else "x")

    # Half a MiB at 64 KiB every 0.2 s.
    assert answer.elapsed.total_seconds() > 1.5
    assert queuecalls_sandbox.campaigns[0].contacts == 44 << 10


def test_a_client_that_goes_away_ends_a_hang_and_so_does_the_sandboxs_stop() -> None:
    with run_sandbox(speed=0) as sandbox:
        sandbox.fail_next("accept_then_hang", times=2)
        for _ in range(2):
            with pytest.raises(requests.ReadTimeout):
                requests.post(
                    f"{sandbox.url}/webservice/queuecalls.php",
                    files={"phone_number_list": ("c.csv", b"16175550100\n"), "start_url": (None, START_URL), "login": (None, "sandbox-login"), "pin": (None, "sandbox-pin")},
                    timeout=0.3,
                )  # fmt: skip
        assert len(sandbox.campaigns) == 2


# How often


def codes(sandbox: Sandbox, name: str, times: int) -> list[int]:
    return [post(sandbox, campaign_name=name).status_code for _ in range(times)]


def test_a_fault_comes_once_unless_said_otherwise(queuecalls_sandbox: Sandbox) -> None:
    queuecalls_sandbox.fail_next("refuse_429")

    assert codes(queuecalls_sandbox, "a", 2) == [429, 200]


def test_a_fault_comes_so_many_times_and_the_next_one_after_it(queuecalls_sandbox: Sandbox) -> None:
    queuecalls_sandbox.fail_next("refuse_429", times=2)
    queuecalls_sandbox.fail_next("refuse_503")

    assert codes(queuecalls_sandbox, "a", 4) == [429, 429, 503, 200]


def test_a_fault_comes_always_until_it_is_taken_back(queuecalls_sandbox: Sandbox) -> None:
    queuecalls_sandbox.fail_next("refuse_413", times=None)
    assert codes(queuecalls_sandbox, "a", 5) == [413] * 5

    requests.delete(
        f"{queuecalls_sandbox.url}/api/faults/armed", headers={"Content-Type": "application/json"}, timeout=9
    )
    assert codes(queuecalls_sandbox, "a", 1) == [200]


def test_a_name_asks_each_time_or_the_first_so_many_times(queuecalls_sandbox: Sandbox) -> None:
    assert codes(queuecalls_sandbox, "fault-refuse_503-a", 3) == [503, 503, 503]
    assert codes(queuecalls_sandbox, "fault-refuse_429-2x-a", 3) == [429, 429, 200]
    assert codes(queuecalls_sandbox, "fault-refuse_429-2x-b", 1) == [429]


def test_an_armed_fault_goes_before_the_names(queuecalls_sandbox: Sandbox) -> None:
    queuecalls_sandbox.fail_next("refuse_401")

    assert codes(queuecalls_sandbox, "fault-refuse_429-a", 2) == [401, 429]


def test_a_name_that_asks_for_no_fault_there_is_is_queued_and_the_journal_says_so(queuecalls_sandbox: Sandbox) -> None:
    assert codes(queuecalls_sandbox, "fault-tolerant-heating", 1) == [200]
    assert "there is none of that name" in queuecalls_sandbox.journal[0].note


def test_arming_a_fault_that_there_is_not_names_all_there_are(queuecalls_sandbox: Sandbox) -> None:
    with pytest.raises(KeyError, match=r"no fault is called 'explode'; there are accept_then_hang, .*refuse_503"):
        queuecalls_sandbox.fail_next("explode")


# Answers and errors, as the options say


def test_answers_in_json_are_understood(monkeypatch: pytest.MonkeyPatch, small_list: Path) -> None:
    with run_sandbox(speed=0, answers="json") as sandbox:
        answer = queue(sandbox, monkeypatch, small_list, "spring")
        assert isinstance(answer, Response)
        assert answer.call_ids == tuple(str(call.call_id) for call in sandbox.calls)
        assert isinstance(queue(sandbox, monkeypatch, small_list, "spring"), Refused)

        body = post(sandbox, campaign_name="spring").json()
        assert (body["status"], body["error"][0]["field"]) == ("failure", "campaign_name")
        assert post(sandbox, "16175550100\n" * 2500).json()["result"]["call_ids"][-1] == str(sandbox.calls[-1].call_id)


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({"pin": "wrong"}, 401),
        ({"campaign_name": "taken"}, 409),
        ({"max_retries": "11"}, 422),
        ({"max_retries": "11", "login": "x"}, 401),
    ],
)
def test_errors_as_http_codes(form: dict[str, str], code: int) -> None:
    with run_sandbox(speed=0, errors="http") as sandbox:
        post(sandbox, campaign_name="taken")
        answer = post(sandbox, **form)

        assert answer.status_code == code
        assert f'field="{next(iter(form)) if code != 401 else list(form)[-1]}"' in answer.text


def test_names_may_be_taken_twice_where_they_need_not_be_unique() -> None:
    with run_sandbox(speed=0, unique_names=False) as sandbox:
        assert codes(sandbox, "a", 2) == [200, 200]
        assert [campaign.name for campaign in sandbox.campaigns] == ["a", "a"]
        assert len(sandbox.calls_of("a")) == 2


def chunked(sandbox: Sandbox, body: bytes) -> requests.Response:
    """Upload without a length that could be looked at beforehand."""
    head = b'--b\r\nContent-Disposition: form-data; name="phone_number_list"; filename="c"\r\n\r\n'
    blocks = iter([head, body, b"\r\n--b--\r\n"])
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    return requests.post(f"{sandbox.url}/webservice/queuecalls.php", data=blocks, headers=headers, timeout=30)


def test_an_upload_that_is_too_large_is_refused_before_it_came_and_while_it_comes() -> None:
    with run_sandbox(speed=0, max_upload_bytes=1 << 20) as sandbox:
        assert post(sandbox, "1" * (1 << 20)).status_code == 413
        assert chunked(sandbox, b"1" * (1 << 20)).status_code == 413
        assert chunked(sandbox, b"1" * (1 << 10)).status_code == 200
        assert post(sandbox).status_code == 200
        assert sandbox.journal[0].note == "Refused: The upload is larger than 1048576 bytes."
