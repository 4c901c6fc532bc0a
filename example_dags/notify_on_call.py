"""Phone whoever is on call when a task fails.

The phone numbers are in the Airflow Variable ``oncall``, one on each line, so that the rotation changes without a deployment.
However many tasks fail, people are called once an hour. Every run of this example fails, and makes a dry run of the call
unless you switch that off in the form.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.sdk import DAG, Param, task

from airflow_provider_queuecalls.notifications.queuecalls import QueueCallsNotifier

# [START howto_notifier]
call_on_call = QueueCallsNotifier(
    to_variable="oncall",
    message="{{ ti.task_id }} of {{ dag.dag_id }} failed",
    start_url="https://ivr.example.com/alarm.vxml",  # a script that says its call_parameters
    min_interval=timedelta(hours=1),
    dry_run="{{ params.dry_run }}",
)

with DAG(
    dag_id="notify_on_call",
    description="Phone whoever is on call when a task fails",
    doc_md=__doc__,
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="America/New_York"),
    catchup=False,
    default_args={"on_failure_callback": call_on_call},
    params={
        "dry_run": Param(
            True,
            title="Dry run",
            description="Check everything and call nobody. Switch it off to place real calls.",
            type="boolean",
        )
    },
    tags=["queuecalls", "example"],
):

    @task
    def load(part: int) -> None:
        """Fail, as every other part does."""
        raise RuntimeError(f"the warehouse does not respond: part {part}")

    load.expand(part=list(range(5)))
# [END howto_notifier]
