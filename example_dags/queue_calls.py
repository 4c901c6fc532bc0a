"""Remind people of their appointments: write a contact file, queue one campaign, report the outcome.

Started by hand, the DAG shows a form with its settings. It makes a dry run unless you switch that off.
"""

from __future__ import annotations

import csv
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pendulum
from airflow.sdk import DAG, Param, task

from airflow_provider_queuecalls.operators.queuecalls import QueueCallsOperator

OFFICES = Path(__file__).parent / "data" / "offices.csv"

# [START howto_calling_window]
# Calls are made from 15:15 to 18:00 New York time, on the day of the run. A run after 18:00 calls on the next day.
ZONE = "America/New_York"
DAY = "{{ (dag_run.run_after.astimezone(dag.timezone) + macros.timedelta(hours=6)).date() }}"
CALLS_START, CALLS_END = f"{DAY}T15:15 {ZONE}", f"{DAY}T18:00 {ZONE}"
# [END howto_calling_window]

# [START howto_params]
params = {
    "region": Param(
        "all",
        title="Region",
        description="The region whose customers are called.",
        enum=["all", "north-east", "south", "midwest"],
        values_display={"all": "All regions", "north-east": "North-East", "south": "South", "midwest": "Midwest"},
    ),
    "appointments_per_office": Param(
        100,
        title="Appointments per office",
        description="The number of contacts for each of the ten offices of a region: 1 to 100.",
        type="integer",
        minimum=1,
        maximum=100,
    ),
    "start_url": Param(
        "https://ivr.example.com/appointment-reminder.vxml",
        title="VoiceXML script",
        description_md="The script that runs when a call connects. An absolute URL of **at most 255** characters.",
        type="string",
        format="uri",
        pattern="^https?://[^ ]+$",
        minLength=10,
        maxLength=255,
    ),
    "result_url": Param(
        None,
        title="Result URL",
        description="The service posts the result of each call to this URL.",
        type=["null", "string"],
        format="uri",
        maxLength=255,
    ),
    "dry_run": Param(
        True,
        title="Dry run",
        description="Check everything and call nobody. Switch it off to place real calls.",
        type="boolean",
    ),
    "max_retries": Param(
        3,
        title="Further attempts",
        description="How often the service calls a number again that was not reached: 0 to 10.",
        type="integer",
        minimum=0,
        maximum=10,
        section="Attempts",
    ),
    "retry_interval": Param(
        900,
        title="Seconds between attempts",
        description="60 to 172,800 (two days).",
        type="integer",
        minimum=60,
        maximum=172_800,
        examples=[300, 900, 3600],
        section="Attempts",
    ),
}
# [END howto_params]

with DAG(
    dag_id="queue_calls",
    description="Queue a campaign from a contact file",
    doc_md=__doc__,
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz=ZONE),
    catchup=False,
    params=params,
    tags=["queuecalls", "example"],
) as dag:
    # [START howto_contact_file]
    @task
    def export_contacts(params: dict[str, Any]) -> str:
        """Write the contact file: phone number, message_reference, call_parameter; no header line."""
        with OFFICES.open(newline="", encoding="utf-8") as file:
            offices = [row for row in csv.DictReader(file) if params["region"] in ("all", row["region"])]
        with tempfile.NamedTemporaryFile(
            "w", prefix="appointments-", suffix=".csv", newline="", encoding="utf-8", delete=False
        ) as contacts:
            writer = csv.writer(contacts, lineterminator="\n")
            for office in offices:
                first = datetime.fromisoformat(office["first_appointment"])
                for slot in range(params["appointments_per_office"]):
                    number = f"1{office['area_code']}55501{slot:02}"  # 555-01xx is reserved for fiction
                    reference = f"{office['office']}-{first:%Y%m%d}-{slot:03}"
                    spoken = f"{first + slot * timedelta(minutes=5):%A at %H:%M} in {office['city']}"
                    writer.writerow([number, reference, spoken])
        return contacts.name

    # [END howto_contact_file]

    contacts = export_contacts()

    # [START howto_operator_queuecalls]
    queue_calls = QueueCallsOperator(
        task_id="queue_calls",
        contacts="{{ ti.xcom_pull('export_contacts') }}",
        start_url="{{ params.start_url }}",
        result_url="{{ params.result_url }}",
        max_retries="{{ params.max_retries }}",
        retry_interval="{{ params.retry_interval }}",
        scheduled_timestamp=CALLS_START,
        expiration_timestamp=CALLS_END,
        dry_run="{{ params.dry_run }}",
    )
    # [END howto_operator_queuecalls]

    @task
    def report(result: dict[str, Any]) -> str:
        """Log the outcome of the campaign in one sentence."""
        done = "would be called (dry run)" if result["dry_run"] else f"queued as {result['call_id_count']} calls"
        return f"{result['contacts']} contacts {done} in campaign {result['campaign_name']}"

    @task
    def remove_contacts(path: str) -> None:
        """Delete the contact file, also if the campaign failed."""
        Path(path).unlink(missing_ok=True)

    contacts >> queue_calls
    report(queue_calls.output)
    queue_calls >> remove_contacts(contacts).as_teardown(setups=contacts)
