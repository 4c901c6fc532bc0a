"""Login and PIN, in HTTP Basic and in the form."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
import requests

from airflow_provider_queuecalls.client.campaign import Campaign
from airflow_provider_queuecalls.client.connection import DEFAULT_PATH
from airflow_provider_queuecalls.exceptions import InvalidConnection, Refused
from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook
from airflow_provider_queuecalls.outcome import Outcome
from airflow_provider_queuecalls.sandbox.server import Sandbox, run_sandbox
from tests.support.sandbox import FORM, LOGIN, PIN, post_form, refused_fields


@pytest.mark.parametrize(
    "header", ["Basic " + base64.b64encode(b"a-sender:another").decode(), "Basic é", "Bearer x", "Basic"]
)
def test_invalid_basic_credentials_are_refused(sandbox: Sandbox, header: str) -> None:
    response = post_form(sandbox, FORM, headers={"Authorization": header.encode("latin-1")})

    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Basic")
    assert sandbox.campaigns == []


def test_basic_does_not_replace_the_forms_pin(sandbox: Sandbox) -> None:
    response = post_form(sandbox, {**FORM, "pin": "another"}, auth=(LOGIN, PIN))

    assert refused_fields(response) == ["pin"]


def test_a_wrong_pin_in_the_connection_is_refused(
    sandbox: Sandbox, contacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {**json.loads(sandbox.connection), "extra": {"pin": "another"}}
    monkeypatch.setenv("AIRFLOW_CONN_QUEUECALLS_DEFAULT", json.dumps(connection))

    with pytest.raises(Refused, match="pin is not"):
        QueueCallsHook().queue_calls(contacts, Campaign(start_url=FORM["start_url"]))


def test_login_and_pin_may_be_any_text(contacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with run_sandbox(login="Zoë Łętowska", pin="密&<'\"> :") as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_QUEUECALLS_DEFAULT", sandbox.connection)
        hook = QueueCallsHook()

        assert hook.test_connection()[0]
        assert hook.queue_calls(contacts, Campaign(start_url=FORM["start_url"])).outcome is Outcome.QUEUED


def test_testing_the_connection_queues_nothing(sandbox: Sandbox, hook: QueueCallsHook) -> None:
    works, message = hook.test_connection()

    assert works, message
    assert sandbox.campaigns == []


@pytest.mark.parametrize(("auth", "code"), [(None, 200), ((LOGIN, PIN), 200), ((LOGIN, "another"), 401)])
def test_a_head_request_checks_basic_only(sandbox: Sandbox, auth: tuple[str, str] | None, code: int) -> None:
    assert requests.head(sandbox.url + DEFAULT_PATH, auth=auth, timeout=30).status_code == code


def test_a_login_that_no_connection_can_carry_is_refused() -> None:
    with pytest.raises(InvalidConnection, match="colon"), run_sandbox(login="a:b"):
        pass
