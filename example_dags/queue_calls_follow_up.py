"""Call those who were not reached again: wait for the results, write the next list, and start the next campaign with it.

Two DAGs share the asset ``not_reached``. Start ``queue_calls_first_round`` by hand. It makes a dry run unless you switch that off in
the form. When the results of its calls are there, it writes the contacts whose calls have failed to a file and updates the asset.
The update starts ``queue_calls_follow_up``, which queues the next campaign. It needs:

- ``airflow-provider-queuecalls[results]``, and a receiver: ``queuecalls results serve``
- ``results_url``, ``results_secret``, and ``results_database`` in the section ``[queuecalls]`` of Airflow's configuration
"""

from __future__ import annotations

from typing import Any

import pendulum
from airflow.sdk import DAG, Asset, ObjectStoragePath, Param, task

from airflow_provider_queuecalls.operators.call_results import CallResultsOperator
from airflow_provider_queuecalls.operators.queuecalls import QueueCallsOperator
from airflow_provider_queuecalls.sensors.queuecalls import QueueCallsResultsSensor

# Calls are made from 15:15 to 18:00 New York time, on the day of the run. A run after 18:00 calls on the next day.
ZONE = "America/New_York"
DAY = "{{ (dag_run.run_after.astimezone(dag.timezone) + macros.timedelta(hours=6)).date() }}"
CALLS = {"scheduled_timestamp": f"{DAY}T15:15 {ZONE}", "expiration_timestamp": f"{DAY}T18:00 {ZONE}"}
START_URL = "https://ivr.example.com/appointment-reminder.vxml"

not_reached = Asset("not_reached")

# [START howto_follow_up]
with DAG(
    dag_id="queue_calls_first_round",
    description="Queue a campaign, and write the list of those not reached",
    doc_md=__doc__,
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz=ZONE),
    catchup=False,
    params={
        "contacts": Param(
            "/data/calls.csv",
            title="Contact file",
            description_md="A path that all workers share, or a URL such as `s3://conn@bucket/calls.csv`.",
            type="string",
            minLength=1,
        ),
        "folder": Param(
            "/data/outreach",
            title="Folder for the next list",
            description_md="A folder that exists and that all workers share, or a URL such as `s3://conn@bucket/outreach`.",
            type="string",
            minLength=1,
        ),
        "dry_run": Param(
            True,
            title="Dry run",
            description="Check everything and call nobody. Switch it off to place real calls.",
            type="boolean",
        ),
    },
    tags=["queuecalls", "example"],
):
    # The task that joins the results checks the list again, by the same rules.
    contacts: dict[str, Any] = {"contacts": "{{ params.contacts }}", "on_invalid": "skip", "duplicates": "drop"}

    queue_calls = QueueCallsOperator(
        task_id="queue_calls",
        **contacts,
        start_url=START_URL,
        **CALLS,
        collect_results=True,
        dry_run="{{ params.dry_run }}",
    )
    wait = QueueCallsResultsSensor(task_id="wait", queued=queue_calls.output)
    write_next_list = CallResultsOperator(
        task_id="write_next_list",
        **contacts,
        queued=queue_calls.output,
        select="not_reached",
        output="{{ params.folder }}/{{ run_id }}.csv",
        outlets=[not_reached],
    )
    wait >> write_next_list

with DAG(
    dag_id="queue_calls_follow_up",
    description="Queue a campaign for those not reached",
    doc_md=__doc__,
    schedule=[not_reached],
    start_date=pendulum.datetime(2026, 1, 1, tz=ZONE),
    catchup=False,
    tags=["queuecalls", "example"],
):

    @task
    def next_lists(triggering_asset_events: Any) -> list[str]:
        """Return the files of all updates, since several updates can start one run."""
        return [event.extra["output"] for event in triggering_asset_events[not_reached]]

    lists = next_lists()

    call_again = QueueCallsOperator.partial(
        task_id="call_again",
        has_header=True,
        on_empty="skip",  # everybody was reached
        start_url=START_URL,
        **CALLS,
    ).expand(contacts=lists)

    @task(trigger_rule="none_failed")
    def remove_lists(paths: list[str]) -> None:
        """Delete the files. If a campaign failed they are kept, since the task needs them when it is cleared."""
        for path in paths:
            ObjectStoragePath(path).unlink(missing_ok=True)

    call_again >> remove_lists(lists)
# [END howto_follow_up]
