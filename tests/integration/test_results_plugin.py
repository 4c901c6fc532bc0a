"""The receiver in a real API server of Airflow 3."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import requests

from airflow_provider_queuecalls.records.database.database import Database
from airflow_provider_queuecalls.records.receiver.urls import results_url, script_url
from airflow_provider_queuecalls.voice.speech import Speech
from tests.support.airflow import Airflow, api_server
from tests.support.command import REPOSITORY
from tests.support.moved import AIRFLOW, IS_AIRFLOW_2
from tests.support.receiver import KEY, NEW, NUMBER, RESULT, stored

pytestmark = pytest.mark.skipif(IS_AIRFLOW_2, reason="Airflow 2.11 has no API server that takes an app of a plugin")
CONFIGURED = {"AIRFLOW__QUEUECALLS__RESULTS_DATABASE": "results_db", "AIRFLOW__QUEUECALLS__RESULTS_SECRET": NEW}


@pytest.fixture(scope="module")
def airflow_server(tmp_path_factory: pytest.TempPathFactory, database: None) -> Iterator[Airflow]:
    home = tmp_path_factory.mktemp("results")
    with api_server(home, {**CONFIGURED, "AIRFLOW_CONN_RESULTS_DB": f"sqlite:///{home}/results.db"}) as server:
        yield server


def test_anybody_can_post_to_the_right_path_of_the_api_server_and_nowhere_else(airflow_server: Airflow) -> None:
    base = f"{airflow_server.url}/queuecalls/results"
    right, wrong = (results_url(base, KEY, [secret]) for secret in (NEW, "a-secret-of-somebody-else"))
    assert requests.get(right, timeout=60).status_code == 200
    assert requests.post(right, RESULT, timeout=60).text == "stored\n"
    assert requests.get(wrong, timeout=60).status_code == requests.post(wrong, RESULT, timeout=60).status_code == 404
    assert requests.get(f"{airflow_server.url}/api/v2/dags", timeout=60).status_code == 401
    script = script_url(base, KEY, Speech(choices={"1": "confirmed"}), [NEW])
    assert b"Hello" in requests.get(script, {"call_parameters": "Hello"}, timeout=60).content
    assert requests.post(script, {"call_id": "7", "choice": "confirmed"}, timeout=60).status_code == 200
    (row,) = stored(airflow_server.environment["AIRFLOW_CONN_RESULTS_DB"])
    assert row["phone_number"] == NUMBER
    assert "The results database is a SQLite file" in airflow_server.log("api-server")


async def respond(app: Any, method: str, path: str, body: bytes) -> int:
    """Send a request to an ASGI app in this process, and return the status code."""
    statuses = list[int]()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(message: dict[str, Any]) -> None:
        statuses.append(message.get("status", 0))

    headers = [(b"content-type", b"application/x-www-form-urlencoded")]
    await app({"type": "http", "method": method, "path": path, "headers": headers, "query_string": b""}, receive, send)
    return statuses[0]


def test_the_first_requests_open_the_database_once_if_they_come_together(
    airflow: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_queuecalls._airflow import results
    from airflow_provider_queuecalls.pages.access import FullAccess
    from airflow_provider_queuecalls.pages.app import Pages
    from airflow_provider_queuecalls.plugins.queuecalls import _receiver

    opened = list[Database]()

    def open_slowly() -> Database:
        time.sleep(0.3)
        opened.append(Database(f"sqlite:///{tmp_path}/results.db"))
        return opened[-1]

    async def authorize(_: Any) -> FullAccess:
        return FullAccess()

    async def together(app: Any, *asked: tuple[str, str, bytes]) -> list[int]:
        return await asyncio.gather(*(respond(app, *each) for each in asked))

    monkeypatch.setattr(results, "results_database", open_slowly)
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__RESULTS_SECRET", NEW)
    post = ("POST", results_url("http://h", KEY, [NEW]).removeprefix("http://h"), urlencode(RESULT).encode())
    pages = Pages(open_slowly, authorize, lambda *_: None).app()
    for app, asked in ((_receiver(), (post, ("GET", "/health", b""))), (pages, [("GET", "/", b"")] * 2)):
        assert asyncio.run(together(app, *asked)) == [200, 200]
        (database,) = opened
        database.close()
        opened.clear()


PROGRAM = """
import sys
import airflow.plugins_manager
for name in [name for name in sys.modules if name.startswith("airflow_provider_queuecalls")]:
    del sys.modules[name]
before = set(sys.modules)
from airflow_provider_queuecalls.plugins.queuecalls import QueueCallsPlugin
print("imported", *(set(sys.modules) - before))
plugin = QueueCallsPlugin()
print("mounted", *(app["name"] for app in plugin.fastapi_apps), *(view["name"] for view in plugin.external_views))
"""


@pytest.mark.parametrize("is_configured", [False, True])
def test_the_plugin_imports_nothing_and_mounts_nothing_until_a_database_is_configured(is_configured: bool) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, cwd=REPOSITORY,
        env={**os.environ, **(CONFIGURED if is_configured else {})},
    )  # fmt: skip
    printed = dict(line.partition(" ")[::2] for line in ran.stdout.splitlines())
    ours = {f"airflow_provider_queuecalls{name}" for name in ("", ".plugins", ".plugins.queuecalls")}
    assert set(printed["imported"].split()) == ours
    pages = " queuecalls campaigns Calling campaigns" if AIRFLOW >= (3, 1) else ""
    assert printed["mounted"] == (f"queuecalls results{pages}" if is_configured else "")
