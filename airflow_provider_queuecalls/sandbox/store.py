"""What the sandbox holds: campaigns and their calls."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from airflow_provider_queuecalls.client.campaign import BY_NAME, Campaign
from airflow_provider_queuecalls.exceptions import InvalidCampaign
from airflow_provider_queuecalls.sandbox.clock import read_expression
from airflow_provider_queuecalls.sandbox.database import Database
from airflow_provider_queuecalls.sandbox.form import ContactFile

#: Nine digits, as the vendor's.
FIRST_CALL_ID = 100_000_001
PAGE_ROWS = 1_000
#: So many calls of a campaign are first dialled in a second.
CALLS_PER_SECOND = 50
#: What counts where a campaign doesn't say; the vendor's values aren't documented.
DEFAULT_MAX_RETRIES, DEFAULT_RETRY_INTERVAL = 0, 60

WAITING, TALKING, COMPLETED, FAILED, EXPIRED = STATES = ("waiting", "talking", "completed", "failed", "expired")
#: A phone number's digits, as in :func:`numbers.digits`, in SQL.
_DIGITS = "replace(replace(substr(phone_number, 1, instr(phone_number || ';', ';') - 1), 'tel:', ''), '+', '')"


class QueuedCampaign(NamedTuple):
    """A campaign that was queued.

    ``parameters`` are the form's texts word for word, by our parameters' names, without login and PIN; what wasn't
    posted is not in it. Times are UNIX seconds of the sandbox's clock, ``digest`` is the SHA-256 of the contact file's
    bytes, ``contacts`` the number of its calls. ``notes`` are sentences about what the sandbox does otherwise than asked.
    """

    id: int
    name: str | None
    received_at: int
    parameters: Mapping[str, str]
    file_name: str
    digest: str
    contacts: int
    first_call_id: int
    starts_at: int
    expires_at: int | None
    notes: Sequence[str]

    @property
    def max_retries(self) -> int:
        """How often a failed attempt is repeated."""
        return int(self.parameters.get("max_retries") or DEFAULT_MAX_RETRIES)

    @property
    def retry_interval(self) -> int:
        """Seconds between two attempts."""
        return int(self.parameters.get("retry_interval") or DEFAULT_RETRY_INTERVAL)


class Call(NamedTuple):
    """One call of a campaign: one contact. ``line`` is its line in the contact file, from 1.

    ``state`` is one of :data:`STATES`, ``last_attempt`` how the last attempt ended, and ``due_at`` when the next thing
    happens to it: the next attempt, or the end of the talk.
    """

    call_id: int
    campaign_id: int
    line: int
    phone_number: str
    message_reference: str | None
    call_parameter: str | None
    state: str
    attempts: int
    last_attempt: str | None
    last_attempt_at: int | None
    callee_type: str | None
    duration: int | None
    due_at: int | None


class Rings(NamedTuple):
    """What becomes of one phone number: how many calls it is to get over all campaigns, and how often it rang."""

    phone_number: str
    calls: int
    rings: int


class Tally(NamedTuple):
    """How many calls of a campaign are in a state, by how their last attempt ended (empty before the first)."""

    state: str
    last_attempt: str
    calls: int


class Plan(NamedTuple):
    """When a campaign's calls may be dialled, and sentences about what could not be read."""

    starts_at: int
    expires_at: int | None
    notes: tuple[str, ...]

    @classmethod
    def of(cls, campaign: Campaign, now: int) -> Plan:
        """Read a campaign's times; what is not readable is as if it were not given."""
        notes = []
        times: dict[str, int | None] = {}
        for pair in ("scheduled", "expiration"):
            times[pair] = int(str(getattr(campaign, f"{pair}_timestamp") or 0)) or None
            if expression := getattr(campaign, f"{pair}_time"):
                times[pair] = read_expression(expression, now)
                if times[pair] is None:
                    notes.append(f"The sandbox cannot read {pair}_time, and goes on as if it were not given.")
        return cls(max(times["scheduled"] or now, now), times["expiration"], tuple(notes))


class Store:
    """Campaigns and calls in a database. Raises :class:`sqlite3.Error` where that fails."""

    def __init__(self, database: Database, *, unique_names: bool = True) -> None:
        self._database = database
        self._unique_names = unique_names

    def queue(
        self, name: str | None, parameters: Mapping[str, str], contacts: ContactFile, plan: Plan, now: int
    ) -> QueuedCampaign:
        """Queue a campaign with all of its calls, or nothing of it.

        Raises :class:`InvalidCampaign` where the name is taken or a row of the contact file is wrong.
        """
        with self._database.writing() as db:
            if self._unique_names and name is not None and self._named(db, name):
                raise InvalidCampaign([BY_NAME["campaign_name"].violation("is taken by another campaign")])
            campaign_id = db.execute("SELECT coalesce(max(id), 0) + 1 FROM campaigns").fetchone()[0]
            call_id = db.execute("SELECT coalesce(max(call_id) + 1, ?) FROM calls", (FIRST_CALL_ID,)).fetchone()[0]
            last = plan.expires_at or 1 << 62
            db.executemany(
                "INSERT INTO calls (call_id, campaign_id, line, phone_number, message_reference, call_parameter, due_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    (call_id + index, campaign_id, *contact, min(plan.starts_at + index // CALLS_PER_SECOND, last))
                    for index, contact in enumerate(contacts)
                ),
            )
            campaign = QueuedCampaign(
                campaign_id, name, now, parameters, contacts.name, contacts.digest, contacts.contacts, call_id,
                plan.starts_at, plan.expires_at, plan.notes,
            )  # fmt: skip
            row = {**campaign._asdict(), "parameters": json.dumps(parameters), "notes": json.dumps(plan.notes)}
            places = ", ".join(f":{field}" for field in QueuedCampaign._fields)
            db.execute(f"INSERT INTO campaigns VALUES ({places})", row)  # noqa: S608  # our own names
            _count(db, {(campaign_id, WAITING, ""): contacts.contacts})
        return campaign

    def campaigns(self, name: str | None = None, *, newest: int = -1, before: int = 1 << 62) -> list[QueuedCampaign]:
        """Campaigns in the order they were queued: all, those of a name, or the ``newest`` so many before an id."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT * FROM campaigns WHERE (:name IS NULL OR name = :name) AND id < :before ORDER BY id DESC LIMIT :newest",
                {"name": name, "before": before, "newest": newest},
            ).fetchall()
        return [_campaign(row) for row in reversed(rows)]

    def campaign(self, campaign_id: int) -> QueuedCampaign | None:
        """One campaign."""
        with self._database.reading() as db:
            row = db.execute("SELECT * FROM campaigns WHERE id = ?", (campaign_id,)).fetchone()
        return row and _campaign(row)

    def tallies(self, campaign_ids: Iterable[int]) -> dict[int, list[Tally]]:
        """How far campaigns are."""
        tallies: dict[int, list[Tally]] = {campaign_id: [] for campaign_id in campaign_ids}
        with self._database.reading() as db:
            for campaign_id in tallies:
                rows = db.execute("SELECT state, last_attempt, calls FROM tally WHERE campaign_id = ?", (campaign_id,))
                tallies[campaign_id] = list(map(Tally._make, rows))
        return tallies

    def calls(
        self, campaign_id: int, *, after: int = 0, limit: int = PAGE_ROWS, state: str | None = None, skip: int = 0
    ) -> list[Call]:
        """The campaign's calls in the contact file's order: the first ``limit`` of those after a call id."""
        with self._database.reading() as db:
            # The campaign's calls lie side by side, so nothing but them is looked at.
            rows = db.execute(
                "SELECT calls.* FROM campaigns JOIN calls"
                " ON call_id BETWEEN max(first_call_id, :after + 1) AND first_call_id + contacts - 1"
                " WHERE id = :id AND (:state IS NULL OR state = :state) ORDER BY call_id LIMIT :limit OFFSET :skip",
                {"id": campaign_id, "after": after, "limit": limit, "state": state, "skip": skip},
            )
            return list(map(Call._make, rows))

    def call(self, call_id: int) -> Call | None:
        """One call."""
        with self._database.reading() as db:
            row = db.execute("SELECT * FROM calls WHERE call_id = ?", (call_id,)).fetchone()
        return row and Call._make(row)

    def pages(self, campaign_id: int) -> Iterator[list[Call]]:
        """All of the campaign's calls, so many at a time that memory doesn't grow with their number."""
        page = self.calls(campaign_id)
        while page:
            yield page
            page = self.calls(campaign_id, after=page[-1].call_id)

    def rings(self, limit: int = -1) -> list[Rings]:
        """What becomes of every phone number, however it is spelled, the most called first; -1 is no limit."""
        with self._database.reading() as db:
            rows = db.execute(
                f"SELECT {_DIGITS}, count(*), sum(attempts) FROM calls GROUP BY 1 ORDER BY 2 DESC, 3 DESC, 1 LIMIT ?",  # noqa: S608
                (limit,),
            )
            return list(map(Rings._make, rows))

    def next_due(self) -> int | None:
        """When the next thing happens to any call."""
        with self._database.reading() as db:
            due_at: int | None = db.execute("SELECT min(due_at) FROM calls WHERE due_at IS NOT NULL").fetchone()[0]
        return due_at

    def due(self, now: int, limit: int = PAGE_ROWS) -> list[Call]:
        """Calls to which something happens next: those of the earliest second, if it isn't after now."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT * FROM calls WHERE due_at ="
                " (SELECT min(due_at) FROM calls WHERE due_at IS NOT NULL AND due_at <= ?) ORDER BY call_id LIMIT ?",
                (now, limit),
            )
            return list(map(Call._make, rows))

    def change(self, changes: Sequence[tuple[Call, Call]]) -> bool:
        """Keep what happened to calls, each as it was and as it is; False if they are gone."""
        moved: Counter[tuple[int, str, str]] = Counter()
        for before, after in changes:
            moved[before.campaign_id, before.state, before.last_attempt or ""] -= 1
            moved[after.campaign_id, after.state, after.last_attempt or ""] += 1
        with self._database.writing() as db:
            # One that a reset has removed meanwhile isn't there, or is another campaign's.
            if not db.execute("SELECT 1 FROM calls WHERE call_id = ?", (changes[0][0].call_id,)).fetchone():
                return False
            db.executemany(
                "UPDATE calls SET state = ?, attempts = ?, last_attempt = ?, last_attempt_at = ?, callee_type = ?,"
                " duration = ?, due_at = ? WHERE call_id = ?",
                ((*after[6:], after.call_id) for _, after in changes),
            )
            _count(db, moved)
        return True

    @staticmethod
    def _named(db: sqlite3.Connection, name: str) -> bool:
        return db.execute("SELECT 1 FROM campaigns WHERE name = ?", (name,)).fetchone() is not None


def _count(db: sqlite3.Connection, moved: Mapping[tuple[int, str, str], int]) -> None:
    db.executemany(
        "INSERT INTO tally VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET calls = calls + excluded.calls",
        ((*key, calls) for key, calls in moved.items() if calls),
    )


def _campaign(row: Sequence[object]) -> QueuedCampaign:
    campaign = QueuedCampaign(*row)  # type: ignore[arg-type]
    return campaign._replace(
        parameters=json.loads(str(campaign.parameters)), notes=tuple(json.loads(str(campaign.notes)))
    )
