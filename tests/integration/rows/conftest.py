"""Databases, DAGs of a test's own, and a sandbox that takes the campaigns."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest

from airflow_provider_queuecalls.sandbox.server import Sandbox, run_sandbox
from tests.conftest import HOME, LOGIN, PIN
from tests.support.dag_run import Run, run_dag_file
from tests.support.moved import for_this_airflow
from tests.support.warehouse import PEOPLE, Database, postgres_database, sqlite_database

DAG_FILE = """
from datetime import datetime, timedelta, timezone
from airflow.sdk import DAG, task
from airflow_provider_queuecalls.transfers.sql_to_queuecalls import SqlToQueueCallsOperator

ANN, BOB, CAY = "16175550143", "16175550178", "12025550119"

with DAG({dag_id!r}, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc), catchup=False):
{tasks}
"""


@pytest.fixture
def run_dag(
    database: None, request: pytest.FixtureRequest, capfd: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Run]]:
    """Write a DAG file with these tasks, and SQL files beside it, and run it."""
    folder = HOME / "dags" / f"rows_{abs(hash(request.node.name))}"
    folder.mkdir()

    def run(tasks: str, **beside: str) -> Run:
        for name, sql in beside.items():
            (folder / f"{name}.sql").write_text(sql)
        file = folder / "dag.py"
        file.write_text(for_this_airflow(DAG_FILE.format(dag_id=folder.name, tasks=indent(tasks, "    "))))
        return run_dag_file(file, folder.name, capfd)

    yield run
    shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "psycopg", "psycopg2"])
def warehouse(
    request: pytest.FixtureRequest, airflow: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Database:
    """Each kind, with three people in it."""
    if request.param == "sqlite":
        database = sqlite_database(tmp_path / "warehouse.db", monkeypatch)
    else:
        database = postgres_database(request.getfixturevalue("postgres"), monkeypatch, request.param)
    values = ", ".join(f"({key}, {number}, '{reference}')" for key, number, reference in PEOPLE)
    database.do("CREATE TABLE people (id INT, mobile BIGINT, reference TEXT)", f"INSERT INTO people VALUES {values}")
    return database


@pytest.fixture
def sandbox(connect: Any, airflow: Any) -> Iterator[Sandbox]:
    with run_sandbox(login=LOGIN, pin=PIN, speed=0) as sandbox:
        connect(sandbox.url)
        yield sandbox


@pytest.fixture(autouse=True)
def a_connection(connect: Any, airflow: Any) -> None:
    connect("http://127.0.0.1:1")
