"""The command ``queuecalls sandbox``."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from airflow_provider_queuecalls import cli
from airflow_provider_queuecalls.client.campaign import Campaign
from airflow_provider_queuecalls.client.connection import DEFAULT_PATH
from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook
from airflow_provider_queuecalls.sandbox.server import Sandbox
from tests.support.command import command, newly_imported
from tests.support.sandbox import CONTACTS, FORM, LOGIN, PIN


def test_the_command_names_the_missing_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "airflow_provider_queuecalls.sandbox.server")
    monkeypatch.setitem(sys.modules, "uvicorn", None)

    assert cli.main(["sandbox"]) == 2
    assert "pip install 'airflow-provider-queuecalls[sandbox]'" in capsys.readouterr().err


def test_importing_the_command_loads_no_heavy_module() -> None:
    heavy = {"airflow", "defusedxml", "fastapi", "pydantic", "requests", "sqlite3", "starlette", "uvicorn"}
    modules = newly_imported("import airflow_provider_queuecalls.cli")
    assert "airflow_provider_queuecalls" in modules
    assert not modules & heavy


def test_the_printed_connection_works(contacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with command("sandbox", "--port", "0", "--login", LOGIN, "--pin", PIN) as (_, printed):
        (line,) = re.findall(r"^export .*$", printed, flags=re.MULTILINE)
        pasted = subprocess.run(["sh", "-c", f"{line}; printenv AIRFLOW_CONN_QUEUECALLS_DEFAULT"], capture_output=True, text=True, check=True)  # fmt: skip
        monkeypatch.setenv("AIRFLOW_CONN_QUEUECALLS_DEFAULT", pasted.stdout)

        response = QueueCallsHook().queue_calls(contacts, Campaign(start_url=FORM["start_url"]))

        assert response.call_id_count == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_stop_it_cleanly(number: signal.Signals, tmp_path: Path) -> None:
    with command("sandbox", "--port", "0", "--db", str(tmp_path / "sandbox.db")) as (process, _):
        process.send_signal(number)

        assert process.logged() == ""
        assert process.returncode == 0


def test_a_port_in_use_is_reported_in_one_sentence(sandbox: Sandbox) -> None:
    with command("sandbox", "--port", str(urlsplit(sandbox.url).port)) as (process, printed):
        errors = process.logged()

    assert process.returncode == 2
    assert printed == ""
    assert "another program already does" in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize(("host", "warned"), [("0.0.0.0", True), ("localhost", False)])
def test_listening_to_other_machines_prints_a_warning(host: str, warned: bool) -> None:
    with command("sandbox", "--port", "0", "--host", host) as (process, _):
        process.send_signal(signal.SIGINT)
        errors = process.logged()

    assert ("Warning: " in errors) is warned


def test_every_option_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = tmp_path / "opened"
    os.mkfifo(opened)
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(browser))
    given = ["--response-format", "json", "--errors", "http", "--no-unique-names", "--max-upload", "0.01"]
    given += [
        "--speed",
        "7",
        "--check-urls",
        "--callback-host",
        "voice.invalid",
        "--seed",
        "3",
        "--db",
        str(tmp_path / "db"),
        "--open",
    ]
    with command("sandbox", "--port", "0", "--login", LOGIN, "--pin", PIN, *given) as (_, printed):
        (url,) = re.findall(r"listens on (\S+)\. ", printed)
        path = url + DEFAULT_PATH
        file = {"phone_number_list": ("c.csv", CONTACTS)}

        refused = requests.post(path, data={**FORM, "start_url": "http://voice.invalid/"}, files=file, timeout=30)
        assert (refused.status_code, refused.json()["error"][0]["field"]) == (422, "start_url")
        assert "does not respond" in refused.json()["error"][0]["message"]
        for _ in range(2):
            queued = requests.post(path, data={**FORM, "start_url": url, "campaign_name": "a"}, files=file, timeout=30)
            assert queued.json()["status"] == "success"
        large = {"phone_number_list": ("c.csv", CONTACTS * 500)}
        assert requests.post(path, data=FORM, files=large, timeout=30).status_code == 413
        assert requests.get(f"{url}/api/clock", timeout=30).json()["speed"] == 7
        assert opened.read_text().strip() == url
    assert (tmp_path / "db").exists()


@pytest.mark.parametrize(("option", "value"), [("--speed", "fast"), ("--speed", "-1"), ("--max-upload", "nan")])
def test_an_invalid_number_is_a_usage_error(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["sandbox", option, value])

    assert f"{value!r} is not a number of 0 or more" in capsys.readouterr().err
