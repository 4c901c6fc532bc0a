"""A query in the warehouse finds whom to call; its result becomes the campaign, and no file is left behind.

Started by hand, it makes a dry run unless told otherwise. Needs airflow-provider-queuecalls[sql], the provider of your
database, and a table ``appointments`` with the columns that ``sql/appointments.sql`` asks for.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from airflow.sdk import DAG, Param, task

from airflow_provider_queuecalls.transfers.sql_to_queuecalls import SqlToQueueCallsOperator

params = {
    "sql_conn_id": Param(
        "warehouse",
        title="Database",
        description="The connection to a database that Airflow has a provider for.",
        type="string",
        minLength=1,
    ),
    "day": Param(
        "2026-01-02",
        title="Day",
        description="The day of the appointments.",
        type="string",
        format="date",
    ),
    "start_url": Param(
        "https://ivr.example.com/appointment-reminder.vxml",
        title="VoiceXML script",
        description="What runs when a call connects.",
        type="string",
        format="uri",
        maxLength=255,
    ),
    "dry_run": Param(
        True,
        title="Dry run",
        description="Check everything and call nobody. Switch it off to make phones ring.",
        type="boolean",
    ),
}

with DAG(
    dag_id="queue_calls_from_sql",
    description="The result of a query becomes a calling campaign",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    params=params,
    tags=["queuecalls", "example"],
) as dag:
    # [START howto_operator_sql_to_queuecalls]
    queue_calls = SqlToQueueCallsOperator(
        task_id="queue_calls",
        sql="sql/appointments.sql",
        parameters={"day": "{{ params.day }}"},
        sql_conn_id="{{ params.sql_conn_id }}",
        start_url="{{ params.start_url }}",
        on_invalid="skip",
        max_rejects="1%",
        duplicates="drop",
        on_empty="skip",
        dry_run="{{ params.dry_run }}",
    )
    # [END howto_operator_sql_to_queuecalls]

    @task
    def report(result: dict[str, Any]) -> str:
        """Say in a sentence what became of the campaign."""
        done = "would be called (dry run)" if result["dry_run"] else f"queued as {result['call_id_count']} calls"
        return f"{result['contacts']} contacts {done}, {result['rejected']} rows left out"

    report(queue_calls.output)
