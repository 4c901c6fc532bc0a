"""What a declared parameter says of itself, and which values an error may repeat."""

from __future__ import annotations

import inspect
from datetime import datetime, timedelta, timezone
from typing import Any, get_args

import pytest

from airflow_provider_queuecalls.client.campaign import PARAMETERS as CAMPAIGN
from airflow_provider_queuecalls.client.campaign import START_LATE
from airflow_provider_queuecalls.client.connection import FIELDS
from airflow_provider_queuecalls.contacts import rules
from airflow_provider_queuecalls.operators.queuecalls import QueueCallsOperator
from airflow_provider_queuecalls.parameters import Parameter, is_unset, read_values, show
from airflow_provider_queuecalls.value_types import CHOICE, FILE, INTEGER, SECRET, TEXT, URL

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
        (Parameter(name="x", type=INTEGER, doc="", minimum=0, maximum=172_800), "a whole number from 0 to 172,800"),
        (Parameter(name="x", type=TEXT, doc="", max_length=16), "a string of at most 16 bytes in UTF-8"),
        (Parameter(name="x", type=CHOICE, doc="", choices={"a": "", "b": ""}), "'a' or 'b'"),
        (Parameter(name="x", type=CHOICE, doc="", choices={"a": "", "b": "", "c": ""}), "'a', 'b', or 'c'"),
    ],
)
def test_a_rule_has_its_limits(parameter: Parameter, rule: str) -> None:
    assert parameter.rule == rule


def test_a_violation_has_value_rule_and_source() -> None:
    parameter = Parameter(name="tries", type=INTEGER, doc="", minimum=0, maximum=10, source="the page")
    _, violations = read_values([parameter], {"tries": "11"})
    assert str(violations["tries"]) == (
        "tries is '11', which is too large; it must be a whole number from 0 to 10 (the page)"
    )


@pytest.mark.parametrize("value_type", [SECRET, TEXT, URL])
def test_a_violation_never_repeats_a_secret_a_free_text_or_a_url(value_type: Any) -> None:
    parameter = Parameter(name="x", type=value_type, doc="", max_length=3)
    _, violations = read_values([parameter], {"x": "https://Ana/token"})
    assert "Ana" not in str(violations["x"])


@pytest.mark.parametrize("parameter", TABLES, ids=lambda parameter: parameter.name)
@pytest.mark.parametrize(
    "value", ["+1 (777) 555-0100", "17775550100,REF", 17775550100, ["17775550100"], "442071838750", "ana@example"]
)
def test_no_parameter_repeats_data_that_was_given_by_mistake(parameter: Parameter, value: Any) -> None:
    if parameter.type is FILE:
        return  # whoever opens the file reads its path
    _, violations = read_values([parameter], {parameter.name: value})
    for part in ("777", "555", "0100", "4420", "ana", "REF"):
        assert part not in str(list(violations.values()))


@pytest.mark.parametrize("parameter", TABLES, ids=lambda parameter: parameter.name)
def test_every_parameter_is_documented(parameter: Parameter) -> None:
    assert parameter.doc.endswith(".")
    assert parameter.rule
    assert parameter.required or parameter.default_text or parameter.name in ("password",)


@pytest.mark.parametrize("parameter", TABLES, ids=lambda parameter: parameter.name)
def test_every_default_is_a_value_that_is_accepted(parameter: Parameter) -> None:
    if parameter.default not in (None, (), {}) and parameter.name != "host":
        assert parameter.read(parameter.default) == parameter.default


@pytest.mark.parametrize(
    ("name", "alias"),
    [
        ("phone_format", "PhoneFormat"),
        ("quoting", "Quoting"),
        ("on_invalid", "OnInvalid"),
        ("duplicates", "Duplicates"),
        ("on_empty", "OnEmpty"),
    ],
)
def test_mypy_and_editors_know_the_choices(name: str, alias: str) -> None:
    assert get_args(getattr(rules, alias)) == tuple(rules.BY_NAME[name].choices)
    assert rules.ContactRules.__annotations__[name] == f"{alias} | None"
    assert inspect.signature(QueueCallsOperator).parameters[name].annotation == f"{alias} | str"


def test_mypy_and_editors_know_the_delimiters() -> None:
    assert set(get_args(rules.Delimiter)) <= set(rules.DELIMITERS)
    assert inspect.signature(QueueCallsOperator).parameters["delimiter"].annotation == "Delimiter | str"


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
        ("2026-11-25 15:00:00.123456", "'2026-11-25 15:00:00.123456'"),
        ("127.0.0.1", "'127.0.0.1'"),
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
