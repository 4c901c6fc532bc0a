"""The journal: requests to the service and the callbacks it sent, without secrets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from airflow_provider_queuecalls.sandbox.database import Database

RECEIVED, SENT = "received", "sent"
HIDDEN = "***"
_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie"})
SECRET_FIELDS = frozenset({"login", "pin"})
#: Older entries are deleted.
MOST_ENTRIES = 10_000
SHOWN_CHARACTERS = 300


@dataclass(frozen=True)
class Entry:
    """One request: to the service (``received``), or a callback (``sent``).

    ``status`` is the response's HTTP code, None where there was no response; ``fault`` the fault that happened, and
    ``note`` a sentence about the result. ``transcript`` is what the script in a response has said, and the keys that were
    pressed, line by line.
    """

    at: int
    direction: str
    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    campaign_id: int | None = None
    status: int | None = None
    fault: str | None = None
    note: str = ""
    transcript: tuple[str, ...] = ()
    id: int = 0


_COLUMNS = tuple(column.name for column in fields(Entry))


class Journal:
    """The newest requests, in a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, entries: Iterable[Entry]) -> None:
        """Keep entries, and delete the oldest beyond :data:`MOST_ENTRIES`."""
        rows = [
            {
                **asdict(entry),
                "headers": json.dumps(_without_secrets(entry.headers, _SECRET_HEADERS)),
                "fields": json.dumps(_without_secrets(entry.fields, SECRET_FIELDS)),
                "transcript": json.dumps(entry.transcript),
            }
            for entry in entries
        ]
        if not rows:
            return
        with self._database.writing() as db:
            db.executemany(
                "INSERT INTO journal (at, direction, campaign_id, method, url, status, fault, note, headers, fields, transcript)"
                " VALUES (:at, :direction, :campaign_id, :method, :url, :status, :fault, :note, :headers, :fields, :transcript)",
                rows,
            )
            db.execute("DELETE FROM journal WHERE id <= (SELECT max(id) FROM journal) - ?", (MOST_ENTRIES,))

    def newest(self, limit: int, *, before: int = 1 << 62, campaign_id: int | None = None) -> list[Entry]:
        """The newest entries before an id, newest first: all, or those about a campaign."""
        with self._database.reading() as db:
            rows = db.execute(
                f"SELECT {', '.join(_COLUMNS)} FROM journal"  # noqa: S608  # our own names
                " WHERE id < :before AND (:campaign IS NULL OR campaign_id = :campaign) ORDER BY id DESC LIMIT :limit",
                {"before": before, "campaign": campaign_id, "limit": limit},
            ).fetchall()
        return [_entry(dict(zip(_COLUMNS, row, strict=True))) for row in rows]


def _without_secrets(pairs: Mapping[str, str], secret: frozenset[str]) -> dict[str, str]:
    return {
        name[:SHOWN_CHARACTERS]: HIDDEN if name.lower() in secret else value[:SHOWN_CHARACTERS]
        for name, value in pairs.items()
    }


def _entry(row: dict[str, Any]) -> Entry:
    headers, fields, transcript = (json.loads(row[name]) for name in ("headers", "fields", "transcript"))
    return Entry(**row | {"headers": headers, "fields": fields, "transcript": tuple(transcript)})
