"""A delivery as a whole, without Airflow: check, intent, one POST, receipt."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_queuecalls import delivery as delivery_module
from airflow_provider_queuecalls.client import Campaign, Endpoint
from airflow_provider_queuecalls.client.client import Client
from airflow_provider_queuecalls.contacts import ContactRules
from airflow_provider_queuecalls.delivery import Delivery, deliver
from airflow_provider_queuecalls.exceptions import (
    AlreadySent,
    InvalidCampaign,
    InvalidContactRules,
    InvalidContacts,
    NotSent,
    OutcomeUnknown,
    QueueCallsError,
    Refused,
)
from airflow_provider_queuecalls.hooks import queuecalls as hook_module
from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook
from airflow_provider_queuecalls.outcome import Outcome
from airflow_provider_queuecalls.records.sent.entry import Entry, State
from airflow_provider_queuecalls.records.sent.ledger import Ledger, Try
from airflow_provider_queuecalls.records.sent.stores import LocalStore
from tests.integration.conftest import LARGE_BYTES
from tests.support import fault_server as faults
from tests.support.outcomes import MIDWAY, QUEUED_XML

if TYPE_CHECKING:
    from pytest_mock import MockerFixture

CAMPAIGN = Campaign(start_url="https://ivr.example.com/x.vxml", campaign_name="spring")


@pytest.fixture
def server() -> Iterator[faults.FaultServer]:
    with faults.FaultServer(faults.QUEUED_WITH_ID) as server:
        yield server


def client_of(server: faults.FaultServer) -> Client:
    return Client(Endpoint(url=f"{server.url}/x", login="login", password="4711", pin="4711"))


@pytest.fixture
def send(server: faults.FaultServer, small_list: Path, receipts_folder: Path) -> Callable[..., Delivery]:
    def deliver_once(client: Client | None = None, campaign: Campaign = CAMPAIGN, **options: Any) -> Delivery:
        this = Try(1, "run-1", options.pop("resend", False))
        return deliver(
            campaign,
            options.pop("contacts", small_list),
            client or client_of(server),
            lambda key: Ledger(LocalStore(receipts_folder, key.digest), key, this),
            **options,
        )

    return deliver_once


@pytest.fixture
def long_list(tmp_path: Path) -> Path:
    """Too long for the socket buffers, and quick to check."""
    path = tmp_path / "long.csv"
    path.write_bytes(b"16175550100," + b"r" * 128 + b"," + b"p" * 255 + b"\n")
    path.write_bytes(path.read_bytes() * (LARGE_BYTES // 400))
    return path


def states(folder: Path) -> list[State]:
    """Every entry on record."""
    import json

    files = sorted((folder / "receipts").rglob("*.json"))
    return [Entry.from_json(json.loads(file.read_text())).state for file in files]


def test_a_campaign_is_sent_once_and_its_result_returned_again(
    send: Any, server: faults.FaultServer, tmp_path: Path
) -> None:
    first, again = send(), send()
    assert (first.outcome, again.outcome) == (Outcome.QUEUED, Outcome.QUEUED)
    assert first.response is not None
    assert again.response is None
    assert again.result == first.result
    assert len(server.posts) == 1
    assert states(tmp_path) == [State.COMPLETE, State.RECEIPT, State.RECEIPT]


@pytest.mark.parametrize("content", [None, "", "nobody\n"])
def test_an_error_of_the_check_says_that_nothing_was_sent(send: Any, tmp_path: Path, content: str | None) -> None:
    contacts = tmp_path / "list.csv"
    if content is not None:
        contacts.write_text(content)
    with pytest.raises(InvalidContacts, match=r"[ \n]Nothing was sent\.$"):
        send(contacts=contacts)


def test_a_worker_that_is_lost_while_it_reads_the_list_once_more_leaves_a_receipt(
    send: Any, server: faults.FaultServer, mocker: MockerFixture
) -> None:
    mocker.patch.object(Client, "harmless_call_ids", side_effect=SystemExit)
    with pytest.raises(SystemExit):
        send()
    again = send()
    assert (again.outcome, again.result["call_id_count"], again.result["call_ids"]) == (Outcome.QUEUED, 1, [])
    assert len(server.posts) == 1


def test_a_phone_number_in_the_name_of_the_contact_file_is_not_logged(
    send: Any, small_list: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    send(contacts=small_list.rename(tmp_path / "16175550143.csv"), dry_run=True)
    assert "Checked '###########.csv': " in caplog.text
    assert "16175550143" not in caplog.text


def test_a_dry_run_sends_and_records_nothing(send: Any, server: faults.FaultServer, tmp_path: Path) -> None:
    delivery = send(dry_run=True)
    assert (delivery.outcome, delivery.dry_run, delivery.result["dry_run"]) == (Outcome.NOT_SENT, True, True)
    assert server.requests == []
    assert states(tmp_path) == []


def test_only_the_expected_list_is_sent(send: Any, server: faults.FaultServer) -> None:
    digest = send(dry_run=True).report.digest
    with pytest.raises(InvalidContacts, match="The list is not the expected one") as caught:
        send(expected_digest=f"sha256:{'0' * 64}")
    assert caught.value.delivery.outcome is Outcome.NOT_SENT
    assert server.requests == []
    assert send(expected_digest=digest).outcome is Outcome.QUEUED


def test_a_campaign_without_a_name_has_no_record_and_is_not_sent(send: Any, server: faults.FaultServer) -> None:
    with pytest.raises(InvalidCampaign, match="campaign_name"):
        send(campaign=Campaign(start_url=CAMPAIGN.start_url))
    assert server.requests == []


@pytest.mark.parametrize(
    ("act", "kind", "outcome", "left"),
    [
        (faults.respond(403), Refused, Outcome.REFUSED, [State.COMPLETE, State.OPEN]),
        (faults.close(), OutcomeUnknown, Outcome.UNKNOWN, [State.COMPLETE, State.COMPLETE]),
    ],
)
def test_a_failed_delivery_is_on_record_and_on_its_error(  # noqa: PLR0917
    act: faults.Act, kind: type[QueueCallsError], outcome: Outcome, left: list[State], send: Any, tmp_path: Path
) -> None:
    with faults.FaultServer(act) as server, pytest.raises(kind) as caught:
        send(client_of(server))
    assert caught.value.delivery is not None
    assert caught.value.delivery.outcome is outcome
    assert ("queuecalls records resolve" in str(caught.value)) is (outcome is Outcome.UNKNOWN)
    assert caught.value.delivery.dry_run is False
    assert states(tmp_path) == left


@pytest.mark.parametrize(
    ("act", "kind", "left"),
    [
        (faults.QUEUED_WITH_ID, None, [State.INTENT, State.COMPLETE, State.RECEIPT, State.RECEIPT]),
        (faults.reset(MIDWAY), NotSent, [State.INTENT, State.OPEN]),
        (faults.respond(200, QUEUED_XML, receive=MIDWAY), OutcomeUnknown, [State.INTENT, State.COMPLETE]),
    ],
    ids=["queued", "reset midway", "queued midway"],
)
def test_a_long_list_has_two_marks(  # noqa: PLR0917
    act: faults.Act, kind: type[QueueCallsError] | None, left: list[State], send: Any, long_list: Path, tmp_path: Path
) -> None:
    with faults.FaultServer(act) as server, pytest.raises(kind) if kind else nullcontext():
        send(client_of(server), contacts=long_list, rules=ContactRules(duplicates="keep"))
    assert states(tmp_path) == left


def test_a_try_that_was_taken_over_keeps_the_end_of_its_list_back(send: Any, long_list: Path, tmp_path: Path) -> None:
    """While the first try sends, frozen or slow, the second finds its intent and sends too."""

    def meanwhile(exchange: faults.Exchange) -> None:
        exchange.receive(MIDWAY)
        assert send_list().outcome is Outcome.QUEUED
        exchange.receive()

    def send_list() -> Delivery:
        delivery: Delivery = send(client_of(server), contacts=long_list, rules=ContactRules(duplicates="keep"))
        return delivery

    with (
        faults.FaultServer(meanwhile, faults.QUEUED_WITH_ID) as server,
        pytest.raises(AlreadySent, match=r"was queued by another task at .* Clear it to get its result"),
    ):
        send_list()
    assert (len(server.posts), len(server.uploads)) == (2, 1)
    assert states(tmp_path) == [State.INTENT, State.INTENT, State.COMPLETE, State.RECEIPT, State.RECEIPT]


def test_another_list_under_the_same_name_is_not_sent(send: Any, server: faults.FaultServer, tmp_path: Path) -> None:
    send()
    other = tmp_path / "other.csv"
    other.write_text("16175550199\n")
    with pytest.raises(AlreadySent):
        send(contacts=other)
    assert send(
        contacts=other, rules=ContactRules(), campaign=Campaign(start_url=CAMPAIGN.start_url, campaign_name="b")
    )
    assert len(server.posts) == 2


def test_the_rejects_are_there_before_anything_is_sent(send: Any, small_list: Path, tmp_path: Path) -> None:
    rejects, seen = tmp_path / "rejects.csv", []
    small_list.write_text(f"{small_list.read_text()}nobody\n")

    def look(exchange: faults.Exchange) -> None:
        seen.append(rejects.read_text())
        faults.QUEUED(exchange)

    with faults.FaultServer(look) as server:
        send(client_of(server), rejects=nullcontext(rejects), rules=ContactRules(on_invalid="skip"))
    assert "nobody" in seen[0]


MOMENTS = ("find", "record_intent")


@pytest.mark.parametrize("moment", ["at once", *MOMENTS])
def test_a_delivery_that_is_stopped_sends_nothing(  # noqa: PLR0917
    moment: str, send: Any, server: faults.FaultServer, small_list: Path, tmp_path: Path, mocker: Any
) -> None:
    client = client_of(server)
    if moment == "at once":
        client.stop.request()
    else:
        step = getattr(Ledger, moment)

        def stopped_after(ledger: Ledger, *arguments: Any, **options: Any) -> Any:
            found = step(ledger, *arguments, **options)
            client.stop.request()
            return found

        mocker.patch.object(Ledger, moment, stopped_after)
    with pytest.raises(NotSent, match=r"[Tt]he task was stopped"):
        send(client)
    mocker.stopall()
    assert server.posts == []
    assert states(tmp_path)[-1:] in ([], [State.OPEN])
    assert send().outcome is Outcome.QUEUED


def test_the_hook_delivers_once(
    connect: Any, server: faults.FaultServer, small_list: Path, receipts_folder: Path
) -> None:
    connect(server.url)
    hook, receipts = QueueCallsHook(), str(receipts_folder)
    first = hook.deliver(small_list, CAMPAIGN, receipts_path=receipts)
    assert hook.deliver(small_list, CAMPAIGN, receipts_path=receipts).result == first.result
    assert len(server.posts) == 1
    hook.deliver(small_list, CAMPAIGN, receipts_path=receipts, resend=True)
    assert len(server.posts) == 2


@pytest.mark.parametrize("given", ["false", " False ", "0", 0, False])
def test_the_hook_reads_switches_as_the_operator_does(
    given: Any, connect: Any, server: faults.FaultServer, small_list: Path, receipts_folder: Path
) -> None:
    connect(server.url)
    for _ in range(2):
        QueueCallsHook().deliver(small_list, CAMPAIGN, receipts_path=str(receipts_folder), resend=given, dry_run=given)
    assert len(server.posts) == 1


@pytest.mark.parametrize("name", ["dry_run", "resend"])
@pytest.mark.parametrize("given", [None, "", "None", "maybe", 2, 0.5, []])
def test_the_hook_refuses_what_is_no_switch(  # noqa: PLR0917
    name: str, given: Any, connect: Any, server: faults.FaultServer, small_list: Path, receipts_folder: Path
) -> None:
    connect(server.url)
    with pytest.raises(InvalidCampaign, match=name):
        QueueCallsHook().deliver(small_list, CAMPAIGN, receipts_path=str(receipts_folder), **{name: given})
    assert server.posts == []


def test_a_url_is_refused_where_no_operator_reads_it(
    connect: Any, server: faults.FaultServer, receipts_folder: Path
) -> None:
    connect(server.url)
    with pytest.raises(InvalidContacts, match=r"is a URL, and only operators read URLs\. Download it"):
        QueueCallsHook().deliver("s3://conn@bucket/calls.csv", CAMPAIGN, receipts_path=str(receipts_folder))


def test_retries_of_a_task_that_calls_the_hook_never_resend(
    connect: Any, server: faults.FaultServer, small_list: Path, receipts_folder: Path, mocker: MockerFixture
) -> None:
    connect(server.url)
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1, try_number=1, max_tries=2)
    mocker.patch.object(hook_module, "running_task", return_value=ti)

    def resend() -> Outcome:
        return QueueCallsHook().deliver(small_list, CAMPAIGN, receipts_path=str(receipts_folder), resend=True).outcome

    for ti.try_number in (1, 2, 3):
        assert resend() is Outcome.QUEUED
    assert len(server.posts) == 1
    ti.max_tries = 5  # it was cleared
    assert resend() is Outcome.QUEUED
    assert len(server.posts) == 2


def test_the_hook_limits_the_memory_of_the_check_by_airflows_configuration(
    connect: Any, server: faults.FaultServer, small_list: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(server.url)
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__CHECK_MEMORY_MB", "8")
    with pytest.raises(InvalidContactRules, match="check_memory_mb is '8', which is too small"):
        QueueCallsHook().deliver(small_list, CAMPAIGN, receipts_path="none")
    assert server.posts == []


# Calling hours.

LOS_ANGELES, FORBIDDEN_UNTIL = "12135550100", "2099-01-15T16:00:00Z"  # 8:00 in Los Angeles


@pytest.fixture
def western_list(tmp_path: Path) -> Path:
    path = tmp_path / "west.csv"
    path.write_text(f"{LOS_ANGELES}\n12125550100\n")
    return path


def dated(start: str | None, end: str | None = None, **values: Any) -> Campaign:
    return replace(CAMPAIGN, scheduled_timestamp=start, expiration_timestamp=end, **values)


def test_nothing_is_sent_that_could_call_outside_hours(
    send: Any, server: faults.FaultServer, western_list: Path, tmp_path: Path
) -> None:
    rules = ContactRules(calling_hours="08:00-21:00")
    early = dated("2099-01-15T15:59:00Z", "2099-01-15T23:00:00Z")
    with pytest.raises(InvalidContacts, match="America/Los_Angeles: 1 of 1 rows") as caught:
        send(contacts=western_list, campaign=early, rules=rules)
    assert LOS_ANGELES not in str(caught.value)
    assert server.requests == []
    assert states(tmp_path) == []
    delivery = send(contacts=western_list, campaign=dated(FORBIDDEN_UNTIL, "2099-01-16T01:55:00Z"), rules=rules)
    assert delivery.result["zones"]["America/Los_Angeles"] == {"contacts": 1, "outside_hours": 0}


def test_a_campaign_without_an_expiration_gets_the_latest_that_is_right_for_all(
    send: Any, server: faults.FaultServer, western_list: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    rules = ContactRules(calling_hours="08:00-21:00")
    campaign = dated(FORBIDDEN_UNTIL, max_retries=5, retry_interval="3 hours")
    delivery = send(contacts=western_list, campaign=campaign, rules=rules)
    end = 4_072_211_700  # 20:55 in New York
    assert (delivery.result["expiration_timestamp"], delivery.result["calls_from"]) == (end, end - 35_700)
    assert f'name="expiration_timestamp"\r\n\r\n{end}\r\n'.encode() in server.posts[0].body
    assert "Calls end at 2099-01-16 01:55 UTC, the latest time that is right for all contacts" in caplog.text
    assert "so at most 4 of 6 attempts fit with a retry_interval of 3 hours" in caplog.text
    assert send(contacts=western_list, campaign=campaign, rules=rules).result == delivery.result


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"scheduled_time": "+1 day"}, "scheduled_time cannot be proven to be within calling_hours"),
        ({"expiration_time": "+3 days"}, "expiration_time cannot be proven to be within calling_hours"),
        ({"expiration_timestamp": 0}, "expiration_timestamp is 0, which is never"),
    ],
)
def test_a_time_that_cannot_be_proven_is_refused_together_with_calling_hours(
    send: Any, server: faults.FaultServer, values: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InvalidCampaign, match=problem):
        send(campaign=replace(CAMPAIGN, **values), rules=ContactRules(calling_hours="00:00-24:00"))
    assert server.requests == []


def test_the_hours_are_decided_about_again_when_the_first_byte_is_about_to_leave(
    send: Any, server: faults.FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection may have taken long, or the clock of this machine may have been set."""
    rules = ContactRules(calling_hours="00:00-24:00", unknown_zone="strictest")
    send(dry_run=True, rules=rules)
    late = time.time() + 30 * 86_400
    monkeypatch.setattr(delivery_module, "time", SimpleNamespace(time=lambda: late))
    with pytest.raises(InvalidCampaign, match="calling_hours no longer allow all calls of this campaign"):
        send(rules=rules)
    assert server.posts == []
    assert states(tmp_path) == []


def test_calling_hours_do_not_excuse_a_late_start(send: Any, server: faults.FaultServer) -> None:
    """They give the campaign an expiration, with which it may otherwise be as late as it likes."""
    late = replace(CAMPAIGN, scheduled_timestamp=int(time.time()) - 3600)
    rules = ContactRules(calling_hours="00:00-24:00", unknown_zone="strictest")
    with pytest.raises(InvalidCampaign, match="start_late"):
        send(campaign=late, rules=rules, dry_run=True)
    with pytest.raises(InvalidCampaign, match="start_late"):
        send(campaign=late, rules=rules)
    assert send(campaign=replace(late, start_late="2 hours"), rules=rules).outcome is Outcome.QUEUED
    assert len(server.posts) == 1
