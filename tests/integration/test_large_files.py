"""Contact files of many megabytes are checked right, and in bounded memory."""

from __future__ import annotations

import csv
import os
from contextlib import closing
from pathlib import Path

import pytest

from airflow_provider_queuecalls.contacts import ContactRules, check
from airflow_provider_queuecalls.contacts.row_results.base import CODES
from airflow_provider_queuecalls.contacts.row_results.in_duckdb import ResultsInDuckDB
from airflow_provider_queuecalls.stopping import StopRequest
from tests.support.memory import growth
from tests.unit.contacts.checking import ANN, codes_of

pytestmark = pytest.mark.long


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_numbers_are_right_in_a_file_that_duckdb_reads_in_parts(tmp_path: Path, end: str) -> None:
    part = "".join(f"{ANN},{'r' * length}{end}" for length in range(100)) + f"x{end}{end}"
    path, rejects = tmp_path / "calls.csv", tmp_path / "rejects.csv"
    path.write_text(part * 5_000, newline="")
    check(path, ContactRules(on_invalid="skip", duplicates="keep"), rejects_path=rejects).close()
    with rejects.open() as file:
        assert [int(row["line"]) for row in csv.DictReader(file)] == list(range(101, 102 * 5_000, 102))


def test_a_line_of_300_megabytes_is_rejected_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "calls.csv"
    path.write_text(f"{ANN},")
    os.truncate(path, 300 << 20)  # NULs that take no room on the disk
    program = (
        "import duckdb, sys\n"
        "from airflow_provider_queuecalls.contacts import check\n"
        "from airflow_provider_queuecalls.exceptions import InvalidContacts\n"
        "before = peak()\n"
        "try: check(sys.argv[1])\n"
        "except InvalidContacts as error: assert set(error.report.reasons) == {'line_too_long'}\n"
        "else: sys.exit('it was accepted')\n"
        "print('grown', peak() - before)"
    )
    assert growth(program, str(path)) < 200


@pytest.fixture(scope="module")
def suppressed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four million numbers, every other one of two area codes: 48 MB."""
    path = tmp_path_factory.mktemp("suppressed") / "suppressed.csv"
    path.write_text(
        "".join(f"1{617 + area}{2_000_000 + number}\n" for area in range(2) for number in range(0, 4_000_000, 2))
    )
    return path


@pytest.mark.parametrize("numbers", [range(1_000_000), range(100_000)], ids=["all different", "90 % duplicates"])
def test_memory_does_not_depend_on_the_size_of_the_files(tmp_path: Path, suppressed: Path, numbers: range) -> None:
    """DuckDB gets a fifth of its default memory here, and may not spill to the disk."""
    contacts = tmp_path / "calls.csv"
    rows = "".join(f"1617{2_000_000 + number},x\n" for number in numbers)
    contacts.write_text(rows * (1_000_000 // len(numbers)))
    with closing(ResultsInDuckDB(48, StopRequest(), lambda _: None)) as results:
        codes = codes_of(results, contacts, suppressed)
    assert codes.count(CODES["suppressed"]) == 500_000
    assert codes.count(CODES["valid"]) == len(numbers) // 2


def test_the_memory_of_a_split_does_not_depend_on_the_number_of_rows(tmp_path: Path) -> None:
    paths = [tmp_path / f"{rows}.csv" for rows in (150_000, 600_000)]
    for path in paths:
        path.write_text("".join(f"44{2_000_000_000 + row}\n" for row in range(int(path.stem))))
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from airflow_provider_queuecalls.client.multipart import Upload\n"
        "from airflow_provider_queuecalls.contacts import CheckedContacts, ContactRules\n"
        "from airflow_provider_queuecalls.contacts.split.parameters import Split\n"
        "from airflow_provider_queuecalls.contacts.split.parts import Files, write_parts\n"
        "from airflow_provider_queuecalls.stopping import StopRequest\n"
        "rules, peaks = ContactRules(phone_format='vendor'), []\n"
        "how = {'by': 'size', 'max_contacts': 200_000}\n"
        "for path in map(Path, sys.argv[2:]):\n"
        "    with open(path, 'rb') as file:\n"
        "        checked = CheckedContacts(None, Upload(file, path.name, path.stat().st_size))\n"
        "        split = Split.read({**how, 'folder': f'{sys.argv[1]}/{path.stem}'}, rules, 0)\n"
        "        given = {'campaign_name': 'x', 'sources': (), 'rules': rules, 'stop': StopRequest()}\n"
        "        parts = write_parts(checked, split, None, Files(), **given)\n"
        "    assert sum(part.contacts for part in parts) == int(path.stem)\n"
        "    peaks.append(peak())\n"
        "print('grown', peaks[1] - peaks[0])"
    )
    assert growth(program, str(tmp_path), *map(str, paths)) < 25
