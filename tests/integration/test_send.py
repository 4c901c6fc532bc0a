"""``queuecalls send``, as a person or a script runs it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_queuecalls.sandbox.server import Sandbox, run_sandbox
from tests.support.command import REPOSITORY

NUMBERS = ("16175550143", "16175550178")
PROGRAM = "import sys; from airflow_provider_queuecalls.cli import main; sys.exit(main())"
Send = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def sandbox(airflow: Any) -> Iterator[Sandbox]:
    with run_sandbox(speed=0) as sandbox:
        yield sandbox


@pytest.fixture
def contacts(tmp_path: Path) -> Path:
    path = tmp_path / "calls.csv"
    path.write_text("".join(f"{number},reference\n" for number in NUMBERS))
    return path


@pytest.fixture
def send(sandbox: Sandbox, contacts: Path, tmp_path: Path) -> Send:
    """Run the command; the connection is JSON in the environment."""

    def run(*options: str | Path, file: Path = contacts, typed: str | None = None) -> subprocess.CompletedProcess[str]:
        arguments = [sys.executable, "-c", PROGRAM, "send", str(file), "--receipts", str(tmp_path / "receipts")]
        arguments += ["--start-url", "https://ivr.example.com/x.vxml", "--campaign-name", "spring", *map(str, options)]
        environment = {
            **os.environ, "PYTHONPATH": str(REPOSITORY), "AIRFLOW_CONN_QUEUECALLS_DEFAULT": sandbox.connection,
        }  # fmt: skip
        if typed is None:
            return subprocess.run(
                arguments, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
            )
        ours, theirs = pty.openpty()
        os.write(ours, f"{typed}\n".encode())
        try:
            return subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False, stdin=theirs)
        finally:
            os.close(ours)
            os.close(theirs)

    return run


def test_a_campaign_is_sent_once(send: Send, sandbox: Sandbox) -> None:
    done = send("--yes", "--json")
    assert done.returncode == 0, done.stderr
    # Among what Airflow prints at debug level.
    (result,) = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert (result["outcome"], result["contacts"]) == ("queued", 2)
    again = send("--yes")
    assert again.returncode == 0
    assert "already queued" in again.stderr
    assert sandbox.numbers == dict.fromkeys(NUMBERS, 1)
    assert not [number for number in NUMBERS if number in done.stdout + done.stderr + again.stderr]


@pytest.mark.parametrize(("typed", "code", "queued"), [("2", 0, 1), ("3", 2, 0), ("y", 2, 0), ("", 2, 0)])
def test_a_person_confirms_with_the_number_of_contacts(
    typed: str, code: int, queued: int, send: Send, sandbox: Sandbox
) -> None:
    done = send(typed=typed)
    assert (done.returncode, len(sandbox.campaigns)) == (code, queued), done.stderr
    assert "will call 2 contacts" in done.stderr


def test_without_a_terminal_nothing_is_sent_unless_told_so(send: Send, sandbox: Sandbox) -> None:
    done = send()
    assert (done.returncode, sandbox.campaigns) == (2, [])
    assert "Add --yes to send. Nothing was sent." in done.stderr


def test_a_dry_run_sends_nothing(send: Send, sandbox: Sandbox) -> None:
    done = send("--dry-run")
    assert (done.returncode, sandbox.campaigns) == (0, [])
    assert "not sent: campaign spring, 2 contacts" in done.stdout


def test_a_file_that_is_not_valid_ends_with_1(send: Send, sandbox: Sandbox, contacts: Path, tmp_path: Path) -> None:
    contacts.write_text(f"{NUMBERS[0]}\nnobody\n")
    done = send("--yes", "--rejects", tmp_path / "rejects.csv")
    assert (done.returncode, sandbox.campaigns) == (1, [])
    assert "invalid_number" in done.stderr
    assert "nobody" in (tmp_path / "rejects.csv").read_text()
    assert send("--yes", "--on-invalid", "skip").returncode == 0
    assert sandbox.numbers == {NUMBERS[0]: 1}


def test_a_lost_response_ends_with_3_and_is_not_sent_again(send: Send, sandbox: Sandbox) -> None:
    sandbox.fail_next("connection_reset")
    done = send("--yes")
    assert done.returncode == 3
    assert "Cannot tell whether campaign 'spring' was queued" in done.stderr
    assert send("--yes").returncode == 3
    assert sandbox.numbers == dict.fromkeys(NUMBERS, 1)
    assert send("--yes", "--resend").returncode == 2, "the sandbox refuses a name that is taken"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--max-retries", "11"], "max_retries"),
        (["--conn-id", "nowhere"], "nowhere"),
        (["--duplicates", "maybe"], "duplicates is 'maybe'"),
    ],
)
def test_a_value_that_is_not_valid_ends_with_2(options: list[str], words: str, send: Send, sandbox: Sandbox) -> None:
    done = send("--yes", *options)
    assert (done.returncode, sandbox.campaigns) == (2, [])
    assert words in done.stderr
    assert "Traceback" not in done.stderr
