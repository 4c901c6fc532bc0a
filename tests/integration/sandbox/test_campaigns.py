"""Campaigns over real HTTP: what the sandbox receives, and what it responds."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from airflow_provider_queuecalls.client.campaign import Campaign
from airflow_provider_queuecalls.exceptions import Refused
from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook
from airflow_provider_queuecalls.outcome import Outcome
from airflow_provider_queuecalls.sandbox.server import Sandbox, run_sandbox
from tests.support.sandbox import CONTACTS, FORM, START_URL, post, post_form


def test_the_sandbox_receives_what_the_hook_was_given(sandbox: Sandbox, hook: QueueCallsHook, contacts: Path) -> None:
    given: dict[str, Any] = {
        "start_url": "https://voice.example/start?a=1&b=2",
        "result_url": "https://voice.example/result",
        "campaign_name": 'Bäckerei <1> & "co"',
        "message_reference": "order\r\n--7\x01",
        "call_parameters": "lang=ja;name=日本",
        "max_retries": 3,
        "retry_interval": 600,
        "scheduled_timestamp": 4_000_000_000,
        "expiration_time": "oct 14th, 2096 11:05PM EST",
    }

    response = hook.queue_calls(contacts, Campaign(**given))

    (campaign,) = sandbox.campaigns
    calls = sandbox.calls_of(given["campaign_name"])
    assert response.outcome is Outcome.QUEUED
    assert campaign.name == given["campaign_name"]
    assert campaign.parameters == {name: str(value) for name, value in given.items()}
    assert campaign.file_name == "contacts.csv"
    assert campaign.digest == f"sha256:{hashlib.sha256(CONTACTS).hexdigest()}"
    assert campaign.contacts == 3
    assert [(call.line, call.phone_number, call.message_reference, call.call_parameter) for call in calls] == [
        (1, "16175550100", "order-1", "lang=en"),
        (2, "16175550101", "order-2", None),
        (3, "16175550102", None, None),
    ]
    assert response.call_ids == tuple(str(call.call_id) for call in calls)


def test_the_response_has_the_single_calls_shape_and_repeats_the_form_with_its_secrets(sandbox: Sandbox) -> None:
    response = ElementTree.fromstring(post_form(sandbox, {**FORM, "message_reference": "a<b&c"}).content)

    assert (response.tag, response.get("status")) == ("queuecalls", "queued")
    assert {child.tag: child.text for child in response if child.tag != "queuecall"} == {
        **FORM,
        "message_reference": "a<b&c",
    }
    call_ids = [call.get("call_id", "") for call in response.iter("queuecall")]
    assert len(set(call_ids)) == 3
    assert all(re.fullmatch(r"\d{9}", call_id) for call_id in call_ids)


def test_a_campaign_needs_no_name(sandbox: Sandbox) -> None:
    for _ in range(2):
        assert b'status="queued"' in post_form(sandbox, FORM).content

    assert [campaign.name for campaign in sandbox.campaigns] == [None, None]


@pytest.mark.parametrize(
    "rows",
    [
        "tel:12223456547\n",
        "tel:+16177123000\n",
        "+1234567890;ani=8001234567\n",
        "16175550100;postd=1234\r\n16175550101\r\n",
        "16175550100",
        "\n16175550100\n\n",
        f"16175550100,{'é' * 64},{'p' * 255}\n",
        "16175550100,,\n",
        "16175550100,two words\u00a0and more,\n",
    ],
)
def test_every_spelling_that_the_vendor_shows_is_accepted(sandbox: Sandbox, rows: str) -> None:
    assert b'status="queued"' in post_form(sandbox, FORM, rows.encode()).content

    (campaign,) = sandbox.campaigns
    assert campaign.contacts == sum(1 for row in rows.splitlines() if row)


def test_every_contact_of_a_long_file_becomes_one_call(sandbox: Sandbox, hook: QueueCallsHook, tmp_path: Path) -> None:
    path = tmp_path / "many.csv"
    path.write_text("".join(f"1617{number:07d},r{number}\n" for number in range(20_000)))

    response = hook.queue_calls(path, Campaign(start_url=FORM["start_url"], campaign_name="many"))

    calls = sandbox.calls_of("many")
    assert response.call_id_count == len(calls) == 20_000
    assert (calls[0].message_reference, calls[-1].message_reference) == ("r0", "r19999")
    assert set(sandbox.numbers.values()) == {1}


def test_fields_can_be_renamed(contacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with run_sandbox(field_names={"max_retries": "max_retry", "secure": "is_pci"}) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_QUEUECALLS_DEFAULT", sandbox.connection)
        QueueCallsHook().queue_calls(contacts, Campaign(start_url=FORM["start_url"], max_retries=0, secure=True))

        (campaign,) = sandbox.campaigns
        assert campaign.parameters == {"start_url": FORM["start_url"], "max_retries": "0", "secure": "1"}


def test_calls_of_an_unknown_campaign_are_an_error(sandbox: Sandbox) -> None:
    with pytest.raises(KeyError, match="no campaign 'never'"):
        sandbox.calls_of("never")


def test_responses_in_json_are_understood(monkeypatch: pytest.MonkeyPatch, small_list: Path) -> None:
    with run_sandbox(speed=0, response_format="json") as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_QUEUECALLS_DEFAULT", sandbox.connection)
        campaign = Campaign(start_url=START_URL, campaign_name="spring")
        response = QueueCallsHook().queue_calls(small_list, campaign)
        assert response.call_ids == tuple(str(call.call_id) for call in sandbox.calls)
        with pytest.raises(Refused):
            QueueCallsHook().queue_calls(small_list, campaign)

        body = post(sandbox, campaign_name="spring").json()
        assert (body["status"], body["error"][0]["field"]) == ("failure", "campaign_name")
        assert post(sandbox, "16175550100\n" * 2500).json()["result"]["call_ids"][-1] == str(sandbox.calls[-1].call_id)


def test_names_can_be_reused_where_they_need_not_be_unique() -> None:
    with run_sandbox(speed=0, unique_names=False) as sandbox:
        assert [post(sandbox, campaign_name="a").status_code for _ in range(2)] == [200, 200]
        assert [campaign.name for campaign in sandbox.campaigns] == ["a", "a"]
        assert len(sandbox.calls_of("a")) == 2
