"""The DAGs of test_notifying.py: many tasks that fail at once, and a run that is late."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.sdk import DAG, task

from tests.support.moved import AIRFLOW
from tests.support.patient import PatientNotifier

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
TASKS = 200
SCRIPT: dict[str, Any] = {
    "start_url": "https://ivr.example.com/say.vxml",
    "to_variable": "oncall",
    "receipts_path": f"{os.environ['AIRFLOW_HOME']}/receipts of alarms",
}

of_tasks = PatientNotifier(**SCRIPT, message="{{ ti.task_id }} of {{ dag.dag_id }} failed")
of_run = PatientNotifier(**SCRIPT, message="{{ run_id }} failed", dedup_key="run of {{ dag.dag_id }}")

with DAG("storm", schedule=None, start_date=START, on_failure_callback=of_run, max_active_tasks=TASKS):

    @task(on_failure_callback=of_tasks)
    def load(number: int) -> None:
        """Fail."""
        raise RuntimeError(f"the warehouse is down for part {number}")

    load.expand(number=list(range(TASKS)))

if AIRFLOW >= (3, 1):
    from airflow.sdk.definitions.deadline import AsyncCallback, DeadlineAlert, DeadlineReference  # type: ignore[attr-defined]

    alarm = AsyncCallback(PatientNotifier, kwargs={**SCRIPT, "message": "{{ dag_run.dag_id }} is late"})
    soon = DeadlineAlert(reference=DeadlineReference.DAGRUN_QUEUED_AT, interval=timedelta(seconds=1), callback=alarm)
    with DAG("late", schedule=None, start_date=START, deadline=soon):

        @task.sensor(poke_interval=1, timeout=600, mode="reschedule")
        def wait() -> bool:
            """Take longer than the deadline."""
            from airflow.sdk import Variable

            return bool(Variable.get("the alarm is over", default=None))

        wait()
