"""A campaign whose files are in object storage."""

from __future__ import annotations

from typing import Any

from airflow_provider_queuecalls.operators.queuecalls import QueueCallsOperator
from tests.support import fault_server as faults
from tests.support.multipart import parse
from tests.support.task import execute, failure_of


def url(bucket: Any, key: str) -> str:
    return f"s3://storage@{bucket.name}/{key}"


def read(bucket: Any, key: str) -> str:
    return str(bucket.Object(key).get()["Body"].read(), "utf-8")


def operator(**parameters: Any) -> QueueCallsOperator:
    given = {"start_url": "https://ivr.example.com/x.vxml", "receipts_path": "none", **parameters}
    return QueueCallsOperator(task_id="call", **given)


def run(**parameters: Any) -> Any:
    return execute(operator(**parameters))


def failure(**parameters: Any) -> BaseException:
    return failure_of(operator(**parameters))


def sent(service: faults.FaultServer) -> bytes:
    (post,) = service.posts
    (content,) = (p.content for p in parse(post.headers["content-type"], bytes(post.body)) if p.file_name)
    return content
