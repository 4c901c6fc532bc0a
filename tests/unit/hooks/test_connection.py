"""A connection id that is not defined."""

from __future__ import annotations

import json
import re

import pytest

from airflow_provider_queuecalls.client.endpoint import Endpoint
from airflow_provider_queuecalls.exceptions import InvalidConnection
from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook


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
