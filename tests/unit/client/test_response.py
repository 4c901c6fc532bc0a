"""Answers: what each one means, and that none shows a secret."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_queuecalls.client.parsing import LISTED_CALL_IDS
from airflow_provider_queuecalls.client.response import (
    NOT_ACCEPTED_CODES,
    REFUSED_CODES,
    CutShort,
    Outcome,
    Response,
    read_response,
)
from airflow_provider_queuecalls.client.shown import Sent

NOTHING = Sent([])


def read(body: bytes | Iterator[bytes], code: int = 200, contacts: int = 3, complete: bool = True) -> Response:
    chunks = iter([body]) if isinstance(body, bytes) else body
    return read_response(code, chunks, contacts=contacts, sent=NOTHING, complete=complete)


@pytest.mark.parametrize(
    "body",
    [
        b'<queuecall status="queued" call_id="123456789"/>',
        b'<?xml version="1.0"?>\n<queuecalls status="QUEUED"><login>x</login></queuecalls>',
        b'  \r\n<?xml version="1.0" encoding="ISO-8859-1"?><r><status> Success </status></r>',
        b'\xef\xbb\xbf<r status="queued"/>',
        '<r status="queued"/>'.encode("utf-16"),
        b'<n:r xmlns:n="urn:x" n:status="queued"/>',
        b'<r status="queued"><call status="failed" call_id="1"/></r>',
        b'<r status="queued"><call><error>no such area</error></call></r>',
        b'{"status": "success", "error": null, "result": {"call_id": 1}}',
        b'{"status": "queued", "error": ""}',
        b'\n{"Status": "Queued"}',
        b'[{"status": "queued", "call_id": "1"}, {"status": "queued", "call_id": "2"}]',
    ],
)
def test_what_says_queued_is_queued(body: bytes) -> None:
    answer = read(body)
    assert (answer.outcome, answer.problem) == (Outcome.QUEUED, "")


@pytest.mark.parametrize(
    "body",
    [
        b'<queuecall status="failed"/>',
        b'<queuecall status="Failure"><reason>no</reason></queuecall>',
        b'<queuecall status="failed" call_id="0"/>',
        b"<result><error>Invalid PIN</error></result>",
        b"<error>Invalid PIN</error>",
        b"<result><error><message>Invalid PIN</message></error></result>",
        b'{"error": "Invalid PIN"}',
        b'{"status": "failure", "error": {"code": 3}}',
        b'{"status": "error"}',
        b'{"result": {"error": "Invalid PIN"}}',
    ],
)
def test_what_says_failed_is_refused(body: bytes) -> None:
    assert read(body).outcome is Outcome.REFUSED


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   \n",
        b"OK",
        b"queued",
        b"status=queued",
        b"<html><body>It works!</body></html>",
        b"<!DOCTYPE html><html><body>queued</body></html>",
        b"<queuecall/>",
        b'<queuecall status="pending"/>',
        b'<queuecall status=""/>',
        b'<queuecall status="queued">',
        b'<queuecall status="queued"><call call_id="1"',
        b'<queuecall status="queued"/>trailing',
        b'<queuecall status="queued"/><queuecall status="queued"/>',
        b'<queuecall><call status="queued"/><call status="failed"/></queuecall>',
        b'<queuecall status="queued" ><error>and yet</error></queuecall>',
        b'<queuecall status="failed" call_id="123456789"/>',
        b'<?xml version="1.0" encoding="nonsense"?><r status="queued"/>',
        b'<r status="queued">\xff\xfe</r>',
        b"{}",
        b"[]",
        b'{"status": true}',
        b'{"status": ["queued"]}',
        b'{"status": "queued"',
        b'{"status": "queued"} {}',
        b'{"status": "queued", "error": "and yet"}',
        b'{"error": "no", "call_ids": [1, 2]}',
        b'{"status": "\xff"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ],
)
def test_anything_else_is_unknown_and_never_success(body: bytes) -> None:
    answer = read(body)
    assert answer.outcome is Outcome.UNKNOWN
    assert answer.problem


BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(9))
    + b']><r status="queued">&j;</r>'
)


@pytest.mark.parametrize(
    "body",
    [
        BOMB,
        b'<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/hostname">]><r status="queued">&x;</r>',
        b'<!DOCTYPE r SYSTEM "http://127.0.0.1:1/x.dtd"><r status="queued"/>',
    ],
)
def test_entities_and_document_types_are_not_read(body: bytes) -> None:
    answer = read(body)
    assert answer.outcome is Outcome.UNKNOWN
    assert "cannot be read" in answer.problem


@pytest.mark.parametrize("code", [*sorted(REFUSED_CODES), 300, 301, 302, 303, 304, 307, 308, 399])
def test_a_code_that_refuses_counts_whatever_the_body_says(code: int) -> None:
    assert read(b'<r status="queued"/>', code).outcome is Outcome.REFUSED


@pytest.mark.parametrize(
    ("code", "words"),
    [(302, "never followed"), (401, "login or PIN"), (404, "host and path"), (413, "too long"), (422, "HTTP 422")],
)
def test_a_refusal_by_code_says_what_it_means(code: int, words: str) -> None:
    assert words in read(b"", code).problem


@pytest.mark.parametrize("code", sorted(NOT_ACCEPTED_CODES))
def test_a_code_that_says_later_counts_whatever_the_body_says(code: int) -> None:
    assert read(b'<r status="queued"/>', code).outcome is Outcome.NOT_ACCEPTED


@pytest.mark.parametrize("code", [100, 199, 402, 406, 410, 418, 451, 500, 502, 503, 504, 599, 999])
def test_any_other_code_is_unknown(code: int) -> None:
    assert read(b'<r status="queued"/>', code).outcome is Outcome.UNKNOWN


def breaking_off(body: bytes) -> Iterator[bytes]:
    yield body
    raise CutShort("the answer was cut short")


def test_an_answer_cut_short_is_unknown_even_if_it_seems_whole() -> None:
    answer = read(breaking_off(b'<r status="queued"/>'))
    assert (answer.outcome, answer.problem) == (Outcome.UNKNOWN, "the answer was cut short")


def test_a_refusal_cut_short_is_still_one() -> None:
    assert read(breaking_off(b"no"), 401).outcome is Outcome.REFUSED


def test_queued_before_the_whole_list_was_sent_is_unknown() -> None:
    assert read(b'<r status="queued"/>', complete=False).outcome is Outcome.UNKNOWN
    assert read(b'<r status="failed"/>', complete=False).outcome is Outcome.REFUSED


def test_call_ids_are_collected_at_any_depth_and_in_order() -> None:
    xml = b'<r status="queued" call_id="1"><a><b call_id="2"/><call_id>3</call_id></a><call_id/></r>'
    data = b'{"status": "queued", "call_id": 1, "a": [{"call_id": "2"}], "call_ids": ["3"]}'
    for body in (xml, data):
        assert sorted(read(body).call_ids) == ["1", "2", "3"]
        assert read(body).call_id_count == 3
    ordered = json.dumps({"status": "queued", "calls": [{"call_id": i} for i in range(1, 50)]}).encode()
    assert read(ordered).call_ids == tuple(str(i) for i in range(1, 50))


def test_call_ids_beyond_a_thousand_are_counted_not_listed() -> None:
    calls = b"".join(b'<c call_id="%09d"/>' % i for i in range(1, 1502))
    answer = read(b'<r status="queued">' + calls + b"</r>", contacts=1501)
    assert (len(answer.call_ids), answer.call_id_count) == (LISTED_CALL_IDS, 1501)


def test_what_is_no_id_is_counted_and_not_listed() -> None:
    answer = read(b'<r status="queued"><c call_id="&lt;script&gt;"/></r>')
    assert (answer.call_ids, answer.call_id_count) == ((), 1)


def million_calls() -> Iterator[bytes]:
    yield b'<r status="queued">'
    for _ in range(100):
        yield b'<queuecall call_id="123456789"/>' * 2_000
    yield b"</r>"


def test_a_long_answer_is_read_without_keeping_it() -> None:
    tracemalloc.start()
    answer = read(million_calls(), contacts=200_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert answer.call_id_count == 200_000
    assert peak < 4 << 20


def test_contacts_are_counted_once_and_only_for_a_long_answer() -> None:
    counted = []

    def count() -> int:
        counted.append(True)
        return 200_000

    assert read_response(200, [b'<r status="queued"/>'], contacts=count, sent=NOTHING).outcome is Outcome.QUEUED
    assert not counted
    assert read_response(200, million_calls(), contacts=count, sent=NOTHING).call_id_count == 200_000
    assert len(counted) == 1


@pytest.mark.parametrize("start", [b"<r>", b"{", b"x"])
def test_an_answer_too_long_for_the_list_is_not_read_to_its_end(start: bytes) -> None:
    read_chunks = 0

    def endless() -> Iterator[bytes]:
        nonlocal read_chunks
        yield start
        while True:
            read_chunks += 1
            yield b" " * 65_536

    answer = read(endless(), contacts=10)
    assert answer.outcome is Outcome.UNKNOWN
    assert "longer than 1053696 bytes" in answer.problem
    assert read_chunks == 17


def test_no_more_than_the_beginning_of_a_refusal_is_read() -> None:
    chunks = iter([b"x" * 10_000] * 100)
    assert read(chunks, 403).outcome is Outcome.REFUSED
    assert len(list(chunks)) == 98


@given(st.lists(st.binary(max_size=200), max_size=20), st.sampled_from([200, 204, 302, 500]))
def test_arbitrary_bytes_never_raise_and_never_mean_success(chunks: list[bytes], code: int) -> None:
    answer = read_response(code, chunks, contacts=1, sent=NOTHING)
    assert answer.outcome is not Outcome.QUEUED


@given(st.integers(1, 60))
def test_it_does_not_matter_how_an_answer_is_cut_into_chunks(size: int) -> None:
    body = b'\xef\xbb\xbf \n<?xml version="1.0"?><r status="queued"><call call_id="123456789">x</call></r>'
    answer = read(iter([body[i : i + size] for i in range(0, len(body), size)]))
    assert (answer.outcome, answer.call_ids) == (Outcome.QUEUED, ("123456789",))
