"""What can go wrong on purpose: one table, which feeds the service, the API, the page, the README and the tests.

A fault is armed by the admin API, for the next request, the next so many, or all; or by a campaign's name:
``fault-accept_then_reset-anything`` each time it comes, ``fault-refuse_429-2x-anything`` the first two times.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from airflow_provider_queuecalls.outcome import Outcome
from airflow_provider_queuecalls.sandbox.database import Database


class Ending(Enum):
    """How the connection ends."""

    FINISH = "properly"
    CLOSE = "closed too early"
    RESET = "reset"
    HANG = "never"


@dataclass(frozen=True)
class Fault:
    """One way to go wrong. ``outcome`` is what a client has to make of it, ``queued`` whether it is queued all the same.

    The answer has ``status``, ``headers`` and ``body`` (None is the true one). ``call_ids`` is the share of the calls
    that it lists, ``sent`` the share of it that leaves before the connection's ``ending``. The upload is taken in with
    a ``pause`` of so many seconds after each block.
    """

    name: str
    doc: str
    outcome: Outcome
    queued: bool = True
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    call_ids: float = 1.0
    sent: float = 1.0
    ending: Ending = Ending.FINISH
    pause: float = 0.0


_HTML = "<!DOCTYPE html><html><head><title>{0}</title></head><body><h1>{0}</h1><hr></body></html>"
_AS_HTML = {"Content-Type": "text/html; charset=utf-8"}

FAULTS: tuple[Fault, ...] = (
    Fault("accept_then_hang", "Queues the campaign and never answers.", Outcome.UNKNOWN, sent=0, ending=Ending.HANG),
    Fault("accept_then_reset", "Queues the campaign and resets the connection.", Outcome.UNKNOWN, sent=0, ending=Ending.RESET),
    Fault("accept_then_close", "Queues the campaign and closes the connection without an answer.", Outcome.UNKNOWN, sent=0, ending=Ending.CLOSE),
    Fault("accept_then_502", "Queues the campaign and answers 502, as a gateway does.", Outcome.UNKNOWN, status=502, headers=_AS_HTML, body=_HTML.format("502 Bad Gateway")),
    Fault("half_an_answer", "Queues the campaign and closes the connection in the middle of the answer.", Outcome.UNKNOWN, sent=0.5, ending=Ending.CLOSE),
    Fault("html_answer", "Queues the campaign and answers 200 with a web page.", Outcome.UNKNOWN, headers=_AS_HTML, body=_HTML.format("Scheduled maintenance")),
    Fault("no_call_ids", "Queues the campaign and says so, without any call id.", Outcome.QUEUED, call_ids=0),
    Fault("fewer_call_ids", "Queues the campaign and says so, with half of the call ids.", Outcome.QUEUED, call_ids=0.5),
    Fault("slow_reading", "Takes the upload in at 64 KiB every 0.2 seconds, then goes on as usual.", Outcome.QUEUED, pause=0.2),
    Fault("refuse_401", "Queues nothing and answers 401, whatever login and PIN.", Outcome.REFUSED, queued=False, status=401, headers={"WWW-Authenticate": 'Basic realm="queuecalls"'}, body="Unauthorized\n"),
    Fault("refuse_413", "Queues nothing and answers 413, whatever the file's size.", Outcome.REFUSED, queued=False, status=413, body="Content Too Large\n"),
    Fault("refuse_429", "Queues nothing and answers 429, with Retry-After: 1.", Outcome.NOT_ACCEPTED, queued=False, status=429, headers={"Retry-After": "1"}, body="Too Many Requests\n"),
    Fault("refuse_503", "Queues nothing and answers 503.", Outcome.UNKNOWN, queued=False, status=503, body="Service Unavailable\n"),
)  # fmt: skip
BY_NAME: Mapping[str, Fault] = {fault.name: fault for fault in FAULTS}
PREFIX = re.compile(r"fault-(?P<fault>\w+)-(?:(?P<times>\d{1,6})x-)?")


def names_no_fault(campaign_name: str | None) -> bool:
    """Whether a campaign's name begins as if it asked for a fault that doesn't exist."""
    match = PREFIX.match(campaign_name or "")
    return match is not None and match["fault"] not in BY_NAME


class Armed(NamedTuple):
    """A fault that waits for the next request. ``times`` is for how many more; None is for all."""

    id: int
    name: str
    times: int | None


class ArmedFaults:
    """The faults that wait, in a database: they come in the order they were armed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def arm(self, name: str, times: int | None = 1) -> Armed:
        """Let the next request go wrong, or the next so many, or all (None). Raises :class:`KeyError` for no fault."""
        if name not in BY_NAME:
            raise KeyError(f"no fault is called {name!r}; there are {', '.join(BY_NAME)}")
        with self._database.writing() as db:
            row = db.execute("INSERT INTO armed_faults (name, times) VALUES (?, ?)", (name, times))
            return Armed(row.lastrowid or 0, name, times)

    def armed(self) -> list[Armed]:
        """All that wait, the next one first."""
        with self._database.reading() as db:
            return list(map(Armed._make, db.execute("SELECT * FROM armed_faults ORDER BY id")))

    def disarm(self, armed_id: int | None = None) -> None:
        """Forget one, or all."""
        with self._database.writing() as db:
            db.execute("DELETE FROM armed_faults WHERE :id IS NULL OR id = :id", {"id": armed_id})

    def take(self) -> Fault | None:
        """The fault for the request that has just come."""
        if not self.armed():
            return None
        with self._database.writing() as db:
            row = db.execute("SELECT id, name, times FROM armed_faults ORDER BY id LIMIT 1").fetchone()
            if row is None:
                return None
            armed = Armed._make(row)
            if armed.times is not None:
                db.execute("UPDATE armed_faults SET times = times - 1 WHERE id = ?", (armed.id,))
                db.execute("DELETE FROM armed_faults WHERE times <= 0")
        return BY_NAME[armed.name]

    def take_by_name(self, campaign_name: str | None) -> Fault | None:
        """The fault that the name of the campaign that has just come asks for."""
        match = PREFIX.match(campaign_name or "")
        if match is None or match["fault"] not in BY_NAME:
            return None
        fault = BY_NAME[match["fault"]]
        if match["times"] is None:
            return fault
        with self._database.writing() as db:
            db.execute(
                "INSERT INTO faults_by_name VALUES (?, 1) ON CONFLICT (campaign_name) DO UPDATE SET times = times + 1",
                (campaign_name,),
            )
            came = db.execute("SELECT times FROM faults_by_name WHERE campaign_name = ?", (campaign_name,)).fetchone()[
                0
            ]
        return fault if came <= int(match["times"]) else None
