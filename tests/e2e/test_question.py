"""A response is lost, Airflow asks a person, and they answer in the browser. A sandbox for each run counts the campaigns.

All runs are triggered at once; each test then answers its own.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from airflow_provider_queuecalls._airflow.question import LEAVE, NOT_QUEUED, QUEUED
from airflow_provider_queuecalls.records.sent.entry import CampaignKey
from airflow_provider_queuecalls.records.sent.ledger import Ledger, Try
from airflow_provider_queuecalls.records.sent.resolving import resolve
from airflow_provider_queuecalls.records.sent.stores import LocalStore, init_folder
from airflow_provider_queuecalls.sandbox.server import Sandbox, run_sandbox
from tests.support.airflow import Airflow
from tests.support.browser import IN_AIRFLOW, leave, watched_page
from tests.support.moved import AIRFLOW

pytestmark = pytest.mark.skipif(AIRFLOW < (3, 1), reason="Airflow asks nobody before 3.1")
DAG_ID, TASK_ID = "asks", "call"
NUMBER = "16175550100"
WHERE = ("state", "folder") if AIRFLOW >= (3, 3) else ("folder",)  # before, tasks have no state of their own
OPTIONS = ("--queued", "--not-queued")
COMMAND = "import sys; from airflow_provider_queuecalls.cli import main; sys.exit(main())"
#: The sandbox's fault, the answer to the question, how the task ends, and the campaigns that are queued in the end.
ANSWERS = {
    "there": ("connection_reset", QUEUED, "success", 1),
    "not-there": ("http_503", NOT_QUEUED, "success", 1),
    "left": ("connection_closed", LEAVE, "failed", 1),
}
#: The faults of all runs, by their ids, which are also those of their connections and the names of their campaigns.
RUNS: Mapping[str, str] = {
    **{f"{case}-{where}": fault for case, (fault, *_) in ANSWERS.items() for where in WHERE},
    **{f"left{option}-{where}": "http_503" for option in OPTIONS for where in WHERE},
    **{"asks-again": "connection_reset", "too-late": "http_503", "unanswered": "http_503"},
}


@dataclass(frozen=True)
class Live:
    """A running Airflow with all runs, the sandboxes that these send to, and a folder for records."""

    airflow: Airflow
    sandboxes: Mapping[str, Sandbox]
    receipts: Path

    def asked(self, run_id: str) -> dict[str, str]:
        """The question of a run whose response is lost."""
        return dict(self.airflow.question(DAG_ID, run_id, TASK_ID))

    def said(self, run_id: str) -> str:
        """What the task has logged."""
        (task,) = [each for each in self.airflow.instances(DAG_ID, run_id) if each["task_id"] == TASK_ID]
        return "\n".join(self.airflow.said(task).values())

    def campaigns(self, run_id: str) -> int:
        return [campaign.name for campaign in self.sandboxes[run_id].campaigns].count(run_id)


@pytest.fixture(scope="module")
def live(live_airflow: Airflow) -> Iterator[Live]:
    """Every run under way."""
    receipts = live_airflow.home / "receipts of asks"
    init_folder(receipts)
    (live_airflow.home / "asks.csv").write_text(f"{NUMBER},one\n16175550101,two\nnobody,three\n")
    live_airflow.add_dags([Path(__file__).parent / "dags" / "question.py"], [DAG_ID])
    with ExitStack() as stack:
        sandboxes = {run_id: stack.enter_context(run_sandbox(speed=0)) for run_id in RUNS}
        connections = {run_id: sandbox.connection for run_id, sandbox in sandboxes.items()}
        stack.enter_context(live_airflow.connections(connections))
        for run_id, fault in RUNS.items():
            sandboxes[run_id].fail_next(fault)
            where = "" if run_id.endswith("-state") else str(receipts)
            timeout = "6 seconds" if run_id == "unanswered" else ""
            live_airflow.trigger(DAG_ID, run_id, receipts=where, timeout=timeout)
        yield Live(live_airflow, sandboxes, receipts)


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("where", WHERE)
def test_a_task_that_was_left_failed_is_resolved_by_the_command_in_its_log_and_cleared(
    where: str, option: str, live: Live
) -> None:
    run_id = f"left{option}-{where}"
    live.asked(run_id)
    live.airflow.answer(DAG_ID, run_id, TASK_ID, LEAVE)
    live.airflow.finished(DAG_ID, run_id)
    (command,) = re.findall(rf"run: queuecalls (records resolve {option} .*)$", live.said(run_id), re.MULTILINE)
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
    live.asked("asks-again")
    live.airflow.answer(DAG_ID, "asks-again", TASK_ID, LEAVE)
    live.airflow.finished(DAG_ID, "asks-again")
    live.airflow.clear(DAG_ID, "asks-again", [TASK_ID, "report"])
    live.airflow.question(DAG_ID, "asks-again", TASK_ID)
    live.airflow.answer(DAG_ID, "asks-again", TASK_ID, QUEUED)
    states = {task["state"] for task in live.airflow.finished(DAG_ID, "asks-again")}
    assert states == {"success"}, live.said("asks-again")
    assert live.campaigns("asks-again") == 1


def test_an_answer_that_comes_after_another_decision_is_refused(live: Live) -> None:
    live.asked("too-late")
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
    tasks = {task["task_id"]: task["state"] for task in live.airflow.finished(DAG_ID, "unanswered")}
    assert tasks[TASK_ID] == "failed"
    assert "there was no answer in time" in live.said("unanswered")
    assert live.campaigns("unanswered") == 0


@pytest.fixture(scope="module")
def page(live: Live, browser: Browser) -> Iterator[Page]:
    """A page whose person has seen on the home page, where a login leads to, that Airflow asks something."""
    live.asked(next(iter(RUNS)))
    with watched_page(browser, live.airflow.url, IN_AIRFLOW) as (page, _):
        page.goto("/")
        expect(page.get_by_text("Required Action").first).to_be_visible()
        yield page


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("case", ANSWERS)
def test_a_person_answers_in_the_browser(case: str, where: str, live: Live, page: Page) -> None:
    _, answer, state, campaigns = ANSWERS[case]
    run_id = f"{case}-{where}"
    question = live.asked(run_id)
    sandbox = live.sandboxes[run_id]
    account = json.loads(sandbox.connection)
    hidden = (NUMBER, account["login"], account["password"], "under way")
    assert [each for each in hidden if each in question["body"] + live.said(run_id)] == []

    page.goto(f"/dags/{DAG_ID}/runs/{run_id}/tasks/{TASK_ID}/required_actions")
    expect(page.get_by_text(f"Is campaign {run_id} at the service?").first).to_be_visible()
    expect(page.get_by_text("started to send 2 contacts to").first).to_be_visible()
    link = page.get_by_role("link", name="the vendor's campaign manager").first
    expect(link).to_have_attribute("href", re.compile(rf"^{re.escape(sandbox.url)}/.*{run_id}"))
    with page.expect_response(lambda response: response.request.method == "PATCH") as answered:
        page.get_by_role("button", name=answer).click()
    assert answered.value.ok
    leave(page)

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
