"""The DAGs of test_notifying.py: many tasks that fail at once, and a run that is late."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.sdk import DAG, task

from tests.support.moved import AIRFLOW
from tests.support.patient import PatientNotifier
from tests.support.storm import storm_dag

SCRIPT: dict[str, Any] = {
    "start_url": "https://ivr.example.com/say.vxml",
    "to_variable": "oncall",
    "receipts_path": f"{os.environ['AIRFLOW_HOME']}/receipts of alarms",
}

storm = storm_dag(**SCRIPT)
if AIRFLOW >= (3, 1):
    from airflow.sdk.definitions.deadline import AsyncCallback, DeadlineAlert, DeadlineReference  # type: ignore[attr-defined]

    alarm = AsyncCallback(PatientNotifier, kwargs={**SCRIPT, "message": "{{ dag_run.dag_id }} is late"})
    soon = DeadlineAlert(reference=DeadlineReference.DAGRUN_QUEUED_AT, interval=timedelta(seconds=1), callback=alarm)
    with DAG("late", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc), deadline=soon):

        @task.sensor(poke_interval=1, timeout=600, mode="reschedule")
        def wait() -> bool:
            """Take longer than the deadline."""
            from airflow.sdk import Variable

            return bool(Variable.get("the alarm is over", default=None))

        wait()
