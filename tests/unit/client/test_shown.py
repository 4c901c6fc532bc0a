"""What is shown of a response: names, statuses, counts, and harmless words, and nothing that was sent."""

from __future__ import annotations

import base64
import html
import io
import json
import re
from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from airflow_provider_queuecalls.client.allowed_words import ALLOWED_WORDS
from airflow_provider_queuecalls.client.multipart import Upload
from airflow_provider_queuecalls.client.response import Response, read_response
from airflow_provider_queuecalls.client.shown import BODY_CHARACTERS, KNOWN_NAMES, Sent
from tests.support.echo import SPELLINGS, folded

LOGIN, PIN, BASIC = "zebra@example.com", "0815", base64.b64encode(b"zebra@example.com:0815").decode()
LIST = b"12025550143,REF-1,who=Ana\n16175550178,order-77,balance overdue\n"


def sent(*texts: str, contacts: bytes = LIST) -> Sent:
    upload = Upload(io.BytesIO(contacts), "calls.csv", len(contacts))
    return Sent([LOGIN, PIN, BASIC], [*(("message_reference", text) for text in texts), ("phone_number_list", upload)])


def read(body: str | bytes, code: int = 200, sent: Sent = sent()) -> Response:  # noqa: B008
    return read_response(code, [body.encode() if isinstance(body, str) else body], contacts=lambda: 2, sent=sent)


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (
            '<queuecalls status="queued"><login>zebra@example.com</login><queuecall call_id="123456789" phone_number="1"/>'
            "</queuecalls>",
            '<queuecalls status="queued"><login>***</login><queuecall call_id="***" phone_number="***"></queuecall>'
            "</queuecalls>",
        ),
        (
            '{"status": "success", "error": null, "result": {"call_ids": [1, 2], "pin": "0815"}}',
            '{"status": "success", "error": null, "result": {"call_ids": [***, ***], "pin": "***"}}',
        ),
        ('{"Ana": 1, "REF-1": {"order_77": "x"}}', '{"***": ***, "***": {"***": "***"}}'),
        ("<queuecalls><Ana/><zebra>x</zebra></queuecalls>", "<queuecalls><***></***><***>***</***></queuecalls>"),
        ('<result line="17" row="12025550143" code="0815"/>', '<result line="17" row="***" code="***"></result>'),
        ('<result count="1234567" total="12345678"/>', '<result count="1234567" total="***"></result>'),
        ("<error>Line 1 is not valid: ***,REF-1,who=Ana</error>", "<error>Line *** is not valid: ***</error>"),
        ("<error>The balance isn't valid.</error>", "<error>The *** isn't valid.</error>"),
        ("<error>Campaign (name) is &quot;taken&quot;!</error>", "<error>Campaign name is taken!</error>"),
        ('<campaignName statusCode="x">a</campaignName>', '<campaignName statusCode="***">a</campaignName>'),
        ("<html><body>It works</body></html>", "HTML, 34 bytes"),
        ("<!DOCTYPE html>\n<p>Ana", "HTML, 22 bytes"),
        ("<queuecalls><pin>0815", "XML, 21 bytes"),
        ('{"status": "queued", "status": "failed"}', "JSON, 40 bytes"),
        ("Array ( [pin] => 0815 )", "text, 23 bytes"),
        (b"PK\x00\x01", "binary data, 4 bytes"),
        ("x" * 1_204, "text, 1,204 bytes"),
        ("", ""),
    ],
)
def test_what_is_shown(body: str | bytes, shown: str) -> None:
    assert read(body).body == shown


def test_no_more_than_the_beginning_is_shown() -> None:
    body = "<queuecalls>" + '<queuecall call_id="1"/>' * 1_000 + "</queuecalls>"
    assert BODY_CHARACTERS * 0.9 < len(read(body).body) <= BODY_CHARACTERS
    assert read("<error>" + "x" * 20_000 + "</error>", 500).body == "XML, more than 20,015 bytes"
    assert read("<error>" + "not valid " * 100 + "</error>").body.endswith("not valid not</error>")


@pytest.mark.parametrize("code", [200, 400, 500])
def test_the_services_own_error_text_is_found_anywhere(code: int) -> None:
    for body in (
        "<queuecalls status='failed'>" + "<login>x</login>" * 500 + "<error>Name REF-1 is taken</error></queuecalls>",
        '{"status": "failure", "error": {"code": 3, "message": "Name REF-1 is taken"}}',
        '{"errors": ["Name REF-1 is taken"]}',
        "<result><error><reason>Name REF-1 is taken</reason></error></result>",
    ):
        assert read(body, code).error_text == "Name *** is taken"


@pytest.mark.parametrize(
    "call_id",
    [
        *("12025550143", "2025550143", "16175550178", "1-202-555-0143", "campaign_12025550143", "8005550100"),
        *("18005550100", "7775550100", "0815", "08-15", "REF-1", "ref1", "order77", "zebra_example_com"),
        *(BASIC.rstrip("="), "<script>", "tel:12025550143", "123-0815", "9" * 65),
    ],
)
def test_a_call_id_that_repeats_something_is_counted_and_not_harmless(call_id: str) -> None:
    contacts = LIST + b"+17775550100;ani=8005550100,x\n"
    body = json.dumps({"status": "queued", "call_ids": [call_id, "123456789"]})
    everything = sent(contacts=contacts)
    response = read(body, sent=everything)
    assert (everything.harmless(response.call_ids), response.call_id_count) == (["123456789"], 2)
    assert not [text for text in (response.body, repr(response)) if call_id in text or "123456789" in text]


def test_a_contact_file_that_can_no_longer_be_read_hides_all() -> None:
    class Gone(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError

    gone = Sent([], [("phone_number_list", Upload(Gone(), "calls.csv", 9))])
    response = read(
        '<queuecalls status="queued"><error>not valid</error><call call_id="1234"/></queuecalls>', sent=gone
    )
    assert (gone.harmless(response.call_ids), response.error_text) == ([], "not ***")


@pytest.mark.parametrize(
    "cell",
    [
        "quota", "QUOTA", "the quota", "\N{FULLWIDTH LATIN SMALL LETTER Q}uota", "quo\u200dta", "quo\u00adta",
        "\ufeffquota", "q-u-o-t-a", "x_quota_y", "myquotas", "zürich quota", "QuOtA",
    ],
)  # fmt: skip
@pytest.mark.parametrize("padding", [0, (1 << 20) - 3, 1 << 20])
def test_a_word_of_the_contact_file_is_not_shown(cell: str, padding: int) -> None:
    contacts = b"1" * padding + b"\n12025550143,REF-1," + cell.encode() + b"\n"
    assert read("<error>quota exceeded</error>").error_text == "quota exceeded"
    assert read("<error>quota exceeded</error>", sent=sent(contacts=contacts)).error_text == "*** exceeded"
    assert read("<error>quota exceeded</error>", sent=sent(cell)).error_text == "*** exceeded"


@pytest.mark.parametrize("cell", ["is no", "isno", "at is no use"])
def test_short_words_are_shown_unless_they_are_sent_together(cell: str) -> None:
    everything = sent(contacts=LIST + f"16175550178,{cell}\n".encode())
    assert read("<error>It is no use</error>", sent=sent()).error_text == "It is no use"
    assert read("<error>It is valid, no</error>", sent=everything).error_text == "It is valid, no"
    assert "is no" not in read("<error>It is no number</error>", sent=everything).error_text


def test_the_words_are_plain_and_none_is_too_long() -> None:
    assert all(re.fullmatch("[a-z']{1,16}", word) for word in ALLOWED_WORDS)


#: How a service may write what it got.
ESCAPERS = (*SPELLINGS.values(), str.title, "_".join, ".".join, "<br/>".join, ", ".join)
SKELETON = "Campaign is not valid: {} on line 1"


SHAPES: tuple[Callable[[str], str], ...] = (
    lambda text: f"<queuecalls status='failed'><error>{SKELETON.format(html.escape(text))}</error></queuecalls>",
    lambda text: f'<queuecalls status="failed" message_reference="{html.escape(text)}"/>',
    lambda text: f"<queuecalls><{text}>{html.escape(text)}</{text}></queuecalls>",
    lambda text: f"<queuecalls><field name='{html.escape(text)}'><![CDATA[{text}]]></field></queuecalls>",
    lambda text: f'<queuecalls status="queued"><call call_id="{html.escape(text)}"/></queuecalls>',
    lambda text: f'<queuecalls status="{html.escape(text)}" line="{html.escape(text)}"/>',
    lambda text: f"<queuecalls><pre>Array([pin] => {html.escape(text)})</pre></queuecalls>",
    lambda text: f"<html><body>{text}</body></html>",
    lambda text: json.dumps({"status": "failure", "error": SKELETON.format(text)}),
    lambda text: json.dumps({"status": text, text: {"code": text, "call_id": text}}),
    lambda text: json.dumps({"error": json.dumps({"pin": text, text: [text]})}),
    lambda text: json.dumps({"status": "queued", "call_ids": [text], "total": text}),
    lambda text: json.dumps({"error": f"pin={text}&x=1"}, ensure_ascii=False),
    lambda text: f"pin={text}",
)


LETTERS = st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyzéüßñABC0123456789 .-_'&<>/\\+@"), min_size=4, max_size=16)
VALUES = st.one_of(
    LETTERS,
    st.text(min_size=4, max_size=12),
    st.from_regex(r"1[2-9][0-9]{9}", fullmatch=True),
    st.lists(st.sampled_from(sorted(ALLOWED_WORDS)), min_size=1, max_size=3).map("".join),
    st.lists(st.sampled_from(sorted(ALLOWED_WORDS)), min_size=2, max_size=3).map(" ".join),
)


def harmless(text: str) -> bool:
    """Whether a value can be told from what the test's own bodies and a response's names consist of."""
    own = folded("".join(shape("") for shape in SHAPES)) + "textxmljsonhtmlbinarydatamorethanbytes"
    return len(folded(text)) > 3 and not any(folded(text) in folded(str(name)) for name in (own, *KNOWN_NAMES))


@given(VALUES.filter(harmless), st.lists(st.sampled_from(ESCAPERS), max_size=3), st.sampled_from(SHAPES), st.booleans())
def test_no_value_is_shown_however_it_is_spelled(
    value: str, escapers: list[Callable[[str], str]], shape: Callable[[str], str], as_field: bool
) -> None:
    text = value
    for escape in escapers:
        text = escape(text)
    cell = re.sub(r'[,;|"\t\r\n]', "", value) if not as_field else "REF-1"
    assume(len(folded(cell)) > 3)
    value = value if as_field else cell
    everything = sent(*([value] if as_field else []), contacts=LIST + f"16175550178,{cell}\n".encode(errors="replace"))
    response = read(shape(text).encode(errors="replace"), sent=everything)
    visible = "|".join((response.body, response.error_text, *everything.harmless(response.call_ids)))
    # What stands between two marks of the format, or of what is hidden.
    assert not any(folded(value) in folded(part) for part in re.split(r"[*<>{}\[\]\":=|]", visible))
