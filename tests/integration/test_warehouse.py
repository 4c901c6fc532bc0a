"""The tasks of the example from the warehouse to the phone that Airflow lets wait for days, on a real database."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.support.moved import AIRFLOW, dag_bag

pytestmark = pytest.mark.skipif(AIRFLOW < (3, 2), reason="the approval task of that time has no response_timeout")
DAG_ID = "queue_calls_end_to_end"
QUEUED = {
    "dry_run": False, "contacts": 3, "campaign_name": "spring", "digest": "sha256:0", "queued_at": "2026-11-23T14:45:07+00:00",
}  # fmt: skip
RUN: dict[str, Any] = {"params": {"sql_conn_id": "warehouse"}, "run_id": "once"}


@pytest.fixture
def task(examples: Path) -> Callable[[str], Any]:
    """A task's function, out of the example."""
    bag = dag_bag(str(examples / f"{DAG_ID}.py"))
    assert not bag.import_errors
    return lambda task_id: bag.dags[DAG_ID].get_task(task_id).python_callable


@pytest.fixture
def do(tmp_path: Path, examples: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """Carries out a statement in a warehouse with the tables that the example needs."""
    path = tmp_path / "warehouse.db"
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((examples / "sql" / "warehouse_tables.sql").read_text())

    def do(statement: str, *values: object) -> list[Any]:
        with closing(sqlite3.connect(path)) as connection, connection:
            return connection.execute(statement, values).fetchall()

    return do


def came_back(do: Callable[..., list[Any]], campaign: str, *results: str) -> None:
    for number, result in enumerate(results):
        row = (campaign, f"order-{number}", str(100000001 + number), result)
        do("INSERT INTO call_results (campaign, message_reference, call_id, result) VALUES (?, ?, ?, ?)", *row)


@pytest.mark.parametrize(
    ("results", "minutes_ago", "over"),
    [
        ((), -60, False),
        (("completed", "failed"), -60, False),
        (("completed", "failed", "completed"), -60, True),
        (("completed", "failed"), 50, False),
        (("completed", "failed"), 70, True),
        ((), 70, True),
    ],
)
def test_collecting_ends_with_the_last_result_or_an_hour_after_the_last_call(
    results: tuple[str, ...], minutes_ago: int, over: bool, task: Any, do: Any
) -> None:
    came_back(do, "once", *results)
    came_back(do, "another", *["completed"] * 9)
    expiration = datetime.now(timezone.utc) - timedelta(minutes=minutes_ago)
    found = task("collect")(QUEUED, expiration.isoformat(), **RUN)
    assert found.is_done is over
    assert found.xcom_value == {result: results.count(result) for result in results}


def test_what_is_missing_shows_in_the_summary_which_is_written_once(task: Any, do: Any) -> None:
    summarize = task("summarize")
    summarize(QUEUED, {}, **RUN)
    assert summarize(QUEUED, {"completed": 1, "failed": 1}, **RUN) == "1 of 3 calls completed, 2 results"
    row = ("once", *(QUEUED[name] for name in ("campaign_name", "digest", "queued_at", "contacts")), 2, 1)
    assert do("SELECT * FROM call_summaries") == [row]
