"""When a check fails, and what its error says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_queuecalls.exceptions import (
    EmptyContacts,
)
from tests.unit.contacts.checking import (
    ANN,
    BOB,
    NOT_A_NUMBER,
    Contacts,
    refused,
    report,
    sent,
)

pytestmark = pytest.mark.usefixtures("results_kept")


def test_all_reasons_are_in_the_error(contacts: Contacts) -> None:
    error = refused(contacts(f"phone\n{ANN}\n{NOT_A_NUMBER}\n\n{ANN}\n"))
    for part in [
        "calls.csv",
        "2 of 4 rows",
        "header: 1 row, first in line 1",
        "invalid_number: 1 row, first in line 3",
        "line 5",
    ]:
        assert part in str(error)


def test_no_value_of_the_file_is_in_an_error_or_a_report(contacts: Contacts) -> None:
    secret = "S3CR3T"
    path = contacts(f"{secret}\n{ANN},{secret},{secret},{secret}\n{ANN}{secret}\n{ANN}\n{ANN}\n\xff{secret}\x00\n")
    for rules in ({}, {"has_header": True}, {"duplicates": "keep"}, {"quoting": "allow"}):
        error = refused(path, **rules)
        shown = f"{error}{error!r}{error.report}{error.__cause__}{error.__context__}"
        assert secret not in shown
        assert ANN not in shown


@pytest.mark.parametrize(
    ("allowed", "passes"), [(0, False), (1, False), (2, True), ("20%", True), ("19.9 %", False), (None, True)]
)
def test_max_rejects_is_a_count_or_a_share(contacts: Contacts, allowed: int | str | None, passes: bool) -> None:
    path = contacts("\n".join(["x", "x", *(f"1617555{n:04d}" for n in range(8))]))
    if passes:
        assert sent(path, on_invalid="skip", max_rejects=allowed).count(b"\n") == 8
    else:
        assert "max_rejects" in str(refused(path, on_invalid="skip", max_rejects=allowed))


def test_suppressed_rows_and_duplicates_do_not_count_for_max_rejects(contacts: Contacts, tmp_path: Path) -> None:
    listed = tmp_path / "listed.csv"
    listed.write_text(ANN)
    path = contacts(f"{ANN}\n{BOB}\n{BOB}\n")
    found = report(path, on_invalid="skip", max_rejects=0, duplicates="drop", suppress=[listed])
    assert (found.rejected, found.suppressed, found.duplicates, found.valid) == (0, 1, 1, 1)


def test_duplicates_fail_by_default(contacts: Contacts) -> None:
    path = contacts(f"{ANN},1\n{ANN},2\n")
    assert "repeat a number" in str(refused(path, on_invalid="skip"))
    assert sent(path, duplicates="keep") == path.read_bytes()


def test_a_file_without_a_valid_row_fails(contacts: Contacts) -> None:
    assert "no row is left" in str(refused(contacts("x\n"), on_invalid="skip", on_empty="skip"))


@pytest.mark.parametrize(("content", "said"), [("", "is empty"), ("\n \r\n\t", "blank lines"), ("\ufeff", "is empty")])
def test_an_empty_file_fails_or_is_skipped(contacts: Contacts, content: str, said: str) -> None:
    path = contacts(content)
    error = refused(path)
    assert said in str(error)
    assert not isinstance(error, EmptyContacts)
    assert isinstance(refused(path, on_empty="skip"), EmptyContacts)


def test_a_header_line_alone_is_an_empty_file(contacts: Contacts) -> None:
    path = contacts("phone_number\n")
    assert "only a header line" in str(refused(path, has_header=True))
    assert isinstance(refused(path, has_header=True, on_empty="skip"), EmptyContacts)


@pytest.mark.parametrize(
    ("header", "rules", "said"),
    [
        ("number,name", {}, "no column 'phone_number'"),
        ("phone_number,PHONE_NUMBER ", {}, "2 columns for phone_number"),
        ("phone_number", {"columns": {"call_parameter": "amount"}}, "no column 'amount'"),
        ('"phone_number"', {}, "quotes out of place"),
        (f"{ANN},x", {}, "no column 'phone_number'"),
    ],
)
def test_a_header_line_must_name_each_column_once(
    contacts: Contacts, header: str, rules: dict[str, Any], said: str
) -> None:
    assert said in str(refused(contacts(f"\n{header}\n{BOB}\n"), has_header=True, **rules))
