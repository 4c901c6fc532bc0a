"""Durations, switches, and what else more than one table reads."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_queuecalls.exceptions import InvalidCampaign
from airflow_provider_queuecalls.parameters import Parameter, ValueType, read_values
from airflow_provider_queuecalls.value_types import (
    WHOLE_SECONDS,
    format_duration,
    parse_flag,
    read_duration,
    read_structure,
)

SECONDS = Parameter(name="x", type=ValueType("", read_duration), doc="", unit="seconds")
DAYS = Parameter(name="x", type=ValueType("", read_duration), doc="", unit="days")
WHOLE = Parameter(name="x", type=WHOLE_SECONDS, doc="", unit="seconds", minimum=60, maximum=3_600)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (90, 90), (1.5, 1.5), ("90", 90), ("1.5", 1.5), (" 90 ", 90), (timedelta(minutes=15), 900),
        ("15 minutes", 900), ("1 minute", 60), ("1 hour 30 minutes", 5_400), ("1 day, 2 hours", 93_600),
        ("1 hour and 1 second", 3_601), ("2 weeks", 1_209_600), ("0.5 hours", 1_800), ("90seconds", 90),
        ("PT15M", 900), ("P1DT12H", 129_600), ("P2W", 1_209_600), ("PT1.5S", 1.5), ("P1D", 86_400),
        ("0:15:00", 900), ("1 day, 2:00:00", 93_600), ("2 days, 0:00:01.500000", 172_801.5),
    ],
)  # fmt: skip
def test_a_duration_is_read(value: Any, seconds: float) -> None:
    assert SECONDS.read(value) == timedelta(seconds=seconds)


def test_a_number_is_in_the_parameters_unit() -> None:
    assert DAYS.read("31") == DAYS.read(31) == DAYS.read("31 days") == timedelta(days=31)


@pytest.mark.parametrize(
    "value",
    ["a while", "15 m", "15 months", "P1M", "P1Y", "P", "PT", "PT15", "-5 minutes", "-1 day, 23:00:00", "1e3", "nan", "inf", float("nan"), float("inf"), 10**12, "9" * 9 + " weeks " + "9" * 9 + " weeks", True, [], {}, b"1"],
)  # fmt: skip
def test_anything_else_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"is not a duration|is a value of type"):
        DAYS.read(value)


@pytest.mark.parametrize("value", [0, "0", "0 days", timedelta(0), timedelta(seconds=-1), -1, "PT0S"])
def test_a_duration_is_longer_than_nothing(value: object) -> None:
    with pytest.raises(ValueError, match="is not above 0"):
        SECONDS.read(value)


def test_a_duration_that_may_be_0_is_not_negative() -> None:
    grace = replace(SECONDS, minimum=0)
    assert grace.read(0) == timedelta(0)
    with pytest.raises(ValueError, match="is negative"):
        grace.read(-1)


@pytest.mark.parametrize(
    ("value", "problem"),
    [("59 seconds", "too small"), (timedelta(hours=2), "too large"), ("90.5", "not a whole number of seconds")],
)
def test_a_duration_has_limits(value: object, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        WHOLE.read(value)


@given(st.timedeltas(min_value=timedelta(microseconds=1), max_value=timedelta(days=10_000)))
def test_what_python_writes_is_read_as_it_was(duration: timedelta) -> None:
    assert SECONDS.read(str(duration)) == duration


@given(st.text(alphabet="PTWDHMS0123456789 .,:dayshourmintec-", min_size=1, max_size=20))
def test_no_text_ends_in_another_error(text: str) -> None:
    read, violations = read_values([SECONDS], {"x": text})
    assert isinstance(read["x"], timedelta) or violations or not text.strip(" ")


@pytest.mark.parametrize(
    ("duration", "words"),
    [
        (timedelta(0), "0 seconds"), (timedelta(seconds=1), "1 second"), (timedelta(minutes=90), "1 hour 30 minutes"),
        (timedelta(days=31, hours=1, seconds=5), "31 days 1 hour"), (timedelta(minutes=15), "15 minutes"),
    ],
)  # fmt: skip
def test_a_duration_has_words(duration: timedelta, words: str) -> None:
    assert format_duration(duration) == words


@pytest.mark.parametrize(
    ("text", "value"), [('{"a": 1}', {"a": 1}), ("{'a': 1}", {"a": 1}), ("[1]", [1]), ("(1,)", (1,))]
)
def test_json_and_python_literals_are_read(text: str, value: object) -> None:
    assert read_structure(text) == value


@pytest.mark.parametrize("value", [None, "", "None", "maybe", 2, 1.0, []])
def test_a_switch_that_says_neither_is_an_error(value: object) -> None:
    with pytest.raises(InvalidCampaign, match=r"dry_run .*; it must be true or false"):
        parse_flag("dry_run", value)


@pytest.mark.parametrize(
    ("value", "meaning"), [(True, True), ("True", True), ("false", False), (0, False), ("1", True)]
)
def test_a_switch_is_read_from_what_templating_yields(value: object, meaning: bool) -> None:
    assert parse_flag("dry_run", value) is meaning
