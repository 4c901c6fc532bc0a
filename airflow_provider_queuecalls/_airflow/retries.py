"""Which of our errors Airflow may retry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from airflow_provider_queuecalls._airflow.compat import AirflowFailException, AirflowSkipException, BaseOperator
from airflow_provider_queuecalls.exceptions import (
    CheckFailed,
    EmptyContacts,
    InvalidContacts,
    NotAccepted,
    NotSent,
    QueueCallsError,
    WireError,
)


@contextmanager
def retried_only_if_safe(task: BaseOperator) -> Iterator[None]:
    """Leave to Airflow's retries what is known not to have reached the service, and end the task on the rest.

    Errors that must not be retried become AirflowFailException with the same message.
    """
    try:
        yield
    except NotAccepted as error:
        _wait_before_retry(task, error.retry_after)
        raise
    except (NotSent, CheckFailed):
        raise
    except EmptyContacts as error:
        raise AirflowSkipException(str(error)) from None
    except QueueCallsError as error:
        raise AirflowFailException(str(error)) from None


@contextmanager
def safe_to_retry() -> Iterator[None]:
    """Raise what is wrong with the results database as :class:`CheckFailed`: another try may help."""
    try:
        yield
    except (InvalidContacts, WireError, CheckFailed):
        raise
    except QueueCallsError as error:
        raise CheckFailed(str(error)) from None


def _wait_before_retry(task: BaseOperator, seconds: float | None) -> None:
    """Let Airflow wait as long as the service asked for if that is longer than the task's own delay, where it can (3.3) and
    the task has no retry policy of its own."""
    if seconds is None or seconds <= task.retry_delay.total_seconds():
        return
    if hasattr(task, "retry_policy") and task.retry_policy is None:
        from airflow.sdk.definitions.retry_policy import ExceptionRetryPolicy, RetryRule

        rule = RetryRule(NotAccepted, retry_delay=timedelta(seconds=seconds), reason="The service asked to wait")
        task.retry_policy = ExceptionRetryPolicy(rules=[rule])
