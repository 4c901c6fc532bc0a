"""The notifier against a sandbox: who is called, what is said, and that nothing that fails calls again and again."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from airflow_provider_queuecalls.client.endpoint import Endpoint
from airflow_provider_queuecalls.exceptions import InvalidCampaign
from airflow_provider_queuecalls.notifications import queuecalls as module
from airflow_provider_queuecalls.notifications.queuecalls import QueueCallsNotifier
from airflow_provider_queuecalls.records.database import engine
from airflow_provider_queuecalls.records.receiver.urls import script_of
from airflow_provider_queuecalls.records.sent import ledger
from airflow_provider_queuecalls.sandbox.server import Sandbox
from airflow_provider_queuecalls.voice.speech import Speech
from tests.support.dag_run import Run, run_dag_file
from tests.support.fault_server import Exchange, FaultServer, respond
from tests.support.logs import Entry, everything_logged
from tests.support.moved import AIRFLOW, IS_AIRFLOW_2, first_of
from tests.support.outcomes import QUEUED_XML
from tests.support.patience import PATIENCE_SECONDS
from tests.support.sandbox import said

ANN, BOB = "16175550171", "16175550172"
START_URL, SECRET = "https://ivr.example.com/say.vxml", "a-secret-of-the-receiver"
NOTIFIER = f"""QueueCallsNotifier(
    start_url={START_URL!r}, to_variable="oncall", message="{{{{ dag.dag_id }}}}: {{{{ ti.task_id }}}} failed"
)"""
FAILING = """
@task
def fails(number):
    raise ValueError(number)

fails.expand(number=list(range(8)))
"""
Notify = Callable[..., list[Entry]]


@pytest.fixture(autouse=True)
def oncall(queuecalls_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_ONCALL", ANN)


def context(dag_id: str = "nightly", **more: Any) -> Any:
    """What a callback of a DAG run gets, which has no ``ti``."""
    dag = first_of("airflow.sdk:DAG", "airflow:DAG")(dag_id, schedule=None)
    return {"dag": dag, "dag_run": SimpleNamespace(dag_id=dag_id, run_id="manual__1"), "run_id": "manual__1", **more}


@pytest.fixture
def notify() -> Notify:
    """Notify, and return what was logged: never a phone number."""

    def run(notifier: QueueCallsNotifier | None = None, given: Any = None, **options: Any) -> list[Entry]:
        with everything_logged() as logged:
            (notifier or made(**options))(given or context())
        assert [entry for entry in logged for number in (ANN, BOB) if number in entry.message + str(entry.parts)] == []
        return logged

    return run


def made(**options: Any) -> QueueCallsNotifier:
    return QueueCallsNotifier(**{"start_url": START_URL, "to_variable": "oncall", **options})


def errors(logged: list[Entry]) -> list[str]:
    """Each once: a logger and those above it keep the same line."""
    return list(dict.fromkeys(entry.message for entry in logged if entry.level == "error"))


@pytest.mark.parametrize(
    ("text", "called"),
    [
        (ANN, [ANN]),
        (f"{ANN}\n{BOB}\n", [ANN, BOB]),
        (f" (617) 555-0171, {BOB}", [ANN, BOB]),
        (f'["{ANN}", {BOB}]', [ANN, BOB]),
    ],
)
def test_a_variable_says_whom_to_call(
    text: str, called: list[str], notify: Notify, queuecalls_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_ONCALL", text)
    assert errors(notify()) == []
    assert [call.phone_number for call in queuecalls_sandbox.calls] == called
    (campaign,) = queuecalls_sandbox.campaigns
    assert said(queuecalls_sandbox) == ["Airflow: nightly failed"]
    assert campaign.parameters["start_url"] == START_URL
    expires = int(campaign.parameters["expiration_timestamp"]) - datetime.now(timezone.utc).timestamp()
    assert 29 * 60 < expires < 30 * 60
    assert (campaign.parameters["max_retries"], campaign.parameters["retry_interval"]) == ("1", "60")


def test_without_a_script_the_message_is_spoken_by_one_of_ours(
    notify: Notify, queuecalls_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__RESULTS_SECRET", SECRET)
    with pytest.raises(InvalidCampaign, match=r"a notifier without start_url needs \[queuecalls\] results_url"):
        QueueCallsNotifier(to_variable="oncall")
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__RESULTS_URL", "https://results.example.com/")
    logged = notify(QueueCallsNotifier(to_variable="oncall"))
    (campaign,) = queuecalls_sandbox.campaigns
    url, text = (campaign.parameters[name] for name in ("start_url", "call_parameters"))
    assert url.startswith("https://results.example.com/")
    assert (script_of(url, [SECRET]) or ())[1:] == (Speech(),)
    assert text == "Airflow: nightly failed"
    assert url.rpartition("/")[2] not in "".join(entry.message for entry in logged)


def bob(given: Any) -> list[str]:
    return [BOB] if given["run_id"] == "manual__1" else []


def test_a_function_or_the_connection_says_whom_to_call(
    notify: Notify, queuecalls_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert errors(notify(to=bob, to_variable=None)) == []
    monkeypatch.setenv("AIRFLOW_CONN_QUEUECALLS_DEFAULT", connection_to(queuecalls_sandbox, f"{ANN}, {BOB}"))
    assert errors(notify(to_variable=None)) == []
    # Other people, so it is not the same alarm.
    assert [call.phone_number for call in queuecalls_sandbox.calls] == [BOB, ANN, BOB]


@pytest.mark.parametrize("to_variable", [None, ""])
def test_the_people_of_two_connections_to_one_account_are_called(
    to_variable: str | None, notify: Notify, queuecalls_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    for team, number in (("TEAM_A", ANN), ("TEAM_B", BOB)):
        monkeypatch.setenv(f"AIRFLOW_CONN_{team}", connection_to(queuecalls_sandbox, number))
    for conn_id in ("team_a", "team_b", "{{ dag.dag_id and 'team_b' }}"):
        assert errors(notify(to_variable=to_variable, queuecalls_conn_id=conn_id)) == []
    assert [call.phone_number for call in queuecalls_sandbox.calls] == [ANN, BOB]


def connection_to(sandbox: Sandbox, notify_numbers: str) -> str:
    connection = json.loads(sandbox.connection)
    connection["extra"]["notify_numbers"] = notify_numbers
    return json.dumps(connection)


class Rota:
    def on_call(self, _: Any) -> str:
        return ANN

    def __call__(self, _: Any) -> str:
        return ANN


def made_in_another() -> Callable[[Any], str]:
    def on_call(_: Any) -> str:
        return ANN

    return on_call


@pytest.mark.parametrize(
    "to",
    [lambda _: ANN, functools.partial(bob), Rota(), Rota().on_call, made_in_another()],
    ids=["lambda", "partial", "object", "method", "inner function"],
)
def test_a_function_that_has_its_name_in_common_with_others_is_refused(to: Any) -> None:
    with pytest.raises(
        InvalidCampaign, match=r"to has no name of its own.*defined with def at the top level of a module"
    ):
        made(to=to, to_variable=None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"to": ANN, "to_variable": None}, "to is not a function"),
        ({"to": [ANN], "to_variable": None}, "to is not a function"),
        ({"to": lambda _: ANN}, "to is given together with to_variable"),
        ({"to_variable": ANN}, "to_variable may be a phone number"),
        ({"to_variable": int(ANN)}, "to_variable is not a string"),
        ({"to_variable": [ANN]}, "to_variable is not a string"),
        ({"min_interval": 0}, "min_interval"),
        ({"on_no_record": "shout"}, "on_no_record is 'shout'"),
        ({"max_retries": "many"}, "max_retries is 'many'"),
        ({"retry_interval": 5}, "retry_interval is 5, which is too small"),
        ({"phone_format": "E164"}, "phone_format is 'E164'"),
        ({"calling_hours": "25:00"}, "calling_hours"),
        ({"calling_hours": ""}, "calling_hours is an empty text"),
        ({"unknown_zone": "never"}, "unknown_zone is 'never'"),
        ({"start_url": "ftp://ivr.example.com/x.vxml"}, "start_url"),
        ({"start_url": 1.5}, "start_url is a value of type float"),
        ({"start_url": ""}, "a notifier without start_url needs"),
        ({"dry_run": "maybe"}, "dry_run is 'maybe'"),
        ({"dry_run": None}, "dry_run is missing"),
        *(({"message": unset}, "message is missing") for unset in (None, "", "None")),
        ({"unknown_zone": "strictest"}, "unknown_zone has no effect here"),
    ],
)
def test_an_alarm_that_cannot_work_is_found_when_the_dag_is_written(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidCampaign, match=words) as caught:
        made(**options)
    assert ANN not in str(caught.value)


def test_one_object_renders_its_message_for_each_failure(notify: Notify, queuecalls_sandbox: Sandbox) -> None:
    notifier = made(message="{{ dag.dag_id }} {{ ti.task_id }} failed")
    notify(notifier, context("one", ti=SimpleNamespace(task_id="load")))
    notify(notifier, context("two"))  # as a DAG's callback, which has no ti
    assert said(queuecalls_sandbox) == ["one load failed", "two failed"]


@pytest.mark.parametrize("key", ["{{ ti.task_id }}", "", None])
def test_a_key_that_is_empty_does_not_silence_other_dags(key: Any, notify: Notify, queuecalls_sandbox: Sandbox) -> None:
    for dag_id in ("one", "two", "one"):
        logged = notify(made(dedup_key=key), context(dag_id))
        assert any("dedup_key is empty" in entry.message for entry in logged if entry.level == "warning")
    assert len(queuecalls_sandbox.campaigns) == 2


def test_a_long_message_is_cut_between_two_characters(notify: Notify, queuecalls_sandbox: Sandbox) -> None:
    notify(message="é\n" * 200)
    (text,) = said(queuecalls_sandbox)
    assert len(text.encode()) <= 255
    assert text == "é " * 84 + "…"


def test_the_same_failure_calls_again_after_min_interval(
    notify: Notify, queuecalls_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    notify(min_interval="20 minutes")
    logged = notify(min_interval="20 minutes")
    assert any("was already queued" in entry.message for entry in logged)
    assert len(queuecalls_sandbox.campaigns) == 1
    notify(min_interval="20 minutes", dedup_key="something else")
    assert len(queuecalls_sandbox.campaigns) == 2
    for minutes, campaigns in ((19, 2), (21, 3)):
        monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda minutes=minutes: time.time() + minutes * 60))
        notify(min_interval=timedelta(minutes=20))
        assert len(queuecalls_sandbox.campaigns) == campaigns


@pytest.mark.parametrize(("ahead", "campaigns"), [(timedelta(minutes=4), 1), (timedelta(days=8 * 365), 2)])
def test_an_alarm_with_a_clock_that_is_far_ahead_does_not_silence_the_next_one(
    ahead: timedelta, campaigns: int, notify: Notify, queuecalls_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, warnings = datetime.now(timezone.utc), []
    for clock in (now + ahead, now, now + timedelta(minutes=1)):
        monkeypatch.setattr(module, "time", SimpleNamespace(time=clock.timestamp))
        monkeypatch.setattr(ledger, "utc_now", lambda clock=clock: clock.isoformat(timespec="seconds"))
        logged = notify()
        assert errors(logged) == []
        warnings.append(any(entry.level == "warning" and "in the future" in entry.message for entry in logged))
    assert len(queuecalls_sandbox.campaigns) == campaigns
    assert warnings == [False, campaigns == 2, False]


@pytest.mark.parametrize("place", ["folder", "database"])
def test_what_fails_at_the_same_moment_calls_once(
    place: str, queuecalls_sandbox: Sandbox, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if place == "database":
        monkeypatch.setenv("AIRFLOW__QUEUECALLS__RECEIPTS_PATH", request.getfixturevalue("records_database"))
    meeting = threading.Barrier(12)

    def fail() -> None:
        meeting.wait(60)
        made()(context())

    threads = [threading.Thread(target=fail) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert queuecalls_sandbox.numbers == {ANN: 1}
    assert len([entry for entry in queuecalls_sandbox.journal if entry.method == "POST"]) == 1


@pytest.mark.parametrize("place", ["not initialized", "not set", "none", "nowhere on this machine"])
def test_without_a_record_one_machine_calls_once(
    place: str, notify: Notify, queuecalls_sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    receipts = {"not set": "", "none": "none"}.get(place, str(tmp_path / "missing"))
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__RECEIPTS_PATH", receipts)
    if place.startswith("nowhere"):
        (tmp_path / f"queuecalls-alarms-{os.getuid()}").write_text("in the way")
    now = time.time()  # both in one slot of min_interval, which has a name of its own
    monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: now))
    logged = notify() + notify()
    assert errors(logged) == []
    assert any(entry.level == "warning" and "record" in entry.message.lower() for entry in logged)
    assert "the whole list is called again" not in str(logged), "that is for campaigns"
    assert queuecalls_sandbox.numbers == {ANN: 1}, "there, the service refuses a name that is taken"
    assert any("Nobody is called again" in entry.message or "already queued" in entry.message for entry in logged)


@pytest.mark.parametrize("receipts", ["", "none", "missing"])
def test_without_a_record_nobody_is_called_if_that_is_wished(
    receipts: str, notify: Notify, queuecalls_sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "AIRFLOW__QUEUECALLS__RECEIPTS_PATH", str(tmp_path / receipts) if receipts == "missing" else receipts
    )
    (problem,) = errors(notify(on_no_record="skip"))
    assert "The notification failed" in problem
    assert queuecalls_sandbox.journal == []


def test_a_database_that_does_not_respond_leaves_time_to_call(
    notify: Notify, queuecalls_sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    # All of which others would wait for the connection.
    monkeypatch.setattr(module, "TOTAL_SECONDS", engine.PATIENCE_SECONDS)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the system accepts the connection, and nobody reads
        url = f"postgresql://someone:secret@127.0.0.1:{silent.getsockname()[1]}/results"
        monkeypatch.setenv("AIRFLOW__QUEUECALLS__RESULTS_DATABASE", url)
        logged = notify(receipts_path="database")
    assert errors(logged) == []
    assert any(entry.level == "warning" and "Check that the server can be reached" in entry.message for entry in logged)
    assert queuecalls_sandbox.numbers == {ANN: 1}


@pytest.mark.parametrize("on_no_record", ["call", "skip"])
def test_an_alarm_whose_record_is_damaged_calls_all_the_same_unless_it_is_to_skip(
    on_no_record: str, notify: Notify, queuecalls_sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert errors(notify()) == []
    for entry in Path(os.environ["AIRFLOW__QUEUECALLS__RECEIPTS_PATH"]).rglob("*.json"):
        entry.write_text("{")
    later = SimpleNamespace(
        time=lambda: time.time() + 3_601
    )  # another slot of min_interval, in which the service accepts it
    monkeypatch.setattr(module, "time", later)
    logged = notify(on_no_record=on_no_record) + notify(on_no_record=on_no_record)
    assert any("is not valid" in entry.message for entry in logged if entry.level in ("warning", "error"))
    assert bool(errors(logged)) is (on_no_record == "skip")
    assert queuecalls_sandbox.numbers == {ANN: 1 if on_no_record == "skip" else 2}


def secretive(_: Any) -> str:
    raise LookupError(f"{ANN} is on holiday")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"to": secretive, "to_variable": None}, "LookupError"),
        ({"to_variable": "nobody"}, "to_variable is 'nobody', which is not the name of an Airflow Variable that has a"),
        pytest.param(
            {"to_variable": "not_defined"},
            "to_variable is 'not_defined', which is not the name of an Airflow Variable",
            marks=pytest.mark.skipif((3, 0) <= AIRFLOW < (3, 1), reason="Airflow 3.0 looks only a task's Variables up"),
        ),
        ({"to_variable": None}, "notify_numbers has no phone number"),
        ({"start_url": "ftp:{{ nothing.at.all }}"}, "start_url does not start with http"),
        ({"queuecalls_conn_id": "nowhere"}, "is not defined"),
        ({"message": "{{ 1 / 0 }}"}, "ZeroDivisionError"),
    ],
)
def test_what_goes_wrong_is_logged_and_raises_nothing(
    options: dict[str, Any], words: str, notify: Notify, queuecalls_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_NOBODY", "")
    found = errors(notify(**options))
    assert any(words in problem for problem in found), found
    assert queuecalls_sandbox.journal == []


@pytest.mark.parametrize(("fault", "again"), [("http_401", 1), ("connection_reset", 0)])
def test_the_next_failure_calls_unless_somebody_may_have_been_called(
    fault: str, again: int, notify: Notify, queuecalls_sandbox: Sandbox
) -> None:
    queuecalls_sandbox.fail_next(fault)
    assert errors(notify())
    assert (errors(notify()), len(queuecalls_sandbox.journal)) == ([], 1 + again)
    assert queuecalls_sandbox.numbers == {ANN: 1}


def test_a_refusal_that_is_not_about_the_name_is_an_error_and_the_next_failure_calls(
    notify: Notify, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = b'<queuecalls status="failed"><error>start_url does not exist</error></queuecalls>'
    with FaultServer(respond(200, refusal), respond(200, QUEUED_XML)) as service:
        connection = {"conn_type": "queuecalls", "host": service.url, "login": "login", "password": "12345"}
        monkeypatch.setenv("AIRFLOW_CONN_QUEUECALLS_DEFAULT", json.dumps(connection))
        (problem,) = errors(notify())
        assert "refused" in problem
        assert "exist already" not in problem
        assert errors(notify()) == []
    assert len(service.uploads) == 2


def test_a_number_that_cannot_be_called_keeps_nobody_else_from_it(
    notify: Notify, queuecalls_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_ONCALL", f"{ANN}\n555\n{ANN}")
    (problem,) = errors(notify())
    assert "1 of the phone numbers to notify cannot be called" in problem
    assert queuecalls_sandbox.numbers == {ANN: 1}


def test_outside_calling_hours_nobody_is_called(notify: Notify, queuecalls_sandbox: Sandbox) -> None:
    day = (datetime.now(timezone.utc) + timedelta(days=3)).strftime("%a").lower()
    (problem,) = errors(notify(calling_hours={day: "08:00-21:00"}))
    assert "outside_hours" in problem
    assert queuecalls_sandbox.journal == []


def test_a_dry_run_calls_nobody(notify: Notify, queuecalls_sandbox: Sandbox) -> None:
    logged = notify(dry_run="{{ 1 == 1 }}")
    assert any("Dry run" in entry.message for entry in logged)
    assert (errors(logged), queuecalls_sandbox.journal) == ([], [])


def test_what_a_notification_waits_for_adds_up_to_less_than_20_seconds() -> None:
    assert module.RECORD_SECONDS + module.CONNECT_SECONDS + 2 * module.READ_SECONDS < module.TOTAL_SECONDS == 20
    hurried = module._with_short_timeouts(Endpoint(url="https://x", login="", password="", pin=""))
    assert (hurried.connect_timeout, hurried.read_timeout) == (module.CONNECT_SECONDS, module.READ_SECONDS)


@pytest.mark.parametrize("is_async", [False, True])
def test_a_notification_that_hangs_is_given_up_and_calls_nobody_later(
    is_async: bool, queuecalls_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TOTAL_SECONDS", 0.1)
    goes_on, ended = threading.Event(), threading.Event()
    notify_slowly = QueueCallsNotifier._notify

    def numbers(*_: Any) -> tuple[str, ...]:
        goes_on.wait(60)
        return (ANN,)

    def watched(self: Any, *args: Any) -> None:
        notify_slowly(self, *args)
        ended.set()

    monkeypatch.setattr(QueueCallsNotifier, "_notify", watched)
    monkeypatch.setattr(module, "numbers_to_call", numbers)
    notifier = made()

    async def in_a_triggerer() -> None:
        await notifier.async_notify(context())
        goes_on.set()

    with everything_logged() as logged:
        if is_async:
            asyncio.run(in_a_triggerer())
        else:
            notifier(context())
            goes_on.set()
        assert ended.wait(60)
    assert any("was stopped after" in problem for problem in errors(logged))
    assert queuecalls_sandbox.journal == []


def test_in_a_triggerer_no_notification_waits_for_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in ("TOTAL_SECONDS", "READ_SECONDS"):
        monkeypatch.setattr(module, limit, PATIENCE_SECONDS)
    requests = threading.Barrier(2)

    def respond_to_both(exchange: Exchange) -> None:
        exchange.receive()
        requests.wait(PATIENCE_SECONDS)
        exchange.respond(200, QUEUED_XML)

    async def in_a_triggerer() -> None:
        await asyncio.gather(*(made(dedup_key=key).async_notify(context()) for key in ("load", "report")))

    with FaultServer(respond_to_both) as service, everything_logged() as logged:
        connection = {"conn_type": "queuecalls", "host": service.url, "login": "login", "password": "12345"}
        monkeypatch.setenv("AIRFLOW_CONN_QUEUECALLS_DEFAULT", json.dumps(connection))
        asyncio.run(in_a_triggerer())
    assert errors(logged) == []
    assert len(service.uploads) == 2


@pytest.mark.skipif(AIRFLOW < (3, 1), reason="Airflow has deadlines from 3.1 on")
def test_a_deadline_awaits_it_and_stores_no_number(queuecalls_sandbox: Sandbox) -> None:
    from airflow.sdk.definitions.deadline import AsyncCallback  # type: ignore[attr-defined]  # its place in 3.1

    kwargs = {"start_url": START_URL, "to_variable": "oncall", "min_interval": "1 hour"}
    assert ANN not in str(vars(AsyncCallback(QueueCallsNotifier, kwargs=kwargs)))
    deadline = {"dag_run": {"dag_id": "late", "dag_run_id": "manual__1"}, "deadline": {"id": 1}}

    async def run() -> None:
        await QueueCallsNotifier(**kwargs, context=deadline)  # type: ignore[arg-type]

    with everything_logged() as logged:
        asyncio.run(run())
    assert errors(logged) == []
    assert said(queuecalls_sandbox) == ["Airflow: late failed"]
    assert ANN not in str(logged)


@pytest.mark.skipif(IS_AIRFLOW_2, reason="the example DAGs are written for Airflow 3")
def test_the_example_calls_once_unless_it_is_a_dry_run(
    examples: Path, queuecalls_sandbox: Sandbox, capfd: pytest.CaptureFixture[str]
) -> None:
    for dry_run, called in ((True, []), (False, ["load of notify_on_call failed"])):
        run = run_dag_file(examples / "notify_on_call.py", "notify_on_call", capfd, run_conf={"dry_run": dry_run})
        assert set(run.states.values()) == {"failed"}
        assert said(queuecalls_sandbox) == called


def test_a_synchronous_deadline_calls_it_with_its_context(queuecalls_sandbox: Sandbox) -> None:
    supervisor = pytest.importorskip("airflow.sdk.execution_time.callback_supervisor", reason="from Airflow 3.3 on")
    log = mock.Mock()
    given = {
        "start_url": START_URL,
        "to_variable": "oncall",
        "context": {"dag_run": {"dag_id": "late"}, "deadline": {}},
    }
    path = f"{QueueCallsNotifier.__module__}.{QueueCallsNotifier.__qualname__}"
    done = supervisor.execute_callback(path, given, Path("dag.py"), None, log)
    assert (done, said(queuecalls_sandbox)) == ((True, None), ["Airflow: late failed"])


def test_the_mapped_tasks_of_a_run_that_fail_call_once(
    run_tasks: Callable[..., Run], queuecalls_sandbox: Sandbox
) -> None:
    run = run_tasks(
        FAILING, dag_id="fails_and_notifies", settings=f"default_args={{'on_failure_callback': {NOTIFIER}}}"
    )
    assert set(run.states.values()) == {"failed"}
    assert said(queuecalls_sandbox) == ["fails_and_notifies: fails failed"]
    assert ANN not in run.kept + run.printed
