"""How posted results are stored and counted: any number of posts in one transaction, in the same few statements."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow_provider_queuecalls.records.call_results import COMPLETED, FIELDS, TEXT, PostedResult

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, RowMapping

#: The columns of the two tables into which a row is inserted once, with their types; the first two identify a row.
_COLUMNS: Mapping[str, Mapping[str, str]] = {
    "queuecalls_results": {
        **dict.fromkeys(("campaign_key", "digest", "call_key"), "text"),
        **{field.name: "text" if field.type is TEXT else "bigint" for field in FIELDS},
        **{"received_at": "bigint", "problems": "text", "fields": "text"},
    },
    "queuecalls_calls": dict.fromkeys(("campaign_key", "call_key", "digest"), "text"),
}
_LOCK_CALL = "SELECT digest FROM queuecalls_calls WHERE campaign_key = :campaign_key AND call_key = :call_key"
_RESULT = "SELECT * FROM queuecalls_results WHERE campaign_key = :campaign_key AND digest = :digest"
_MOVE = """INSERT INTO queuecalls_calls (campaign_key, call_key, digest) VALUES (:campaign_key, :call_key, :digest)
    ON CONFLICT (campaign_key, call_key) DO UPDATE SET digest = excluded.digest"""
_COUNT = """INSERT INTO queuecalls_tallies AS known
    (campaign_key, result, callee_type, shard, calls, attempts, unreadable, last_received_at)
    VALUES (:campaign_key, :result, :callee_type, {shard}, :calls, :attempts, :unreadable, :received_at)
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
    return asdict(posted.result) | {
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

    changes: dict[tuple[str, str, str], Counter[str]] = {}
    best: dict[_Identity, _Row] = {}
    for row in rows:
        change = changes.setdefault(_group(row), Counter())
        call = (row["campaign_key"], row["call_key"])
        if row["call_key"] is None:
            change["unreadable"] += 1
        elif call not in best or rank(row) > rank(best[call]):
            best[call] = row
    added = _insert(connection, "queuecalls_calls", best.values())
    for call in sorted(best):
        row = best[call]
        if call not in added:
            old = _result(connection, row)
            if old and rank(old) > rank(row):
                continue
            connection.execute(text(_MOVE), _only(row, "campaign_key", "call_key", "digest"))
            if old:
                change = changes.setdefault(_group(old), Counter())
                change.subtract({"calls": 1, "attempts": old["attempts"] or 0})
        changes[_group(row)].update({"calls": 1, "attempts": row["attempts"] or 0})
    count = text(_COUNT.format(shard="0" if _is_sqlite(connection) else "pg_backend_pid() % 64"))
    for group in sorted(changes):
        key, result, callee_type = group
        numbers = {name: changes[group][name] for name in ("calls", "attempts", "unreadable")}
        texts = {"campaign_key": key, "result": result, "callee_type": callee_type}
        connection.execute(count, {**texts, **numbers, "received_at": received_at})


def _group(row: _Row) -> tuple[str, str, str]:
    return row["campaign_key"], row["result"] or "", row["callee_type"] or ""


def _result(connection: Connection, row: _Row) -> RowMapping | None:
    """The stored result of a row's call, which nobody else can change until this transaction ends."""
    from sqlalchemy import text

    lock = text(_LOCK_CALL + ("" if _is_sqlite(connection) else " FOR UPDATE"))
    digest = connection.execute(lock, _only(row, "campaign_key", "call_key")).scalar()
    identity = {"campaign_key": row["campaign_key"], "digest": digest}
    return connection.execute(text(_RESULT), identity).mappings().first()


def _insert(connection: Connection, table: str, rows: Iterable[_Row]) -> set[_Identity]:
    """Insert the rows that are not there; return the identities of these."""
    from sqlalchemy import text

    columns = _COLUMNS[table]
    first, second, *_ = columns
    names = ", ".join(columns)
    ordered = sorted(rows, key=lambda row: (row[first], row[second]))
    if not ordered:
        return set()
    if _is_sqlite(connection):
        insert = f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(columns))}) ON CONFLICT DO NOTHING"  # noqa: S608
        return {
            (row[first], row[second])
            for row in ordered
            if connection.exec_driver_sql(insert, tuple(row[name] for name in columns)).rowcount
        }
    arrays = ", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in columns.items())
    insert = f"INSERT INTO {table} ({names}) SELECT * FROM unnest({arrays}) ON CONFLICT DO NOTHING RETURNING {first}, {second}"  # noqa: S608
    values = {name: [row[name] for row in ordered] for name in columns}
    return {(row[0], row[1]) for row in connection.execute(text(insert), values)}


def _only(row: _Row, *names: str) -> dict[str, Any]:
    return {name: row[name] for name in names}


def _is_sqlite(connection: Connection) -> bool:
    return connection.dialect.name == "sqlite"
