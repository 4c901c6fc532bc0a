"""``max_per_period`` in a real DAG run: an operator, a function's contacts, and a query's rows share one record."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_queuecalls.sandbox.server import Sandbox
from tests.support.dag_run import run_dag_code
from tests.support.warehouse import sqlite_database

if TYPE_CHECKING:
    import pytest

ANN, BOB, CAT, DOT = (f"1617555{ending}" for ending in ("0163", "0164", "0165", "0166"))
DAG_FILE = """
from datetime import datetime, timezone
from airflow.sdk import DAG, task
from airflow_provider_queuecalls.operators.queuecalls import QueueCallsOperator
from airflow_provider_queuecalls.transfers.sql_to_queuecalls import SqlToQueueCallsOperator

START = {{"start_url": "https://ivr.example.com/x.vxml", "receipts_path": {receipts!r}, "on_invalid": "skip"}}

with DAG("max_per_period", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc), params={{"limit": "1/24h"}}):
    queue = QueueCallsOperator(task_id="queue", contacts={contacts!r}, max_per_period="{{{{ params.limit }}}}", **START)

    @task.queuecalls(max_per_period="{{{{ params.limit }}}}", **START)
    def function():
        return [(number,) for number in ({ann!r}, {bob!r}, {cat!r})]

    query = SqlToQueueCallsOperator(
        task_id="query", sql="SELECT phone_number FROM people ORDER BY 1", sql_conn_id="warehouse",
        max_per_period="{{{{ params.limit }}}}", **START,
    )
    queue >> function() >> query
"""


def test_nobody_is_called_more_often_than_the_limit_by_the_tasks_of_a_run(  # noqa: PLR0917
    database: None,
    tmp_path: Path,
    receipts_folder: Path,
    queuecalls_sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__RESULTS_DATABASE", f"sqlite:///{tmp_path}/results.db")
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__RESULTS_SECRET", "a-secret-of-this-run")
    warehouse = sqlite_database(tmp_path / "warehouse.db", monkeypatch)
    warehouse.do("CREATE TABLE people (phone_number)", f"INSERT INTO people VALUES ('{BOB}'), ('{DOT}')")
    contacts = tmp_path / "calls.csv"
    contacts.write_text(f"{ANN}\n{BOB}\n")
    numbers = {"ann": ANN, "bob": BOB, "cat": CAT, "dot": DOT}
    code = DAG_FILE.format(receipts=str(receipts_folder), contacts=str(contacts), **numbers)
    run = run_dag_code(code, "max_per_period", capfd)
    assert run.states == dict.fromkeys(("function", "query", "queue"), "success")
    assert queuecalls_sandbox.numbers == dict.fromkeys(numbers.values(), 1)
    assert ": 1 valid, 2 called_too_often" in run.printed
    assert ": 1 valid, 1 called_too_often" in run.printed
    assert not any(number in run.kept + run.printed for number in numbers.values())
