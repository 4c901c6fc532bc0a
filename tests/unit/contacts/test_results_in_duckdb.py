"""The results for large files."""

from __future__ import annotations

import csv
import os
import random
from contextlib import closing
from pathlib import Path

import pytest

from airflow_provider_queuecalls.contacts import ContactRules, check, results_in_duckdb
from airflow_provider_queuecalls.contacts.duckdb_session import Session
from airflow_provider_queuecalls.contacts.files import open_source
from airflow_provider_queuecalls.contacts.results import CODES, Results, ResultsInMemory
from airflow_provider_queuecalls.contacts.results_in_duckdb import ResultsInDuckDB
from airflow_provider_queuecalls.contacts.rows import RowValidator
from airflow_provider_queuecalls.contacts.suppression import read_suppression_list
from airflow_provider_queuecalls.exceptions import InvalidContacts
from airflow_provider_queuecalls.stopping import StopRequest
from tests.support.memory import growth
from tests.unit.contacts.checking import ANN, Contacts


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_numbers_are_right_in_a_file_that_duckdb_reads_in_parts(contacts: Contacts, end: str) -> None:
    part = "".join(f"{ANN},{'r' * length}{end}" for length in range(100)) + f"x{end}{end}"
    path = contacts(part * 15_000)
    rejects = path.with_name("rejects.csv")
    check(path, ContactRules(on_invalid="skip", duplicates="keep"), rejects_path=rejects).close()
    with rejects.open() as file:
        assert [int(row["line"]) for row in csv.DictReader(file)] == list(range(101, 102 * 15_000, 102))


def test_duckdb_draws_no_progress_bar() -> None:
    with closing(Session(256, StopRequest())) as session:
        assert session.value("SELECT current_setting('enable_progress_bar')") is False


def test_a_line_of_a_gigabyte_is_rejected_in_bounded_memory(contacts: Contacts) -> None:
    path = contacts(f"{ANN},")
    os.truncate(path, 1 << 30)  # NULs that take no room on the disk
    program = (
        "import sys\n"
        "from airflow_provider_queuecalls.contacts import check\n"
        "try: check(sys.argv[1])\n"
        "except Exception as error: assert set(error.report.reasons) == {'line_too_long'}\n"
        "print('grown', peak())"
    )
    assert growth(program, str(path)) < 400


def codes_of(results: Results, contacts: Path, suppressed: Path, *, look_for_duplicates: bool = True) -> bytes:
    """The codes of all lines of a contact file."""
    source, suppression_list = (
        open_source(contacts, "The contact file"),
        open_source(suppressed, "The suppression list"),
    )
    with source.file, suppression_list.file:
        read_suppression_list(suppression_list, results)
        read = results.read_contacts(source, RowValidator(ContactRules(normalize=True)))
        results.mark_repeats(look_for_duplicates=look_for_duplicates)
        return bytes(results.codes(1, read.lines))


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
    monkeypatch.setattr(results_in_duckdb, "_BYTES_PER_CONTACT", (256 << 20) // 1_000)
    with closing(ResultsInDuckDB(256, StopRequest(), print)) as results:
        assert codes_of(results, contacts, suppressed, **options) == expected


@pytest.mark.parametrize("numbers", [range(1_000_000), range(100_000)], ids=["all different", "90 % duplicates"])
def test_memory_does_not_depend_on_the_size_of_the_files(tmp_path: Path, numbers: range) -> None:
    """DuckDB gets a fifth of its default memory here, and may not spill to the disk."""
    contacts, suppressed = tmp_path / "calls.csv", tmp_path / "suppressed.csv"
    rows = "".join(f"1617{2_000_000 + number},x\n" for number in numbers)
    contacts.write_text(rows * (1_000_000 // len(numbers)))
    suppressed.write_text(
        "".join(f"1{617 + area}{2_000_000 + number}\n" for area in range(2) for number in range(0, 4_000_000, 2))
    )
    with closing(ResultsInDuckDB(48, StopRequest(), lambda _: None)) as results:
        codes = codes_of(results, contacts, suppressed)
    assert codes.count(CODES["suppressed"]) == 500_000
    assert codes.count(CODES["valid"]) == len(numbers) // 2


@pytest.mark.usefixtures("results_kept")
@pytest.mark.parametrize("before", [" \t\n", "\n \t\n\n"])
def test_the_first_row_comes_after_blank_lines_that_duckdb_does_not_know(contacts: Contacts, before: str) -> None:
    with pytest.raises(InvalidContacts) as caught:
        check(contacts(f"{before}reference\n{ANN}\n"))
    assert caught.value.report is not None
    assert caught.value.report.reasons == {"header": 1}
