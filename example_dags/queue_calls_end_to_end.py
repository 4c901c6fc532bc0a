"""From the warehouse to the phone and back: export, check, approve, queue, collect.

Started by hand, it makes a dry run unless told otherwise, and nobody is called before a person has approved the list. Needs
Airflow 3.1 or newer, where a task can wait for a person, and apache-airflow-providers-standard 1.13;
airflow-provider-queuecalls[sql]; the provider of your database; the table ``appointments`` that ``sql/appointments.sql``
asks for; and the tables of ``sql/warehouse_tables.sql``, into which your endpoint behind ``result_url`` writes what becomes
of the calls.
"""

from __future__ import annotations

import csv
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, BaseHook, ObjectStoragePath, Param, PokeReturnValue, task

from airflow_provider_queuecalls.operators.queuecalls import QueueCallsOperator

params = {
    "sql_conn_id": Param(
        "warehouse",
        title="Warehouse",
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
    "folder": Param(
        "/data/outreach",
        title="Folder for the list",
        description_md="Where the list lies until it is sent: a path that all workers share, or a URL such as "
        "`s3://conn@bucket/outreach`.",
        type="string",
        minLength=1,
    ),
    "start_url": Param(
        "https://ivr.example.com/appointment-reminder.vxml",
        title="VoiceXML script",
        description="What runs when a call connects.",
        type="string",
        format="uri",
        maxLength=255,
    ),
    "result_url": Param(
        "https://ivr.example.com/results",
        title="Where results go",
        description="Your endpoint, which writes what becomes of a call into the warehouse. The run's id is added.",
        type="string",
        format="uri",
        maxLength=200,
    ),
    "hours": Param(
        24,
        title="Hours",
        description="How long after the start of this run people may be called. A later approval calls nobody.",
        type="integer",
        minimum=1,
        maximum=72,
    ),
    "dry_run": Param(
        True,
        title="Dry run",
        description="Check everything and call nobody. Switch it off to make phones ring.",
        type="boolean",
    ),
}

# From the run's own time: the same on every try, however late somebody approves.
EXPIRATION = "{{ (dag_run.run_after + macros.timedelta(hours=params.hours)).isoformat() }}"

with DAG(
    dag_id="queue_calls_end_to_end",
    description="From the warehouse to the phone: export, check, approve, queue, collect",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    params=params,
    tags=["queuecalls", "example"],
) as dag:
    # [START howto_export]
    @task(templates_exts=[".sql"])
    def export(sql: str, params: dict[str, Any], run_id: str) -> str:
        """Write what the query finds to a file of this run's own: the list that is checked, approved and sent."""
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
    # The same for both: what is approved is what is sent.
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
        "expiration_timestamp": EXPIRATION,
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
        expected_digest="{{ ti.xcom_pull('check')['digest'] }}",  # no other list than the one that was approved
        dry_run="{{ params.dry_run }}",
    )
    # [END howto_check_approve_queue]

    # [START howto_collect]
    @task.sensor(mode="reschedule", poke_interval=60, timeout=timedelta(days=4).total_seconds())
    def collect(queued: dict[str, Any], expiration: str, params: dict[str, Any], run_id: str) -> PokeReturnValue:
        """Wait until there is a result for every contact, or until no more will come; count them."""
        if queued["dry_run"]:
            from airflow.sdk.exceptions import AirflowSkipException

            raise AirflowSkipException("A dry run has no results.")
        warehouse = BaseHook.get_hook(params["sql_conn_id"])
        count = f"SELECT result, COUNT(*) FROM call_results WHERE campaign = {warehouse.placeholder} GROUP BY result"  # noqa: S608
        counts = dict(warehouse.get_records(count, parameters=[run_id]))
        # An hour more: the last calls may still be under way, and their results too.
        over = datetime.now(timezone.utc) > datetime.fromisoformat(expiration) + timedelta(hours=1)
        return PokeReturnValue(over or sum(counts.values()) >= queued["contacts"], counts)

    @task
    def summarize(queued: dict[str, Any], counts: dict[str, int], params: dict[str, Any], run_id: str) -> str:
        """Write a row about this run into the warehouse: once, also if the task is tried again."""
        summary = {
            "campaign": run_id,
            **{name: queued[name] for name in ("campaign_name", "digest", "queued_at", "contacts")},
            "results": sum(counts.values()),
            "completed": counts.get("completed", 0),
        }
        BaseHook.get_hook(params["sql_conn_id"]).insert_rows(
            "call_summaries", [tuple(summary.values())], list(summary), replace=True, replace_index="campaign"
        )
        return "{completed} of {contacts} calls completed, {results} results".format(**summary)

    # [END howto_collect]

    # [START howto_remove_contacts]
    @task(trigger_rule="none_failed")
    def remove_contacts(path: str) -> None:
        """Leave no phone numbers behind, also if nobody approved. After a failure they stay: whoever clears needs them."""
        ObjectStoragePath(path).unlink(missing_ok=True)

    # [END howto_remove_contacts]

    contacts = export("sql/appointments.sql")
    contacts >> check >> approve >> queue_calls >> remove_contacts(contacts)
    summarize(queue_calls.output, collect(queue_calls.output, EXPIRATION))
