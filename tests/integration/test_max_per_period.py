"""``max_per_period`` in a real DAG run: an operator, a function's contacts, and a query's rows share one record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_queuecalls.sandbox.server import Sandbox
from tests.support.dag_run import Run
from tests.support.warehouse import sqlite_database

if TYPE_CHECKING:
    import pytest

ANN, BOB, CAT, DOT = (f"1617555{ending}" for ending in ("0163", "0164", "0165", "0166"))
TASKS = """
given = {{
    "start_url": "https://ivr.example.com/x.vxml", "receipts_path": {receipts!r}, "on_invalid": "skip",
    "max_per_period": "{{{{ params.limit }}}}",
}}
queue = QueueCallsOperator(task_id="queue", contacts={contacts!r}, **given)

@task.queuecalls(**given)
def function():
    return [(number,) for number in ({ann!r}, {bob!r}, {cat!r})]

query = SqlToQueueCallsOperator(
    task_id="query", sql="SELECT phone_number FROM people ORDER BY 1", sql_conn_id="warehouse", **given
)
queue >> function() >> query
"""


def test_nobody_is_called_more_often_than_the_limit_by_the_tasks_of_a_run(
    run_tasks: Callable[..., Run],
    tmp_path: Path,
    receipts_folder: Path,
    queuecalls_sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__RESULTS_DATABASE", f"sqlite:///{tmp_path}/results.db")
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__RESULTS_SECRET", "a-secret-of-this-run")
    warehouse = sqlite_database(tmp_path / "warehouse.db", monkeypatch)
    warehouse.do("CREATE TABLE people (phone_number)", f"INSERT INTO people VALUES ('{BOB}'), ('{DOT}')")
    contacts = tmp_path / "calls.csv"
    contacts.write_text(f"{ANN}\n{BOB}\n")
    numbers = {"ann": ANN, "bob": BOB, "cat": CAT, "dot": DOT}
    tasks = TASKS.format(receipts=str(receipts_folder), contacts=str(contacts), **numbers)
    run = run_tasks(tasks, settings="params={'limit': '1/24h'}")
    assert run.states == dict.fromkeys(("function", "query", "queue"), "success")
    assert queuecalls_sandbox.numbers == dict.fromkeys(numbers.values(), 1)
    assert ": 1 valid, 2 called_too_often" in run.printed
    assert ": 1 valid, 1 called_too_often" in run.printed
    assert not any(number in run.kept + run.printed for number in numbers.values())
