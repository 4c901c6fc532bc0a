"""Two DAGs and an asset between them: one writes contact files, the other queues a campaign for each as soon as it is there.

Start `queue_calls_export` by hand. What it writes is an update of the asset, and that starts `queue_calls_on_asset`,
which makes a dry run unless the form says otherwise.
"""

from __future__ import annotations

import csv
import tempfile
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Asset, Param, task

from airflow_provider_queuecalls.operators.queuecalls import QueueCallsOperator

contact_files = Asset("contact_files")

with DAG(
    dag_id="queue_calls_export",
    description="Writes a contact file, and says where it is",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    params={
        "contacts": Param(20, title="Contacts", type="integer", minimum=1, maximum=100),
        "dry_run": Param(
            True,
            title="Dry run",
            description="Check everything and call nobody. Switch it off to make phones ring.",
            type="boolean",
        ),
    },
    tags=["queuecalls", "example"],
):
    # [START howto_asset_export]
    @task(outlets=[contact_files])
    def export_contacts(params: dict[str, Any], outlet_events: Any) -> None:
        """Write a file of its own for each run: it must not change while the other DAG reads it."""
        with tempfile.NamedTemporaryFile(
            "w", prefix="contacts-", suffix=".csv", newline="", encoding="utf-8", delete=False
        ) as contacts:
            writer = csv.writer(contacts, lineterminator="\n")
            for number in range(params["contacts"]):
                writer.writerow([f"161755501{number:02}", f"appointment-{number}"])  # set aside for fiction
        outlet_events[contact_files].extra = {"contacts": contacts.name, "dry_run": params["dry_run"]}

    # [END howto_asset_export]

    export_contacts()

# [START howto_asset_campaign]
with DAG(
    dag_id="queue_calls_on_asset",
    description="Queues a campaign for each contact file that was written",
    doc_md=__doc__,
    schedule=[contact_files],
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    tags=["queuecalls", "example"],
):

    @task
    def new_files(triggering_asset_events: Any) -> list[dict[str, Any]]:
        """Take the files of all updates: several at once start one run."""
        extras = [event.extra for event in triggering_asset_events[contact_files]]
        return [{"contacts": extra["contacts"], "dry_run": extra["dry_run"]} for extra in extras]

    files = new_files()

    queue_calls = QueueCallsOperator.partial(
        task_id="queue_calls", start_url="https://ivr.example.com/appointment-reminder.vxml"
    ).expand_kwargs(files)

    @task
    def remove_contacts(files: list[dict[str, Any]]) -> None:
        """Leave no phone numbers behind. If a campaign failed they stay: whoever clears it needs the file."""
        for file in files:
            Path(file["contacts"]).unlink(missing_ok=True)

    queue_calls >> remove_contacts(files)
# [END howto_asset_campaign]
