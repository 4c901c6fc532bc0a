"""Split a large contact file into several campaigns and queue them one after the other.

The whole file is checked first, so that nobody is in two campaigns. Each part is a mapped task with its own campaign, record,
and result. A part that fails does not stop the others, and can be cleared on its own.

Started by hand with the path or URL of a contact file and of a folder for the parts. It makes a dry run unless you switch
that off.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

import pendulum
from airflow.sdk import DAG, ObjectStoragePath, Param, task

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
    "parts_path": Param(
        "/data/outreach/parts",
        title="Folder for the parts",
        description_md="Where the parts are stored until they are sent: a path that all workers share, or a URL. "
        "A local folder is created if it does not exist.",
        type="string",
        minLength=1,
    ),
    "contacts_per_campaign": Param(
        10_000,
        title="Contacts per campaign",
        type="integer",
        minimum=1,
        maximum=1_000_000,
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
    dag_id="queue_calls_in_parts",
    description="Split a contact file into several campaigns",
    doc_md=__doc__,
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz=ZONE),
    catchup=False,
    params=params,
    default_args={
        "start_url": "{{ params.start_url }}",
        "scheduled_timestamp": CALLS_START,
        "expiration_timestamp": CALLS_END,
    },
    tags=["queuecalls", "example"],
) as dag:
    # [START howto_parts]
    check = QueueCallsOperator(task_id="check", contacts="{{ params.contacts }}", dry_run=True)

    @task
    def split(params: dict[str, Any], run_id: str) -> list[dict[str, str]]:
        """Write the parts; return the parameters of each part's campaign."""
        folder, size = f"{params['parts_path']}/{run_id}", params["contacts_per_campaign"]
        ObjectStoragePath(folder).mkdir(parents=True, exist_ok=True)
        parts = []
        with ObjectStoragePath(params["contacts"]).open("rb") as file:
            rows = (row for row in iter(file.readline, b"") if row.strip())
            for number, part in enumerate(iter(lambda: list(islice(rows, size)), []), start=1):
                path = f"{folder}/part_{number:04}.csv"
                ObjectStoragePath(path).write_bytes(b"".join(part))
                parts.append({"contacts": path, "campaign_name": f"{run_id} part_{number:04}"})
        return parts

    @task
    def remove_parts(parts: list[dict[str, str]]) -> None:
        """Delete the parts, also if campaigns failed."""
        for part in parts:
            ObjectStoragePath(part["contacts"]).unlink(missing_ok=True)

    parts = split()
    queue_calls = QueueCallsOperator.partial(
        task_id="queue_calls",
        dry_run="{{ params.dry_run }}",
        max_active_tis_per_dag=1,  # one at a time
    ).expand_kwargs(parts)
    # [END howto_parts]

    @task
    def report(results: list[dict[str, Any]]) -> str:
        """Log the outcome of all campaigns in one sentence."""
        results = list(results)
        done = "would be called (dry run)" if any(result["dry_run"] for result in results) else "queued"
        return f"{sum(result['contacts'] for result in results)} contacts in {len(results)} campaigns {done}"

    check >> parts
    report(queue_calls.output)
    queue_calls >> remove_parts(parts).as_teardown(setups=parts)
