"""A connection id that is not defined."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from airflow_provider_queuecalls.client.endpoint import Endpoint
from airflow_provider_queuecalls.exceptions import InvalidConnection
from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook


@pytest.mark.parametrize("value", [None, "", " ", "None"])
def test_a_connection_id_that_is_not_set_is_the_default(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_QUEUECALLS_DEFAULT", '{"conn_type": "queuecalls", "login": "bob", "password": "4711"}'
    )
    assert QueueCallsHook(value).endpoint.login == "bob"


@pytest.mark.parametrize("value", [5, 1.5, True, ["my_calls"], b"my_calls"])
def test_a_connection_id_of_another_type_is_an_error(value: Any) -> None:
    with pytest.raises(InvalidConnection, match=f"is a value of type {type(value).__name__}; it must be the id"):
        _ = QueueCallsHook(value).endpoint


def test_a_connection_that_cannot_be_read_is_not_called_undefined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MY_CALLS", '{"conn_type": "queuecalls", "login": "bob", "password": "4711"')
    with pytest.raises(InvalidConnection, match="not to a connection that Airflow can read") as caught:
        QueueCallsHook("my_calls").endpoint  # noqa: B018
    assert "4711" not in str(caught.value)


def test_an_undefined_connection_says_how_to_define_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidConnection) as caught:
        _ = QueueCallsHook("my_calls").endpoint
    message = str(caught.value)
    assert "queuecalls_conn_id is 'my_calls', which is not defined" in message
    assert "airflow connections add my_calls --conn-json" in message
    assert caught.value.__cause__ is None
    # What the message says to do works.
    connection = json.loads(re.search(r"\{.*\}", message)[0])  # type: ignore[index]
    monkeypatch.setenv("AIRFLOW_CONN_MY_CALLS", json.dumps({**connection, "login": "bob", "password": "4711"}))
    assert "AIRFLOW_CONN_MY_CALLS" in message
    assert isinstance(QueueCallsHook("my_calls").endpoint, Endpoint)
