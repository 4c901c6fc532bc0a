"""The sandbox's clock, and the time expressions that it understands."""

from __future__ import annotations

import re
import threading
import time
from datetime import datetime, timezone

from airflow_provider_queuecalls.sandbox.database import Database


class Clock:
    """A clock that runs ``speed`` times as fast as real time, stands still at 0, and can be put forward.

    How far it is ahead of real time survives a restart. Safe to use from several threads.
    """

    def __init__(self, database: Database, speed: float) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._first_speed = speed
        with database.reading() as db:
            self._ahead: float = db.execute("SELECT ahead FROM clock").fetchone()[0]
        self._speed = speed
        self._since = time.time()

    def now(self, real_now: float | None = None) -> int:
        """The time by this clock, in UNIX seconds: now, or at a moment of real time."""
        return int(self._now(real_now or time.time()))

    @property
    def speed(self) -> float:
        """How many seconds pass here in one real second."""
        return self._speed

    def set_speed(self, speed: float) -> None:
        """Go on at another speed; 0 stands still."""
        with self._lock:
            self._settle()
            self._speed = speed

    def advance(self, seconds: float) -> None:
        """Put the clock forward. Raises :class:`ValueError` for a negative number."""
        if seconds < 0:
            raise ValueError(f"the clock cannot be put back, by {-seconds:g} s")
        with self._lock:
            self._settle()
            self._ahead += seconds
        self.save()

    def reset(self) -> None:
        """Show the real time again, at the first speed."""
        with self._lock:
            self._ahead, self._since, self._speed = 0.0, time.time(), self._first_speed

    def save(self) -> None:
        """Keep the time for the next start."""
        with self._lock:
            self._settle()
            ahead = self._ahead
        with self._database.writing() as db:
            db.execute("UPDATE clock SET ahead = ?", (ahead,))

    def _now(self, real: float) -> float:
        return self._since + self._ahead + (real - self._since) * self._speed

    def _settle(self) -> None:
        real = time.time()
        self._ahead = self._now(real) - real
        self._since = real


_SECONDS = {"sec": 1, "min": 60, "hour": 3_600, "day": 86_400, "week": 604_800}
_RELATIVE = re.compile(r"\+? ?(\d{1,6}) ?(sec|min|hour|day|week)(?:ond|ute)?s?")
#: Hours east of Greenwich of the time zones that a campaign in the US would name.
_ZONES = {"UTC": 0, "Z": 0, "GMT": 0, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7}  # fmt: skip


def read_expression(text: str, now: int) -> int | None:
    """Read ``now``, ``+3 days``, or a date such as ``oct 14th, 2026 11:05PM EST`` (UTC without a zone), in UNIX seconds.

    None for anything else: the vendor shows examples like these, and doesn't document the language.
    """
    from dateutil import parser

    text = text.strip().lower()
    if text == "now":
        return now
    if match := _RELATIVE.fullmatch(text):
        return now + int(match[1]) * _SECONDS[match[2]]
    today = datetime.fromtimestamp(now, timezone.utc).replace(hour=0, minute=0, second=0)
    try:
        moment = parser.parse(text.upper(), default=today, tzinfos=_offset)
    except (KeyError, ValueError, OverflowError):
        return None
    return int(moment.timestamp())


def _offset(zone: str | None, seconds: int | None) -> int:
    # dateutil ignores the name of a zone that it doesn't know.
    return seconds if seconds is not None else _ZONES[zone or "UTC"] * 3_600
