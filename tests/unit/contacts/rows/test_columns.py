"""Finding the columns by their names, and names that are probably meant as those of the service's columns."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_queuecalls.contacts import ContactRules, check
from airflow_provider_queuecalls.contacts.rows.columns import find_columns, probably_meant
from airflow_provider_queuecalls.exceptions import InvalidContactRules, InvalidContacts

ANN = "16175550143"
WITH_HEADER = ContactRules(has_header=True)


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("call_parameters", "call_parameter"),
        ("Call-Parameter", "call_parameter"),
        ("callParameter", "call_parameter"),
        ("call_paramter", "call_parameter"),
        ("call_param", "call_parameter"),
        ("params", "call_parameter"),
        ("message_ref", "message_reference"),
        ("msg_reference", "message_reference"),
        ("messagereference", "message_reference"),
        ("Reference", "message_reference"),
        ("phone", "phone_number"),
        ("phone-number", "phone_number"),
        ("PhoneNumber", "phone_number"),
        ("phone_nubmer", "phone_number"),
        ("telephone number", "phone_number"),
        ("phone_no", "phone_number"),
        ("number", "phone_number"),
    ],
)
def test_a_similar_name_is_recognized(name: str, column: str) -> None:
    assert probably_meant(name) == column


@pytest.mark.parametrize(
    "name",
    [
        *("phone_number", " Call_Parameter ", "call", "message", "call_date", "call_status", "call_center", "customer"),
        *("mobile", "age", "parameter_count", "preference", "message_id", "house_number", "", "16175550143", "x" * 99),
    ],
)
def test_other_names_are_not_similar(name: str) -> None:
    assert probably_meant(name) is None


def test_a_similar_name_is_a_problem_only_if_the_column_is_missing_and_has_no_other_name() -> None:
    assert find_columns(["phone", "number", "phone_number"], WITH_HEADER) == (2,)
    assert find_columns(["phone_number", "call_parameters", "call_parameter"], WITH_HEADER)[2] == 2
    named = ContactRules(has_header=True, columns={"call_parameter": "call_parameters", "message_reference": "id"})
    assert find_columns(["phone_number", "call_parameters", "id", "reference"], named) == (0, 2, 1)


def test_a_column_that_is_none_in_the_rules_is_not_sent(tmp_path: Path) -> None:
    path = tmp_path / "calls.csv"
    path.write_text(f"phone_number,ref,call_parameter\n{ANN},x,y\n")
    for columns in ({"message_reference": None}, '{"message_reference": null}', "{'message_reference': None}"):
        with check(path, ContactRules(has_header=True, columns=columns)) as found:
            assert found.upload.file.read().decode() == f"{ANN},,y\n"
    with pytest.raises(InvalidContactRules, match="has no name for phone_number"):
        ContactRules(has_header=True, columns={"phone_number": None})


@pytest.mark.parametrize("name", ["call_parameters", "message_ref"])
def test_a_similar_name_in_a_header_line_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "calls.csv"
    path.write_text(f"phone_number,{name}\n{ANN},x\n")
    with pytest.raises(InvalidContacts, match=f"line 1, the header line, has '{name}', which is probably meant as"):
        check(path, WITH_HEADER)


def test_the_summary_names_columns_that_are_not_sent(tmp_path: Path) -> None:
    path = tmp_path / "calls.csv"
    path.write_text(f"age,phone_number,{ANN},Ann Lee,city\n44,{ANN},x,y,z\n")
    with check(path, WITH_HEADER) as found:
        summary = found.report.summary()
    assert summary.endswith(". Columns that are not sent: 'age', 'city', 2 more that are not shown.")
    path.write_text(f"phone_number\n{ANN}\n")
    with check(path, WITH_HEADER) as found:
        assert found.report.summary() == "1 contacts in 2 lines: 1 valid."
