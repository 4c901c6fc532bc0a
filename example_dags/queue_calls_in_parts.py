"""A large list becomes several campaigns, one after the other, since the vendor asks not to be flooded.

The list is checked as a whole first, so that nobody is in two campaigns, and then split. Each part is a mapped task with a
campaign, a record and a result of its own; one that fails doesn't keep the others from being sent, and can be cleared alone.

Started by hand with the path or URL of a contact file and of a folder for the parts. It makes a dry run unless told
otherwise.
"""

from __future__ import annotations

from datetime import datetime, timezone
from itertools import islice
from typing import Any

from airflow.sdk import DAG, ObjectStoragePath, Param, task

from airflow_provider_queuecalls.operators.queuecalls import QueueCallsOperator

params = {
    "contacts": Param(
        "/data/outreach/calls.csv",
        title="Contact file",
        description_md="A path that all workers share, or a URL such as `s3://conn@bucket/calls.csv`.",
        type="string",
        minLength=1,
    ),
    "parts_path": Param(
        "/data/outreach/parts",
        title="Folder for the parts",
        description_md="Where the parts lie while they are sent: a path that all workers share, or a URL.",
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
    dag_id="queue_calls_in_parts",
    description="A large list becomes several campaigns, one after the other",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    params=params,
    default_args={"start_url": "{{ params.start_url }}"},
    tags=["queuecalls", "example"],
) as dag:
    # [START howto_parts]
    check = QueueCallsOperator(task_id="check", contacts="{{ params.contacts }}", dry_run=True)

    @task
    def split(params: dict[str, Any], run_id: str) -> list[dict[str, str]]:
        """Write the parts, and say for each what its campaign is made of."""
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
        """Leave no phone numbers behind."""
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
        """Say in a sentence what became of the list."""
        results = list(results)
        done = "would be called (dry run)" if any(result["dry_run"] for result in results) else "queued"
        return f"{sum(result['contacts'] for result in results)} contacts in {len(results)} campaigns {done}"

    check >> parts
    report(queue_calls.output)
    queue_calls >> remove_parts(parts).as_teardown(setups=parts)
