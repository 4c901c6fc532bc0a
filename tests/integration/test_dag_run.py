"""Real DAG runs through a real Airflow, against real servers: what arrives, what is kept, what is tried again."""

from __future__ import annotations

import base64
import hashlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_queuecalls.exceptions import NotSent
from airflow_provider_queuecalls.sandbox.server import Sandbox, run_sandbox
from tests.support import fault_server as faults
from tests.support.dag_run import Run, noon_tomorrow, run_dag_file
from tests.support.moved import AIRFLOW, IS_AIRFLOW_2
from tests.support.multipart import Part, parse
from tests.support.task import execute

LOGIN, PIN = "outreach-login", "outreach-pin"
NUMBERS = ("16175550143", "16175550178", "12025550119")
# Put together by the template, so that no DAG file holds them.
REFERENCE, CALL_PARAMETERS = "patient-88-reference", "diagnosis=private"
START_URL = "https://ivr.example.com/start.vxml?lang=en&x=1"
QUEUED = (
    f'<queuecalls status="queued"><login>{LOGIN}</login><pin>{PIN}</pin><message_reference>{REFERENCE}</message_reference>'
    f'<queuecall call_id="100000001" phone_number="{NUMBERS[0]}"/></queuecalls>'
).encode()
SECRETS = (
    *(LOGIN, PIN, base64.b64encode(f"{LOGIN}:{PIN}".encode()).decode(), REFERENCE, CALL_PARAMETERS, *NUMBERS),
    *("row-reference", "row-parameter"),
)
TASKS = """
@task
def export():
    return {contacts!r}

queued = QueueCallsOperator(
    task_id="queue", contacts="{{{{ ti.xcom_pull('export') }}}}", start_url={start_url!r}, retries=2, retry_delay=timedelta(0),
    message_reference="{{{{ 'patient-88' ~ '-reference' }}}}", call_parameters="{{{{ 'diagnosis=' ~ 'private' }}}}", {more}
)

@task
def report(result):
    return result["outcome"]

export() >> queued
report(queued.output)
"""


@pytest.fixture
def contacts(tmp_path: Path) -> Path:
    path = tmp_path / "calls für heute.csv"
    path.write_text("".join(f"{number},row-reference-{i},row-parameter-é\n" for i, number in enumerate(NUMBERS)))
    return path


@pytest.fixture
def run_dag(run_tasks: Callable[..., Run], contacts: Path) -> Callable[..., Run]:
    """Run a DAG with our operator between two other tasks."""

    def run(**more: str) -> Run:
        arguments = "".join(f"{name}={value}, " for name, value in more.items())
        return run_tasks(TASKS.format(contacts=str(contacts), start_url=START_URL, more=arguments))

    return run


@pytest.fixture
def service(connect: Any) -> Iterator[faults.FaultServer]:
    """A service that queues the campaign, and repeats what it got."""
    with faults.FaultServer(faults.respond(200, QUEUED)) as server:
        connect(server.url, login=LOGIN, password=PIN)
        yield server


def parts_of(request: faults.Request) -> list[Part]:
    return parse(request.headers["content-type"], bytes(request.body))


def test_what_arrives_is_what_was_given(run_dag: Any, service: faults.FaultServer, contacts: Path) -> None:
    run = run_dag(max_retries="'3'", retry_interval="900", campaign_name="'{{ dag.dag_id }} spring'")
    assert run.states == {"export": "success", "queue": "success", "report": "success"}
    (request,) = service.requests
    assert request.received == request.length
    assert "transfer-encoding" not in request.headers
    assert request.headers["authorization"] == f"Basic {base64.b64encode(f'{LOGIN}:{PIN}'.encode()).decode()}"
    assert [(part.name, part.file_name, part.content) for part in parts_of(request)] == [
        ("phone_number_list", "calls_f_r_heute.csv", contacts.read_bytes()),
        ("start_url", None, START_URL.encode()),
        ("message_reference", None, REFERENCE.encode()),
        ("call_parameters", None, CALL_PARAMETERS.encode()),
        ("max_retries", None, b"3"),
        ("retry_interval", None, b"900"),
        ("login", None, LOGIN.encode()),
        ("pin", None, PIN.encode()),
        ("campaign_name", None, run.xcom["campaign_name"].encode()),
    ]
    assert run.xcom["campaign_name"].endswith(" spring")
    assert run.xcom["digest"] == f"sha256:{hashlib.sha256(contacts.read_bytes()).hexdigest()}"
    assert (run.xcom["outcome"], run.xcom["contacts"], run.xcom["call_ids"]) == ("queued", 3, ["100000001"])
    assert "1 call ids for 3 contacts" in run.printed


@pytest.fixture
def sandbox(connect: Any) -> Iterator[Sandbox]:
    with run_sandbox(login=LOGIN, pin=PIN, speed=0) as sandbox:
        connect(sandbox.url, login=LOGIN, password=PIN)
        yield sandbox


def assert_asked_once_and_not_retried(run: Run, sandbox: Sandbox, sentence: str) -> None:
    assert len(sandbox.journal) == 1
    assert (run.states["queue"], run.tries) == ("failed", 1)
    assert sentence in run.printed
    assert_nothing_leaked(run)


@pytest.mark.parametrize("fault", ["connection_reset", "http_502"])
def test_a_campaign_whose_response_is_lost_is_queued_once_and_looked_up_by_a_person(
    fault: str, run_dag: Any, sandbox: Sandbox
) -> None:
    sandbox.fail_next(fault)
    run = run_dag()
    assert set(sandbox.numbers.values()) == {1}
    assert "vendor's campaign manager" in run.printed
    assert_asked_once_and_not_retried(run, sandbox, "Cannot tell whether")


@pytest.mark.parametrize("fault", ["http_401", "http_413"])
def test_what_is_refused_is_not_retried(fault: str, run_dag: Any, sandbox: Sandbox) -> None:
    sandbox.fail_next(fault)
    run = run_dag()
    assert sandbox.campaigns == []
    assert_asked_once_and_not_retried(run, sandbox, "refused campaign")


def test_airflows_own_time_limit_during_the_wait_does_not_lead_to_a_retry(run_dag: Any, connect: Any) -> None:
    def time_out(exchange: faults.Exchange) -> None:
        exchange.receive()
        os.kill(os.getpid(), signal.SIGALRM)  # as Airflow's timer does, which is set for longer here
        exchange.hang()

    with faults.FaultServer(time_out) as server:
        connect(server.url, login=LOGIN, password=PIN)
        run = run_dag(execution_timeout="timedelta(minutes=30)")
    assert len(server.posts) == 1
    assert (run.states["queue"], run.tries) == ("failed", 1)
    assert "Cannot tell whether" in run.printed
    assert_nothing_leaked(run)


def test_what_was_not_accepted_is_retried_by_airflow(run_dag: Any, connect: Any) -> None:
    with faults.FaultServer(faults.respond(429, headers=[("Retry-After", "0")]), faults.respond(200, QUEUED)) as server:
        connect(server.url, login=LOGIN, password=PIN)
        run = run_dag()
    assert len(server.posts) == 2
    assert (run.states["queue"], run.tries) == ("success", 2)
    assert "it is safe to try again later, after 0 s." in run.printed
    assert_nothing_leaked(run)


def test_what_was_not_sent_is_retried_by_airflow(run_dag: Any, connect: Any) -> None:
    connect("http://127.0.0.1:1", login=LOGIN, password=PIN)
    run = run_dag()
    assert (run.states["queue"], run.tries) == ("failed", 3)
    assert "the connection was refused" in run.printed
    assert_nothing_leaked(run)


def test_success_leaks_nothing_even_at_debug_level(run_dag: Any, service: faults.FaultServer) -> None:
    run = run_dag()
    assert run.xcom["response"].startswith('<queuecalls status="queued"><login>***</login>')
    assert_nothing_leaked(run)


@pytest.mark.skipif(AIRFLOW < (3, 2), reason="the approval task of that time has no response_timeout")
def test_the_example_with_approval_checks_first_and_then_queues(
    examples: Path, service: faults.FaultServer, contacts: Path, capfd: Any
) -> None:
    run = run_dag_file(
        *(examples / "queue_calls_with_approval.py", "queue_calls_with_approval", capfd),
        run_after=noon_tomorrow(),
        run_conf={"contacts": str(contacts)},
        mark_success_pattern="approve",
    )
    assert set(run.states.values()) == {"success"}
    assert len(service.posts) == 1
    assert "Dry run: did not send campaign" in run.printed


@pytest.mark.parametrize(("grown", "row"), [("contacts", "12025550188"), ("suppress", NUMBERS[1])])
def test_a_list_that_changed_since_it_was_checked_is_not_sent(  # noqa: PLR0917
    grown: str, row: str, run_dag: Any, service: faults.FaultServer, contacts: Path, tmp_path: Path
) -> None:
    suppress = tmp_path / "do-not-call.csv"
    suppress.write_text(f"{NUMBERS[0]}\n")
    checked = run_dag(suppress=f"{str(suppress)!r}", dry_run="True").xcom
    with {"contacts": contacts, "suppress": suppress}[grown].open("a") as file:
        file.write(f"{row}\n")
    run = run_dag(suppress=f"{str(suppress)!r}", expected_digest=repr(checked["digest"]))
    assert checked["contacts"] == 2
    assert service.requests == []
    assert (run.states["queue"], run.tries) == ("failed", 1)
    assert "The list is not the expected one" in run.printed
    assert_nothing_leaked(run)


@pytest.mark.skipif(IS_AIRFLOW_2, reason="the example DAGs are written for Airflow 3")
def test_the_example_dag_makes_a_dry_run_unless_told_otherwise(examples: Path, connect: Any, capfd: Any) -> None:
    connect("http://127.0.0.1:1", login=LOGIN, password=PIN)
    run = run_dag_file(examples / "queue_calls.py", "queue_calls", capfd, run_after=noon_tomorrow())
    assert set(run.states.values()) == {"success"}
    assert "3000 contacts would be called (dry run)" in run.printed


def assert_nothing_leaked(run: Run) -> None:
    assert "QueueCallsOperator" in run.printed, "what our task logs is not looked at"
    assert "debug" in run.printed.lower()
    for secret in SECRETS:
        assert secret not in run.kept
        assert secret not in run.printed


def test_rows_left_out_are_counted_and_named_and_the_others_are_sent(
    run_dag: Any, service: faults.FaultServer, contacts: Path, tmp_path: Path
) -> None:
    rejects = tmp_path / "rejects-{{ ds_nodash }}.csv"
    good = contacts.read_text()
    contacts.write_text(f"{good}{NUMBERS[0]},row-reference-again\n+1 617 555 0143\n\n", encoding="utf-8-sig")
    run = run_dag(
        on_invalid=repr('{{ "skip" }}'), duplicates="'drop'", max_rejects="'50%'", rejects_path=f"{str(rejects)!r}"
    )
    (request,) = service.posts
    (list_sent,) = [part.content for part in parts_of(request) if part.file_name]
    assert list_sent.decode() == good
    assert [run.xcom[name] for name in ("contacts", "rejected", "duplicates", "suppressed")] == [3, 1, 1, 0]
    assert run.xcom["digest"] == f"sha256:{hashlib.sha256(list_sent).hexdigest()}"
    assert "5 contacts in 6 lines: 3 valid, 1 invalid_number, 1 duplicate, 1 blank line skipped" in run.printed
    (written,) = tmp_path.glob("rejects-2*.csv")
    assert [line.split(",")[:2] for line in written.read_text().splitlines()[1:]] == [
        ["4", "duplicate"],
        ["5", "invalid_number"],
    ]
    assert_nothing_leaked(run)


def test_a_list_that_fails_the_check_is_not_sent_and_not_retried(
    run_dag: Any, service: faults.FaultServer, contacts: Path
) -> None:
    contacts.write_text(contacts.read_text() + f"{NUMBERS[0]}\n{NUMBERS[1]} 555,row-reference\n")
    run = run_dag()
    assert service.requests == []
    assert (run.states["queue"], run.tries) == ("failed", 1)
    assert "invalid_number: 1 row, first in line 5" in run.printed
    assert "duplicate: 1 row, first in line 4" in run.printed
    assert_nothing_leaked(run)


def test_an_empty_list_is_a_failure_unless_it_is_to_be_skipped(
    run_dag: Any, service: faults.FaultServer, contacts: Path
) -> None:
    contacts.write_text("\n")
    assert run_dag().states["queue"] == "failed"
    assert run_dag(on_empty="'skip'").states["queue"] == "skipped"
    assert service.requests == []


def in_place(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(-100, os.SEEK_END)
        file.write(b"6")


def replaced(path: Path) -> None:
    other = path.with_suffix(".new")
    other.write_bytes(b"x" * path.stat().st_size)
    other.replace(path)


@pytest.mark.parametrize(("change", "cut_short"), [(in_place, True), (replaced, False)])
def test_what_is_sent_is_what_was_checked(
    change: Callable[[Path], None], cut_short: bool, airflow: Any, connect: Any, tmp_path: Path
) -> None:
    from airflow_provider_queuecalls.operators.queuecalls import QueueCallsOperator

    path = tmp_path / "calls.csv"
    content = "".join(f"1617{number:07},{'r' * 60}\n" for number in range(2_000_000, 2_300_000)).encode()
    path.write_bytes(content)

    def receive_and_change(exchange: faults.Exchange) -> None:
        exchange.receive(100_000)
        change(path)
        exchange.receive()
        exchange.respond(200, QUEUED)

    task = QueueCallsOperator(
        task_id="call", contacts=str(path), start_url=START_URL, receipts_path="none", campaign_name="spring"
    )
    with faults.FaultServer(receive_and_change) as server:
        connect(server.url, login=LOGIN, password=PIN)
        if cut_short:
            with pytest.raises(NotSent, match="changed after it was checked") as caught:
                execute(task)
            assert caught.value.campaign_name == "spring"
        else:
            digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
            assert execute(task)["digest"] == digest
    (request,) = server.posts
    assert (request.received < request.length) is cut_short
