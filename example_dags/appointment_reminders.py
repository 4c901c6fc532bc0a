"""Remind people of their appointments by phone, and let them confirm or cancel by key. No VoiceXML script is needed.

Each call says a sentence, and offers three keys. The answers become three lists; those who do not want to be called again are left out
of every later run. Started by hand. It makes a dry run unless you switch that off. It needs:

- ``airflow-provider-queuecalls[sql]`` and the Airflow provider of your database
- the table ``appointments`` that ``sql/appointments.sql`` selects from
- a results receiver, and results_url, results_secret and results_database in [queuecalls] of Airflow's configuration
"""

from __future__ import annotations

import csv
from typing import Any

import pendulum
from airflow.sdk import DAG, Connection, ObjectStoragePath, Param, task

from airflow_provider_queuecalls.operators.call_results import CallResultsOperator
from airflow_provider_queuecalls.operators.queuecalls import QueueCallsOperator
from airflow_provider_queuecalls.sensors.queuecalls import QueueCallsResultsSensor

# Calls are made from 15:15 to 18:00 New York time, on the day of the run. A run after 18:00 calls on the next day.
ZONE = "America/New_York"
DAY = "{{ (dag_run.run_after.astimezone(dag.timezone) + macros.timedelta(hours=6)).date() }}"
CHOICES = {"1": "confirmed", "2": "canceled", "9": "do not call"}
DO_NOT_CALL = "do-not-call.csv"

params = {
    "sql_conn_id": Param(
        "warehouse",
        title="Database",
        description="The id of the connection to your database.",
        type="string",
        minLength=1,
    ),
    "day": Param("2026-01-02", title="Day", description="The day of the appointments.", type="string", format="date"),
    "folder": Param(
        "/data/outreach",
        title="Folder for the lists",
        description_md="A path that all workers share, or a URL such as `s3://conn@bucket/outreach`.",
        type="string",
        minLength=1,
    ),
    "dry_run": Param(
        True,
        title="Dry run",
        description="Check everything and call nobody. Switch it off to place real calls.",
        type="boolean",
    ),
}

with DAG(
    dag_id="appointment_reminders",
    description="Remind people by phone, and list who confirmed, canceled, or wants no more calls",
    doc_md=__doc__,
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz=ZONE),
    catchup=False,
    max_active_runs=1,  # a run adds to the list that the next one reads
    params=params,
    tags=["queuecalls", "example"],
) as dag:

    @task(templates_exts=[".sql"])
    def export(sql: str, params: dict[str, Any], run_id: str) -> str:
        """Write the contact file: whom to call, and what to say."""
        folder = ObjectStoragePath(params["folder"])
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / DO_NOT_CALL).exists():
            (folder / DO_NOT_CALL).write_text("phone_number\n")
        path = folder / f"{run_id}.csv"

        def write(cursor: Any) -> None:
            with path.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file, lineterminator="\n").writerows(
                    (number, reference, f"Your appointment is on {time}.") for number, reference, time in cursor
                )

        Connection.get(params["sql_conn_id"]).get_hook().run(sql, parameters={"day": params["day"]}, handler=write)
        return str(path)

    # [START howto_choices]
    # The lists are made with the same rules, so that exactly those who were called are in them.
    list_and_rules = {
        "contacts": export("sql/appointments.sql"),
        "suppress": f"{{{{ params.folder }}}}/{DO_NOT_CALL}",
        "on_invalid": "skip",
        "duplicates": "drop",
    }

    queue_calls = QueueCallsOperator(
        task_id="queue_calls",
        **list_and_rules,
        speak={
            "choices": CHOICES,
            "prompts": {"offer": "Press 1 to confirm, or 2 to cancel, or 9 if you do not want to be called again."},
        },
        max_retries=2,
        retry_interval="15 minutes",
        scheduled_timestamp=f"{DAY}T15:15 {ZONE}",
        expiration_timestamp=f"{DAY}T18:00 {ZONE}",
        collect_results=True,
        dry_run="{{ params.dry_run }}",
    )

    wait_for_results = QueueCallsResultsSensor(task_id="wait_for_results", queued=queue_calls.output, poke_interval=10)

    lists = [
        CallResultsOperator(
            task_id=choice.replace(" ", "_"),
            queued=queue_calls.output,
            **list_and_rules,
            select=choice,
            output=f"{{{{ params.folder }}}}/{{{{ run_id }}}} {choice}.csv",
        )
        for choice in CHOICES.values()
    ]
    # [END howto_choices]

    @task
    def suppress(path: str, params: dict[str, Any]) -> int:
        """Add those who do not want to be called again to the suppression list of all runs."""
        known = ObjectStoragePath(params["folder"]) / DO_NOT_CALL
        with ObjectStoragePath(path).open(newline="", encoding="utf-8") as file:
            numbers = [row["phone_number"] for row in csv.DictReader(file)]
        known.write_text(known.read_text() + "".join(f"{number}\n" for number in numbers))
        return len(numbers)

    wait_for_results >> lists >> suppress("{{ ti.xcom_pull('do_not_call')['output'] }}")
