"""Rows that may not be called during the whole campaign are rejected, in memory and in DuckDB alike."""

from __future__ import annotations

import csv
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_queuecalls.contacts import CheckedContacts, ContactRules, Report, check
from airflow_provider_queuecalls.contacts.from_rows.writing import write_contact_file
from airflow_provider_queuecalls.contacts.hours.calling_hours import CallingHours
from airflow_provider_queuecalls.contacts.hours.check import HoursCheck
from airflow_provider_queuecalls.contacts.hours.places import UNKNOWN, Place, area_codes, place_named, place_of
from airflow_provider_queuecalls.exceptions import InvalidContactRules, InvalidContacts
from airflow_provider_queuecalls.stopping import StopRequest
from tests.unit.contacts.checking import Contacts, sent
from tests.unit.contacts.checking import refused as refused_by

HOURS = "08:00-21:00"
NEW_YORK, CHICAGO, LOS_ANGELES, TOLL_FREE = "12125550100", "13125550100", "12135550100", "18005550100"


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


#: All that a number of Idaho may have.
IDAHO = '"America/Denver, America/Los_Angeles"'
NOON = at("2026-11-27T12:00:00-05:00")
#: Eight in the morning in New York.
EIGHT = NOON - 4 * 3600


def check_span(
    path: Path, span: tuple[int, int | None], *, rejects_path: Path | None = None, **given: Any
) -> CheckedContacts:
    rules = ContactRules(**{"calling_hours": HOURS, **given})
    return check(path, rules, hours=rules.hours_check(*span), rejects_path=rejects_path)


def report_of(path: Path, span: tuple[int, int | None], **rules: Any) -> Report:
    try:
        with check_span(path, span, **rules) as checked:
            return checked.report
    except InvalidContacts as error:
        found: Report = error.report
        return found


@pytest.mark.usefixtures("results_kept")
def test_rows_are_rejected_unless_their_hours_cover_the_whole_span(contacts: Contacts) -> None:
    path = contacts(f"{NEW_YORK}\n{CHICAGO}\n{LOS_ANGELES},x\n(212) 555-0101\n{LOS_ANGELES[1:]}\n{NEW_YORK}\n")
    found = report_of(path, (EIGHT, NOON), normalize=True, duplicates="drop", on_invalid="skip")
    assert found.reasons == {"outside_hours": 3, "duplicate": 1}
    assert [example.line for example in found.examples if example.reason == "outside_hours"] == [2, 3, 5]
    assert found.zones == {
        "America/New_York": {"contacts": 3, "outside_hours": 0},
        "America/Los_Angeles": {"contacts": 2, "outside_hours": 2},
        "America/Chicago": {"contacts": 1, "outside_hours": 1},
    }
    assert found.span == (EIGHT, NOON)
    assert found.tzdata >= "2025"


@pytest.mark.usefixtures("results_kept")
def test_zones_with_equally_many_rows_are_in_the_order_of_their_names(contacts: Contacts) -> None:
    path = contacts(f"{NEW_YORK}\n{LOS_ANGELES}\n{CHICAGO}\n{NEW_YORK[:-1]}1\n")
    found = report_of(path, (NOON, None))
    assert list(found.zones) == ["America/New_York", "America/Chicago", "America/Los_Angeles"]


@pytest.mark.usefixtures("results_kept")
def test_places_of_one_zone_with_equally_many_rows_are_in_the_order_of_their_regions(contacts: Contacts) -> None:
    codes = (603, 302, 617, 401, 212, 207, 202, 860)  # NH, DE, MA, RI, NY, ME, DC, CT
    path = contacts("".join(f"1{code}5550100\n" for code in codes))
    found = report_of(path, (NOON, None))
    assert [place.regions[0] for place in found.sent_places] == ["CT", "DC", "DE", "MA", "ME", "NH", "NY", "RI"]
    assert list(found.places) == found.sent_places


@pytest.mark.usefixtures("results_kept")
def test_without_an_end_it_is_the_latest_that_is_right_for_all(contacts: Contacts) -> None:
    path = contacts(f"{NEW_YORK}\n{LOS_ANGELES}\n")
    assert report_of(path, (NOON, None)).span == (NOON, at("2026-11-27T20:55:00-05:00"))
    path.write_text(f"{LOS_ANGELES}\n")
    assert report_of(path, (NOON, None)).span == (NOON, at("2026-11-27T20:55:00-08:00"))
    path.write_text(f"{NEW_YORK}\n{LOS_ANGELES}\n")
    assert report_of(path, (EIGHT, None), on_invalid="skip").span == (EIGHT, at("2026-11-27T20:55:00-05:00"))


@pytest.mark.usefixtures("results_kept")
def test_the_error_names_the_zones_that_are_closed(contacts: Contacts) -> None:
    path = contacts(f"{NEW_YORK}\n{LOS_ANGELES}\n")
    with pytest.raises(InvalidContacts) as caught:
        check_span(path, (EIGHT, None))
    assert "America/Los_Angeles: 1 of 1 rows" in str(caught.value)
    assert "New_York" not in str(caught.value)
    assert "split the list by calling hours" in str(caught.value)
    assert LOS_ANGELES not in str(caught.value)


@pytest.mark.usefixtures("results_kept")
@pytest.mark.parametrize(
    ("unknown_zone", "span", "reasons", "passes"),
    [
        ("fail", (NOON, NOON + 60), {"outside_hours": 2}, False),
        ("skip", (NOON, NOON + 60), {"outside_hours": 2}, True),
        ("strictest", (NOON + 2 * 3600, NOON + 3 * 3600), {}, True),
        ("strictest", (NOON, NOON + 60), {"outside_hours": 2}, True),  # seven in the morning in Honolulu
    ],
)  # fmt: skip
def test_numbers_without_a_known_zone(
    contacts: Contacts, unknown_zone: str, span: tuple[int, int], reasons: dict[str, int], passes: bool
) -> None:
    path = contacts(f"{NEW_YORK}\n{TOLL_FREE}\n+442071838750\n")
    rules: dict[str, Any] = {"unknown_zone": unknown_zone, "on_invalid": "skip", "phone_format": "vendor"}
    if passes:
        with check_span(path, span, **rules) as checked:
            assert checked.report.reasons == reasons
            assert checked.report.zones["unknown"]["contacts"] == 2
    else:
        with pytest.raises(InvalidContacts, match="2 rows have no known time zone") as caught:
            check_span(path, span, **rules)
        assert caught.value.report is not None
        assert caught.value.report.reasons == reasons


@pytest.mark.usefixtures("results_kept")
def test_a_column_that_names_the_zone_wins(contacts: Contacts) -> None:
    rows = [
        f"{NEW_YORK},America/Los_Angeles,a", f"{LOS_ANGELES}, NY ,b", f"{LOS_ANGELES},,c", f"{NEW_YORK[:-1]}1,,d",
        f"{TOLL_FREE},America/New_York,e", f"{CHICAGO},Mars,f", f"{NEW_YORK[:-1]}2,America/Toronto,g",
    ]  # fmt: skip
    path = contacts("\n".join(["phone_number,tz,message_reference", *rows, ""]))
    rules: dict[str, Any] = {
        "has_header": True,
        "columns": {"time_zone": "tz"},
        "on_invalid": "skip",
        "unknown_zone": "skip",
        "duplicates": "keep",
    }
    found = report_of(path, (EIGHT, NOON), **rules)
    assert [example.line for example in found.examples] == [2, 4, 7]
    with check_span(path, (EIGHT, NOON), **rules) as checked:
        assert [line.split(b",")[1] for line in checked.upload.file.read().splitlines()] == [b"b", b"d", b"e", b"g"]
    # Its own name is found without columns, and is ignored without calling hours.
    path.write_text(path.read_text().replace(",tz,", ",Time_Zone,"))
    assert [example.line for example in report_of(path, (EIGHT, NOON), **{**rules, "columns": None}).examples] == [
        2,
        4,
        7,
    ]
    assert b"b" in sent(path, has_header=True, duplicates="keep")


@pytest.mark.parametrize(
    ("header", "columns", "problem"),
    [
        ("phone_number", {"time_zone": "tz"}, "has no column 'tz' for time_zone"),
        ("phone_number,tz,TZ", {"time_zone": "tz"}, "has 2 columns for time_zone"),
    ],
)
def test_a_column_of_zones_that_is_missing_or_occurs_twice(
    contacts: Contacts, header: str, columns: dict[str, str], problem: str
) -> None:
    error = refused_by(contacts(f"{header}\n{NEW_YORK}\n"), has_header=True, columns=columns, calling_hours=HOURS)
    assert problem in str(error)


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        ({"unknown_zone": "skip"}, "unknown_zone has no effect here"),
        ({"has_header": True, "columns": {"time_zone": "tz"}}, "columns has no effect here"),
        ({"calling_hours": "8-21"}, "calling_hours is '8-21', which"),
        ({"calling_hours": "us-federal, 8-21"}, "has an entry that is neither hours .*: '8-21'"),
        ({"calling_hours": {"FL": "8-21"}}, "has hours for 'FL' that are not in the form 08:00-21:00: '8-21'"),
        ({"calling_hours": {"FL": "16175551234"}}, "has hours for 'FL' that are not in the form 08:00-21:00;"),
        ({"calling_hours": {"sat": "8-21"}}, "has hours for 'sat' that are not in the form 08:00-21:00: '8-21'"),
        ({"calling_hours": {"FL": 8}}, "has hours for 'FL' of type int"),
        ({"calling_hours": {"FL": {"someday": "08:00-21:00"}}}, "has a day that is not .*: 'someday'"),
        ({"calling_hours": {"Florida": "08:00-21:00"}}, "has a key that is not .*: 'Florida'"),
        ({"calling_hours": {"16175551234": "08:00-21:00"}}, "has a key that is not .*, or 'margin';"),
        ({"calling_hours": {"FL": "08:00-21:00", "margin": "x"}}, "has a margin that is not a duration: 'x'"),
    ],
)
def test_rules_that_are_not_valid(rules: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidContactRules, match=problem) as caught:
        ContactRules(**rules)
    assert "16175551234" not in str(caught.value)


@pytest.mark.usefixtures("results_kept")
@pytest.mark.parametrize(
    ("rows", "rules", "rejects"),
    [
        (f"{TOLL_FREE},a\n208-555-0100\n", {"normalize": True}, ["1,outside_hours,unknown,18005550100,a", f"2,outside_hours,{IDAHO},208-555-0100"]),
        (f"12085550100,=1\nx\n{CHICAGO}\n", {}, [f"1,outside_hours,{IDAHO},12085550100,'=1", "2,invalid_number,,x", f"3,outside_hours,America/Chicago,{CHICAGO}"]),
        ('"12085550100","a, b"\n', {"quoting": "allow"}, [f'1,outside_hours,{IDAHO},12085550100,"a, b"']),
        (f'"{CHICAGO}","a ""b"""\n', {"quoting": "allow"}, [f'1,outside_hours,America/Chicago,{CHICAGO},"a ""b"""']),
        (f"12085550100;a\n{NEW_YORK};b\n{NEW_YORK};c\n", {"delimiter": ";"}, [f"1,outside_hours,{IDAHO},12085550100,a", f"3,duplicate,,{NEW_YORK},c"]),
        ("+442071838750\ntel:+13125550100\n1312555\n", {"phone_format": "vendor"}, ["1,outside_hours,unknown,'+442071838750", "2,outside_hours,America/Chicago,tel:+13125550100", "3,outside_hours,unknown,1312555"]),
    ],
)  # fmt: skip
def test_the_rejects_file_has_the_zones_of_rows_that_are_outside_hours(
    contacts: Contacts, tmp_path: Path, rows: str, rules: dict[str, Any], rejects: list[str]
) -> None:
    with pytest.raises(InvalidContacts):
        check_span(contacts(rows), (EIGHT, NOON), rejects_path=tmp_path / "rejects.csv", **rules)
    head = "line,reason,zones,phone_number,message_reference,call_parameter"
    assert (tmp_path / "rejects.csv").read_text().splitlines() == [head, *rejects]


numbers = st.sampled_from([*sorted(area_codes()), 800, 500]).flatmap(
    lambda code: st.integers(2_000_000, 2_000_003).map(lambda line: code * 10_000_000 + line)
)
names = st.sampled_from(["", "", "America/Denver", " FL", "TX", "Pacific/Honolulu", "US-AZ", "nowhere", "Asia/Tokyo"])
windows = st.sampled_from([HOURS, "us-strict, ca-crtc", {"default": HOURS, "TX": "12:00-13:00"}, "us-federal"])


@pytest.mark.long
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(numbers, names), min_size=1, max_size=40),
    hours=windows,
    start=st.integers(0, 14 * 24).map(lambda hour: NOON + hour * 3600),
    length=st.integers(1, 8),
    named=st.booleans(),
    normalize=st.booleans(),
)
def test_every_row_gets_the_result_of_its_own_place(  # noqa: PLR0917
    tmp_path: Path,
    results_kept: None,
    rows: list[tuple[int, str]],
    hours: Any,
    start: int,
    length: int,
    named: bool,
    normalize: bool,
) -> None:
    path, rejects = tmp_path / "calls.csv", tmp_path / "rejects.csv"
    spelled = [f"{str(number)[:3]}-{str(number)[3:]}" if normalize else f"1{number}" for number, _ in rows]
    header, ends = ("phone_number,time_zone\n", [f",{name}" for _, name in rows]) if named else ("", [""] * len(rows))
    path.write_text(header + "".join(f"{number}{end}\n" for number, end in zip(spelled, ends, strict=True)))
    rules: dict[str, Any] = {
        "calling_hours": hours,
        "unknown_zone": "skip",
        "on_invalid": "skip",
        "duplicates": "keep",
        "has_header": named,
    }
    span = start, start + length * 3600
    with suppress(InvalidContacts):  # nobody may be left
        check_span(path, span, rejects_path=rejects, normalize=normalize, **rules).close()
    read = CallingHours.read(hours)

    def place_that_is_closed(number: int, name: str) -> Place | None:
        place = place_of(10_000_000_000 + number)
        if named and name:
            given_place = place_named(name)
            place = (
                given_place
                if given_place.regions or given_place is UNKNOWN
                else Place(place.regions, given_place.zones)
            )
        return None if HoursCheck(read, "fail", *span).allows(place) else place

    with rejects.open(newline="") as file:
        assert [(int(row["line"]), row["zones"]) for row in csv.DictReader(file)] == [
            (line, str(place)) for line, row in enumerate(rows, 1 + named) if (place := place_that_is_closed(*row))
        ]


ZONES = {"has_header": True, "phone_format": "vendor", "duplicates": "drop", "on_invalid": "skip"}


@pytest.mark.usefixtures("results_kept")
@pytest.mark.parametrize(
    ("rows", "rules"),
    [
        (f"{NEW_YORK}\n{LOS_ANGELES}\n", {}),
        (f"{NEW_YORK}\ntel:+{LOS_ANGELES}\n{NEW_YORK}\n", {"phone_format": "vendor", "duplicates": "keep"}),
        (f"phone_number,time_zone\n{LOS_ANGELES},\n{LOS_ANGELES},America/New_York\n", ZONES),
        (f"phone_number,time_zone\n{NEW_YORK},\ntel:+{LOS_ANGELES},\ntel:+{LOS_ANGELES},NY\n", ZONES),
    ],
)
def test_rows_that_are_not_sent_do_not_shorten_the_campaign(
    contacts: Contacts, tmp_path: Path, rows: str, rules: dict[str, Any]
) -> None:
    suppressed = tmp_path / "suppressed.csv"
    suppressed.write_text(f"{NEW_YORK}\n")
    found = report_of(contacts(rows), (NOON, None), suppress=str(suppressed), **rules)
    assert found.span == (NOON, at("2026-11-27T20:55:00-08:00"))
    assert found.sent_places == [place_of(int(LOS_ANGELES))]


@pytest.mark.usefixtures("results_kept")
@pytest.mark.parametrize("prefix", ["", "tel:+"])
def test_a_place_counts_if_any_of_its_rows_is_sent(contacts: Contacts, tmp_path: Path, prefix: str) -> None:
    suppressed = tmp_path / "suppressed.csv"
    suppressed.write_text(f"{NEW_YORK}\n")
    path = contacts("".join(f"{prefix}{number}\n" for number in (NEW_YORK, NEW_YORK, "12125550101", NEW_YORK)))
    found = report_of(path, (NOON, None), suppress=str(suppressed), phone_format="vendor", duplicates="keep")
    assert found.suppressed == 3
    assert found.span == (NOON, at("2026-11-27T20:55:00-05:00"))


@pytest.mark.long
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(numbers, names), min_size=1, max_size=40),
    suppressed=st.sets(numbers, max_size=20),
    named=st.booleans(),
    in_python=st.booleans(),
)
def test_the_places_are_those_of_the_rows_that_are_sent(  # noqa: PLR0917
    tmp_path: Path, results_kept: None, rows: list[tuple[int, str]], suppressed: set[int], named: bool, in_python: bool
) -> None:
    path, suppression_list, rejects = (tmp_path / name for name in ("calls.csv", "suppressed.csv", "rejects.csv"))
    spelled = [f"tel:1{number}" if in_python and number % 2 else f"1{number}" for number, _ in rows]
    lines = [f"{number},{name}" for number, (_, name) in zip(spelled, rows, strict=True)] if named else spelled
    path.write_text("\n".join(["phone_number,time_zone"] * named + lines))
    suppression_list.write_text("\n".join(["number", *(f"1{number}" for number in suppressed)]))
    rules = {**ZONES, "has_header": named, "unknown_zone": "skip", "suppress": str(suppression_list)}
    try:
        with check_span(path, (NOON, None), rejects_path=rejects, **rules) as checked:
            report = checked.report
    except InvalidContacts as error:
        report = error.report
    with rejects.open(newline="") as file:
        rejected = {int(row["line"]) for row in csv.DictReader(file)}
    hours = ContactRules(calling_hours=HOURS, unknown_zone="skip").hours_check(NOON)
    assert hours is not None
    assert set(report.sent_places) == {
        hours.place(10_000_000_000 + number, name if named else "")
        for line, (number, name) in enumerate(rows, 1 + named)
        if line not in rejected
    }
    assert report.span == hours.span(report.sent_places)


@pytest.mark.usefixtures("results_kept")
@pytest.mark.parametrize("as_mapping", [True, False])
def test_rows_of_a_query_or_a_function_may_name_their_zone(tmp_path: Path, as_mapping: bool) -> None:
    rules = ContactRules(calling_hours=HOURS, has_header=True, columns={"time_zone": "tz"}, on_invalid="skip")
    rows: list[Any] = [(NEW_YORK, "America/Los_Angeles"), (LOS_ANGELES, "NY"), (CHICAGO, None)]
    names = ["phone_number", "tz"]
    given = [dict(zip(names, row, strict=True)) for row in rows] if as_mapping else rows
    with write_contact_file(
        given, rules, "the test", names=None if as_mapping else names, log=print, stop=StopRequest()
    ) as path:
        own = rules.for_rows()
        with check(path, own, hours=own.hours_check(EIGHT, NOON)) as checked:
            assert [example.line for example in checked.report.examples] == [1, 3]
            assert checked.upload.file.read() == f"{LOS_ANGELES},,\n".encode()
