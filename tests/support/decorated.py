"""A decorated function as a task, run without a scheduler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow_provider_queuecalls.decorators.queuecalls import DecoratedQueueCallsOperator
from airflow_provider_queuecalls.sandbox.server import Sandbox
from tests.support.task import execute, failure_of


def called(sandbox: Sandbox) -> list[tuple[Any, ...]]:
    return [(call.phone_number, call.message_reference, call.call_parameter) for call in sandbox.calls]


def decorated(function: Callable[..., Any], **more: Any) -> DecoratedQueueCallsOperator:
    given = {"start_url": "https://ivr.example.com/x", "receipts_path": "none", **more}
    return DecoratedQueueCallsOperator(task_id="call", python_callable=function, **given)


def run_function(function: Callable[..., Any], **more: Any) -> Any:
    return execute(decorated(function, **more))


def failure(function: Callable[..., Any], **more: Any) -> BaseException:
    return failure_of(decorated(function, **more))
