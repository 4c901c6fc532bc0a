"""The SQLite file that everything lies in: its layout, and how it is read and written."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

#: Seconds to wait for another process that uses the same file.
BUSY_SECONDS = 60
VERSION = 2
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
    fields TEXT NOT NULL
);
CREATE INDEX journal_of_campaign ON journal (campaign_id);
CREATE TABLE armed_faults (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, times INTEGER);
CREATE TABLE faults_by_name (campaign_name TEXT PRIMARY KEY, times INTEGER NOT NULL);
CREATE TABLE clock (ahead REAL NOT NULL);
INSERT INTO clock VALUES (0);
"""
_TABLES = ("campaigns", "calls", "tally", "journal", "armed_faults", "faults_by_name")


class Database:
    """A SQLite file, which is made if it doesn't exist. Safe to use from several threads.

    Raises :class:`sqlite3.Error` where the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # SQLite has one writer at a time; waiting here keeps them in turn, however long each takes.
        self._turn = threading.Lock()
        with self.reading() as db:
            db.execute("PRAGMA journal_mode = WAL")
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                db.executescript(f"{_SCHEMA}PRAGMA user_version = {VERSION};")
            elif version != VERSION:
                raise sqlite3.DatabaseError(f"its layout has number {version}, and this sandbox knows {VERSION}")
        # Whoever closes the last connection has to tidy the file up, which takes longer than most of what is asked.
        self._last = sqlite3.connect(path, check_same_thread=False)
        self._last.execute("SELECT ahead FROM clock").fetchone()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection of this use alone: SQLite's belong to one thread, and opening one takes microseconds."""
        with closing(sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None)) as db:
            db.execute("PRAGMA synchronous = NORMAL")
            yield db

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of what is written takes hold, or nothing."""
        with self._turn, self.reading() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                # A full disk, for one, has made SQLite roll back by itself.
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    def close(self) -> None:
        """Tidy up; nothing may be read or written afterwards."""
        self._last.close()

    def clear(self) -> None:
        """Forget everything."""
        with self.writing() as db:
            for table in _TABLES:
                db.execute(f"DELETE FROM {table}")  # noqa: S608  # our own tables
            db.execute("UPDATE clock SET ahead = 0")
