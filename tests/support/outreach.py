"""What the DAGs on a cluster have in common: contact files go to the storage, a campaign for each is queued, and a report
is made. Imported by DAGs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.sdk import DAG, BaseOperator, ObjectStoragePath, task

from tests.support.numbers import contact_file
from tests.support.s3 import BUCKET, STORAGE

START_DATE = datetime(2026, 1, 1, tzinfo=timezone.utc)
START_URL = "https://ivr.example.com/reminder.vxml"


@task
def extract(params: Mapping[str, Any], run_id: str) -> list[str]:
    """Write a contact file for each campaign; give their URLs."""
    folder = ObjectStoragePath(f"s3://{STORAGE}@{BUCKET}/{run_id}")
    files = [folder / f"{campaign}.csv" for campaign in range(params["campaigns"])]
    for campaign, file in enumerate(files):
        file.write_bytes(contact_file(params["area"], campaign, params["contacts"]))
    return [str(file) for file in files]


@task(trigger_rule="all_done")
def report(results: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """How many campaigns are queued, and contacts in them."""
    contacts = [result["contacts"] for result in results]
    return {"campaigns": len(contacts), "contacts": sum(contacts)}


def outreach_dag(dag_id: str, operator: type[BaseOperator]) -> DAG:
    """Queue as many campaigns as a run's params say, each by that operator."""
    with DAG(
        dag_id,
        schedule=None,
        start_date=START_DATE,
        params={"area": 617, "campaigns": 20, "contacts": 10_000, "held": 0},
        default_args={"retries": 2, "retry_delay": timedelta(0)},
    ) as dag:
        campaigns = operator.partial(task_id="call", start_url=START_URL).expand(contacts=extract())
        report(campaigns.output)
    return dag
