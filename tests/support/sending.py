"""Sends a campaign as a task does, alone or at the very same moment as others. Imported by other processes too."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any
from unittest import mock

from tests.support.patience import PATIENCE_SECONDS
from tests.support.task import execute

#: Forks senders from a process that has Airflow but no threads.
FORKSERVER = multiprocessing.get_context("forkserver")
FORKSERVER.set_forkserver_preload(["tests.support.sending", "airflow_provider_queuecalls.operators.queuecalls"])


def send(run_id: str = "manual__1", **parameters: Any) -> dict[str, Any]:
    """Send as that run's task, and return its XCom."""
    from airflow_provider_queuecalls.operators.queuecalls import QueueCallsOperator

    given = {"start_url": "https://ivr.example.com/x.vxml", "campaign_name": "spring", "receipts_path": "none"}
    sent: dict[str, Any] = execute(QueueCallsOperator(task_id="call", **{**given, **parameters}), run_id)
    return sent


def send_and_tell(outcomes: Any, parameters: dict[str, Any], run_id: str) -> None:
    """Send, and put in a queue what came of it: the outcome, or the error's name and words."""
    try:
        outcomes.put((send(run_id, **parameters)["outcome"], ""))
    except Exception as error:  # noqa: BLE001  # it is what the test is about
        outcomes.put((type(error.__context__ or error).__name__, str(error)))


def send_and_tell_from_a_process(
    meeting: Any, environment: dict[str, str], *arguments: Any, before: str = "sent.ledger.Ledger.record_intent"
) -> None:
    os.environ.clear()  # it is that of the test that started the server of processes, which serves later tests too
    os.environ.update(environment)
    with senders_meet(meeting, before):
        send_and_tell(*arguments)


@contextmanager
def senders_meet(meeting: Any, before: str = "sent.ledger.Ledger.record_intent") -> Iterator[None]:
    """Hold every sender that found nothing on record before it calls a method, until all are there. Fails if none gets so far."""
    module, kind, name = before.rsplit(".", 2)
    owner = getattr(import_module(f"airflow_provider_queuecalls.records.{module}"), kind)
    method, met = getattr(owner, name), threading.Event()

    def call_together(*arguments: Any, **options: Any) -> Any:
        if not met.is_set():
            meeting.wait(PATIENCE_SECONDS)
        met.set()
        return method(*arguments, **options)

    with mock.patch.object(owner, name, call_together):
        yield
    assert met.is_set(), "the senders did not meet"
