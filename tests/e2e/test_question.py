"""A response is lost, Airflow asks a person, and they answer in the browser. The sandbox counts the campaigns."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from airflow_provider_queuecalls._airflow.question import LEAVE, NOT_QUEUED, QUEUED
from airflow_provider_queuecalls.records.entry import CampaignKey
from airflow_provider_queuecalls.records.ledger import Ledger, Try
from airflow_provider_queuecalls.records.resolving import resolve
from airflow_provider_queuecalls.records.stores import LocalStore, init_folder
from airflow_provider_queuecalls.sandbox.server import Sandbox, run_sandbox
from tests.support.airflow import Airflow, airflow_command, real_airflow
from tests.support.browser import watched_page
from tests.support.moved import AIRFLOW

pytestmark = pytest.mark.skipif(AIRFLOW < (3, 1), reason="Airflow asks nobody before 3.1")
DAG_ID, TASK_ID = "asks", "call"
NUMBER = "16175550100"
HAS_STATE = AIRFLOW >= (3, 3)
IN_STATE = pytest.param("state", marks=pytest.mark.skipif(not HAS_STATE, reason="tasks have no state of their own"))
COMMAND = "import sys; from airflow_provider_queuecalls.cli import main; sys.exit(main())"
#: The sandbox's fault, the answer to the question, how the task ends, and the campaigns that are queued in the end.
ANSWERS = {
    "there": ("connection_reset", QUEUED, "success", 1),
    "not-there": ("http_503", NOT_QUEUED, "success", 1),
    "left": ("connection_closed", LEAVE, "failed", 1),
}


@dataclass(frozen=True)
class Live:
    """A running Airflow, the sandbox that it leads to, and a folder for records."""

    airflow: Airflow
    sandbox: Sandbox
    receipts: Path

    def asked(self, run_id: str, fault: str, **params: str) -> dict[str, str]:
        """The question of a run whose response is lost."""
        self.sandbox.fail_next(fault)
        self.airflow.trigger(DAG_ID, run_id, **params)
        return dict(self.airflow.question(DAG_ID, run_id, TASK_ID))

    def said(self, run_id: str) -> str:
        """What the task has logged."""
        (task,) = [each for each in self.airflow.instances(DAG_ID, run_id) if each["task_id"] == TASK_ID]
        return "\n".join(self.airflow.said(task).values())

    def campaigns(self, run_id: str) -> int:
        return [campaign.name for campaign in self.sandbox.campaigns].count(run_id)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    home, dags = (tmp_path_factory.mktemp(name) for name in ("airflow", "dags"))
    contacts, receipts = home / "contacts.csv", home / "receipts"
    init_folder(receipts)
    contacts.write_text(f"{NUMBER},one\n16175550101,two\nnobody,three\n")
    shutil.copy(Path(__file__).parent / "dags" / "question.py", dags)
    with run_sandbox(speed=0) as sandbox:
        variables = {
            "AIRFLOW_CONN_QUEUECALLS_DEFAULT": sandbox.connection,
            "QUEUECALLS_E2E_CONTACTS": str(contacts),
        }
        with real_airflow(home, dags, variables) as airflow:
            airflow.start("triggerer", airflow_command("triggerer"))  # which asks before Airflow 3.3
            airflow.wait_for([DAG_ID])
            yield Live(airflow, sandbox, receipts)


@pytest.mark.parametrize("where", [IN_STATE, "folder"])
@pytest.mark.parametrize("case", ANSWERS)
def test_a_person_answers_in_the_browser(case: str, where: str, live: Live, browser: Browser) -> None:
    fault, answer, state, campaigns = ANSWERS[case]
    run_id = f"{case}-{where}"
    question = live.asked(run_id, fault, receipts=str(live.receipts) if where == "folder" else "")
    account = json.loads(live.sandbox.connection)
    hidden = (NUMBER, account["login"], account["password"], "under way")
    assert [each for each in hidden if each in question["body"] + live.said(run_id)] == []

    with watched_page(browser, live.airflow.url) as (page, _):
        page.goto("/")  # where a login leads to before Airflow 3.2
        expect(page.get_by_text("Required Action").first).to_be_visible()
        page.goto(f"/dags/{DAG_ID}/runs/{run_id}/tasks/{TASK_ID}/required_actions")
        expect(page.get_by_text(f"Is campaign {run_id} at the service?").first).to_be_visible()
        expect(page.get_by_text("started to send 2 contacts to").first).to_be_visible()
        link = page.get_by_role("link", name="the vendor's campaign manager").first
        expect(link).to_have_attribute("href", re.compile(rf"^{re.escape(live.sandbox.url)}/.*{run_id}"))
        page.get_by_role("button", name=answer).click()

        tasks = {task["task_id"]: task for task in live.airflow.finished(DAG_ID, run_id)}
        said = live.said(run_id)
        assert {name: task["state"] for name, task in tasks.items()} == {
            TASK_ID: state, "report": "success" if state == "success" else "upstream_failed",
        }, said  # fmt: skip
        assert live.campaigns(run_id) == campaigns
        assert tasks[TASK_ID]["try_number"] == 1
    if state == "success":
        result = live.airflow.xcom(tasks[TASK_ID])
        assert live.airflow.xcom(tasks["report"]) == f"2 contacts, 1 rejected, in {run_id}"
        assert (result["outcome"], result.get("resolved_by")) == ("queued", "Anonymous" if answer == QUEUED else None)
    else:
        assert "chose to leave this task failed" in said


@pytest.mark.parametrize("option", ["--queued", "--not-queued"])
@pytest.mark.parametrize("where", [IN_STATE, "folder"])
def test_a_task_that_was_left_failed_is_resolved_by_the_command_in_its_log_and_cleared(
    where: str, option: str, live: Live
) -> None:
    run_id = f"left{option}-{where}"
    live.asked(run_id, "http_503", receipts=str(live.receipts) if where == "folder" else "")
    live.airflow.answer(DAG_ID, run_id, TASK_ID, LEAVE)
    live.airflow.finished(DAG_ID, run_id)
    (command,) = re.findall(rf"run: queuecalls (.* {option})$", live.said(run_id), re.MULTILINE)
    subprocess.run(
        [sys.executable, "-c", COMMAND, *shlex.split(command), "--by", "Ann"],
        env=live.airflow.environment, check=True,
    )  # fmt: skip

    live.airflow.clear(DAG_ID, run_id, [TASK_ID, "report"])
    tasks = {task["task_id"]: task for task in live.airflow.finished(DAG_ID, run_id)}
    assert {task["state"] for task in tasks.values()} == {"success"}, live.said(run_id)
    assert live.airflow.xcom(tasks["report"]) == f"2 contacts, 1 rejected, in {run_id}"
    assert live.airflow.xcom(tasks[TASK_ID]).get("resolved_by") == ("Ann" if option == "--queued" else None)
    assert live.campaigns(run_id) == (0 if option == "--queued" else 1)


def test_a_task_that_was_left_failed_asks_again_when_it_is_cleared(live: Live) -> None:
    live.asked("asks-again", "connection_reset", receipts=str(live.receipts))
    live.airflow.answer(DAG_ID, "asks-again", TASK_ID, LEAVE)
    live.airflow.finished(DAG_ID, "asks-again")
    live.airflow.clear(DAG_ID, "asks-again", [TASK_ID, "report"])
    live.airflow.question(DAG_ID, "asks-again", TASK_ID)
    assert "the request may still be under way" in live.said("asks-again")
    live.airflow.answer(DAG_ID, "asks-again", TASK_ID, QUEUED)
    states = {task["state"] for task in live.airflow.finished(DAG_ID, "asks-again")}
    assert states == {"success"}, live.said("asks-again")
    assert live.campaigns("asks-again") == 1


def test_an_answer_that_comes_after_another_decision_is_refused(live: Live) -> None:
    live.asked("too-late", "http_503", receipts=str(live.receipts))
    (folder,) = live.receipts.glob("too-late-*")
    generation, entry = LocalStore(live.receipts, folder.name).last() or (0, {})
    key = CampaignKey(**{name: entry[name] for name in ("campaign_name", "service", "account")})
    ledger = Ledger(LocalStore(live.receipts, folder.name), key, Try(0, "a person"))
    resolve(ledger, generation, queued=True, by="Ann")

    live.airflow.answer(DAG_ID, "too-late", TASK_ID, NOT_QUEUED)
    tasks = {task["task_id"]: task["state"] for task in live.airflow.finished(DAG_ID, "too-late")}
    assert tasks[TASK_ID] == "failed"
    assert "has changed since it was shown" in live.said("too-late")
    assert live.campaigns("too-late") == 0


def test_a_task_that_nobody_answers_in_time_fails(live: Live) -> None:
    live.asked("unanswered", "http_503", receipts=str(live.receipts), timeout="6 seconds")
    tasks = {task["task_id"]: task["state"] for task in live.airflow.finished(DAG_ID, "unanswered")}
    assert tasks[TASK_ID] == "failed"
    assert "there was no answer in time" in live.said("unanswered")
    assert live.campaigns("unanswered") == 0
