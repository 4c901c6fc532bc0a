"""How the results database is opened, with SQLAlchemy 1.4 to 2.1, as Airflow 2.11 to 3.3 install it."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from airflow_provider_queuecalls.exceptions import QueueCallsError

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Connection, Engine

#: The drivers of each kind of database, the better one first. Those that are asynchronous cannot be used.
_DRIVERS = {"sqlite": ("pysqlite",), "postgresql": ("psycopg", "psycopg2")}
#: How long a statement waits for another process that writes, or for PostgreSQL to accept a connection.
PATIENCE_SECONDS = 10
#: How long PostgreSQL works on a statement, unless the connection is ``unlimited``, and how long it may be out of reach.
STATEMENT_SECONDS = 60
ACCEPTED = "sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE"


def parse_url(url: str) -> URL:
    """Read the URL of a database. Raises :class:`QueueCallsError`, without any of it, which may be part of a password."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        raise QueueCallsError(
            f"The results database has no valid URL, in [queuecalls] results_database or --database. It must be {ACCEPTED}, "
            "with special characters in the password percent-encoded, such as %40 for @."
        ) from None


def make_engine(url: str, *, create: bool, patience: float) -> Engine:
    """Return an engine for the database. Raises :class:`QueueCallsError` for a URL that cannot be used."""
    from sqlalchemy import create_engine, event
    from sqlalchemy.pool import QueuePool

    parsed = parse_url(url)
    parsed = parsed.set(drivername=_with_driver(parsed.drivername))
    # Errors must not repeat the values of a statement: they are people's data.
    options: dict[str, Any] = {"future": True, "hide_parameters": True, "poolclass": QueuePool, "pool_pre_ping": True}
    # Nor must the log: with logging_level=DEBUG, SQLAlchemy would log every row.
    options["logging_name"] = "queuecalls"
    logging.getLogger("sqlalchemy.engine.Engine.queuecalls").setLevel(logging.WARNING)
    if parsed.drivername.startswith("sqlite"):
        if parsed.database in (None, "", ":memory:"):
            raise QueueCallsError("The results database must be a SQLite file, not one in memory: sqlite:///FILE.")
        if not create and not os.path.exists(str(parsed.database)):
            raise QueueCallsError(
                f"There is no results database {parsed.database!r}. It is made when results are received, or when a campaign "
                "is sent with [queuecalls] results_database."
            )
        _make_private(str(parsed.database))
        connect_args = {"check_same_thread": False, "timeout": patience}
        engine = create_engine(parsed, connect_args=connect_args, **options)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    engine = create_engine(parsed, connect_args=_postgresql_arguments(parsed, patience), pool_size=10, **options)
    event.listen(engine, "begin", _begin_postgresql)
    return engine


def _postgresql_arguments(url: URL, patience: float) -> dict[str, Any]:
    """The time limits of a connection, in the words of libpq, which both drivers take. Those that the URL gives count."""
    theirs = url.query.get("options", "")
    limits = f"-c lock_timeout={patience * 1000:.0f} -c statement_timeout={STATEMENT_SECONDS * 1000}"
    arguments: dict[str, Any] = {
        "connect_timeout": int(patience),
        # A server or a network that is gone: the system probes it while it owes an answer, and gives up.
        "keepalives_idle": 20,
        "keepalives_interval": 10,
        "keepalives_count": 4,
        "tcp_user_timeout": STATEMENT_SECONDS * 1000,
    }
    given = {name: value for name, value in arguments.items() if name not in url.query}
    return {**given, "options": " ".join([limits, *([theirs] if isinstance(theirs, str) else theirs)]).strip()}


def file_id(url: URL) -> tuple[int, int] | None:
    """Which file a SQLite database is, whatever its name; None for PostgreSQL, and if there is none."""
    if not url.drivername.startswith("sqlite"):
        return None
    try:
        found = os.stat(str(url.database))
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _make_private(path: str) -> None:
    """Make the file readable only by its owner, before SQLite makes it and its neighbors with wider rights."""
    with suppress(FileExistsError, FileNotFoundError, PermissionError):  # SQLite reports what is wrong with the path
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # its driver would begin transactions late, and none for a schema
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # what was acknowledged survives a power cut
    connection.execute("PRAGMA wal_autocheckpoint = 8000")  # pages, so 32 MiB: copying them back holds up the results
    connection.execute("PRAGMA secure_delete = ON")  # people's data that was deleted is overwritten


def _begin_postgresql(connection: Connection) -> None:
    if connection.get_execution_options().get("unlimited"):
        # Where rows are streamed, a statement is otherwise declared as a cursor.
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0", execution_options={"stream_results": False})


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))


def _with_driver(name: str) -> str:
    """The kind of database, for PostgreSQL with its driver: the URL's, or else the first one that is installed."""
    import sqlalchemy

    kind, _, chosen = name.partition("+")
    kind = "postgresql" if kind == "postgres" else kind
    if kind not in _DRIVERS:
        raise QueueCallsError(f"The results database cannot be {name!r}. It must be {ACCEPTED}.")
    is_old = int(sqlalchemy.__version__.partition(".")[0]) < 2
    usable = [driver for driver in _DRIVERS[kind] if driver != "psycopg" or not is_old]
    if chosen and chosen not in usable:
        raise QueueCallsError(
            f"The results database cannot use the driver {chosen!r}. It must be {' or '.join(map(repr, usable))}, or left out: "
            f"{ACCEPTED}."
        )
    if kind == "sqlite":
        return name
    wanted = [chosen] if chosen else usable
    for driver in wanted:
        if find_spec(driver):
            return f"{kind}+{driver}"
    raise QueueCallsError(f"PostgreSQL needs a driver, which is not installed: pip install {' or '.join(wanted)}.")
