"""From a query to the results of the calls: export, check, approve, queue, collect, summarize.

Started by hand. It makes a dry run unless you switch that off, and nobody is called before a person has approved the list.
It needs:

- Airflow 3.1 or later, where a task can wait for a person, and apache-airflow-providers-standard 1.13 or later
- ``airflow-provider-queuecalls[sql]`` and the Airflow provider of your database
- the table ``appointments`` that ``sql/appointments.sql`` selects from
- the tables of ``sql/warehouse_tables.sql``, into which your endpoint behind ``result_url`` writes the results of the calls
"""

from __future__ import annotations

import csv
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pendulum
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, BaseHook, ObjectStoragePath, Param, PokeReturnValue, task

from airflow_provider_queuecalls.operators.queuecalls import QueueCallsOperator

# [START howto_calling_window]
# Calls are made from 15:15 to 18:00 New York time, on the day of the run. A run after 18:00 calls on the next day.
# The day is that of the run, not of the try: after an approval that comes too late, nothing is sent.
ZONE = "America/New_York"
DAY = "{{ (dag_run.run_after.astimezone(dag.timezone) + macros.timedelta(hours=6)).date() }}"
CALLS_START, CALLS_END, LAST_RESULT = f"{DAY}T15:15 {ZONE}", f"{DAY}T18:00 {ZONE}", f"{DAY}T19:00"
# [END howto_calling_window]

# [START howto_callee_types]
# The vendor documents that a human or an answering machine can answer, but not how result_url spells the two. The sandbox
# posts these words. Compare them with your first real results.
HUMAN, MACHINE = "human", "machine"
# [END howto_callee_types]

params = {
    "sql_conn_id": Param(
        "warehouse",
        title="Warehouse",
        description="The id of the connection to your database.",
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
    "folder": Param(
        "/data/outreach",
        title="Folder for the list",
        description_md="Where the list is stored until it is sent: a path that all workers share, or a URL such as "
        "`s3://conn@bucket/outreach`. A local folder is created if it does not exist.",
        type="string",
        minLength=1,
    ),
    "start_url": Param(
        "https://ivr.example.com/appointment-reminder.vxml",
        title="VoiceXML script",
        description="The script that runs when a call connects.",
        type="string",
        format="uri",
        maxLength=255,
    ),
    "result_url": Param(
        "https://ivr.example.com/results",
        title="Result URL",
        description="Your endpoint, which writes the result of each call into the warehouse. The run id is appended.",
        type="string",
        format="uri",
        maxLength=200,
    ),
    "dry_run": Param(
        True,
        title="Dry run",
        description="Check everything and call nobody. Switch it off to place real calls.",
        type="boolean",
    ),
}

with DAG(
    dag_id="queue_calls_end_to_end",
    description="Export, check, approve, queue, collect, summarize",
    doc_md=__doc__,
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz=ZONE),
    catchup=False,
    params=params,
    tags=["queuecalls", "example"],
) as dag:
    # [START howto_export]
    @task(templates_exts=[".sql"])
    def export(sql: str, params: dict[str, Any], run_id: str) -> str:
        """Write the result of the query to a file of this run: the list that is checked, approved, and sent."""
        path = ObjectStoragePath(f"{params['folder']}/{run_id}.csv")

        def write(cursor: Any) -> None:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(column[0] for column in cursor.description)
                writer.writerows(cursor)

        BaseHook.get_hook(params["sql_conn_id"]).run(sql, parameters={"day": params["day"]}, handler=write)
        return str(path)

    # [END howto_export]

    # [START howto_check_approve_queue]
    # The dry run and the real run have the same parameters, so that what is approved is what is sent.
    campaign = {
        "contacts": "{{ ti.xcom_pull('export') }}",
        "has_header": True,
        "on_invalid": "skip",
        "max_rejects": "1%",
        "duplicates": "drop",
        "start_url": "{{ params.start_url }}",
        "result_url": "{{ params.result_url }}/{{ run_id | urlencode }}",
        "max_retries": 3,
        "retry_interval": 900,
        "scheduled_timestamp": CALLS_START,
        "expiration_timestamp": CALLS_END,
    }

    check = QueueCallsOperator(task_id="check", **campaign, dry_run=True)

    approve = ApprovalOperator(
        task_id="approve",
        subject="Call {{ ti.xcom_pull('check')['contacts'] }} people?{{ ' (dry run)' if params.dry_run else '' }}",
        body="""
| | rows |
| --- | --- |
| to be called | {{ ti.xcom_pull('check')['contacts'] }} |
| rejected | {{ ti.xcom_pull('check')['rejected'] }} |
| duplicates left out | {{ ti.xcom_pull('check')['duplicates'] }} |

Appointments of {{ params.day }}, {{ ti.xcom_pull('check')['digest'] }}
""",
        response_timeout=timedelta(hours=8),
    )

    queue_calls = QueueCallsOperator(
        task_id="queue_calls",
        **campaign,
        expected_digest="{{ ti.xcom_pull('check')['digest'] }}",  # send only the list that was approved
        dry_run="{{ params.dry_run }}",
    )
    # [END howto_check_approve_queue]

    # [START howto_collect]
    @task.sensor(mode="reschedule", poke_interval=60, timeout=timedelta(days=2).total_seconds())
    def collect(queued: dict[str, Any], last_result: str, params: dict[str, Any], run_id: str) -> PokeReturnValue:
        """Wait for the result of every contact, or until no more results can come. Count the results."""
        if queued["dry_run"]:
            from airflow.sdk.exceptions import AirflowSkipException

            raise AirflowSkipException("A dry run has no results.")
        warehouse = BaseHook.get_hook(params["sql_conn_id"])
        count = (
            "SELECT result, callee_type, COUNT(*) FROM call_results "  # noqa: S608
            f"WHERE campaign = {warehouse.placeholder} GROUP BY result, callee_type"
        )
        counts = [list(row) for row in warehouse.get_records(count, parameters=[run_id])]
        complete = sum(calls for *_, calls in counts) >= queued["contacts"]
        deadline = datetime.fromisoformat(last_result).replace(tzinfo=ZoneInfo(ZONE))
        return PokeReturnValue(complete or datetime.now(deadline.tzinfo) > deadline, counts)

    @task
    def summarize(queued: dict[str, Any], counts: list[Any], params: dict[str, Any], run_id: str) -> str:
        """Write one row about this run into the warehouse. A second try replaces it."""
        completed = {callee_type: calls for result, callee_type, calls in counts if result == "completed"}
        summary = {
            "campaign": run_id,
            **{name: queued[name] for name in ("campaign_name", "digest", "queued_at", "contacts")},
            "results": sum(calls for *_, calls in counts),
            "completed": sum(completed.values()),
            "reached": completed.get(HUMAN, 0),
            "answering_machines": completed.get(MACHINE, 0),
        }
        BaseHook.get_hook(params["sql_conn_id"]).insert_rows(
            "call_summaries", [tuple(summary.values())], list(summary), replace=True, replace_index="campaign"
        )
        return "{reached} of {contacts} people reached, {answering_machines} answering machines".format(**summary)

    # [END howto_collect]

    # [START howto_remove_contacts]
    @task(trigger_rule="none_failed")
    def remove_contacts(path: str) -> None:
        """Delete the list, also if nobody approved it. After a failure it is kept, since the task needs it when it is cleared."""
        ObjectStoragePath(path).unlink(missing_ok=True)

    # [END howto_remove_contacts]

    contacts = export("sql/appointments.sql")
    contacts >> check >> approve >> queue_calls >> remove_contacts(contacts)
    summarize(queue_calls.output, collect(queue_calls.output, LAST_RESULT))
