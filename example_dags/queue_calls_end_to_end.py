"""From a query to a second call: export, check, approve, queue, wait for the results, call those who were not reached again.

Started by hand. It makes a dry run unless you switch that off, and nobody is called before a person has approved the list.
It needs:

- Airflow 3.1 or later, where a task can wait for a person, and apache-airflow-providers-standard 1.13 or later
- ``airflow-provider-queuecalls[sql]`` and the Airflow provider of your database
- the table ``appointments`` that ``sql/appointments.sql`` selects from
- a results receiver, and results_url, results_secret and results_database in [queuecalls] of Airflow's configuration
"""

from __future__ import annotations

import csv
from datetime import timedelta
from typing import Any

import pendulum
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, BaseHook, ObjectStoragePath, Param, task

from airflow_provider_queuecalls.operators.call_results import CallResultsOperator
from airflow_provider_queuecalls.operators.queuecalls import QueueCallsOperator
from airflow_provider_queuecalls.sensors.queuecalls import QueueCallsResultsSensor

# [START howto_calling_window]
# Calls are made from 15:15 to 18:00 New York time, on the day of the run. A run after 18:00 calls on the next day.
# The day is that of the run, not of the try: after an approval that comes too late, nothing is sent.
ZONE = "America/New_York"
DATE = "(dag_run.run_after.astimezone(dag.timezone) + macros.timedelta(hours=6)).date()"
DAY, NEXT_DAY = f"{{{{ {DATE} }}}}", f"{{{{ {DATE} + macros.timedelta(days=1) }}}}"
START, END = f"T15:15 {ZONE}", f"T18:00 {ZONE}"
# [END howto_calling_window]

params = {
    "sql_conn_id": Param(
        "warehouse",
        title="Warehouse",
        description="The id of the connection to your database.",
        type="string",
        minLength=1,
    ),
    "day": Param("2026-01-02", title="Day", description="The day of the appointments.", type="string", format="date"),
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
    "dry_run": Param(
        True,
        title="Dry run",
        description="Check everything and call nobody. Switch it off to place real calls.",
        type="boolean",
    ),
}

with DAG(
    dag_id="queue_calls_end_to_end",
    description="Export, check, approve, queue, wait, call again",
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
    list_and_rules = {
        "contacts": "{{ ti.xcom_pull('export') }}",
        "has_header": True,
        "on_invalid": "skip",
        "max_rejects": "1%",
        "duplicates": "drop",
    }
    campaign = {
        **list_and_rules,
        "start_url": "{{ params.start_url }}",
        "collect_results": True,
        "max_retries": 3,
        "retry_interval": 900,
        "scheduled_timestamp": f"{DAY}{START}",
        "expiration_timestamp": f"{DAY}{END}",
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

    # [START howto_call_again]
    # Without a worker, and until an hour after the expiration at the latest.
    wait_for_results = QueueCallsResultsSensor(task_id="wait_for_results", queued=queue_calls.output)

    not_reached = CallResultsOperator(
        task_id="not_reached",
        queued=queue_calls.output,
        **list_and_rules,
        output="{{ params.folder }}/{{ run_id }}-not-reached.csv",
        select="not_reached",
    )

    # Only those whose calls have failed. A contact without a result may have been reached.
    call_again = QueueCallsOperator(
        task_id="call_again",
        contacts="{{ ti.xcom_pull('not_reached')['output'] }}",
        has_header=True,
        on_empty="skip",
        start_url="{{ params.start_url }}",
        scheduled_timestamp=f"{NEXT_DAY}{START}",
        expiration_timestamp=f"{NEXT_DAY}{END}",
        collect_results=True,
        dry_run="{{ params.dry_run }}",
    )
    # [END howto_call_again]

    # [START howto_remove_lists]
    @task(trigger_rule="none_failed")
    def remove_lists(path: str) -> None:
        """Delete the lists, also if nobody approved. After a failure they are kept, since a task needs them when it is cleared."""
        for each in (path, path.replace(".csv", "-not-reached.csv")):
            ObjectStoragePath(each).unlink(missing_ok=True)

    # [END howto_remove_lists]

    contacts = export("sql/appointments.sql")
    (
        contacts
        >> check
        >> approve
        >> queue_calls
        >> wait_for_results
        >> not_reached
        >> call_again
        >> remove_lists(contacts)
    )
