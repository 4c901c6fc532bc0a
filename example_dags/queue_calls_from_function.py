"""A function yields whom to call, one contact after the other; what it yields becomes the campaign.

Started by hand, it makes a dry run unless told otherwise.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Param, task

OFFICES = Path(__file__).parent / "data" / "offices.csv"
APPOINTMENTS_PER_OFFICE = 100

params = {
    "region": Param(
        "south",
        title="Region",
        description="Whose appointments to remind of.",
        enum=["north-east", "south", "midwest"],
        values_display={"north-east": "North-East", "south": "South", "midwest": "Midwest"},
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
    dag_id="queue_calls_from_function",
    description="What a function yields becomes a calling campaign",
    doc_md=__doc__,
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    params=params,
    tags=["queuecalls", "example"],
) as dag:
    # [START howto_decorator_queuecalls]
    @task.queuecalls(
        start_url="{{ params.start_url }}", dry_run="{{ params.dry_run }}", max_retries=3, retry_interval=900
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
                        "phone_number": f"1{office['area_code']}55501{slot:02}",  # 555-01xx is set aside for fiction
                        "message_reference": f"{office['office']}-{appointment:%Y%m%d}-{slot:03}",
                        "call_parameter": f"{appointment:%A at %H:%M} in {office['city']}",
                    }

    # [END howto_decorator_queuecalls]

    @task
    def report(result: dict[str, Any]) -> str:
        """Say in a sentence what became of the campaign."""
        done = "would be called (dry run)" if result["dry_run"] else f"queued as {result['call_id_count']} calls"
        return f"{result['contacts']} contacts {done} in campaign {result['campaign_name']}"

    report(queue_calls())
