"""Airflow 2.11's own pages: the connection form keeps what is saved, and a run that is started there reaches the service."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_queuecalls.client.endpoint import Endpoint
from airflow_provider_queuecalls.sandbox.server import Sandbox, run_sandbox
from tests.conftest import LOGIN, PIN
from tests.support.moved import IS_AIRFLOW_2, for_this_airflow
from tests.support.patience import PATIENCE_SECONDS, wait_until
from tests.support.ports import free_port
from tests.support.sandbox import START_URL

pytestmark = pytest.mark.skipif(not IS_AIRFLOW_2, reason="Airflow 3 has pages of its own for this")
PREFIX = "extra__queuecalls__"
STANDARD = {"conn_id": "calls", "conn_type": "queuecalls", "host": "https://calls.example", "login": "bob", "password": "4711"}  # fmt: skip
ALL = {
    **{
        "path": "/q.php",
        "pin": "9999",
        "basic_auth": "false",
        "allow_http": "y",
        "field_names": '{"secure": "is_pci"}',
    },
    **{
        "connect_timeout": "2.5",
        "read_timeout": "600",
        "verify": "false",
        "proxies": '{"https": "http://proxy.example:1"}',
    },
    "campaign_url": "https://manager.example/{campaign_name}",
}


class Form(HTMLParser):
    """What a browser would send back of a form that nobody has changed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.values: dict[str, str] = {}
        self._textarea: str | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name = given.get("name")
        if tag == "input" and name and (given.get("type") != "checkbox" or "checked" in given):
            self.values[name] = given.get("value") or ""
        self._textarea = name if tag == "textarea" else None

    def handle_data(self, data: str) -> None:
        if self._textarea:
            self.values[self._textarea] = data.strip()
            self._textarea = None


@pytest.fixture(scope="module")
def client(database: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser without eyes, of somebody who may do everything."""
    config = tmp_path_factory.mktemp("web") / "webserver_config.py"
    config.write_text("AUTH_TYPE = 1\nAUTH_ROLE_PUBLIC = 'Admin'\nWTF_CSRF_ENABLED = False\n")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AIRFLOW__WEBSERVER__CONFIG_FILE", str(config))
        from airflow.www.app import create_app  # type: ignore[import-not-found]

        yield create_app(testing=True).test_client()


def stored() -> tuple[int, Endpoint]:
    from airflow.models import Connection
    from airflow.utils.session import create_session

    with create_session() as session:
        connection = session.query(Connection).filter_by(conn_id="calls").one()
        return connection.id, Endpoint.from_connection(connection)


def reopened(client: Any, number: int) -> dict[str, str]:
    form = Form(client.get(f"/connection/edit/{number}").text).values
    return {**form, "conn_type": "queuecalls"}


@pytest.fixture
def connection(client: Any) -> Iterator[int]:
    """A connection made in the form with every field."""
    client.post("/connection/add", data={**STANDARD, **{f"{PREFIX}{name}": value for name, value in ALL.items()}})
    number, _ = stored()
    yield number
    client.post(f"/connection/delete/{number}")


def test_every_field_is_shown_with_its_help(client: Any) -> None:
    page = client.get("/connection/add").text
    assert set(Form(page).values) >= {f"{PREFIX}{name}" for name in ALL if name != "allow_http"}
    assert "The path of the service on its host." in page


def test_what_is_saved_and_reopened_is_kept(client: Any, connection: int) -> None:
    _, endpoint = stored()
    assert endpoint.url == "https://calls.example/q.php"
    assert (endpoint.password, endpoint.pin, endpoint.basic_auth, endpoint.verify) == ("4711", "9999", False, False)
    assert (endpoint.connect_timeout, endpoint.read_timeout) == (2.5, 600)
    assert endpoint.campaign_url == ALL["campaign_url"]

    client.post(f"/connection/edit/{connection}", data=reopened(client, connection))
    assert stored() == (connection, endpoint)


def test_the_page_shows_no_secret(client: Any, connection: int) -> None:
    page = client.get(f"/connection/edit/{connection}").text
    assert [secret for secret in ("4711", "9999") if f'"{secret}"' in page] == []


def test_objects_from_elsewhere_are_shown_as_json(client: Any, connection: int) -> None:
    from airflow.models import Connection
    from airflow.utils.session import create_session

    with create_session() as session:
        given = {"field_names": {"secure": "is_pci"}, "read_timeout": 600}
        session.query(Connection).filter_by(conn_id="calls").one().extra = json.dumps(given)
    client.post(f"/connection/edit/{connection}", data=reopened(client, connection))

    _, endpoint = stored()
    assert (endpoint.field_names, endpoint.read_timeout) == ({"secure": "is_pci"}, 600)


DAG_ID = "started_by_hand"
DAG_FILE = """
from datetime import datetime, timezone
from airflow.sdk import DAG, task
from airflow_provider_queuecalls.operators.queuecalls import QueueCallsOperator

with DAG({dag_id!r}, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc), params={{"contacts": "none"}}):
    QueueCallsOperator(
        task_id="call", contacts="{{{{ params.contacts }}}}", start_url={start_url!r}, queuecalls_conn_id="calls"
    )
"""


@contextmanager
def scheduler(dags: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Airflow's scheduler, as a process."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",  # tasks are started by the name of the command
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
    }
    command = [sys.executable, "-m", "airflow", "scheduler"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


def known() -> bool:
    from airflow.models.serialized_dag import SerializedDagModel

    return bool(SerializedDagModel.has_dag(DAG_ID))


def started(client: Any, conf: str) -> bool:
    """Press the button, and see whether it did something: page and scheduler share a file in which one writes at a time."""
    client.post(f"/dags/{DAG_ID}/trigger", data={"conf": conf, "unpause": "on"})
    return bool(run_states())


def ended() -> str | None:
    (state,) = run_states()
    return state if state in ("success", "failed") else None


def run_states() -> list[str]:
    from airflow.models import DagRun
    from airflow.utils.session import create_session

    with create_session() as session:
        return [str(run.state) for run in session.query(DagRun).filter_by(dag_id=DAG_ID)]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with run_sandbox(login=LOGIN, pin=PIN, speed=0) as sandbox:
        yield sandbox


def test_a_run_that_is_started_there_reaches_the_service(
    client: Any, sandbox: Sandbox, small_list: Path, tmp_path: Path
) -> None:
    client.post("/connection/add", data={**STANDARD, "host": sandbox.url, "login": LOGIN, "password": PIN})
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "dag.py").write_text(for_this_airflow(DAG_FILE.format(dag_id=DAG_ID, start_url=START_URL)))
    with scheduler(dags, log := tmp_path / "scheduler.log") as process:
        wait_until(known, process, log)
        conf = json.dumps({"contacts": str(small_list)})
        wait_until(lambda: started(client, conf), process, log)
        assert wait_until(ended, process, log) == "success", log.read_text()
    (campaign,) = sandbox.campaigns
    assert (campaign.contacts, set(sandbox.numbers.values())) == (3, {1})
