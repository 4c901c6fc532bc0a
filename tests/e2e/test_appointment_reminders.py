"""The example that lets people confirm by key: a scheduler, a triggerer, the sandbox, and a receiver that speaks."""

from __future__ import annotations

import csv
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from airflow_provider_queuecalls.sandbox.server import run_sandbox
from tests.e2e.conftest import EXAMPLES, calling_tomorrow
from tests.support.airflow import Airflow
from tests.support.moved import AIRFLOW

pytestmark = [pytest.mark.long, pytest.mark.skipif(AIRFLOW < (3, 3), reason="providers' examples load from 3.3 on")]
DAG_ID = "appointment_reminders"
#: Who presses 1, 2, and 9, who presses a wrong key first, who presses none, and who is not reached.
PEOPLE = {
    "confirms": "16175550111", "cancels": "16175550112", "opts out": "16175550119", "corrects": "16175550120",
    "listens": "16175550100", "is busy": "16175550101",
}  # fmt: skip


def test_what_people_press_becomes_three_lists_and_who_opts_out_is_not_called_again(
    airflow_with_results: Airflow, tmp_path: Path
) -> None:
    airflow, dags, folder, warehouse = airflow_with_results, tmp_path / "dags", tmp_path / "lists", tmp_path / "w.db"
    (dags / "sql").mkdir(parents=True)
    statement = (EXAMPLES / "sql" / "appointments.sql").read_text()
    (dags / "sql" / "appointments.sql").write_text(statement.replace("%(day)s", ":day"))
    calling_tomorrow(DAG_ID, dags)
    with closing(sqlite3.connect(warehouse)) as connection, connection:
        connection.execute("CREATE TABLE appointments (day TEXT, mobile TEXT, reference TEXT, spoken_time TEXT)")
        rows = [("2026-01-02", number, name, "Tuesday at 9:30") for name, number in PEOPLE.items()]
        connection.executemany("INSERT INTO appointments VALUES (?, ?, ?, ?)", rows)

    with (
        run_sandbox(speed=0, check_urls=True) as sandbox,
        airflow.connections(
            {
                "queuecalls_default": sandbox.connection,
                "warehouse": json.dumps({"conn_type": "sqlite", "host": str(warehouse)}),
            }
        ),
    ):
        airflow.add_dags([*dags.iterdir()], [DAG_ID])

        def run(run_id: str, campaigns: int) -> None:
            airflow.trigger(DAG_ID, run_id, folder=str(folder), dry_run=False)
            airflow.waiting(DAG_ID, run_id, "wait_for_results")
            assert len(sandbox.campaigns) == campaigns
            sandbox.advance(seconds=sandbox.campaigns[-1].starts_at - sandbox.now.timestamp() + 7200)
            tasks = airflow.finished(DAG_ID, run_id)
            assert {task["state"] for task in tasks} == {"success"}, [airflow.said(task) for task in tasks]

        run("first", 1)
        lists = {}
        for choice in ("confirmed", "canceled", "do not call"):
            with (folder / f"first {choice}.csv").open(encoding="utf-8") as file:
                lists[choice] = {row["message_reference"]: row["choice"] for row in csv.DictReader(file)}
        assert lists == {
            "confirmed": {"confirms": "confirmed", "corrects": "confirmed"},
            "canceled": {"cancels": "canceled"},
            "do not call": {"opts out": "do not call"},
        }
        (waited,) = [task for task in airflow.instances(DAG_ID, "first") if task["task_id"] == "wait_for_results"]
        results = airflow.xcom(waited)
        assert results["by_choice"] == {"confirmed": 2, "canceled": 1, "do not call": 1}
        heard = [entry.transcript for entry in sandbox.journal if entry.fields.get("message_reference") == "cancels"]
        assert heard[0][0].startswith("Your appointment is on Tuesday at 9:30. … Press 1 to confirm, or 2 to cancel")
        assert heard[0][1] == "[presses 2]"

        assert (folder / "do-not-call.csv").read_text() == f"phone_number\n{PEOPLE['opts out']}\n"
        run("second", 2)
        assert sandbox.numbers == {number: 2 - (name == "opts out") for name, number in PEOPLE.items()}
