"""A campaign whose files are in object storage."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_queuecalls._airflow.compat import AirflowFailException
from airflow_provider_queuecalls.operators.queuecalls import QueueCallsOperator
from tests.support import fault_server as faults
from tests.support.multipart import parse

CONTEXT: Any = {
    "ti": SimpleNamespace(
        dag_id="reminders", task_id="call", run_id="manual__1", map_index=-1, try_number=1, max_tries=0
    )
}


def url(bucket: Any, key: str) -> str:
    return f"s3://storage@{bucket.name}/{key}"


def read(bucket: Any, key: str) -> str:
    return str(bucket.Object(key).get()["Body"].read(), "utf-8")


def run(**parameters: Any) -> dict[str, Any]:
    given = {"start_url": "https://ivr.example.com/x.vxml", "receipts_path": "none", **parameters}
    task = QueueCallsOperator(task_id="call", **given)
    return task.execute(CONTEXT)


def failure(**parameters: Any) -> BaseException:
    """The error beneath the failure that ends the task without a retry."""
    with pytest.raises(AirflowFailException) as caught:
        run(**parameters)
    return caught.value.__context__  # type: ignore[return-value]


def sent(service: faults.FaultServer) -> bytes:
    (post,) = service.posts
    (content,) = (p.content for p in parse(post.headers["content-type"], bytes(post.body)) if p.file_name)
    return content
