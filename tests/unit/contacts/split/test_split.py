"""A list is split into files that can be called within hours, and no contact is lost or in two of them."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_queuecalls.contacts import ContactRules, check
from airflow_provider_queuecalls.contacts.hours.calling_hours import CallingHours
from airflow_provider_queuecalls.contacts.hours.check import HoursCheck
from airflow_provider_queuecalls.contacts.hours.places import area_codes
from airflow_provider_queuecalls.contacts.split.parameters import CARRY_OVER, RECORD, Split
from airflow_provider_queuecalls.contacts.split.parts import Files, Part, has_zones, write_parts
from airflow_provider_queuecalls.contacts.split.spans import SpansCheck
from airflow_provider_queuecalls.exceptions import CheckFailed, EmptyContacts, InvalidContactRules, InvalidContacts
from airflow_provider_queuecalls.sandbox.dialer import next_state
from airflow_provider_queuecalls.sandbox.store import Call, Progress, QueuedCampaign
from airflow_provider_queuecalls.stopping import StopRequest

NEW_YORK, CHICAGO, LOS_ANGELES, TOLL_FREE = "12125550100", "13125550100", "12135550100", "18005550100"
#: 6:00 in New York, on a Friday.
SIX = int(datetime(2026, 11, 27, 11, tzinfo=timezone.utc).timestamp())
RULES: dict[str, Any] = {
    "calling_hours": "08:00-21:00",
    "on_invalid": "skip",
    "duplicates": "drop",
    "unknown_zone": "skip",
}


def split_file(
    path: Path, *, start: int = SIX, carry_over: bool = False, values: Any = None, again: bool = False, **given: Any
) -> tuple[list[Part], bool]:
    """Split a file into the folder ``parts`` beside it, which is emptied unless the file is split again. Returns the parts,
    and whether they have a column of zones."""
    rules = ContactRules(**{**RULES, **given})
    folder = path.with_name("parts")
    if folder.exists() and not again:
        shutil.rmtree(folder)
    where = {"folder": folder, "carry_over_path": folder / f"{CARRY_OVER}.csv" if carry_over else None}
    split = Split.read({**where, **(values or {})}, rules, start)
    hours = SpansCheck.of(rules, split)
    with check(path, rules, hours=hours) as checked:
        parts = write_parts(
            checked, split, hours, Files(), campaign_name="x", sources=(), rules=rules, stop=StopRequest()
        )
        return parts, has_zones(checked)


def rows_of(path: Path, part: Part) -> list[str]:
    return path.with_name("parts").joinpath(f"{part.name}.csv").read_text().splitlines()


def by_utc(part: Part) -> str:
    return " ".join(f"{datetime.fromtimestamp(at, timezone.utc):%d %H:%M}" for at in part.span or ())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.csv"


def test_each_span_gets_a_file_that_keeps_the_order(path: Path) -> None:
    path.write_text(f"{NEW_YORK},a\n{LOS_ANGELES},b\n13055550101,c\n{CHICAGO},d\n{NEW_YORK},again\nnobody\n")
    parts, _ = split_file(path)
    assert [(by_utc(part), rows_of(path, part)) for part in parts] == [
        ("27 13:15 28 01:55", [f"{NEW_YORK},a", "13055550101,c"]),
        ("27 14:15 28 02:55", [f"{CHICAGO},d"]),
        ("27 16:15 28 04:55", [f"{LOS_ANGELES},b"]),
    ]
    first, *_ = parts
    assert first.name == "2026-11-27T1315Z_2026-11-28T0155Z_1"
    assert first.campaign("/parts/1.csv", "spring", has_header=False) == {
        "contacts": "/parts/1.csv", "campaign_name": f"spring.{first.name}",
        "scheduled_timestamp": SIX + 8100, "expiration_timestamp": SIX + 53_700,
    }  # fmt: skip
    # A retry gives the same files.
    before = {file.name: file.read_bytes() for file in path.with_name("parts").iterdir()}
    assert split_file(path, again=True)[0] == parts
    assert {file.name: file.read_bytes() for file in path.with_name("parts").iterdir()} == before


def test_a_large_part_is_divided_and_its_files_start_one_after_the_other(path: Path) -> None:
    path.write_text("".join(f"1212555{number:04}\n" for number in range(7)))
    parts, _ = split_file(path, values={"max_contacts": "3", "stagger": "40 minutes"})
    assert [(by_utc(part)[3:8], part.contacts) for part in parts] == [("13:15", 3), ("14:15", 3), ("14:45", 1)]
    parts, _ = split_file(path, values={"max_contacts": 1, "stagger": "4 hours"})
    assert [by_utc(part)[3:8] for part in parts] == ["13:15", "17:15", "21:15", *["21:15"] * 4]
    for at_once in (None, 0, "0 minutes", timedelta(0)):
        parts, _ = split_file(path, values={"max_contacts": 3, "stagger": at_once})
        assert [by_utc(part)[3:8] for part in parts] == ["13:15"] * 3
    parts, _ = split_file(path, calling_hours=None, unknown_zone="fail", values={"by": "size", "max_contacts": 4})
    assert [(part.name, part.span, part.contacts) for part in parts] == [("part_1", None, 4), ("part_2", None, 3)]


def test_what_cannot_be_called_today_is_called_tomorrow_or_carried_over(path: Path) -> None:
    path.write_text(f"{NEW_YORK}\n{LOS_ANGELES}\n")
    late = SIX + 14 * 3600 + 1800  # 20:30 in New York, 17:30 in Los Angeles
    parts, _ = split_file(path, start=late)
    assert [(by_utc(part), rows_of(path, part)) for part in parts] == [
        ("28 01:30 28 04:55", [LOS_ANGELES]), ("28 13:15 29 01:55", [NEW_YORK]),
    ]  # fmt: skip
    parts, _ = split_file(path, start=late, carry_over=True)
    assert [(part.name, part.contacts) for part in parts] == [(CARRY_OVER, 1), (parts[1].name, 1)]
    assert rows_of(path, parts[0]) == [NEW_YORK]
    # With less left than that, the hours of today are over.
    assert by_utc(split_file(path, start=late, values={"min_window": "4 hours"})[0][0]) == "28 13:15 29 01:55"


def test_what_an_earlier_split_has_carried_over_is_replaced_if_nobody_is(path: Path) -> None:
    for zone, header in (("", ""), (",zone", "phone_number,message_reference,call_parameter,time_zone\n")):
        path.write_text(f"phone_number{zone}\n{NEW_YORK}{zone and ',America/New_York'}\n")
        columns = {"time_zone": "zone"} if zone else None
        late = SIX + 15 * 3600
        parts, _ = split_file(path, start=late, carry_over=True, has_header=True, columns=columns)
        assert [(part.name, part.contacts) for part in parts] == [(CARRY_OVER, 1)]
        carried_over = path.with_name("parts") / f"{CARRY_OVER}.csv"
        kept = carried_over.rename(path.with_name("kept.csv"))
        parts, named = split_file(path, carry_over=True, has_header=True, columns=columns)
        assert [(part.name == CARRY_OVER, part.contacts) for part in parts] == [(False, 1), (True, 0)]
        assert carried_over.read_text() == header
        # Both are contact files for the next day.
        rules: dict[str, Any] = {"has_header": named, "columns": {"time_zone": "time_zone"} if named else None}
        with pytest.raises(EmptyContacts):
            check(carried_over, ContactRules(on_empty="skip", calling_hours="08:00-21:00", **rules))
        with check(kept, ContactRules(calling_hours="00:00-24:00", **rules)) as checked:
            assert checked.report.valid == 1
    by_size: dict[str, Any] = {"calling_hours": None, "unknown_zone": "fail", "columns": None, "has_header": True}
    parts, _ = split_file(path, carry_over=True, values={"by": "size", "max_contacts": 5}, **by_size)
    assert [(part.name, part.contacts) for part in parts] == [("part_1", 1), (CARRY_OVER, 0)]
    assert not rows_of(path, parts[1])


@pytest.mark.parametrize(
    ("rows", "changed", "what"),
    [
        ([TOLL_FREE, NEW_YORK, LOS_ANGELES], {}, "the list"),
        ([LOS_ANGELES, NEW_YORK], {}, "the list"),
        ([NEW_YORK, LOS_ANGELES], {"values": {"max_contacts": 3}}, "max_contacts"),
        ([NEW_YORK, LOS_ANGELES], {"start": SIX + 4 * 3600}, "the spans"),
        ([NEW_YORK, LOS_ANGELES], {"calling_hours": "09:00-21:00"}, "the spans"),
        (
            [NEW_YORK, LOS_ANGELES],
            {"calling_hours": None, "unknown_zone": "fail", "values": {"by": "size", "max_contacts": 2}},
            "the spans",
        ),
    ],
)
def test_a_folder_has_the_parts_of_one_split(path: Path, rows: list[str], changed: Any, what: str) -> None:
    given: dict[str, Any] = {"unknown_zone": "strictest", "values": {"max_contacts": 2}}
    path.write_text(f"{NEW_YORK}\n{LOS_ANGELES}\n")
    parts, _ = split_file(path, **given)
    before = {file.name: file.read_bytes() for file in path.with_name("parts").iterdir()}
    path.write_text("".join(f"{row}\n" for row in rows))
    with pytest.raises(InvalidContacts, match=rf"has the parts of another split. What differs: {what}") as caught:
        split_file(path, again=True, **{**given, **changed})
    assert "No part was written" in str(caught.value)
    assert "some of them would be called twice" in str(caught.value)
    assert NEW_YORK not in str(caught.value)
    assert {file.name: file.read_bytes() for file in path.with_name("parts").iterdir()} == before
    # What changes no part is not refused: the same list a little later, or with another stagger.
    path.write_text(f"{NEW_YORK}\n{LOS_ANGELES}\n")
    other = {"max_contacts": 2, "stagger": "30 minutes"}
    assert split_file(path, again=True, **{**given, "start": SIX + 60, "values": other})[0] == parts


def test_the_record_of_a_split_has_no_phone_number(path: Path) -> None:
    path.write_text(f"{NEW_YORK},Ann\n{LOS_ANGELES}\n")
    split_file(path)
    record = path.with_name("parts").joinpath(RECORD).read_text()
    assert json.loads(record) == {
        "campaign_name": "x",
        "digest": f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}",
        "max_contacts": None,
        "spans": {
            "NY America/New_York": "2026-11-27T1315Z_2026-11-28T0155Z",
            "CA America/Los_Angeles": "2026-11-27T1615Z_2026-11-28T0455Z",
        },
    }
    # A record that cannot be read is not taken for that of this split.
    for text in ("", "[]", "5", '{"digest": '):
        path.with_name("parts").joinpath(RECORD).write_text(text)
        with pytest.raises(InvalidContacts, match=r"What differs: campaign_name, the list"):
            split_file(path, again=True)


def test_a_split_that_failed_halfway_is_completed_by_the_next_try(path: Path) -> None:
    path.write_text("".join(f"1212555{number:04}\n" for number in range(4)))
    blocked = path.with_name("parts") / "2026-11-27T1315Z_2026-11-28T0155Z_2.csv"
    blocked.mkdir(parents=True)
    with pytest.raises(InvalidContacts):
        split_file(path, again=True, values={"max_contacts": 2})
    blocked.rmdir()
    parts, _ = split_file(path, again=True, values={"max_contacts": 2})
    assert [rows_of(path, part) for part in parts] == [["12125550000", "12125550001"], ["12125550002", "12125550003"]]


def test_numbers_without_a_zone_are_called_when_everybody_may_be(path: Path) -> None:
    path.write_text(f"{TOLL_FREE}\n{NEW_YORK}\n")
    assert [part.contacts for part in split_file(path)[0]] == [1]
    parts, _ = split_file(path, unknown_zone="strictest")
    assert [by_utc(part) for part in parts] == ["27 13:15 28 01:55", "27 18:15 28 00:25"]
    with pytest.raises(InvalidContacts, match="no known time zone"):
        split_file(path, unknown_zone="fail")


def test_numbers_without_a_zone_are_not_called_where_no_known_place_has_hours(path: Path) -> None:
    guam, hours = "16715550100", {"GU": "08:00-21:00"}
    path.write_text(f"{TOLL_FREE}\n{guam}\n")
    parts, _ = split_file(path, calling_hours=hours, unknown_zone="strictest")
    assert [(row, part.span) for part in parts for row in rows_of(path, part)] == [(guam, parts[0].span)]
    # The campaign's own check does not allow them either.
    own = HoursCheck(CallingHours.read(hours), "strictest", *parts[0].span or ())
    assert [own.allows(own.place(int(number))) for number in (TOLL_FREE, guam)] == [False, True]


def test_a_column_of_zones_decides_and_is_kept_for_the_campaign(path: Path) -> None:
    path.write_text(
        f'zone;phone_number\nAmerica/Los_Angeles;{NEW_YORK}\n;{CHICAGO}\nHI;(212) 555-0101\n"x,y";{TOLL_FREE}\n'
    )
    rules: dict[str, Any] = {
        "has_header": True,
        "columns": {"time_zone": "zone"},
        "delimiter": ";",
        "normalize": True,
        "quoting": "allow",
    }
    parts, named = split_file(path, **rules)
    assert named
    assert [by_utc(part)[3:8] for part in parts] == ["14:15", "16:15", "18:15"]
    head = "phone_number,message_reference,call_parameter,time_zone"
    assert rows_of(path, parts[1]) == [head, f"{NEW_YORK},,,America/Los_Angeles"]
    # The campaign's own check finds every row within hours.
    for part in parts:
        assert part.campaign("x", "y", has_header=named)["has_header"] is True
        own = ContactRules(calling_hours="08:00-21:00", has_header=True)
        with check(
            path.with_name("parts") / f"{part.name}.csv", own, hours=own.hours_check(*part.span or ())
        ) as checked:
            assert checked.report.valid == 1


@pytest.mark.parametrize(
    ("values", "rules", "problem"),
    [
        ({}, {"calling_hours": None, "unknown_zone": None}, "calling_hours is missing"),
        ({"by": "size"}, {}, "calling_hours has no effect here"),
        ({"by": "size"}, {"calling_hours": None, "unknown_zone": None}, "max_contacts is missing"),
        ({"by": "zone"}, {}, "by is 'zone', which is not valid"),
        ({"max_contacts": 0}, {}, "max_contacts is '0', which is too small|max_contacts is 0, which is too small"),
        ({"stagger": "1 hour"}, {}, "stagger has no effect here"),
        (
            {"by": "size", "max_contacts": 1, "start": SIX}, {"calling_hours": None, "unknown_zone": None},
            "start has no effect here; it must be unset, or given with by='calling_hours'",
        ),
        ({"start": "tomorrow"}, {}, "start is 'tomorrow'"),
        *(({"folder": unset}, {}, "folder is missing") for unset in (None, "", " ", "None")),
        ({"folder": "\t"}, {}, "folder is empty"),
        ({"folder": "parts\0"}, {}, "folder has a NUL character"),
        ({"folder": 5}, {}, "folder is a value of type int"),
        ({"carry_over_path": ["x"]}, {}, "carry_over_path is a value of type list"),
    ],
)  # fmt: skip
def test_parameters_that_are_not_valid(values: Any, rules: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidContactRules, match=problem):
        Split.read({"folder": "parts", **values}, ContactRules(**{**RULES, **rules}), SIX)


def test_hours_that_are_shorter_than_min_window_are_reported(path: Path) -> None:
    path.write_text(f"{NEW_YORK}\n")
    with pytest.raises(InvalidContacts, match="is as long as min_window: make it shorter, or choose other hours"):
        split_file(path, calling_hours="08:00-09:00")  # and the last attempt starts at 8:55
    parts, _ = split_file(path, calling_hours="08:00-09:00", values={"min_window": "15 minutes"})
    assert [part.contacts for part in parts] == [1]


def test_the_folder_loses_the_whitespace_around_it() -> None:
    split = Split.read({"folder": " /data/parts/\n", "carry_over_path": "None"}, ContactRules(**RULES), SIX)
    assert split.location("part_1") == "/data/parts/part_1.csv"
    assert split.carry_over_path is None


def test_a_folder_that_cannot_be_written_to_is_reported(path: Path, mocker: Any) -> None:
    path.write_text(f"{NEW_YORK}\n")
    path.with_name("parts").mkdir()
    (path.with_name("parts") / "2026-11-27T1315Z_2026-11-28T0155Z_1.csv").mkdir()
    problem = "The parts cannot be written to the folder '.*/parts'"
    with pytest.raises(InvalidContacts, match=rf"{problem}: Is a directory\. Choose another folder\.$"):
        split_file(path, again=True)
    mocker.patch("os.replace", side_effect=OSError(errno.ENOSPC, "No space left on device"))
    carried = (
        rf"{problem} or to '.*/carry_over.csv': No space left on device\. Make room there\. It is safe to try again"
    )
    with pytest.raises(CheckFailed, match=carried):
        split_file(path, carry_over=True)


numbers = st.sampled_from([*sorted(area_codes()), 800]).flatmap(
    lambda code: st.integers(2_000_000, 2_000_003).map(lambda line: f"1{code}{line}")
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(numbers, min_size=1, max_size=40),
    hours=st.sampled_from(["08:00-21:00", "us-strict, ca-crtc", "22:00-02:00", {"default": "00:00-24:00"}]),
    start=st.integers(0, 14 * 24 * 60).map(lambda minute: SIX - 29 * 86_400 + minute * 60),
    retries=st.integers(0, 10),
    interval=st.integers(1, 300),
    largest=st.one_of(st.none(), st.integers(1, 5)),
    stagger=st.integers(1, 300),
)
def test_no_attempt_of_the_service_is_outside_hours_and_no_contact_is_lost(  # noqa: PLR0917
    tmp_path: Path, rows: list[str], hours: Any, start: int, retries: int, interval: int, largest: int | None, stagger: int
) -> None:  # fmt: skip
    """Every attempt is simulated by the rules of the sandbox, with the numbers that are never answered among them."""
    path = tmp_path / "calls.csv"
    path.write_text("".join(f"{row},{line}\n" for line, row in enumerate(rows)))
    values = {"max_contacts": largest, "stagger": stagger} if largest else {}
    read = CallingHours.read(hours)
    allowed = HoursCheck(read, "strictest", start)
    try:
        parts, _ = split_file(
            path, start=start, calling_hours=hours, unknown_zone="strictest", duplicates="keep", values=values
        )
    except InvalidContacts:
        assert not any(any_opening(allowed, read, row, start) for row in rows)
        return
    written = [row for part in parts for row in rows_of(path, part)]
    assert len(written) == len(set(written))
    called = Counter(row.partition(",")[0] for row in written)
    assert not called - Counter(rows)
    assert {row for row in rows if called[row] < rows.count(row)} <= {
        row for row in rows if not any_opening(allowed, read, row, start)
    }
    for part in parts:
        assert part.span is not None
        assert part.span.start >= start
        assert part.span.start // 60 % 60 in (15, 30, 45)
        assert part.contacts == len(rows_of(path, part)) <= (largest or 1 << 30)
        for row in rows_of(path, part):
            for moment in attempts(row.partition(",")[0], part, retries, interval * 60):
                place = allowed.place(int(row.partition(",")[0]))
                if place.zones:
                    assert read.openings(place, moment, moment + 300) == [(moment, moment + 300)]


def any_opening(check: HoursCheck, hours: CallingHours, row: str, start: int) -> bool:
    place = check.place(int(row))
    opened = hours.openings(place, start, start + 6 * 86_400)
    return any(span.end - span.start > 2 * 3600 for span in opened)


def attempts(number: str, part: Part, retries: int, interval: int) -> Iterator[int]:
    """When the sandbox attempts to call a number."""
    start, end = part.span or (0, 0)
    parameters = {"max_retries": str(retries), "retry_interval": str(interval)}
    campaign = QueuedCampaign(1, "x", start, parameters, "x", "x", 1, 1, start, end, 0, (), Progress())
    call = Call(1, 1, 1, number, None, None, "waiting", 0, None, None, None, None, start)
    while call.due_at is not None:
        before, call = call, next_state(call, campaign, seed=1)
        if call.attempts > before.attempts:
            yield call.last_attempt_at or 0
