"""``speak`` in DAGs and at the command line: the URL of a script that a real receiver serves, and that nothing shows."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from defusedxml.ElementTree import fromstring

from airflow_provider_queuecalls.cli import main
from airflow_provider_queuecalls.client import Campaign
from airflow_provider_queuecalls.exceptions import InvalidContacts, QueueCallsError
from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook
from airflow_provider_queuecalls.operators.queuecalls import QueueCallsOperator
from airflow_provider_queuecalls.records.database.database import Database
from airflow_provider_queuecalls.records.receiver.urls import script_of, script_url
from airflow_provider_queuecalls.sandbox import DEFAULT_LOGIN, DEFAULT_PIN
from airflow_provider_queuecalls.sandbox.server import run_sandbox
from airflow_provider_queuecalls.voice.speech import Speech
from tests.integration.conftest import NUMBERS, ResultsReceiver
from tests.support.fault_server import FaultServer
from tests.support.multipart import parse
from tests.support.receiver import NEW
from tests.support.task import execute, failure_of
from tests.support.warehouse import sqlite_database

TASKS = """
queue = QueueCallsOperator(
    task_id="queue", contacts={contacts!r}, collect_results=True,
    speak={{
        "language": "{{{{ 'es' }}}}-US", "repeat": "{{{{ 3 }}}}",
        "choices": {{"1": "{{{{ 'con' }}}}firmed", "9": "do not call"}}, "prompts": {{"offer": "Marque {{{{ 1 }}}}."}},
    }},
)
query = SqlToQueueCallsOperator(
    task_id="query", sql="SELECT 16175550102 AS phone_number, 'Hello' AS call_parameter", sql_conn_id="warehouse", speak="{{{{ 1 == 1 }}}}",
)

@task.queuecalls(speak=True)
def function():
    yield "16175550103", "", "Hello"

queue >> query >> function()
"""


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Airflow's configuration names a receiver, which nobody asks; gives its URL."""
    url = "https://results.example.com"
    for name, value in {"URL": url, "SECRET": NEW, "DATABASE": f"sqlite:///{tmp_path}/results.db"}.items():
        monkeypatch.setenv(f"AIRFLOW__QUEUECALLS__RESULTS_{name}", value)
    return url


def scripts(service: FaultServer) -> list[str]:
    """The start_url of each campaign that arrived."""
    forms = (parse(post.headers["content-type"], bytes(post.body)) for post in service.posts)
    return [part.content.decode() for form in forms for part in form if part.name == "start_url"]


def test_every_operator_makes_a_script_of_its_own_and_shows_its_url_nowhere(
    run_tasks: Any,
    results_receiver: ResultsReceiver,
    service: FaultServer,
    small_list: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sqlite_database(small_list.parent / "people.db", monkeypatch)
    run = run_tasks(TASKS.format(contacts=str(small_list)))

    assert run.states == dict.fromkeys(("queue", "query", "function"), "success"), run.printed
    choices, prompts = {"1": "confirmed", "9": "do not call"}, {"offer": "Marque 1."}
    speech = Speech(language="es-US", repeat=3, choices=choices, prompts=prompts)
    made = scripts(service)
    assert made[0] == script_url(results_receiver.url, run.xcom["campaign_key"], speech, [NEW])
    assert [script and script[1] for script in (script_of(url, [NEW]) for url in made[1:])] == [Speech(), Speech()]
    assert len({url.split("/")[-3] for url in made}) == 3
    for url in made:
        script = requests.post(url, {"call_parameters": "Hello"}, timeout=30)
        assert next(fromstring(script.content).iter("prompt")).text == "Hello"
        assert url.rpartition("/")[2] not in run.kept + run.printed


def test_the_key_that_somebody_presses_is_stored_with_the_result_of_the_call(
    results_receiver: ResultsReceiver, connect: Any, tmp_path: Path
) -> None:
    (tmp_path / "calls.csv").write_text(
        "16175550111,ann,Hello Ann\n16175550119,bob,Hello Bob\n16175550100,cay,Hello Cay\n"
    )
    with run_sandbox(check_urls=True) as sandbox:
        connect(sandbox.url, login=DEFAULT_LOGIN, password=DEFAULT_PIN)
        speak = {"choices": {"1": "confirmed", "9": "do not call"}, "prompts": {"offer": "Press 1 or 9."}}
        given: dict[str, Any] = {
            "contacts": str(tmp_path / "calls.csv"),
            "receipts_path": "none",
            "collect_results": True,
        }
        key = execute(QueueCallsOperator(task_id="call", speak=speak, **given))["campaign_key"]
        sandbox.advance(hours=1)
        heard = {entry.fields["message_reference"]: entry.transcript for entry in sandbox.journal if entry.transcript}
    with closing(Database(results_receiver.database)) as database:
        choices = {row["message_reference"]: row["choice"] for row in database.rows(key)}
    assert choices == {"ann": "confirmed", "bob": "do not call", "cay": None}
    assert heard["cay"] == ("Hello Cay … Press 1 or 9.", "[presses nothing]") * 2


def test_the_command_makes_the_same_script(
    configured: str, service: FaultServer, small_list: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for speak in (["--speak"], ["--speak", '{"choices": {"1": "confirmed"}}']):
        assert (
            main(["send", str(small_list), "--campaign-name", " spring ", "--receipts", "none", "--yes", *speak]) == 0
        )
    hook = QueueCallsHook()
    assert scripts(service) == [
        hook.script_url("spring"),
        hook.script_url(" spring\n", {"choices": {"1": "confirmed"}}),
    ]
    key = hook.key_of("spring").digest
    speeches = (Speech(), Speech(choices={"1": "confirmed"}))
    assert scripts(service) == [script_url(configured, key, speech, [NEW]) for speech in speeches]
    assert main(["send", str(small_list), "--campaign-name", "spring", "--receipts", "none"]) == 2
    assert "start_url is missing, and speak is not set" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("rows", "given", "is_sent"),
    [
        ("{},order-1\n{},order-2,\r\n{}\n", {}, False),
        ("{},order-1\n{},order-2,text\n{}\n", {}, True),
        ("{},order-1\n{},,\n{}\n", {"call_parameters": "text"}, True),
        ("{},order-1\n{},,\n{}\n", {"start_url": "https://ivr.example.com/x", "speak": "False"}, True),
    ],
)
def test_a_list_with_which_nothing_would_be_said_is_not_sent(  # noqa: PLR0917
    rows: str, given: dict[str, Any], is_sent: bool, configured: str, service: FaultServer, tmp_path: Path
) -> None:
    (tmp_path / "calls.csv").write_bytes(rows.format(*NUMBERS).encode())
    parameters = {"contacts": str(tmp_path / "calls.csv"), "receipts_path": "none", "speak": True, **given}
    operator = QueueCallsOperator(task_id="call", **parameters)
    if is_sent:
        assert execute(operator)["outcome"] == "queued"
    else:
        said = str(failure_of(operator))
        assert "The calls would say nothing: no contact has a call_parameter" in said
        assert said.endswith("for all of them. Nothing was sent.")
    assert len(service.posts) == is_sent


def test_the_hook_sends_no_list_with_which_its_script_would_say_nothing(
    configured: str, service: FaultServer, small_list: Path
) -> None:
    small_list.write_text(f"{NUMBERS[0]}\n")
    hook = QueueCallsHook()
    campaign = Campaign(start_url=hook.script_url("spring"), campaign_name="spring")
    with pytest.raises(InvalidContacts, match="The calls would say nothing"):
        hook.deliver(small_list, campaign, receipts_path="none")
    hook.deliver(small_list, replace(campaign, call_parameters="Hello"), receipts_path="none")
    assert len(service.posts) == 1


@pytest.mark.parametrize(
    ("given", "option", "value", "said"),
    [
        ({}, "", "", "start_url is missing, and speak is not set"),
        ({"speak": "{{ None }}", "start_url": ""}, "", "", "start_url is missing, and speak is not set"),
        ({"speak": True, "start_url": "https://ivr.example.com/x"}, "", "", "start_url is given together with speak"),
        ({"speak": {"repeat": 9}}, "", "", r"speak\['repeat'\] is 9"),
        ({"speak": True}, "RESULTS_URL", "", r"speak needs \[queuecalls\] results_url"),
        ({"speak": True}, "RESULTS_SECRET", "", r"\[queuecalls\] results_secret is not set"),
        (
            {"speak": {"choices": {"1": "a"}}},
            "RESULTS_DATABASE",
            "",
            r"choices'\] needs \[queuecalls\] results_database",
        ),
        ({"speak": {"choices": {"1": "confirmed", "2": "Not reached"}}}, "", "", "could not select: 'Not reached'"),
        ({"speak": {"choices": {"1": "failed"}}}, "", "", "could not select: 'failed'"),
        ({"speak": True}, "RESULTS_URL", f"https://{'x' * 200}.example", "it has 2"),
    ],
)
def test_a_script_that_cannot_be_made_fails_the_task_and_nothing_is_sent(  # noqa: PLR0917
    given: dict[str, Any], option: str, value: str, said: str, configured: str, service: FaultServer, small_list: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if option:
        monkeypatch.setenv(f"AIRFLOW__QUEUECALLS__{option}", value)
    operator = QueueCallsOperator(task_id="call", contacts=str(small_list), receipts_path="none", **given)
    operator.render_template_fields({})
    error = failure_of(operator)
    assert isinstance(error, QueueCallsError)
    assert re.search(said, str(error))
    assert not service.posts
