"""The HTTP API and its OpenAPI document."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import requests
from openapi_spec_validator import validate

from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook
from airflow_provider_queuecalls.sandbox.faults import FAULTS
from airflow_provider_queuecalls.sandbox.server import Sandbox
from tests.support.sandbox import START_URL, Listener, ask, get, post


def test_campaigns_are_listed_with_their_parameters_and_progress(queuecalls_sandbox: Sandbox) -> None:
    post(queuecalls_sandbox, "16175550100,order-1\n16175550101\n", campaign_name="a/b?c")
    post(queuecalls_sandbox, campaign_name="second")
    queuecalls_sandbox.advance(minutes=1)

    first, second = get(queuecalls_sandbox, "/api/campaigns")
    assert (first["name"], first["contacts"], first["parameters"]["start_url"]) == ("a/b?c", 2, START_URL)
    assert first["progress"] == {"waiting": 0, "connected": 0, "completed": 1, "failed": 1, "expired": 0}
    assert get(queuecalls_sandbox, "/api/campaigns?name=second") == [second]
    assert get(queuecalls_sandbox, "/api/campaigns?limit=1") == [second]
    assert get(queuecalls_sandbox, f"/api/campaigns?before={second['id']}") == [first]
    assert get(queuecalls_sandbox, f"/api/campaigns/{first['id']}") == first


def test_calls_can_be_listed_and_looked_up(queuecalls_sandbox: Sandbox) -> None:
    post(queuecalls_sandbox, "16175550109\n", campaign_name="another")
    post(queuecalls_sandbox, "16175550100,order-1,a=1\n16175550101\n16175550101\n")
    queuecalls_sandbox.advance(minutes=1)

    first, second = get(queuecalls_sandbox, "/api/campaigns/2/calls?limit=2")
    assert (first["line"], first["phone_number"], first["message_reference"], first["call_parameter"]) == (1, "16175550100", "order-1", "a=1")  # fmt: skip
    (third,) = get(queuecalls_sandbox, f"/api/campaigns/2/calls?after={second['call_id']}")
    assert get(queuecalls_sandbox, "/api/campaigns/2/calls?state=failed") == [second, third]
    assert get(queuecalls_sandbox, "/api/campaigns/2/calls?state=expired") == []
    assert get(queuecalls_sandbox, f"/api/calls/{first['call_id']}") == first


def test_attempts_are_counted_per_number_however_it_is_spelled(queuecalls_sandbox: Sandbox) -> None:
    post(queuecalls_sandbox, "16175550102\ntel:+16175550102;ani=8001234567\n16175550100\n", max_retries="2")
    queuecalls_sandbox.advance(hours=1)

    assert get(queuecalls_sandbox, "/api/attempts") == [
        {"phone_number": "16175550102", "calls": 2, "attempts": 6},
        {"phone_number": "16175550100", "calls": 1, "attempts": 1},
    ]
    assert len(get(queuecalls_sandbox, "/api/attempts?limit=1")) == 1


def test_the_journal_shows_headers_and_fields_and_no_secret(queuecalls_sandbox: Sandbox, small_list: Path) -> None:
    response = post(
        queuecalls_sandbox, campaign_name="a", headers={"Authorization": "Basic c2VjcmV0", "Cookie": "secret"}
    )
    assert response.status_code == 401
    QueueCallsHook().test_connection()
    post(queuecalls_sandbox, campaign_name="a", pin="a wrong secret")

    third, second, first = get(queuecalls_sandbox, "/api/journal")
    assert [(e["method"], e["status"]) for e in (first, second, third)] == [("POST", 401), ("HEAD", 200), ("POST", 200)]
    assert (first["headers"]["authorization"], second["headers"]["authorization"]) == ("***", "***")
    assert third["note"] == "Refused: pin."
    assert third["fields"] == {
        "login": "***", "pin": "***", "start_url": START_URL, "campaign_name": "a",
        "phone_number_list": "the file 'contacts.csv'",
    }  # fmt: skip
    shown = json.dumps([first, second, third])
    assert not [secret for secret in ("secret", "c2VjcmV0", "sandbox-pin", "sandbox-login") if secret in shown]


def test_the_journal_can_be_filtered_and_paged(queuecalls_sandbox: Sandbox) -> None:
    for name in ("a", "b", "a"):
        post(queuecalls_sandbox, campaign_name=name)

    newest = get(queuecalls_sandbox, "/api/journal?limit=2")
    assert [entry["note"] for entry in newest] == ["Refused: campaign_name.", "Queued 1 call."]
    assert len(get(queuecalls_sandbox, f"/api/journal?before={newest[-1]['id']}")) == 1
    assert [entry["campaign_id"] for entry in get(queuecalls_sandbox, "/api/journal?campaign_id=2")] == [2]


def test_faults_can_be_armed_listed_and_disarmed(queuecalls_sandbox: Sandbox) -> None:
    once = ask(queuecalls_sandbox, "POST", "/api/faults/armed", {"name": "http_429"}).json()
    always = ask(queuecalls_sandbox, "POST", "/api/faults/armed", {"name": "http_503", "times": None}).json()

    assert (once["times"], always["times"]) == (1, None)
    assert get(queuecalls_sandbox, "/api/faults/armed") == [once, always]
    assert ask(queuecalls_sandbox, "DELETE", f"/api/faults/armed/{once['id']}").json() == [always]
    again = ask(queuecalls_sandbox, "DELETE", f"/api/faults/armed/{once['id']}")
    assert (again.status_code, again.json()["detail"]) == (404, f"There is no armed fault {once['id']}.")
    assert post(queuecalls_sandbox).status_code == 503
    assert ask(queuecalls_sandbox, "DELETE", "/api/faults/armed").json() == []
    assert [fault["name"] for fault in get(queuecalls_sandbox, "/api/faults")] == [fault.name for fault in FAULTS]


def test_advancing_the_clock_waits_until_everything_due_has_happened(queuecalls_sandbox: Sandbox) -> None:
    post(queuecalls_sandbox)
    before = get(queuecalls_sandbox, "/api/clock")
    after = ask(queuecalls_sandbox, "POST", "/api/clock/advance", {"seconds": 7200}).json()

    assert after == {"now": before["now"] + 7200, "speed": 0}
    assert [call.state for call in queuecalls_sandbox.calls] == ["completed"]


def test_a_reset_deletes_everything(queuecalls_sandbox: Sandbox) -> None:
    post(queuecalls_sandbox)
    queuecalls_sandbox.fail_next("http_429")
    assert ask(queuecalls_sandbox, "POST", "/api/reset").status_code == 200

    for path in ("campaigns", "attempts", "journal", "faults/armed"):
        assert get(queuecalls_sandbox, f"/api/{path}") == []


def test_the_clocks_speed_can_be_changed(queuecalls_sandbox: Sandbox, listener: Listener) -> None:
    assert ask(queuecalls_sandbox, "PUT", "/api/clock", {"speed": 100_000}).json()["speed"] == 100_000

    post(queuecalls_sandbox, "16175550101\n", max_retries="1", retry_interval="172800", result_url=listener.url)
    listener.wait_for(1)
    assert queuecalls_sandbox.calls[0].state == "failed"


@pytest.mark.parametrize(
    ("asked", "status", "problem"),
    [
        (("POST", "/api/faults/armed", {}), 422, "name: Field required"),
        (("POST", "/api/faults/armed", {"name": "explode"}), 422, "'explode' is not a fault. The faults are no_response"),
        (("POST", "/api/faults/armed", {"name": "http_429", "times": 0}), 422, "times: "),
        (("POST", "/api/faults/armed", {"name": "http_429", "time": 1}), 422, "time: "),
        (("POST", "/api/faults/armed", []), 422, "body: "),
        (("POST", "/api/faults/armed", "x" * 70_000), 413, "at most 65536 bytes"),
        (("PUT", "/api/clock", {"speed": -1}), 422, "speed: "),
        (("POST", "/api/clock/advance", {"seconds": "soon"}), 422, "seconds: "),
        (("POST", "/api/clock/advance", {"seconds": float("nan")}), 422, "seconds: "),
        (("GET", "/api/campaigns?limit=x", None), 422, "limit: "),
        (("GET", "/api/campaigns?limit=10001", None), 422, "limit: "),
        (("GET", f"/api/campaigns/{1 << 63}", None), 422, "campaign_id: "),
        (("GET", "/api/campaigns/7", None), 404, "There is no campaign 7."),
        (("GET", "/api/campaigns/7/calls", None), 404, "There is no campaign 7."),
        (("GET", "/api/calls/7", None), 404, "There is no call 7."),
    ],
)  # fmt: skip
def test_an_invalid_request_is_refused_with_the_reason(
    strict: Sandbox, asked: tuple[str, str, Any], status: int, problem: str
) -> None:
    response = ask(strict, *asked)

    assert response.status_code == status
    assert problem in response.json()["detail"]


def test_a_body_of_unknown_length_is_refused(queuecalls_sandbox: Sandbox) -> None:
    headers = {"Content-Type": "application/json"}
    response = requests.put(
        f"{queuecalls_sandbox.url}/api/clock", iter([b'{"speed":', b"1}"]), headers=headers, timeout=30
    )

    assert response.status_code == 413


def test_every_response_is_as_the_openapi_document_describes_it(queuecalls_sandbox: Sandbox) -> None:
    post(queuecalls_sandbox, "16175550100,order-1\n16175550101\n", campaign_name="a")
    queuecalls_sandbox.fail_next("http_429", times=None)
    queuecalls_sandbox.advance(seconds=1)
    document = get(queuecalls_sandbox, "/openapi.json")
    call_id = queuecalls_sandbox.calls[0].call_id

    validate(document)
    reading = {path: methods["get"] for path, methods in document["paths"].items() if "get" in methods}
    assert set(reading) >= {"/api/campaigns", "/api/campaigns/{campaign_id}/calls", "/api/attempts", "/api/journal"}
    for path, operation in reading.items():
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        response = get(queuecalls_sandbox, path.format(campaign_id=1, call_id=call_id))
        assert response
        jsonschema.validate(response, {**schema, "components": document["components"]})
    refused = ask(queuecalls_sandbox, "GET", "/api/calls/7").json()
    schema = reading["/api/calls/{call_id}"]["responses"]["404"]["content"]["application/json"]["schema"]
    jsonschema.validate(refused, {**schema, "components": document["components"]})
