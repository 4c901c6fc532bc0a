"""The results for large files."""

from __future__ import annotations

import random
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_queuecalls.contacts import ContactRules, check
from airflow_provider_queuecalls.contacts.row_results import in_duckdb, in_memory
from airflow_provider_queuecalls.contacts.row_results.base import CODES
from airflow_provider_queuecalls.contacts.row_results.in_duckdb import ResultsInDuckDB
from airflow_provider_queuecalls.contacts.row_results.in_memory import ResultsInMemory
from airflow_provider_queuecalls.contacts.rows.validator import RowValidator
from airflow_provider_queuecalls.exceptions import InvalidContacts
from airflow_provider_queuecalls.files.duckdb_session import Session
from airflow_provider_queuecalls.stopping import StopRequest
from tests.unit.contacts.checking import ANN, Contacts, codes_of


def test_duckdb_draws_no_progress_bar() -> None:
    with closing(Session(256, StopRequest())) as session:
        assert session.value("SELECT current_setting('enable_progress_bar')") is False


@pytest.mark.parametrize("look_for_duplicates", [True, False])
def test_comparing_the_numbers_in_parts_gives_the_same_results_as_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look_for_duplicates: bool
) -> None:
    numbers = [random.randrange(2_000_000, 2_003_000) for _ in range(6_000)]
    contacts, suppressed = tmp_path / "calls.csv", tmp_path / "suppressed.csv"
    contacts.write_text("".join(f"{'617' if number % 5 else '1617'}{number},x\n" for number in numbers))
    suppressed.write_text("".join(f"1617{random.choice(numbers)}\n" for _ in range(2_000)))
    options = {"look_for_duplicates": look_for_duplicates}
    expected = codes_of(ResultsInMemory(StopRequest(), print), contacts, suppressed, **options)
    assert set(expected) >= {CODES["valid"], CODES["normalized"], CODES["suppressed"]}
    assert (CODES["duplicate"] in expected) == look_for_duplicates
    monkeypatch.setattr(in_duckdb, "_BYTES_PER_CONTACT", (256 << 20) // 1_000)
    with closing(ResultsInDuckDB(256, StopRequest(), print)) as results:
        assert codes_of(results, contacts, suppressed, **options) == expected


@pytest.mark.usefixtures("results_kept")
@pytest.mark.parametrize("before", [" \t\n", "\n \t\n\n"])
def test_the_first_row_comes_after_blank_lines_that_duckdb_does_not_know(contacts: Contacts, before: str) -> None:
    with pytest.raises(InvalidContacts) as caught:
        check(contacts(f"{before}reference\n{ANN}\n"))
    assert caught.value.report is not None
    assert caught.value.report.reasons == {"header": 1}


@pytest.mark.parametrize(
    "row", ["{}", '"{}"', '"{}","Smith, Ann","x"', '{},"Ann","x"', '{},"Smith, Ann",x', '"1 (617) {}","Ann"']
)
def test_quoted_rows_are_not_checked_one_by_one(
    contacts: Contacts, mocker: Any, monkeypatch: pytest.MonkeyPatch, row: str
) -> None:
    monkeypatch.setattr(in_memory, "SMALL_BYTES", -1)
    prefix = "" if "617" in row else "1617"
    path = contacts("".join(row.format(f"{prefix}{number}") + "\n" for number in range(2_000_000, 2_001_000)))
    in_python = mocker.patch.object(RowValidator, "__call__", autospec=True, side_effect=RowValidator.__call__)
    with check(path, ContactRules(quoting="allow", normalize=True)) as checked:
        assert checked.report.valid == 1000
    assert in_python.call_count < 5
