"""What the service responds, or does instead, decides the outcome, row by row of the wire contract."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from airflow_provider_queuecalls.client.response import NOT_ACCEPTED_CODES, REFUSED_CODES
from airflow_provider_queuecalls.exceptions import NotAccepted, NotSent, OutcomeUnknown, Refused
from tests.conftest import Connect
from tests.support.fault_server import Exchange, FaultServer, close, hang, head, raw, reset, respond, respond_early
from tests.support.outcomes import MIDWAY, QUEUED_XML, Case, assert_outcome, dripping_body, queue, says

QUEUED_JSON = b'{"status":"success","error":null,"result":{"call_ids":[1,2,3]}}'
SHORT = {"read_timeout": 1.0}
#: In which the head of the response arrives.
AMPLE = {"read_timeout": 3.0}


def half_in_chunks(exchange: Exchange) -> None:
    exchange.receive()
    exchange.respond(200, iter([QUEUED_XML[:40]]), length=0)


CASES: dict[str, Case] = {
    # Codes
    **{f"http_{code}": Case(respond(code, b"no"), Refused, code) for code in sorted(REFUSED_CODES)},
    **{
        f"http_{code}": Case(respond(code, b"moved", [("Location", "/elsewhere")]), Refused, code)
        for code in (300, 301, 302, 303, 304, 305, 307, 308)
    },
    **{f"http_{code}": Case(respond(code, b"wait"), NotAccepted, code) for code in sorted(NOT_ACCEPTED_CODES)},
    **{f"http_{code}": Case(respond(code, QUEUED_XML), OutcomeUnknown, code) for code in (500, 501, 502, 503, 504, 599)},
    **{f"http_{code}": Case(respond(code, QUEUED_XML), OutcomeUnknown, code) for code in (402, 406, 410, 418, 600)},
    "http_101_as_the_response": Case(raw(head(101) + head(200) + QUEUED_XML), OutcomeUnknown, 101),
    "http_103_and_then_nothing": Case(respond(103), OutcomeUnknown, None),
    "http_103_before_the_response": Case(raw(head(103, [("Link", "</x>")]) + head(102) + head(200) + QUEUED_XML), None),
    "http_103_before_a_refusal": Case(raw(head(103) + head(401)), Refused, 401),
    "http_103_too_often": Case(raw(head(103) * 1_000 + head(200) + QUEUED_XML), OutcomeUnknown, 103),
    "http_103_again_and_again": Case(
        lambda exchange: (exchange.receive(), exchange.send(head(103) * 100, pause=0.05)), OutcomeUnknown, None, extra=SHORT
    ),
    "a_continue_before_the_response": Case(raw(head(100) + head(200) + QUEUED_XML), None),
    "http_503_with_retry_after": Case(respond(503, b"", [("Retry-After", "0")]), OutcomeUnknown, 503),
    "http_401_with_a_dripping_body": Case(dripping_body(401), Refused, 401, extra=AMPLE),
    # Early responses: the body isn't read
    "http_401_early_then_closed": Case(respond(401, b"no", receive=0), Refused, 401, large=True),
    "http_413_early_then_closed": Case(respond(413, b"too large", receive=0), Refused, 413, large=True),
    "http_401_early_then_drained": Case(respond_early(401, b"no"), Refused, 401, large=True),
    "http_413_early_then_drained": Case(respond_early(413, b"too large"), Refused, 413, large=True),
    "http_413_midway_then_closed": Case(respond(413, b"too large", receive=MIDWAY), Refused, 413, large=True),
    "queued_before_the_body_was_complete": Case(respond(200, QUEUED_XML, receive=MIDWAY), OutcomeUnknown, large=True),
    "http_503_before_the_body_was_complete": Case(respond(503, b"", receive=MIDWAY), NotSent, 503, large=True),
    "failed_before_the_body_was_complete": Case(
        respond(200, b'<queuecall status="failed"/>', receive=MIDWAY), Refused, large=True
    ),
    # What a 2xx says; more of it in the unit tests
    "xml_queued": Case(says(QUEUED_XML), None),
    "xml_queued_as_201": Case(respond(201, QUEUED_XML), None, 201),
    "xml_queued_labelled_json": Case(says(QUEUED_XML, ("Content-Type", "application/json")), None),
    "xml_queued_labelled_html": Case(says(QUEUED_XML, ("Content-Type", "text/html")), None),
    "xml_queued_gzipped": Case(says(gzip.compress(QUEUED_XML), ("Content-Encoding", "gzip")), None),
    "json_success": Case(says(QUEUED_JSON), None),
    "json_success_labelled_xml": Case(says(QUEUED_JSON, ("Content-Type", "text/xml")), None),
    "json_success_gzipped": Case(says(gzip.compress(QUEUED_JSON), ("Content-Encoding", "gzip")), None),
    "json_success_in_chunks": Case(lambda x: (x.receive(), x.respond(200, iter([QUEUED_JSON]))), None),
    "xml_failed": Case(says(b'<queuecall status="failed"><error>no</error></queuecall>'), Refused),
    "json_failure": Case(says(b'{"status":"failure","error":"bad pin"}'), Refused),
    "empty": Case(says(b""), OutcomeUnknown),
    "no_content": Case(respond(204), OutcomeUnknown, 204),
    "plain_text": Case(says(b"queued"), OutcomeUnknown),
    "html": Case(says(b"<!DOCTYPE html><html><body>queued<br></body></html>"), OutcomeUnknown),
    "json_cut_short": Case(says(QUEUED_JSON[:-1]), OutcomeUnknown),
    "not_really_gzip": Case(says(QUEUED_XML, ("Content-Encoding", "gzip")), OutcomeUnknown),
    "an_unreadable_retry_after": Case(
        respond(429, b"", [("Retry-After", "Mon, 01 Jan 2035 00:00:00 +99999999999999999999")]), NotAccepted, 429
    ),
    "a_malformed_header": Case(
        raw(head(200)[:-2] + b"no colon here\r\nX: y\r\n\r\n" + QUEUED_XML), None
    ),
    # No complete response
    "reset_after_the_request": Case(reset(), OutcomeUnknown, None),
    "reset_midway": Case(reset(MIDWAY), NotSent, None, large=True),
    "closed_after_the_request": Case(close(), OutcomeUnknown, None),
    "closed_midway": Case(close(MIDWAY), NotSent, None, large=True),
    "hanging_after_the_request": Case(hang(), OutcomeUnknown, None, extra=SHORT),
    "hanging_midway": Case(hang(MIDWAY), NotSent, None, large=True, extra=SHORT),
    "half_a_response": Case(respond(200, QUEUED_XML[:40], length=len(QUEUED_XML)), OutcomeUnknown),
    "a_whole_element_of_a_longer_response": Case(respond(200, QUEUED_XML, length=len(QUEUED_XML) + 9), OutcomeUnknown),
    "half_a_response_in_chunks": Case(half_in_chunks, OutcomeUnknown),
    "half_a_response_of_no_stated_length": Case(raw(head(200) + QUEUED_XML[:40]), OutcomeUnknown),
    "half_a_head": Case(raw(head(200)[:-4]), OutcomeUnknown),
    "dripping_headers": Case(raw(head(200, [("X", "y" * 60_000)]), pause=0.02), OutcomeUnknown, None, extra=SHORT),
    "a_dripping_body": Case(dripping_body(200), OutcomeUnknown, extra=AMPLE),
    "something_else_than_http": Case(raw(b"220 mail.example ESMTP\r\n"), OutcomeUnknown, None),
    "a_response_without_a_head": Case(raw(QUEUED_XML), OutcomeUnknown, None),
}  # fmt: skip


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_what_the_service_does_decides_the_outcome(
    case: Case, connect: Connect, request: pytest.FixtureRequest
) -> None:
    contacts: Path = request.getfixturevalue("large_list" if case.large else "small_list")
    with FaultServer(case.act) as server:
        connect(server.url, **case.extra)
        result = queue(contacts)
    assert_outcome(result, case.error, case.status_code)
    assert (server.connections, len(server.posts)) == (1, 1)


def test_the_table_covers_every_code_of_the_contract() -> None:
    assert {400, 401, 403, 404, 405, 409, 411, 413, 414, 415, 422} == REFUSED_CODES
    assert {408, 425, 429} == NOT_ACCEPTED_CODES


def test_a_refused_connection_is_not_sent(connect: Connect, small_list: Path) -> None:
    with FaultServer() as server:
        pass
    connect(server.url)
    result = queue(small_list)
    assert_outcome(result, NotSent, None, sent=False)
    assert "refused" in str(result)


def test_an_unknown_host_is_not_sent(connect: Connect, small_list: Path) -> None:
    connect("https://nowhere.invalid")
    result = queue(small_list)
    assert_outcome(result, NotSent, None, sent=False)
    assert "the host's name cannot be resolved; check the connection's host." in str(result)
