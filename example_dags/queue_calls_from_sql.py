"""Queue a campaign from the result of a query. No contact file is left behind.

Started by hand. It makes a dry run unless you switch that off. It needs ``airflow-provider-queuecalls[sql]``, the Airflow
provider of your database, and a table ``appointments`` with the columns that ``sql/appointments.sql`` selects.
"""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.sdk import DAG, Param, task

from airflow_provider_queuecalls.transfers.sql_to_queuecalls import SqlToQueueCallsOperator

# Calls are made from 15:15 to 18:00 New York time, on the day of the run. A run after 18:00 calls on the next day.
ZONE = "America/New_York"
DAY = "{{ (dag_run.run_after.astimezone(dag.timezone) + macros.timedelta(hours=6)).date() }}"
CALLS_START, CALLS_END = f"{DAY}T15:15 {ZONE}", f"{DAY}T18:00 {ZONE}"

params = {
    "sql_conn_id": Param(
        "warehouse",
        title="Database",
        description="The id of the connection to your database.",
        type="string",
        minLength=1,
    ),
    "day": Param("2026-01-02", title="Day", description="The day of the appointments.", type="string", format="date"),
    "start_url": Param(
        "https://ivr.example.com/appointment-reminder.vxml",
        title="VoiceXML script",
        description="The script that runs when a call connects.",
        type="string",
        format="uri",
        maxLength=255,
    ),
    "dry_run": Param(
        True,
        title="Dry run",
        description="Check everything and call nobody. Switch it off to place real calls.",
        type="boolean",
    ),
}

with DAG(
    dag_id="queue_calls_from_sql",
    description="Queue a campaign from the result of a query",
    doc_md=__doc__,
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz=ZONE),
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
        scheduled_timestamp=CALLS_START,
        expiration_timestamp=CALLS_END,
        on_invalid="skip",
        max_rejects="1%",
        duplicates="drop",
        on_empty="skip",
        dry_run="{{ params.dry_run }}",
    )
    # [END howto_operator_sql_to_queuecalls]

    @task
    def report(result: dict[str, Any]) -> str:
        """Log the outcome of the campaign in one sentence."""
        done = "would be called (dry run)" if result["dry_run"] else f"queued as {result['call_id_count']} calls"
        return f"{result['contacts']} contacts {done}, {result['rejected']} rows left out"

    report(queue_calls.output)
