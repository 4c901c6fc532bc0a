"""The check as a whole: what it loads, reports and leaves behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_queuecalls.contacts import ContactRules, check
from airflow_provider_queuecalls.contacts.results import SMALL_BYTES
from airflow_provider_queuecalls.contacts.results_in_duckdb import ResultsInDuckDB
from airflow_provider_queuecalls.contacts.results_in_memory import ResultsInMemory
from airflow_provider_queuecalls.exceptions import (
    CheckFailed,
)
from tests.unit.contacts.checking import (
    ANN,
    BOB,
    Contacts,
    file_size_limit,
    report,
)


@pytest.mark.usefixtures("results_kept")
@pytest.mark.parametrize("change", [lambda path: path.open("a").write("x"), lambda path: os.truncate(path, 5)])
def test_a_file_that_changes_is_not_sent(
    contacts: Contacts, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], object]
) -> None:
    path = contacts(f"{ANN}\n{BOB}\n")
    for kind in (ResultsInMemory, ResultsInDuckDB):

        def mark_late(self: Any, *, mark: Any = kind.mark_repeats, **options: bool) -> None:
            change(path)
            mark(self, **options)

        monkeypatch.setattr(kind, "mark_repeats", mark_late)
    with pytest.raises(CheckFailed, match="changed while it was being checked"):
        check(path)


@pytest.mark.usefixtures("results_kept")
def test_a_full_disk_is_reported_and_leaves_nothing(contacts: Contacts) -> None:
    path = contacts("\n".join([*(f"1617555{n:04d},{'r' * 100}" for n in range(2000)), "x"]))
    with file_size_limit(100_000), pytest.raises(CheckFailed, match="needs room"):
        check(path, ContactRules(on_invalid="skip"))


@pytest.mark.usefixtures("results_kept")
def test_progress_goes_up_to_its_total(contacts: Contacts) -> None:
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
    report(path)  # what DuckDB opens once for all
    before = len(os.listdir("/proc/self/fd"))
    report(path)
    assert len(os.listdir("/proc/self/fd")) == before


def test_importing_is_cheap() -> None:
    program = (
        "import sys, airflow_provider_queuecalls.contacts; print('duckdb' in sys.modules, 'airflow' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=os.getcwd())
    assert run.stdout.split() == ["False", "False"]


@pytest.mark.parametrize(
    ("contacts_size", "list_size", "loaded"),
    [(SMALL_BYTES, 0, False), (SMALL_BYTES + 1, 0, True), (100, SMALL_BYTES - 100, False), (100, SMALL_BYTES, True)],
)
def test_duckdb_is_loaded_for_large_files_only(
    contacts: Contacts, contacts_size: int, list_size: int, loaded: bool
) -> None:
    path = contacts(f"{ANN}\n".ljust(contacts_size))
    listed = path.with_name("listed.csv")
    listed.write_text(f"{BOB}\n".ljust(list_size))
    program = (
        "import sys; from airflow_provider_queuecalls.contacts import ContactRules, check; "
        "check(sys.argv[1], ContactRules(on_invalid='skip', suppress=sys.argv[2:])).close(); print('duckdb' in sys.modules)"
    )
    lists = [str(listed)] if list_size else []
    run = subprocess.run([sys.executable, "-c", program, str(path), *lists], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == str(loaded)
