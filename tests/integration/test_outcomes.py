"""The outcome table of the wire contract, row by row, over real sockets.

Whatever happens on the wire, exactly one outcome comes of it, no request is repeated, and there is an end to it.
"""

from __future__ import annotations

import base64
import gzip
import io
import itertools
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from airflow_provider_queuecalls import progress as progress_module
from airflow_provider_queuecalls.client.campaign import PARAMETERS, Campaign
from airflow_provider_queuecalls.client.multipart import Upload
from airflow_provider_queuecalls.client.response import NOT_ACCEPTED_CODES, REFUSED_CODES, Response
from airflow_provider_queuecalls.exceptions import (
    NotAccepted,
    NotSent,
    OutcomeUnknown,
    QueueCallsError,
    Refused,
    WireError,
)
from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook
from airflow_provider_queuecalls.outcome import Outcome
from tests.conftest import LOGIN, PIN, Connect
from tests.integration.conftest import LARGE_BYTES, certificate, write_rows
from tests.support.fault_server import (
    Act,
    Exchange,
    FaultServer,
    answer,
    answer_early,
    close,
    hang,
    head,
    raw,
    relay,
    reset,
)

if TYPE_CHECKING:
    from pytest_mock import MockerFixture

CAMPAIGN = Campaign(start_url="https://ivr.example/start.vxml", campaign_name="spring")
MIDWAY = 1 << 20
LONG = 300 << 20
QUEUED_XML = b'<?xml version="1.0"?><queuecall status="queued" call_id="123456789"><login>x</login></queuecall>'
QUEUED_JSON = b'{"status":"success","error":null,"result":{"call_ids":[1,2,3]}}'
BILLION_LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol">'
    + b"".join(
        b'<!ENTITY lol%d "%s">' % (i, b"&lol%s;" % (str(i - 1).encode() if i > 1 else b"") * 10) for i in range(1, 10)
    )
    + b']><queuecall status="queued">&lol9;</queuecall>'
)
EXTERNAL_ENTITY = (
    b'<?xml version="1.0"?><!DOCTYPE q [<!ENTITY e SYSTEM "file:///etc/hostname">]>'
    b'<queuecall status="queued" call_id="1">&e;</queuecall>'
)


@dataclass(frozen=True)
class Case:
    """What the service does, and what has to come of it. Without an error the campaign is queued."""

    act: Act
    error: type[WireError] | None
    status_code: int | None = 200
    large: bool = False
    extra: dict[str, Any] = field(default_factory=dict)


def chunks_of(data: bytes, times: int) -> Iterator[bytes]:
    return itertools.repeat(data, times)


def half_in_chunks(exchange: Exchange) -> None:
    exchange.receive()
    exchange.answer(200, iter([QUEUED_XML[:40]]), length=0)


def dripping_body(code: int) -> Act:
    def act(exchange: Exchange) -> None:
        exchange.receive()
        exchange.send(head(code, [("Content-Length", "100000")]))
        exchange.send(b" " * 100_000, pause=0.02)

    return act


def says(body: bytes, *headers: tuple[str, str]) -> Act:
    return answer(200, body, headers)


SHORT = {"read_timeout": 1.0}
CASES: dict[str, Case] = {
    # No answer, or half of one
    "reset_after_the_request": Case(reset(), OutcomeUnknown, None),
    "reset_midway": Case(reset(MIDWAY), OutcomeUnknown, None, large=True),
    "closed_after_the_request": Case(close(), OutcomeUnknown, None),
    "closed_midway": Case(close(MIDWAY), OutcomeUnknown, None, large=True),
    "hanging_after_the_request": Case(hang(), OutcomeUnknown, None, extra=SHORT),
    "hanging_midway": Case(hang(MIDWAY), OutcomeUnknown, None, large=True, extra=SHORT),
    "half_an_answer": Case(answer(200, QUEUED_XML[:40], length=len(QUEUED_XML)), OutcomeUnknown),
    "a_whole_element_of_a_longer_answer": Case(answer(200, QUEUED_XML, length=len(QUEUED_XML) + 9), OutcomeUnknown),
    "half_an_answer_in_chunks": Case(half_in_chunks, OutcomeUnknown),
    "half_an_answer_of_no_stated_length": Case(raw(head(200) + QUEUED_XML[:40]), OutcomeUnknown),
    "half_a_head": Case(raw(head(200)[:-4]), OutcomeUnknown),
    "dripping_headers": Case(raw(head(200, [("X", "y" * 60_000)]), pause=0.02), OutcomeUnknown, None, extra=SHORT),
    "a_dripping_body": Case(dripping_body(200), OutcomeUnknown, extra=SHORT),
    "something_else_than_http": Case(raw(b"220 mail.example ESMTP\r\n"), OutcomeUnknown, None),
    "an_answer_without_a_head": Case(raw(QUEUED_XML), OutcomeUnknown, None),
    # Codes
    **{f"http_{code}": Case(answer(code, b"no"), Refused, code) for code in sorted(REFUSED_CODES)},
    **{
        f"http_{code}": Case(answer(code, b"moved", [("Location", "/elsewhere")]), Refused, code)
        for code in (300, 301, 302, 303, 304, 305, 307, 308)
    },
    **{f"http_{code}": Case(answer(code, b"wait"), NotAccepted, code) for code in sorted(NOT_ACCEPTED_CODES)},
    **{f"http_{code}": Case(answer(code, QUEUED_XML), OutcomeUnknown, code) for code in (500, 501, 502, 503, 504, 599)},
    **{f"http_{code}": Case(answer(code, QUEUED_XML), OutcomeUnknown, code) for code in (402, 406, 410, 418, 600)},
    "http_103_as_the_answer": Case(answer(103), OutcomeUnknown, 103),
    "a_continue_before_the_answer": Case(raw(head(100) + head(200) + QUEUED_XML), None),
    "http_503_with_retry_after": Case(answer(503, b"", [("Retry-After", "0")]), OutcomeUnknown, 503),
    "http_401_with_a_dripping_body": Case(dripping_body(401), Refused, 401, extra=SHORT),
    # Early answers: the body isn't read
    "http_401_early_then_closed": Case(answer(401, b"no", receive=0), Refused, 401, large=True),
    "http_413_early_then_closed": Case(answer(413, b"too large", receive=0), Refused, 413, large=True),
    "http_401_early_then_drained": Case(answer_early(401, b"no"), Refused, 401, large=True),
    "http_413_early_then_drained": Case(answer_early(413, b"too large"), Refused, 413, large=True),
    "http_413_midway_then_closed": Case(answer(413, b"too large", receive=MIDWAY), Refused, 413, large=True),
    "queued_before_the_body_was_complete": Case(answer(200, QUEUED_XML, receive=MIDWAY), OutcomeUnknown, large=True),
    "failed_before_the_body_was_complete": Case(
        answer(200, b'<queuecall status="failed"/>', receive=MIDWAY), Refused, large=True
    ),
    # What a 2xx says
    "xml_queued": Case(says(QUEUED_XML), None),
    "xml_queued_as_201": Case(answer(201, QUEUED_XML), None, 201),
    "xml_queued_in_capitals": Case(says(b'<QUEUECALL STATUS="QUEUED"/>'), None),
    "xml_queued_in_an_element": Case(says(b"<r><status>queued</status></r>"), None),
    "xml_queued_labelled_json": Case(says(QUEUED_XML, ("Content-Type", "application/json")), None),
    "xml_queued_labelled_html": Case(says(QUEUED_XML, ("Content-Type", "text/html")), None),
    "xml_queued_gzipped": Case(says(gzip.compress(QUEUED_XML), ("Content-Encoding", "gzip")), None),
    "json_success": Case(says(QUEUED_JSON), None),
    "json_success_labelled_xml": Case(says(QUEUED_JSON, ("Content-Type", "text/xml")), None),
    "json_success_with_a_null_error": Case(says(b'{"status":"success","error":null}'), None),
    "json_success_gzipped": Case(says(gzip.compress(QUEUED_JSON), ("Content-Encoding", "gzip")), None),
    "json_success_in_chunks": Case(lambda x: (x.receive(), x.answer(200, iter([QUEUED_JSON]))), None),
    "xml_failed": Case(says(b'<queuecall status="failed"><error>no</error></queuecall>'), Refused),
    "xml_error_without_a_status": Case(says(b"<result><error>bad pin</error></result>"), Refused),
    "json_failed": Case(says(b'{"status":"failed"}'), Refused),
    "json_failure": Case(says(b'{"status":"failure","error":"bad pin"}'), Refused),
    "json_error_member": Case(says(b'{"error":"bad pin"}'), Refused),
    "empty": Case(says(b""), OutcomeUnknown),
    "no_content": Case(answer(204), OutcomeUnknown, 204),
    "blank": Case(says(b" \r\n "), OutcomeUnknown),
    "plain_text": Case(says(b"queued"), OutcomeUnknown),
    "html": Case(says(b"<!DOCTYPE html><html><body>queued<br></body></html>"), OutcomeUnknown),
    "html_that_is_xml": Case(says(b"<html><body>queued</body></html>"), OutcomeUnknown),
    "json_without_a_status": Case(says(b'{"call_id": 1}'), OutcomeUnknown),
    "json_with_an_unknown_status": Case(says(b'{"status":"pending"}'), OutcomeUnknown),
    "json_that_contradicts_itself": Case(says(b'{"status":"success","error":"but"}'), OutcomeUnknown),
    "json_failed_with_call_ids": Case(says(b'{"status":"failed","call_ids":[1,2]}'), OutcomeUnknown),
    "json_cut_short": Case(says(QUEUED_JSON[:-1]), OutcomeUnknown),
    "json_nested_deeply": Case(says(b'{"status":"success","x":' + b"[" * 200_000), OutcomeUnknown),
    "xml_cut_short": Case(says(QUEUED_XML[:-1]), OutcomeUnknown),
    "xml_with_something_behind_it": Case(says(QUEUED_XML + b"Fatal error in line 1"), OutcomeUnknown),
    "xml_bomb": Case(says(BILLION_LAUGHS), OutcomeUnknown),
    "xml_with_an_external_entity": Case(says(EXTERNAL_ENTITY), OutcomeUnknown),
    "not_really_gzip": Case(says(QUEUED_XML, ("Content-Encoding", "gzip")), OutcomeUnknown),
    "an_unreadable_retry_after": Case(
        answer(429, b"", [("Retry-After", "Mon, 01 Jan 2035 00:00:00 +99999999999999999999")]), NotAccepted, 429
    ),
    "a_malformed_header": Case(
        raw(head(200)[:-2] + b"no colon here\r\nX: y\r\n\r\n" + QUEUED_XML), None
    ),
}  # fmt: skip


def queue(
    path: Path | Upload, hook: QueueCallsHook | None = None, campaign: Campaign = CAMPAIGN
) -> Response | WireError:
    """Queue a campaign; the answer, or the error that says what became of it."""
    try:
        return (hook or QueueCallsHook()).queue_calls(path, campaign)
    except WireError as error:
        return error


def assert_outcome(
    result: Response | WireError, error: type[WireError] | None, status_code: int | None, sent: bool = True
) -> None:
    """The class, and all that a caller can ask of it."""
    if error is None:
        assert isinstance(result, Response), result
        assert result.outcome is Outcome.QUEUED
    else:
        assert type(result) is error, result
        assert result.sent is sent
    assert result.status_code == status_code
    assert result.campaign_name == "spring"


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_what_the_service_does_decides_the_outcome(
    case: Case, connect: Connect, small_list: Path, large_list: Path
) -> None:
    with FaultServer(case.act) as server:
        connect(server.url, **case.extra)
        result = queue(large_list if case.large else small_list)
        server.settle()
    assert_outcome(result, case.error, case.status_code)
    assert (server.connections, len(server.posts)) == (1, 1)


def test_the_table_covers_every_code_of_the_contract() -> None:
    assert {400, 401, 403, 404, 405, 409, 411, 413, 414, 415, 422} == REFUSED_CODES
    assert {408, 425, 429} == NOT_ACCEPTED_CODES


# Redirects


def test_another_host_that_a_redirect_names_receives_nothing(connect: Connect, small_list: Path) -> None:
    with FaultServer(answer(200, QUEUED_XML)) as other:
        for code in (301, 302, 303, 307, 308):
            with FaultServer(answer(code, b"", [("Location", f"{other.url}/x")])) as server:
                connect(server.url)
                assert_outcome(queue(small_list), Refused, code)
        other.settle()
    assert other.connections == 0


def test_a_redirects_endless_body_is_not_read(connect: Connect, small_list: Path) -> None:
    with FaultServer(answer(302, chunks_of(bytes(1 << 20), 300), [("Location", "/x")])) as server:
        connect(server.url)
        with bounded_memory(32):
            assert_outcome(queue(small_list), Refused, 302)
        server.settle()
    assert server.posts[0].answered < LONG // 10


# Not now


@pytest.mark.parametrize("code", sorted(NOT_ACCEPTED_CODES))
def test_retry_after_in_seconds_is_passed_on(code: int, connect: Connect, small_list: Path) -> None:
    with FaultServer(answer(code, b"", [("Retry-After", "120")])) as server:
        connect(server.url)
        result = queue(small_list)
    assert isinstance(result, NotAccepted)
    assert result.retry_after == 120


def test_retry_after_as_a_date_is_passed_on_in_seconds(connect: Connect, small_list: Path) -> None:
    date = format_datetime(datetime.now(timezone.utc) + timedelta(hours=1), usegmt=True)
    with FaultServer(answer(429, b"", [("Retry-After", date)])) as server:
        connect(server.url)
        result = queue(small_list)
    assert isinstance(result, NotAccepted)
    assert result.retry_after == pytest.approx(3600, abs=90)


# Long answers


@contextmanager
def bounded_memory(mebibytes: int) -> Iterator[None]:
    """Fail if this process (with the server in it) grows by more, at its highest. Linux only."""
    reset_peak = Path("/proc/self/clear_refs")
    if not os.access(reset_peak, os.W_OK):
        pytest.skip("the highest use of memory can be measured on Linux only")
    reset_peak.write_text("5")
    before = peak()
    yield
    assert peak() - before <= mebibytes << 10, "too much memory"


def peak() -> int:
    """The highest use of memory in KiB."""
    return int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0])


@pytest.mark.parametrize("start", [b'<q status="queued">', b'{"status":"success","x":"', b"", b"<html>"])
def test_an_endless_answer_to_a_short_list_is_unknown_and_not_read(
    start: bytes, connect: Connect, small_list: Path
) -> None:
    with FaultServer(answer(200, itertools.chain([start], chunks_of(b" " * (1 << 20), 300)))) as server:
        connect(server.url)
        with bounded_memory(32):
            result = queue(small_list)
        server.settle()
    assert_outcome(result, OutcomeUnknown, 200)
    assert server.posts[0].answered < LONG // 10


def test_a_zip_bomb_is_unknown_and_not_inflated(connect: Connect, small_list: Path) -> None:
    bomb = gzip.compress(b'<q status="queued">' + b" " * LONG, compresslevel=1)
    with FaultServer(says(bomb, ("Content-Encoding", "gzip"))) as server:
        connect(server.url)
        with bounded_memory(64):
            result = queue(small_list)
    assert_outcome(result, OutcomeUnknown, 200)


def million_ids_as_xml() -> Iterator[bytes]:
    yield b'<queuecalls status="queued">'
    for start in range(1, 1_000_001, 10_000):
        yield b"".join(b'<call call_id="%d" phone_number="12025550143"/>' % i for i in range(start, start + 10_000))
    yield b"</queuecalls>"


def million_ids_as_json() -> Iterator[bytes]:
    yield b'{"status":"success","call_ids":[1'
    for start in range(2, 1_000_002, 10_000):
        yield b"".join(b",%d" % i for i in range(start, min(start + 10_000, 1_000_001)))
    yield b"]}"


@pytest.mark.parametrize(
    ("ids", "mebibytes"), [(million_ids_as_xml, 48), (million_ids_as_json, 256)], ids=["xml", "json"]
)
def test_a_million_call_ids_are_counted_within_bounded_memory(
    ids: Callable[[], Iterator[bytes]], mebibytes: int, connect: Connect, tmp_path: Path
) -> None:
    contacts = write_rows(tmp_path / "million.csv", 1_000_000)
    with FaultServer(answer(200, ids())) as server:
        connect(server.url)
        with bounded_memory(mebibytes):
            result = queue(contacts)
        server.settle()
    assert_outcome(result, None, 200)
    assert isinstance(result, Response)
    assert result.call_id_count == 1_000_000
    assert len(result.call_ids) == 1_000
    assert len(server.posts) == 1


# No connection


def test_a_refused_connection_is_not_sent(connect: Connect, small_list: Path) -> None:
    with FaultServer() as server:
        pass
    connect(server.url)
    result = queue(small_list)
    assert_outcome(result, NotSent, None, sent=False)
    assert "refused" in str(result)


@pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 64 + ".invalid"])
def test_an_unknown_host_is_not_sent(host: str, connect: Connect, small_list: Path) -> None:
    connect(f"https://{host}")
    assert_outcome(queue(small_list), NotSent, None, sent=False)


@contextmanager
def deaf_listener() -> Iterator[str]:
    """A port that takes no connection: its backlog is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(16):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        time.sleep(0.05)
        yield "http://{}:{}".format(*listener.getsockname())


def test_a_connection_that_takes_too_long_is_not_sent(connect: Connect, small_list: Path) -> None:
    with deaf_listener() as url:
        connect(url, connect_timeout=0.4)
        assert_outcome(queue(small_list), NotSent, None, sent=False)


# TLS


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


@pytest.mark.parametrize("flaw", ["another host", "unknown authority"])
def test_a_wrong_certificate_is_not_sent(
    flaw: str, connect: Connect, small_list: Path, authority: trustme.CA, authority_file: str
) -> None:
    tls = (
        certificate(authority, "elsewhere.example")
        if flaw == "another host"
        else certificate(trustme.CA(), "127.0.0.1")
    )
    with FaultServer(says(QUEUED_XML), tls=tls) as server:
        connect(server.url, verify=authority_file)
        result = queue(small_list)
        server.settle()
    assert_outcome(result, NotSent, None, sent=False)
    assert "certificate" in str(result)
    assert server.requests == []


def test_an_unknown_authority_is_not_sent_by_default(connect: Connect, small_list: Path, authority: trustme.CA) -> None:
    with FaultServer(says(QUEUED_XML), tls=certificate(authority, "127.0.0.1")) as server:
        connect(server.url)
        assert_outcome(queue(small_list), NotSent, None, sent=False)


def test_a_plain_server_on_a_tls_port_is_not_sent(connect: Connect, small_list: Path) -> None:
    with FaultServer(says(QUEUED_XML)) as server:
        connect(server.url.replace("http:", "https:"), connect_timeout=0.4)
        assert_outcome(queue(small_list), NotSent, None, sent=False)
    assert server.posts == []


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
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


@pytest.mark.parametrize("act", [reset(MIDWAY), close(MIDWAY), hang(MIDWAY)], ids=["reset", "closed", "hanging"])
def test_a_tls_connection_that_ends_midway_is_unknown(
    act: Act, connect: Connect, large_list: Path, authority: trustme.CA, authority_file: str
) -> None:
    with FaultServer(act, tls=certificate(authority, "127.0.0.1")) as server:
        connect(server.url, verify=authority_file, read_timeout=0.4)
        assert_outcome(queue(large_list), OutcomeUnknown, None)
        server.settle()
    assert server.connections == 1


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_a_service_that_pauses_midway_has_the_read_timeout_not_the_connect_timeout(
    secure: bool, connect: Connect, large_list: Path, authority: trustme.CA, authority_file: str
) -> None:
    def pause(exchange: Exchange) -> None:
        exchange.receive(MIDWAY)
        exchange.server.stopping.wait(0.8)
        exchange.receive()
        exchange.answer(200, QUEUED_XML)

    with FaultServer(pause, tls=certificate(authority, "127.0.0.1") if secure else None) as server:
        connect(server.url, verify=authority_file, connect_timeout=0.3, read_timeout=20)
        assert_outcome(queue(large_list), None, 200)


# Proxies


def test_the_connections_proxy_is_used_in_place_of_the_environments(
    connect: Connect, small_list: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://nowhere.invalid:3128")
    with FaultServer(says(QUEUED_XML)) as server, FaultServer(relay()) as proxy:
        connect(server.url, proxies={"http": proxy.url})
        assert_outcome(queue(small_list), None, 200)
    assert [request.target for request in proxy.posts] == [f"{server.url}/webservice/queuecalls.php"]
    assert len(server.posts) == 1


def test_the_environments_proxy_is_used_where_the_connection_has_none(
    connect: Connect, small_list: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultServer(says(QUEUED_XML)) as server, FaultServer(relay()) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        connect(server.url)
        assert_outcome(queue(small_list), None, 200)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert_outcome(queue(small_list), None, 200)
        connect(server.url, proxies={"https": proxy.url})
        assert_outcome(queue(small_list), None, 200)
    assert len(proxy.posts) == 1
    assert len(server.posts) == 3


def test_a_tunnel_carries_no_credentials_to_the_proxy(
    connect: Connect, small_list: Path, authority: trustme.CA, authority_file: str
) -> None:
    with (
        FaultServer(says(QUEUED_XML), tls=certificate(authority, "127.0.0.1")) as server,
        FaultServer(relay()) as proxy,
    ):
        connect(server.url, verify=authority_file, proxies={"https": proxy.url})
        assert_outcome(queue(small_list), None, 200)
    assert [request.method for request in proxy.requests] == ["CONNECT"]
    assert "authorization" not in proxy.requests[0].headers
    assert "authorization" in server.posts[0].headers


def test_a_proxys_credentials_do_not_reach_the_service(
    connect: Connect, small_list: Path, authority: trustme.CA, authority_file: str
) -> None:
    with (
        FaultServer(says(QUEUED_XML), tls=certificate(authority, "127.0.0.1")) as server,
        FaultServer(relay()) as proxy,
    ):
        connect(
            server.url, verify=authority_file, proxies={"https": proxy.url.replace("//", "//me:secret@")}
        )  # fmt: skip
        assert_outcome(queue(small_list), None, 200)
    assert "proxy-authorization" in proxy.requests[0].headers
    assert "proxy-authorization" not in server.posts[0].headers


@pytest.mark.parametrize("code", [403, 407, 502])
def test_a_proxy_that_refuses_the_tunnel_is_not_sent(
    code: int, connect: Connect, small_list: Path, authority_file: str
) -> None:
    with FaultServer(answer(code)) as proxy:
        connect("https://service.invalid", verify=authority_file, proxies={"https": proxy.url})
        assert_outcome(queue(small_list), NotSent, None, sent=False)
    assert proxy.connections == 1


# The file changes under the upload


def rewrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(LARGE_BYTES // 2)
        file.write(b"9")


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"12025550199\n")


def truncate(path: Path) -> None:
    os.truncate(path, LARGE_BYTES // 2)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def midway(event: Callable[[], object]) -> Act:
    """Receive some of the body, let something happen, and receive the rest."""

    def act(exchange: Exchange) -> None:
        exchange.receive(MIDWAY)
        event()
        exchange.receive()
        if exchange.request.received == exchange.request.length:
            exchange.answer(200, QUEUED_XML)

    return act


@pytest.mark.parametrize("change", [rewrite, grow, truncate, empty])
def test_a_file_that_changes_during_the_upload_is_not_sent_completely(
    change: Callable[[Path], None], connect: Connect, large_list: Path
) -> None:
    with FaultServer(midway(lambda: change(large_list))) as server:
        connect(server.url)
        result = queue(large_list)
        server.settle()
    assert_outcome(result, NotSent, None)
    assert MIDWAY <= server.posts[0].received < server.posts[0].length
    assert server.connections == 1


def test_a_file_replaced_during_the_upload_is_sent_as_it_was_opened(connect: Connect, large_list: Path) -> None:
    def replace() -> None:
        (other := large_list.with_suffix(".new")).write_text("19995550100\n")
        other.replace(large_list)

    with FaultServer(midway(replace)) as server:
        connect(server.url)
        assert_outcome(queue(large_list), None, 200)
    assert server.posts[0].received == server.posts[0].length > LARGE_BYTES - 12


def test_a_file_that_cannot_be_read_any_further_is_not_sent_completely(connect: Connect, large_list: Path) -> None:
    class BadDisk(io.FileIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > LARGE_BYTES // 2:
                raise OSError(5, "Input/output error")
            return super().read(-1 if size is None else size)

    with BadDisk(large_list) as file, FaultServer(midway(lambda: None)) as server:
        connect(server.url)
        result = queue(Upload(file, "calls.csv", large_list.stat().st_size))
        server.settle()
    assert_outcome(result, NotSent, None)
    assert "Input/output error" in str(result)
    assert server.posts[0].received < server.posts[0].length


def test_a_checked_digest_that_differs_is_not_sent_completely(connect: Connect, small_list: Path) -> None:
    with small_list.open("rb") as file, FaultServer(says(QUEUED_XML)) as server:
        connect(server.url)
        result = queue(Upload(file, "calls.csv", small_list.stat().st_size, digest="sha256:other"))
        server.settle()
    assert isinstance(result, NotSent)
    assert server.posts[0].received < server.posts[0].length


def test_queued_is_not_believed_where_the_last_block_could_not_be_sent(connect: Connect, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "calls.csv", 30_000)
    blocks = itertools.count()

    class LateFile(io.FileIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if next(blocks):
                while not server.posts or not server.posts[0].answered:
                    time.sleep(0.01)
                server.settle(0.2)
            return super().read(-1 if size is None else size)

    with LateFile(path) as file, FaultServer(answer(200, QUEUED_XML, receive=0)) as server:
        connect(server.url)
        result = queue(Upload(file, "calls.csv", path.stat().st_size))
    assert next(blocks) == 2, "two blocks, the second of them the last"
    assert_outcome(result, OutcomeUnknown, 200)


# What the request looks like


def sent_with(connect: Connect, contacts: Path, campaign: Campaign = CAMPAIGN, **connection: Any) -> Any:
    """The request that arrives."""
    with FaultServer(says(QUEUED_XML)) as server:
        connect(server.url, **connection)
        assert isinstance(queue(contacts, campaign=campaign), Response)
    return server.posts[0]


def texts(body: bytes) -> dict[str, str]:
    """The form's fields in the order they came in."""
    parts = re.findall(rb'name="([^"]+)"[^\r]*\r\n(?:Content-Type[^\r]*\r\n)?\r\n(.*?)\r\n--', bytes(body), re.DOTALL)
    return {name.decode(): text.decode() for name, text in parts}


def test_the_length_is_exact_and_nothing_is_chunked(connect: Connect, small_list: Path) -> None:
    request = sent_with(connect, small_list)
    assert request.received == request.length == len(request.body)
    assert "transfer-encoding" not in request.headers
    assert "expect" not in request.headers
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert request.target == "/webservice/queuecalls.php"


def test_credentials_go_as_basic_in_utf_8_and_into_the_form(connect: Connect, small_list: Path) -> None:
    request = sent_with(connect, small_list, login="zoë🦊", password="pïn&<\"'")
    scheme, _, value = request.headers["authorization"].partition(" ")
    assert scheme == "Basic"
    assert base64.b64decode(value).decode() == "zoë🦊:pïn&<\"'"
    assert (texts(request.body)["login"], texts(request.body)["pin"]) == ("zoë🦊", "pïn&<\"'")


def test_an_extra_pin_goes_into_the_form_only(connect: Connect, small_list: Path) -> None:
    request = sent_with(connect, small_list, pin="0815")
    assert base64.b64decode(request.headers["authorization"][6:]).decode() == f"{LOGIN}:{PIN}"
    assert texts(request.body)["pin"] == "0815"


@pytest.mark.parametrize("basic_auth", [True, False])
def test_basic_auth_false_leaves_the_header_out(basic_auth: bool, connect: Connect, small_list: Path) -> None:
    assert ("authorization" in sent_with(connect, small_list, basic_auth=basic_auth).headers) is basic_auth


def test_a_netrc_is_not_read(
    connect: Connect, small_list: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (netrc := tmp_path / "netrc").write_text("default login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert "authorization" not in sent_with(connect, small_list, basic_auth=False).headers
    assert base64.b64decode(sent_with(connect, small_list).headers["authorization"][6:]).decode() == f"{LOGIN}:{PIN}"


def test_fields_come_in_the_documents_order_under_the_names_that_the_connection_gives(
    connect: Connect, small_list: Path
) -> None:
    names = {"max_retries": "max_retry", "secure": "is_pci"}
    campaign = Campaign(
        secure=True, max_retries=3, retry_interval=60, scheduled_timestamp=0, expiration_time="+3 days",
        call_parameters="b", message_reference="a", result_url="https://r.example/", campaign_name="spring",
        start_url="https://s.example/",
    )  # fmt: skip
    fields = texts(sent_with(connect, small_list, campaign, field_names=names).body)
    assert list(fields) == [
        names.get(parameter.name, parameter.wire_name)
        for parameter in PARAMETERS
        if parameter.name not in ("expiration_timestamp", "scheduled_time")
    ]
    assert fields["max_retry"] == "3"
    assert fields["is_pci"] == "1"
    assert fields["phone_number_list"] == small_list.read_text()


# Broken off


@pytest.mark.parametrize("receive", [MIDWAY, None], ids=["during the upload", "during the wait"])
def test_closing_the_hook_from_another_thread_is_unknown(
    receive: int | None, connect: Connect, large_list: Path
) -> None:
    hook = QueueCallsHook()

    def close_it(exchange: Exchange) -> None:
        exchange.receive(receive)
        hook.close()
        exchange.hang()

    with FaultServer(close_it) as server:
        connect(server.url)
        assert_outcome(queue(large_list, hook), OutcomeUnknown, None)
        server.settle()
    assert server.connections == 1


def test_closing_the_hook_before_it_is_connected_is_not_sent(
    connect: Connect, small_list: Path, mocker: MockerFixture
) -> None:
    hook = QueueCallsHook()
    resolve = socket.getaddrinfo

    def close_first(*args: Any, **kwargs: Any) -> Any:
        hook.close()
        return resolve(*args, **kwargs)

    with FaultServer(says(QUEUED_XML)) as server:
        connect(server.url)
        mocker.patch("socket.getaddrinfo", close_first)
        assert_outcome(queue(small_list, hook), NotSent, None, sent=False)
        server.settle()
    assert server.posts == []


def test_a_closed_hook_refuses_to_send(connect: Connect, small_list: Path) -> None:
    hook = QueueCallsHook()
    with FaultServer(says(QUEUED_XML)) as server:
        connect(server.url)
        assert_outcome(queue(small_list, hook), None, 200)
        hook.close()
        assert_outcome(queue(small_list, hook), NotSent, None, sent=False)
        server.settle()
    assert len(server.posts) == 1


@contextmanager
def on_signal(error: BaseException) -> Iterator[Callable[[], None]]:
    """A function that raises the error in the main thread, wherever it is, as a time limit or Ctrl-C does."""

    def raise_it(_: int, __: FrameType | None) -> None:
        raise error

    before = signal.signal(signal.SIGUSR1, raise_it)
    try:
        yield lambda: os.kill(os.getpid(), signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)


def task_timeout() -> BaseException:
    try:
        from airflow.sdk.exceptions import AirflowTaskTimeout
    except ImportError:
        from airflow.exceptions import AirflowTaskTimeout
    assert not issubclass(AirflowTaskTimeout, Exception), "else Airflow would have changed the rules"
    return AirflowTaskTimeout("Timeout")


@pytest.mark.parametrize("receive", [MIDWAY, None], ids=["during the upload", "during the wait"])
def test_airflows_time_limit_is_unknown_once_something_was_sent(
    receive: int | None, connect: Connect, large_list: Path
) -> None:
    def interrupt(exchange: Exchange) -> None:
        exchange.receive(receive)
        strike()
        exchange.hang()

    with on_signal(task_timeout()) as strike, FaultServer(interrupt) as server:
        connect(server.url)
        assert_outcome(queue(large_list), OutcomeUnknown, None)
        server.settle()
    assert server.connections == 1


def test_airflows_time_limit_stays_what_it_is_before_anything_was_sent(
    connect: Connect, small_list: Path, mocker: MockerFixture
) -> None:
    limit = task_timeout()
    mocker.patch("socket.getaddrinfo", side_effect=limit)
    connect("https://service.invalid")
    with pytest.raises(type(limit)):
        queue(small_list)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_stays_an_interrupt(error: type[BaseException], connect: Connect, small_list: Path) -> None:
    def interrupt(exchange: Exchange) -> None:
        exchange.receive()
        strike()
        exchange.hang()

    with on_signal(error()) as strike, FaultServer(interrupt) as server:
        connect(server.url)
        with pytest.raises(error):
            queue(small_list)


# Progress


def test_a_long_upload_logs_its_progress_about_every_five_seconds(
    connect: Connect, large_list: Path, mocker: MockerFixture
) -> None:
    clock = itertools.count()
    mocker.patch.object(progress_module, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    hook = QueueCallsHook()
    hook._log = SimpleNamespace(info=mocker.Mock())
    with FaultServer(says(QUEUED_XML)) as server:
        connect(server.url)
        assert_outcome(queue(large_list, hook), None, 200)
    lines = [call.args[0] % call.args[1:] for call in hook._log.info.call_args_list]
    progress = [line for line in lines if line.startswith("Uploaded")]
    assert len(progress) == (next(clock) - 1) // 5, "a clock that ticks once with every block"
    assert re.fullmatch(r"Uploaded \d+ of 34 MB \(\d+ %\), [\d.]+ MB/s", progress[0])


# test_connection


@pytest.mark.parametrize(
    ("act", "good", "words"),
    [
        (answer(200), True, "Not proven"),
        (answer(405), True, "HTTP 405"),
        (answer(401), False, "refuses login and PIN"),
        (answer(403), False, "refuses login and PIN"),
        (answer(404), False, "host, port and path"),
        (answer(302, b"", [("Location", "/x")]), False, "host, port and path"),
        (answer(500), False, "host, port and path"),
        (close(), False, "without an answer"),
        (hang(), False, "time"),
        (raw(head(200, [("X", "y" * 60_000)]), pause=0.02), False, "time"),
    ],
    ids=["200", "405", "401", "403", "404", "302", "500", "closed", "hanging", "dripping"],
)
def test_test_connection_says_what_the_service_did_and_queues_nothing(
    act: Act, good: bool, words: str, connect: Connect, mocker: MockerFixture
) -> None:
    mocker.patch("airflow_provider_queuecalls.client.client.TEST_SECONDS", 0.4)
    with FaultServer(act) as server:
        connect(server.url)
        ok, message = QueueCallsHook().test_connection()
        server.settle()
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
    assert "the connection was refused" in message


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
    assert "a time limit ran out" in message


def test_test_connection_names_what_is_wrong_in_the_connection(connect: Connect) -> None:
    connect("http://service.invalid", wrong=1)
    ok, message = QueueCallsHook().test_connection()
    assert not ok
    assert "allow_http" in message
    assert "Nothing was queued" in message
    assert "queuecalls_default" not in message
    assert "'wrong'" in message


def test_every_wire_error_can_be_caught_as_one(connect: Connect, small_list: Path) -> None:
    with FaultServer(answer(401)) as server:
        connect(server.url)
        with pytest.raises(QueueCallsError):
            QueueCallsHook().queue_calls(small_list, CAMPAIGN)
