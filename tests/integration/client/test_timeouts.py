"""Every step of a request has an end: connecting as a whole has one limit, the response has another."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_queuecalls.exceptions import NotSent, OutcomeUnknown
from tests.conftest import Connect
from tests.integration.conftest import certificate
from tests.support.fault_server import Exchange, FaultServer, hang, head, raw, relay
from tests.support.outcomes import MIDWAY, QUEUED_XML, assert_outcome, deaf_listener, queue, tcp_server

if TYPE_CHECKING:
    import trustme
    from pytest_mock import MockerFixture

LIMIT = 0.4
#: In which this machine connects, however busy it is.
AMPLE = 3.0
#: A TLS record of 16 KiB, of which the handshake needs the whole.
RECORD = b"\x16\x03\x03\x40\x00" + bytes(16 << 10)


@contextmanager
def one_limit(limit: float = LIMIT) -> Iterator[None]:
    """What happens inside takes one limit, and not one for each step: there are so many that they would take longer than
    the busiest machine stands still."""
    started = time.monotonic()
    yield
    assert limit * 0.9 <= time.monotonic() - started < limit * 150


def drip(connection: socket.socket, over: threading.Event) -> None:
    """Answer a TLS handshake byte by byte, each well within the limit."""
    connection.recv(1)
    for byte in RECORD:
        connection.sendall(bytes([byte]))
        if over.wait(LIMIT / 10):
            return


def assert_not_reached(result: Any) -> None:
    assert_outcome(result, NotSent, None, sent=False)
    assert f"could not be reached within {LIMIT:g} s (connect_timeout)" in str(result)


def test_a_host_that_accepts_no_connection_has_the_connect_timeout(connect: Connect, small_list: Path) -> None:
    with deaf_listener() as url, one_limit():
        connect(url, connect_timeout=LIMIT)
        assert_not_reached(queue(small_list))


def test_all_addresses_of_a_host_share_the_connect_timeout(
    connect: Connect, small_list: Path, mocker: MockerFixture
) -> None:
    with deaf_listener() as url, one_limit():
        (address,) = socket.getaddrinfo("127.0.0.1", int(url.rpartition(":")[2]), type=socket.SOCK_STREAM)
        mocker.patch("socket.getaddrinfo", return_value=[address] * 500)
        connect(url, connect_timeout=LIMIT)
        assert_not_reached(queue(small_list))


def test_the_next_address_is_tried_where_the_first_refuses(
    connect: Connect, small_list: Path, mocker: MockerFixture
) -> None:
    with FaultServer() as nobody:
        pass
    with FaultServer(raw(head(200) + QUEUED_XML)) as server:
        addresses = [
            *socket.getaddrinfo("127.0.0.1", nobody.port, type=socket.SOCK_STREAM),
            *socket.getaddrinfo("127.0.0.1", server.port, type=socket.SOCK_STREAM),
        ]
        mocker.patch("socket.getaddrinfo", return_value=addresses)
        connect("http://127.0.0.1")
        assert_outcome(queue(small_list), None, 200)


def test_a_proxy_that_drips_its_response_to_connect_has_the_connect_timeout(connect: Connect, small_list: Path) -> None:
    with FaultServer(raw(head(200, [("X", "y" * 60_000)]), pause=LIMIT / 10)) as proxy, one_limit():
        connect("https://service.invalid", proxies={"https": proxy.url}, connect_timeout=LIMIT)
        assert_not_reached(queue(small_list))
    assert [request.method for request in proxy.requests] == ["CONNECT"]


@pytest.mark.parametrize("through", ["directly", "an http proxy", "an https proxy"])
def test_a_service_that_drips_its_tls_handshake_has_the_connect_timeout(
    through: str, connect: Connect, small_list: Path, authority: trustme.CA, authority_file: str
) -> None:
    def tunnel_and_drip(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\n\r\n")
        drip(exchange.socket, exchange.server.stopping)

    tls = certificate(authority, "127.0.0.1") if through == "an https proxy" else None
    with tcp_server(drip) as port, FaultServer(tunnel_and_drip, tls=tls) as proxy, one_limit():
        options: dict[str, Any] = {"connect_timeout": LIMIT, "verify": authority_file}
        if through == "directly":
            connect(f"https://127.0.0.1:{port}", **options)
        else:
            connect("https://service.invalid", proxies={"https": proxy.url}, **options)
        assert_not_reached(queue(small_list))


@pytest.mark.parametrize("silent", ["service", "proxy", "https proxy"])
def test_silence_while_connecting_has_the_connect_timeout(silent: str, connect: Connect, small_list: Path) -> None:
    with tcp_server(lambda _, over: over.wait()) as port, one_limit():
        if silent == "service":
            connect(f"https://127.0.0.1:{port}", connect_timeout=LIMIT)
        else:
            proxy = f"{'https' if silent == 'https proxy' else 'http'}://127.0.0.1:{port}"
            connect("https://service.invalid", proxies={"https": proxy}, connect_timeout=LIMIT)
        assert_not_reached(queue(small_list))


def test_the_connect_timeout_ends_once_the_connection_stands(connect: Connect, small_list: Path) -> None:
    def late(exchange: Exchange) -> None:
        exchange.receive()
        exchange.server.stopping.wait(1.2 * AMPLE)
        exchange.respond(200, QUEUED_XML)

    with FaultServer(late) as server, FaultServer(relay(server)) as proxy:
        connect("http://service.invalid", allow_http=True, proxies={"http": proxy.url}, connect_timeout=AMPLE)
        assert_outcome(queue(small_list), None, 200)


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_a_service_that_pauses_midway_has_the_read_timeout_not_the_connect_timeout(
    secure: bool, connect: Connect, large_list: Path, authority: trustme.CA, authority_file: str
) -> None:
    def pause(exchange: Exchange) -> None:
        exchange.receive(MIDWAY)
        exchange.server.stopping.wait(1.2 * AMPLE)
        exchange.receive()
        exchange.respond(200, QUEUED_XML)

    with FaultServer(pause, tls=certificate(authority, "127.0.0.1") if secure else None) as server:
        connect(server.url, verify=authority_file, connect_timeout=AMPLE)
        assert_outcome(queue(large_list), None, 200)


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_a_service_that_hangs_has_the_read_timeout(
    secure: bool, connect: Connect, large_list: Path, authority: trustme.CA, authority_file: str
) -> None:
    # While it takes the whole list, it must not stand still for as long as that.
    for receive, limit, words in (
        (MIDWAY, LIMIT, "the service accepted no data for"),
        (None, 5 * LIMIT, "its response was not complete within"),
    ):
        with FaultServer(hang(receive), tls=certificate(authority, "127.0.0.1") if secure else None) as server:
            connect(server.url, verify=authority_file, read_timeout=limit)
            result = queue(large_list)
        assert_outcome(result, NotSent if receive else OutcomeUnknown, None)
        assert f"{words} {limit:g} s (read_timeout)" in str(result)
