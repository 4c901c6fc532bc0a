"""What the sandbox refuses."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from airflow_provider_queuecalls.client.campaign import PARAMETERS, Campaign
from airflow_provider_queuecalls.client.connection import DEFAULT_PATH
from airflow_provider_queuecalls.exceptions import Refused
from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook
from airflow_provider_queuecalls.sandbox.server import Sandbox, run_sandbox
from tests.support.sandbox import CONTACTS, FORM, LOGIN, PIN, post, post_form, refused_fields

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


@pytest.fixture(scope="module")
def with_is_pci() -> Iterator[Sandbox]:
    """Another one, which takes the parameter ``secure`` as well."""
    with run_sandbox(login=LOGIN, pin=PIN, field_names={"secure": "is_pci"}) as sandbox:
        yield sandbox


def test_every_parameter_but_the_file_has_an_invalid_value_above() -> None:
    assert {parameter.name for parameter in PARAMETERS} - set(WRONG) == {"contacts"}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_an_invalid_value_is_refused_by_its_fields_name(with_is_pci: Sandbox, name: str, value: str | None) -> None:
    response = post_form(with_is_pci, {**FORM, "is_pci" if name == "secure" else name: value})

    assert refused_fields(response) == ["is_pci" if name == "secure" else name]
    assert (with_is_pci.campaigns, with_is_pci.numbers) == ([], {})


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (b"", "contains no contact"),
        (b"\n \r\n", "contains no contact"),
        (b"\xef\xbb\xbf16175550100\n", "line 1 starts with a byte-order mark"),
        (b"16175550100,caf\xe9\n", "line 1 is not UTF-8"),
        (b"phone_number,message_reference\n16175550100\n", "line 1 has an invalid phone number"),
        (b"16175550100\n\n,order-1\n", "line 3 has no phone number"),
        (b"16175550100,a,b,c\n", "line 1 has 4 cells"),
        (b'16175550100,"a"\n', "line 1 contains a quote"),
        (b"16175550100\r16175550101\r", "line 1 contains a control character"),
        (b"16175550100\r\r\n", "line 1 contains a control character"),
        (b"16175550100," + b"x" * 129, "line 1 has a message_reference longer than 128"),
        (b"16175550100," + "é".encode() * 65, "line 1 has a message_reference longer than 128"),
        (b"16175550100,," + b"x" * 256, "line 1 has a call_parameter longer than 255"),
        (b"16175550100\n" + b"1" * 300_000, "line 2 is longer than 4096 bytes"),
        (b"x\n" * 12, "line 10 has an invalid phone number, 2 more"),
        ("\uff11617555010\uff10\n".encode(), "line 1 has an invalid phone number"),
    ],
)
def test_an_invalid_row_refuses_the_whole_file(strict: Sandbox, rows: bytes, problem: str) -> None:
    response = post_form(strict, {**FORM, "campaign_name": "rows"}, rows)

    assert refused_fields(response) == ["phone_number_list"]
    assert problem in response.text
    assert (strict.campaigns, strict.numbers) == ([], {})


def test_invalid_fields_and_invalid_rows_are_reported_together(strict: Sandbox) -> None:
    response = post_form(strict, {**FORM, "max_retries": "11", "retry_interval": "1"}, b"nobody\n")

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
def test_unknown_repeated_and_contradictory_fields_are_refused(
    strict: Sandbox, form: dict[str, Any], fields: list[str]
) -> None:
    assert refused_fields(post_form(strict, {**FORM, **form})) == fields
    assert strict.campaigns == []


@pytest.mark.parametrize(
    ("files", "fields"),
    [
        ({"max_retries": (None, "1")}, ["phone_number_list"]),
        ({"phone_number_list": (None, "16175550100\n")}, ["phone_number_list"]),
        ([("phone_number_list", ("a.csv", CONTACTS)), ("phone_number_list", ("b.csv", CONTACTS))], ["phone_number_list"]),
        ([("phone_number_list", ("a.csv", CONTACTS)), ("result_url", ("b.csv", CONTACTS))], ["result_url"]),
    ],
)  # fmt: skip
def test_the_form_must_have_one_file_the_contact_file(strict: Sandbox, files: Any, fields: list[str]) -> None:
    assert refused_fields(post_form(strict, FORM, files=files)) == fields
    assert strict.campaigns == []


def test_a_campaign_name_can_be_used_once(sandbox: Sandbox, hook: QueueCallsHook, contacts: Path) -> None:
    campaign = Campaign(start_url=FORM["start_url"], campaign_name="once")
    hook.queue_calls(contacts, campaign)

    with pytest.raises(Refused, match="campaign_name is taken"):
        hook.queue_calls(contacts, campaign)

    assert len(sandbox.campaigns) == 1
    assert set(sandbox.numbers.values()) == {1}


def test_markup_and_control_characters_do_not_break_the_response(strict: Sandbox) -> None:
    response = post_form(strict, {**FORM, "<x>\x02": "1", "message_reference": "\x00]]>"})

    assert refused_fields(response) == ["<x>\ufffd"]


def test_only_multipart_forms_are_accepted(strict: Sandbox) -> None:
    response = requests.post(strict.url + DEFAULT_PATH, data=FORM, timeout=30)

    assert response.status_code == 415


@pytest.mark.parametrize("cut", [1, 2, 40, 150])
def test_a_truncated_upload_queues_nothing(sandbox: Sandbox, cut: int) -> None:
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
    assert b'status="queued"' in post_form(sandbox, {**FORM, "campaign_name": "cut"}).content
    assert len(sandbox.campaigns) == 1


def test_an_empty_optional_field_counts_as_not_given(sandbox: Sandbox) -> None:
    assert (
        b'status="queued"' in post_form(sandbox, {**FORM, "campaign_name": "", "max_retries": "", "secure": []}).content
    )

    (campaign,) = sandbox.campaigns
    assert campaign.name is None


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({"pin": "wrong"}, 401),
        ({"campaign_name": "taken"}, 409),
        ({"max_retries": "11"}, 422),
        ({"max_retries": "11", "login": "x"}, 401),
    ],
)
def test_errors_as_http_codes(form: dict[str, str], code: int) -> None:
    with run_sandbox(speed=0, errors="http") as sandbox:
        post(sandbox, campaign_name="taken")
        response = post(sandbox, **form)

        assert response.status_code == code
        assert f'field="{next(iter(form)) if code != 401 else list(form)[-1]}"' in response.text


def chunked(sandbox: Sandbox, body: bytes) -> requests.Response:
    """Upload without a length that could be looked at beforehand."""
    head = b'--b\r\nContent-Disposition: form-data; name="phone_number_list"; filename="c"\r\n\r\n'
    blocks = iter([head, body, b"\r\n--b--\r\n"])
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    return requests.post(f"{sandbox.url}/webservice/queuecalls.php", data=blocks, headers=headers, timeout=30)


def test_an_upload_that_is_too_large_is_refused_early() -> None:
    with run_sandbox(speed=0, max_upload_bytes=1 << 20) as sandbox:
        assert post(sandbox, "1" * (1 << 20)).status_code == 413
        assert chunked(sandbox, b"1" * (1 << 20)).status_code == 413
        assert chunked(sandbox, b"1" * (1 << 10)).status_code == 200
        assert post(sandbox).status_code == 200
        assert sandbox.journal[0].note == "Refused: The upload is larger than 1048576 bytes."
