"""What OpenLineage gets of real DAG runs, by its own provider and file transport."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_queuecalls.sandbox.server import run_sandbox
from tests.support.dag_run import run_in_a_process
from tests.support.postgres import Postgres

REFERENCE, NUMBERS = "patient-88", ("16175550143", "16175550178", "12025550119")
SECRETS = (*NUMBERS, REFERENCE, "row-reference", "sandbox-login", "sandbox-pin", "storage-secret")
#: Each task's parameters. The tasks run in this order, and the first ones meet the faults that are armed.
FAULTS = ("connection_reset", "http_401")
TASKS: Mapping[str, Mapping[str, Any]] = {
    "unknown": {"campaign_name": "summer"},
    "refused": {"campaign_name": "autumn"},
    "queued": {"campaign_name": "spring"},
    "not_sent": {"campaign_name": "winter", "dry_run": True},
    "not_there": {"campaign_name": "never", "contacts": "/no/such/file.csv"},
}
DAG_FILE = """
import json, os
from datetime import datetime, timezone
from airflow import DAG
from airflow_provider_queuecalls.operators.call_results import CallResultsOperator
from airflow_provider_queuecalls.operators.queuecalls import QueueCallsOperator
from airflow_provider_queuecalls.transfers.sql_to_queuecalls import SqlToQueueCallsOperator

given = json.loads(os.environ["LINEAGE_TASKS"])
for name, parameters in given.items():
    with DAG(name, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)) as dag:
        operator = SqlToQueueCallsOperator if "sql" in parameters else CallResultsOperator if "output" in parameters else QueueCallsOperator
        operator(task_id="queue", **parameters)
    globals()[name] = dag

if __name__ == "__main__":
    from tests.support.moved import dag_bag
    for name in given:
        dag_bag(__file__).dags[name].test()
"""
TABLES = f"""
CREATE SCHEMA clinic;
CREATE TABLE clinic.patients AS SELECT 1 AS id, '{NUMBERS[0]}' AS phone_number;
CREATE TABLE appointments AS SELECT 1 AS id;
"""
RUN_WITHOUT = """
import os, sys
from types import SimpleNamespace
import airflow.configuration  # which asks every provider that is installed
sys.modules["openlineage"] = sys.modules["airflow.providers.openlineage"] = None  # as if they weren't installed
from airflow_provider_queuecalls.operators.queuecalls import QueueCallsOperator
ti = SimpleNamespace(dag_id="d", task_id="t", run_id="r", map_index=-1, try_number=1, max_tries=0, xcom_push=lambda **_: None)
task = QueueCallsOperator(task_id="t", contacts=sys.argv[1], start_url="https://voice.example/start", campaign_name="spring", receipts_path="none")
print(task.execute({"ti": ti})["outcome"])
"""


@dataclass
class Reported:
    """What was reported to OpenLineage: all of it as text, and each DAG's last event of its task."""

    text: str
    events: Mapping[str, Any]
    service: str
    warehouse: str
    folder: Path

    def files_and_campaign(self, name: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        event = self.events[name]
        return tuple([(data["namespace"], data["name"]) for data in event[side]] for side in ("inputs", "outputs"))  # type: ignore[return-value]

    def facet(self, name: str) -> Any:
        return self.events[name]["run"]["facets"].get("queuecalls_campaign")


@pytest.fixture(scope="module")
def reported(database: None, s3_url: str, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Reported:
    """Run a DAG for each of the tasks, all in one Airflow process of their own."""
    import boto3
    import psycopg2

    folder = tmp_path_factory.mktemp("lineage")
    log, listed = folder / "events.json", folder / "do-not-call.csv"
    listed.write_text(f"{NUMBERS[2]}\n")
    client = boto3.client("s3", endpoint_url=s3_url, aws_access_key_id="key", aws_secret_access_key="storage-secret", region_name="us-east-1")  # fmt: skip
    client.create_bucket(Bucket="lineage")
    rows = [f"{NUMBERS[0]},row-reference", NUMBERS[0], NUMBERS[1], NUMBERS[2], "nobody"]
    client.put_object(Bucket="lineage", Key="out/calls.csv", Body="\n".join(rows).encode())
    given = {
        "contacts": "s3://storage@lineage/out/calls.csv", "start_url": "https://voice.example/start", "message_reference": REFERENCE,
        "on_invalid": "skip", "duplicates": "drop", "suppress": [str(listed)], "rejects_path": "s3://storage@lineage/out/rejects.csv",
    }  # fmt: skip
    query = {
        **{name: given[name] for name in ("start_url", "message_reference", "suppress")},
        "sql": f"SELECT phone_number FROM clinic.patients JOIN appointments USING (id) WHERE phone_number <> '{NUMBERS[1]}'",
        "sql_conn_id": "warehouse",
    }
    joined = {
        **{name: given[name] for name in ("contacts", "on_invalid", "duplicates", "suppress")},
        **{"campaign_name": "spring", "output": "s3://storage@lineage/out/next.csv"},
    }
    storage = {"endpoint_url": s3_url, "region_name": "us-east-1"}
    with run_sandbox(speed=0) as sandbox:
        for fault in FAULTS:
            sandbox.fail_next(fault)
        warehouse = postgres.new_database("outreach")
        with closing(psycopg2.connect(warehouse)) as connection:
            connection.cursor().execute(TABLES)
            connection.commit()
        environment = {
            "AIRFLOW__QUEUECALLS__RECEIPTS_PATH": "none",
            "AIRFLOW__QUEUECALLS__RESULTS_DATABASE": f"sqlite:///{folder}/results.db",
            "AIRFLOW_CONN_QUEUECALLS_DEFAULT": sandbox.connection,
            "AIRFLOW_CONN_STORAGE": json.dumps(
                {"conn_type": "aws", "login": "key", "password": "storage-secret", "extra": storage}
            ),
            "AIRFLOW_CONN_WAREHOUSE": warehouse,
            "LINEAGE_TASKS": json.dumps(
                {name: {**given, **parameters} for name, parameters in TASKS.items()}
                | {"from_sql": {"campaign_name": "from_sql", **query}, "joined": joined}
            ),
        }
        done = run_in_a_process(DAG_FILE, "lineage", log, environment)
        assert done.returncode == 0, done.stdout + done.stderr
        text = log.read_text()
        last = {event["job"]["name"]: event for event in map(json.loads, text.splitlines())}
        events = {name: last[f"{name}.queue"] for name in (*TASKS, "from_sql", "joined")}
        return Reported(text, events, sandbox.url, f"postgres://127.0.0.1:{postgres.port}", folder)


def test_the_list_and_the_do_not_call_list_become_the_campaign_and_the_rejects(reported: Reported) -> None:
    read = [("s3://lineage", "out/calls.csv"), ("file", f"{reported.folder}/do-not-call.csv")]
    campaign, rejects = (reported.service.replace("http", "queuecalls"), "spring"), ("s3://lineage", "out/rejects.csv")

    assert reported.events["queued"]["eventType"] == "COMPLETE"
    assert reported.files_and_campaign("queued") == (read, [campaign, rejects])
    facet = {name: value for name, value in reported.facet("queued").items() if not name.startswith(("_", "digest"))}
    assert facet == {
        **{"campaignName": "spring", "outcome": "queued", "contacts": 2, "rejected": 1, "duplicates": 1},
        **{"suppressed": 1, "callIds": 2, "dryRun": False, "zones": {}},
    }


def test_the_tables_of_a_query_become_the_campaign(reported: Reported) -> None:
    read, made = reported.files_and_campaign("from_sql")
    tables = [(reported.warehouse, "outreach.clinic.patients"), (reported.warehouse, "outreach.public.appointments")]
    assert sorted(read) == sorted([*tables, ("file", f"{reported.folder}/do-not-call.csv")])
    assert made == [(reported.service.replace("http", "queuecalls"), "from_sql")]
    assert reported.facet("from_sql")["contacts"] == 1


def test_the_list_and_the_results_become_the_next_list(reported: Reported) -> None:
    suppressed, results = (("file", f"{reported.folder}/{name}") for name in ("do-not-call.csv", "results.db"))
    assert reported.events["joined"]["eventType"] == "COMPLETE"
    assert reported.files_and_campaign("joined") == (
        [("s3://lineage", "out/calls.csv"), suppressed, results],
        [("s3://lineage", "out/next.csv")],
    )


def test_a_campaign_whose_outcome_is_unknown_may_exist(reported: Reported) -> None:
    assert reported.events["unknown"]["eventType"] == "FAIL"
    assert "summer" in [name for _, name in reported.files_and_campaign("unknown")[1]]
    assert (reported.facet("unknown")["outcome"], reported.facet("unknown")["dryRun"]) == ("unknown", False)


@pytest.mark.parametrize(("name", "event", "outcome"), [("refused", "FAIL", "refused"), ("not_sent", "COMPLETE", "not sent")])  # fmt: skip
def test_what_was_not_queued_is_no_output(reported: Reported, name: str, event: str, outcome: str) -> None:
    assert reported.events[name]["eventType"] == event
    assert [name for _, name in reported.files_and_campaign(name)[1]] == ["out/rejects.csv"]
    assert (reported.facet(name)["outcome"], reported.facet(name)["contacts"]) == (outcome, 2)
    assert reported.facet(name)["dryRun"] is (name == "not_sent")


def test_a_list_that_cannot_be_checked_becomes_no_campaign(reported: Reported) -> None:
    assert reported.events["not_there"]["eventType"] == "FAIL"
    assert reported.facet("not_there") is None
    assert "never" not in [name for _, name in reported.files_and_campaign("not_there")[1]]


def test_no_event_holds_secrets_or_peoples_data(reported: Reported) -> None:
    assert [secret for secret in SECRETS if secret in reported.text] == []


def test_without_the_openlineage_provider_nothing_breaks(airflow: Any, small_list: Path) -> None:
    with run_sandbox(speed=0) as sandbox:
        done = subprocess.run(
            [sys.executable, "-c", RUN_WITHOUT, str(small_list)], capture_output=True, text=True, check=False,
            env={**os.environ, "AIRFLOW_CONN_QUEUECALLS_DEFAULT": sandbox.connection},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert "queued" in done.stdout.splitlines()
        assert [campaign.name for campaign in sandbox.campaigns] == ["spring"]
