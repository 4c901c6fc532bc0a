"""The faults: failures of the service or the network on demand. One table for service, API, page, docs, and tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from airflow_provider_queuecalls.outcome import Outcome
from airflow_provider_queuecalls.sandbox.database import Database


class Ending(Enum):
    """How the connection ends."""

    FINISH = "after the whole response"
    CLOSE = "closed too early"
    RESET = "reset"
    HANG = "stays open"


@dataclass(frozen=True)
class Fault:
    """One fault. The response's parts that aren't given are the usual ones.

    :param name: What happens on the wire.
    :param outcome: What a client has to make of it.
    :param queued: Whether the campaign is queued all the same.
    :param body: The response's body; None is the usual one.
    :param call_ids: The share of the calls whose ids are listed.
    :param sent: The share of the response that is sent before the connection's ``ending``.
    :param pause: Seconds to wait after each 64 KiB of the upload.
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
    Fault("no_response", "Queues the campaign and never responds.", Outcome.UNKNOWN, sent=0, ending=Ending.HANG),
    Fault("connection_reset", "Queues the campaign and resets the connection.", Outcome.UNKNOWN, sent=0, ending=Ending.RESET),
    Fault("connection_closed", "Queues the campaign and closes the connection without a response.", Outcome.UNKNOWN, sent=0, ending=Ending.CLOSE),
    Fault("truncated_response", "Queues the campaign and closes the connection in the middle of the response.", Outcome.UNKNOWN, sent=0.5, ending=Ending.CLOSE),
    Fault("html_response", "Queues the campaign and responds with 200 and a web page.", Outcome.UNKNOWN, headers=_AS_HTML, body=_HTML.format("Scheduled maintenance")),
    Fault("no_call_ids", "Queues the campaign, and responds without any call id.", Outcome.QUEUED, call_ids=0),
    Fault("fewer_call_ids", "Queues the campaign, and responds with half of the call ids.", Outcome.QUEUED, call_ids=0.5),
    Fault("slow_upload", "Reads the upload at 64 KiB every 0.2 seconds, then goes on as usual.", Outcome.QUEUED, pause=0.2),
    Fault("http_401", "Queues nothing and responds with 401, whatever login and PIN.", Outcome.REFUSED, queued=False, status=401, headers={"WWW-Authenticate": 'Basic realm="queuecalls"'}, body="Unauthorized\n"),
    Fault("http_413", "Queues nothing and responds with 413, whatever the file's size.", Outcome.REFUSED, queued=False, status=413, body="Content Too Large\n"),
    Fault("http_429", "Queues nothing and responds with 429 and Retry-After: 1.", Outcome.NOT_ACCEPTED, queued=False, status=429, headers={"Retry-After": "1"}, body="Too Many Requests\n"),
    Fault("http_502", "Queues the campaign and responds with 502, as a gateway in front of the service does.", Outcome.UNKNOWN, status=502, headers=_AS_HTML, body=_HTML.format("502 Bad Gateway")),
    Fault("http_503", "Queues nothing and responds with 503.", Outcome.UNKNOWN, queued=False, status=503, body="Service Unavailable\n"),
)  # fmt: skip
BY_NAME: Mapping[str, Fault] = {fault.name: fault for fault in FAULTS}


@dataclass(frozen=True)
class Armed:
    """A fault that waits for the next requests: for ``times`` of them, or for all (None)."""

    id: int
    name: str
    times: int | None


class ArmedFaults:
    """The armed faults, in a database. They happen in the order they were armed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def arm(self, name: str, times: int | None = 1) -> Armed:
        """Arm a fault for the next ``times`` requests, or for all (None). Raises :class:`KeyError` for an unknown name."""
        if name not in BY_NAME:
            raise KeyError(f"{name!r} is not a fault. The faults are {', '.join(BY_NAME)}.")
        with self._database.writing() as db:
            armed_id = db.execute("INSERT INTO armed_faults (name, times) VALUES (?, ?)", (name, times)).lastrowid
        return Armed(armed_id or 0, name, times)

    def armed(self) -> list[Armed]:
        """All armed faults, the next one first."""
        with self._database.reading() as db:
            return [Armed(*row) for row in db.execute("SELECT * FROM armed_faults ORDER BY id")]

    def disarm(self, armed_id: int | None = None) -> bool:
        """Disarm one fault, or all. False if there was none."""
        with self._database.writing() as db:
            return db.execute("DELETE FROM armed_faults WHERE :id IS NULL OR id = :id", {"id": armed_id}).rowcount > 0

    def take(self) -> Fault | None:
        """The fault for the request that has just arrived."""
        if not self.armed():
            return None
        with self._database.writing() as db:
            row = db.execute("SELECT id, name FROM armed_faults ORDER BY id LIMIT 1").fetchone()
            if row is None:
                return None
            db.execute("UPDATE armed_faults SET times = times - 1 WHERE id = ?", (row[0],))
            db.execute("DELETE FROM armed_faults WHERE times <= 0")
        return BY_NAME[row[1]]
