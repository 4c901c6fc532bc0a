"""Queue a campaign, wait for the results of its calls, and write the list of the people who were not reached.

Started by hand. It makes a dry run unless you switch that off. It needs a results receiver and, in the section [queuecalls] of
Airflow's configuration, results_url, results_secret and results_database.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pendulum
from airflow.sdk import DAG, ObjectStoragePath, Param, task

from airflow_provider_queuecalls.operators.call_results import CallResultsOperator
from airflow_provider_queuecalls.operators.queuecalls import QueueCallsOperator
from airflow_provider_queuecalls.sensors.queuecalls import QueueCallsResultsSensor

OFFICES = Path(__file__).parent / "data" / "offices.csv"

# Calls are made from 15:15 to 18:00 New York time, on the day of the run. A run after 18:00 calls on the next day.
ZONE = "America/New_York"
DAY = "{{ (dag_run.run_after.astimezone(dag.timezone) + macros.timedelta(hours=6)).date() }}"

params = {
    "folder": Param(
        "/data/outreach",
        title="Folder for the lists",
        description_md="A path that all workers share, or a URL such as `s3://conn@bucket/outreach`.",
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
    dag_id="queue_calls_with_results",
    description="Queue a campaign, wait for its results, and list who was not reached",
    doc_md=__doc__,
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz=ZONE),
    catchup=False,
    params=params,
    tags=["queuecalls", "example"],
) as dag:

    @task
    def export_contacts(params: dict[str, Any], run_id: str) -> str:
        """Write the contact file: ten appointments for each office."""
        contacts = ObjectStoragePath(f"{params['folder']}/{run_id}.csv")
        contacts.parent.mkdir(parents=True, exist_ok=True)
        with (
            OFFICES.open(newline="", encoding="utf-8") as file,
            contacts.open("w", newline="", encoding="utf-8") as list_,
        ):
            for office in csv.DictReader(file):
                # 555-01xx is reserved for fiction.
                csv.writer(list_, lineterminator="\n").writerows(
                    (f"1{office['area_code']}55501{slot:02}", f"{office['office']}-{slot:03}", office["city"])
                    for slot in range(10)
                )
        return str(contacts)

    contacts = export_contacts()

    # [START howto_results]
    queue_calls = QueueCallsOperator(
        task_id="queue_calls",
        contacts=contacts,
        start_url="{{ params.start_url }}",
        max_retries=2,
        retry_interval="15 minutes",
        scheduled_timestamp=f"{DAY}T15:15 {ZONE}",
        expiration_timestamp=f"{DAY}T18:00 {ZONE}",
        collect_results=True,
        dry_run="{{ params.dry_run }}",
    )

    # Waits in the triggerer, without a worker: at most until an hour after the campaign's expiration.
    wait_for_results = QueueCallsResultsSensor(task_id="wait_for_results", queued=queue_calls.output, poke_interval=10)

    not_reached = CallResultsOperator(
        task_id="not_reached",
        queued=queue_calls.output,
        contacts=contacts,
        output="{{ params.folder }}/{{ run_id }}-not-reached.csv",
        select="not_reached",
    )

    wait_for_results >> not_reached
    # [END howto_results]
