"""Many tasks of a run fail at the same moment under a real scheduler, and people are called once. A deadline calls as well."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_queuecalls.records.sent.stores import init_folder
from airflow_provider_queuecalls.sandbox.server import Sandbox, run_sandbox
from tests.support.airflow import Airflow
from tests.support.moved import AIRFLOW, IS_AIRFLOW_2
from tests.support.sandbox import said

pytestmark = [pytest.mark.long, pytest.mark.skipif(IS_AIRFLOW_2, reason="its REST API is another one")]
ON_CALL = "16175550199"
#: More than run at once. On the cluster there are 200 of them.
TASKS = 40
HAS_DEADLINES = AIRFLOW >= (3, 1)


@pytest.fixture(scope="module")
def sandbox(airflow_with_results: Airflow) -> Iterator[Sandbox]:
    """A service that queues a repeated name: only the record keeps tasks from calling again."""
    init_folder(airflow_with_results.home / "receipts of alarms")
    airflow_with_results.add_dags(
        [Path(__file__).parent / "dags" / "notifying.py"], ["storm", *(["late"] if HAS_DEADLINES else [])]
    )
    airflow_with_results.set_variable("oncall", ON_CALL)
    with (
        run_sandbox(speed=0, unique_names=False) as sandbox,
        airflow_with_results.connections({"queuecalls_default": sandbox.connection}),
    ):
        yield sandbox


def assert_number_is_nowhere(airflow: Airflow) -> None:
    logs = {path: path.read_text(errors="replace") for path in airflow.home.rglob("*.log")}
    assert [str(path) for path, text in logs.items() if ON_CALL in text] == []


@pytest.mark.skipif(not HAS_DEADLINES, reason="Airflow has deadlines from 3.1 on")
def test_a_missed_deadline_calls(airflow_with_results: Airflow, sandbox: Sandbox) -> None:
    airflow_with_results.trigger("late", "late")
    airflow_with_results.wait(lambda: "late is late" in said(sandbox), "the call")
    airflow_with_results.set_variable("the alarm is over", "yes")
    assert {call.phone_number for call in sandbox.calls} == {ON_CALL}
    assert_number_is_nowhere(airflow_with_results)


def test_more_tasks_than_run_at_once_fail_and_call_once(airflow_with_results: Airflow, sandbox: Sandbox) -> None:
    airflow = airflow_with_results
    before = len(sandbox.campaigns)
    airflow.trigger("storm", "night", tasks=TASKS)
    tasks = airflow.finished("storm", "night", seconds=900)
    assert [task["state"] for task in tasks if task["task_id"] == "load"] == ["failed"] * TASKS
    airflow.wait(lambda: "night failed" in said(sandbox)[before:], "the call about the run")
    assert sorted(said(sandbox)[before:]) == ["load of storm failed", "night failed"], (
        "one by a worker, one by the DAG processor"
    )
    assert {call.phone_number for call in sandbox.calls} == {ON_CALL}
    assert_number_is_nowhere(airflow)
