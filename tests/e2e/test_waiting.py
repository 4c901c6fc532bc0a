"""A real triggerer waits for the results of a campaign, is killed, and another one goes on."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from airflow_provider_queuecalls.records.call_results import read_result
from airflow_provider_queuecalls.records.database.database import CampaignRow, Database
from tests.support.airflow import Airflow, airflow_command
from tests.support.moved import IS_AIRFLOW_2

pytestmark = [pytest.mark.long, pytest.mark.skipif(IS_AIRFLOW_2, reason="its REST API is another one")]
NAME, KEY, NUMBERS = "autumn", "00d1", ("16175550191", "16175550192")


def add(database: Database, number: str, result: str) -> None:
    database.add(KEY, read_result({"phone_number": number, "result": result, "attempts": "3"}.items()))


def test_a_wait_goes_on_when_the_triggerer_is_killed_and_starts_the_next_dag(airflow_with_results: Airflow) -> None:
    airflow = airflow_with_results
    airflow.add_dags([Path(__file__).parent / "dags" / "waiting.py"], ["waits", "follows"])
    with closing(Database(airflow.environment["AIRFLOW_CONN_RESULTS_DB"])) as database:
        database.put_campaign(CampaignRow(KEY, NAME, 2, "queued"))
        add(database, NUMBERS[0], "completed")
        airflow.trigger("waits", NAME)

        def waits() -> bool:
            (task,) = airflow.instances("waits", NAME)
            # Once said by the worker, and once by the triggerer, or again by one that loads the trigger again.
            return task["state"] == "deferred" and airflow.said(task)[1].count("has 1 of 2 results") >= 2

        airflow.wait(waits, "the trigger")
        airflow.kill("triggerer")
        add(database, NUMBERS[1], "failed")
        airflow.start("another triggerer", airflow_command("triggerer"))

        (task,) = airflow.finished("waits", NAME)
        said = airflow.said(task)[1]
        assert task["state"] == "success", said
        counts = airflow.xcom(task)
        assert counts == {
            "campaign_name": NAME, "contacts": 2, "results": 2, "by_result": {"completed": 1, "failed": 1},
            "by_callee_type": {"(empty)": 2}, "by_choice": {}, "attempts": 6, "missing": 0, "reached_share": 0.5, "complete": True,
            "ended_by": "complete",
        }  # fmt: skip
        (run_id,) = airflow.wait(lambda: airflow.runs("follows"), "the run that follows")
        assert [airflow.xcom(each) for each in airflow.finished("follows", run_id)] == [counts]
    logs = [said, *(path.read_text(errors="replace") for path in airflow.home.rglob("*.log"))]
    assert [number for number in NUMBERS if any(number in log for log in logs)] == []
