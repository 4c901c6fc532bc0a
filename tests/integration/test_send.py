"""``queuecalls send``, as a person or a script runs it."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from airflow_provider_queuecalls import cli
from airflow_provider_queuecalls.sandbox.server import Sandbox
from tests.support.command import PROGRAM, REPOSITORY, Program
from tests.support.moved import IS_AIRFLOW_2

if TYPE_CHECKING:
    from pytest_mock import MockerFixture

NUMBERS = ("16175550143", "16175550178")
Send = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def contacts(tmp_path: Path) -> Path:
    path = tmp_path / "calls.csv"
    path.write_text("".join(f"{number},reference\n" for number in NUMBERS))
    return path


@pytest.fixture
def arguments(queuecalls_sandbox: Sandbox, contacts: Path, receipts_folder: Path) -> list[str]:
    """What every command here begins with."""
    record = ["--receipts", str(receipts_folder), "--campaign-name", "spring"]
    return ["send", str(contacts), *record, "--start-url", "https://ivr.example.com/x.vxml"]


@pytest.fixture
def send(
    arguments: list[str], airflow: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Send]:
    """Run the command in this process, which needs no other Airflow. What is ``typed``, is typed on a terminal."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(*options: str | Path, typed: str | None = None) -> subprocess.CompletedProcess[str]:
        ours, theirs = pty.openpty()
        os.write(ours, f"{typed}\n".encode())
        with open(ours, "rb"), open(theirs) as terminal:
            monkeypatch.setattr("sys.stdin", io.StringIO() if typed is None else terminal)
            code = cli.main([*arguments, *map(str, options)])
        return subprocess.CompletedProcess(arguments, code, *capsys.readouterr())

    yield run
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_campaign_is_sent_once(arguments: list[str], send: Send, queuecalls_sandbox: Sandbox) -> None:
    with Program(PROGRAM, *arguments, "--yes", "--json") as process:
        printed, errors = process.communicate()
    assert process.returncode == 0, errors
    result, end = json.JSONDecoder().raw_decode(printed)  # whatever Airflow logs, at debug level
    # Up to 3.0, Airflow logs a line to stdout when the process ends, at that level only.
    assert printed[end:].count("\n") == 1 + ("DEBUG - Disposing DB connection pool" in printed[end:])
    assert (result["outcome"], result["contacts"]) == ("queued", 2)
    again = send("--yes")
    assert again.returncode == 0
    assert "already queued" in again.stderr
    assert queuecalls_sandbox.numbers == dict.fromkeys(NUMBERS, 1)
    assert not [number for number in NUMBERS if number in printed + errors + again.stderr]


@pytest.mark.parametrize(("typed", "code", "queued"), [("2", 0, 1), ("3", 2, 0), ("y", 2, 0), ("", 2, 0)])
def test_a_person_confirms_with_the_number_of_contacts(
    typed: str, code: int, queued: int, send: Send, queuecalls_sandbox: Sandbox
) -> None:
    done = send(typed=typed)
    assert (done.returncode, len(queuecalls_sandbox.campaigns)) == (code, queued), done.stderr
    assert "will call 2 contacts" in done.stderr


@dataclass
class Interrupted:
    """A terminal at which a signal arrives instead of an answer. Python reads on unless its handler raises."""

    number: signal.Signals

    def isatty(self) -> bool:
        return True

    def readline(self) -> str:
        signal.raise_signal(self.number)
        raise AssertionError("the command still waits for the answer")


@pytest.mark.usefixtures("send")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_wait_for_the_confirmation(
    number: signal.Signals, arguments: list[str], queuecalls_sandbox: Sandbox, capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("sys.stdin", Interrupted(number))
    assert (cli.main(arguments), queuecalls_sandbox.campaigns) == (2, [])
    assert capsys.readouterr().err.endswith("\nqueuecalls: Nothing was sent.\n")


def test_without_a_terminal_nothing_is_sent_unless_told_so(send: Send, queuecalls_sandbox: Sandbox) -> None:
    done = send()
    assert (done.returncode, queuecalls_sandbox.campaigns) == (2, [])
    assert "Add --yes to send. Nothing was sent." in done.stderr


def test_a_dry_run_sends_nothing(send: Send, queuecalls_sandbox: Sandbox) -> None:
    done = send("--dry-run")
    assert (done.returncode, queuecalls_sandbox.campaigns) == (0, [])
    assert "not sent: campaign spring, 2 contacts" in done.stdout


def test_a_file_that_is_not_valid_ends_with_1(
    send: Send, queuecalls_sandbox: Sandbox, contacts: Path, tmp_path: Path
) -> None:
    contacts.write_text(f"{NUMBERS[0]}\nnobody\n")
    done = send("--yes", "--rejects", tmp_path / "rejects.csv")
    assert (done.returncode, queuecalls_sandbox.campaigns) == (1, [])
    assert "invalid_number" in done.stderr
    assert "nobody" in (tmp_path / "rejects.csv").read_text()
    assert send("--yes", "--on-invalid", "skip").returncode == 0
    assert queuecalls_sandbox.numbers == {NUMBERS[0]: 1}


def test_a_lost_response_ends_with_3_and_is_not_sent_again(send: Send, queuecalls_sandbox: Sandbox) -> None:
    queuecalls_sandbox.fail_next("connection_reset")
    done = send("--yes")
    assert done.returncode == 3
    assert "Cannot tell whether campaign 'spring' was queued" in done.stderr
    assert send("--yes").returncode == 3
    assert queuecalls_sandbox.numbers == dict.fromkeys(NUMBERS, 1)
    assert send("--yes", "--resend").returncode == 2, "the sandbox refuses a name that is taken"


def test_the_memory_of_the_check_is_limited_by_airflows_configuration(
    send: Send, queuecalls_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__CHECK_MEMORY_MB", "8")
    done = send("--yes")
    assert (done.returncode, queuecalls_sandbox.campaigns) == (2, [])
    assert "check_memory_mb is '8', which is too small" in done.stderr


def test_an_unforeseen_error_leaves_the_outcome_unknown_only_once_sending_has_begun(
    send: Send, queuecalls_sandbox: Sandbox, mocker: MockerFixture
) -> None:
    opened = mocker.patch(
        "airflow_provider_queuecalls.hooks.queuecalls.QueueCallsHook.endpoint", new_callable=mock.PropertyMock
    )
    opened.side_effect = ImportError("of a secrets backend")
    for options in (["--dry-run"], ["--yes"]):
        done = send(*options)
        assert done.returncode == 2
        assert done.stderr.endswith("of a secrets backend\nqueuecalls: Nothing was sent.\n")
    mocker.stopall()
    mocker.patch("airflow_provider_queuecalls.delivery._send", side_effect=LookupError)
    done = send("--yes")
    assert done.returncode == 3
    assert "Cannot tell whether campaign 'spring' was queued: the command ended with LookupError." in done.stderr
    assert queuecalls_sandbox.campaigns == []


@pytest.mark.parametrize(
    ("options", "encoding", "code"),
    [(["--yes", "--json"], "utf-8", 3), (["--dry-run"], "utf-8", 2), (["--yes"], "ascii", 3)],
)
def test_a_result_that_cannot_be_printed_ends_with_3_if_the_campaign_is_queued(
    options: list[str], encoding: str, code: int, arguments: list[str], queuecalls_sandbox: Sandbox
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": encoding}
    command = [sys.executable, "-c", PROGRAM, *arguments, "--campaign-name", "café", *options]
    with open(os.devnull if encoding == "ascii" else "/dev/full", "w") as output:
        done = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, env=environment, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert len(queuecalls_sandbox.campaigns) == (code == 3)
    assert "The result cannot be printed" in done.stderr


@pytest.mark.skipif(IS_AIRFLOW_2, reason="it prints warnings when it is imported, so nothing can be sent")
@pytest.mark.parametrize(("fault", "code"), [(None, 0), ("connection_reset", 3), ("http_401", 2)])
def test_messages_that_cannot_be_printed_leave_the_exit_code_as_it_is(
    fault: str | None, code: int, arguments: list[str], queuecalls_sandbox: Sandbox
) -> None:
    if fault:
        queuecalls_sandbox.fail_next(fault)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with open("/dev/full", "w") as errors:
        command = [sys.executable, "-c", PROGRAM, *arguments, "--yes"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=errors, env=environment, check=False)
    assert done.returncode == code


def test_an_exit_while_a_campaign_is_sent_leaves_its_outcome_unknown(send: Send, mocker: MockerFixture) -> None:
    mocker.patch("airflow_provider_queuecalls.delivery._send", side_effect=SystemExit(1))
    assert send("--yes").returncode == 3


def test_a_list_that_changes_before_it_is_sent_is_reported_with_the_earlier_campaign(
    send: Send, queuecalls_sandbox: Sandbox, contacts: Path, mocker: MockerFixture
) -> None:
    assert send("--yes").returncode == 0

    def confirm(*_: object) -> bool:
        contacts.write_text(f"{NUMBERS[0]}\n")
        return True

    mocker.patch("airflow_provider_queuecalls.cli.send._confirmed", confirm)
    done = send()
    assert done.returncode == 1
    assert "Campaign 'spring' was already queued by " in done.stderr
    assert len(queuecalls_sandbox.campaigns) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--max-retries", "11"], "max_retries"),
        (["--conn-id", "nowhere"], "nowhere"),
        (["--duplicates", "maybe"], "duplicates is 'maybe'"),
    ],
)
def test_a_value_that_is_not_valid_ends_with_2(
    options: list[str], words: str, send: Send, queuecalls_sandbox: Sandbox
) -> None:
    done = send("--yes", *options)
    assert (done.returncode, queuecalls_sandbox.campaigns) == (2, [])
    assert words in done.stderr
    assert "Traceback" not in done.stderr
