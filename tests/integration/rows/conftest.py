"""Databases, and a sandbox that takes the campaigns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_queuecalls.sandbox.server import Sandbox
from tests.support.warehouse import PEOPLE, Database, postgres_database, sqlite_database


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
def sandbox(queuecalls_sandbox: Sandbox) -> Sandbox:
    return queuecalls_sandbox


@pytest.fixture(autouse=True)
def a_connection(connect: Any, airflow: Any) -> None:
    connect("http://127.0.0.1:1")
