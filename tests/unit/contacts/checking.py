"""Shared by the tests of the check: phone numbers, and functions that run a check and return one of its results."""

from __future__ import annotations

import csv
import hashlib
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_queuecalls.contacts import ContactRules, Report, check
from airflow_provider_queuecalls.contacts.from_rows.writing import write_contact_file
from airflow_provider_queuecalls.contacts.row_results.base import Results
from airflow_provider_queuecalls.contacts.rows.validator import RowValidator
from airflow_provider_queuecalls.contacts.suppression.lists import read_suppression_list
from airflow_provider_queuecalls.exceptions import InvalidContacts
from airflow_provider_queuecalls.files.reading import open_source
from airflow_provider_queuecalls.stopping import StopRequest

ANN, BOB, CAT = "16175551234", "16175551235", "19998886666"
NOT_A_NUMBER = "555-SECRET"
#: How many generated files a test tries that compares two ways to check them.
EXAMPLES = int(os.environ.get("AGREEMENT_EXAMPLES", "10"))
Contacts = Callable[[bytes | str], Path]


def sent(path: Path, **rules: Any) -> bytes:
    """The bytes that would be sent."""
    with check(path, ContactRules(**rules)) as checked:
        content = checked.upload.file.read()
        assert checked.upload.size == len(content)
        assert checked.upload.digest == checked.report.digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
        return content


def refused(path: Path, **rules: Any) -> InvalidContacts:
    """The error of a check that fails."""
    with pytest.raises(InvalidContacts) as raised:
        check(path, ContactRules(**rules))
    assert "was sent" not in str(raised.value), "a check does not know what is sent after it"
    return raised.value


def report(path: Path, **rules: Any) -> Report:
    """The report of a check, whether it passes or fails."""
    try:
        with check(path, ContactRules(**rules)) as checked:
            return checked.report
    except InvalidContacts as error:
        found: Report = error.report
        return found


def reasons(path: Path, **rules: Any) -> dict[str, int]:
    """The number of rows per reason."""
    return dict(report(path, **{"on_invalid": "skip", "duplicates": "drop", **rules}).reasons)


def rejected(path: Path, **rules: Any) -> list[list[str]]:
    """The rows of the rejects file, without its header line."""
    rejects = path.with_name("rejects.csv")
    with pytest.raises(InvalidContacts):
        check(path, ContactRules(**rules), rejects_path=rejects)
    with rejects.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))[1:]


def contact_file(rows: Any, rules: ContactRules | None = None, names: list[str] | None = None, log: Any = print) -> str:
    """The text of the contact file that rows are written to."""
    rules = rules or ContactRules()
    with write_contact_file(rows, rules, "the test", names=names, log=log, stop=StopRequest()) as path:
        return Path(path).read_text(encoding="utf-8", errors="surrogatepass")


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Simulate a full disk: no file can grow beyond ``size`` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def unprivileged() -> Iterator[None]:
    """Run as the user nobody if the tests run as root, who may read every file."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(user)


def codes_of(results: Results, contacts: Path, suppressed: Path, *, look_for_duplicates: bool = True) -> bytes:
    """The codes of all lines of a contact file."""
    source, suppression_list = (
        open_source(contacts, "The contact file"),
        open_source(suppressed, "The suppression list"),
    )
    with source.file, suppression_list.file:
        read_suppression_list(suppression_list, results, "nanp")
        read = results.read_contacts(source, RowValidator(ContactRules(normalize=True)))
        results.mark_by_number(look_for_duplicates=look_for_duplicates)
        return bytes(results.codes(1, read.lines))
