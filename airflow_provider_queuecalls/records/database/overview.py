"""What is known about all campaigns and about one, in queries that cost the same for ten results and for a million.

Times are seconds since 1970 in UTC. Nothing here names a person but :func:`calls` and :func:`not_reached`.
"""
# ruff: noqa: S608  # the names in the statements are ours

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_queuecalls.contacts.rows.phone_numbers import number_posted
from airflow_provider_queuecalls.records.call_results import COMPLETED, FAILED
from airflow_provider_queuecalls.records.database.storing import CHOICE, DIMENSIONS, QUARTER_SECONDS

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection
    from sqlalchemy.sql.elements import TextClause

#: How long results may be late after a campaign has expired, and how long a campaign may go on without one.
GRACE_SECONDS = 3_600
QUIET_SECONDS = 7_200
#: How long a campaign that needs a person is shown, unless its outcome is unknown: that one stays until it is resolved.
SHOWN_SECONDS = 7 * 86_400
#: The states of a campaign, in the order of its life.
STATES = ("being sent", "unknown", "not queued", "scheduled", "calling", "complete", "ended")
#: How the results of calls are grouped, whatever the service posts.
REACHED, FAILED_CALLS, OTHER = "reached", "failed", "other"
GROUPS = (REACHED, FAILED_CALLS, OTHER)


def group_of(result: str) -> str:
    """The group of a result."""
    return {COMPLETED: REACHED, FAILED: FAILED_CALLS}.get(result.lower(), OTHER)


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which campaigns. ``allowed`` are the DAGs whose runs somebody may read; None for all."""

    allowed: frozenset[str] | None = None
    dag_id: str | None = None
    state: str | None = None
    since: int = 0


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A campaign, the counts of its results, and why it needs a person.

    ``state`` is one of :data:`STATES`. ``completed`` and ``failed`` count calls, of which there can be more than contacts.
    """

    campaign_key: str
    name: str
    contacts: int
    outcome: str
    dag_id: str
    run_id: str
    started_at: int
    expires_at: int | None
    calls_from: int | None
    calls: int | None
    collects_results: bool | None
    campaign_url: str | None
    zones: str | None
    results: int
    completed: int
    failed: int
    last_received_at: int | None
    state: str
    is_unknown: int
    has_fewer: int
    has_stopped: int

    @property
    def is_recorded(self) -> bool:
        """Whether more than its results is known."""
        return self.outcome != "not recorded"

    @property
    def reached(self) -> int:
        """How many contacts are known to be reached."""
        return min(self.completed, self.contacts)

    @property
    def not_reached(self) -> int:
        """How many other contacts have a failed call."""
        return min(self.failed, self.contacts - self.reached)

    @property
    def open(self) -> int:
        """How many contacts have no result. They may have been reached all the same."""
        return self.contacts - min(self.results, self.contacts)

    @property
    def reached_share(self) -> float:
        """The share of the contacts that are known to be reached."""
        return self.reached / self.contacts if self.contacts else 0.0

    @property
    def needs_person(self) -> bool:
        """Whether somebody should look at it."""
        return bool(self.is_unknown or self.has_fewer or self.has_stopped)


@dataclass(frozen=True)
class Totals:
    """The campaigns of some time: how many, and what became of their contacts."""

    campaigns: int = 0
    contacts: int = 0
    reached: int = 0
    not_reached: int = 0
    open: int = 0

    @property
    def reached_share(self) -> float:
        """The share of the contacts that are known to be reached."""
        return self.reached / self.contacts if self.contacts else 0.0

    def __add__(self, other: Totals) -> Totals:
        return Totals(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))


_CAMPAIGNS = "SELECT * FROM queuecalls_campaigns AS known WHERE {where} {page}"
#: What is known about campaigns that have results and no row: the program that sent them does not know the database.
_UNRECORDED = """SELECT campaign_key, campaign_key AS name, sum(calls) AS contacts, 'not recorded' AS outcome, '' AS dag_id,
        '' AS run_id, min(last_received_at) AS started_at, CAST(NULL AS bigint) AS expires_at,
        CAST(NULL AS bigint) AS calls_from, CAST(NULL AS bigint) AS calls, CAST(NULL AS boolean) AS collects_results,
        CAST(NULL AS text) AS campaign_url, CAST(NULL AS text) AS zones
    FROM queuecalls_tallies AS known WHERE {where} AND NOT EXISTS
        (SELECT 1 FROM queuecalls_campaigns AS sent WHERE sent.campaign_key = known.campaign_key)
    GROUP BY campaign_key {page}"""
_NEWEST = "ORDER BY started_at DESC, campaign_key DESC LIMIT :most"
#: Campaigns with the counts of their results. The tallies are read once: a subquery for each count would be evaluated for
#: each time that a condition names it.
_COUNTED = f"""WITH chosen AS ({{chosen}}),
    counts AS (SELECT campaign_key, sum(calls) AS calls, max(last_received_at) AS last_received_at,
            sum(CASE WHEN lower(result) = '{COMPLETED}' THEN calls ELSE 0 END) AS completed,
            sum(CASE WHEN lower(result) = '{FAILED}' THEN calls ELSE 0 END) AS failed
        FROM queuecalls_tallies WHERE campaign_key IN (SELECT campaign_key FROM chosen) GROUP BY campaign_key),
    counted AS (SELECT chosen.*, coalesce(counts.calls, 0) AS results, coalesce(counts.completed, 0) AS completed,
            coalesce(counts.failed, 0) AS failed, counts.last_received_at FROM chosen LEFT JOIN counts ON counts.campaign_key = chosen.campaign_key)"""
_END = "CASE WHEN expires_at < :now THEN expires_at ELSE :now END"
_QUIET = " AND ".join(
    f"coalesce({column}, 0) + {QUIET_SECONDS} < {_END}" for column in ("last_received_at", "calls_from", "started_at")
)
_STATED = f"""{_COUNTED}, stated AS (SELECT counted.*,
        CASE WHEN outcome IN ('unknown', 'not queued', 'not recorded') THEN outcome
            WHEN outcome <> 'queued' THEN 'being sent'
            WHEN results >= contacts THEN 'complete'
            WHEN expires_at + {GRACE_SECONDS} < :now THEN 'ended'
            WHEN calls_from > :now AND results = 0 THEN 'scheduled'
            ELSE 'calling' END AS state,
        CASE WHEN outcome = 'unknown' THEN 1 ELSE 0 END AS is_unknown,
        CASE WHEN outcome = 'queued' AND calls < contacts THEN 1 ELSE 0 END AS has_fewer,
        CASE WHEN outcome = 'queued' AND (collects_results OR results > 0) AND results < contacts AND {_QUIET}
            THEN 1 ELSE 0 END AS has_stopped FROM counted)
    SELECT * FROM stated WHERE {{having}} {_NEWEST}"""


def campaigns(
    connection: Connection, chosen: Filter, now: int, most: int, before: tuple[int, str] | None = None
) -> list[Summary]:
    """The newest campaigns, or those before one, given as its ``started_at`` and its key."""
    where, values = _where(chosen)
    if before is not None:
        where += " AND (known.started_at, known.campaign_key) < (:started_at, :key)"
        values |= {"started_at": before[0], "key": before[1]}
    # A state follows from the results, so without one, no results of other pages are counted.
    query = _stated(where, page=_NEWEST)
    if chosen.state:
        query = _stated(where, having="state = :state")
    return _summaries(connection, query, {**values, "now": now, "most": most, "state": chosen.state})


def needing_a_person(connection: Connection, chosen: Filter, now: int, most: int) -> list[Summary]:
    """The newest campaigns that need a person: of the last days, or of an unknown outcome."""
    where, values = _where(Filter(allowed=chosen.allowed))
    where += f" AND (known.started_at > :now - {SHOWN_SECONDS} OR known.outcome = 'unknown')"
    query = _stated(where, having="is_unknown + has_fewer + has_stopped > 0")
    return _summaries(connection, query, {**values, "now": now, "most": most})


def campaign(connection: Connection, key: str, now: int) -> Summary | None:
    """The campaign with this key; None if there is none. The caller checks permissions."""
    where = "known.campaign_key = :key"
    for query in (_stated(where), _stated(where, _UNRECORDED)):
        for found in _summaries(connection, query, {"key": key, "now": now, "most": 1}):
            return found
    return None


def unrecorded(connection: Connection, since: int, now: int, most: int) -> list[Summary]:
    """The newest campaigns of which only results are known. Each has its key as its name, and its results as its contacts."""
    newest = "HAVING max(last_received_at) >= :since ORDER BY max(last_received_at) DESC LIMIT :most"
    query = _stated("true", _UNRECORDED, page=newest)
    return _summaries(connection, query, {"since": since, "now": now, "most": most})


def totals_by_quarter(connection: Connection, chosen: Filter) -> dict[int, Totals]:
    """What became of the campaigns that were sent, by the quarter of an hour in which they were sent."""
    where, values = _where(chosen)
    reached = "CASE WHEN completed > contacts THEN contacts ELSE completed END"
    not_reached = f"CASE WHEN failed > contacts - ({reached}) THEN contacts - ({reached}) ELSE failed END"
    without_result = "CASE WHEN results > contacts THEN 0 ELSE contacts - results END"
    chosen_campaigns = _CAMPAIGNS.format(where=f"{where} AND outcome IN ('queued', 'unknown')", page="")
    query = f"""{_COUNTED.format(chosen=chosen_campaigns)}
        SELECT started_at / {QUARTER_SECONDS} * {QUARTER_SECONDS} AS quarter, count(*), sum(contacts), sum({reached}), sum({not_reached}),
            sum({without_result})
        FROM counted GROUP BY 1"""
    return {
        quarter: Totals(*map(int, counts)) for quarter, *counts in connection.execute(_statement(query, values), values)
    }


def dag_ids(connection: Connection) -> list[str]:
    """The DAGs that have sent campaigns. Campaigns of programs that are no DAG have an empty text."""
    # The next larger one each time: the index is asked as often as there are DAGs, not campaigns.
    query = """WITH RECURSIVE dags(dag_id) AS (SELECT min(dag_id) FROM queuecalls_campaigns UNION ALL
        SELECT (SELECT min(dag_id) FROM queuecalls_campaigns AS known WHERE known.dag_id > dags.dag_id)
        FROM dags WHERE dags.dag_id IS NOT NULL) SELECT dag_id FROM dags WHERE dag_id IS NOT NULL"""
    return list(connection.execute(_statement(query, {})).scalars())


@dataclass(frozen=True)
class Breakdown:
    """The results of one campaign, counted by group: over time (by quarter of an hour), by kind of callee, by attempts, and by
    time zone of the area code. ``results`` are the values as they were posted, by group, and ``choices`` the calls by what was
    chosen in them."""

    quarters: Mapping[int, Counter[str]]
    kinds: Mapping[str, Counter[str]]
    attempts: Mapping[int, Counter[str]]
    zones: Mapping[str, Counter[str]]
    results: Mapping[str, Counter[str]]
    choices: Counter[str]


def breakdown(connection: Connection, key: str) -> Breakdown:
    """Count the results of a campaign in every way."""
    kinds, results = defaultdict[str, Counter[str]](Counter), defaultdict[str, Counter[str]](Counter)
    query = "SELECT result, callee_type, sum(calls) FROM queuecalls_tallies WHERE campaign_key = :key GROUP BY 1, 2"
    for result, kind, calls in connection.execute(_statement(query, {}), {"key": key}):
        kinds[kind][group_of(result)] += int(calls)
        results[group_of(result)][result] += int(calls)
    found: dict[str, dict[str, Counter[str]]] = {name: defaultdict(Counter) for name in (*DIMENSIONS, CHOICE)}
    query = """SELECT dimension, value, result, sum(calls) FROM queuecalls_breakdowns WHERE campaign_key = :key
        GROUP BY 1, 2, 3"""
    for dimension, value, result, calls in connection.execute(_statement(query, {}), {"key": key}):
        found[dimension][value][group_of(result)] += int(calls)
    numbers = [{int(value): counts for value, counts in found[name].items()} for name in ("quarter", "attempts")]
    choices = +Counter({choice: counts.total() for choice, counts in found[CHOICE].items()})
    return Breakdown(numbers[0], kinds, numbers[1], found["zone"], results, choices)


def calls(
    connection: Connection, key: str, results: list[str], most: int, before: tuple[int, str] | None = None
) -> list[Mapping[str, Any]]:
    """The latest calls of a campaign with one of the results, or those before one, given as its ``received_at`` and its key."""
    values: dict[str, Any] = {"key": key, "results": results, "most": most}
    where = "known.campaign_key = :key AND known.result IN :results"
    if before is not None:
        where += " AND (known.received_at, known.call_key) < (:received_at, :call_key)"
        values |= {"received_at": before[0], "call_key": before[1]}
    query = f"""SELECT post.*, known.received_at AS counted_at FROM
        (SELECT * FROM queuecalls_calls AS known WHERE {where} ORDER BY received_at DESC, call_key DESC LIMIT :most) AS known
        JOIN queuecalls_results AS post ON post.campaign_key = known.campaign_key AND post.digest = known.digest
        ORDER BY known.received_at DESC, known.call_key DESC"""
    return [dict(row) for row in connection.execute(_statement(query, values), values).mappings()]


def not_reached(connection: Connection, key: str) -> Iterator[tuple[str, str]]:
    """Yield the number and the reference of each call that failed, unless another call of the number has not failed."""
    posts = """FROM queuecalls_calls AS call JOIN queuecalls_results AS post
        ON post.campaign_key = call.campaign_key AND post.digest = call.digest
        WHERE call.campaign_key = :key AND post.phone_number IS NOT NULL AND lower(call.result)"""
    failed = (
        f"SELECT DISTINCT post.phone_number, coalesce(post.message_reference, '') {posts} = '{FAILED}' ORDER BY 1, 2"
    )
    others = f"SELECT post.phone_number {posts} <> '{FAILED}'"
    streamed = connection.execution_options(stream_results=True, max_row_buffer=1000)

    def identity(phone_number: str) -> int | str:  # however it is spelled
        return number_posted(phone_number) or phone_number

    reached = {identity(number) for (number,) in streamed.execute(_statement(others, {}), {"key": key})}
    listed = set[tuple[int | str, str]]()
    for number, reference in streamed.execute(_statement(failed, {}), {"key": key}):
        contact = identity(number), reference
        if contact[0] not in reached and contact not in listed:
            listed.add(contact)
            yield number, reference


def contacts_by_zone(summary: Summary) -> dict[str, int]:
    """The contacts that were sent with calling hours, by time zone; empty without them."""
    return dict(json.loads(summary.zones)) if summary.zones else {}


def _stated(where: str, chosen: str = _CAMPAIGNS, *, page: str = "", having: str = "true") -> str:
    return _STATED.format(chosen=chosen.format(where=where, page=page), having=having)


def _where(chosen: Filter) -> tuple[str, dict[str, Any]]:
    conditions, values = ["known.started_at >= :since"], dict[str, Any](since=chosen.since)
    if chosen.dag_id is not None:
        conditions.append("known.dag_id = :dag_id")
        values["dag_id"] = chosen.dag_id
    if chosen.allowed is not None:
        conditions.append("known.dag_id IN :allowed")
        values["allowed"] = sorted(chosen.allowed)
    return " AND ".join(conditions), values


def _statement(query: str, values: Mapping[str, Any]) -> TextClause:
    from sqlalchemy import String, bindparam, text

    several: list[Any] = [
        bindparam(name, expanding=True, type_=String) for name, value in values.items() if isinstance(value, list)
    ]
    return text(query).bindparams(*several)


def _summaries(connection: Connection, query: str, values: Mapping[str, Any]) -> list[Summary]:
    # PostgreSQL sums bigints to a Decimal.
    counts = ("contacts", "results", "completed", "failed")
    rows = connection.execute(_statement(query, values), values).mappings()
    return [Summary(**{**row, **{name: int(row[name]) for name in counts}}) for row in rows]
