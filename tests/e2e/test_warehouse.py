"""The example from the warehouse to the phone and back, twice, under a real scheduler, with a person's answer in between."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import pytest

from airflow_provider_queuecalls.sandbox.server import Sandbox, run_sandbox
from tests.e2e.conftest import EXAMPLES, calling_tomorrow
from tests.support.airflow import Airflow
from tests.support.moved import AIRFLOW
from tests.support.postgres import postgres_server
from tests.support.receiver import NEW
from tests.support.s3 import BUCKET, STORAGE, new_bucket, s3_connection, s3_server
from tests.support.sandbox import listening

pytestmark = [pytest.mark.long, pytest.mark.skipif(AIRFLOW < (3, 3), reason="a question needs a triggerer there")]
DAG_ID = "queue_calls_end_to_end"
#: Reached, always busy, reached at the third attempt, by a machine, twice in the list.
PEOPLE = (
    ("16175550100", "patient-1"),
    ("16175550101", "patient-2"),
    ("16175550103", "patient-3"),
    ("16175550105", "patient-4"),
    ("16175550100", "patient-5"),
)
CALLED = {number for number, _ in PEOPLE}
BUSY = "16175550101"
LATE = ("16175550107", "patient-6")
SUCCESS = dict.fromkeys(("export", "check", "approve", "queue_calls", "remove_lists"), "success")
AFTER = ("wait_for_results", "not_reached", "call_again")


@dataclass(frozen=True)
class Live:
    """A running Airflow with the example, the sandbox that it leads to, the warehouse, and a folder and a bucket for
    lists."""

    airflow: Airflow
    sandbox: Sandbox
    start_url: str
    warehouse: str
    files: Path
    bucket: Any

    def do(self, statement: str, *values: object) -> list[Any]:
        """Carry out a statement in the warehouse; return what it found."""
        return _do(self.warehouse, statement, *values)

    def asked(self, run_id: str, **params: Any) -> Mapping[str, Any]:
        """What a person is asked in a new run."""
        given = {"start_url": self.start_url, "folder": str(self.files), **params}
        self.airflow.trigger(DAG_ID, run_id, **given)
        question: Mapping[str, Any] = self.airflow.question(DAG_ID, run_id, "approve")
        return question

    def answer(self, run_id: str, option: str) -> None:
        self.airflow.answer(DAG_ID, run_id, "approve", option)

    def states(self, run_id: str) -> dict[str, str]:
        """What became of each task, once the run is over."""
        tasks = self.airflow.finished(DAG_ID, run_id)
        for task in tasks:
            if task["state"] == "failed":
                print(task["task_id"], *self.airflow.said(task).values())  # for whoever reads of a failed test
        return {task["task_id"]: task["state"] for task in tasks}

    def result(self, run_id: str, task_id: str) -> Any:
        (task,) = [each for each in self.airflow.instances(DAG_ID, run_id) if each["task_id"] == task_id]
        return self.airflow.xcom(task)


def _do(database: str, statement: str, *values: object) -> list[Any]:
    with closing(psycopg2.connect(database)) as connection:
        cursor = connection.cursor()
        cursor.execute(statement, values or None)
        found = cursor.fetchall() if cursor.description else []
        connection.commit()
        return found


@pytest.fixture(scope="module")
def live(airflow_with_results: Airflow, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    made, files = (tmp_path_factory.mktemp(name) for name in ("made", "files"))
    calling_tomorrow(DAG_ID, made)
    with ExitStack() as stack:
        warehouse = stack.enter_context(postgres_server()).new_database("warehouse")
        _do(warehouse, "CREATE TABLE appointments (day DATE, mobile BIGINT, reference TEXT, spoken_time TEXT)")
        script = stack.enter_context(listening())
        sandbox = stack.enter_context(run_sandbox(speed=0, check_urls=True))
        bucket = new_bucket(s3_url := stack.enter_context(s3_server()), BUCKET)
        place = urlsplit(warehouse)
        connections = {
            "queuecalls_default": sandbox.connection,
            "warehouse": json.dumps(
                {
                    "conn_type": "postgres",
                    "host": place.hostname,
                    "port": place.port,
                    "login": place.username,
                    "schema": "warehouse",
                }
            ),
            STORAGE: s3_connection(s3_url),
        }
        stack.enter_context(airflow_with_results.connections(connections))
        airflow_with_results.add_dags([EXAMPLES / "sql", made / f"{DAG_ID}.py"], [DAG_ID])
        yield Live(airflow_with_results, sandbox, script.url, warehouse, files, bucket)


@pytest.fixture(autouse=True)
def people(live: Live) -> Iterator[None]:
    """Everybody has an appointment, and nobody was called yet. In the end, Airflow has kept nothing about them."""
    live.sandbox.reset()
    live.do("DELETE FROM appointments")
    for number, reference in PEOPLE:
        live.do("INSERT INTO appointments VALUES ('2026-01-02', %s, %s, '9:30')", number, reference)
    yield
    texts = kept(live)
    for secret in {NEW, *(word for person in (*PEOPLE, LATE) for word in person)}:
        assert not [text for text in texts if secret in text]


def kept(live: Live) -> list[str]:
    """What Airflow keeps of all runs: XCom, rendered fields, questions, and each log."""
    database = live.airflow.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("+psycopg2", "")
    statements = (
        "SELECT key, value::text FROM xcom",
        "SELECT rendered_fields::text FROM rendered_task_instance_fields",
        "SELECT subject, body FROM hitl_detail",
    )
    logs = (path.read_text(errors="replace") for path in live.airflow.home.rglob("*.log"))
    return [*(str(_do(database, statement)) for statement in statements), *logs]


def test_everybody_who_was_approved_is_called_once_and_who_was_not_reached_once_more(live: Live) -> None:
    question = live.asked("real", dry_run=False, folder=f"s3://{STORAGE}@{BUCKET}/lists")
    assert len(list(live.bucket.objects.all())) == 1
    assert question["subject"] == "Call 4 people?"
    assert "| duplicates left out | 1 |" in question["body"]
    live.do("INSERT INTO appointments VALUES ('2026-01-02', %s, %s, '9:30')", *LATE)
    live.answer("real", "Approve")

    live.airflow.waiting(DAG_ID, "real", "wait_for_results")
    (campaign,) = live.sandbox.campaigns
    assert campaign.expires_at is not None
    live.sandbox.advance(seconds=campaign.expires_at - live.sandbox.now.timestamp())

    assert live.states("real") == {**SUCCESS, **dict.fromkeys(AFTER, "success")}
    queued, results = live.result("real", "queue_calls"), live.result("real", "wait_for_results")
    assert queued["digest"] == live.result("real", "check")["digest"]
    assert (results["ended_by"], results["by_result"]) == ("complete", {"completed": 3, "failed": 1})
    assert results["by_callee_type"] == {"(empty)": 1, "human": 2, "machine": 1}
    assert results["attempts"] == 1 + 4 + 3 + 1
    assert live.result("real", "call_again")["contacts"] == 1
    assert live.sandbox.numbers == {number: 2 if number == BUSY else 1 for number in CALLED}
    assert list(live.bucket.objects.all()) == []

    xcom, fields, questions, *logs = kept(live)
    assert "call_ids" in xcom
    assert "collect_results" in fields
    assert "people?" in questions
    assert any("Queued campaign" in log for log in logs)


def test_unless_told_otherwise_nobody_is_called(live: Live) -> None:
    assert live.asked("dry")["subject"] == "Call 4 people? (dry run)"
    live.answer("dry", "Approve")
    assert live.states("dry") == {**SUCCESS, **dict.fromkeys(AFTER, "skipped")}
    assert live.sandbox.journal == []
    assert list(live.files.iterdir()) == []


def test_who_says_no_calls_nobody(live: Live) -> None:
    live.asked("rejected", dry_run=False)
    assert len(list(live.files.iterdir())) == 1
    live.answer("rejected", "Reject")
    skipped = dict.fromkeys(("queue_calls", *AFTER), "skipped")
    assert live.states("rejected") == {**SUCCESS, **skipped}
    assert live.sandbox.journal == []
    assert list(live.files.iterdir()) == []


def test_a_list_that_is_another_one_since_it_was_approved_is_not_called(live: Live) -> None:
    live.asked("changed", dry_run=False)
    (path,) = live.files.iterdir()
    with path.open("a") as file:
        file.write(",".join(LATE) + "\n")
    live.answer("changed", "Approve")
    states = live.states("changed")
    assert states["queue_calls"] == "failed"
    (task,) = [each for each in live.airflow.instances(DAG_ID, "changed") if each["task_id"] == "queue_calls"]
    assert "The list is not the expected one" in live.airflow.said(task)[1]
    assert live.sandbox.journal == []
    assert path.exists()
    path.unlink()
