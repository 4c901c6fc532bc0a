"""How posted results are stored and counted: any number of posts at once, in the same few statements.

PostgreSQL stores them in one statement, which is a transaction of its own: round trips cost more than the rest of a post.
SQLite has no statement like that, and takes the same steps one after the other in a transaction.
"""
# ruff: noqa: S608  # the names in the statements are ours

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from airflow_provider_queuecalls.contacts.hours.places import place_of
from airflow_provider_queuecalls.contacts.rows.phone_numbers import number_posted
from airflow_provider_queuecalls.records.call_results import COMPLETED, FIELDS, TEXT, CallResult, PostedResult

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection
    from sqlalchemy.sql.elements import TextClause

#: What is stored of a post, with the types of the columns. The first two identify it.
_RESULT = {
    **dict.fromkeys(("campaign_key", "digest", "call_key", "problems", "fields"), "text"),
    **{field.name: "text" if field.type is TEXT else "bigint" for field in FIELDS},
}
_GIVEN = {**_RESULT, "rank": "bigint", "zone": "text"}
_NAMES = ", ".join(_RESULT)
_NOW = "CAST(:received_at AS bigint)"
QUARTER_SECONDS = 900
#: Of PostgreSQL's connections, each has a shard of the counts.
_SHARD = "pg_backend_pid() % 64"
#: What the results of a campaign are counted by, each with its column of a call and what it was before. The quarter of an
#: hour is that of the last attempt, or of the post if that is not known; the zone is that of the number's area code.
DIMENSIONS = {"quarter": ("quarter", "old_quarter"), "attempts": ("attempts", "old_attempts"), "zone": ("zone", "zone")}

_INSERT = f"""INSERT INTO queuecalls_results ({_NAMES}, received_at)
    SELECT {_NAMES}, {_NOW} FROM given WHERE true ON CONFLICT DO NOTHING"""
#: The new row of each call that is its result by now, and what was its result before. A call is moved once in a statement.
_MOVE = f"""INSERT INTO queuecalls_calls AS known
    (campaign_key, call_key, digest, rank, received_at, result, callee_type, attempts, quarter, zone)
    SELECT campaign_key, call_key, digest, rank, {_NOW},
        coalesce(result, ''), coalesce(callee_type, ''), coalesce(attempts, 0),
        coalesce(nullif(last_attempt_timestamp, 0), {_NOW}) / {QUARTER_SECONDS} * {QUARTER_SECONDS}, zone
    FROM (SELECT new.*, row_number() OVER
        (PARTITION BY campaign_key, call_key ORDER BY rank DESC, digest DESC) AS place FROM new) AS placed
    WHERE place = 1 AND call_key IS NOT NULL ORDER BY campaign_key, call_key
    ON CONFLICT (campaign_key, call_key) DO UPDATE SET
        digest = excluded.digest, rank = excluded.rank, received_at = excluded.received_at,
        result = excluded.result, callee_type = excluded.callee_type, attempts = excluded.attempts,
        quarter = excluded.quarter, old_result = known.result, old_callee_type = known.callee_type,
        old_attempts = known.attempts, old_quarter = known.quarter
    WHERE (excluded.rank, excluded.received_at, excluded.digest) > (known.rank, known.received_at, known.digest)"""
_COUNT = f"""INSERT INTO queuecalls_tallies AS known
    (campaign_key, result, callee_type, shard, calls, attempts, unreadable, last_received_at)
    SELECT campaign_key, result, callee_type, {{shard}}, sum(calls), sum(attempts), sum(unreadable), {_NOW} FROM (
        SELECT campaign_key, coalesce(result, '') AS result, coalesce(callee_type, '') AS callee_type, 0 AS calls,
            0 AS attempts, CASE WHEN call_key IS NULL THEN 1 ELSE 0 END AS unreadable FROM new
        UNION ALL SELECT campaign_key, result, callee_type, 1, attempts, 0 FROM moved
        UNION ALL SELECT campaign_key, old_result, old_callee_type, -1, -old_attempts, 0 FROM moved
            WHERE old_result IS NOT NULL) AS changes
    GROUP BY campaign_key, result, callee_type ORDER BY campaign_key, result, callee_type
    ON CONFLICT (campaign_key, result, callee_type, shard) DO UPDATE SET
        calls = known.calls + excluded.calls, attempts = known.attempts + excluded.attempts,
        unreadable = known.unreadable + excluded.unreadable,
        last_received_at = CASE WHEN known.last_received_at > excluded.last_received_at
            THEN known.last_received_at ELSE excluded.last_received_at END"""
_CHANGES = " UNION ALL ".join(
    f"""SELECT campaign_key, '{name}' AS dimension, CAST({column} AS text) AS value, result, 1 AS calls FROM moved
        UNION ALL SELECT campaign_key, '{name}', CAST({old_column} AS text), old_result, -1 FROM moved
            WHERE old_result IS NOT NULL"""
    for name, (column, old_column) in DIMENSIONS.items()
)
_BREAK_DOWN = f"""INSERT INTO queuecalls_breakdowns AS known (campaign_key, dimension, value, result, shard, calls)
    SELECT campaign_key, dimension, value, result, {{shard}}, sum(calls) FROM ({_CHANGES}) AS changes
    GROUP BY campaign_key, dimension, value, result HAVING sum(calls) <> 0
    ORDER BY campaign_key, dimension, value, result
    ON CONFLICT (campaign_key, dimension, value, result, shard) DO UPDATE SET calls = known.calls + excluded.calls"""
#: What choices are counted by, among the dimensions of the results.
CHOICE = "choice"
_CHOSEN = ("campaign_key", "call_key", "phone_number", "message_reference", "call_id", "choice", "chosen_at")
_CHOOSE = f"""INSERT INTO queuecalls_choices AS known ({", ".join(_CHOSEN)})
    VALUES ({", ".join(f":{name}" for name in _CHOSEN)}) ON CONFLICT (campaign_key, call_key) DO UPDATE SET
        choice = excluded.choice, chosen_at = excluded.chosen_at, old_choice = known.choice
    WHERE excluded.chosen_at >= known.chosen_at"""
_COUNT_CHOICE = f"""WITH moved AS (SELECT * FROM queuecalls_choices WHERE campaign_key = :campaign_key AND call_key = :call_key)
    INSERT INTO queuecalls_breakdowns AS known (campaign_key, dimension, value, result, shard, calls)
    SELECT campaign_key, '{CHOICE}', choice, '', {{shard}}, sum(calls) FROM (
        SELECT campaign_key, choice, 1 AS calls FROM moved
        UNION ALL SELECT campaign_key, old_choice, -1 FROM moved WHERE old_choice IS NOT NULL) AS changes
    GROUP BY campaign_key, choice HAVING sum(calls) <> 0 ORDER BY choice
    ON CONFLICT (campaign_key, dimension, value, result, shard) DO UPDATE SET calls = known.calls + excluded.calls"""

#: The choices whose calls have no result yet, and the counts of all choices.
WITHOUT_RESULT = """SELECT phone_number, message_reference, call_id, choice, chosen_at, '' AS problems, '{}' AS fields FROM
    (SELECT * FROM queuecalls_choices AS chosen WHERE NOT EXISTS (SELECT 1 FROM queuecalls_calls AS call
        WHERE call.campaign_key = chosen.campaign_key AND call.call_key = chosen.call_key)) AS open"""
CHOICES = f"""SELECT * FROM (SELECT campaign_key, value, calls FROM queuecalls_breakdowns
    WHERE dimension = '{CHOICE}') AS choices"""


def store_choice(connection: Connection, campaign_key: str, call: CallResult, choice: str, chosen_at: int) -> None:
    """Store what somebody chose in a call, and count it. Of several choices in a call, the last one counts.

    The number and the reference are stored too: the result of the call may never come.
    """
    from sqlalchemy import text

    known = {"campaign_key": campaign_key, "call_key": call.call_key, "choice": choice, "chosen_at": chosen_at}
    chosen = {name: known.get(name, getattr(call, name, None)) for name in _CHOSEN}
    if connection.execute(text(_CHOOSE), chosen).rowcount:
        shard = 0 if connection.dialect.name == "sqlite" else _SHARD
        connection.execute(text(_COUNT_CHOICE.format(shard=shard)), chosen)


def store(connection: Connection, posts: Sequence[tuple[str, PostedResult]], received_at: int) -> list[bool]:
    """Store posts, each with its campaign's key, and count them; return for each whether it is new.

    Rows are written in the order of their keys, and the tables in one order, so transactions of several receivers wait
    for each other in one direction only.
    """
    rows: dict[tuple[str, str], Mapping[str, Any]] = {}
    is_first = []
    for key, posted in posts:
        identity = (key, posted.digest)
        is_first.append(identity not in rows)
        if is_first[-1]:
            rows[identity] = _row(key, posted)

    def run(statement: TextClause, identities: Sequence[tuple[str, str]]) -> Any:
        # All rows are one parameter: a list of parameters for each of them takes the drivers longer than the rest.
        given = json.dumps([rows[identity] for identity in identities])
        return connection.execute(statement, {"rows": given, "received_at": received_at})

    if connection.dialect.name == "sqlite":
        known_rows, *steps = _steps()
        new = set(rows).difference((row[0], row[1]) for row in run(known_rows, sorted(rows)))
        for step in steps:  # nobody else writes until the transaction ends
            run(step, sorted(new))
    else:
        new = {(row[0], row[1]) for row in run(_statement(), sorted(rows))}
    return [first and (key, posted.digest) in new for first, (key, posted) in zip(is_first, posts, strict=True)]


def rank(result: CallResult) -> int:
    """The order among the posts of one call: the greatest is its result.

    Posts may be repeated and arrive in any order, so most attempts and the latest attempt come first, then a completed
    call. Of those that are equal, the last one to arrive counts.
    """
    attempts, last = (0 if value is None else value + 1 for value in (result.attempts, result.last_attempt_timestamp))
    return (attempts << 38 | last) << 1 | ((result.result or "").lower() == COMPLETED)  # last is less than 2 ** 38


def _row(key: str, posted: PostedResult) -> Mapping[str, Any]:
    return vars(posted.result) | {
        "campaign_key": key,
        "digest": posted.digest,
        "call_key": posted.result.call_key,
        "rank": rank(posted.result),
        "zone": _zone(posted.result.phone_number),
        "problems": " ".join(posted.problems),
        "fields": posted.fields,
    }


def _zone(phone_number: str | None) -> str:
    """The time zones of a number's area code, as :class:`~airflow_provider_queuecalls.contacts.hours.places.Place` writes them."""
    return str(place_of(number_posted(phone_number or "") or 0))


@cache
def _statement() -> TextClause:
    """The statement of PostgreSQL, which returns the identities of the rows that are new."""
    from sqlalchemy import text

    types = ", ".join(f"{name} {kind}" for name, kind in _GIVEN.items())
    return text(f"""WITH given AS (SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS row ({types})),
        stored AS ({_INSERT} RETURNING campaign_key, digest),
        new AS (SELECT * FROM given JOIN stored USING (campaign_key, digest)),
        moved AS ({_MOVE} RETURNING *),
        counted AS ({_COUNT.format(shard=_SHARD)}),
        broken_down AS ({_BREAK_DOWN.format(shard=_SHARD)})
        SELECT campaign_key, digest FROM stored""")


@cache
def _steps() -> tuple[TextClause, ...]:
    """The statements of SQLite: the first one reads which of the rows are there, the others store those that are not."""
    from sqlalchemy import text

    values = ", ".join(f"json_extract(value, '$.{name}') AS {name}" for name in _GIVEN)
    given = f"WITH given AS (SELECT {values} FROM json_each(:rows))"
    # CROSS JOIN keeps this order, so that the rows are looked up.
    known = "SELECT campaign_key, digest FROM given CROSS JOIN queuecalls_results USING (campaign_key, digest)"
    moved = "SELECT known.* FROM new CROSS JOIN queuecalls_calls AS known USING (campaign_key, call_key, digest)"
    new = f"{given}, new AS (SELECT * FROM given)"
    return (
        text(f"{given} {known}"),
        text(f"{given} {_INSERT}"),
        text(f"{new} {_MOVE}"),
        text(f"{new}, moved AS ({moved}) {_COUNT.format(shard=0)}"),
        text(f"{new}, moved AS ({moved}) {_BREAK_DOWN.format(shard=0)}"),
    )
