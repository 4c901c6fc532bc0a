"""How long Airflow waits before it tries again."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_queuecalls._airflow.retries import retried_only_if_safe
from airflow_provider_queuecalls.exceptions import NotAccepted

pytest.importorskip("airflow.sdk.definitions.retry_policy", reason="Airflow has retry policies from 3.3 on")


@pytest.mark.parametrize(
    ("retry_after", "waits"),
    [(None, None), (0, None), (1, None), (600, None), (601, timedelta(seconds=601)), (86_400, timedelta(days=1))],
)
def test_the_service_can_only_prolong_the_wait(retry_after: float | None, waits: timedelta | None) -> None:
    """With its Retry-After of a second, all retries would be over before the service is back."""
    task: Any = SimpleNamespace(retry_delay=timedelta(minutes=10), retry_policy=None)
    with pytest.raises(NotAccepted), retried_only_if_safe(task):
        raise NotAccepted("later", retry_after=retry_after)
    assert (task.retry_policy and task.retry_policy.rules[0].retry_delay) == waits


def test_a_policy_of_the_tasks_own_is_kept() -> None:
    policy = object()
    task: Any = SimpleNamespace(retry_delay=timedelta(0), retry_policy=policy)
    with pytest.raises(NotAccepted), retried_only_if_safe(task):
        raise NotAccepted("later", retry_after=60)
    assert task.retry_policy is policy
