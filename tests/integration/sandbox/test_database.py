"""The database: what it keeps, who may read it, and what a process that is killed leaves behind."""

from __future__ import annotations

import os
import re
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from airflow_provider_queuecalls.client.connection import DEFAULT_PATH
from airflow_provider_queuecalls.sandbox import DEFAULT_LOGIN, DEFAULT_PIN
from airflow_provider_queuecalls.sandbox.server import CannotStart, run_sandbox
from tests.support.command import command
from tests.support.sandbox import FORM, LOGIN, PIN, START_URL, number, post, post_form, refused_fields, states


def test_the_state_survives_a_restart(tmp_path: Path) -> None:
    database = tmp_path / "sandbox.db"
    with run_sandbox(login=LOGIN, pin=PIN, db=database, speed=0) as sandbox:
        post_form(sandbox, {**FORM, "campaign_name": "kept"})
        sandbox.advance(seconds=0)  # the calls that are due at once have been made
        before = (sandbox.campaigns, sandbox.calls_of("kept"), sandbox.numbers)

    with run_sandbox(login=LOGIN, pin=PIN, db=database, speed=0) as sandbox:
        assert (sandbox.campaigns, sandbox.calls_of("kept"), sandbox.numbers) == before
        assert refused_fields(post_form(sandbox, {**FORM, "campaign_name": "kept"})) == ["campaign_name"]
        post_form(sandbox, {**FORM, "campaign_name": "new"})
        assert {call.call_id for call in sandbox.calls_of("new")}.isdisjoint(call.call_id for call in before[1])


def test_calls_continue_after_a_restart(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"db": tmp_path / "sandbox.db", "speed": 0}
    with run_sandbox(**settings) as sandbox:
        post(sandbox, f"{number('555-0104')}\n{number('555-0100')}\n", campaign_name="a", max_retries="1")
        sandbox.fail_next("http_503", times=2)
        sandbox.advance(days=400)
        post(sandbox, campaign_name="refused")
        post(sandbox, campaign_name="refused")
        post(sandbox, f"{number('555-0104')}\n", campaign_name="b", max_retries="1")
        sandbox.fail_next("http_429")
        sandbox.advance(seconds=1)
        before = (sandbox.campaigns, sandbox.calls, sandbox.journal, sandbox.now)

    with run_sandbox(**settings) as sandbox:
        assert (sandbox.campaigns, sandbox.calls, sandbox.journal) == before[:3]
        assert abs(sandbox.now - before[3]) < timedelta(minutes=1)
        assert post(sandbox).status_code == 429
        sandbox.advance(hours=1)
        assert states(sandbox) == [("completed", 2), ("completed", 1), ("completed", 2)]


def test_the_pin_is_not_in_the_database(tmp_path: Path) -> None:
    with run_sandbox(login=LOGIN, pin=PIN, db=tmp_path / "sandbox.db") as sandbox:
        post_form(sandbox, FORM)
        assert not any(PIN.encode() in path.read_bytes() for path in tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"not a database, and longer than a header of one" * 100, None])
def test_a_database_that_cannot_be_used_is_reported(tmp_path: Path, content: bytes | None) -> None:
    database = tmp_path / "sandbox.db"
    database.write_bytes(content) if content else database.mkdir()

    with pytest.raises(CannotStart, match=r"cannot use .*sandbox\.db.* as its database"), run_sandbox(db=database):
        pass


def test_a_database_in_a_folder_that_does_not_exist_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "sandbox.db"
    with pytest.raises(CannotStart, match="No such file or directory"), run_sandbox(db=path):
        pass


def test_only_its_owner_can_read_a_new_database(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with run_sandbox(db=tmp_path / "sandbox.db") as sandbox:
            post(sandbox)
            modes = {path.name: oct(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()}
    finally:
        os.umask(before)

    assert modes == dict.fromkeys(["sandbox.db", "sandbox.db-wal", "sandbox.db-shm"], "0o600")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_without_a_database_nothing_remains_however_the_process_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with command("sandbox", "--port", "0", "--speed", "0") as (process, printed):
        url = re.findall(r"http://[\d.:]+\d", printed)[0]
        contacts = {"phone_number_list": ("c.csv", b"16175550100\n" * 50_000)}
        form = {"login": DEFAULT_LOGIN, "pin": DEFAULT_PIN, "start_url": START_URL}
        assert 'status="queued"' in requests.post(url + DEFAULT_PATH, data=form, files=contacts, timeout=60).text
        assert requests.get(f"{url}/api/campaigns", timeout=60).json()[0]["contacts"] == 50_000
        process.send_signal(number)
        process.wait(60)

    assert list(tmp_path.iterdir()) == []
