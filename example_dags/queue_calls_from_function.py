"""Queue a campaign from a Python function that yields the contacts.

Started by hand. It makes a dry run unless you switch that off.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pendulum
from airflow.sdk import DAG, Param, task

OFFICES = Path(__file__).parent / "data" / "offices.csv"
APPOINTMENTS_PER_OFFICE = 100

# Calls are made from 15:15 to 18:00 New York time, on the day of the run. A run after 18:00 calls on the next day.
ZONE = "America/New_York"
DAY = "{{ (dag_run.run_after.astimezone(dag.timezone) + macros.timedelta(hours=6)).date() }}"
CALLS_START, CALLS_END = f"{DAY}T15:15 {ZONE}", f"{DAY}T18:00 {ZONE}"

params = {
    "region": Param(
        "south",
        title="Region",
        description="The region whose customers are called.",
        enum=["north-east", "south", "midwest"],
        values_display={"north-east": "North-East", "south": "South", "midwest": "Midwest"},
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
    dag_id="queue_calls_from_function",
    description="Queue a campaign from what a function yields",
    doc_md=__doc__,
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz=ZONE),
    catchup=False,
    params=params,
    tags=["queuecalls", "example"],
) as dag:
    # [START howto_decorator_queuecalls]
    @task.queuecalls(
        start_url="{{ params.start_url }}",
        max_retries=3,
        retry_interval=900,
        scheduled_timestamp=CALLS_START,
        expiration_timestamp=CALLS_END,
        dry_run="{{ params.dry_run }}",
    )
    def queue_calls(params: dict[str, Any]) -> Iterator[dict[str, str]]:
        with OFFICES.open(newline="", encoding="utf-8") as file:
            for office in csv.DictReader(file):
                if office["region"] != params["region"]:
                    continue
                first = datetime.fromisoformat(office["first_appointment"])
                for slot in range(APPOINTMENTS_PER_OFFICE):
                    appointment = first + slot * timedelta(minutes=5)
                    yield {
                        "phone_number": f"1{office['area_code']}55501{slot:02}",  # 555-01xx is reserved for fiction
                        "message_reference": f"{office['office']}-{appointment:%Y%m%d}-{slot:03}",
                        "call_parameter": f"{appointment:%A at %H:%M} in {office['city']}",
                    }

    # [END howto_decorator_queuecalls]

    @task
    def report(result: dict[str, Any]) -> str:
        """Log the outcome of the campaign in one sentence."""
        done = "would be called (dry run)" if result["dry_run"] else f"queued as {result['call_id_count']} calls"
        return f"{result['contacts']} contacts {done} in campaign {result['campaign_name']}"

    report(queue_calls())
