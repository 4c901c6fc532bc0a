"""Real databases for the tests of queries, each reached by the connection ``warehouse``."""

from __future__ import annotations

import json
import secrets
import sqlite3
import traceback
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_queuecalls.transfers.sql_to_queuecalls import SqlToQueueCallsOperator
from tests.support.postgres import Postgres
from tests.support.task import execute, failure_of

ANN, BOB, CAY = "16175550143", "16175550178", "12025550119"
PEOPLE = [(3, CAY, "order-3"), (1, ANN, "order-1"), (2, BOB, "order-2")]
START_URL = "https://ivr.example.com/x.vxml"


class Database:
    """A database of a test's own, to which the connection ``warehouse`` leads."""

    def __init__(self, connect: Callable[[], Any], mark: str) -> None:
        self._connect = connect
        #: How its driver marks a parameter.
        self.mark = mark

    def do(self, *statements: str) -> list[Any]:
        """Carry out statements; return what the last one found."""
        with closing(self._connect()) as connection:
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement)
            found = cursor.fetchall() if cursor.description else []
            connection.commit()
            return found


def sqlite_database(path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    return Database(lambda: sqlite3.connect(path), "?")


def postgres_database(postgres: Postgres, monkeypatch: pytest.MonkeyPatch, driver: str) -> Database:
    import psycopg2
    from airflow.providers.postgres.hooks import postgres as provider

    url = postgres.new_database(f"{driver}_{secrets.token_hex(4)}")
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", url)
    if driver == "psycopg":
        pytest.importorskip("psycopg")
    # The provider takes psycopg where it is installed.
    monkeypatch.setattr(provider, "USE_PSYCOPG3", driver == "psycopg", raising=False)
    return Database(lambda: psycopg2.connect(url), "%s")


def operator(sql: Any = "SELECT mobile AS phone_number FROM people", **more: Any) -> SqlToQueueCallsOperator:
    given = {"sql_conn_id": "warehouse", "start_url": START_URL, "dry_run": True, "receipts_path": "none", **more}
    return SqlToQueueCallsOperator(task_id="call", sql=sql, **given)


def run(sql: Any, **more: Any) -> Any:
    return execute(operator(sql, **more))


def failure(sql: Any = "SELECT mobile AS phone_number FROM people", **more: Any) -> BaseException:
    return failure_of(operator(sql, **more))


def shown(error: BaseException | None) -> str:
    """All that a traceback would show."""
    return "".join(traceback.format_exception(error)) if error else ""
