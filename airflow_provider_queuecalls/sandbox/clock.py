"""The sandbox's clock, and the times that a campaign names, as it reads them."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

from airflow_provider_queuecalls.sandbox.database import Database


class Clock:
    """A clock that runs ``speed`` times as fast as the world's, or stands still at 0, and can be put forward.

    How far it is ahead of the world's survives a restart. Safe to use from several threads.
    """

    def __init__(self, database: Database, speed: float) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._first_speed = speed
        with database.reading() as db:
            self._ahead: float = db.execute("SELECT ahead FROM clock").fetchone()[0]
        self._speed = speed
        self._since = time.time()

    def now(self) -> int:
        """The time by this clock, in UNIX seconds."""
        return int(self._now(time.time()))

    @property
    def speed(self) -> float:
        """How many seconds pass here in one of the world's."""
        return self._speed

    def set_speed(self, speed: float) -> None:
        """Go on at another speed; 0 stands still."""
        with self._lock:
            self._settle()
            self._speed = speed

    def advance(self, seconds: float) -> None:
        """Put the clock forward."""
        with self._lock:
            self._settle()
            self._ahead += seconds
        self.save()

    def reset(self) -> None:
        """Show the world's time again, at the speed of the start."""
        with self._lock:
            self._ahead, self._since, self._speed = 0.0, time.time(), self._first_speed

    def save(self) -> None:
        """Keep the time for the next start."""
        with self._lock:
            self._settle()
            ahead = self._ahead
        with self._database.writing() as db:
            db.execute("UPDATE clock SET ahead = ?", (ahead,))

    def _now(self, world: float) -> float:
        return self._since + self._ahead + (world - self._since) * self._speed

    def _settle(self) -> None:
        world = time.time()
        self._ahead = self._now(world) - world
        self._since = world


_UNITS = {"sec": "seconds", "second": "seconds", "min": "minutes", "minute": "minutes"} | {
    unit: f"{unit}s" for unit in ("hour", "day", "week")
}
#: Hours east of Greenwich of the zones that the vendor's pages name, and of their neighbours.
_ZONES = {"UTC": 0, "GMT": 0, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7}
_DATE = re.compile(
    r"(?P<month>[a-z]{3})[a-z]* (?P<day>\d{1,2})(?:st|nd|rd|th)?,? (?P<year>\d{4}) "
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2}) ?(?P<half>am|pm)?(?: (?P<zone>[a-z]{3}))?",
    re.IGNORECASE,
)


def read_expression(text: str, now: int) -> int | None:
    """Read a time as the vendor's pages spell it: 'now', 'tomorrow', '+3 days', 'oct 14th, 2026 11:05PM EST', ISO 8601.

    None for anything else: which language it is isn't documented (it looks like PHP's strtotime, which takes more).
    """
    text = text.strip()
    for pattern, read in _EXPRESSIONS:
        if match := pattern.fullmatch(text):
            try:
                return read(match, now)
            except (KeyError, ValueError, OverflowError):
                return None
    return None


def _read_date(match: re.Match[str], _: int) -> int:
    hour = int(match["hour"]) % 12 + (12 if match["half"].lower() == "pm" else 0) if match["half"] else match["hour"]
    date = datetime.strptime(
        f"{match['month']} {match['day']} {match['year']} {hour}:{match['minute']}", "%b %d %Y %H:%M"
    )
    zone = timezone(timedelta(hours=_ZONES[(match["zone"] or "UTC").upper()]))
    return int(date.replace(tzinfo=zone).timestamp())


def _read_iso(match: re.Match[str], _: int) -> int:
    moment = datetime.fromisoformat(re.sub("[Zz]$", "+00:00", match[0]))
    return int((moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp())


_EXPRESSIONS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], int], int]], ...] = (
    (re.compile("now", re.IGNORECASE), lambda _, now: now),
    (re.compile("tomorrow", re.IGNORECASE), lambda _, now: (now // 86_400 + 1) * 86_400),
    (
        re.compile(rf"\+? ?(\d{{1,6}}) ?({'|'.join(_UNITS)})s?", re.IGNORECASE),
        lambda match, now: now + int(timedelta(**{_UNITS[match[2].lower()]: int(match[1])}).total_seconds()),
    ),
    (_DATE, _read_date),
    (re.compile(r"\d{4}-\d{2}-\d{2}.*"), _read_iso),
)
