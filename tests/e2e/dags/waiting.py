"""The DAGs of test_waiting.py: one waits for the results of a campaign, the other starts when they are there."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from airflow.sdk import DAG, Asset, task

from airflow_provider_queuecalls.sensors.queuecalls import QueueCallsResultsSensor

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
results = Asset("results of calls")

with DAG("waits", schedule=None, start_date=START):
    queued = {"campaign_key": "00d1", "campaign_name": "{{ run_id }}", "contacts": 2}
    QueueCallsResultsSensor(task_id="wait", queued=queued, poke_interval=1, outlets=[results])

with DAG("follows", schedule=[results], start_date=START):

    @task
    def report(triggering_asset_events: Any) -> Any:
        """Return the counts."""
        return triggering_asset_events[results][0].extra

    report()  # type: ignore[call-arg]  # Airflow gives it the events
