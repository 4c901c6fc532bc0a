"""The check as a whole: the modules it imports, its progress, and the files it leaves."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_queuecalls.contacts import ContactRules, check
from airflow_provider_queuecalls.contacts.row_results.in_duckdb import ResultsInDuckDB
from airflow_provider_queuecalls.contacts.row_results.in_memory import SMALL_BYTES, ResultsInMemory
from airflow_provider_queuecalls.exceptions import CheckFailed
from tests.support.command import newly_imported
from tests.unit.contacts.checking import ANN, BOB, Contacts, file_size_limit, report


@pytest.mark.usefixtures("results_kept")
@pytest.mark.parametrize("change", [lambda path: path.open("a").write("x"), lambda path: os.truncate(path, 5)])
def test_a_file_that_changes_is_not_sent(
    contacts: Contacts, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], object]
) -> None:
    path = contacts(f"{ANN}\n{BOB}\n")
    for kind in (ResultsInMemory, ResultsInDuckDB):

        def mark_late(self: Any, *, mark: Any = kind.mark_by_number, **options: bool) -> None:
            change(path)
            mark(self, **options)

        monkeypatch.setattr(kind, "mark_by_number", mark_late)
    with pytest.raises(CheckFailed, match="changed while it was being checked"):
        check(path)


@pytest.mark.usefixtures("results_kept")
def test_a_full_disk_is_reported_and_no_file_is_left(contacts: Contacts) -> None:
    path = contacts("\n".join([*(f"1617555{n:04d},{'r' * 100}" for n in range(2000)), "x"]))
    with file_size_limit(100_000), pytest.raises(CheckFailed, match="needs room"):
        check(path, ContactRules(on_invalid="skip"))


@pytest.mark.usefixtures("results_kept")
def test_progress_rises_to_its_total(contacts: Contacts) -> None:
    seen: list[tuple[int, int]] = []
    path = contacts(f"{ANN},{'r' * 100}\n" * 30_000)
    with check(path, ContactRules(duplicates="keep"), progress=lambda *steps: seen.append(steps)):
        size = path.stat().st_size
    assert {total for _, total in seen} == {2 * size}
    assert seen == sorted(seen)
    assert len(seen) > 3
    assert seen[-1] == (2 * size, 2 * size)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files where Linux lists them")
@pytest.mark.parametrize("content", [ANN, f"{ANN}\n\n", "x", ""], ids=["as it is", "cleaned", "rejected", "empty"])
def test_no_file_stays_open(contacts: Contacts, content: str) -> None:
    path = contacts(content)
    report(path)  # DuckDB opens some files once per process
    before = len(os.listdir("/proc/self/fd"))
    report(path)
    assert len(os.listdir("/proc/self/fd")) == before


def test_importing_loads_no_module_that_takes_long() -> None:
    modules = newly_imported("import airflow_provider_queuecalls.contacts.from_rows.writing")
    assert "airflow_provider_queuecalls.contacts" in modules
    assert modules.isdisjoint({"airflow", "difflib", "duckdb", "pandas"})


@pytest.mark.parametrize(
    ("contacts_size", "list_size", "loaded"),
    [(SMALL_BYTES, 0, False), (SMALL_BYTES + 1, 0, True), (100, SMALL_BYTES - 100, False), (100, SMALL_BYTES, True)],
)
def test_duckdb_is_loaded_for_large_files_only(
    contacts: Contacts, contacts_size: int, list_size: int, loaded: bool
) -> None:
    path = contacts(f"{ANN}\n".ljust(contacts_size, "x"))
    suppression_list = path.with_name("suppression_list.csv")
    row = f"{BOB},{'x' * 1000}\n"
    suppression_list.write_text((row * (list_size // len(row))).ljust(list_size, "\n"))
    program = (
        "import sys; from airflow_provider_queuecalls.contacts import ContactRules, check; "
        "check(sys.argv[1], ContactRules(on_invalid='skip', suppress=sys.argv[2:] or None)).close(); print('duckdb' in sys.modules)"
    )
    lists = [str(suppression_list)] if list_size else []
    run = subprocess.run([sys.executable, "-c", program, str(path), *lists], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == str(loaded)
