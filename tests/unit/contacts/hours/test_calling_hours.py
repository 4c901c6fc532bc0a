"""Which clock applies to a number, and which hours: a table worked out by hand, and comparisons with a slow and simple check."""

from __future__ import annotations

import subprocess
import sys
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_queuecalls import clocks
from airflow_provider_queuecalls.contacts.hours.calling_hours import (
    DAYS,
    CallingHours,
    common_places,
    entries,
    named_set,
    set_names,
)
from airflow_provider_queuecalls.contacts.hours.check import HoursCheck
from airflow_provider_queuecalls.contacts.hours.places import UNKNOWN, Place, area_codes, place_named, place_of
from tests.support.command import REPOSITORY

DAYTIME = CallingHours.read("08:00-21:00")


def at(text: str) -> int:
    return int(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp())


def allows(hours: CallingHours, place: Place, start: int, end: int) -> bool:
    return HoursCheck(hours, "fail", start, end).allows(place)


def allowed(hours: CallingHours, number: int, span: str) -> bool:
    """``span`` is a day and two times in UTC; the second may be on the next day."""
    day, start, end = span.split()
    first, last = at(f"{day}T{start}:00Z"), at(f"{day}T{end}:00Z")
    return allows(hours, place_of(number), first, last + (86_400 if last <= first else 0))


# Hours are 08:00-21:00, and the last attempt starts at 20:55. Times are in UTC; 2026-11-27 is in winter, 2027-07-14 in
# summer. "no" is a span that begins a minute too early or ends a minute too late.
WINTER, SUMMER = "2026-11-27", "2027-07-14"
TABLE = [
    # Eastern time: UTC-5 and UTC-4
    (12125550100, f"{WINTER} 13:00 01:55", True), (12125550100, f"{WINTER} 12:59 01:55", False), (12125550100, f"{WINTER} 13:00 01:56", False),
    (16175550100, f"{SUMMER} 12:00 00:55", True), (16175550100, f"{SUMMER} 11:59 12:30", False), (13055550100, f"{SUMMER} 23:00 00:56", False),
    (13135550100, f"{WINTER} 13:00 13:30", True),  # Detroit
    # Central time: UTC-6 and UTC-5
    (13125550100, f"{WINTER} 14:00 02:55", True), (13125550100, f"{WINTER} 13:59 14:30", False), (17135550100, f"{SUMMER} 13:00 01:55", True),
    (16155550100, f"{SUMMER} 12:59 13:30", False),
    # Mountain time: UTC-7 and UTC-6
    (13035550100, f"{WINTER} 15:00 03:55", True), (13035550100, f"{WINTER} 14:59 15:30", False), (18015550100, f"{SUMMER} 14:00 02:55", True),
    # Pacific time: UTC-8 and UTC-7
    (12135550100, f"{WINTER} 16:00 04:55", True), (12135550100, f"{WINTER} 13:00 14:00", False), (12065550100, f"{SUMMER} 15:00 03:55", True),
    (17025550100, f"{SUMMER} 14:59 15:30", False),
    # Arizona has no summer time, the Navajo Nation has
    (16025550100, f"{WINTER} 15:00 03:55", True), (16025550100, f"{SUMMER} 15:00 03:55", True), (16025550100, f"{SUMMER} 14:00 14:30", False),
    (19285550100, f"{SUMMER} 15:00 02:55", True), (19285550100, f"{SUMMER} 15:00 03:00", False), (15205550100, f"{SUMMER} 15:00 03:00", True),
    # Areas with two zones: the later start and the earlier end
    (12195550100, f"{WINTER} 14:00 01:55", True), (12195550100, f"{WINTER} 13:30 14:30", False), (12195550100, f"{WINTER} 14:00 02:30", False),
    (13175550100, f"{WINTER} 13:00 01:55", True), (18125550100, f"{WINTER} 13:30 14:00", False), (17655550100, f"{SUMMER} 12:00 12:30", True),  # Indiana
    (17015550100, f"{WINTER} 15:00 02:55", True), (17015550100, f"{WINTER} 14:30 15:30", False),  # North Dakota
    (16055550100, f"{SUMMER} 14:00 01:55", True), (16055550100, f"{SUMMER} 14:00 02:00", False),  # South Dakota
    (18505550100, f"{WINTER} 14:00 01:55", True), (18505550100, f"{WINTER} 13:30 14:30", False), (14485550100, f"{WINTER} 01:00 02:30", False),  # the panhandle
    (19045550100, f"{WINTER} 13:00 13:30", True),  # Jacksonville
    (12085550100, f"{WINTER} 16:00 03:55", True), (12085550100, f"{WINTER} 15:30 16:30", False), (19865550100, f"{WINTER} 16:00 04:30", False),  # Idaho
    (13085550100, f"{WINTER} 14:30 15:30", False), (17855550100, f"{WINTER} 15:00 02:55", True), (16205550100, f"{WINTER} 14:30 15:30", False),
    (19155550100, f"{WINTER} 15:00 02:55", True), (15415550100, f"{WINTER} 15:30 16:30", False), (15035550100, f"{WINTER} 16:00 04:30", True),
    (19065550100, f"{WINTER} 13:30 14:30", False), (14235550100, f"{WINTER} 14:00 01:55", True), (12705550100, f"{WINTER} 02:00 02:30", False),
    # Alaska, with the Aleutians, Hawaii, and the territories
    (19075550100, f"{WINTER} 18:00 05:55", True), (19075550100, f"{WINTER} 17:30 18:30", False), (19075550100, f"{SUMMER} 17:00 04:55", True),
    (18085550100, f"{WINTER} 18:00 06:55", True), (18085550100, f"{SUMMER} 18:00 06:55", True), (18085550100, f"{SUMMER} 17:59 18:30", False),
    (17875550100, f"{WINTER} 12:00 00:55", True), (17875550100, f"{WINTER} 01:00 01:30", False), (13405550100, f"{SUMMER} 12:00 00:55", True),
    (16715550100, f"{WINTER} 22:00 10:55", True), (16715550100, f"{WINTER} 14:00 15:00", False), (16845550100, f"{WINTER} 19:00 07:55", True),
    # Canada: Alberta, Manitoba, and most of British Columbia have kept summer time since 2026
    (17095550100, f"{WINTER} 12:00 00:25", True), (17095550100, f"{WINTER} 11:30 12:30", False), (17095550100, f"{SUMMER} 11:00 23:25", True),
    (17095550100, f"{WINTER} 12:00 00:26", False), (13065550100, f"{WINTER} 14:00 02:55", True), (13065550100, f"{SUMMER} 14:00 02:55", True),
    (16045550100, f"{WINTER} 15:00 03:55", True), (16045550100, f"{WINTER} 03:30 04:30", False), (14035550100, f"{WINTER} 14:00 02:55", True),
    (12045550100, f"{WINTER} 13:00 01:55", True), (14165550100, f"{WINTER} 13:00 01:55", True), (19025550100, f"{WINTER} 12:00 00:55", True),
    (14185550100, f"{WINTER} 12:30 13:30", False), (18675550100, f"{WINTER} 12:30 13:30", False),
    # Toll-free and not geographic
    (18005550100, f"{WINTER} 18:00 18:30", False), (18885550100, f"{WINTER} 18:00 18:30", False), (15005550100, f"{WINTER} 18:00 18:30", False),
    (17105550100, f"{WINTER} 18:00 18:30", False), (442071838750, f"{WINTER} 18:00 18:30", False),
    # The days on which clocks change: 23 hours on 2027-03-14, 25 hours on 2027-11-07
    (12125550100, "2027-03-13 13:00 13:30", True), (12125550100, "2027-03-14 12:00 00:55", True), (12125550100, "2027-03-14 11:59 12:30", False),
    (12125550100, "2027-11-06 12:00 12:30", True), (12125550100, "2027-11-07 12:30 13:30", False), (12125550100, "2027-11-07 13:00 01:55", True),
    (16025550100, "2027-03-14 15:00 03:55", True), (18085550100, "2027-11-07 18:00 06:55", True),
]  # fmt: skip


@pytest.mark.parametrize(("number", "span", "is_allowed"), TABLE)
def test_the_table_that_was_worked_out_by_hand(number: int, span: str, is_allowed: bool) -> None:
    assert len(TABLE) >= 60
    is_old = clocks.tzdata()[0] < "2026f" and any(len(clocks.clocks(zone)) > 1 for zone in place_of(number).zones)
    # With old data, the clocks of before must be within hours, too.
    assert allowed(DAYTIME, number, span) in ({False, is_allowed} if is_old else {is_allowed})


@pytest.mark.parametrize(
    ("hours", "number", "span", "is_allowed"),
    [
        # Friday 2026-11-27, Saturday 28, Sunday 29; Thanksgiving is the 26th
        ("us-federal", 13055550100, "2026-11-27 01:00 01:55", True),
        ("us-strict", 13055550100, "2026-11-27 01:00 01:30", False),  # Florida ends at 20:00
        ("us-strict", 12125550100, "2026-11-27 01:00 01:55", True),
        ("us-strict", 12055550100, "2026-11-28 16:00 17:00", True),  # Alabama: not on Sundays and holidays
        ("us-strict", 12055550100, "2026-11-29 16:00 17:00", False),
        ("us-strict", 12055550100, "2026-11-26 16:00 17:00", False),
        ("us-strict", 17135550100, "2026-11-29 16:00 17:00", False),  # Texas: from noon on Sundays
        ("us-strict", 17135550100, "2026-11-29 18:00 19:00", True),
        ("us-strict", 14015550100, "2026-11-28 15:00 21:55", True),  # Rhode Island: 10-17 on Saturdays
        ("us-strict", 14015550100, "2026-11-28 14:30 15:30", False),
        ("us-strict", 12155550100, "2026-11-27 16:00 17:00", False),  # Pennsylvania: not on the day after Thanksgiving
        ("us-strict", 18015550100, "2026-07-24 18:00 19:00", False),  # Utah: nor on Pioneer Day
        ("us-strict", 15045550100, "2027-02-09 18:00 19:00", False),  # Louisiana: nor on Mardi Gras
        ("us-strict", 12055550100, "2026-04-27 18:00 19:00", False),  # Alabama: nor on Confederate Memorial Day
        ("us-strict", 14015550100, "2026-08-10 18:00 19:00", False),  # Rhode Island: nor on Victory Day
        ("us-federal", 14165550100, "2026-11-27 18:00 19:00", False),  # no hours for Canada
        ("ca-crtc", 14165550100, "2026-11-27 14:00 02:25", True),
        ("ca-crtc", 14165550100, "2026-11-28 23:00 23:30", False),  # until 18:00 on Saturdays
        ("ca-crtc", 16045550100, "2026-12-25 18:00 19:00", False),  # British Columbia: not on holidays
        ("ca-crtc", 14165550100, "2026-12-25 18:00 19:00", True),
        ("us-strict, ca-crtc", 14165550100, "2026-11-27 18:00 19:00", True),
        (["us-strict", {"FL": "08:00-21:00"}], 13055550100, "2026-11-27 01:00 01:30", True),
        ({"mon-fri": "08:00-21:00", "sat": "10:00-12:00"}, 12125550100, "2026-11-28 15:00 16:55", True),
        ({"mon-fri": "08:00-21:00", "sat": "10:00-12:00"}, 12125550100, "2026-11-29 16:00 16:30", False),
        ({"FL": "09:00-20:00", "default": "08:00-21:00"}, 13055550100, "2026-11-27 13:30 14:30", False),
        ('{"default": {"mon-fri": "08:00-21:00", "sat": "10:00-12:00"}}', 12125550100, "2026-11-28 15:00 16:55", True),
        ({"default": {"daily": "08:00-21:00", "sun": "none"}}, 12125550100, "2026-11-29 16:00 17:00", False),
        ({"default": "08:00-21:00", "holidays": ["2026-11-27"]}, 12125550100, "2026-11-27 16:00 17:00", False),
        ({"default": "08:00-21:00", "holidays": [datetime(2026, 11, 27)]}, 12125550100, "2026-11-27 16:00 17:00", False),
        ({"default": {"daily": "08:00-21:00", "holiday": "12:00-13:00"}, "holidays": [date(2026, 11, 27)]}, 12125550100, "2026-11-27 17:00 17:55", True),
        ({"default": {"daily": "08:00-21:00", "holiday": "12:00-13:00"}, "holidays": "2026-11-27"}, 12125550100, "2026-11-27 16:30 17:30", False),
        ({"default": "08:00-21:00", "margin": 0}, 12125550100, "2026-11-27 13:00 02:00", True),
        ({"default": "08:00-21:00", "margin": "1 hour"}, 12125550100, "2026-11-27 13:00 01:01", False),
        ("22:00-02:00", 12125550100, "2026-11-28 03:00 06:55", True),
        ("22:00-02:00", 12125550100, "2026-11-28 03:00 07:00", False),
        ({"default": "22:00-02:00", "holidays": ["2026-11-28"]}, 12125550100, "2026-11-28 04:00 05:30", False),  # midnight is 05:00
        ("00:00-24:00", 12125550100, "2026-11-28 03:00 02:59", True),
    ],
)  # fmt: skip
def test_hours_are_data(hours: Any, number: int, span: str, is_allowed: bool) -> None:
    assert allowed(CallingHours.read(hours), number, span) == is_allowed


@pytest.mark.parametrize(
    "wrong",
    ["8-21", "21:00", {"mon-fri": "x"}, "08:00-08:00", "24:00-25:00", "us-loose", "", {}, {"XX": "08:00-21:00"}, {"FL": {"someday": "08:00-21:00"}}, {"FL": 8},
     {"FL": "08:00-21:00", "holidays": ["tomorrow"]}, {"FL": {"fri-mon": "08:00-21:00"}}, {"margin": 5}, 8, "{'a'", {"FL": "08:00-21:00", "margin": "x"}],
)  # fmt: skip
def test_hours_that_are_not_valid_are_refused_without_being_repeated(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"^(is|has) ") as raised:
        CallingHours.read(wrong)
    assert "loose" not in str(raised.value)


# Comparison with the clock on the wall, minute by minute.

ZONES = sorted({zone for place in area_codes().values() for zone in place.zones})
minutes = st.integers(0, 24 * 60 - 1)
days = st.dictionaries(
    st.sampled_from([*DAYS, "holiday"]), st.tuples(minutes, minutes).filter(lambda each: each[0] != each[1]), min_size=1
)
#: Around both changes of the clock in 2027, and in the first days with the new clocks of Canada.
starts = st.sampled_from(["2027-03-13", "2027-11-06", "2026-10-31", "2027-07-03"]).flatmap(
    lambda day: st.integers(0, 3 * 24 * 60).map(lambda minute: at(f"{day}T00:00:00Z") + minute * 60)
)  # fmt: skip


def on_the_wall(given_days: dict[str, tuple[int, int]], holidays: set[date], zone: str, moment: int) -> bool:
    """Whether every clock of the zone shows a time within the hours, the slow and simple way."""
    for clock in clocks.clocks(zone):
        wall = datetime.fromtimestamp(moment, timezone.utc).astimezone(clock)
        minute, inside = wall.hour * 60 + wall.minute, False
        for day, offset in ((wall.date(), 0), (wall.date() - timedelta(1), 24 * 60)):
            if offset and wall.date() in holidays:
                continue
            windows = [given_days.get(DAYS[day.weekday()])] + ([given_days.get("holiday")] if day in holidays else [])
            shown = minute + offset
            inside |= all(
                window is not None and window[0] <= shown < window[1] + (24 * 60 if window[1] < window[0] else 0)
                for window in windows
            )
        if not inside:
            return False
    return True


@settings(max_examples=150)
@given(days=days, zone=st.sampled_from(ZONES), start=starts, length=st.integers(1, 15 * 60), holiday=st.booleans())
def test_a_span_is_allowed_exactly_if_the_clock_on_the_wall_says_so_at_every_minute(
    days: dict[str, tuple[int, int]], zone: str, start: int, length: int, holiday: bool
) -> None:
    holidays = {date(2027, 3, 14), date(2027, 11, 7), date(2026, 11, 1), date(2027, 7, 4)} if holiday else set()
    texts = {day: f"{a // 60:02}:{a % 60:02}-{b // 60:02}:{b % 60:02}" for day, (a, b) in days.items()}
    hours = CallingHours.read({"default": texts, "holidays": sorted(holidays)})
    end = start + length * 60
    expected = all(on_the_wall(days, holidays, zone, minute) for minute in range(start, end + 300, 60))
    place = Place(("NY",), (zone,))
    assert allows(hours, place, start, end) == expected
    latest = hours.latest_end(place, start)
    assert (latest is not None and latest >= end) == expected
    if latest is not None and latest < start + 7 * 86_400:
        assert allows(hours, place, start, latest)
        assert not allows(hours, place, start, latest + 1)


def test_a_place_of_several_zones_and_regions_is_allowed_only_if_all_are() -> None:
    hours = CallingHours.read({"default": "08:00-21:00", "PE": "10:00-21:00"})
    eleven = at("2026-11-27T13:00:00Z")  # 9:00 in Halifax
    assert allows(hours, Place(("NS",), ("America/Halifax",)), eleven, eleven + 60)
    assert not allows(hours, Place(("NS", "PE"), ("America/Halifax",)), eleven, eleven + 60)
    # Without a region, all hours must hold.
    assert not allows(hours, Place((), ("America/Halifax",)), eleven, eleven + 60)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("America/Denver", Place((), ("America/Denver",))),
        (" fl ", Place(("FL",), ("America/Chicago", "America/New_York"))),
        ("US-HI", Place(("HI",), ("Pacific/Honolulu",))),
        ("CA-ON", Place(("ON",), ("America/Toronto", "America/Winnipeg"))),
        ("CA", Place(("CA",), ("America/Los_Angeles",))),
        ("Canada/Pacific", Place((), ("Canada/Pacific",))),
        *((wrong, UNKNOWN) for wrong in ("", "EST", "US-ON", "XX", "Mars/Phobos", "../etc/passwd", "a/../b", "JAM", "Denver")),
    ],
)  # fmt: skip
def test_a_row_may_name_a_zone_or_a_state(name: str, place: Place) -> None:
    assert place_named(name) == place


def test_the_places_that_stand_for_an_unknown_one_are_those_of_the_mainland() -> None:
    regions = {region for place in common_places() for region in place.regions}
    assert {"NY", "HI", "AK", "PR", "NL", "ON"} <= regions
    assert regions.isdisjoint({"GU", "MP", "AS", "JAM"})
    # There is an hour at which everybody may be called, in winter and in summer.
    for moment in (at("2026-11-27T18:30:00Z"), at("2027-07-14T18:30:00Z")):
        assert all(allows(DAYTIME, place, moment, moment + 3600) for place in common_places())


# The data.


def test_the_table_of_area_codes_is_current() -> None:
    """Codes, corrections, and what phonenumbers says: see the tool."""
    pytest.importorskip("phonenumbers", minversion="9.0.13")  # an older one lacks area codes in service
    command = [sys.executable, "tools/area_codes.py", "--check"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_area_code_has_a_region_and_zones_that_load() -> None:
    assert len(area_codes()) == 457
    for code, place in area_codes().items():
        assert place.regions
        assert place.zones
        assert all(clocks.clocks(zone) for zone in place.zones), code


def test_every_entry_of_a_named_set_has_a_source_and_a_day() -> None:
    assert set_names() == ["us-federal", "us-strict", "ca-crtc"]
    assert all(entry.source and date.fromisoformat(entry.looked_up) for entry in entries())
    for name in set_names():
        assert CallingHours.read(name).regions == named_set(name)
