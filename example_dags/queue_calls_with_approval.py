"""Check a list, let a person look at the counts and approve, and only then make phones ring.

Started by hand with the path or URL of a contact file. Needs Airflow 3.1 or newer, where
a task can wait for a person, and apache-airflow-providers-standard 1.13.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, Param

from airflow_provider_queuecalls.operators.queuecalls import QueueCallsOperator

params = {
    "contacts": Param(
        "/data/outreach/calls.csv",
        title="Contact file",
        description_md="A path that all workers share, or a URL such as `s3://conn@bucket/calls.csv`.",
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
    # [START howto_resend_param]
    "resend": Param(
        False,
        title="Send again",
        description="Your decision, after you have looked: send a campaign that may have been sent before.",
        type="boolean",
    ),
    # [END howto_resend_param]
}

with DAG(
    dag_id="queue_calls_with_approval",
    description="Check, approve, queue",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    params=params,
    default_args={
        "contacts": "{{ params.contacts }}",
        "start_url": "{{ params.start_url }}",
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
        expected_digest="{{ ti.xcom_pull('check')['digest'] }}",  # no other list than the one that was approved
        resend="{{ params.resend }}",
    )

    check >> approve >> queue_calls
    # [END howto_approval]
