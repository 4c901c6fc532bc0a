"""``queuecalls results``: the receiver as a process of its own, and what is read of its database."""

from __future__ import annotations

import csv
import io
import json
import resource
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import OperationalError

from airflow_provider_queuecalls.cli import main, results
from airflow_provider_queuecalls.cli.results import DATABASE, SECRET, URL
from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook
from airflow_provider_queuecalls.records.call_results import read_result
from airflow_provider_queuecalls.records.database.database import ROW, CampaignRow, Database
from airflow_provider_queuecalls.records.receiver.requests import read_pairs
from airflow_provider_queuecalls.records.receiver.urls import results_url
from airflow_provider_queuecalls.sandbox.server import run_sandbox
from tests.support.command import PROGRAM, Program
from tests.support.receiver import KEY, NAME, NEW, NUMBER, OLD, REFERENCE, RESULT, receiver, stored
from tests.support.sandbox import listening, post

if TYPE_CHECKING:
    from pytest_mock import MockerFixture


@contextmanager
def lost(url: str) -> Iterator[None]:
    """Let nobody connect to a PostgreSQL database, and end what is connected."""
    server, _, name = url.rpartition("/")
    with closing(psycopg2.connect(f"{server}/postgres")) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")
        cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        yield
        cursor.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")


def test_only_a_url_that_one_of_the_secrets_made_is_served_and_the_log_has_no_secret_and_no_number(sqlite: str) -> None:
    with receiver(sqlite) as (process, base):
        right = results_url(f"{base}/any/prefix", KEY, [NEW])
        for url in (right, results_url(base, KEY, [OLD])):
            assert requests.get(url, params={"phone_number": NUMBER}, timeout=30).status_code == 200
            assert requests.head(url, timeout=30).status_code == 200
        assert stored(sqlite) == []
        key, signature = right.split("/")[-2:]
        other = results_url(base, "summer", [NEW]).rpartition("/")[2]
        wrong = [
            "",
            "/",
            "/x/y",
            f"/{key}/{other}",
            f"/{key}",
            f"/{key}/{signature}/",
            f"/{key}/{signature[:-1]}",
            "/é/é",
        ]
        wrong += ["/" + "/".join(results_url(base, KEY, ["a secret of somebody else"]).split("/")[-2:])]
        for path in wrong:
            assert requests.post(base + path, RESULT, timeout=30).status_code == 404, path
        assert requests.put(right, RESULT, timeout=30).status_code == 405
        assert requests.post(right, RESULT, timeout=30).text == "stored\n"
        assert requests.post(right, RESULT, timeout=30).text == "stored before\n"
        assert requests.get(f"{base}/health", timeout=30).status_code == 200
        process.send_signal(signal.SIGTERM)
        errors, (printed, _) = process.logged(), process.communicate()
    assert process.returncode == 0
    assert len(stored(sqlite)) == 1
    assert f"POST 200 campaign {key}: stored before" in errors
    for secret in (NUMBER, REFERENCE, signature, NEW, OLD, "Traceback"):
        assert secret not in printed + errors


@pytest.mark.parametrize(
    ("request_of", "fields"),
    [
        ({"data": RESULT}, RESULT),
        ({"params": RESULT}, RESULT),
        ({"files": {name: (None, value) for name, value in RESULT.items()}}, RESULT),
        ({"data": b"\xff\0garbage", "headers": {"Content-Type": "multipart/form-data"}}, {"\udcff\0garbage": ""}),
        ({"data": b"call_id=%ff&x=\xc3\xa9"}, {"call_id": "\udcff", "x": "é"}),
        ({"json": {"a": 1}}, {'{"a": 1}': ""}),
    ],
)
def test_a_post_in_any_form_is_read_without_loss(request_of: dict[str, Any], fields: dict[str, str]) -> None:
    prepared = requests.Request("POST", "http://host/", **request_of).prepare()
    body = prepared.body.encode() if isinstance(prepared.body, str) else prepared.body or b""
    query = (prepared.url or "").partition("?")[2]
    assert dict(read_pairs(prepared.headers.get("Content-Type") or "", body, query)) == fields


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("message/rfc822", "failed"),
        ("message/delivery-status", "a: b\r\n\r\nc: d"),
        ("multipart/mixed; boundary=y", '--y\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n--y--'),
        ("multipart/form-data; boundary=y", "--y\r\n\r\n1\r\n--y--"),
    ],
)
def test_a_field_is_text_whatever_its_type(kind: str, value: str) -> None:
    field = f'--b\r\nContent-Disposition: form-data; name="result"\r\nContent-Type: {kind}\r\n\r\n{value}\r\n--b--\r\n'
    assert read_pairs("multipart/form-data; boundary=b", field.encode(), "") == [("result", value)]


def test_what_is_not_a_result_is_refused(sqlite: str) -> None:
    with receiver(sqlite) as (_, base):
        target = results_url(base, KEY, [NEW])
        assert requests.post(target, timeout=30).status_code == 400
        assert requests.post(target, data=b"x" * (64 << 10), timeout=30).status_code == 200
        assert requests.post(target, data=b"x" * ((64 << 10) + 1), timeout=30).status_code == 413
        assert requests.post(target, data=iter([b"x" * 40_000] * 2), timeout=30).status_code == 413
    assert len(stored(sqlite)) == 1


def test_a_result_that_is_not_posted_is_not_stored_and_warned_of_once(sqlite: str) -> None:
    with receiver(sqlite) as (process, base):
        target = results_url(base, KEY, [NEW])
        for fields in ({}, {"other": "1"}, RESULT, RESULT):
            assert requests.get(target, params=fields, timeout=30).status_code == 200
        process.send_signal(signal.SIGTERM)
        logged = process.logged()
    assert logged.count(f"A result of campaign {KEY} came with GET and was not stored: results must be posted.") == 1
    assert NUMBER not in logged
    assert stored(sqlite) == []


def test_a_database_that_is_lost_or_full_is_503_until_it_is_back(postgres: Any, sqlite: str, tmp_path: Path) -> None:
    url = postgres.new_database("lost")
    with receiver(url) as (_, base):
        target = results_url(base, KEY, [NEW])
        assert requests.post(target, RESULT, timeout=60).status_code == 200
        with lost(url):
            response = requests.post(target, {**RESULT, "call_id": "8"}, timeout=60)
            assert (response.status_code, response.headers["Retry-After"]) == (503, "30")
            assert requests.get(f"{base}/health", timeout=60).status_code == 503
        assert requests.post(target, {**RESULT, "call_id": "8"}, timeout=60).status_code == 200
    assert len(stored(url)) == 2

    with receiver(sqlite) as (process, base):
        target = results_url(base, KEY, [NEW])
        assert requests.post(target, RESULT, timeout=60).status_code == 200
        size = max(path.stat().st_size for path in tmp_path.glob("results.db*"))
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        assert requests.post(target, {**RESULT, "call_id": "8" * 50_000}, timeout=60).status_code == 503
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert requests.post(target, {**RESULT, "call_id": "8"}, timeout=60).status_code == 200
        process.send_signal(signal.SIGTERM)
        errors = process.logged()
    assert "503 campaign" in errors
    assert NUMBER not in errors
    assert len(stored(sqlite)) == 2


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_sqlite_file_that_is_deleted_or_replaced_is_503_and_logged_once(
    is_replaced: bool, sqlite: str, tmp_path: Path
) -> None:
    file, moved = tmp_path / "results.db", tmp_path / "moved.db"
    with receiver(sqlite) as (process, base):
        target = results_url(base, KEY, [NEW])
        assert requests.post(target, RESULT, timeout=60).status_code == 200
        file.rename(moved)
        if is_replaced:
            shutil.copy(moved, file)
        for call in ("8", "9"):
            assert requests.post(target, {**RESULT, "call_id": call}, timeout=60).status_code == 503
        assert requests.get(f"{base}/health", timeout=60).status_code == 503
        moved.replace(file)
        assert requests.post(target, {**RESULT, "call_id": "8"}, timeout=60).status_code == 200
        process.send_signal(signal.SIGTERM)
        errors = process.logged()
    assert errors.count("was deleted or replaced") == 1


def test_the_sandbox_posts_results_that_are_listed_exported_and_deleted(
    sqlite: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, connect: Any
) -> None:
    for variable, value in ((DATABASE, sqlite), (SECRET, NEW), ("AIRFLOW__LOGGING__LOGGING_LEVEL", "INFO")):
        monkeypatch.setenv(variable, value)
    with receiver(sqlite) as (_, base), run_sandbox(check_urls=True) as sandbox, listening() as script:
        monkeypatch.setenv(URL, base)
        connect(sandbox.url)
        key = QueueCallsHook().key_of(NAME).digest
        with Program(PROGRAM, "results", "url", NAME) as process:
            printed, logged = process.communicate(timeout=60)
        target = printed.removesuffix("\n")
        assert logged  # Airflow says what it thinks of the connection
        rows = f"{NUMBER},{REFERENCE}\n16175550101,order-2\n"
        queued = post(sandbox, rows, campaign_name=NAME, start_url=script.url, result_url=target)
        assert 'status="queued"' in queued.text
        sandbox.advance(hours=1)

    with closing(Database(sqlite)) as database:
        database.put_campaign(CampaignRow(key, NAME, 3, "unknown"))
    assert main(["results", "list"]) == 0
    listed = capsys.readouterr().out
    assert NUMBER not in listed
    name, *lines = listed[listed.index(NAME) :].splitlines()
    shown = dict(line.strip().split(":", 1) for line in lines)
    assert name == NAME
    assert {field: value.strip() for field, value in shown.items() if field != "last"} == {
        "key": key, "outcome": "queued", "contacts": "3", "results": "2", "by result": "completed 1, failed 1",
        "by callee type": "(empty) 1, human 1", "attempts": "2", "missing": "1", "reached share": "33.3%", "unreadable": "0",
    }  # fmt: skip
    output = tmp_path / "export.csv"
    assert main(["results", "export", NAME, "--output", str(output)]) == 0
    assert output.stat().st_mode & 0o777 == 0o600
    calls = {row["phone_number"]: row for row in csv.DictReader(io.StringIO(output.read_text("utf-8")))}
    assert {number: row["result"] for number, row in calls.items()} == {NUMBER: "completed", "16175550101": "failed"}
    assert json.loads(calls[NUMBER]["fields"])["message_reference"] == REFERENCE
    assert main(["results", "export", NAME, "--output", str(output)]) == 2
    assert "File exists" in capsys.readouterr().err

    assert main(["results", "prune", "--older-than", "1d"]) == 0
    assert "Deleted 0 results" in capsys.readouterr().out
    in_two_days = time.time() + 2 * 86_400
    monkeypatch.setattr(results, "time", SimpleNamespace(time=lambda: in_two_days))
    assert main(["results", "prune", "--older-than", "1d"]) == 0
    assert stored(sqlite, key) == []


def test_an_export_has_no_formula_and_keeps_the_fields_as_they_came(
    sqlite: str, capsys: pytest.CaptureFixture[str]
) -> None:
    formula = '=HYPERLINK("http://x")'
    with closing(Database(sqlite)) as database:
        posted = {**RESULT, "phone_number": f"+{NUMBER}", "message_reference": formula}
        database.add(KEY, read_result(list(posted.items())))
    assert main(["results", "export", KEY, "--database", sqlite]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert row["phone_number"] == f"+{NUMBER}"
    assert row["message_reference"] == r"'=HYPERLINK(\x22http://x\x22)"
    assert json.loads(row["fields"])["message_reference"] == formula


def test_an_export_of_an_unknown_campaign_writes_nothing(
    sqlite: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(Database(sqlite)) as database:
        database.put_campaign(CampaignRow(KEY, NAME, 3, "unknown"))
    output = tmp_path / "export.csv"
    export = ["results", "export", "--database", sqlite, "--output", str(output)]
    assert main([*export, "sprnig"]) == 2
    assert "has neither a campaign nor a result with the name or key 'sprnig'" in capsys.readouterr().err
    assert list(tmp_path.glob("*export*")) == []
    assert main([*export, NAME]) == 0, "a campaign without results is known"
    assert len(output.read_text().splitlines()) == 1


def test_an_export_that_fails_midway_leaves_no_file(sqlite: str, tmp_path: Path, mocker: MockerFixture) -> None:
    def rows(*_: object, **__: object) -> Iterator[dict[str, Any]]:
        yield dict.fromkeys(ROW)
        raise OperationalError("SELECT", {}, Exception())

    with closing(Database(sqlite)) as database:
        database.put_campaign(CampaignRow(KEY, NAME, 3, "unknown"))
    mocker.patch.object(Database, "rows", rows)
    folder = tmp_path / "exports"
    folder.mkdir()
    assert main(["results", "export", NAME, "--database", sqlite, "--output", str(folder / "x.csv")]) == 2
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["list"], "--database"),
        (
            ["list", "--database", "postgres_default"],
            "This command needs the URL of the results database, sqlite:///FILE or",
        ),
        (["list", "--database", "sqlite:///{}/typo.db"], "There is no results database"),
        (["serve", "--database", "sqlite:///{}/x.db"], "--secret-file"),
        (
            ["serve", "--database", "sqlite:///{}/x.db", "--secret-file", "{}/short"],
            "The secret in --secret-file has fewer than 16 characters",
        ),
        (["url", NAME, "--secret-file", "{}/missing", "--base", "http://host"], "cannot be read"),
        (["url", NAME, "--secret-file", "{}/long", "--base", f"http://host/{'x' * 200}"], "it has 27"),
        (["url", NAME, "--secret-file", "{}/long", "--base", "http://host/?a=1"], "has a query"),
    ],
)
def test_a_setting_that_is_missing_or_not_valid_is_explained(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], connect: Any
) -> None:
    connect("https://service.example/")
    (tmp_path / "short").write_text("s3cret")
    (tmp_path / "long").write_text(NEW)
    assert main(["results", *(argument.format(tmp_path) for argument in arguments)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert not (tmp_path / "typo.db").exists()
    assert "s3cret" not in error
    assert NEW not in error


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.binary(max_size=200) | st.text(max_size=100).map(str.encode),
    content_type=st.sampled_from(["", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
    | st.text(),
    query=st.text(max_size=50),
)
def test_anything_that_is_posted_can_be_stored(body: bytes, content_type: str, query: str, database: Database) -> None:
    posted = read_result(read_pairs(content_type.encode().decode("latin-1"), body, query))
    name = posted.digest
    database.add(name, posted)
    (row,) = database.rows(name, every_post=True)
    assert json.loads(row["fields"]) == json.loads(posted.fields)
