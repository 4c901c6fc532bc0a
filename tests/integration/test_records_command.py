"""``queuecalls records``: what is on record, and a person's answer, as they are read and given at a terminal."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_queuecalls._airflow.compat import AirflowFailException
from airflow_provider_queuecalls._airflow.results import results_database
from airflow_provider_queuecalls.cli import main
from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook
from airflow_provider_queuecalls.records.call_results import read_result
from airflow_provider_queuecalls.records.sent.entry import Entry
from tests.conftest import LOGIN
from tests.support import fault_server as faults
from tests.support.moved import AIRFLOW
from tests.support.sending import send

if TYPE_CHECKING:
    from pytest_mock import MockerFixture

FAILED = 2


@pytest.fixture
def service(connect: Any) -> Iterator[faults.FaultServer]:
    """Loses its first response, and queues what comes later."""
    with faults.FaultServer(faults.close(), faults.QUEUED) as server:
        connect(server.url)
        yield server


@pytest.fixture
def unknown(service: faults.FaultServer, small_list: Path, receipts: str) -> dict[str, Any]:
    """What a task sends whose outcome is not known."""
    parameters = {"contacts": str(small_list), "receipts_path": receipts}
    with pytest.raises(AirflowFailException):
        send(**parameters)
    return parameters


def command_in(message: str, option: str) -> list[str]:
    """The arguments of a command that a message offers."""
    (line,) = [line for line in message.splitlines() if f" resolve {option} " in line]
    return shlex.split(line.partition("queuecalls ")[2])


@pytest.mark.parametrize("option", ["--queued", "--not-queued"])
def test_the_command_in_the_message_decides_and_the_next_try_goes_by_it(
    option: str, unknown: dict[str, Any], receipts: str, service: faults.FaultServer, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(AirflowFailException) as caught:
        send(**unknown)
    arguments = [*command_in(str(caught.value), option), "--by", "Ann"]
    assert main(arguments) == 0
    if receipts == "database":  # which is the results database: the campaign's row says the same
        with closing(results_database()) as database:
            (counts,) = database.counts()
        assert counts.outcome == option.removeprefix("--").replace("-", " ")
    result = send(**unknown)
    assert (result["outcome"], result.get("resolved_by")) == ("queued", "Ann" if option == "--queued" else None)
    assert (result["rejected"], result["duplicates"], result["suppressed"]) == (0, 0, 0)
    assert len(service.posts) == (1 if option == "--queued" else 2)

    assert main(arguments) == FAILED
    assert "is queued. There is nothing to resolve." in capsys.readouterr().err


@pytest.mark.parametrize("answer", [["--queued", "--calls", "3"], ["--not-queued", "--force"]])
def test_that_a_request_under_way_is_not_queued_is_recorded_only_by_force(
    answer: list[str], unknown: dict[str, Any], receipts: str, capsys: pytest.CaptureFixture[str], mocker: MockerFixture
) -> None:
    mocker.patch.object(Entry, "may_be_under_way", True)  # as when the worker was lost
    arguments = ["records", "resolve", "spring", "--receipts", receipts]
    assert main([*arguments, "--not-queued"]) == FAILED
    assert "may still be under way" in capsys.readouterr().err
    assert main([*arguments, *answer]) == 0
    assert send(**unknown)["call_id_count"] == (3 if "--queued" in answer else 0), "a new request has no call ids here"


@pytest.mark.parametrize("calls", ["0", "5"])
def test_a_campaign_that_was_not_queued_has_no_count_of_calls(calls: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["records", "resolve", "spring", "--not-queued", "--calls", calls]) == 2
    assert "--calls is the number of calls of a queued campaign. Leave it out with" in capsys.readouterr().err


@pytest.mark.parametrize("calls", ["-5", "1.5", "many"])
def test_a_count_of_calls_that_is_not_valid_is_refused(calls: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["records", "resolve", "spring", "--queued", "--calls", calls])
    assert f"{calls!r} is not valid; it must be a whole number from 0" in capsys.readouterr().err


@pytest.mark.parametrize("receipts", ["folder"], indirect=True)
def test_a_user_without_a_name_resolves_by_number(
    unknown: dict[str, Any], receipts: str, capsys: pytest.CaptureFixture[str], mocker: MockerFixture
) -> None:
    mocker.patch.dict(os.environ)
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        os.environ.pop(name, None)
    mocker.patch("pwd.getpwuid", side_effect=KeyError)  # as in a container
    assert main(["records", "resolve", "spring", "--receipts", receipts, "--queued"]) == 0
    assert main(["records", "show", "spring", "--receipts", receipts]) == 0
    assert f"by user {os.getuid()} at" in capsys.readouterr().out


def test_list_and_show_say_what_became_of_each_campaign(
    unknown: dict[str, Any], receipts: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"summer of '26", "a [/b]", "x [blue] :smile:"}
    for name in names:
        send(**unknown, campaign_name=name)
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__RECEIPTS_PATH", receipts)
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["records", "list"]) == 0
    rows = {
        words[1].strip(): words[2].strip()
        for line in capsys.readouterr().out.splitlines()
        if (words := line.split("│"))[1:]
    }
    assert rows == {"spring": "unknown", **dict.fromkeys(names, "queued")}
    assert main(["records", "show", "spring"]) == 0
    shown = capsys.readouterr().out
    for said in ("outcome:  unknown", "contacts: ", "queuecalls records resolve --queued spring-"):
        assert said in shown
    assert main(["records", "show", "summer of '26"]) == 0
    assert "outcome:  queued" in capsys.readouterr().out
    assert LOGIN not in shown


@pytest.mark.parametrize("receipts", ["folder"], indirect=True)
def test_a_damaged_record_is_named_with_its_file_and_a_way_out(
    unknown: dict[str, Any], receipts: str, capsys: pytest.CaptureFixture[str]
) -> None:
    last = sorted(Path(receipts).glob("spring-*/*.json"))[-1]
    last.write_bytes(b"")
    for arguments in (["list"], ["show", "spring"], ["resolve", "spring", "--queued"]):
        assert main(["records", *arguments, "--receipts", receipts]) == FAILED
        said = capsys.readouterr().err
        assert f"{last} is not valid" in said
        assert "remove that entry" in said
    last.unlink()
    assert main(["records", "list", "--receipts", receipts]) == 0


@pytest.mark.parametrize("receipts", ["folder"], indirect=True)
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["show", "winter"],
            "There is no record of 'winter' in '{receipts}'. 'queuecalls records list', with the same --receipts, lists all.",
        ),
        (["show"], "Name one campaign"),
        (["list", "--receipts", "/no/such/folder"], "cannot be read"),
        (
            ["show", "--task", "reminders", "manual__1", "call", "x"],
            "MAP_INDEX is 'x'; it must be a whole number, or -1",
        ),
        (["list", "--receipts", "none"], "There are no records to list: receipts_path is 'none'. Name a folder"),
    ],
)
def test_what_cannot_be_shown_is_explained(
    arguments: list[str], said: str, unknown: dict[str, Any], receipts: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = arguments if "--receipts" in arguments else [*arguments, "--receipts", receipts]
    assert main(["records", *given]) == FAILED
    assert said.format(receipts=receipts) in capsys.readouterr().err


def test_a_task_without_a_record_is_explained(
    airflow: Any, capsys: pytest.CaptureFixture[str], mocker: MockerFixture
) -> None:
    mocker.patch("airflow_provider_queuecalls._airflow.receipts.task_stores", return_value=[])
    assert main(["records", "show", "--task", "reminders", "manual__1", "call", "-1"]) == FAILED
    assert "This task has no record in its state. Check DAG_ID" in capsys.readouterr().err


@pytest.mark.skipif(AIRFLOW < (3, 3), reason="tasks have no state of their own")
@pytest.mark.parametrize("state", ['{"0ff1ce": {"generation": 1, "entry": {}}}', '{"0ff1ce": {}}', "[]"])
def test_a_damaged_record_in_the_state_of_a_task_is_explained(
    state: str, airflow: Any, capsys: pytest.CaptureFixture[str], mocker: MockerFixture
) -> None:
    mocker.patch("airflow.state.metastore.MetastoreBackend.get", return_value=state)  # without a run that has kept it
    task = ["--task", "reminders", "manual__1", "call", "-1"]
    for command in (["show"], ["resolve", "--queued"]):
        assert main(["records", *command, *task]) == FAILED
        assert "its record in the task's state 'queuecalls_campaign' is not valid" in capsys.readouterr().err


@pytest.mark.parametrize("receipts", ["folder"], indirect=True)
def test_a_name_at_two_services_needs_the_folder(
    unknown: dict[str, Any], receipts: str, connect: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with faults.FaultServer(faults.QUEUED) as other:
        connect(other.url)
        send(**unknown)
    assert main(["records", "show", "spring", "--receipts", receipts]) == FAILED
    # Airflow 2.11 may log to a stream that an earlier test has closed, which Python reports there too.
    folders = [line for line in capsys.readouterr().err.splitlines() if line.startswith("  spring-")]
    assert len(folders) == 2
    outcomes = set()
    for folder in folders:
        assert main(["records", "show", folder.strip(), "--receipts", receipts]) == 0
        outcomes.add("outcome:  unknown" in capsys.readouterr().out)
    assert outcomes == {True, False}


@pytest.mark.parametrize("receipts", ["folder", "database"], indirect=True)
def test_the_first_result_shows_that_a_campaign_with_a_lost_response_was_queued(
    receipts: str, records_database: str, unknown: dict[str, Any], service: faults.FaultServer, capsys: Any
) -> None:
    database = results_database()
    database.add(
        QueueCallsHook().key_of("spring").digest,
        read_result([("phone_number", "16175550100"), ("result", "completed")]),
    )
    database.close()
    with pytest.raises(
        AirflowFailException, match=r"the first result of its calls arrived at 20.*, so it was queued"
    ) as caught:
        send(**unknown)
    for command in (["show", "spring"], ["resolve", "spring", "--not-queued"]):
        main(["records", *command, "--receipts", receipts])
        assert "the first result of its calls arrived at 20" in "".join(capsys.readouterr())
    assert main(command_in(str(caught.value), "--queued")) == 0
    assert send(**unknown)["outcome"] == "queued"
    assert len(service.posts) == 1


@pytest.mark.parametrize("receipts", ["folder"], indirect=True)
def test_a_result_that_may_be_of_an_earlier_request_leaves_the_answer_to_the_person(
    receipts: str, records_database: str, small_list: Path, connect: Any, capsys: Any
) -> None:
    with faults.FaultServer(faults.QUEUED, faults.close()) as server:
        connect(server.url)
        parameters = {"contacts": str(small_list), "receipts_path": receipts}
        send(**parameters)
        with pytest.raises(AirflowFailException):
            send(**parameters, resend=True, run_id="manual__2")
    with closing(results_database()) as database:
        key = QueueCallsHook().key_of("spring").digest
        database.add(key, read_result([("phone_number", "16175550100"), ("result", "completed")]))
    assert main(["records", "show", "spring", "--receipts", receipts]) == 0
    assert "but an earlier request may have queued its call" in capsys.readouterr().out
    assert main(["records", "resolve", "spring", "--receipts", receipts, "--not-queued"]) == 0
