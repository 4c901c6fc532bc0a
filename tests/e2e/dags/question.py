"""The DAG of test_question.py: a campaign whose outcome a person is asked for, and a task that reads its result."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_queuecalls.operators.queuecalls import QueueCallsOperator

with DAG(
    "asks", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc), params={"receipts": "", "timeout": ""}
):
    call = QueueCallsOperator(
        task_id="call",
        contacts=os.environ["QUEUECALLS_E2E"] + "/asks.csv",
        start_url="https://ivr.example.com/reminder.vxml",
        campaign_name="{{ run_id }}",
        queuecalls_conn_id="{{ run_id }}",
        on_unknown="ask",
        answer_timeout="{{ params.timeout }}",
        receipts_path="{{ params.receipts }}",
        on_invalid="skip",
        retries=1,
    )

    @task
    def report(result: dict[str, Any]) -> str:
        """Read what the campaign has pushed."""
        return f"{result['contacts']} contacts, {result['rejected']} rejected, in {result['campaign_name']}"

    report(call.output)  # type: ignore[arg-type]  # its value comes when it runs
