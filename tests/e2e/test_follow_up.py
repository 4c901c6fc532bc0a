"""The example that calls those who were not reached again: a scheduler, a triggerer, the sandbox, and a receiver."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_queuecalls.sandbox.server import run_sandbox
from tests.e2e.conftest import calling_tomorrow
from tests.support.airflow import Airflow
from tests.support.moved import AIRFLOW

pytestmark = [pytest.mark.long, pytest.mark.skipif(AIRFLOW < (3, 3), reason="providers' examples load from 3.3 on")]
FIRST, SECOND = "queue_calls_first_round", "queue_calls_follow_up"
REACHED, BUSY = "16175550100", "16175550101"


def test_those_not_reached_are_called_again_by_the_next_dag(airflow_with_results: Airflow, tmp_path: Path) -> None:
    airflow, files = airflow_with_results, tmp_path / "files"
    files.mkdir()
    (files / "calls.csv").write_text(f"{REACHED},appointment-1\n{BUSY},appointment-2,9:30\n")
    with run_sandbox(speed=0) as sandbox, airflow.connections({"queuecalls_default": sandbox.connection}):
        airflow.add_dags([calling_tomorrow(SECOND, tmp_path)], [FIRST, SECOND])
        given = {"contacts": str(files / "calls.csv"), "folder": str(files)}
        airflow.trigger(FIRST, "first", **given, dry_run=False)
        airflow.wait(lambda: len(sandbox.campaigns) == 1, "the first campaign")
        airflow.waiting(FIRST, "first", "wait")
        start = int(sandbox.campaigns[0].parameters["scheduled_timestamp"])
        sandbox.advance(seconds=start - int(sandbox.now.timestamp()) + 3600)
        tasks = airflow.finished(FIRST, "first")
        assert {task["state"] for task in tasks} == {"success"}, [airflow.said(task) for task in tasks]
        airflow.wait(lambda: len(airflow.runs(SECOND)) == 1, f"a run of {SECOND}")
        tasks = airflow.finished(SECOND, airflow.runs(SECOND)[0])
        assert {task["state"] for task in tasks} == {"success"}, [airflow.said(task) for task in tasks]
        assert [(call.phone_number, call.call_parameter) for call in sandbox.calls[2:]] == [(BUSY, "9:30")]
        assert list(files.iterdir()) == [files / "calls.csv"]
