"""Check a contact file, ask a person to approve the counts, and then queue the campaign.

Started by hand with the path or URL of a contact file. If the person approves, real calls are placed. It needs Airflow 3.1
or later, where a task can wait for a person, and apache-airflow-providers-standard 1.13 or later.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, Param

from airflow_provider_queuecalls.operators.queuecalls import QueueCallsOperator

# Calls are made from 15:15 to 18:00 New York time, on the day of the run. A run after 18:00 calls on the next day.
ZONE = "America/New_York"
DAY = "{{ (dag_run.run_after.astimezone(dag.timezone) + macros.timedelta(hours=6)).date() }}"
CALLS_START, CALLS_END = f"{DAY}T15:15 {ZONE}", f"{DAY}T18:00 {ZONE}"

params = {
    "contacts": Param(
        "/data/outreach/calls.csv",
        title="Contact file",
        description_md="An existing file: a path that all workers share, or a URL such as `s3://conn@bucket/calls.csv`.",
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
}

with DAG(
    dag_id="queue_calls_with_approval",
    description="Check, approve, queue",
    doc_md=__doc__,
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz=ZONE),
    catchup=False,
    params=params,
    default_args={
        "contacts": "{{ params.contacts }}",
        "start_url": "{{ params.start_url }}",
        "scheduled_timestamp": CALLS_START,
        "expiration_timestamp": CALLS_END,
        "on_invalid": "skip",
        "duplicates": "drop",
    },
    tags=["queuecalls", "example"],
) as dag:
    # [START howto_approval]
    check = QueueCallsOperator(task_id="check", dry_run=True)

    approve = ApprovalOperator(
        task_id="approve",
        subject="Call {{ ti.xcom_pull('check')['contacts'] }} people?",
        body="""
| | rows |
| --- | --- |
| to be called | {{ ti.xcom_pull('check')['contacts'] }} |
| rejected | {{ ti.xcom_pull('check')['rejected'] }} |
| duplicates left out | {{ ti.xcom_pull('check')['duplicates'] }} |

File: {{ params.contacts }}, {{ ti.xcom_pull('check')['digest'] }}
""",
        response_timeout=timedelta(hours=8),
    )

    queue_calls = QueueCallsOperator(
        task_id="queue_calls",
        expected_digest="{{ ti.xcom_pull('check')['digest'] }}",  # send only the list that was approved
        # To send the campaign of one run again: set the Airflow Variable resend_run to the id of the run, and clear this task.
        resend="{{ var.value.get('resend_run', '') == run_id }}",
    )

    check >> approve >> queue_calls
    # [END howto_approval]
