"""Start a campaign when an asset is updated with a new contact file.

Two DAGs share the asset. Start ``queue_calls_export`` by hand: it writes a contact file and updates the asset. The update
starts ``queue_calls_on_asset``, which queues the campaign. It makes a dry run unless you switch that off in the form.
"""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path
from typing import Any

import pendulum
from airflow.sdk import DAG, Asset, Param, task

from airflow_provider_queuecalls.operators.queuecalls import QueueCallsOperator

# Calls are made from 15:15 to 18:00 New York time, on the day of the run. A run after 18:00 calls on the next day.
ZONE = "America/New_York"
DAY = "{{ (dag_run.run_after.astimezone(dag.timezone) + macros.timedelta(hours=6)).date() }}"
CALLS_START, CALLS_END = f"{DAY}T15:15 {ZONE}", f"{DAY}T18:00 {ZONE}"

contact_files = Asset("contact_files")

with DAG(
    dag_id="queue_calls_export",
    description="Write a contact file and update the asset",
    doc_md=__doc__,
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz=ZONE),
    catchup=False,
    params={
        "contacts": Param(20, title="Contacts", type="integer", minimum=1, maximum=100),
        "dry_run": Param(
            True,
            title="Dry run",
            description="Check everything and call nobody. Switch it off to place real calls.",
            type="boolean",
        ),
    },
    tags=["queuecalls", "example"],
):
    # [START howto_asset_export]
    @task(outlets=[contact_files])
    def export_contacts(params: dict[str, Any], outlet_events: Any) -> None:
        """Write a new file in each run, since a file must not change while the other DAG reads it."""
        with tempfile.NamedTemporaryFile(
            "w", prefix="contacts-", suffix=".csv", newline="", encoding="utf-8", delete=False
        ) as contacts:
            writer = csv.writer(contacts, lineterminator="\n")
            for number in range(params["contacts"]):
                writer.writerow([f"161755501{number:02}", f"appointment-{number}"])  # reserved for fiction
        outlet_events[contact_files].extra = {"contacts": contacts.name, "dry_run": params["dry_run"]}

    # [END howto_asset_export]

    export_contacts()

# [START howto_asset_campaign]
with DAG(
    dag_id="queue_calls_on_asset",
    description="Queue a campaign for each new contact file",
    doc_md=__doc__,
    schedule=[contact_files],
    start_date=pendulum.datetime(2026, 1, 1, tz=ZONE),
    catchup=False,
    tags=["queuecalls", "example"],
):

    @task
    def new_files(triggering_asset_events: Any) -> list[dict[str, Any]]:
        """Return the files of all updates, since several updates can start one run."""
        extras = [event.extra for event in triggering_asset_events[contact_files]]
        return [{"contacts": extra["contacts"], "dry_run": extra["dry_run"]} for extra in extras]

    files = new_files()

    queue_calls = QueueCallsOperator.partial(
        task_id="queue_calls",
        start_url="https://ivr.example.com/appointment-reminder.vxml",
        scheduled_timestamp=CALLS_START,
        expiration_timestamp=CALLS_END,
    ).expand_kwargs(files)

    @task
    def remove_contacts(files: list[dict[str, Any]]) -> None:
        """Delete the files. If a campaign failed they are kept, since the task needs them when it is cleared."""
        for file in files:
            Path(file["contacts"]).unlink(missing_ok=True)

    queue_calls >> remove_contacts(files)
# [END howto_asset_campaign]
