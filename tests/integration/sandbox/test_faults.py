"""Faults, and what the hook makes of them."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from airflow_provider_queuecalls.client.campaign import Campaign
from airflow_provider_queuecalls.client.response import Response
from airflow_provider_queuecalls.exceptions import NotAccepted, OutcomeUnknown, Refused, WireError
from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook
from airflow_provider_queuecalls.outcome import Outcome
from airflow_provider_queuecalls.sandbox.faults import FAULTS, Ending, Fault
from airflow_provider_queuecalls.sandbox.server import Sandbox, run_sandbox
from tests.integration.conftest import write_rows
from tests.support.patience import PATIENCE_SECONDS
from tests.support.sandbox import START_URL, Listener, post

OUTCOMES: dict[Outcome, type[Any]] = {
    Outcome.QUEUED: Response,
    Outcome.REFUSED: Refused,
    Outcome.NOT_ACCEPTED: NotAccepted,
    Outcome.UNKNOWN: OutcomeUnknown,
}


def queue(path: Path, name: str) -> Response | WireError:
    """Queue a campaign with the hook; return the response or the error."""
    try:
        return QueueCallsHook().queue_calls(path, Campaign(start_url=START_URL, campaign_name=name))
    except WireError as error:
        return error


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_hook_reports_the_outcome_in_the_table(
    fault: Fault, queuecalls_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, small_list: Path
) -> None:
    queuecalls_sandbox.fail_next(fault.name)
    if fault.ending is Ending.HANG:
        connection = {**json.loads(queuecalls_sandbox.connection), "extra": {"read_timeout": 1.5}}
        monkeypatch.setenv("AIRFLOW_CONN_QUEUECALLS_DEFAULT", json.dumps(connection))

    result = queue(small_list, "spring")

    assert type(result) is OUTCOMES[fault.outcome], result
    assert [campaign.name for campaign in queuecalls_sandbox.campaigns] == (["spring"] if fault.queued else [])
    (entry,) = queuecalls_sandbox.journal
    responded = fault.sent > 0
    assert (entry.fault, entry.status) == (fault.name, fault.status if responded else None)
    assert result.status_code == entry.status


def test_with_an_unknown_outcome_contacts_may_be_called(queuecalls_sandbox: Sandbox, small_list: Path) -> None:
    queuecalls_sandbox.fail_next("connection_reset")
    queue(small_list, "spring")
    queuecalls_sandbox.advance(hours=1)

    assert set(queuecalls_sandbox.attempts.values()) == {1}


@pytest.mark.parametrize(("fault", "listed"), [("no_call_ids", 0), ("fewer_call_ids", 50)])
def test_fewer_call_ids_are_listed_than_calls_are_queued(
    queuecalls_sandbox: Sandbox, tmp_path: Path, fault: str, listed: int
) -> None:
    queuecalls_sandbox.fail_next(fault)
    response = queue(write_rows(tmp_path / "calls.csv", 100), "spring")

    assert isinstance(response, Response)
    assert (response.call_id_count, len(queuecalls_sandbox.calls)) == (listed, 100)


def test_a_slow_upload_is_read_slowly_and_queued(queuecalls_sandbox: Sandbox) -> None:
    queuecalls_sandbox.fail_next("slow_upload")
    response = post(queuecalls_sandbox, "16175550100\n" * (44 << 10))

    # Half a MiB at 64 KiB every 0.2 s.
    assert response.elapsed.total_seconds() > 1.5
    assert queuecalls_sandbox.campaigns[0].contacts == 44 << 10


def test_the_sandbox_can_stop_while_a_client_waits_for_a_response(listener: Listener) -> None:
    def send(sandbox: Sandbox) -> None:
        with suppress(requests.ConnectionError):  # or an error as the response, if the stop comes very early
            post(sandbox, start_url=listener.url)

    with run_sandbox(speed=0) as sandbox:
        sandbox.fail_next("no_response")
        client = threading.Thread(target=send, args=[sandbox])
        client.start()
        listener.wait_for(1)  # so the campaign is queued
    client.join(PATIENCE_SECONDS)
    assert not client.is_alive()


def codes(sandbox: Sandbox, name: str, times: int) -> list[int]:
    return [post(sandbox, campaign_name=name).status_code for _ in range(times)]


def test_a_fault_happens_once_by_default(queuecalls_sandbox: Sandbox) -> None:
    queuecalls_sandbox.fail_next("http_429")

    assert codes(queuecalls_sandbox, "a", 2) == [429, 200]


def test_faults_happen_in_order_and_as_often_as_armed(queuecalls_sandbox: Sandbox) -> None:
    queuecalls_sandbox.fail_next("http_429", times=2)
    queuecalls_sandbox.fail_next("http_503")

    assert codes(queuecalls_sandbox, "a", 4) == [429, 429, 503, 200]


def test_a_fault_can_happen_until_it_is_disarmed(queuecalls_sandbox: Sandbox) -> None:
    queuecalls_sandbox.fail_next("http_413", times=None)
    assert codes(queuecalls_sandbox, "a", 5) == [413] * 5

    requests.delete(
        f"{queuecalls_sandbox.url}/api/faults/armed", headers={"Content-Type": "application/json"}, timeout=9
    )
    assert codes(queuecalls_sandbox, "a", 1) == [200]


def test_an_unknown_fault_is_an_error_that_names_all_faults(queuecalls_sandbox: Sandbox) -> None:
    with pytest.raises(KeyError, match=r"'explode' is not a fault. The faults are no_response, .*http_503"):
        queuecalls_sandbox.fail_next("explode")
