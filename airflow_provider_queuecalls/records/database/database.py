"""The database of campaigns and the results of their calls: a SQLite file, or PostgreSQL for several machines."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import asdict, dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from airflow_provider_queuecalls.exceptions import QueueCallsError
from airflow_provider_queuecalls.records.call_results import FIELDS, CallResult, PostedResult
from airflow_provider_queuecalls.records.database.engine import PATIENCE_SECONDS, file_id, make_engine
from airflow_provider_queuecalls.records.database.errors import translate_sqlalchemy_errors
from airflow_provider_queuecalls.records.database.schema import VERSION, is_current, upgrade
from airflow_provider_queuecalls.records.database.storing import CHOICES, WITHOUT_RESULT, store, store_choice
from airflow_provider_queuecalls.records.sent.entry import OUTCOMES, State

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection
    from sqlalchemy.sql.elements import TextClause


#: The columns of a stored result, as they are read.
ROW = (*(entry.name for entry in FIELDS), "received_at", "problems", "fields", "choice", "chosen_at")


@dataclass(frozen=True)
class CampaignRow:
    """A campaign as the database knows it. Times are seconds since 1970 in UTC.

    ``campaign_key`` is the digest of a :class:`~airflow_provider_queuecalls.records.sent.entry.CampaignKey`: campaigns of one
    name that other accounts send are other campaigns. ``expires_at`` is the time at which the service stops
    calling; None if the campaign doesn't expire. ``calls_from`` is when the calls start, ``calls`` how many of them the
    service has queued, ``collects_results`` whether the service posts their results here, ``campaign_url`` where a person
    finds the campaign in the vendor's campaign manager, and ``zones`` a JSON object of the contacts by time zone; None
    where that is not known.
    """

    campaign_key: str
    name: str
    contacts: int
    outcome: str
    dag_id: str = ""
    run_id: str = ""
    started_at: int = field(default_factory=lambda: int(time.time()))
    expires_at: int | None = None
    calls_from: int | None = None
    calls: int | None = None
    collects_results: bool | None = None
    campaign_url: str | None = None
    zones: str | None = None


#: Columns that are known before sending and that later updates leave out. They are never replaced by None.
KEPT = ("expires_at", "calls_from", "collects_results", "campaign_url", "zones")


@dataclass
class ResultCounts:
    """How many calls of a campaign have a result, by what came of them, and what is known about the campaign.

    ``unreadable`` is how many posts name no call; they are not among ``results``. ``attempts`` is the sum over the calls.
    ``by_choice`` counts the calls in which somebody chose something, also those that have no result yet.
    ``name``, ``contacts``, and the times of the campaign are None where the database has the results only.
    """

    key: str
    name: str | None = None
    contacts: int | None = None
    outcome: str = ""
    expires_at: int | None = None
    started_at: int | None = None
    results: int = 0
    unreadable: int = 0
    by_result: Counter[str] = field(default_factory=Counter)
    by_callee_type: Counter[str] = field(default_factory=Counter)
    by_choice: Counter[str] = field(default_factory=Counter)
    attempts: int = 0
    last_received_at: int | None = None


class Database:
    """Campaigns and call results in one database. Threads may share it.

    :param url: ``sqlite:///FILE``, or the URL of a PostgreSQL database as SQLAlchemy writes it.
    :param create: make the SQLite file if there is none; without it, that is an error.
    :param patience: how many seconds a statement waits for another process that writes, or for PostgreSQL to accept a
        connection, at least 2. PostgreSQL works on a statement for at most a minute, unless it may be a long one.

    Raises :class:`QueueCallsError` if the database cannot be used, and SQLAlchemy's errors, without values, where a
    later operation fails.
    """

    def __init__(self, url: str, *, create: bool = True, patience: float = PATIENCE_SECONDS) -> None:
        self._engine = make_engine(url, create=create, patience=patience)
        #: Whether several machines can use it. A SQLite file serves one.
        self.is_shared = self._engine.dialect.name != "sqlite"
        #: SQLite cannot upgrade a read transaction to a write transaction after another connection has written.
        self._writer = self._engine.execution_options(begin="BEGIN IMMEDIATE")
        #: For results, which PostgreSQL stores in one statement.
        self._storer = self._engine.execution_options(isolation_level="AUTOCOMMIT") if self.is_shared else self._writer
        #: For messages. Its text hides the password; it has no query string, since drivers accept a password there too.
        self.url = self._engine.url.set(query={})
        self._file_id = file_id(self.url)
        self._lock = Lock()
        self._connection: Connection | None = None
        with translate_sqlalchemy_errors(self.url):
            with self._engine.connect() as connection:
                current = is_current(connection)
            if not current:
                with self.transaction(unlimited=True) as connection:
                    upgrade(connection)

    @contextmanager
    def closing(self) -> Iterator[Database]:
        """This database, which is closed at the end of the ``with``. Raises SQLAlchemy's errors as :class:`QueueCallsError`."""
        with closing(self), translate_sqlalchemy_errors(self.url):
            yield self

    def close(self) -> None:
        """Close all connections."""
        if self._connection is not None:
            self._connection.close()
        self._engine.dispose()

    def ping(self) -> None:
        """Raise an error if the database cannot be read."""
        with self._engine.connect() as connection:
            connection.execute(text(VERSION))
        self._assert_same_file()

    def transaction(self, *, unlimited: bool = False) -> AbstractContextManager[Connection]:
        """A connection that writes, and whose changes are committed at the end of the ``with``.

        :param unlimited: its statements may take long
        """
        return self._writer.execution_options(unlimited=unlimited).begin()

    def reading(self, *, unlimited: bool = False) -> AbstractContextManager[Connection]:
        """A connection that reads. ``unlimited``: its statements may take long."""
        return self._engine.execution_options(unlimited=unlimited).connect()

    def add(self, key: str, posted: PostedResult) -> bool:
        """Commit one posted result of the campaign with this key; return whether it is new. Nothing is overwritten."""
        (is_new,) = self.add_all([(key, posted)])
        return is_new

    def add_all(self, posts: Sequence[tuple[str, PostedResult]]) -> list[bool]:
        """Commit posted results, each with its campaign's key, all or none; return for each whether it is new."""
        with self._lock:
            try:
                return self._store(posts)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
                # The server has ended an idle connection. Should it have committed before, storing again changes nothing.
                return self._store(posts)

    def _store(self, posts: Sequence[tuple[str, PostedResult]]) -> list[bool]:
        # One connection is kept: taking one from the pool for each post costs more than storing the post.
        if self._connection is None:
            self._connection = self._storer.connect()
        try:
            with self._connection.begin():
                all_new = store(self._connection, posts, received_at=int(time.time()))
            self._assert_same_file()
        except BaseException:
            connection, self._connection = self._connection, None
            connection.close()
            raise
        return all_new

    def add_choice(self, campaign_key: str, call: CallResult, choice: str, chosen_at: int) -> None:
        """Commit what somebody chose in a call. Of several choices in a call, the last one counts."""
        with self.transaction() as connection:
            store_choice(connection, campaign_key, call, choice, chosen_at)
        self._assert_same_file()

    def _assert_same_file(self) -> None:
        """Raise an error if the SQLite file was deleted or replaced: its last content has no name that others could open."""
        if self._file_id != file_id(self.url):
            raise QueueCallsError(
                f"The file of the results database {self.url!r} was deleted or replaced. Put it back, or restart this program "
                "to use the file that is there now."
            )

    def put_campaign(self, campaign: CampaignRow) -> None:
        """Record a campaign, or what is new about one that is known. A known expiration is never replaced by None."""
        row = asdict(campaign)
        changes = ", ".join(
            f"{name} = {f'coalesce(excluded.{name}, known.{name})' if name in KEPT else f'excluded.{name}'}"
            for name in row
        )
        put = f"""INSERT INTO queuecalls_campaigns AS known ({", ".join(row)}) VALUES ({", ".join(f":{name}" for name in row)})
            ON CONFLICT (campaign_key) DO UPDATE SET {changes}"""  # noqa: S608
        with self.transaction() as connection:
            connection.execute(text(put), row)

    def resolve_campaign(self, key: str, columns: Mapping[str, Any], token: str) -> None:
        """Change columns of a campaign, among them its outcome, if it has a row.

        If it is not queued, the request with this token no longer counts for ``max_per_period``; earlier ones still do.
        """
        changes = ", ".join(f"{name} = :{name}" for name in columns)
        update = f"UPDATE queuecalls_campaigns SET {changes} WHERE campaign_key = :key"  # noqa: S608  # the names are ours
        with self.transaction() as connection:
            connection.execute(text(update), {**columns, "key": key})
            if columns["outcome"] == OUTCOMES[State.OPEN]:
                forget_numbers(connection, token)

    def key_of(self, campaign: str) -> str:
        """The key of the campaign with this name or key. Raises :class:`QueueCallsError` if several have the name, or none has."""
        query = "SELECT campaign_key FROM queuecalls_campaigns WHERE name = :campaign ORDER BY campaign_key"
        with self._engine.connect() as connection:
            keys: list[str] = list(connection.execute(text(query), {"campaign": campaign}).scalars())
        if len(keys) > 1:
            raise QueueCallsError(
                f"Several accounts have sent a campaign called {campaign!r}. Give the key of one of them instead: "
                f"{', '.join(keys)}."
            )
        if not keys and not self.counts(campaign):
            raise QueueCallsError(
                f"The results database {self.url!r} has neither a campaign nor a result with the name or key {campaign!r}. List all "
                "campaigns with: queuecalls results list."
            )
        return keys[0] if keys else campaign

    def counts(self, key: str | None = None) -> list[ResultCounts]:
        """Count the results of one campaign or of all, by campaign. The cost does not depend on the number of results."""
        found = dict[str, ResultCounts]()
        with self._engine.connect() as connection:
            for row in connection.execute(_of("SELECT * FROM queuecalls_campaigns", key)).mappings():
                known = {each: row[each] for each in ("name", "contacts", "outcome", "expires_at", "started_at")}
                found[row["campaign_key"]] = ResultCounts(row["campaign_key"], **known)
            for row in connection.execute(_of("SELECT * FROM queuecalls_tallies", key)).mappings():
                counts = found.setdefault(row["campaign_key"], ResultCounts(row["campaign_key"]))
                counts.results += row["calls"]
                counts.unreadable += row["unreadable"]
                counts.attempts += row["attempts"]
                counts.by_result[row["result"]] += row["calls"]
                counts.by_callee_type[row["callee_type"]] += row["calls"]
                counts.last_received_at = max(row["last_received_at"], counts.last_received_at or 0)
            for campaign, choice, calls in connection.execute(_of(CHOICES, key)):
                found.setdefault(campaign, ResultCounts(campaign)).by_choice[choice] += calls
        for counts in found.values():
            for each in ("by_result", "by_callee_type", "by_choice"):
                setattr(counts, each, +getattr(counts, each))  # without zeros
        return sorted(found.values(), key=lambda counts: counts.last_received_at or 0)

    def first_result(self, key: str, since: int) -> int | None:
        """When the first post of a campaign arrived since that time; None where there is none."""
        first = _of("SELECT received_at FROM queuecalls_results", key, "AND received_at >= :since ORDER BY 1 LIMIT 1")
        with self._engine.connect() as connection:
            arrived: int | None = connection.execute(first, {"since": since}).scalar()
        return arrived

    def rows(self, key: str, *, every_post: bool = False) -> Iterator[dict[str, Any]]:
        """Yield the result of each call of a campaign, or every post that differs, with its fields as they came, and the choice.

        Before the results of calls come the choices whose calls have none: should one arrive meanwhile, both are yielded.
        """
        columns = ", ".join(name if name in ("choice", "chosen_at") else f"post.{name}" for name in ROW)
        calls = "" if every_post else "JOIN queuecalls_calls USING (campaign_key, call_key, digest)"
        choices = "LEFT JOIN queuecalls_choices USING (campaign_key, call_key)"
        query = f"SELECT {columns} FROM queuecalls_results AS post {calls} {choices}"  # noqa: S608  # the names are ours
        rows = _of(query, key, "ORDER BY post.received_at, digest")
        options = {"stream_results": True, "max_row_buffer": 1000, "unlimited": True}
        with self._engine.connect().execution_options(**options) as connection:
            for row in () if every_post else connection.execute(_of(WITHOUT_RESULT, key)).mappings():
                yield {**dict.fromkeys(ROW), **row}
            for row in connection.execute(rows).mappings():
                yield dict(row)


def forget_numbers(connection: Connection, token: str) -> None:
    """Delete the numbers of a request, if it has any on record."""
    for table in ("queuecalls_requests", "queuecalls_numbers"):
        connection.execute(text(f"DELETE FROM {table} WHERE token = :token"), {"token": token})  # noqa: S608


def opened_once(open_database: Callable[[], Database]) -> Callable[[], Database]:
    """Return what opens a database when it is called first, and then always gives this one. Threads may share it."""
    lock, opened = Lock(), list[Database]()

    def database() -> Database:
        with lock:
            if not opened:
                opened.append(open_database())
            return opened[0]

    return database


def _of(query: str, key: str | None, order: str = "") -> TextClause:
    """The query for one campaign, or for all."""
    if key is None:
        return text(f"{query} {order}")
    return text(f"{query} WHERE campaign_key = :key {order}").bindparams(key=key)
