"""The campaigns and their calls."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timezone
from typing import Any, Literal, NamedTuple

from airflow_provider_queuecalls.client.campaign import Campaign
from airflow_provider_queuecalls.exceptions import InvalidCampaign, Violation
from airflow_provider_queuecalls.sandbox.clock import read_expression
from airflow_provider_queuecalls.sandbox.database import Database
from airflow_provider_queuecalls.sandbox.rows import ContactFile
from airflow_provider_queuecalls.value_types import counted

#: Nine digits, as the vendor's.
FIRST_CALL_ID = 100_000_001
PAGE_ROWS = 1_000
#: How many first attempts of a campaign begin in one second.
CALLS_PER_SECOND = 50
#: For campaigns that don't say; the vendor's defaults aren't documented.
DEFAULT_MAX_RETRIES, DEFAULT_RETRY_INTERVAL = 0, 60
CallState = Literal["waiting", "connected", "completed", "failed", "expired"]
#: A phone number's digits, as in :func:`numbers.digits`, in SQL.
_DIGITS = "replace(replace(substr(phone_number, 1, instr(phone_number || ';', ';') - 1), 'tel:', ''), '+', '')"


@dataclass(frozen=True)
class Progress:
    """How many calls of a campaign are in each state."""

    waiting: int = 0
    connected: int = 0
    completed: int = 0
    failed: int = 0
    expired: int = 0


@dataclass(frozen=True)
class QueuedCampaign:
    """A campaign that was queued.

    ``parameters`` are the form's texts word for word, by our parameters' names, without login and PIN; a parameter that
    wasn't posted is not in it. Times are UNIX seconds of the sandbox's clock, ``digest`` is the SHA-256 of the contact
    file's bytes, ``contacts`` the number of its calls. ``ahead`` is by how many seconds that clock was ahead of the real time
    when it was queued. ``notes`` are sentences about what differs from the request.
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
    ahead: int
    notes: Sequence[str]
    progress: Progress

    @property
    def max_retries(self) -> int:
        """How often a failed attempt is repeated."""
        return int(self.parameters.get("max_retries") or DEFAULT_MAX_RETRIES)

    @property
    def retry_interval(self) -> int:
        """Seconds between two attempts."""
        return int(self.parameters.get("retry_interval") or DEFAULT_RETRY_INTERVAL)


@dataclass(frozen=True)
class Call:
    """One call of a campaign: one contact. ``line`` is its line in the contact file, from 1.

    ``last_attempt`` is how the last attempt ended, and ``due_at`` the time of the next change: the next attempt, or the
    end of the conversation.
    """

    call_id: int
    campaign_id: int
    line: int
    phone_number: str
    message_reference: str | None
    call_parameter: str | None
    state: CallState
    attempts: int
    last_attempt: str | None
    last_attempt_at: int | None
    callee_type: str | None
    duration: int | None
    due_at: int | None


@dataclass(frozen=True)
class DialedNumber:
    """A phone number, with its calls and attempts over all campaigns."""

    phone_number: str
    calls: int
    attempts: int


class Tally(NamedTuple):
    """How many calls of a campaign are in a state, by how their last attempt ended (empty before the first)."""

    state: CallState
    last_attempt: str
    calls: int


class Plan(NamedTuple):
    """When a campaign's calls may be attempted, by a clock that is ahead, and notes about times that could not be read."""

    starts_at: int
    expires_at: int | None
    ahead: int
    notes: tuple[str, ...]

    @classmethod
    def of(cls, campaign: Campaign, now: int, real_now: int) -> Plan:
        """Map a campaign's times to the sandbox's clock: what is an hour ahead of the request is an hour ahead here.

        A time that cannot be read is ignored.
        """
        notes, ahead = [], now - real_now
        times = []
        for name, moment in (("scheduled_time", campaign.calls_from), ("expiration_time", campaign.expires_at)):
            if expression := getattr(campaign, name):
                moment = read_expression(expression, real_now)  # noqa: PLW2901
                if moment is None:
                    notes.append(f"The sandbox cannot read {name}, and ignores it.")
            times.append(moment and moment + ahead)
        return cls(max(times[0] or now, now), times[1], ahead, tuple(notes))


class Store:
    """Campaigns and calls in a database. Raises :class:`sqlite3.Error` where that fails."""

    def __init__(self, database: Database, *, unique_names: bool = True) -> None:
        self._database = database
        self._unique_names = unique_names

    def queue(
        self, name: str | None, parameters: Mapping[str, str], contacts: ContactFile, plan: Plan, now: int
    ) -> QueuedCampaign:
        """Queue a campaign with all of its calls, or nothing of it.

        Raises :class:`InvalidCampaign` where the name is taken or a row of the contact file is not valid.
        """
        with self._database.writing() as db:
            if self._unique_names and name is not None and self._named(db, name):
                rule = "a name that no campaign of the account has"
                raise InvalidCampaign([Violation("campaign_name", "is taken by another campaign", rule)])
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
                plan.starts_at, plan.expires_at, plan.ahead, plan.notes, Progress(waiting=contacts.contacts),
            )  # fmt: skip
            row = {**asdict(campaign), "parameters": json.dumps(parameters), "notes": json.dumps(plan.notes)}
            del row["progress"]
            db.execute(f"INSERT INTO campaigns VALUES ({', '.join(f':{column}' for column in row)})", row)  # noqa: S608  # our own names
            _count(db, {(campaign_id, "waiting", ""): contacts.contacts})
        return campaign

    def campaigns(self, name: str | None = None, *, newest: int = -1, before: int = 1 << 62) -> list[QueuedCampaign]:
        """Campaigns in the order they were queued: all, those of a name, or the ``newest`` so many before an id."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT * FROM campaigns WHERE (:name IS NULL OR name = :name) AND id < :before ORDER BY id DESC LIMIT :newest",
                {"name": name, "before": before, "newest": newest},
            ).fetchall()
            return [_campaign(db, row) for row in reversed(rows)]

    def campaign(self, campaign_id: int) -> QueuedCampaign | None:
        """One campaign."""
        with self._database.reading() as db:
            row = db.execute("SELECT * FROM campaigns WHERE id = ?", (campaign_id,)).fetchone()
            return row and _campaign(db, row)

    def tallies(self, campaign_id: int) -> list[Tally]:
        """The states of a campaign's calls."""
        with self._database.reading() as db:
            return _tallies(db, campaign_id)

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
            return [Call(*row) for row in rows]

    def call(self, call_id: int) -> Call | None:
        """One call."""
        with self._database.reading() as db:
            row = db.execute("SELECT * FROM calls WHERE call_id = ?", (call_id,)).fetchone()
        return row and Call(*row)

    def pages(self, campaign_id: int) -> Iterator[list[Call]]:
        """All of the campaign's calls, so many at a time that memory doesn't grow with their number."""
        page = self.calls(campaign_id)
        while page:
            yield page
            page = self.calls(campaign_id, after=page[-1].call_id)

    def dialed_numbers(self, limit: int = -1) -> list[DialedNumber]:
        """Each phone number, however it is spelled, with its calls and attempts, most calls first; -1 is no limit."""
        with self._database.reading() as db:
            rows = db.execute(
                f"SELECT {_DIGITS}, count(*), sum(attempts) FROM calls GROUP BY 1 ORDER BY 2 DESC, 3 DESC, 1 LIMIT ?",  # noqa: S608
                (limit,),
            )
            return [DialedNumber(*row) for row in rows]

    def next_due(self) -> int | None:
        """The time of the next change to any call."""
        with self._database.reading() as db:
            due_at: int | None = db.execute("SELECT min(due_at) FROM calls WHERE due_at IS NOT NULL").fetchone()[0]
        return due_at

    def due(self, now: int) -> list[Call]:
        """The calls that change next: those of the earliest second, if it isn't after ``now``."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT * FROM calls WHERE due_at ="
                " (SELECT min(due_at) FROM calls WHERE due_at IS NOT NULL AND due_at <= ?) ORDER BY call_id LIMIT ?",
                (now, PAGE_ROWS),
            )
            return [Call(*row) for row in rows]

    def change(self, changes: Sequence[tuple[Call, Call]]) -> bool:
        """Record changes of calls, each as it was and as it is; False if the calls no longer exist."""
        moved: Counter[tuple[int, str, str]] = Counter()
        for before, after in changes:
            moved[before.campaign_id, before.state, before.last_attempt or ""] -= 1
            moved[after.campaign_id, after.state, after.last_attempt or ""] += 1
        with self._database.writing() as db:
            # After a reset, the id doesn't exist or is another campaign's.
            if not db.execute("SELECT 1 FROM calls WHERE call_id = ?", (changes[0][0].call_id,)).fetchone():
                return False
            db.executemany(
                "UPDATE calls SET state = :state, attempts = :attempts, last_attempt = :last_attempt, due_at = :due_at,"
                " last_attempt_at = :last_attempt_at, callee_type = :callee_type, duration = :duration"
                " WHERE call_id = :call_id",
                (vars(after) for _, after in changes),
            )
            _count(db, moved)
        return True

    @staticmethod
    def _named(db: sqlite3.Connection, name: str) -> bool:
        return db.execute("SELECT 1 FROM campaigns WHERE name = ?", (name,)).fetchone() is not None


def expired_note(calls: int, expires_at: int | None) -> str:
    """What happened to calls that expired, in a sentence."""
    moment = datetime.fromtimestamp(expires_at or 0, timezone.utc)
    return f"{counted(calls, 'call')} expired at {moment:%Y-%m-%d %H:%M:%S} UTC by the sandbox's clock before being completed."


def _count(db: sqlite3.Connection, moved: Mapping[tuple[int, str, str], int]) -> None:
    db.executemany(
        "INSERT INTO tally VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET calls = calls + excluded.calls",
        ((*key, calls) for key, calls in moved.items() if calls),
    )


def _tallies(db: sqlite3.Connection, campaign_id: int) -> list[Tally]:
    rows = db.execute("SELECT state, last_attempt, calls FROM tally WHERE campaign_id = ?", (campaign_id,))
    return [Tally(*row) for row in rows]


def _campaign(db: sqlite3.Connection, row: Sequence[Any]) -> QueuedCampaign:
    campaign = dict(zip((column.name for column in fields(QueuedCampaign)), row, strict=False))
    states = Counter[str]()
    for tally in _tallies(db, campaign["id"]):
        states[tally.state] += tally.calls
    notes = json.loads(campaign["notes"])
    if states["expired"]:
        notes.append(expired_note(states["expired"], campaign["expires_at"]))
    campaign |= {"parameters": json.loads(campaign["parameters"]), "notes": tuple(notes)}
    return QueuedCampaign(**campaign, progress=Progress(**states))
