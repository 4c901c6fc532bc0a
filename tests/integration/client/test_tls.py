"""TLS to the service: what is accepted, and what an error says."""

from __future__ import annotations

import socket
import ssl
import threading
import warnings
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from airflow_provider_queuecalls.exceptions import InvalidConnection, NotSent, Refused
from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook
from tests.conftest import Connect
from tests.integration.conftest import certificate
from tests.support.fault_server import Act, FaultServer, close, hang, reset, respond
from tests.support.outcomes import MIDWAY, QUEUED_XML, assert_outcome, queue, says, tcp_server

if TYPE_CHECKING:
    from pytest_mock import MockerFixture


def test_a_certificate_of_the_connections_own_authority_is_accepted(
    connect: Connect, small_list: Path, authority: trustme.CA, authority_file: str
) -> None:
    with FaultServer(says(QUEUED_XML), tls=certificate(authority, "127.0.0.1")) as server:
        connect(server.url, verify=authority_file)
        assert_outcome(queue(small_list), None, 200)
    assert len(server.posts) == 1


def test_an_authority_from_the_environment_is_accepted(
    connect: Connect, small_list: Path, authority: trustme.CA, authority_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", authority_file)
    with FaultServer(says(QUEUED_XML), tls=certificate(authority, "127.0.0.1")) as server:
        connect(server.url)
        assert_outcome(queue(small_list), None, 200)


NOW = datetime.now(timezone.utc)


FLAWS: dict[str, dict[str, Any]] = {
    "has expired": {"not_after": NOW - timedelta(days=1)},
    "is not valid yet; check the clock": {"not_before": NOW + timedelta(days=1)},
    "is not valid for this host; check the connection's host": {"host": "elsewhere.example"},
    "is signed by an authority that is not known here; set the connection's extra verify": {"authority": trustme.CA()},
}


@pytest.mark.parametrize("words", FLAWS)
def test_a_wrong_certificate_is_not_sent_and_the_error_says_what_is_wrong(
    words: str, connect: Connect, small_list: Path, authority: trustme.CA, authority_file: str
) -> None:
    good: dict[str, Any] = {"authority": authority, "host": "127.0.0.1"}
    with FaultServer(says(QUEUED_XML), tls=certificate(**good | FLAWS[words])) as server:
        connect(server.url, verify=authority_file)
        result = queue(small_list)
    assert_outcome(result, NotSent, None, sent=False)
    assert f"the TLS certificate {words}" in str(result)
    assert server.requests == []


def test_an_unknown_authority_is_not_sent_by_default(connect: Connect, small_list: Path, authority: trustme.CA) -> None:
    with FaultServer(says(QUEUED_XML), tls=certificate(authority, "127.0.0.1")) as server:
        connect(server.url)
        assert_outcome(queue(small_list), NotSent, None, sent=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "service.invalid"])
def test_a_port_that_speaks_http_is_not_sent_and_the_error_says_which_setting_means_http(
    host: str, connect: Connect, small_list: Path
) -> None:
    def speak_http(connection: socket.socket, _: threading.Event) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    def speak_http_after_a_tunnel(connection: socket.socket, over: threading.Event) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        speak_http(connection, over)

    is_here = host == "127.0.0.1"
    with tcp_server(speak_http if is_here else speak_http_after_a_tunnel) as port:
        connect(f"https://{host}:{port}", proxies={"https": f"http://127.0.0.1:{port}"})
        result = queue(small_list)
    assert_outcome(result, NotSent, None, sent=False)
    assert "the service doesn't seem to speak TLS on this port" in str(result)
    assert "set the connection's schema to http" in str(result)
    assert ("allow_http" in str(result)) is not is_here


def test_a_service_with_old_versions_of_tls_only_is_not_sent(
    connect: Connect, small_list: Path, authority: trustme.CA, authority_file: str
) -> None:
    old = certificate(authority, "127.0.0.1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with FaultServer(says(QUEUED_XML), tls=old) as server:
        connect(server.url, verify=authority_file)
        result = queue(small_list)
    assert_outcome(result, NotSent, None, sent=False)
    assert "no version of TLS that is accepted here (TLS 1.2 or later)" in str(result)


def test_authorities_that_cannot_be_read_are_an_invalid_connection(
    connect: Connect, small_list: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (small_list, small_list.with_suffix(".missing")):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(path))
        with FaultServer() as server:
            connect(server.url.replace("http:", "https:"))
            with pytest.raises(InvalidConnection, match=f"{path.name}', which cannot be read as CA certificates here"):
                queue(small_list)


def test_verify_false_takes_any_certificate_and_warns(
    connect: Connect, small_list: Path, authority: trustme.CA, mocker: MockerFixture
) -> None:
    warning = mocker.spy(QueueCallsHook().log, "warning")
    hook = QueueCallsHook()
    hook._log = SimpleNamespace(warning=warning, info=lambda *_: None)
    with FaultServer(says(QUEUED_XML), tls=certificate(authority, "elsewhere.example")) as server:
        connect(server.url, verify=False)
        assert_outcome(queue(small_list, hook), None, 200)
    assert "verify: false" in warning.call_args.args[0]


@pytest.mark.parametrize("code", [401, 413])
def test_an_early_refusal_is_heard_over_tls_too(
    code: int, connect: Connect, large_list: Path, authority: trustme.CA, authority_file: str
) -> None:
    with FaultServer(respond(code, b"no", receive=MIDWAY), tls=certificate(authority, "127.0.0.1")) as server:
        connect(server.url, verify=authority_file)
        assert_outcome(queue(large_list), Refused, code)
    assert server.connections == 1


@pytest.mark.parametrize("act", [reset(MIDWAY), close(MIDWAY), hang(MIDWAY)], ids=["reset", "closed", "hanging"])
def test_a_tls_connection_that_ends_midway_is_not_sent(
    act: Act, connect: Connect, large_list: Path, authority: trustme.CA, authority_file: str
) -> None:
    with FaultServer(act, tls=certificate(authority, "127.0.0.1")) as server:
        connect(server.url, verify=authority_file, read_timeout=0.4)
        assert_outcome(queue(large_list), NotSent, None)
    assert server.connections == 1
