"""The rules, and the values of templates that they accept."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_queuecalls.contacts import PARAMETERS, ContactRules
from airflow_provider_queuecalls.exceptions import InvalidContactRules
from tests.unit.contacts.checking import ANN


def test_unset_values_are_the_defaults() -> None:
    names = [parameter.name for parameter in PARAMETERS if parameter.empty_is_unset]
    assert set(ContactRules.names()) - set(names) == {"calling_hours", "suppress", "suppress_max_age"}
    for unset in (None, "", " ", "None"):
        assert ContactRules(**dict.fromkeys(names, unset)) == ContactRules()


@pytest.mark.parametrize("empty", ["", " ", "None"])
@pytest.mark.parametrize("name", ["calling_hours", "suppress", "suppress_max_age"])
def test_what_protects_people_does_not_disappear_because_a_template_renders_to_nothing(name: str, empty: str) -> None:
    unset: dict[str, Any] = {name: None}
    rendered: dict[str, Any] = {name: empty}
    assert ContactRules(**unset) == ContactRules()
    with pytest.raises(InvalidContactRules, match=f"{name} is an empty text"):
        ContactRules(**rendered)


@pytest.mark.parametrize("value", ["\t", ",", " , ", "[]", "()", [], ()])
def test_a_value_without_a_path_does_not_switch_suppression_off(value: Any) -> None:
    with pytest.raises(InvalidContactRules, match="suppress contains no path"):
        ContactRules(suppress=value)


@pytest.mark.parametrize(
    ("name", "given", "kept"),
    [
        ("normalize", "True", True),
        ("normalize", "false", False),
        ("delimiter", "\t", "\t"),
        ("delimiter", "tab", "\t"),
        ("duplicates", " drop ", "drop"),
        ("suppress", "a.csv, b.csv", ("a.csv", "b.csv")),
        ("suppress", '["a,b.csv"]', ("a,b.csv",)),
        ("suppress", "['a.csv']", ("a.csv",)),
        ("suppress", Path("a.csv"), (Path("a.csv"),)),
        ("suppress", ["a.csv"], ("a.csv",)),
        ("suppress_max_age", 31, timedelta(days=31)),
        ("suppress_max_age", "31", timedelta(days=31)),
        ("suppress_max_age", "31 days", timedelta(days=31)),
        ("suppress_max_age", "12 hours", timedelta(hours=12)),
        ("suppress_max_age", str(timedelta(days=1, hours=2)), timedelta(days=1, hours=2)),
        ("suppress_max_age", timedelta(hours=1), timedelta(hours=1)),
    ],
)
def test_rendered_values_are_normalized(name: str, given: object, kept: object) -> None:
    rules: dict[str, Any] = {"suppress": "dnc.csv" if name == "suppress_max_age" else None, name: given}
    assert getattr(ContactRules(**rules), name) == kept


@pytest.mark.parametrize("given", [{"phone_number": "x"}, '{"phone_number": "x"}', "{'phone_number': 'x '}"])
def test_columns_are_a_mapping_or_the_text_of_one(given: Any) -> None:
    assert ContactRules(has_header=True, columns=given).columns == {"phone_number": "x"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("phone_format", "e164"),
        ("phone_format", 1),
        ("normalize", "yes please"),
        ("normalize", 2),
        ("delimiter", "::"),
        ("delimiter", "1"),
        ("quoting", True),
        ("max_rejects", True),
        ("max_rejects", 2.5),
        ("max_rejects", -1),
        ("max_rejects", "101%"),
        ("max_rejects", "many"),
        ("suppress", 5),
        ("suppress", [None]),
        ("suppress", b"a.csv"),
        ("suppress", "['a.csv'"),
        ("suppress_max_age", True),
        ("suppress_max_age", 0),
        ("suppress_max_age", -1),
        ("suppress_max_age", "a while"),
        ("columns", "phone"),
        ("columns", {"phone": "x"}),
        ("columns", {"phone_number": ""}),
        ("columns", {"phone_number": ANN}),
        ("columns", {"phone_number": "x", "call_parameter": "X"}),
        ("columns", {"message_reference": "phone_number"}),
        ("columns", {"call_parameter": "Message_Reference"}),
        ("columns", [1]),
    ],
)
def test_the_error_names_the_parameter_of_an_invalid_value(name: str, value: object) -> None:
    rules: dict[str, Any] = {"has_header": True, "on_invalid": "skip", name: value}
    with pytest.raises(InvalidContactRules) as raised:
        ContactRules(**rules)
    assert [violation.parameter for violation in raised.value.violations] == [name]


@pytest.mark.parametrize(("key", "shown"), [("phone", ": 'phone';"), (ANN, ";"), ("a b", ";"), (5, ";")])
def test_the_error_names_a_key_that_is_no_column_unless_it_may_be_personal(key: Any, shown: str) -> None:
    with pytest.raises(InvalidContactRules, match=f"is not a column of the service's file{shown}"):
        ContactRules(has_header=True, columns={key: "x"})


def test_all_invalid_values_are_reported_together() -> None:
    with pytest.raises(InvalidContactRules) as raised:
        ContactRules(phone_format="x", max_rejects=1.5, columns={"a": "b"}, duplicates="y")  # type: ignore[arg-type]
    assert {v.parameter for v in raised.value.violations} == {"phone_format", "max_rejects", "columns", "duplicates"}


def test_rules_without_effect_are_refused() -> None:
    with pytest.raises(InvalidContactRules) as raised:
        ContactRules(columns={"phone_number": "x"}, max_rejects=5, suppress_max_age=31)
    assert {v.parameter for v in raised.value.violations} == {"columns", "max_rejects", "suppress_max_age"}
