"""``max_per_period``: campaigns one after the other and at the same moment, with the record in SQLite and in PostgreSQL."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from airflow_provider_queuecalls._airflow.compat import AirflowFailException
from airflow_provider_queuecalls.cli import main
from airflow_provider_queuecalls.client.client import Client
from airflow_provider_queuecalls.contacts import check
from airflow_provider_queuecalls.contacts.row_results.call_limit import CallLimit, LimitCheck
from airflow_provider_queuecalls.exceptions import CheckFailed, InvalidCampaign, InvalidContactRules, InvalidContacts
from airflow_provider_queuecalls.files.duckdb_session import Session
from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook
from airflow_provider_queuecalls.records.call_results import read_result
from airflow_provider_queuecalls.records.database.called_numbers import CalledNumbers
from airflow_provider_queuecalls.records.database.database import Database
from airflow_provider_queuecalls.records.database.pruning import prune_numbers
from airflow_provider_queuecalls.stopping import StopRequest
from tests.support.fault_server import QUEUED, FaultServer, reset, respond
from tests.support.patience import PATIENCE_SECONDS
from tests.support.sending import FORKSERVER, send, send_and_tell_from_a_process

SECRET, NEWER = "a-secret-of-ours-1", "a-newer-secret-of-2"
ANN, BOB, CAT = "16175550143", "16175550144", "16175550145"
HOUR = 3600
Call = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def configured(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__RESULTS_DATABASE", url)
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__RESULTS_SECRET", SECRET)


@pytest.fixture
def call(tmp_path: Path, receipts_folder: Path, service: FaultServer) -> Call:
    """Sends a campaign with this name to these numbers."""

    def call_numbers(name: str, *numbers: str, **parameters: Any) -> dict[str, Any]:
        path = tmp_path / f"{name}.csv"
        path.write_text("".join(f"{number}\n" for number in numbers))
        given = {"max_per_period": "1/24h", "on_invalid": "skip", "receipts_path": str(receipts_folder), **parameters}
        return send(contacts=str(path), campaign_name=name, **given)

    return call_numbers


@pytest.fixture
def run_sql(database: Database) -> Callable[..., list[Any]]:
    def run(statement: str, **values: Any) -> list[Any]:
        with database.transaction() as connection:
            result = connection.execute(text(statement), values)
            return list(result) if result.returns_rows else []

    return run


def cause_of(caught: pytest.ExceptionInfo[BaseException]) -> BaseException | None:
    return caught.value.__context__ if isinstance(caught.value, AirflowFailException) else caught.value


def counts(sent: dict[str, Any]) -> tuple[int, int]:
    return sent["contacts"], sent["rejected"]


def test_a_number_is_called_as_often_as_the_limit_allows(call: Call, service: FaultServer, run_sql: Any) -> None:
    assert counts(call("first", ANN, BOB, max_per_period="2/24h")) == (2, 0)
    assert counts(call("second", ANN, max_per_period="2/24h")) == (1, 0)
    assert counts(call("third", ANN, BOB, CAT, max_per_period="2/24h")) == (2, 1)
    assert service.posts[-1].body.count(b"1617555") == 2
    with pytest.raises(AirflowFailException) as caught:
        call("fourth", ANN, BOB, max_per_period="2/24h")
    assert "called_too_often: 2 rows, first in line 1" in str(caught.value)
    assert len(service.posts) == 3
    everything = str([run_sql(f"SELECT * FROM {table}") for table in ("queuecalls_requests", "queuecalls_numbers")])
    assert not any(number in everything or number[1:] in everything for number in (ANN, BOB, CAT))


def test_a_retry_returns_the_receipt_whatever_has_been_called_since(call: Call, service: FaultServer) -> None:
    first = call("first", ANN, BOB)
    call("second", CAT, max_per_period="9/24h")
    call("third", ANN, max_per_period="9/24h")
    assert call("first", ANN, BOB) == first
    assert len(service.posts) == 3


@pytest.mark.parametrize(
    ("act", "counts_later"),
    [
        (respond(200, b'<queuecalls status="failed"><error>no</error></queuecalls>'), False),
        (respond(429), False),
        (respond(500), True),
        (reset(), True),
    ],
    ids=["refused", "not accepted", "unknown", "connection lost"],
)
def test_a_campaign_that_was_not_queued_does_not_count(call: Call, connect: Any, act: Any, counts_later: bool) -> None:
    with FaultServer(act, QUEUED) as server:
        connect(server.url)
        with suppress(Exception):
            call("first", ANN)
        assert counts(call("second", ANN, BOB)) == ((1, 1) if counts_later else (2, 0))


def test_a_campaign_that_a_person_has_not_found_does_not_count(
    call: Call, connect: Any, receipts_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FaultServer(respond(500), QUEUED) as server:
        connect(server.url)
        with suppress(AirflowFailException):
            call("first", ANN)
        resolve = ["records", "resolve", "first", "--not-queued", "--receipts", str(receipts_folder), "--force"]
        assert main(resolve) == 0, capsys.readouterr()
        assert counts(call("second", ANN)) == (1, 0)


def test_the_answer_about_a_request_without_a_limit_leaves_the_earlier_one(
    call: Call, connect: Any, receipts_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FaultServer(QUEUED, respond(500), QUEUED) as server:
        connect(server.url)
        call("first", ANN)
        with suppress(AirflowFailException):
            call("first", ANN, run_id="manual__2", resend=True, max_per_period=None)
        resolve = ["records", "resolve", "first", "--not-queued", "--receipts", str(receipts_folder), "--force"]
        assert main(resolve) == 0, capsys.readouterr()
        assert counts(call("second", ANN, BOB)) == (1, 1)


def test_a_try_that_was_killed_keeps_its_place(call: Call, run_sql: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: object, record: Any, **__: object) -> None:
        record.record_intent(complete=False)
        raise Killed

    with monkeypatch.context() as broken:
        broken.setattr(Client, "queue_calls", killed)
        with pytest.raises(Killed):
            call("first", ANN)
    assert counts(call("second", ANN, BOB)) == (1, 1)
    assert counts(call("first", ANN)) == (1, 0)
    assert run_sql("SELECT sum(contacts) FROM queuecalls_requests") == [(2,)]


@pytest.mark.parametrize(
    ("starts", "ends", "allowed"),
    [(-25, -25, 1), (-23, -23, 0), (-25, 1, 0), (-30, -1, 0), (23, 23, 0), (25, 26, 1)],
    ids=["before the period", "within", "not ended", "ended within", "starts soon", "starts later"],
)
def test_what_counts_is_when_calls_start_and_end(
    call: Call, run_sql: Any, starts: int, ends: int, allowed: int
) -> None:
    call("first", ANN)
    now = int(time.time())
    run_sql(
        "UPDATE queuecalls_requests SET starts_at = :starts, ends_at = :ends",
        starts=now + starts * HOUR,
        ends=now + ends * HOUR,
    )
    assert counts(call("second", ANN, BOB)) == (1 + allowed, 1 - allowed)


def test_a_campaign_for_later_counts_from_its_start(call: Call) -> None:
    tomorrow = int(time.time()) + 30 * HOUR
    call("first", ANN, scheduled_timestamp=tomorrow, expiration_timestamp=tomorrow + HOUR)
    assert counts(call("second", ANN)) == (1, 0)
    assert counts(call("third", ANN, BOB, scheduled_timestamp=tomorrow + 3 * HOUR)) == (1, 1)
    with pytest.raises(AirflowFailException) as caught:
        call("fourth", ANN, scheduled_time="+3 days")
    assert isinstance(cause_of(caught), InvalidCampaign)


@pytest.mark.parametrize("longer_first", [True, False])
def test_campaigns_that_overlap_count_in_either_order(call: Call, longer_first: bool) -> None:
    now = int(time.time()) + HOUR
    long = {"scheduled_timestamp": now, "expiration_timestamp": now + 6 * 24 * HOUR}
    short = {"scheduled_timestamp": now + 5 * 24 * HOUR, "expiration_timestamp": now + 5 * 24 * HOUR + HOUR}
    first, second = (long, short) if longer_first else (short, long)
    call("first", ANN, **first)
    assert counts(call("second", ANN, BOB, **second)) == (1, 1)


def test_the_time_between_an_end_and_a_start_counts(call: Call) -> None:
    monday = int(time.time()) + 48 * HOUR
    days = [
        {"scheduled_timestamp": monday + days * 24 * HOUR, "expiration_timestamp": monday + (days * 24 + 13) * HOUR}
        for days in range(-1, 2)
    ]
    call("monday", ANN, **days[1])
    assert counts(call("sunday", ANN, BOB, **days[0])) == (1, 1)
    assert counts(call("tuesday", ANN, CAT, **days[2])) == (1, 1)
    assert counts(call("again", ANN, **days[2], max_per_period="1/10h")) == (1, 0)


def test_an_end_that_calling_hours_choose_counts(call: Call, run_sql: Any) -> None:
    call("first", ANN)
    later = int(time.time()) + 30 * HOUR
    run_sql("UPDATE queuecalls_requests SET starts_at = :later, ends_at = :later", later=later)
    assert counts(call("second", ANN, BOB, calling_hours="00:00-24:00")) == (1, 1)


def test_the_attempts_of_results_count(call: Call, database: Database) -> None:
    sent = call("first", ANN, BOB, CAT, max_per_period="3/24h")
    for number, attempts in ((ANN, "3"), ("(617) 555-0144", "2"), (CAT, "0")):
        fields = {"phone_number": number, "call_id": number, "result": "failed", "attempts": attempts}
        database.add(sent["campaign_key"], read_result(fields.items()))
    assert counts(call("second", ANN, BOB, CAT, max_per_period="3/24h")) == (2, 1)
    assert counts(call("third", ANN, BOB, CAT, max_per_period="3/24h")) == (1, 2)


def test_the_attempts_to_a_number_of_another_country_count(call: Call, database: Database) -> None:
    sent = call("first", "+4512345678", BOB, max_per_period="3/24h", phone_format="vendor")
    fields = {"phone_number": "+4512345678", "call_id": "1", "result": "failed", "attempts": "3"}
    database.add(sent["campaign_key"], read_result(fields.items()))
    assert counts(call("second", "+4512345678", BOB, max_per_period="3/24h", phone_format="vendor")) == (1, 1)


def test_numbers_of_an_older_secret_count_as_long_as_it_is_kept(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    call("first", ANN)
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__RESULTS_SECRET", f"{NEWER}, {SECRET}")
    assert counts(call("second", ANN, BOB)) == (1, 1)
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__RESULTS_SECRET", NEWER)
    with pytest.raises(CheckFailed, match="Add the old secret after the new one") as caught:
        call("third", CAT)
    assert SECRET not in str(caught.value)


def test_a_missing_or_unreachable_database_sends_nothing(
    call: Call, service: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for option, problem in (
        ("DATABASE", "needs [queuecalls] results_database"),
        ("SECRET", "needs [queuecalls] results_secret"),
    ):
        with monkeypatch.context() as without:
            without.delenv(f"AIRFLOW__QUEUECALLS__RESULTS_{option}")
            with pytest.raises(AirflowFailException) as caught:
                call("first", ANN)
            assert isinstance(cause_of(caught), InvalidContactRules)
            assert problem in str(caught.value)
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__RESULTS_DATABASE", "postgresql://me:secret@127.0.0.1:1/results")
    with pytest.raises(CheckFailed, match="max_per_period cannot be checked: The results database") as failed:
        call("first", ANN)
    assert "me:secret" not in str(failed.value)
    assert service.posts == []


def test_the_configuration_limits_all_campaigns(call: Call, monkeypatch: pytest.MonkeyPatch, small_list: Path) -> None:
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__MAX_PER_PERIOD", "1/24h")
    assert counts(call("first", ANN, BOB, max_per_period=None)) == (2, 0)
    assert counts(call("second", ANN, CAT, max_per_period=None)) == (1, 1)
    assert counts(call("third", ANN, max_per_period="2/24h")) == (1, 0)
    with pytest.raises(AirflowFailException, match="max_per_period is an empty text"):
        call("fourth", ANN, max_per_period="")


def test_hook_and_commands_take_the_limit(
    call: Call, tmp_path: Path, receipts_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from airflow_provider_queuecalls.client import Campaign

    call("first", ANN, BOB)
    campaign = Campaign(start_url="https://ivr.example.com/x.vxml", campaign_name="hook")
    with pytest.raises(InvalidContacts, match="called_too_often: 2 rows"):
        QueueCallsHook().deliver(
            tmp_path / "first.csv", campaign, receipts_path=str(receipts_folder), max_per_period="1/24h"
        )
    arguments = [str(tmp_path / "first.csv"), "--max-per-period", "1/24h", "--json"]
    assert main(["check", *arguments]) == 1
    assert '"called_too_often": 2' in capsys.readouterr().out
    record = ["--yes", "--receipts", str(receipts_folder), "--campaign-name", "send"]
    options = [*record, "--start-url", campaign.start_url or ""]
    assert main(["send", *arguments, *options]) == 1
    assert "called_too_often: 2 rows" in capsys.readouterr().err
    assert main(["check", *arguments[:1], "--max-per-period", "3/1y"]) == 2
    assert "max_per_period is '3/1y'" in capsys.readouterr().err


def test_numbers_are_pruned_once_no_period_needs_them(call: Call, run_sql: Any, database: Database) -> None:
    call("first", ANN, max_per_period="9/24h")
    call("second", ANN, max_per_period="9/7d")
    now = int(time.time())
    assert prune_numbers(database, now + 1) == 0
    run_sql(
        "UPDATE queuecalls_requests SET starts_at = starts_at - :week, ends_at = ends_at - :week WHERE period = 86400",
        week=8 * 24 * HOUR,
    )
    assert prune_numbers(database, now - 9 * 24 * HOUR) == 0
    assert prune_numbers(database, now) == 1
    assert run_sql("SELECT count(*) FROM queuecalls_numbers") == [(1,)]


@pytest.mark.parametrize(("limit", "outcomes"), [("1/24h", ["CheckFailed", "queued"]), ("2/24h", ["queued", "queued"])])
def test_of_campaigns_at_the_same_moment_as_many_are_sent_as_the_limit_allows(  # noqa: PLR0917
    call: Call, tmp_path: Path, service: FaultServer, receipts_folder: Path, limit: str, outcomes: list[str]
) -> None:
    path = tmp_path / "both.csv"
    path.write_text(f"{ANN}\n{BOB}\n")
    reports = FORKSERVER.Queue()
    parameters = {
        "contacts": str(path), "campaign_name": None, "receipts_path": str(receipts_folder), "max_per_period": limit,
    }  # fmt: skip
    given = (FORKSERVER.Barrier(2), dict(os.environ), reports, parameters)
    before = {"before": "database.called_numbers.CalledNumbers.recorded"}
    senders = [
        FORKSERVER.Process(
            target=send_and_tell_from_a_process, args=(*given, f"run-{number}"), kwargs=before, daemon=True
        )
        for number in range(2)
    ]
    for sender in senders:
        sender.start()
    found = sorted(reports.get(timeout=PATIENCE_SECONDS) for _ in senders)
    assert [name for name, _ in found] == outcomes
    assert len(service.posts) == outcomes.count("queued")
    if "CheckFailed" in outcomes:
        assert "2 contacts of this one would now be called more often than max_per_period allows (1/24h)" in found[0][1]
    with pytest.raises(AirflowFailException, match="called_too_often: 2 rows"):
        call("third", ANN, BOB, max_per_period=limit)


def test_a_campaign_that_ends_later_than_the_check_expected_needs_an_expiration(
    call: Call, service: FaultServer, tmp_path: Path, receipts_folder: Path
) -> None:
    """Rows may name a zone in which calls end later than anywhere in North America."""
    now = datetime.now(ZoneInfo("Europe/Berlin"))
    hours = f"{now - timedelta(hours=1):%H:%M}-{now + timedelta(hours=5):%H:%M}"
    later = int(now.timestamp()) + 3 * 3600
    call("later", ANN, max_per_period="1/1h", scheduled_timestamp=later)
    path = tmp_path / "berlin.csv"
    path.write_text(f"phone_number,time_zone\n{ANN},Europe/Berlin\n{BOB},Europe/Berlin\n")
    given: dict[str, Any] = {
        "contacts": str(path), "campaign_name": "now", "receipts_path": str(receipts_folder), "max_per_period": "1/1h",
        "has_header": True, "calling_hours": hours, "on_invalid": "skip",
    }  # fmt: skip
    with pytest.raises(
        AirflowFailException, match="expiration_timestamp is missing, and until the end that calling_hours"
    ):
        send(**given)
    assert len(service.posts) == 1
    assert counts(send(**given, expiration_timestamp=later + 1800)) == (1, 1)


@pytest.mark.parametrize("others", [[[ANN], [ANN]], [[ANN], [BOB]], [[BOB], [CAT], [ANN], [ANN]]])
def test_all_campaigns_that_are_sent_while_another_one_is_recorded_count_together(
    database: Database, tmp_path: Path, others: list[list[str]]
) -> None:
    limit, path = CallLimit(2, 24 * HOUR), tmp_path / "mine.csv"
    path.write_text(f"{ANN}\n")
    mine = CalledNumbers(database, limit, [SECRET], campaign_key="mine")
    waiting = list(enumerate(others))

    class Meanwhile(LimitCheck):
        """Sends another campaign after each comparison."""

        def exceeded(self, session: Session, hashes: Iterator[bytes]) -> int:
            found = super().exceeded(session, hashes)
            if waiting:
                send_next()
            return found

    def send_next() -> None:
        number, numbers = waiting.pop(0)
        put_on_record(database, tmp_path, f"other-{number}", SECRET, numbers)

    may_be_called = sum(numbers.count(ANN) for numbers in others) < limit.most
    with Meanwhile(mine, 128, StopRequest()) as sent, check(path, limit=sent):
        send_next()
        expected = (
            nullcontext() if may_be_called else pytest.raises(CheckFailed, match=r"1 contact of this one .*2/24h")
        )
        with expected, mine.recorded(sent, 1, None, token="mine", is_retry=False):
            pass
    assert not waiting


def test_a_campaign_with_another_secret_during_the_check_is_named_as_the_problem(
    database: Database, tmp_path: Path
) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(f"{ANN}\n")
    mine = CalledNumbers(database, CallLimit(2, 24 * HOUR), [SECRET], campaign_key="mine")
    with LimitCheck(mine, 128, StopRequest()) as sent, check(path, limit=sent):
        put_on_record(database, tmp_path, "other", NEWER, [BOB])
        expected = pytest.raises(CheckFailed, match="another results_secret, so its numbers could not be compared")
        with expected, mine.recorded(sent, 1, None, token="mine", is_retry=False):
            pass


def put_on_record(database: Database, folder: Path, name: str, secret: str, numbers: list[str]) -> None:
    path = folder / f"{name}.csv"
    path.write_text("".join(f"{number}\n" for number in numbers))
    record = CalledNumbers(database, CallLimit(9, 24 * HOUR), [secret], campaign_key=name)
    with (
        LimitCheck(record, 128, StopRequest()) as sent,
        check(path, limit=sent),
        record.recorded(sent, len(numbers), None, token=name, is_retry=False),
    ):
        pass
