"""What a declared parameter says of itself, and which values an error may repeat."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_queuecalls.client.campaign import PARAMETERS as CAMPAIGN
from airflow_provider_queuecalls.client.campaign import START_LATE
from airflow_provider_queuecalls.client.connection import FIELDS
from airflow_provider_queuecalls.contacts import rules
from airflow_provider_queuecalls.kinds import CHOICE, FILE, INTEGER, SECRET, TEXT, URL
from airflow_provider_queuecalls.parameters import NOT_SHOWN, Parameter, is_unset, read_values, show, show_path

TABLES: list[Parameter] = [*CAMPAIGN, START_LATE, *rules.PARAMETERS, *FIELDS]


@pytest.mark.parametrize("value", [None, "", "  ", "\n", "\r\n", "None", " None "])
def test_what_a_template_renders_without_a_value_is_unset(value: object) -> None:
    assert is_unset(value)


@pytest.mark.parametrize("value", [0, False, [], {}, "\t", "0", "none", "null"])
def test_any_other_value_is_set(value: object) -> None:
    assert not is_unset(value)


@pytest.mark.parametrize(
    ("parameter", "rule"),
    [
        (Parameter(name="x", kind=INTEGER, doc="", minimum=0, maximum=172_800), "a whole number from 0 to 172,800"),
        (Parameter(name="x", kind=TEXT, doc="", max_length=16), "a text of at most 16 bytes in UTF-8"),
        (Parameter(name="x", kind=CHOICE, doc="", choices={"a": "", "b": ""}), "'a' or 'b'"),
        (Parameter(name="x", kind=CHOICE, doc="", choices={"a": "", "b": "", "c": ""}), "'a', 'b', or 'c'"),
    ],
)
def test_a_rule_has_its_limits(parameter: Parameter, rule: str) -> None:
    assert parameter.rule == rule


def test_a_violation_has_value_rule_and_source() -> None:
    parameter = Parameter(name="tries", kind=INTEGER, doc="", minimum=0, maximum=10, source="the page")
    _, violations = read_values([parameter], {"tries": "11"})
    assert str(violations["tries"]) == (
        "tries is '11', which is too large; it must be a whole number from 0 to 10 (the page)"
    )


@pytest.mark.parametrize("kind", [SECRET, TEXT, URL])
def test_a_violation_never_repeats_a_secret_a_free_text_or_a_url(kind: Any) -> None:
    parameter = Parameter(name="x", kind=kind, doc="", max_length=3)
    _, violations = read_values([parameter], {"x": "https://Ana/token"})
    assert "Ana" not in str(violations["x"])


@pytest.mark.parametrize("parameter", TABLES, ids=lambda parameter: parameter.name)
@pytest.mark.parametrize(
    "value", ["+1 (777) 555-0100", "17775550100,REF", 17775550100, ["17775550100"], "442071838750", "ana@example"]
)
def test_no_parameter_repeats_data_that_was_given_by_mistake(parameter: Parameter, value: Any) -> None:
    if parameter.kind is FILE:
        return  # whoever opens the file reads its path
    _, violations = read_values([parameter], {parameter.name: value})
    for part in ("777", "555", "0100", "4420", "ana", "REF"):
        assert part not in str(list(violations.values()))


@pytest.mark.parametrize("parameter", TABLES, ids=lambda parameter: parameter.name)
def test_every_parameter_is_documented(parameter: Parameter) -> None:
    assert parameter.doc.endswith(".")
    assert parameter.rule
    assert parameter.required or parameter.default_words or parameter.name in ("password",)


@pytest.mark.parametrize("parameter", TABLES, ids=lambda parameter: parameter.name)
def test_every_default_is_a_value_that_is_accepted(parameter: Parameter) -> None:
    if parameter.default not in (None, (), {}) and parameter.name != "host":
        assert parameter.read(parameter.default) == parameter.default


@pytest.mark.parametrize(
    ("name", "alias"),
    [
        ("phone_format", rules.PhoneFormat),
        ("quoting", rules.Quoting),
        ("on_invalid", rules.OnInvalid),
        ("duplicates", rules.Duplicates),
        ("on_empty", rules.OnEmpty),
    ],
)
def test_an_editor_offers_the_choices_of_the_table(name: str, alias: Any) -> None:
    assert get_args(alias) == tuple(rules.BY_NAME[name].choices)


def test_an_editor_offers_delimiters() -> None:
    assert set(get_args(rules.Delimiter)) <= set(rules.DELIMITERS)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("skp", "'skp'"),
        (11, "11"),
        (2.5, "2.5"),
        (True, "True"),
        (timedelta(minutes=15), "0:15:00"),
        (datetime(2026, 1, 1, tzinfo=timezone.utc), "2026-01-01 00:00:00+00:00"),
        ("2026-11-25T15:00", "'2026-11-25T15:00'"),
        ("a\nb", "'a\\nb'"),
    ],
)
def test_a_harmless_value_is_shown(value: object, text: str) -> None:
    assert show(value) == text


@pytest.mark.parametrize(
    "value",
    ["16175550100", 16175550100, "6175550100", "(617) 555-0100", "tel:+16175550100", "x16175550100y", "442071838750", "\uff11\uff16175550100", "ana@x", ["x"], {"x": 1}, b"x"],
)  # fmt: skip
def test_what_may_be_data_is_not_shown(value: object) -> None:
    assert show(value) == ""


@pytest.mark.parametrize(
    "path",
    [
        "/data/2026-11-25/calls.csv", "/data/1764000000/part-00000", "calls_20261125.csv", "./calls", "~/calls.CSV", "C:\\calls.csv",
        "s3://conn@bucket/key", "gs://bucket/run=scheduled__2026-11-25T00:00:00+00:00/calls.csv.gz", Path("/data/a b.csv"),
    ],
)  # fmt: skip
def test_a_path_is_shown(path: object) -> None:
    assert show_path(path) == repr(str(path))


@pytest.mark.parametrize(
    "path",
    [
        "17775550100,REF-1,name=Ana", "REF|17775550100", "17775550100", "7775550100.csv", "/data/777-555-0100.csv", "/data/%37775550100",
        "/data/\uff11\uff177755\uff150100", "Ana Smith", "REF-1", "ana@example.org", "/calls.csv,/more.csv", "/a\n17775550100", "['/calls.csv']",
        "s3://user:secret@bucket/key", "https://[bad/key", "", None, 3, ["/a.csv"],
    ],
)  # fmt: skip
def test_what_does_not_look_like_a_path_is_not_shown(path: object) -> None:
    assert show_path(path) == NOT_SHOWN


def test_a_url_is_shown_without_its_query() -> None:
    assert show_path("https://bucket.example/calls.csv?X-Amz-Signature=abc") == "'https://bucket.example/calls.csv'"


@given(
    st.sampled_from(["/data/", "s3://bucket/", ""]),
    st.from_regex(r"\A1?[2-9][0-9]{2}[2-9][0-9]{6}\Z"),
    st.sampled_from(["", ".csv", "/x"]),
)
def test_a_path_with_a_phone_number_is_never_shown(before: str, number: str, after: str) -> None:
    assert show_path(f"{before}{number}{after}") == NOT_SHOWN
