"""The queries of the pages, in a SQLite file and in PostgreSQL."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_queuecalls.records.call_results import read_result
from airflow_provider_queuecalls.records.database import overview
from airflow_provider_queuecalls.records.database.database import CampaignRow, Database
from airflow_provider_queuecalls.records.database.overview import Filter, Summary, Totals
from airflow_provider_queuecalls.records.database.pruning import prune
from tests.support.campaigns import NOT_REACHED, REACHED, add_results

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

NOW = 1_790_000_000
HOUR, DAY = 3_600, 86_400
NEW_YORK = "16465550101"


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    with database.reading() as connection:
        yield connection


def row(key: str, **known: object) -> CampaignRow:
    """A campaign of four contacts that was queued five hours ago and goes on."""
    values = {
        "name": key,
        "contacts": 4,
        "outcome": "queued",
        "dag_id": "dag",
        "started_at": NOW - 5 * HOUR,
        "calls": 4,
    }
    return CampaignRow(campaign_key=key, **{**values, "collects_results": True, **known})  # type: ignore[arg-type]


def received(database: Database, key: str, monkeypatch: pytest.MonkeyPatch, ago: int = 0) -> None:
    """Two results of the campaign, which arrived so long ago."""
    with monkeypatch.context() as earlier:
        earlier.setattr("time.time", lambda: NOW - ago)
        add_results(database, key)


@pytest.mark.parametrize(
    ("known", "results_ago", "expected"),
    [
        ({}, 0, ("calling", [])),
        ({"contacts": 2, "calls": 2}, 9 * HOUR, ("complete", [])),
        ({"calls_from": NOW + HOUR}, None, ("scheduled", [])),
        ({"calls_from": NOW + HOUR}, 0, ("calling", [])),
        ({"expires_at": NOW - 2 * HOUR}, 3 * HOUR, ("ended", [])),
        ({"expires_at": NOW - 1}, 0, ("calling", [])),
        ({"outcome": "unknown", "calls": None}, None, ("unknown", ["is_unknown"])),
        ({"outcome": "unknown", "calls": None}, 0, ("unknown", ["is_unknown"])),
        ({"outcome": "not queued", "calls": None}, None, ("not queued", [])),
        ({"outcome": "being sent, or broken off", "calls": None}, None, ("being sent", [])),
        ({"calls": 3}, 0, ("calling", ["has_fewer"])),
        ({}, 3 * HOUR, ("calling", ["has_stopped"])),
        ({}, None, ("calling", ["has_stopped"])),
        ({"collects_results": False}, None, ("calling", [])),
        ({"collects_results": False}, 3 * HOUR, ("calling", ["has_stopped"])),
        ({"calls_from": NOW - HOUR}, None, ("calling", [])),
        ({"expires_at": NOW - HOUR // 2}, 4 * HOUR, ("calling", ["has_stopped"])),
        ({"started_at": NOW - 8 * DAY, "calls": 3}, None, ("calling", [])),
        ({"started_at": NOW - 90 * DAY, "outcome": "unknown"}, None, ("unknown", ["is_unknown"])),
    ],
)
def test_state_and_why_a_campaign_needs_a_person(
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    known: dict[str, object],
    results_ago: int | None,
    expected: Any,
) -> None:
    database.put_campaign(row("a", **known))
    if results_ago is not None:
        received(database, "a", monkeypatch, results_ago)
    with database.reading() as connection:
        found = overview.campaign(connection, "a", NOW)
        needing = overview.needing_a_person(connection, Filter(), NOW, 10)
    assert found is not None
    reasons = [name for name in ("is_unknown", "has_fewer", "has_stopped") if getattr(found, name)]
    old = found.started_at < NOW - 7 * DAY and not found.is_unknown
    assert (found.state, [] if old else reasons) == expected
    assert [each.campaign_key for each in needing] == ["a"] * bool(expected[1])


def names(found: list[Summary]) -> list[str]:
    return [each.name for each in found]


def test_campaigns_are_filtered_and_come_page_by_page_with_the_newest_first(
    database: Database, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(7):
        database.put_campaign(row(f"c{number}", started_at=NOW - number // 2 * DAY, dag_id=f"dag{number % 2}"))
    received(database, "c3", monkeypatch)
    first = overview.campaigns(connection, Filter(), NOW, 4)
    rest = overview.campaigns(connection, Filter(), NOW, 4, (first[-1].started_at, first[-1].campaign_key))
    assert names(first) + names(rest) == ["c1", "c0", "c3", "c2", "c5", "c4", "c6"]

    for chosen, expected in (
        (Filter(dag_id="dag1"), ["c1", "c3", "c5"]),
        (Filter(allowed=frozenset({"dag0"})), ["c0", "c2", "c4", "c6"]),
        (Filter(allowed=frozenset()), []),
        (Filter(since=NOW - DAY), ["c1", "c0", "c3", "c2"]),
        (Filter(state="calling"), ["c1", "c0", "c3", "c2", "c5", "c4", "c6"]),
        (Filter(state="complete"), []),
    ):
        assert names(overview.campaigns(connection, chosen, NOW, 10)) == expected
    (found,) = overview.campaigns(connection, Filter(dag_id="dag1", since=NOW - DAY, state="calling"), NOW, 1)[:1]
    assert names([found]) == ["c1"]
    c3 = overview.campaign(connection, "c3", NOW)
    assert c3 is not None
    assert (c3.reached, c3.not_reached, c3.open, c3.reached_share) == (1, 1, 2, 0.25)
    assert overview.campaign(connection, "c9", NOW) is None
    assert overview.dag_ids(connection) == ["dag0", "dag1"]
    totals = overview.totals_by_quarter(connection, Filter(dag_id="dag1"))
    assert sum(totals.values(), Totals()) == Totals(campaigns=3, contacts=12, reached=1, not_reached=1, open=10)


def test_a_result_that_may_have_reached_somebody_counts_as_neither(database: Database, connection: Connection) -> None:
    database.put_campaign(row("a", contacts=5))
    add_results(database, "a")
    database.add("a", read_result([("phone_number", NEW_YORK), ("result", "canceled")]))
    found = overview.campaign(connection, "a", NOW)
    assert found is not None
    assert (found.reached, found.not_reached, found.open) == (1, 1, 2)
    assert len(list(overview.not_reached(connection, "a"))) == found.not_reached
    (totals,) = overview.totals_by_quarter(connection, Filter()).values()
    assert totals == Totals(campaigns=1, contacts=5, reached=1, not_reached=1, open=2)


def test_results_are_broken_down_and_a_later_post_of_a_call_replaces_the_earlier(
    database: Database, connection: Connection
) -> None:
    database.put_campaign(row("a", zones=json.dumps({"America/New_York": 4})))
    call = {"phone_number": NEW_YORK, "call_id": "1", "callee_type": "busy"}
    for fields in (
        {"result": "failed", "attempts": "1", "last_attempt_timestamp": str(NOW)},
        {"result": "completed", "attempts": "2", "last_attempt_timestamp": str(NOW + 2 * HOUR), "callee_type": "human"},
        {"result": "failed", "attempts": "1", "last_attempt_timestamp": str(NOW - 1)},  # late, and of no consequence
    ):
        database.add("a", read_result({**call, **fields}.items()))
    add_results(database, "a", last_attempt_timestamp=str(NOW + 2 * HOUR))

    counts = overview.breakdown(connection, "a")
    later = (NOW + 2 * HOUR) // 900 * 900
    assert {quarter: +found for quarter, found in counts.quarters.items() if +found} == {
        later: Counter(reached=2, failed=1)
    }
    assert {number: +found for number, found in counts.attempts.items() if +found} == {2: Counter(reached=2, failed=1)}
    assert {kind: +found for kind, found in counts.kinds.items() if +found} == {
        "human": Counter(reached=2), "busy": Counter(failed=1),
    }  # fmt: skip
    assert counts.zones == {"America/New_York": Counter(reached=2, failed=1)}


def test_calls_come_latest_first_and_whoever_was_not_reached_is_listed_once(
    database: Database, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for ago, number in ((30, NEW_YORK), (20, NOT_REACHED), (10, REACHED)):
        with monkeypatch.context() as earlier:
            earlier.setattr("time.time", lambda ago=ago: NOW - ago)
            for call_id in "12":
                call = {"phone_number": number, "call_id": call_id, "result": "failed", "message_reference": "=1+1"}
                database.add("a", read_result(call.items()))
    add_results(database, "a")  # one of the numbers was reached in another call

    first = overview.calls(connection, "a", ["failed"], 4)
    last = first[-1]
    rest = overview.calls(connection, "a", ["failed"], 4, (last["counted_at"], last["call_key"]))
    found = [call["phone_number"] for call in first + rest]
    assert found == [NOT_REACHED, REACHED, REACHED, NOT_REACHED, NOT_REACHED, NEW_YORK, NEW_YORK]
    assert list(overview.not_reached(connection, "a")) == [
        (NOT_REACHED, "=1+1"), (NOT_REACHED, "order-2"), (NEW_YORK, "=1+1"),
    ]  # fmt: skip


def test_a_number_that_was_reached_is_not_listed_however_it_is_spelled(
    database: Database, connection: Connection
) -> None:
    calls = (
        ("+16175550100", "failed"), ("16175550100", "completed"), ("6175550101", "completed"), ("+1 (617) 555-0101", "failed"),
        ("16175550102", "failed"), ("+16175550102", "failed"), ("unknown", "failed"), ("anonymous", "completed"),
    )  # fmt: skip
    for number, (phone_number, result) in enumerate(calls):
        call = {"phone_number": phone_number, "call_id": str(number), "result": result}
        database.add("a", read_result(call.items()))
    assert list(overview.not_reached(connection, "a")) == [("+16175550102", ""), ("unknown", "")]


def test_counts_are_deleted_with_their_campaign(database: Database, connection: Connection) -> None:
    database.put_campaign(row("a"))
    add_results(database, "a")
    prune(database, 1 << 40)
    counts = overview.breakdown(connection, "a")
    assert (counts.quarters, counts.kinds) == ({}, {})


def test_campaigns_without_a_row_are_known_by_their_results(
    database: Database, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.put_campaign(row("known"))
    for key, ago in (("known", 0), ("older", 2 * DAY), ("newer", 60)):
        received(database, key, monkeypatch, ago)
    assert names(overview.unrecorded(connection, 0, NOW, 9)) == ["newer", "older"]
    assert (
        names(overview.unrecorded(connection, NOW - DAY, NOW, 9))
        == names(overview.unrecorded(connection, 0, NOW, 1))
        == ["newer"]
    )
    found = overview.campaign(connection, "older", NOW)
    assert found is not None
    assert (found.state, found.needs_person, found.is_recorded) == ("not recorded", False, False)
    assert (found.results, found.reached, found.not_reached, found.last_received_at) == (2, 1, 1, NOW - 2 * DAY)
    assert names(overview.campaigns(connection, Filter(), NOW, 9)) == ["known"]
