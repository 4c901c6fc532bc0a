"""The example that calls those who were not reached again: a scheduler, a triggerer, the sandbox, and a receiver."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from airflow_provider_queuecalls.sandbox.server import run_sandbox
from tests.integration.results.test_receiver import NEW, receiver
from tests.support.airflow import airflow_command, real_airflow
from tests.support.moved import AIRFLOW

pytestmark = pytest.mark.skipif(AIRFLOW < (3, 3), reason="providers' examples load from 3.3 on")
FIRST, SECOND = "queue_calls_first_round", "queue_calls_follow_up"
REACHED, BUSY = "16175550100", "16175550101"


def test_those_not_reached_are_called_again_by_the_next_dag(tmp_path: Path) -> None:
    home, dags, files = (tmp_path / name for name in ("airflow", "dags", "files"))
    for folder in (home, dags, files):
        folder.mkdir()
    shutil.copy(Path(__file__).parents[2] / "example_dags" / f"{SECOND}.py", dags)
    (files / "calls.csv").write_text(f"{REACHED},appointment-1\n{BUSY},appointment-2,9:30\n")
    database = f"sqlite:///{tmp_path}/results.db"
    with run_sandbox(speed=0) as sandbox, receiver(database) as (_, base):
        variables = {
            "AIRFLOW_CONN_QUEUECALLS_DEFAULT": sandbox.connection,
            "AIRFLOW__QUEUECALLS__RESULTS_URL": base,
            "AIRFLOW__QUEUECALLS__RESULTS_SECRET": NEW,
            "AIRFLOW__QUEUECALLS__RESULTS_DATABASE": database,
        }
        with real_airflow(home, dags, variables) as airflow:
            airflow.start("triggerer", airflow_command("triggerer"))
            airflow.wait_for([FIRST, SECOND])
            given = {"contacts": str(files / "calls.csv"), "folder": str(files)}
            airflow.trigger(FIRST, "first", **given, dry_run=False)
            airflow.wait(lambda: len(sandbox.campaigns) == 1, "the first campaign")
            start = int(sandbox.campaigns[0].parameters["scheduled_timestamp"])
            sandbox.advance(seconds=start - int(sandbox.now.timestamp()) + 3600)
            tasks = airflow.finished(FIRST, "first")
            assert {task["state"] for task in tasks} == {"success"}, [airflow.said(task) for task in tasks]
            airflow.wait(lambda: len(airflow.runs(SECOND)) == 1, f"a run of {SECOND}")
            tasks = airflow.finished(SECOND, airflow.runs(SECOND)[0])
            assert {task["state"] for task in tasks} == {"success"}, [airflow.said(task) for task in tasks]
        assert [(call.phone_number, call.call_parameter) for call in sandbox.calls[2:]] == [(BUSY, "9:30")]
        assert list(files.iterdir()) == [files / "calls.csv"]
