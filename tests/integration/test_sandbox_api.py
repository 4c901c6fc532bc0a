"""The sandbox's admin API, its document, and who may use it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from openapi_spec_validator import validate

from airflow_provider_queuecalls.client.connection import DEFAULT_PATH
from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook
from airflow_provider_queuecalls.sandbox.api import OPERATIONS
from airflow_provider_queuecalls.sandbox.faults import FAULTS
from airflow_provider_queuecalls.sandbox.server import Sandbox, run_sandbox
from tests.support.sandbox import START_URL, post

AS_JSON = {"Content-Type": "application/json"}


def ask(sandbox: Sandbox, method: str, path: str, body: Any = None, **headers: str) -> requests.Response:
    data = None if body is None else json.dumps(body)
    return requests.request(method, sandbox.url + path, data=data, headers={**AS_JSON, **headers}, timeout=30)


def get(sandbox: Sandbox, path: str) -> Any:
    answer = ask(sandbox, "GET", path)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture(scope="module")
def victim() -> Iterator[Sandbox]:
    """A sandbox for requests that change nothing."""
    with run_sandbox(speed=0) as sandbox:
        post(sandbox)
        yield sandbox


# What it tells


def test_campaigns_are_listed_with_their_parameters_and_progress(queuecalls_sandbox: Sandbox) -> None:
    post(queuecalls_sandbox, "16175550100,order-1\n16175550101\n", campaign_name="a/b?c")
    post(queuecalls_sandbox, campaign_name="second")
    queuecalls_sandbox.advance(minutes=1)

    first, second = get(queuecalls_sandbox, "/api/campaigns")
    assert (first["name"], first["contacts"], first["parameters"]["start_url"]) == ("a/b?c", 2, START_URL)
    assert first["progress"] == {"waiting": 0, "talking": 0, "completed": 1, "failed": 1, "expired": 0}
    assert get(queuecalls_sandbox, "/api/campaigns?name=second") == [second]
    assert get(queuecalls_sandbox, "/api/campaigns?limit=1") == [second]
    assert get(queuecalls_sandbox, f"/api/campaigns?before={second['id']}") == [first]
    assert get(queuecalls_sandbox, f"/api/campaigns/{first['id']}") == first


def test_calls_are_listed_page_by_page_and_one_by_one(queuecalls_sandbox: Sandbox) -> None:
    post(queuecalls_sandbox, "16175550109\n", campaign_name="another")
    post(queuecalls_sandbox, "16175550100,order-1,a=1\n16175550101\n16175550101\n")
    queuecalls_sandbox.advance(minutes=1)

    first, second = get(queuecalls_sandbox, "/api/campaigns/2/calls?limit=2")
    assert (first["line"], first["phone_number"], first["message_reference"], first["call_parameter"]) == (1, "16175550100", "order-1", "a=1")  # fmt: skip
    (third,) = get(queuecalls_sandbox, f"/api/campaigns/2/calls?after={second['call_id']}")
    assert get(queuecalls_sandbox, "/api/campaigns/2/calls?state=failed") == [second, third]
    assert get(queuecalls_sandbox, "/api/campaigns/2/calls?state=expired") == []
    assert get(queuecalls_sandbox, f"/api/calls/{first['call_id']}") == first


def test_rings_are_told_per_number_however_it_is_spelled(queuecalls_sandbox: Sandbox) -> None:
    post(queuecalls_sandbox, "16175550102\ntel:+16175550102;ani=8001234567\n16175550100\n", max_retries="2")
    queuecalls_sandbox.advance(hours=1)

    assert get(queuecalls_sandbox, "/api/rings") == [
        {"phone_number": "16175550102", "calls": 2, "rings": 6},
        {"phone_number": "16175550100", "calls": 1, "rings": 1},
    ]
    assert len(get(queuecalls_sandbox, "/api/rings?limit=1")) == 1


def test_the_journal_shows_headers_and_fields_and_no_secret(queuecalls_sandbox: Sandbox, small_list: Path) -> None:
    answer = post(
        queuecalls_sandbox, campaign_name="a", headers={"Authorization": "Basic c2VjcmV0", "Cookie": "secret"}
    )
    assert answer.status_code == 401
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
    told = json.dumps([first, second, third])
    assert not [secret for secret in ("secret", "c2VjcmV0", "sandbox-pin", "sandbox-login") if secret in told]


def test_the_journal_can_be_asked_about_a_campaign_and_page_by_page(queuecalls_sandbox: Sandbox) -> None:
    for name in ("a", "b", "a"):
        post(queuecalls_sandbox, campaign_name=name)

    newest = get(queuecalls_sandbox, "/api/journal?limit=2")
    assert [entry["note"] for entry in newest] == ["Refused: campaign_name.", "Queued 1 calls."]
    assert len(get(queuecalls_sandbox, f"/api/journal?before={newest[-1]['id']}")) == 1
    assert [entry["campaign_id"] for entry in get(queuecalls_sandbox, "/api/journal?campaign_id=2")] == [2]


# What it changes


def test_faults_are_armed_listed_and_taken_back(queuecalls_sandbox: Sandbox) -> None:
    once = ask(queuecalls_sandbox, "POST", "/api/faults/armed", {"name": "refuse_429"}).json()
    always = ask(queuecalls_sandbox, "POST", "/api/faults/armed", {"name": "refuse_503", "times": None}).json()

    assert (once["times"], always["times"]) == (1, None)
    assert get(queuecalls_sandbox, "/api/faults/armed") == [once, always]
    assert ask(queuecalls_sandbox, "DELETE", f"/api/faults/armed/{once['id']}").json() == [always]
    assert post(queuecalls_sandbox).status_code == 503
    assert ask(queuecalls_sandbox, "DELETE", "/api/faults/armed").json() == []
    assert [fault["name"] for fault in get(queuecalls_sandbox, "/api/faults")] == [fault.name for fault in FAULTS]


def test_the_clock_is_put_forward_and_everything_due_has_happened(queuecalls_sandbox: Sandbox) -> None:
    post(queuecalls_sandbox)
    before = get(queuecalls_sandbox, "/api/clock")
    after = ask(queuecalls_sandbox, "POST", "/api/clock/advance", {"seconds": 7200}).json()

    assert after == {"now": before["now"] + 7200, "speed": 0}
    assert [call.state for call in queuecalls_sandbox.calls] == ["completed"]


def test_the_clocks_speed_can_be_changed(queuecalls_sandbox: Sandbox) -> None:
    assert ask(queuecalls_sandbox, "PUT", "/api/clock", {"speed": 100000}).json()["speed"] == 100000
    post(queuecalls_sandbox, "16175550101\n", max_retries="1", retry_interval="172800")
    while queuecalls_sandbox.calls[0].state != "failed":
        pass


def test_a_reset_leaves_nothing(queuecalls_sandbox: Sandbox) -> None:
    post(queuecalls_sandbox)
    queuecalls_sandbox.fail_next("refuse_429")
    assert ask(queuecalls_sandbox, "POST", "/api/reset").status_code == 200

    for path in ("campaigns", "rings", "journal", "faults/armed"):
        assert get(queuecalls_sandbox, f"/api/{path}") == []


@pytest.mark.parametrize(
    ("method", "path", "body", "problem"),
    [
        ("POST", "/api/faults/armed", {}, "name is missing"),
        ("POST", "/api/faults/armed", {"name": "explode"}, "name takes one of accept_then_hang"),
        ("POST", "/api/faults/armed", {"name": "refuse_429", "times": 0}, "times takes a number from 1"),
        ("POST", "/api/faults/armed", {"name": "refuse_429", "time": 1}, "time is not known"),
        ("POST", "/api/faults/armed", [], "not a JSON object"),
        ("POST", "/api/faults/armed", "x" * 70_000, "too long"),
        ("PUT", "/api/clock", {"speed": -1}, "speed takes a number from 0"),
        ("PUT", "/api/clock", {"speed": True}, "speed takes a JSON number"),
        ("POST", "/api/clock/advance", {"seconds": "1"}, "seconds takes a JSON number"),
        ("POST", "/api/clock/advance", {"seconds": float("nan")}, "seconds takes a number"),
        ("GET", "/api/campaigns?limit=x", None, "limit takes a whole number"),
        ("GET", "/api/campaigns?limit=10001", None, "limit takes a number from 0 to 10000"),
        ("GET", "/api/campaigns?limits=1", None, "limits is not known"),
    ],
)
def test_what_breaks_a_rule_is_named(victim: Sandbox, method: str, path: str, body: Any, problem: str) -> None:
    answer = ask(victim, method, path, body)

    assert answer.status_code == 422
    assert problem in answer.json()["error"]


@pytest.mark.parametrize("path", ["/api/campaigns/7", "/api/campaigns/7/calls", "/api/calls/7"])
def test_what_is_not_there_is_said(queuecalls_sandbox: Sandbox, path: str) -> None:
    answer = ask(queuecalls_sandbox, "GET", path)

    assert answer.status_code == 404
    assert answer.json()["error"].endswith("7.")


# The document


def test_the_document_is_openapi_and_describes_every_operation(queuecalls_sandbox: Sandbox) -> None:
    document = get(queuecalls_sandbox, "/openapi.json")

    validate(document)
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert described == {(operation.method, operation.path) for operation in OPERATIONS}


def test_what_is_told_is_what_the_document_says(queuecalls_sandbox: Sandbox) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="Airflow needs it, so it is there")
    post(queuecalls_sandbox, "16175550100,order-1\n16175550101\n", campaign_name="a")
    queuecalls_sandbox.fail_next("refuse_429", times=None)
    queuecalls_sandbox.advance(seconds=1)
    document = get(queuecalls_sandbox, "/openapi.json")
    call_id = queuecalls_sandbox.calls[0].call_id

    for operation in OPERATIONS:
        if operation.method == "GET":
            schema = document["paths"][operation.path]["get"]["responses"]["200"]["content"]["application/json"][
                "schema"
            ]
            told = get(queuecalls_sandbox, operation.path.format(campaign_id=1, call_id=call_id))
            assert told
            jsonschema.validate(told, {**schema, "components": document["components"]})


# Who may use it


FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Host": "rebound.example", "Origin": "http://rebound.example"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids="+".join)
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/api/reset"), ("DELETE", "/api/faults/armed"), ("PUT", "/api/clock"), ("GET", "/api/rings"), ("POST", DEFAULT_PATH)],
)  # fmt: skip
def test_another_sites_page_neither_reads_nor_changes_anything(
    victim: Sandbox, headers: dict[str, str], method: str, path: str
) -> None:
    assert ask(victim, method, path, {"speed": 9}, **headers).status_code == 403
    assert (len(victim.campaigns), get(victim, "/api/clock")["speed"]) == (1, 0)


@pytest.mark.parametrize("path", ["/", "/api/campaigns", "/openapi.json"])
def test_a_foreign_host_name_that_leads_here_shows_nothing(queuecalls_sandbox: Sandbox, path: str) -> None:
    assert ask(queuecalls_sandbox, "GET", path, Host="rebound.example:80").status_code == 403


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_what_a_foreign_form_can_send_without_asking_is_not_taken(
    queuecalls_sandbox: Sandbox, content_type: str
) -> None:
    post(queuecalls_sandbox)
    answer = ask(queuecalls_sandbox, "POST", "/api/reset", **{"Content-Type": content_type})

    assert answer.status_code == 403
    assert len(queuecalls_sandbox.campaigns) == 1


def test_a_link_on_another_site_may_lead_to_the_page(queuecalls_sandbox: Sandbox) -> None:
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}

    assert ask(queuecalls_sandbox, "GET", "/", **followed).status_code == 200
    assert ask(queuecalls_sandbox, "POST", "/api/reset", **followed).status_code == 403


def test_its_own_page_and_programs_may(queuecalls_sandbox: Sandbox) -> None:
    own = {"Origin": queuecalls_sandbox.url, "Sec-Fetch-Site": "same-origin"}

    assert ask(queuecalls_sandbox, "POST", "/api/reset", **own).status_code == 200
    assert ask(queuecalls_sandbox, "POST", "/api/reset").status_code == 200


def test_the_service_is_reached_by_any_name_since_programs_use_many(queuecalls_sandbox: Sandbox) -> None:
    assert post(queuecalls_sandbox, headers={"Host": "queuecalls-sandbox:8099"}).status_code == 200


def test_a_name_that_the_sandbox_was_given_leads_to_its_page() -> None:
    with run_sandbox(host="localhost") as sandbox:
        assert ask(sandbox, "GET", "/", Host="localhost:8099").status_code == 200


def test_no_page_may_load_or_frame_anything_foreign(queuecalls_sandbox: Sandbox) -> None:
    headers = ask(queuecalls_sandbox, "GET", "/").headers

    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
