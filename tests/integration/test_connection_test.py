"""The hook test_connection."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook
from airflow_provider_queuecalls.records.sent.stores import MARKER
from tests.conftest import PIN, Connect
from tests.support.fault_server import Act, FaultServer, close, hang, head, raw, respond
from tests.support.moved import AIRFLOW
from tests.support.outcomes import deaf_listener

if TYPE_CHECKING:
    from pytest_mock import MockerFixture


@pytest.mark.parametrize(
    ("act", "good", "words"),
    [
        (respond(200), True, "Only a campaign can show"),
        (respond(405), True, "HTTP 405"),
        (respond(401), False, "refuses login and PIN"),
        (respond(403), False, "refuses login and PIN"),
        (respond(404), False, "host, port, and path"),
        (respond(302, b"", [("Location", "/x")]), False, "host, port, and path"),
        (respond(500), False, "host, port, and path"),
        (close(), False, "without a response"),
        (hang(), False, "not complete within 0.4 s"),
        (raw(head(200, [("X", "y" * 60_000)]), pause=0.02), False, "not complete within 0.4 s"),
    ],
    ids=["200", "405", "401", "403", "404", "302", "500", "closed", "hanging", "dripping"],
)
def test_test_connection_says_what_the_service_did_and_queues_nothing(
    act: Act, good: bool, words: str, connect: Connect, mocker: MockerFixture
) -> None:
    if "0.4 s" in words:
        mocker.patch("airflow_provider_queuecalls.client.client.TEST_SECONDS", 0.4)
    with FaultServer(act) as server:
        connect(server.url)
        ok, message = QueueCallsHook().test_connection()
    assert ok is good
    assert words in message
    assert "Nothing was queued" in message
    assert [request.method for request in server.requests] == ["HEAD"]
    assert PIN not in message


def test_test_connection_without_a_listener_says_so(connect: Connect) -> None:
    with FaultServer() as server:
        pass
    connect(server.url)
    ok, message = QueueCallsHook().test_connection()
    assert not ok
    assert "the connection was refused; check the connection's host and port" in message


@pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 64 + ".invalid"])
def test_test_connection_with_an_unknown_host_says_so(host: str, connect: Connect) -> None:
    connect(f"https://{host}")
    ok, message = QueueCallsHook().test_connection()
    assert not ok
    assert host in message


def test_test_connection_is_bounded_while_it_connects(connect: Connect, mocker: MockerFixture) -> None:
    mocker.patch("airflow_provider_queuecalls.client.client.TEST_SECONDS", 0.4)
    with deaf_listener() as url:
        connect(url)
        ok, message = QueueCallsHook().test_connection()
    assert not ok
    assert "could not be reached within 0.4 s" in message


def test_test_connection_names_what_is_wrong_in_the_connection(connect: Connect) -> None:
    connect("http://service.invalid", wrong=1)
    ok, message = QueueCallsHook().test_connection()
    assert not ok
    assert "allow_http" in message
    assert "Nothing was queued" in message
    assert "queuecalls_default" not in message
    assert "'wrong'" in message


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("{folder}", r"recorded in '{folder}', which \S+ can write to\."),
        ("s3://storage@{bucket}/receipts", r"recorded in 's3://storage@bucket-#+/receipts', which \S+ can write to\."),
        ("{folder}/new", "cannot be recorded in .*records init {folder}/new"),
        ("s3://storage@no-such-bucket-at-all/x", "cannot be recorded in .*does not exist"),
        ("receipts", "'receipts', which is not an absolute path"),
        ("database", r"cannot be recorded in 'database' from \S+: The results database is not known.*to it\.$"),
        ("none", "there is no record of what is sent"),
        ("", r"in the task's own state" if AIRFLOW >= (3, 3) else r"is not set, .* queuecalls records init /data/"),
    ],
)  # fmt: skip
def test_test_connection_says_where_records_are_and_leaves_nothing_there(  # noqa: PLR0917
    where: str, words: str, receipts_folder: Path, bucket: Any, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"folder": receipts_folder, "bucket": bucket.name}
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__RECEIPTS_PATH", where.format(**names))
    with FaultServer(respond(200)) as server:
        connect(server.url)
        good, message = QueueCallsHook().test_connection()
    assert good
    assert re.search(words.format(**names), message), message
    assert [file.name for file in receipts_folder.iterdir()] == [MARKER]
    assert list(bucket.objects.all()) == []
