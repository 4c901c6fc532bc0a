"""A DAG of many tasks that fail at once, each of which calls, as does the run. Imported by DAGs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from airflow.sdk import DAG, task

from tests.support.patient import PatientNotifier


@task
def parts(params: Mapping[str, Any]) -> list[int]:
    """Return a number for each of the run's tasks."""
    return list(range(params["tasks"]))


def storm_dag(**notifier: Any) -> DAG:
    """Fail in as many tasks as a run's params say."""
    of_tasks = PatientNotifier(**notifier, message="{{ ti.task_id }} of {{ dag.dag_id }} failed")
    of_run = PatientNotifier(**notifier, message="{{ run_id }} failed", dedup_key="run of {{ dag.dag_id }}")

    @task(on_failure_callback=of_tasks)
    def load(number: int) -> None:
        """Fail."""
        raise RuntimeError(f"the warehouse is down for part {number}")

    with DAG(
        "storm",
        schedule=None,
        start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
        params={"tasks": 1},
        on_failure_callback=of_run,
        max_active_tasks=1000,
    ) as dag:
        load.expand(number=parts())
    return dag
