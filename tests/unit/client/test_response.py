"""Responses: which outcome each one means."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_queuecalls.client.parsing import LISTED_CALL_IDS, MOST_NAMES
from airflow_provider_queuecalls.client.response import (
    NOT_ACCEPTED_CODES,
    REFUSED_CODES,
    CutShort,
    Response,
    read_response,
)
from airflow_provider_queuecalls.client.shown import Sent
from airflow_provider_queuecalls.outcome import Outcome
from tests.support.memory import growth

NOTHING = Sent([])


def read(body: bytes | Iterator[bytes], code: int = 200, contacts: int = 3, complete: bool = True) -> Response:
    chunks = iter([body]) if isinstance(body, bytes) else body
    return read_response(code, chunks, contacts=lambda: contacts, sent=NOTHING, complete=complete)


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
    response = read(body)
    assert (response.outcome, response.problem) == (Outcome.QUEUED, "")


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
        b'{"error": {"code": 0, "texts": [null, "Invalid PIN"]}}',
        b'{"error": true}',
        b'{"error": 1001}',
    ],
)
def test_what_says_failed_is_refused(body: bytes) -> None:
    assert read(body).outcome is Outcome.REFUSED


BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(9))
    + b']><r status="queued">&j;</r>'
)


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
        b'{"error": "false", "campaign_id": 7}',
        b'{"error": "none", "result": {"queued": 500}}',
        b'{"error": "No error.", "message": "Campaign created"}',
        b'{"error": {"code": 0, "message": ""}, "message": "Campaign created"}',
        b'{"error": [null]}',
        b'{"error": "00"}',
        b'{"errors": [{"x": 0}]}',
        b"<r><error>0000</error><message>Campaign created</message></r>",
        b'<r><error code="0"><message>none</message></error><message>Campaign created</message></r>',
        b'{"status": "\xff"}',
        b'{"status": "failed", "status": "queued"}',
        b'{"status": "queued", "status": "failed"}',
        b'{"status": "queued", "status": "queued"}',
        b'{"Status": "failed", "status": "queued"}',
        b'{"error": "no", "error": null, "status": "queued"}',
        b'{"status": "queued", "result": {"call_id": 1, "call_id": 2}}',
        b'{"status": "queued",}',
        b'{"status": "queued" "x": 1}',
        b'{"status": "queued", "x": [1,]}',
        b'{"status": "queued", "x": [1}]}',
        b'{"status": "queued", "x": 01}',
        b'{"status": "queued", "x": NaN}',
        b'{"status": "queued", "x": "\t"}',
        b'{"status": "queued", "x": "\\x41"}',
        b'{status: "queued"}',
        b'{"status": "queued"}]',
        b'<queuecall status="queued"><status>failed</status></queuecall>',
        b"<queuecall><status>failed</status><status>queued</status></queuecall>",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"<a>" * 100_000,
        b'<a status="queued">' + b"<a>" * 1_000 + b"</a>" * 1_001,
        BOMB,
        b'<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/hostname">]><r status="queued">&x;</r>',
        b'<!DOCTYPE r SYSTEM "http://127.0.0.1:1/x.dtd"><r status="queued"/>',
    ],
)
def test_anything_else_is_unknown_and_never_success(body: bytes) -> None:
    response = read(body)
    assert response.outcome is Outcome.UNKNOWN
    assert response.problem


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        *[(code, Outcome.REFUSED) for code in (*sorted(REFUSED_CODES), 300, 301, 302, 303, 304, 307, 308, 399)],
        *[(code, Outcome.NOT_ACCEPTED) for code in sorted(NOT_ACCEPTED_CODES)],
        *[(code, Outcome.UNKNOWN) for code in (100, 199, 402, 406, 410, 418, 451, 500, 502, 503, 504, 599, 999)],
    ],
)
def test_a_code_that_is_not_2xx_counts_whatever_the_body_says(code: int, outcome: Outcome) -> None:
    assert read(b'<r status="queued"/>', code).outcome is outcome


@pytest.mark.parametrize(
    ("code", "words"),
    [(302, "never followed"), (401, "login or PIN"), (404, "host and path"), (413, "too large"), (422, "HTTP 422")],
)
def test_a_refusal_by_code_says_what_it_means(code: int, words: str) -> None:
    assert words in read(b"", code).problem


def breaking_off(body: bytes) -> Iterator[bytes]:
    yield body
    raise CutShort("the response was cut short")


def test_a_response_cut_short_is_unknown_even_if_it_seems_whole() -> None:
    response = read(breaking_off(b'<r status="queued"/>'))
    assert (response.outcome, response.problem) == (Outcome.UNKNOWN, "the response was cut short")


def test_a_refusal_cut_short_is_still_one() -> None:
    assert read(breaking_off(b"no"), 401).outcome is Outcome.REFUSED


def test_queued_before_the_whole_request_was_sent_is_unknown() -> None:
    response = read(b'<r status="queued"/>', complete=False)
    assert response.outcome is Outcome.UNKNOWN
    assert response.problem == "the service responded before it had received the whole request"
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
    response = read(b'<r status="queued">' + calls + b"</r>", contacts=1501)
    assert (len(response.call_ids), response.call_id_count) == (LISTED_CALL_IDS, 1501)


def test_what_is_no_id_is_counted_and_not_listed() -> None:
    response = read(b'<r status="queued"><c call_id="&lt;script&gt;"/></r>')
    assert (response.call_ids, response.call_id_count) == ((), 1)


def million_calls() -> Iterator[bytes]:
    yield b'<r status="queued">'
    for _ in range(100):
        yield b'<queuecall call_id="123456789"/>' * 2_000
    yield b"</r>"


def test_contacts_are_counted_once_and_only_for_a_long_response() -> None:
    counted = []

    def count() -> int:
        counted.append(True)
        return 200_000

    assert read_response(200, [b'<r status="queued"/>'], contacts=count, sent=NOTHING).outcome is Outcome.QUEUED
    assert not counted
    assert read_response(200, million_calls(), contacts=count, sent=NOTHING).call_id_count == 200_000
    assert len(counted) == 1


@pytest.mark.parametrize("start", [b"<r>", b"{", b"x"])
def test_a_response_too_long_for_the_list_is_not_read_to_its_end(start: bytes) -> None:
    read_chunks = 0

    def endless() -> Iterator[bytes]:
        nonlocal read_chunks
        yield start
        while True:
            read_chunks += 1
            yield b" " * 65_536

    response = read(endless(), contacts=10)
    assert response.outcome is Outcome.UNKNOWN
    assert "longer than 1053696 bytes" in response.problem
    assert read_chunks == 17


def test_no_more_than_the_beginning_of_a_refusal_is_read() -> None:
    chunks = iter([b"x" * 10_000] * 100)
    assert read(chunks, 403).outcome is Outcome.REFUSED
    assert len(list(chunks)) == 98


@given(st.lists(st.binary(max_size=200), max_size=20), st.sampled_from([200, 204, 302, 500]))
def test_arbitrary_bytes_never_raise_and_never_mean_success(chunks: list[bytes], code: int) -> None:
    response = read_response(code, chunks, contacts=lambda: 1, sent=NOTHING)
    assert response.outcome is not Outcome.QUEUED


@given(st.integers(1, 60))
def test_it_does_not_matter_how_a_response_is_cut_into_chunks(size: int) -> None:
    body = b'\xef\xbb\xbf \n<?xml version="1.0"?><r status="queued"><call call_id="123456789">x</call></r>'
    response = read(iter([body[i : i + size] for i in range(0, len(body), size)]))
    assert (response.outcome, response.call_ids) == (Outcome.QUEUED, ("123456789",))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


def has_no_name_twice(text: str) -> bool:
    """Whether the standard library reads this as JSON in which names differ, also if case is ignored."""

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        if len({name.lower() for name, _ in pairs}) < len(pairs):
            raise ValueError
        return dict(pairs)

    def no_constant(_: str) -> None:
        raise ValueError

    try:
        json.loads(text, object_pairs_hook=unique, parse_constant=no_constant)
    except ValueError:
        return False
    return True


@given(JSON_VALUES, st.integers(1, 9), st.booleans())
def test_any_json_is_read_however_it_is_cut(value: object, size: int, ascii_only: bool) -> None:
    text = json.dumps([value], ensure_ascii=ascii_only)
    response = read(iter([text.encode(errors="replace")[i : i + size] for i in range(0, len(text) * 4, size)]))
    assert ("cannot be parsed" in response.problem) == (not has_no_name_twice(text.encode(errors="replace").decode()))


@given(
    st.lists(
        st.sampled_from([*'{}[],:"', '"a"', '"b"', " ", "\\", "\\n", "1", "-", "0", ".5", "e3", "true", "null", "nul"])
    )
)
def test_what_is_not_json_is_not_taken_for_it(tokens: list[str]) -> None:
    text = "".join(["[", *tokens])
    assert ("cannot be parsed" in read(text.encode()).problem) == (not has_no_name_twice(text))


MEASURE = """
import sys
from airflow_provider_queuecalls.client.response import read_response
from airflow_provider_queuecalls.client.shown import Sent

def chunks(start, item, end, megabytes):
    yield start.encode()
    for _ in range(megabytes << 2):
        yield item.encode() * ((256 << 10) // len(item))
    yield end.encode()

read = lambda megabytes: read_response(200, chunks(*sys.argv[2:], megabytes), contacts=lambda: 1_000_000, sent=Sent([]))
read(0)
before = peak()
read(int(sys.argv[1]))
print("grown", peak() - before)
"""


@pytest.mark.long
@pytest.mark.parametrize(
    "parts",
    [("[", "[],", "[]]"), ("[", '{"a":1},', "{}]"), ('{"call_ids":[', '"123456789",', "1]}"), ("<r>", "<a/>", "</r>")],
)
def test_memory_does_not_grow_with_the_number_of_values(parts: tuple[str, str, str]) -> None:
    assert growth(MEASURE, "1", *parts) <= 4


@pytest.mark.parametrize(
    "parts", [('{"x":"', "x", '"}'), ('{"x":"', "\\n", '"}'), ('<r x="', "x", '"/>'), ("<!--", "x", "--><r/>")]
)
def test_memory_does_not_grow_with_the_length_of_a_value(parts: tuple[str, str, str]) -> None:
    assert growth(MEASURE, "32", *parts) <= 12


@pytest.mark.long
def test_ninety_thousand_names_and_a_megabyte_of_text_are_read() -> None:
    names = ",".join(f'"name{i}": 1' for i in range(90_000))
    attributes = " ".join(f'name{i}="1"' for i in range(90_000))
    long = "x" * (1 << 20)
    for body in (
        f'{{"status": "queued", {names}}}',
        f'{{"status": "queued", "x": "{long}"}}',
        f'<r status="queued" {attributes}/>',
        f'<r status="queued" x="{long}"/>',
    ):
        assert read(body.encode(), contacts=10_000).outcome is Outcome.QUEUED
    too_many = ",".join(f'"{i}": 1' for i in range(MOST_NAMES))
    assert "cannot be parsed" in read(f'{{"status": "queued", {too_many}}}'.encode(), contacts=10_000).problem


@pytest.mark.parametrize(
    ("body", "values"),
    [
        (b'{"state": "Accepted", "id": 7}', {"state": "accepted"}),
        (b'<r State=" ACCEPTED "><login>x</login></r>', {"state": "accepted"}),
        (b"<r><result>ok</result></r>", {"result": "ok"}),
        (b'{"code": 0, "message": "see status"}', {"code": "0"}),
        (b'{"done": true}', {"done": "true"}),
        (b'{"status": "accepted"}', {"status": "accepted"}),
        (b"Campaign accepted\n", {"text": "campaign accepted"}),
        (b"OK 123456789 is the id of the campaign", {"text": "ok"}),
    ],
)
def test_a_response_says_queued_in_the_words_of_the_connection_only(body: bytes, values: dict[str, str]) -> None:
    response = read(body)
    assert response.outcome is Outcome.UNKNOWN
    # The message names the setting, with what the response says where that is harmless.
    example = values if "123" not in body.decode() and "login" not in body.decode() else {}
    (advice,) = re.findall(
        r"set queued_values in the connection's extra to what says so, such as (\{.*\})", response.problem
    )
    assert {**json.loads(advice), **example} == json.loads(advice)
    taught = read_response(200, iter([body]), contacts=lambda: 3, sent=NOTHING, queued_values=values)
    assert (taught.outcome, taught.problem) == (Outcome.QUEUED, "")


@pytest.mark.parametrize(
    "body", [b'{"state": "accepted", "status": "failed"}', b'{"state": "accepted", "error": "no"}']
)
def test_a_word_of_the_connection_does_not_overrule_a_failure(body: bytes) -> None:
    response = read_response(200, iter([body]), contacts=lambda: 3, sent=NOTHING, queued_values={"state": "accepted"})
    assert response.outcome is Outcome.UNKNOWN


def test_values_of_a_response_repeat_nothing_that_was_sent() -> None:
    sent = Sent(["accepted"], [("message_reference", "pending")])
    body = b'{"state": "accepted", "phase": "pending", "result": "done", "owner": "smith", "login": "ok", "number": "16175550100"}'
    assert read_response(200, iter([body]), contacts=lambda: 3, sent=sent).values == (("result", "done"),)


def test_names_that_an_error_mentions_repeat_nothing_that_was_sent() -> None:
    body = b'<r status="failed"><error field="call_list">call_list is missing, not phone_list</error></r>'
    found = read_response(200, iter([body]), contacts=lambda: 3, sent=Sent(["phone_list"])).mentioned
    assert found[0] == "call_list"
    assert "phone_list" not in found
    assert "call_list" not in repr(read(body)).replace(read(body).body, "").replace(read(body).error_text, "")


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("campaign_name is taken by another campaign; it must be a string (this provider)", True),
        ("Campaign 'spring.2026-11-27' already exists", True),
        ("Sorry, another campaign already has this name.", True),
        ("There is already a campaign named spring.2026-11-27!", True),
        ("Duplicate campaign name: choose another one", True),
        ("The name 'spring.2026-11-27' is not unique", True),
        ("name already in use", True),
        ("The campaign name must be unique", True),
        ("start_url does not exist", False),
        ("unknown account: it does not exist or was closed", False),
        ("the line quota is already used up", False),
        ("caller ID not in use", False),
        ("The campaign's file name is already in use", False),
        ("Campaign not queued, a file of this name already exists", False),
        ("Invalid campaign name, use another name", False),
        ("campaign name must be unique and at most 80 characters", False),
        ("campaign 'spring.2026-11-27' refused", False),
        ("conflict", False),
    ],
)
@pytest.mark.parametrize("code", [200, 409])
def test_a_name_is_taken_only_if_a_clause_of_the_error_says_just_that(text: str, taken: bool, code: int) -> None:
    for name in ("spring.2026-11-27", None):
        body = json.dumps({"status": "failed", "error": text}).encode()
        response = read_response(code, iter([body]), contacts=lambda: 3, sent=NOTHING, campaign_name=name)
        assert response.outcome is Outcome.REFUSED
        assert response.name_taken is (taken and (name is not None or "spring" not in text))


def test_a_redirect_is_reported_without_its_path_which_may_repeat_a_number() -> None:
    target = "https://calls.example/12025550143"
    response = read_response(302, iter([]), contacts=lambda: 3, sent=NOTHING, location=target)
    assert response.problem == "HTTP 302: a redirect, which is never followed (to https)"
    assert response.location == target
    assert "12025550143" not in repr(response)
