"""Requests from pages of other sites."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_provider_queuecalls.client.connection import DEFAULT_PATH
from airflow_provider_queuecalls.sandbox.server import Sandbox, run_sandbox
from tests.support.sandbox import ask, get, post


@pytest.fixture(scope="module")
def victim() -> Iterator[Sandbox]:
    """A sandbox for requests that must change nothing."""
    with run_sandbox(speed=0) as sandbox:
        post(sandbox)
        yield sandbox


FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Host": "rebound.example", "Origin": "http://rebound.example"},
    {"Host": "rebound.example", "Sec-Fetch-Site": "same-origin"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids="+".join)
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/api/reset"), ("DELETE", "/api/faults/armed"), ("PUT", "/api/clock"), ("GET", "/api/attempts"), ("POST", DEFAULT_PATH)],
)  # fmt: skip
def test_a_page_of_another_site_can_neither_read_nor_change_anything(
    victim: Sandbox, headers: dict[str, str], method: str, path: str
) -> None:
    status = 400 if "Host" in headers else 403
    assert ask(victim, method, path, {"speed": 9}, **headers).status_code == status
    assert (len(victim.campaigns), get(victim, "/api/clock")["speed"]) == (1, 0)


@pytest.mark.parametrize("path", ["/", "/api/campaigns", "/openapi.json"])
def test_a_foreign_host_name_that_resolves_to_this_machine_is_refused(queuecalls_sandbox: Sandbox, path: str) -> None:
    assert ask(queuecalls_sandbox, "GET", path, Host="rebound.example:80").status_code == 400


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_content_types_that_a_foreign_form_can_send_are_refused(queuecalls_sandbox: Sandbox, content_type: str) -> None:
    post(queuecalls_sandbox)
    response = ask(queuecalls_sandbox, "POST", "/api/reset", **{"Content-Type": content_type})

    assert response.status_code == 403
    assert len(queuecalls_sandbox.campaigns) == 1


def test_a_link_on_another_site_may_lead_to_the_page(queuecalls_sandbox: Sandbox) -> None:
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}

    assert ask(queuecalls_sandbox, "GET", "/", **followed).status_code == 200
    assert ask(queuecalls_sandbox, "POST", "/api/reset", **followed).status_code == 403


def test_its_own_page_and_programs_are_allowed(queuecalls_sandbox: Sandbox) -> None:
    own = {"Origin": queuecalls_sandbox.url, "Sec-Fetch-Site": "same-origin"}

    assert ask(queuecalls_sandbox, "POST", "/api/reset", **own).status_code == 200
    assert ask(queuecalls_sandbox, "POST", "/api/reset").status_code == 200


@pytest.mark.parametrize("host", ["192.0.2.7:80", "[2001:db8::7]:80", "localhost:80"])
def test_addresses_and_this_machines_names_are_trusted(queuecalls_sandbox: Sandbox, host: str) -> None:
    assert ask(queuecalls_sandbox, "GET", "/", Host=host).status_code == 200


def test_programs_reach_the_service_by_any_name(queuecalls_sandbox: Sandbox) -> None:
    assert post(queuecalls_sandbox, headers={"Host": "queuecalls-sandbox:8099"}).status_code == 200


def test_the_host_option_names_a_trusted_host() -> None:
    with run_sandbox(host="localhost") as sandbox:
        assert ask(sandbox, "GET", "/", Host="localhost:8099").status_code == 200


def test_no_page_may_load_or_frame_anything_foreign(queuecalls_sandbox: Sandbox) -> None:
    headers = ask(queuecalls_sandbox, "GET", "/").headers

    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
