"""The hours in which people may be called, by the clocks where they may be. Not legal advice: the user decides.

A moment is within hours if every clock of a place shows a time within the hours of every region of the place::

    hours = CallingHours.read("08:00-21:00")
    hours.latest_end(place_of(16175551234), start)

The named sets are in ``calling_hours.csv``, each entry with its source and the day on which it was looked up.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from functools import cached_property, lru_cache
from importlib.resources import files
from typing import Any, NamedTuple

from airflow_provider_queuecalls.clocks import clocks, offsets
from airflow_provider_queuecalls.contacts.hours.places import PACIFIC, Place, area_codes, country
from airflow_provider_queuecalls.parameters import Parameter, ValueType, show
from airflow_provider_queuecalls.value_types import read_duration, read_structure

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
#: Stands for the dates in ``holidays``. Hours that do not name it allow no calls on them.
HOLIDAY = "holiday"
DAILY = "daily"
NO_CALLS = "none"
DEFAULT = "default"
#: How long before the end of the hours the last attempt has to start.
MARGIN = timedelta(minutes=5)
#: A span is not looked at beyond this.
LONGEST_SPAN = 7 * 86_400

_DAY = 86_400
_EPOCH = date(1970, 1, 1).toordinal()
_WINDOW = re.compile(r"([01][0-9]|2[0-4]):([0-5][0-9])-([01][0-9]|2[0-4]):([0-5][0-9])")
_MARGIN = Parameter(
    name="margin",
    type=ValueType("a duration such as '5 minutes', or a number of minutes", read_duration),
    doc="",
    unit="minutes",
    minimum=0,
    default=MARGIN,
)


class Window(NamedTuple):
    """The hours of one day, in seconds after midnight by the clock. An ``end`` beyond 24 hours is on the next day."""

    start: int
    end: int

    def __str__(self) -> str:
        return "-".join(f"{seconds // 3600:02}:{seconds // 60 % 60:02}" for seconds in (self.start, self._shown_end))

    @property
    def _shown_end(self) -> int:
        return self.end - _DAY if self.end > _DAY else self.end


class Span(NamedTuple):
    """A span of time in UNIX seconds, without its end."""

    start: int
    end: int


@dataclass(frozen=True)
class Hours:
    """The hours of one region: a window for each day of the week and for holidays, and the dates of these.

    On a holiday, the hours of holidays and those of the day of the week both hold.
    """

    days: tuple[tuple[str, Window], ...]
    holidays: frozenset[date] = frozenset()

    def openings(self, clock: tzinfo, start: int, end: int) -> list[Span]:
        """The parts of a span in which a clock shows a time within the hours, in their order.

        A window that runs past midnight ends there if the next day is a holiday.
        """
        found: list[Span] = []
        for since, until, ahead in offsets(clock, start, end):
            # By the clock, from the day before, whose window may run past midnight.
            for day in range((since + ahead) // _DAY - 1, (until - 1 + ahead) // _DAY + 1):
                if (window := self._window(day)) is None:
                    continue
                midnight = day * _DAY - ahead
                last = _DAY if self._is_holiday(day + 1) else window.end
                opening = Span(max(since, midnight + window.start), min(until, midnight + min(window.end, last)))
                if found and found[-1].end >= opening.start and opening.start < opening.end:
                    found[-1] = Span(found[-1].start, max(found[-1].end, opening.end))
                elif opening.start < opening.end:
                    found.append(opening)
        return found

    def _window(self, day: int) -> Window | None:
        window = self._windows.get(DAYS[(day + _EPOCH - 1) % 7])
        if window is None or not self._is_holiday(day):
            return window
        holiday = self._windows.get(HOLIDAY, Window(0, 0))
        return Window(max(window.start, holiday.start), min(window.end, holiday.end))

    @cached_property
    def _windows(self) -> Mapping[str, Window]:
        return dict(self.days)

    def _is_holiday(self, day: int) -> bool:
        return bool(self.holidays) and date.fromordinal(day + _EPOCH) in self.holidays


@dataclass(frozen=True)
class CallingHours:
    """The hours in which people may be called.

    ``regions`` has the hours of states and provinces (``FL``), of countries (``USA``, ``CAN``), and those of everywhere
    else (``default``). A region has its own hours, or else those of its country, or else the default. Where there are
    none, nobody may be called. An attempt has to start ``margin`` before the end of the hours.
    """

    regions: Mapping[str, Hours]
    margin: timedelta = MARGIN

    @classmethod
    def read(cls, value: object) -> CallingHours:
        """Read calling hours as a user writes them. Raises ValueError with the problem.

        A string is a window (``08:00-21:00``), the name of a set, several of these with commas between them, or JSON. A
        mapping has days and windows: ``mon`` to ``sun``, ranges such as ``mon-fri``, ``holiday``, or ``daily``; or regions,
        each with a window or with such a mapping. It may also have ``holidays``, a list of dates, and ``margin``. In a
        list of these, a later one replaces the hours of the regions that it names.
        """
        if isinstance(value, CallingHours):
            return value
        regions: dict[str, Hours] = {}
        margin = MARGIN
        given = _structure(value)
        for part in given if isinstance(given, list | tuple) else [given]:
            entries = _structure(part)
            if isinstance(entries, str):
                problem = "is neither hours such as '08:00-21:00' nor the name of a set"
                if not isinstance(given, str):
                    problem = f"has an entry that {problem}{_colon(entries)}"
                in_set = entries in set_names()
                regions |= named_set(entries) if in_set else {DEFAULT: _hours(entries, frozenset(), problem=problem)}
            elif isinstance(entries, Mapping):
                holidays = _dates(entries.get("holidays", ()))
                if "margin" in entries:
                    margin = _margin(entries["margin"])
                of_days = {key: hours for key, hours in entries.items() if _is_day(key)}
                if of_days:
                    regions[DEFAULT] = _hours(of_days, holidays)
                for key, hours in entries.items():
                    if key not in ("holidays", "margin", *of_days):
                        regions[_region(key)] = _hours(hours, holidays, key)
            else:
                raise ValueError(f"has an entry of type {type(entries).__name__}")
        if not regions:
            raise ValueError("has no hours")
        return cls(regions, margin)

    def hours(self, region: str) -> Hours | None:
        """The hours of a region; None if nobody may be called there."""
        return self.regions.get(region) or self.regions.get(country(region)) or self.regions.get(DEFAULT)

    def openings(self, place: Place, start: int, end: int) -> list[Span]:
        """The parts of a span in which somebody at a place may be called, up to the very end of the hours."""
        open_spans = [Span(start, end)] if place.zones else []
        for hours in self._all_hours(place):
            for zone in place.zones:
                for clock in clocks(zone):
                    open_spans = common_spans(open_spans, hours.openings(clock, start, end) if hours else [])
        return open_spans

    def latest_end(self, place: Place, start: int) -> int | None:
        """The latest end of a span that begins at ``start`` and is within hours, at most seven days later. None if
        ``start`` is not within hours, or the hours end too soon."""
        margin = int(self.margin.total_seconds())
        until = next(
            (span.end for span in self.openings(place, start, start + LONGEST_SPAN + margin) if span.start <= start), 0
        )
        return until - margin if until - margin > start else None

    def _all_hours(self, place: Place) -> Sequence[Hours | None]:
        """The hours that a place must keep to: those of all its regions, or all that there are if these are not known."""
        known = dict.fromkeys(self.hours(region) for region in place.regions)
        return list(known) if known else list(dict.fromkeys(self.regions.values()))


def common_places() -> list[Place]:
    """The places of all area codes of the US and Canada, apart from the territories in the western Pacific, where it is
    night while it is day on the mainland."""
    places = dict.fromkeys(area_codes().values())
    return [
        place
        for place in places
        if not PACIFIC.intersection(place.regions) and {"USA", "CAN"}.issuperset(map(country, place.regions))
    ]


def common_spans(some: Iterable[Span], others: Sequence[Span]) -> list[Span]:
    """What two series of spans have in common."""
    both = [Span(max(one.start, other.start), min(one.end, other.end)) for one in some for other in others]
    return [span for span in both if span.start < span.end]


# Reading.


def _structure(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text[:1] in ("{", "[", "("):
        return read_structure(text)
    parts = [part.strip() for part in text.split(",")]
    return parts if len(parts) > 1 else text


def _region(name: object) -> str:
    known = {region for place in area_codes().values() for region in place.regions} | {"USA", "CAN"}
    region = name.strip() if isinstance(name, str) else ""
    if region == DEFAULT or region.upper() in known:
        return region if region == DEFAULT else region.upper()
    raise ValueError(
        "has a key that is not a state or province such as 'FL', 'USA', 'CAN', 'default', 'holidays', or "
        f"'margin'{_colon(name)}"
    )


def _margin(given: object) -> timedelta:
    try:
        margin: timedelta = _MARGIN.read(given)
    except ValueError as problem:
        raise ValueError(f"has a margin that {problem}{_colon(given)}") from None
    return margin


def _colon(value: object) -> str:
    """What an error ends with to name a value; nothing if that may be people's data."""
    shown = show(value)
    return f": {shown}" if shown else ""


def _hours(given: object, holidays: frozenset[date], region: object = "", problem: str = "") -> Hours:
    """Read the hours of a region. ``problem`` is what is wrong with a text that is not a window; default names the region."""
    if isinstance(given, str):
        given = {"mon-sun": given}
    if not isinstance(given, Mapping):
        raise ValueError(f"has hours for {show(region)} of type {type(given).__name__}")
    days: dict[str, Window] = {}
    for names, text in given.items():
        if names == "holidays":
            holidays |= _dates(text)
            continue
        whose = show(region or names)
        default = f"has hours{whose and f' for {whose}'} that are not in the form 08:00-21:00{_colon(text)}"
        window = _window(text, problem or default)
        for day in _days(names):
            if window:
                days[day] = window
            else:
                days.pop(day, None)
    return Hours(tuple(days.items()), holidays)


def _is_day(key: object) -> bool:
    return isinstance(key, str) and key.strip().lower().partition("-")[0] in (*DAYS, HOLIDAY, DAILY)


def _window(text: object, problem: str) -> Window | None:
    if text is None or text == NO_CALLS:
        return None
    match = _WINDOW.fullmatch(text.strip()) if isinstance(text, str) else None
    start, end = (int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])) if match else (0, 0)
    if start == end or max(start, end) > 24 * 60 or start == 24 * 60:
        raise ValueError(problem)
    return Window(start * 60, end * 60 if end > start else end * 60 + _DAY)


def _days(names: object) -> Iterator[str]:
    text = names.strip().lower() if isinstance(names, str) else ""
    first, dash, last = text.partition("-")
    if text == DAILY:
        yield from (*DAYS, HOLIDAY)
    elif text == HOLIDAY:
        yield HOLIDAY
    elif first in DAYS and (not dash or last in DAYS[DAYS.index(first) :]):
        yield from DAYS[DAYS.index(first) : DAYS.index(last or first) + 1]
    else:
        raise ValueError(
            f"has a day that is not 'mon' to 'sun', a range such as 'mon-fri', 'holiday', or 'daily'{_colon(names)}"
        )


def _dates(given: object) -> frozenset[date]:
    texts = given.split() if isinstance(given, str) else given
    try:
        return frozenset(map(_date, texts))  # type: ignore[call-overload]
    except (TypeError, ValueError):
        raise ValueError("has holidays that are not a list of dates such as '2026-12-25'") from None


def _date(given: Any) -> date:
    if isinstance(given, datetime):  # a date too for Python, but equal to none
        return given.date()
    return given if isinstance(given, date) else date.fromisoformat(given)


# The named sets.


class Entry(NamedTuple):
    """One line of ``calling_hours.csv``."""

    name: str
    region: str
    days: str
    hours: str
    source: str
    looked_up: str


@lru_cache(maxsize=1)
def entries() -> Sequence[Entry]:
    """All entries of the named sets. Where ``days`` is ``holidays``, ``hours`` are dates."""
    with files(__package__).joinpath("calling_hours.csv").open(encoding="utf-8") as file:
        return [Entry(*row) for row in list(csv.reader(file))[1:]]


def set_names() -> list[str]:
    """The names of the sets."""
    return list(dict.fromkeys(entry.name for entry in entries()))


def set_as_data(name: str) -> dict[str, Any]:
    """A named set as :meth:`CallingHours.read` accepts it, to be shown and changed."""
    data: dict[str, Any] = {}
    for entry in entries():
        if entry.name == name and entry.days != "holidays":
            data.setdefault(entry.region, {})[entry.days] = entry.hours
        elif entry.name == name:
            of_country = len(entry.region) == 3
            (data if of_country else data.setdefault(entry.region, {}))["holidays"] = entry.hours.split()
    return data


def named_set(name: str) -> Mapping[str, Hours]:
    """The hours of a named set, by region."""
    return CallingHours.read(set_as_data(name)).regions
