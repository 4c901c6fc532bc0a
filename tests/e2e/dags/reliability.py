"""The DAGs of test_reliability.py: each has one task, and a connection and a contact file of the same name."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from airflow.sdk import DAG

from airflow_provider_queuecalls.operators.queuecalls import QueueCallsOperator
from airflow_provider_queuecalls.records.sent.ledger import Ledger
from tests.support.moments import MOMENTS, before
from tests.support.moved import AIRFLOW

HOME = Path(os.environ["QUEUECALLS_E2E"])
TWINS = ("twin_a", "twin_b")

#: Whom the signal meets: the process that runs the task; the worker above it, whose task runs on alone; or both.
VICTIMS: Mapping[str, Callable[[], tuple[int, ...]]] = {
    "task": lambda: (os.getpid(),),
    "worker": lambda: (os.getppid(),),
    "machine": lambda: (os.getppid(), os.getpid()),
}


class Doomed(QueueCallsOperator):
    """Is killed, or frozen until somebody wakes it, on the tries that are named, at a moment of the one request."""

    def __init__(self, *, killed: Mapping[int, str], victim: str = "task", frozen: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.killed = killed
        self.victim = victim
        self.frozen = frozen

    def execute(self, context: Any) -> dict[str, Any]:
        if moment := self.killed.get(context["ti"].try_number):
            MOMENTS[moment](self._strike)
        return super().execute(context)

    def _strike(self) -> None:
        if not self.killed:  # a receipt is recorded twice
            return
        self.killed = {}
        victims = VICTIMS[self.victim]()
        (HOME / f"{self.dag_id}.victims").write_text(" ".join(map(str, victims)))
        for process in victims:
            os.kill(process, signal.SIGSTOP if self.frozen else signal.SIGKILL)
        (HOME / f"{self.dag_id}.woken").touch()


class Twin(QueueCallsOperator):
    """Records its intent at the same moment as the other one: when neither has found anything on record."""

    def execute(self, context: Any) -> dict[str, Any]:
        before(Ledger, "record_intent")(self._meet)
        return super().execute(context)

    def _meet(self) -> None:
        (HOME / f"{self.dag_id}.is-here").touch()
        while not all((HOME / f"{twin}.is-here").exists() for twin in TWINS):
            time.sleep(0.01)


class Held(QueueCallsOperator):
    """Waits, once its list has been checked, until somebody stops the task, and then goes on as if nothing had been."""

    def execute(self, context: Any) -> dict[str, Any]:
        before(Ledger, "find")(self._wait)
        return super().execute(context)

    def _wait(self) -> None:
        here = HOME / f"{self.dag_id}.is-here"
        here.with_suffix(".new").write_text(str(os.getpid()))
        here.with_suffix(".new").rename(here)
        while not self.stop.requested:
            time.sleep(0.01)


def dag(dag_id: str, kind: type[QueueCallsOperator] = QueueCallsOperator, **parameters: Any) -> None:
    with DAG(dag_id, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)) as made:
        kind(
            task_id="call",
            **{
                "contacts": str(HOME / f"{dag_id}.csv"),
                "start_url": "https://ivr.example.com/reminder.vxml",
                "queuecalls_conn_id": dag_id,
                "retries": 2,
                "retry_delay": timedelta(0),
                **OWN_RECORD,
                **parameters,
            },
        )
    globals()[dag_id] = made


RECEIPTS = str(HOME / "receipts")
#: Airflow keeps no state of a task before 3.3.
OWN_RECORD = {"receipts_path": None if AIRFLOW >= (3, 3) else RECEIPTS}
dag("marked_failed", Held, retries=0, receipts_path=str(HOME / "receipts of marked_failed"))
#: False until somebody sets the variable.
RESEND = "{{ var.value.get('resend', 'false') }}"

for fault in ("hang", "reset", "close", "http_502", "http_429", "cleared_while_it_waits"):
    dag(fault, retries=3)
for moment in MOMENTS:
    dag(f"task_killed_{moment.replace(' ', '_').replace('-', '_')}", Doomed, killed={1: moment})
dag("worker_killed_before_the_intent", Doomed, killed={1: "before the intent"}, victim="worker")
dag("worker_killed_before_the_first_byte", Doomed, killed={1: "before the first byte"}, victim="worker")
dag(
    "worker_killed_with_receipts", Doomed, killed={1: "before the intent"}, victim="worker", receipts_path=RECEIPTS,
)  # fmt: skip
dag("machine_lost_after_the_receipt", Doomed, killed={1: "after the receipt"}, victim="machine")
dag("machine_lost_before_the_response", Doomed, killed={1: "before the response"}, victim="machine")
for moment in MOMENTS:
    dag(
        f"machine_frozen_{moment.replace(' ', '_').replace('-', '_')}", Doomed,
        killed={1: moment}, victim="machine", frozen=True, receipts_path=RECEIPTS,
    )  # fmt: skip
dag("cleared_with_receipts", receipts_path=RECEIPTS)
dag("cleared_without_receipts")
dag("resent_with_receipts", Doomed, killed={2: "after the receipt"}, receipts_path=RECEIPTS, resend=RESEND)
dag("resent_and_unknown", Doomed, killed={2: "before the response"}, receipts_path=RECEIPTS, resend=RESEND)
for twin in TWINS:
    dag(
        twin, Twin, campaign_name="spring-recall", receipts_path=RECEIPTS,
        contacts=str(HOME / "twins.csv"), queuecalls_conn_id="twins",
    )  # fmt: skip
