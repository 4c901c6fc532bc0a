"""The figures of the charts: rows of counts that a table shows and a chart draws."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import date, datetime, timedelta, tzinfo
from typing import NamedTuple

from airflow_provider_queuecalls.records.database.overview import GROUPS, REACHED, Totals
from airflow_provider_queuecalls.records.database.storing import QUARTER_SECONDS

#: The most bars of a chart over time: with more, they are put together.
MOST_BARS = 96


class Row(NamedTuple):
    """One bar: its label, its counts in the order of the chart's series, and the share that is drawn as a line."""

    label: str
    counts: tuple[int, ...]
    share: float | None = None


def days(totals: Mapping[int, Totals], zone: tzinfo, now: int, length: int) -> tuple[list[Row], Totals]:
    """A row for each of the last days, the last one today, and what is known about today."""
    by_day: dict[date, Totals] = {}
    for quarter, counts in totals.items():
        day = datetime.fromtimestamp(quarter, zone).date()
        by_day[day] = by_day.get(day, Totals()) + counts
    today = datetime.fromtimestamp(now, zone).date()
    rows = []
    for ago in range(length - 1, -1, -1):
        day = today - timedelta(days=ago)
        of_day = by_day.get(day, Totals())
        parts = (of_day.reached, of_day.not_reached, of_day.open)
        rows.append(Row(f"{day:%a %-d %b}", parts, of_day.reached_share if of_day.contacts else None))
    return rows, by_day.get(today, Totals())


def first_moment(zone: tzinfo, now: int, length: int) -> int:
    """The beginning of the first of the last days."""
    first = datetime.fromtimestamp(now, zone).date() - timedelta(days=length - 1)
    return int(datetime(first.year, first.month, first.day, tzinfo=zone).timestamp())


def quarters(counts: Mapping[int, Counter[str]], zone: tzinfo) -> tuple[list[Row], int]:
    """A row for each quarter of an hour from the first to the last call, and how many minutes a row has: more than 15 if
    the calls took longer than a day."""
    if not counts:
        return [], 15
    first, last = min(counts), max(counts)
    step = QUARTER_SECONDS
    while (last - first) // step >= MOST_BARS:
        step *= 2
    sums: dict[int, Counter[str]] = {}
    for quarter, of_quarter in counts.items():
        sums.setdefault((quarter - first) // step, Counter()).update(of_quarter)
    has_days = datetime.fromtimestamp(first, zone).date() != datetime.fromtimestamp(last, zone).date()
    label = "%-d %b %H:%M" if has_days else "%H:%M"
    rows = [
        Row(f"{datetime.fromtimestamp(first + step * number, zone):{label}}", _grouped(sums.get(number, Counter())))
        for number in range((last - first) // step + 1)
    ]
    return rows, step // 60


def hours(counts: Mapping[int, Counter[str]], zone: tzinfo) -> list[Row]:
    """A row for each hour of the day in which calls ended, with the share that reached somebody."""
    sums: dict[int, Counter[str]] = {}
    for quarter, of_quarter in counts.items():
        sums.setdefault(datetime.fromtimestamp(quarter, zone).hour, Counter()).update(of_quarter)
    return [Row(f"{hour:02}:00", _grouped(sums[hour]), _share(sums[hour])) for hour in sorted(sums)]


def named(counts: Mapping[str, Counter[str]], contacts: Mapping[str, int] | None = None) -> list[Row]:
    """A row for each name that has calls or contacts, the one with the most first."""
    totals = {name: max(of_name.total(), (contacts or {}).get(name, 0)) for name, of_name in counts.items()}
    ordered = sorted(counts.items(), key=lambda item: -totals[item[0]])
    return [Row(name, _grouped(of_name), _share(of_name)) for name, of_name in ordered if totals[name]]


def _grouped(counts: Counter[str]) -> tuple[int, ...]:
    return tuple(counts[group] for group in GROUPS)


def _share(counts: Counter[str]) -> float | None:
    return counts[REACHED] / counts.total() if counts.total() else None
