"""The tasks of the end-to-end example that wait for results and count them, on a real database."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.support.moved import AIRFLOW, dag_bag

pytestmark = pytest.mark.skipif(AIRFLOW < (3, 2), reason="the approval task of that time has no response_timeout")
DAG_ID = "queue_calls_end_to_end"
QUEUED = {
    "dry_run": False, "contacts": 3, "campaign_name": "spring", "digest": "sha256:0", "queued_at": "2026-11-23T14:45:07+00:00",
}  # fmt: skip
REACHED, BUSY = ("completed", "human"), ("failed", "busy")
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


def came_back(do: Callable[..., list[Any]], campaign: str, *results: tuple[str, str]) -> None:
    for number, result in enumerate(results):
        row = (campaign, f"order-{number}", str(100000001 + number), *result)
        do(
            "INSERT INTO call_results (campaign, message_reference, call_id, result, callee_type) VALUES (?, ?, ?, ?, ?)",
            *row,
        )


@pytest.mark.parametrize(
    ("results", "minutes_ago", "over"),
    [
        ((), -60, False),
        ((REACHED, BUSY), -60, False),
        ((REACHED, BUSY, REACHED), -60, True),
        ((REACHED, BUSY), 10, True),
        ((), 10, True),
    ],
)
def test_collecting_ends_with_the_last_result_or_when_no_more_can_come(
    results: tuple[tuple[str, str], ...], minutes_ago: int, over: bool, task: Any, do: Any
) -> None:
    came_back(do, "once", *results)
    came_back(do, "another", *[REACHED] * 9)
    last_result = datetime.now(ZoneInfo("America/New_York")) - timedelta(minutes=minutes_ago)
    found = task("collect")(QUEUED, f"{last_result:%Y-%m-%dT%H:%M}", **RUN)
    assert found.is_done is over
    assert sorted(found.xcom_value) == sorted([*result, results.count(result)] for result in set(results))


def test_what_is_missing_shows_in_the_summary_which_is_written_once(task: Any, do: Any) -> None:
    summarize = task("summarize")
    summarize(QUEUED, [], **RUN)
    assert summarize(QUEUED, [[*REACHED, 1], [*BUSY, 1]], **RUN) == "1 of 3 people reached, 0 answering machines"
    row = ("once", *(QUEUED[name] for name in ("campaign_name", "digest", "queued_at", "contacts")), 2, 1, 1, 0)
    assert do("SELECT * FROM call_summaries") == [row]


def test_only_a_completed_call_with_a_human_counts_as_reached(task: Any, do: Any) -> None:
    """A type that is empty or not known, as where the detection is switched off, is counted as neither."""
    counts = [
        [*REACHED, 4],
        ["completed", "machine", 3],
        ["completed", "", 2],
        ["completed", None, 1],
        ["failed", "human", 9],
    ]
    assert task("summarize")(QUEUED, counts, **RUN) == "4 of 3 people reached, 3 answering machines"
    assert do("SELECT results, completed, reached, answering_machines FROM call_summaries") == [(19, 10, 4, 3)]
