"""The DAGs of benchmarks/cluster.py: one for each operator that is compared."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Any

import requests
from airflow.sdk import BaseHook, BaseOperator, ObjectStoragePath

from airflow_provider_queuecalls import delivery
from airflow_provider_queuecalls._airflow import storage
from airflow_provider_queuecalls.client.connection import DEFAULT_PATH
from airflow_provider_queuecalls.client.endpoint import DEFAULT_CONN_ID
from airflow_provider_queuecalls.client.transport import Transport
from airflow_provider_queuecalls.operators.queuecalls import QueueCallsOperator
from airflow_provider_queuecalls.records.sent.ledger import Ledger
from tests.support.outreach import outreach_dag


class NoOp(BaseOperator):
    """Is given what the other one is given, and does nothing. (An EmptyOperator never comes to a worker.)"""

    template_fields = ("contacts", "start_url")

    def __init__(self, *, contacts: str, start_url: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.contacts = contacts
        self.start_url = start_url

    def execute(self, context: Any) -> dict[str, int]:  # noqa: ARG002
        return {"contacts": 0}


class ByHand(NoOp):
    """Reads the contact file and posts it, as one would without the provider: unchecked, and with no memory of it."""

    def execute(self, context: Any) -> dict[str, int]:
        contacts = ObjectStoragePath(self.contacts).read_bytes()
        connection = BaseHook.get_connection(DEFAULT_CONN_ID)
        answer = requests.post(
            f"{connection.host}{DEFAULT_PATH}",
            data={
                "login": connection.login, "pin": connection.password, "start_url": self.start_url,
                "campaign_name": f"{self.dag_id} {context['run_id']} {context['ti'].map_index}",
            },
            files={"phone_number_list": ("calls.csv", contacts, "text/csv")},
            auth=(str(connection.login), str(connection.password)), timeout=60,
        )  # fmt: skip
        answer.raise_for_status()
        return {"contacts": contacts.count(b"\n")}


class Timed(QueueCallsOperator):
    """Tells where its time goes, in seconds: the fetch of the contact file, its check, the records of what was sent,
    the service, and the rest."""

    def execute(self, context: Any) -> dict[str, Any]:
        seconds: defaultdict[str, float] = defaultdict(float)
        measure(seconds, "fetch", storage, "_fetch")
        measure(seconds, "check", delivery, "check")
        for step in ("connect", "request"):
            measure(seconds, "service", Transport, step)
        for step in ("find", "record_intent", "record_complete", "record_receipt"):
            measure(seconds, "records", Ledger, step)
        started = time.perf_counter()
        result = super().execute(context)
        seconds["rest"] += time.perf_counter() - started - sum(seconds.values())
        return {**result, "seconds": dict(seconds)}


def measure(seconds: defaultdict[str, float], part: str, owner: Any, name: str) -> None:
    """Count the time of a function as that part's, and not as what calls it."""
    function = getattr(owner, name)

    def timed(*args: Any, **kwargs: Any) -> Any:
        before, started = sum(seconds.values()), time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            seconds[part] += time.perf_counter() - started - (sum(seconds.values()) - before)

    setattr(owner, name, timed)


no_op = outreach_dag("no_op", NoOp)
by_hand = outreach_dag("by_hand", ByHand)
outreach = outreach_dag("outreach", Timed)
