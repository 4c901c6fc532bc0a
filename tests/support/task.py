"""Runs a task as Airflow does, without a scheduler."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_queuecalls._airflow.compat import AirflowFailException


def execute(task: Any, run_id: str = "manual__1", **context: Any) -> Any:
    ti = SimpleNamespace(
        dag_id="reminders",
        task_id="call",
        run_id=run_id,
        map_index=-1,
        try_number=1,
        max_tries=0,
        xcom_push=lambda **_: None,
    )
    return task.execute({"ti": ti, **context})


def failure_of(task: Any) -> BaseException:
    """The error beneath the failure that ends the task without a retry."""
    with pytest.raises(AirflowFailException) as caught:
        execute(task)
    return caught.value.__context__  # type: ignore[return-value]
