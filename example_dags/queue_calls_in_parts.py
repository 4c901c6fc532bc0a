"""Split a large contact file by calling hours into several campaigns, and queue them one after the other.

The whole file is checked first, so that nobody is in two campaigns. People are called between 8:00 and 21:00 by their own clocks:
on the day of the run, or on the next day if too little of these hours is left. Each part is a mapped task with its own campaign,
record, and result. A part that fails does not stop the others, and can be cleared on its own.

Started by hand with the path or URL of a contact file and of a folder for the parts. It makes a dry run unless you switch
that off.
"""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.sdk import DAG, ObjectStoragePath, Param, task

from airflow_provider_queuecalls.operators.queuecalls import QueueCallsOperator
from airflow_provider_queuecalls.operators.split_contacts import SplitContactsOperator

HOURS = "us-federal"  # not legal advice

params = {
    "contacts": Param(
        "/data/outreach/calls.csv",
        title="Contact file",
        description_md="An existing file: a path that all workers share, or a URL such as `s3://conn@bucket/calls.csv`.",
        type="string",
        minLength=1,
    ),
    "parts_path": Param(
        "/data/outreach/parts",
        title="Folder for the parts",
        description_md="Where the parts are stored until they are sent: a path that all workers share, or a URL. "
        "A local folder is created if it does not exist.",
        type="string",
        minLength=1,
    ),
    "contacts_per_campaign": Param(10_000, title="Contacts per campaign", type="integer", minimum=1, maximum=1_000_000),
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
    dag_id="queue_calls_in_parts",
    description="Split a contact file into several campaigns",
    doc_md=__doc__,
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="America/New_York"),
    catchup=False,
    params=params,
    tags=["queuecalls", "example"],
) as dag:
    # [START howto_parts]
    split = SplitContactsOperator(
        task_id="split",
        contacts="{{ params.contacts }}",
        folder="{{ params.parts_path }}/{{ run_id }}",
        campaign_name="{{ run_id }}",
        calling_hours=HOURS,
        max_contacts="{{ params.contacts_per_campaign }}",
    )

    queue_calls = QueueCallsOperator.partial(
        task_id="queue_calls",
        start_url="{{ params.start_url }}",
        calling_hours=HOURS,
        dry_run="{{ params.dry_run }}",
        max_active_tis_per_dag=1,  # one at a time
    ).expand_kwargs(split.output)

    @task
    def remove_parts(parts: list[dict[str, Any]]) -> None:
        """Delete the parts, also if campaigns failed. The record of the split stays, so that another list is not split here."""
        for part in parts:
            ObjectStoragePath(part["contacts"]).unlink(missing_ok=True)

    # [END howto_parts]

    @task
    def report(results: list[dict[str, Any]]) -> str:
        """Log the outcome of all campaigns in one sentence."""
        results = list(results)
        done = "would be called (dry run)" if any(result["dry_run"] for result in results) else "queued"
        return f"{sum(result['contacts'] for result in results)} contacts in {len(results)} campaigns {done}"

    report(queue_calls.output)
    queue_calls >> remove_parts(split.output).as_teardown(setups=split)
