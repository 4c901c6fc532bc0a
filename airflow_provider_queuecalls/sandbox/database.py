"""The SQLite database in which the sandbox keeps everything: its layout, and how it is read and written."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import LifoQueue
from tempfile import TemporaryDirectory

#: Seconds to wait for another process that uses the same file.
BUSY_SECONDS = 60
#: Threads that read at once; the next one waits for a connection.
CONNECTIONS = 8
VERSION = 5
#: Times are UNIX seconds of the sandbox's clock. A campaign's calls have consecutive ids from ``first_call_id`` on.
_SCHEMA = """
CREATE TABLE campaigns (
    id INTEGER PRIMARY KEY,
    name TEXT,
    received_at INTEGER NOT NULL,
    parameters TEXT NOT NULL,
    file_name TEXT NOT NULL,
    digest TEXT NOT NULL,
    contacts INTEGER NOT NULL,
    first_call_id INTEGER NOT NULL,
    starts_at INTEGER NOT NULL,
    expires_at INTEGER,
    ahead INTEGER NOT NULL,
    notes TEXT NOT NULL
);
CREATE INDEX campaigns_by_name ON campaigns (name);
CREATE TABLE calls (
    call_id INTEGER PRIMARY KEY,
    campaign_id INTEGER NOT NULL,
    line INTEGER NOT NULL,
    phone_number TEXT NOT NULL,
    message_reference TEXT,
    call_parameter TEXT,
    state TEXT NOT NULL DEFAULT 'waiting',
    attempts INTEGER NOT NULL DEFAULT 0,
    last_attempt TEXT,
    last_attempt_at INTEGER,
    callee_type TEXT,
    duration INTEGER,
    due_at INTEGER
);
CREATE INDEX calls_due ON calls (due_at) WHERE due_at IS NOT NULL;
-- How many calls of a campaign are in which state: counting a million of them for each look at the page takes too long.
CREATE TABLE tally (
    campaign_id INTEGER NOT NULL,
    state TEXT NOT NULL,
    last_attempt TEXT NOT NULL,
    calls INTEGER NOT NULL,
    PRIMARY KEY (campaign_id, state, last_attempt)
) WITHOUT ROWID;
CREATE TABLE journal (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    direction TEXT NOT NULL,
    campaign_id INTEGER,
    method TEXT NOT NULL,
    url TEXT NOT NULL,
    status INTEGER,
    fault TEXT,
    note TEXT NOT NULL,
    headers TEXT NOT NULL,
    fields TEXT NOT NULL,
    transcript TEXT NOT NULL
);
CREATE INDEX journal_of_campaign ON journal (campaign_id);
CREATE TABLE armed_faults (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, times INTEGER);
CREATE TABLE clock (ahead REAL NOT NULL);
INSERT INTO clock VALUES (0);
"""
_TABLES = ("campaigns", "calls", "tally", "journal", "armed_faults")


class Database:
    """A SQLite database, safe to use from several threads.

    :param path: Its file, which is created if it doesn't exist, for its owner only. Without a path the database lies in
        a temporary file whose name is removed as soon as it is open, so nothing remains of it however the process ends.

    Raises :class:`sqlite3.Error` or :class:`OSError` where the file cannot be used.
    """

    def __init__(self, path: Path | None) -> None:
        # SQLite has one writer at a time; waiting here keeps them in turn, however long each takes.
        self._turn = threading.Lock()
        self._connections: list[sqlite3.Connection] = []
        self._idle: LifoQueue[sqlite3.Connection] = LifoQueue()
        try:
            if path is None:
                with TemporaryDirectory(prefix="queuecalls-sandbox-") as folder:
                    self._connect(Path(folder, "sandbox.db"))
            else:
                # SQLite gives its other files the permissions of this one.
                with suppress(FileExistsError):
                    path.touch(mode=0o600, exist_ok=False)
                self._connect(path)
        except BaseException:
            self.close()
            raise

    def _connect(self, path: Path) -> None:
        """Open all connections at once: none can be opened by name later, where there is no name any more."""
        for _ in range(CONNECTIONS):
            db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            self._connections.append(db)
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                db.executescript(f"{_SCHEMA}PRAGMA user_version = {VERSION};")
            elif version != VERSION:
                raise sqlite3.DatabaseError(f"its layout has number {version}, and this sandbox knows {VERSION}")
            self._idle.put(db)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection for this use alone. Don't take another one meanwhile: there might be none left."""
        db = self._idle.get()
        try:
            yield db
        finally:
            self._idle.put(db)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of what is written takes effect, or nothing."""
        with self._turn, self.reading() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                # After some errors, such as a full disk, SQLite has rolled back already.
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    def close(self) -> None:
        """Close all connections; whoever reads or writes afterwards gets an error."""
        for db in self._connections:
            db.close()

    def clear(self) -> None:
        """Delete everything."""
        with self.writing() as db:
            for table in _TABLES:
                db.execute(f"DELETE FROM {table}")  # noqa: S608  # our own tables
            db.execute("UPDATE clock SET ahead = 0")
