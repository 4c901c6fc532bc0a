"""The sandbox over real HTTP: by the hook, by a plain client, and by bare sockets."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest
import requests

from airflow_provider_queuecalls import cli
from airflow_provider_queuecalls.client.campaign import PARAMETERS, Campaign
from airflow_provider_queuecalls.client.connection import DEFAULT_PATH
from airflow_provider_queuecalls.exceptions import InvalidConnection, Refused
from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook
from airflow_provider_queuecalls.outcome import Outcome
from airflow_provider_queuecalls.sandbox.server import CannotStart, Sandbox, run_sandbox
from tests.support.command import command, python

LOGIN, PIN = "a-sender", "it's-secret"
ENVIRONMENT_VARIABLE = "AIRFLOW_CONN_QUEUECALLS_DEFAULT"
FORM = {"login": LOGIN, "pin": PIN, "start_url": "https://voice.example/start"}
CONTACTS = b"16175550100,order-1,lang=en\n16175550101,order-2\n16175550102\n"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with run_sandbox(login=LOGIN, pin=PIN) as sandbox:
        yield sandbox


@pytest.fixture
def hook(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> QueueCallsHook:
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, sandbox.connection)
    return QueueCallsHook()


@pytest.fixture
def contacts(tmp_path: Path) -> Path:
    path = tmp_path / "contacts.csv"
    path.write_bytes(CONTACTS)
    return path


def post(sandbox: Sandbox, form: dict[str, Any], file: bytes | None = CONTACTS, **options: Any) -> requests.Response:
    """Post a form as any client would. Values may be lists, for repeated fields."""
    files = {"phone_number_list": ("contacts.csv", file)} if file is not None else {"nothing": ("", b"")}
    return requests.post(
        sandbox.url + DEFAULT_PATH, data=form, files=options.pop("files", files), timeout=30, **options
    )


def refused_fields(response: requests.Response) -> list[str | None]:
    """The names of the fields that a refusal complains about."""
    answer = ElementTree.fromstring(response.content)
    assert response.status_code == 200
    assert (answer.tag, answer.get("status")) == ("queuecalls", "failed")
    return [error.get("field") for error in answer.iter("error")]


def get(sandbox: Sandbox, path: str) -> Any:
    return requests.get(sandbox.url + path, timeout=30).json()


# What arrives


def test_what_arrives_is_what_the_hook_was_given(sandbox: Sandbox, hook: QueueCallsHook, contacts: Path) -> None:
    given: dict[str, Any] = {
        "start_url": "https://voice.example/start?a=1&b=2",
        "result_url": "https://voice.example/result",
        "campaign_name": 'Bäckerei <1> & "co"',
        "message_reference": "order\r\n--7\x01",
        "call_parameters": "lang=ja;name=日本",
        "max_retries": 3,
        "retry_interval": 600,
        "scheduled_timestamp": 4_000_000_000,
        "expiration_time": "oct 14th, 2096 11:05PM EST",
    }

    answer = hook.queue_calls(contacts, Campaign(**given))

    (campaign,) = sandbox.campaigns
    calls = sandbox.calls_of(given["campaign_name"])
    assert answer.outcome is Outcome.QUEUED
    assert campaign.name == given["campaign_name"]
    assert campaign.parameters == {name: str(value) for name, value in given.items()}
    assert campaign.file_name == "contacts.csv"
    assert campaign.digest == f"sha256:{hashlib.sha256(CONTACTS).hexdigest()}"
    assert campaign.contacts == 3
    assert [call[2:6] for call in calls] == [
        (1, "16175550100", "order-1", "lang=en"),
        (2, "16175550101", "order-2", None),
        (3, "16175550102", None, None),
    ]
    assert answer.call_ids == tuple(str(call.call_id) for call in calls)


def test_the_answer_has_the_single_calls_shape_and_repeats_the_form_with_its_secrets(sandbox: Sandbox) -> None:
    answer = ElementTree.fromstring(post(sandbox, {**FORM, "message_reference": "a<b&c"}).content)

    assert (answer.tag, answer.get("status")) == ("queuecalls", "queued")
    assert {child.tag: child.text for child in answer if child.tag != "queuecall"} == {
        **FORM,
        "message_reference": "a<b&c",
    }
    call_ids = [call.get("call_id", "") for call in answer.iter("queuecall")]
    assert len(set(call_ids)) == 3
    assert all(re.fullmatch(r"\d{9}", call_id) for call_id in call_ids)


def test_the_hook_gives_none_of_these_secrets_away(hook: QueueCallsHook, contacts: Path) -> None:
    answer = hook.queue_calls(contacts, Campaign(start_url=FORM["start_url"]))

    assert "<pin>***</pin>" in answer.body
    assert not any(secret in answer.body for secret in (LOGIN, PIN, "16175550100"))


def test_campaigns_may_go_without_a_name(sandbox: Sandbox) -> None:
    for _ in range(2):
        assert b'status="queued"' in post(sandbox, FORM).content

    assert [campaign.name for campaign in sandbox.campaigns] == [None, None]


@pytest.mark.parametrize(
    "rows",
    [
        "tel:12223456547\n",
        "tel:+16177123000\n",
        "+1234567890;ani=8001234567\n",
        "16175550100;postd=1234\r\n16175550101\r\n",
        "16175550100",
        "\n16175550100\n\n",
        f"16175550100,{'é' * 64},{'p' * 255}\n",
        "16175550100,,\n",
        "16175550100,two words\u00a0and more,\n",
    ],
)
def test_every_spelling_that_the_vendor_shows_is_taken(sandbox: Sandbox, rows: str) -> None:
    assert b'status="queued"' in post(sandbox, FORM, rows.encode()).content

    (campaign,) = sandbox.campaigns
    assert campaign.contacts == sum(1 for row in rows.splitlines() if row)


def test_every_contact_of_a_long_file_becomes_one_call(sandbox: Sandbox, hook: QueueCallsHook, tmp_path: Path) -> None:
    path = tmp_path / "many.csv"
    path.write_text("".join(f"1617{number:07d},r{number}\n" for number in range(20_000)))

    answer = hook.queue_calls(path, Campaign(start_url=FORM["start_url"], campaign_name="many"))

    calls = sandbox.calls_of("many")
    assert answer.call_id_count == len(calls) == 20_000
    assert (calls[0].message_reference, calls[-1].message_reference) == ("r0", "r19999")
    assert set(sandbox.numbers.values()) == {1}


def test_campaigns_that_come_at_once_keep_their_calls_apart(sandbox: Sandbox) -> None:
    names = [f"campaign {number}" for number in range(8)]
    rows = b"".join(b"1617555%04d\n" % number for number in range(500))
    threads = [threading.Thread(target=post, args=(sandbox, {**FORM, "campaign_name": name}, rows)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    call_ids = [call.call_id for name in names for call in sandbox.calls_of(name)]
    assert len(set(call_ids)) == len(call_ids) == 8 * 500
    assert set(sandbox.numbers.values()) == {8}


# What is refused

WRONG: dict[str, list[str | None]] = {
    "login": [None, "", "another", "x" * 129],
    "pin": [None, "", "another", "x" * 17],
    "campaign_name": ["line\nbreak", "bell\x07"],
    "start_url": [None, "", "voice.example", "ftp://voice.example", "https://u:p@voice.example", f"https://voice.example/{'x' * 255}"],
    "result_url": ["voice.example", "https://voice.example/a b"],
    "message_reference": ["x" * 256, "é" * 128],
    "call_parameters": ["x" * 256, "é" * 128],
    "max_retries": ["11", "-1", "+3", " 3", "three", "1.0"],
    "retry_interval": ["59", "172801", "1h"],
    "scheduled_timestamp": ["tomorrow", "2096-10-14T00:00:00Z", "99"],
    "expiration_timestamp": ["1000000001", "2096-10-14T00:00:00Z"],
    "scheduled_time": ["x" * 81],
    "expiration_time": ["x" * 81],
    "secure": ["2", "true"],
}  # fmt: skip


def test_every_parameter_but_the_file_has_a_wrong_value_below() -> None:
    assert {parameter.name for parameter in PARAMETERS} - set(WRONG) == {"contacts"}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_wrong_value_is_answered_with_its_fields_name_and_queues_nothing(name: str, value: str | None) -> None:
    with run_sandbox(login=LOGIN, pin=PIN, field_names={"secure": "is_pci"}) as sandbox:
        response = post(sandbox, {**FORM, "is_pci" if name == "secure" else name: value})

        assert refused_fields(response) == ["is_pci" if name == "secure" else name]
        assert sandbox.campaigns == []
        assert sandbox.numbers == {}


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (b"", "holds no contact"),
        (b"\n \r\n", "holds no contact"),
        (b"\xef\xbb\xbf16175550100\n", "line 1 starts with a byte-order mark"),
        (b"16175550100,caf\xe9\n", "line 1 is not UTF-8"),
        (b"phone_number,message_reference\n16175550100\n", "line 1 has a phone number that is none"),
        (b"16175550100\n\n,order-1\n", "line 3 has no phone number"),
        (b"16175550100,a,b,c\n", "line 1 has 4 cells"),
        (b'16175550100,"a"\n', "line 1 holds a quote"),
        (b"16175550100\r16175550101\r", "line 1 holds a control character"),
        (b"16175550100\r\r\n", "line 1 holds a control character"),
        (b"16175550100," + b"x" * 129, "line 1 has a message_reference longer than 128"),
        (b"16175550100," + "é".encode() * 65, "line 1 has a message_reference longer than 128"),
        (b"16175550100,," + b"x" * 256, "line 1 has a call_parameter longer than 255"),
        (b"16175550100\n" + b"1" * 300_000, "line 2 is longer than any row can be"),
        (b"x\n" * 12, "line 10 has a phone number that is none, 2 more"),
        ("\uff11617555010\uff10\n".encode(), "line 1 has a phone number that is none"),
    ],
)
def test_one_wrong_row_and_nobody_of_the_file_is_called(sandbox: Sandbox, rows: bytes, problem: str) -> None:
    response = post(sandbox, {**FORM, "campaign_name": "rows"}, rows)

    assert refused_fields(response) == ["phone_number_list"]
    assert problem in response.text
    assert (sandbox.campaigns, sandbox.numbers) == ([], {})


def test_wrong_fields_and_wrong_rows_are_said_together(sandbox: Sandbox) -> None:
    response = post(sandbox, {**FORM, "max_retries": "11", "retry_interval": "1"}, b"nobody\n")

    assert refused_fields(response) == ["max_retries", "retry_interval", "phone_number_list"]


@pytest.mark.parametrize(
    ("form", "fields"),
    [
        ({"campaing_name": "a typo"}, ["campaing_name"]),
        ({"contacts": "our own name for the file"}, ["contacts"]),
        ({"secure": "1"}, ["secure"]),
        ({"max_retries": ["1", "2"]}, ["max_retries"]),
        ({"scheduled_timestamp": "4000000000", "scheduled_time": "now"}, ["scheduled_timestamp"]),
        ({"scheduled_timestamp": "4000000000", "expiration_timestamp": "4000000000"}, ["expiration_timestamp"]),
    ],
)
def test_what_has_no_place_in_the_form_is_refused(sandbox: Sandbox, form: dict[str, Any], fields: list[str]) -> None:
    assert refused_fields(post(sandbox, {**FORM, **form})) == fields
    assert sandbox.campaigns == []


@pytest.mark.parametrize(
    ("files", "fields"),
    [
        ({"max_retries": (None, "1")}, ["phone_number_list"]),
        ({"phone_number_list": (None, "16175550100\n")}, ["phone_number_list"]),
        ([("phone_number_list", ("a.csv", CONTACTS)), ("phone_number_list", ("b.csv", CONTACTS))], ["phone_number_list"]),
        ([("phone_number_list", ("a.csv", CONTACTS)), ("result_url", ("b.csv", CONTACTS))], ["result_url"]),
    ],
)  # fmt: skip
def test_there_is_one_file_and_it_is_the_contact_file(sandbox: Sandbox, files: Any, fields: list[str]) -> None:
    assert refused_fields(post(sandbox, FORM, files=files)) == fields
    assert sandbox.campaigns == []


def test_a_campaigns_name_is_taken_once(sandbox: Sandbox, hook: QueueCallsHook, contacts: Path) -> None:
    campaign = Campaign(start_url=FORM["start_url"], campaign_name="once")
    hook.queue_calls(contacts, campaign)

    with pytest.raises(Refused, match=r'field="campaign_name".*taken'):
        hook.queue_calls(contacts, campaign)

    assert len(sandbox.campaigns) == 1
    assert set(sandbox.numbers.values()) == {1}


def test_what_a_client_must_not_read_into_xml_cannot_break_the_answer(sandbox: Sandbox) -> None:
    response = post(sandbox, {**FORM, "<x>\x02": "1", "message_reference": "\x00]]>"})

    assert refused_fields(response) == ["<x>\ufffd"]


def test_only_multipart_is_a_form(sandbox: Sandbox) -> None:
    response = requests.post(sandbox.url + DEFAULT_PATH, data=FORM, timeout=30)

    assert response.status_code == 415


@pytest.mark.parametrize("cut", [1, 2, 40, 150])
def test_an_upload_that_is_cut_off_queues_nothing(sandbox: Sandbox, cut: int) -> None:
    request = requests.Request(
        "POST", sandbox.url + DEFAULT_PATH, data={**FORM, "campaign_name": "cut"}, files={"phone_number_list": ("c.csv", CONTACTS)}
    ).prepare()  # fmt: skip
    assert isinstance(request.body, bytes)
    head = f"POST {request.path_url} HTTP/1.1\r\nHost: x\r\n" + "".join(
        f"{k}: {v}\r\n" for k, v in request.headers.items()
    )
    address = urlsplit(sandbox.url)
    with socket.create_connection((address.hostname, address.port), timeout=30) as client:
        client.sendall(head.encode() + b"\r\n" + request.body[:-cut])
        client.shutdown(socket.SHUT_WR)
        assert b'status="queued"' not in client.recv(65_536)

    # The name is free, so it can be sent again.
    assert b'status="queued"' in post(sandbox, {**FORM, "campaign_name": "cut"}).content
    assert len(sandbox.campaigns) == 1


def test_an_empty_optional_field_is_as_good_as_none(sandbox: Sandbox) -> None:
    assert b'status="queued"' in post(sandbox, {**FORM, "campaign_name": "", "max_retries": "", "secure": []}).content

    (campaign,) = sandbox.campaigns
    assert campaign.name is None


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the process's memory from /proc")
def test_an_upload_is_not_held_in_memory(tmp_path: Path) -> None:
    def peak(process: subprocess.Popen[str]) -> int:
        (kilobytes,) = re.findall(r"VmHWM:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())
        return int(kilobytes) << 10

    with command("sandbox", "--port", "0") as (process, printed):
        url = re.findall(r"http://[\d.:]+\d", printed)[0] + DEFAULT_PATH
        requests.head(url, timeout=30)
        before = peak(process)
        answer = requests.post(url, files={"phone_number_list": ("c.csv", b"1" * (64 << 20))}, timeout=60)

        assert "phone_number_list" in refused_fields(answer)
        assert peak(process) - before < 24 << 20


# Credentials


@pytest.mark.parametrize(
    "header", ["Basic " + base64.b64encode(b"a-sender:another").decode(), "Basic é", "Bearer x", "Basic"]
)
def test_wrong_basic_is_unauthorized(sandbox: Sandbox, header: str) -> None:
    response = post(sandbox, FORM, headers={"Authorization": header.encode("latin-1")})

    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Basic")
    assert sandbox.campaigns == []


def test_basic_does_not_stand_in_for_the_forms_pin(sandbox: Sandbox) -> None:
    response = post(sandbox, {**FORM, "pin": "another"}, auth=(LOGIN, PIN))

    assert refused_fields(response) == ["pin"]


def test_a_wrong_pin_in_the_connection_is_refused(
    sandbox: Sandbox, contacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {**json.loads(sandbox.connection), "extra": {"pin": "another"}}
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, json.dumps(connection))

    with pytest.raises(Refused, match='field="pin"'):
        QueueCallsHook().queue_calls(contacts, Campaign(start_url=FORM["start_url"]))


def test_login_and_pin_may_be_any_text(contacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with run_sandbox(login="Zoë Łętowska", pin="密&<'\"> :") as sandbox:
        monkeypatch.setenv(ENVIRONMENT_VARIABLE, sandbox.connection)
        hook = QueueCallsHook()

        assert hook.test_connection()[0]
        assert hook.queue_calls(contacts, Campaign(start_url=FORM["start_url"])).outcome is Outcome.QUEUED


def test_testing_the_connection_queues_nothing(sandbox: Sandbox, hook: QueueCallsHook) -> None:
    works, message = hook.test_connection()

    assert works, message
    assert sandbox.campaigns == []


@pytest.mark.parametrize(("auth", "code"), [(None, 200), ((LOGIN, PIN), 200), ((LOGIN, "another"), 401)])
def test_a_connections_test_is_judged_by_its_basic(sandbox: Sandbox, auth: tuple[str, str] | None, code: int) -> None:
    assert requests.head(sandbox.url + DEFAULT_PATH, auth=auth, timeout=30).status_code == code


def test_fields_may_have_other_names(contacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with run_sandbox(field_names={"max_retries": "max_retry", "secure": "is_pci"}) as sandbox:
        monkeypatch.setenv(ENVIRONMENT_VARIABLE, sandbox.connection)
        QueueCallsHook().queue_calls(contacts, Campaign(start_url=FORM["start_url"], max_retries=0, secure=True))

        (campaign,) = sandbox.campaigns
        assert campaign.parameters == {"start_url": FORM["start_url"], "max_retries": "0", "secure": "1"}


# What it holds


def test_the_state_survives_a_restart(tmp_path: Path) -> None:
    database = tmp_path / "sandbox.db"
    with run_sandbox(login=LOGIN, pin=PIN, db=database, speed=0) as sandbox:
        post(sandbox, {**FORM, "campaign_name": "kept"})
        before = (sandbox.campaigns, sandbox.calls_of("kept"), sandbox.numbers)

    with run_sandbox(login=LOGIN, pin=PIN, db=database, speed=0) as sandbox:
        assert (sandbox.campaigns, sandbox.calls_of("kept"), sandbox.numbers) == before
        assert refused_fields(post(sandbox, {**FORM, "campaign_name": "kept"})) == ["campaign_name"]
        post(sandbox, {**FORM, "campaign_name": "new"})
        assert {call.call_id for call in sandbox.calls_of("new")}.isdisjoint(call.call_id for call in before[1])


def test_without_a_database_it_starts_empty_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with run_sandbox(login=LOGIN, pin=PIN) as sandbox:
        post(sandbox, FORM)
        assert sandbox.campaigns
        assert list(tmp_path.iterdir())

    assert list(tmp_path.iterdir()) == []


def test_the_pin_is_not_in_the_database(tmp_path: Path) -> None:
    with run_sandbox(login=LOGIN, pin=PIN, db=tmp_path / "sandbox.db") as sandbox:
        post(sandbox, FORM)
        assert not any(PIN.encode() in path.read_bytes() for path in tmp_path.iterdir())


def test_asking_for_calls_of_a_campaign_that_is_not_there_is_an_error(sandbox: Sandbox) -> None:
    with pytest.raises(KeyError, match="no campaign 'never'"):
        sandbox.calls_of("never")


# Starting it


def test_an_account_that_no_connection_can_carry_does_not_start() -> None:
    with pytest.raises(InvalidConnection, match="colon"), run_sandbox(login="a:b"):
        pass


@pytest.mark.parametrize("content", [b"not a database, and longer than a header of one" * 100, None])
def test_a_database_that_cannot_be_used_is_said(tmp_path: Path, content: bytes | None) -> None:
    database = tmp_path / "sandbox.db"
    database.write_bytes(content) if content else database.mkdir()

    with pytest.raises(CannotStart, match=r"cannot use .*sandbox\.db.* as its database"), run_sandbox(db=database):
        pass


def test_the_command_needs_the_extra_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "airflow_provider_queuecalls.sandbox.server")
    monkeypatch.setitem(sys.modules, "uvicorn", None)

    assert cli.main(["sandbox"]) == 2
    assert "pip install 'airflow-provider-queuecalls[sandbox]'" in capsys.readouterr().err


def test_importing_the_command_costs_next_to_nothing() -> None:
    heavy = {"airflow", "requests", "sqlite3", "starlette", "uvicorn", "defusedxml"}
    process = python("import sys, airflow_provider_queuecalls.cli; print(*sys.modules)")

    modules = {module.partition(".")[0] for module in process.communicate(timeout=60)[0].split()}
    assert "airflow_provider_queuecalls" in modules
    assert not modules & heavy


def test_the_line_it_prints_is_a_connection_that_works(contacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with command("sandbox", "--port", "0", "--login", LOGIN, "--pin", PIN) as (_, printed):
        (line,) = re.findall(r"^export .*$", printed, flags=re.MULTILINE)
        pasted = subprocess.run(["sh", "-c", f"{line}; printenv {ENVIRONMENT_VARIABLE}"], capture_output=True, text=True, check=True)  # fmt: skip
        monkeypatch.setenv(ENVIRONMENT_VARIABLE, pasted.stdout)

        answer = QueueCallsHook().queue_calls(contacts, Campaign(start_url=FORM["start_url"]))

        assert answer.call_id_count == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_end_it_cleanly(number: signal.Signals, tmp_path: Path) -> None:
    with command("sandbox", "--port", "0", "--db", str(tmp_path / "sandbox.db")) as (process, _):
        process.send_signal(number)

        _, said = process.communicate(timeout=60)
        assert process.returncode == 0
        assert said == ""


def test_a_port_in_use_is_said_in_one_sentence(sandbox: Sandbox) -> None:
    with command("sandbox", "--port", str(urlsplit(sandbox.url).port)) as (process, printed):
        _, said = process.communicate(timeout=60)

    assert process.returncode == 2
    assert printed == ""
    assert "another program does already" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(("host", "warned"), [("0.0.0.0", True), ("127.0.0.1", False), ("localhost", False)])
def test_listening_to_other_machines_is_warned_of(host: str, warned: bool) -> None:
    with command("sandbox", "--port", "0", "--host", host) as (process, _):
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)

    assert ("Warning: " in said) is warned


def test_every_option_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(browser))
    given = ["--answers", "json", "--errors", "http", "--no-unique-names", "--max-upload", "0.01", "--speed", "7"]
    given += ["--check-urls", "--callback-host", "voice.invalid", "--seed", "3", "--db", str(tmp_path / "db"), "--open"]
    with command("sandbox", "--port", "0", "--login", LOGIN, "--pin", PIN, *given) as (_, printed):
        (url,) = re.findall(r"listens on (\S+),", printed)
        path = url + DEFAULT_PATH
        file = {"phone_number_list": ("c.csv", CONTACTS)}

        refused = requests.post(path, data={**FORM, "start_url": "http://voice.invalid/"}, files=file, timeout=30)
        assert (refused.status_code, refused.json()["error"][0]["field"]) == (422, "start_url")
        assert "does not answer" in refused.json()["error"][0]["message"]
        for _ in range(2):
            queued = requests.post(path, data={**FORM, "start_url": url, "campaign_name": "a"}, files=file, timeout=30)
            assert queued.json()["status"] == "success"
        large = {"phone_number_list": ("c.csv", CONTACTS * 500)}
        assert requests.post(path, data=FORM, files=large, timeout=30).status_code == 413
        assert requests.get(f"{url}/api/clock", timeout=30).json()["speed"] == 7
        while not opened.exists() or not opened.read_text():
            pass
        assert opened.read_text().strip() == url
    assert (tmp_path / "db").exists()


@pytest.mark.parametrize(("option", "value"), [("--speed", "fast"), ("--speed", "-1"), ("--max-upload", "nan")])
def test_an_option_that_takes_a_number_says_so(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["sandbox", option, value])

    assert f"{value!r} is not a number from 0 on" in capsys.readouterr().err
