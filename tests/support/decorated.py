"""A decorated function as a task, run without a scheduler."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_queuecalls._airflow.compat import AirflowFailException
from airflow_provider_queuecalls.decorators.queuecalls import DecoratedQueueCallsOperator
from airflow_provider_queuecalls.sandbox.server import Sandbox

CONTEXT: Any = {
    "ti": SimpleNamespace(
        dag_id="reminders", task_id="call", run_id="manual__1", map_index=-1, try_number=1, max_tries=0
    )
}


def called(sandbox: Sandbox) -> list[tuple[Any, ...]]:
    return [(call.phone_number, call.message_reference, call.call_parameter) for call in sandbox.calls]


def decorated(function: Callable[..., Any], **more: Any) -> DecoratedQueueCallsOperator:
    given = {"start_url": "https://ivr.example.com/x", "receipts_path": "none", **more}
    return DecoratedQueueCallsOperator(task_id="call", python_callable=function, **given)


def run_function(function: Callable[..., Any], **more: Any) -> Any:
    context: Any = dict(CONTEXT)
    return decorated(function, **more).execute(context)


def failure(function: Callable[..., Any], **more: Any) -> BaseException:
    """The error beneath the failure that ends the task without a retry."""
    with pytest.raises(AirflowFailException) as caught:
        run_function(function, **more)
    return caught.value.__context__  # type: ignore[return-value]
