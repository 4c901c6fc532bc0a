"""What the sandbox holds: campaigns and their calls, in one SQLite file."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

from airflow_provider_queuecalls.campaign import BY_NAME
from airflow_provider_queuecalls.exceptions import InvalidCampaign
from airflow_provider_queuecalls.sandbox.form import ContactFile

#: Nine digits, as the vendor's.
FIRST_CALL_ID = 100_000_001
PAGE_ROWS = 1_000
#: Seconds to wait for another process that uses the same file.
BUSY_SECONDS = 60
VERSION = 1
_SCHEMA = f"""
CREATE TABLE campaigns (
    id INTEGER PRIMARY KEY,
    name TEXT UNIQUE,
    received_at TEXT NOT NULL,
    parameters TEXT NOT NULL,
    file_name TEXT NOT NULL,
    digest TEXT NOT NULL,
    contacts INTEGER NOT NULL
);
CREATE TABLE calls (
    call_id INTEGER PRIMARY KEY,
    campaign_id INTEGER NOT NULL,
    line INTEGER NOT NULL,
    phone_number TEXT NOT NULL,
    message_reference TEXT,
    call_parameter TEXT
);
CREATE INDEX calls_of_campaign ON calls (campaign_id);
PRAGMA user_version = {VERSION};
"""


class QueuedCampaign(NamedTuple):
    """A campaign that was queued.

    ``parameters`` are the form's texts word for word, by our parameters' names, without login and PIN; what wasn't
    posted is not in it. ``received_at`` is ISO 8601 in UTC, ``digest`` the SHA-256 of the contact file's bytes,
    ``contacts`` the number of its calls.
    """

    id: int
    name: str | None
    received_at: str
    parameters: Mapping[str, str]
    file_name: str
    digest: str
    contacts: int


class Call(NamedTuple):
    """One call of a campaign: one contact. ``line`` is its line in the contact file, from 1."""

    call_id: int
    campaign_id: int
    line: int
    phone_number: str
    message_reference: str | None
    call_parameter: str | None


class Store:
    """Campaigns and calls in a SQLite file, which is made if it doesn't exist. Safe to use from several threads.

    Raises :class:`sqlite3.Error` where the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # SQLite has one writer at a time; waiting here keeps them in turn, however long each takes.
        self._turn = threading.Lock()
        with self._connection() as db:
            db.execute("PRAGMA journal_mode = WAL")
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                db.executescript(_SCHEMA)
            elif version != VERSION:
                raise sqlite3.DatabaseError(f"its layout has number {version}, and this sandbox knows {VERSION}")

    def queue(self, name: str | None, parameters: Mapping[str, str], contacts: ContactFile) -> QueuedCampaign:
        """Queue a campaign with all of its calls, or nothing of it.

        Raises :class:`InvalidCampaign` where the name is taken or a row of the contact file is wrong.
        """
        with self._turn, self._connection() as db, _transaction(db):
            if name is not None and db.execute("SELECT 1 FROM campaigns WHERE name = ?", (name,)).fetchone():
                raise InvalidCampaign([BY_NAME["campaign_name"].violation("is taken by another campaign")])
            campaign_id = db.execute("SELECT coalesce(max(id), 0) + 1 FROM campaigns").fetchone()[0]
            call_id = db.execute("SELECT coalesce(max(call_id) + 1, ?) FROM calls", (FIRST_CALL_ID,)).fetchone()[0]
            db.executemany(
                "INSERT INTO calls VALUES (?, ?, ?, ?, ?, ?)",
                ((number, campaign_id, *contact) for number, contact in enumerate(contacts, start=call_id)),
            )
            campaign = QueuedCampaign(
                campaign_id, name, datetime.now(timezone.utc).isoformat(timespec="seconds"),
                parameters, contacts.name, contacts.digest, contacts.contacts,
            )  # fmt: skip
            row = campaign._replace(parameters=json.dumps(parameters))  # type: ignore[arg-type]
            db.execute("INSERT INTO campaigns VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        return campaign

    def campaigns(self, name: str | None = None) -> list[QueuedCampaign]:
        """All campaigns, or the one of that name, in the order they were queued."""
        with self._connection() as db:
            rows = db.execute("SELECT * FROM campaigns WHERE ?1 IS NULL OR name = ?1 ORDER BY id", (name,)).fetchall()
        return [QueuedCampaign._make(row)._replace(parameters=json.loads(row[3])) for row in rows]

    def calls(self, campaign_id: int, after: int = 0, limit: int = PAGE_ROWS) -> list[Call]:
        """The campaign's calls in the contact file's order: the first ``limit`` of those after a call id."""
        with self._connection() as db:
            rows = db.execute(
                "SELECT * FROM calls WHERE campaign_id = ? AND call_id > ? ORDER BY call_id LIMIT ?",
                (campaign_id, after, limit),
            )
            return list(map(Call._make, rows))

    def pages(self, campaign_id: int) -> Iterator[list[Call]]:
        """All of the campaign's calls, so many at a time that memory doesn't grow with their number."""
        page = self.calls(campaign_id)
        while page:
            yield page
            page = self.calls(campaign_id, after=page[-1].call_id)

    def rings(self, limit: int = -1) -> dict[str, int]:
        """How many calls are queued for each phone number as it is spelled, the most first; -1 is no limit."""
        with self._connection() as db:
            rows = db.execute(
                "SELECT phone_number, count(*) FROM calls GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ?", (limit,)
            )
            return dict(rows.fetchall())

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        # One for each use: SQLite's connections belong to one thread, and opening one takes microseconds.
        with closing(sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None)) as db:
            db.execute("PRAGMA synchronous = NORMAL")
            yield db


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        # A full disk, for one, has made SQLite roll back by itself.
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
