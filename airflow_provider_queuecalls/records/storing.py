"""How posted results are stored and counted: any number of posts in one transaction, in the same few statements."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow_provider_queuecalls.records.call_results import COMPLETED, FIELDS, TEXT, PostedResult

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, RowMapping
    from sqlalchemy.sql.elements import TextClause

_CALLS = ("campaign_key", "call_key", "digest")
#: The columns of the two tables into which a row is inserted once, with their types; the first two identify a row.
_COLUMNS: Mapping[str, Mapping[str, str]] = {
    "queuecalls_results": {
        **dict.fromkeys(("campaign_key", "digest", "call_key"), "text"),
        **{field.name: "text" if field.type is TEXT else "bigint" for field in FIELDS},
        **{"received_at": "bigint", "problems": "text", "fields": "text"},
    },
    "queuecalls_calls": dict.fromkeys(_CALLS, "text"),
}
_LOCK_CALL = "SELECT digest FROM queuecalls_calls WHERE campaign_key = :campaign_key AND call_key = :call_key"
_RESULT = "SELECT * FROM queuecalls_results WHERE campaign_key = :campaign_key AND digest = :digest"
_MOVE = """INSERT INTO queuecalls_calls (campaign_key, call_key, digest) VALUES (:campaign_key, :call_key, :digest)
    ON CONFLICT (campaign_key, call_key) DO UPDATE SET digest = excluded.digest"""
#: The parameters of the statement that counts.
_TALLY = ("campaign_key", "result", "callee_type", "calls", "attempts", "unreadable", "last_received_at")
_COUNT = """INSERT INTO queuecalls_tallies AS known
    (campaign_key, result, callee_type, shard, calls, attempts, unreadable, last_received_at)
    VALUES (:campaign_key, :result, :callee_type, {shard}, :calls, :attempts, :unreadable, :last_received_at)
    ON CONFLICT (campaign_key, result, callee_type, shard) DO UPDATE SET
    calls = known.calls + excluded.calls, attempts = known.attempts + excluded.attempts,
    unreadable = known.unreadable + excluded.unreadable,
    last_received_at = CASE WHEN known.last_received_at > excluded.last_received_at
    THEN known.last_received_at ELSE excluded.last_received_at END"""

_Row: TypeAlias = "Mapping[str, Any] | RowMapping"
_Identity = tuple[str, str]


def store(connection: Connection, posts: Sequence[tuple[str, PostedResult]], received_at: int) -> list[bool]:
    """Store posts, each with its campaign's key, and count them; return for each whether it is new.

    Rows are written in the order of their keys, so transactions of several receivers wait for each other in one
    direction only.
    """
    rows: dict[_Identity, _Row] = {}
    is_first = []
    for key, posted in posts:
        identity = (key, posted.digest)
        is_first.append(identity not in rows)
        if is_first[-1]:
            rows[identity] = _row(key, posted, received_at)
    new = _insert(connection, "queuecalls_results", rows.values())
    _count(connection, [rows[identity] for identity in new], received_at)
    return [first and (key, posted.digest) in new for first, (key, posted) in zip(is_first, posts, strict=True)]


def rank(row: _Row) -> tuple[Any, ...]:
    """The order among the posts of one call: the greatest is its result.

    Posts may be repeated and arrive in any order, so most attempts and the latest attempt come first, then a completed
    call, and only then the time of arrival.
    """
    attempts, last = (-1 if row[name] is None else row[name] for name in ("attempts", "last_attempt_timestamp"))
    return attempts, last, (row["result"] or "").lower() == COMPLETED, row["received_at"], row["digest"]


def _row(key: str, posted: PostedResult, received_at: int) -> _Row:
    return vars(posted.result) | {
        "campaign_key": key,
        "digest": posted.digest,
        "call_key": posted.result.call_key,
        "received_at": received_at,
        "problems": " ".join(posted.problems),
        "fields": json.dumps(posted.fields),
    }


def _count(connection: Connection, rows: Iterable[_Row], received_at: int) -> None:
    """Point each call of the new rows to its result, and count the difference."""
    from sqlalchemy import text

    changes: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    best: dict[_Identity, _Row] = {}
    for row in rows:
        change = changes[_group(row)]
        call = (row["campaign_key"], row["call_key"])
        if row["call_key"] is None:
            change[2] += 1
        elif call not in best or rank(row) > rank(best[call]):
            best[call] = row
    added = _insert(connection, "queuecalls_calls", [_only(row, _CALLS) for row in best.values()])
    for call in sorted(best):
        row, old = best[call], None
        if call not in added:
            old = _result(connection, row)
            if old and rank(old) > rank(row):
                continue
            connection.execute(text(_MOVE), _only(row, _CALLS))
        for number, each in ((1, row), (-1, old)):
            if each:
                change = changes[_group(each)]
                change[0] += number
                change[1] += number * (each["attempts"] or 0)
    count = _count_statement(is_sqlite=_is_sqlite(connection))
    for group in sorted(changes):
        values = zip(_TALLY, (*group, *changes[group], received_at), strict=True)
        connection.execute(count, dict(values))


@cache
def _count_statement(*, is_sqlite: bool) -> TextClause:
    from sqlalchemy import text

    return text(_COUNT.format(shard="0" if is_sqlite else "pg_backend_pid() % 64"))


def _group(row: _Row) -> tuple[str, str, str]:
    return row["campaign_key"], row["result"] or "", row["callee_type"] or ""


def _result(connection: Connection, row: _Row) -> RowMapping | None:
    """The stored result of a row's call, which nobody else can change until this transaction ends."""
    from sqlalchemy import text

    lock = text(_LOCK_CALL + ("" if _is_sqlite(connection) else " FOR UPDATE"))
    digest = connection.execute(lock, _only(row, ("campaign_key", "call_key"))).scalar()
    identity = {"campaign_key": row["campaign_key"], "digest": digest}
    return connection.execute(text(_RESULT), identity).mappings().first()


def _insert(connection: Connection, table: str, rows: Iterable[_Row]) -> set[_Identity]:
    """Insert the rows that are not there; return the identities of these."""
    first, second, *_ = _COLUMNS[table]
    ordered = sorted(rows, key=lambda row: (row[first], row[second]))
    given = {"rows": json.dumps(ordered)}
    known, insert = _statements(table, is_sqlite=_is_sqlite(connection))
    if known is None:
        return {(row[0], row[1]) for row in connection.execute(insert, given)}
    # Nobody else writes until the transaction ends.
    identities = {(row[0], row[1]) for row in connection.execute(known, given)}
    connection.execute(insert, given)
    return {(row[first], row[second]) for row in ordered} - identities


@cache
def _statements(table: str, *, is_sqlite: bool) -> tuple[TextClause | None, TextClause]:
    """The statements that read which of the rows are there, unless the other returns the inserted ones, and that inserts.

    The rows are one parameter, in JSON: a list of parameters for each of them takes the drivers longer than the rest.
    """
    from sqlalchemy import text

    columns = _COLUMNS[table]
    first, second, *_ = columns
    insert = f"INSERT INTO {table} ({', '.join(columns)}) SELECT"
    if is_sqlite:  # whose older versions return no inserted rows
        values = {name: f"json_extract(value, '$.{name}')" for name in columns}
        join = f"CROSS JOIN {table} ON {first} = {values[first]} AND {second} = {values[second]}"
        known = f"SELECT {first}, {second} FROM json_each(:rows) {join}"  # noqa: S608  # in this order
        return text(known), text(
            f"{insert} {', '.join(values.values())} FROM json_each(:rows) WHERE true ON CONFLICT DO NOTHING"
        )
    types = ", ".join(f"{name} {kind}" for name, kind in columns.items())
    return None, text(f"""{insert} * FROM json_to_recordset(CAST(:rows AS json)) AS given ({types})
        ON CONFLICT DO NOTHING RETURNING {first}, {second}""")


def _only(row: _Row, names: Iterable[str]) -> dict[str, Any]:
    return {name: row[name] for name in names}


def _is_sqlite(connection: Connection) -> bool:
    return connection.dialect.name == "sqlite"
