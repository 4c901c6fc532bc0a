"""The database of campaigns and the results of their calls: a SQLite file, or PostgreSQL for several machines.

Works with SQLAlchemy 1.4 to 2.1, as Airflow 2.11 to 3.3 install it.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from dataclasses import fields as dataclass_fields
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from airflow_provider_queuecalls.exceptions import QueueCallsError
from airflow_provider_queuecalls.records.call_results import (
    COMPLETED,
    FIELDS,
    KEY_LENGTH,
    PostedResult,
    campaign_key,
)

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Connection, Engine

#: How long a statement waits for another process that writes, or for PostgreSQL to accept a connection.
PATIENCE_SECONDS = 10
#: How many rows are deleted in one transaction: a receiver waits for its end.
PRUNED_AT_ONCE = 10_000
#: The statements that lead from each version of the schema to the next, the first from nothing to version 1.
#: A statement that was released is never changed. Times are seconds since 1970 in UTC.
SCHEMA: tuple[tuple[str, ...], ...] = (
    (
        f"""CREATE TABLE queuecalls_campaigns (
            campaign_key varchar({KEY_LENGTH}) PRIMARY KEY, name text NOT NULL, contacts bigint NOT NULL,
            outcome varchar(32) NOT NULL, dag_id text NOT NULL, run_id text NOT NULL, started_at bigint NOT NULL)""",
        f"""CREATE TABLE queuecalls_results (
            campaign_key varchar({KEY_LENGTH}) NOT NULL, digest varchar(64) NOT NULL, received_at bigint NOT NULL,
            phone_number text, message_reference text, call_id text, result text, callee_type text, attempts bigint,
            last_attempt_timestamp bigint, duration bigint, problems text NOT NULL, fields text NOT NULL,
            PRIMARY KEY (campaign_key, digest))""",
        "CREATE INDEX queuecalls_results_received ON queuecalls_results (received_at)",
    ),
)
#: Taken while the schema is made, so that of several processes one makes it. Any number that others don't take.
_LOCK = 0x71756575
_VERSION = "SELECT max(version) FROM queuecalls_schema"
#: The columns of a stored result, as they are read.
ROW = (*(entry.name for entry in FIELDS), "received_at", "problems", "fields")
ACCEPTED = "sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE"


@dataclass(frozen=True)
class CampaignRow:
    """A campaign as the database knows it. Times are seconds since 1970 in UTC."""

    name: str
    contacts: int
    outcome: str
    dag_id: str = ""
    run_id: str = ""
    started_at: int = field(default_factory=lambda: int(time.time()))


@dataclass
class ResultCounts:
    """How many calls of a campaign have a result, by what came of them.

    ``unreadable`` is how many posts name no call; they are not among ``results``. ``name`` and ``contacts`` are None
    where the database has the results only.
    """

    key: str
    name: str | None = None
    contacts: int | None = None
    outcome: str = ""
    results: int = 0
    unreadable: int = 0
    by_result: Counter[str] = field(default_factory=Counter)
    by_callee_type: Counter[str] = field(default_factory=Counter)
    last_received_at: int | None = None


class Database:
    """Campaigns and call results in one database. Threads may share it.

    :param url: ``sqlite:///FILE``, or the URL of a PostgreSQL database as SQLAlchemy writes it.
    :param create: make the SQLite file if there is none; without it, that is an error.

    Raises :class:`QueueCallsError` if the database cannot be used, and SQLAlchemy's errors, without values, where a
    later operation fails.
    """

    def __init__(self, url: str, *, create: bool = True) -> None:
        self._engine = _engine(url, create=create)
        #: How many threads can write at once: SQLite takes one writer at a time.
        self.writers = 1 if self._is_sqlite else 8
        self.url = self._engine.url
        with explained(self.url):
            self._upgrade()

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def ping(self) -> None:
        """Raise an error if the database cannot be read."""
        from sqlalchemy import text

        with self._engine.connect() as connection:
            connection.execute(text(_VERSION))

    def add(self, key: str, posted: PostedResult) -> bool:
        """Commit one posted result of the campaign with this key; return whether it is new. Nothing is overwritten."""
        row = asdict(posted.result) | {
            "campaign_key": key,
            "digest": posted.digest,
            "fields": json.dumps(posted.fields),
            "problems": " ".join(posted.problems),
            "received_at": int(time.time()),
        }
        insert = self._insert(_tables()[1]).values(row).on_conflict_do_nothing()
        with self._engine.begin() as connection:
            return connection.execute(insert.execution_options(preserve_rowcount=True)).rowcount == 1

    def put_campaign(self, campaign: CampaignRow) -> None:
        """Record a campaign, or what is new about one that is known."""
        row = {"campaign_key": campaign_key(campaign.name), **asdict(campaign)}
        insert = self._insert(_tables()[0]).values(row)
        with self._engine.begin() as connection:
            connection.execute(insert.on_conflict_do_update(index_elements=["campaign_key"], set_=row))

    def counts(self, name: str | None = None) -> list[ResultCounts]:
        """Count the results of one campaign or of all, by campaign."""
        from sqlalchemy import func, select

        campaigns, results = _tables()
        calls, found = self._calls(name), dict[str, ResultCounts]()
        grouped = [calls.c.campaign_key, calls.c.is_call, calls.c.result, calls.c.callee_type]
        count = select(*grouped, func.count().label("number")).group_by(*grouped)
        known = _of(select(campaigns), campaigns, name)
        last = _of(select(results.c.campaign_key, func.max(results.c.received_at)), results, name)
        with self._engine.connect() as connection:
            for row in connection.execute(known).mappings():
                key = row["campaign_key"]
                found[key] = ResultCounts(key, row["name"], row["contacts"], row["outcome"])
            for group in connection.execute(count).mappings():
                key, number = group["campaign_key"], group["number"]
                counts = found.setdefault(key, ResultCounts(key, name))
                if group["is_call"]:
                    counts.results += number
                    counts.by_result[group["result"] or ""] += number
                    counts.by_callee_type[group["callee_type"] or ""] += number
                else:
                    counts.unreadable += number
            for key, received_at in connection.execute(last.group_by(results.c.campaign_key)):
                found.setdefault(key, ResultCounts(key, name)).last_received_at = received_at
        return sorted(found.values(), key=lambda counts: counts.last_received_at or 0)

    def rows(self, name: str, *, every_post: bool = False) -> Iterator[dict[str, Any]]:
        """Yield the result of each call of a campaign, or every post that differs, with its fields as they came."""
        from sqlalchemy import select

        calls = self._calls(name, every_post=every_post)
        rows = select(*(calls.c[name] for name in ROW)).order_by(calls.c.received_at, calls.c.digest)
        with self._engine.connect().execution_options(stream_results=True, max_row_buffer=1000) as connection:
            for row in connection.execute(rows).mappings():
                yield dict(row)

    def prune(self, before: int) -> int:
        """Delete the results that were received before a time, and campaigns from before it; return how many results."""
        from sqlalchemy import delete, exists, select, tuple_

        campaigns, results = _tables()
        identity, deleted = (results.c.campaign_key, results.c.digest), 0
        some = select(*identity).where(results.c.received_at < before).limit(PRUNED_AT_ONCE)
        while True:
            with self._engine.begin() as connection:
                count = connection.execute(delete(results).where(tuple_(*identity).in_(some))).rowcount
            deleted += count
            if count < PRUNED_AT_ONCE:
                break
        has_results = exists().where(results.c.campaign_key == campaigns.c.campaign_key)
        with self._engine.begin() as connection:
            connection.execute(delete(campaigns).where(campaigns.c.started_at < before, ~has_results))
        return deleted

    def _calls(self, name: str | None, *, every_post: bool = False) -> Any:
        """The rows of calls, one for each call unless ``every_post``: the newest by what the service says.

        Posts may be repeated and arrive in any order, so most attempts and the latest attempt come first, then a
        completed call, and only then the time of arrival. A post that names no call is kept as it is.
        """
        from sqlalchemy import case, func, select

        _, table = _tables()
        call = (table.c.phone_number, table.c.message_reference, table.c.call_id)
        is_call = func.coalesce(*call).isnot(None)
        rank = func.row_number().over(
            partition_by=[table.c.campaign_key, *call, case((is_call, ""), else_=table.c.digest)],
            order_by=[
                func.coalesce(table.c.attempts, -1).desc(),
                func.coalesce(table.c.last_attempt_timestamp, -1).desc(),
                case((func.lower(table.c.result) == COMPLETED, 0), else_=1),
                table.c.received_at.desc(),
                table.c.digest,
            ],
        )
        ranked = _of(select(table, is_call.label("is_call"), rank.label("rank")), table, name).subquery()
        return ranked if every_post else select(ranked).where(ranked.c.rank == 1).subquery()

    @property
    def _is_sqlite(self) -> bool:
        return self._engine.dialect.name == "sqlite"

    def _insert(self, table: Any) -> Any:
        if self._is_sqlite:
            from sqlalchemy.dialects.sqlite import insert
        else:
            from sqlalchemy.dialects.postgresql import insert  # type: ignore[assignment]
        return insert(table)

    def _upgrade(self) -> None:
        """Make the schema, or what is new in it. Of several processes that start at once, the others wait."""
        from sqlalchemy import text

        with self._engine.connect().execution_options(begin="BEGIN IMMEDIATE") as connection, connection.begin():
            if not self._is_sqlite:
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
            connection.execute(text("CREATE TABLE IF NOT EXISTS queuecalls_schema (version bigint PRIMARY KEY)"))
            version = connection.execute(text(_VERSION)).scalar() or 0
            if version > len(SCHEMA):
                raise QueueCallsError(
                    f"The results database has schema version {version}, and this version of airflow-provider-queuecalls "
                    f"knows versions up to {len(SCHEMA)}. Upgrade the package here."
                )
            for number, statements in enumerate(SCHEMA[version:], version + 1):
                for statement in statements:
                    connection.execute(text(statement))
                connection.execute(text("INSERT INTO queuecalls_schema VALUES (:version)"), {"version": number})


@cache
def _tables() -> tuple[Any, Any]:
    """The tables of campaigns and results."""
    from sqlalchemy import column, table

    campaigns = ("campaign_key", *(each.name for each in dataclass_fields(CampaignRow)))
    results = ("campaign_key", "digest", "received_at", *(each.name for each in FIELDS), "problems", "fields")
    return table("queuecalls_campaigns", *map(column, campaigns)), table("queuecalls_results", *map(column, results))


def _of(query: Any, table: Any, name: str | None) -> Any:
    """The query for one campaign, or for all."""
    return query if name is None else query.where(table.c.campaign_key == campaign_key(name))


def _engine(url: str, *, create: bool) -> Engine:
    from sqlalchemy import create_engine, event
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError
    from sqlalchemy.pool import QueuePool

    try:
        parsed = make_url(url)
    except ArgumentError:
        raise QueueCallsError(f"The results database has no valid URL. It must be {ACCEPTED}.") from None
    # Errors must not repeat the values of a statement: they are people's data.
    options: dict[str, Any] = {"future": True, "hide_parameters": True, "poolclass": QueuePool, "pool_pre_ping": True}
    if parsed.drivername.startswith("sqlite"):
        if parsed.database in (None, "", ":memory:"):
            raise QueueCallsError("The results database must be a SQLite file, not one in memory: sqlite:///FILE.")
        if not create and not os.path.exists(str(parsed.database)):
            raise QueueCallsError(
                f"There is no results database {parsed.database!r}. It is made when results are received, or when a campaign "
                "is sent with [queuecalls] results_database."
            )
        _make_private(str(parsed.database))
        connect_args = {"check_same_thread": False, "timeout": PATIENCE_SECONDS}
        engine = create_engine(parsed, connect_args=connect_args, **options)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    parsed = parsed.set(drivername=_postgres_driver(parsed.drivername))
    return create_engine(parsed, connect_args={"connect_timeout": PATIENCE_SECONDS}, pool_size=10, **options)


def _make_private(path: str) -> None:
    """Make the file readable only by its owner, before SQLite makes it and its neighbors with wider rights."""
    with suppress(FileExistsError, FileNotFoundError, PermissionError):  # SQLite reports what is wrong with the path
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # its driver would begin transactions late, and none for a schema
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # what was acknowledged survives a power cut
    connection.execute("PRAGMA secure_delete = ON")  # people's data that was deleted is overwritten


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))


def _postgres_driver(name: str) -> str:
    """The URL's driver, or for a URL without one the installed driver that SQLAlchemy can use."""
    import sqlalchemy

    if name.startswith("postgresql+"):
        return name
    if name not in ("postgresql", "postgres"):
        raise QueueCallsError(f"The results database cannot be {name!r}. It must be {ACCEPTED}.")
    drivers = ("psycopg", "psycopg2") if int(sqlalchemy.__version__.partition(".")[0]) >= 2 else ("psycopg2",)
    for driver in drivers:
        if find_spec(driver):
            return f"postgresql+{driver}"
    raise QueueCallsError(f"PostgreSQL needs a driver, which is not installed: pip install {' or '.join(drivers)}.")


@contextmanager
def explained(url: URL) -> Iterator[None]:
    """Turn an error of the database into one that names it, without its password."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        raise QueueCallsError(f"The results database {url!r} cannot be used: {str(cause).strip()}") from None
