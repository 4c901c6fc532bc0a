"""The rejects file."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from airflow_provider_queuecalls.contacts import ContactRules, check
from airflow_provider_queuecalls.exceptions import (
    CheckFailed,
    InvalidContacts,
)
from tests.unit.contacts.checking import (
    ANN,
    NOT_A_NUMBER,
    Contacts,
    file_size_limit,
    rejected,
)

pytestmark = pytest.mark.usefixtures("results_kept")


def test_it_has_the_line_the_reason_and_the_original_cells(contacts: Contacts) -> None:
    path = contacts(f"{ANN},a\n\n{NOT_A_NUMBER},b,c\n{ANN},d\n")
    assert rejected(path) == [["3", "invalid_number", NOT_A_NUMBER, "b", "c"], ["4", "duplicate", ANN, "d"]]


def test_no_cell_is_a_formula(contacts: Contacts) -> None:
    path = contacts('=1+1,+2,-3\n@x,\t=y,"z\n')
    assert rejected(path) == [
        ["1", "invalid_number", "'=1+1", "'+2", "'-3"],
        ["2", "control_character", "'@x", "'\\x09=y", '"z'],
    ]


def test_bytes_that_are_not_utf8_are_written_out(contacts: Contacts) -> None:
    assert rejected(contacts(b"M\xfcller\x00\n")) == [["1", "not_utf8", "M\\xfcller\\x00"]]


def test_without_rejects_it_has_a_header_line_only(contacts: Contacts, tmp_path: Path) -> None:
    rejects = tmp_path / "rejects.csv"
    check(contacts(ANN), rejects_path=rejects).close()
    assert rejects.read_text() == "line,reason,phone_number,message_reference,call_parameter\n"


def test_only_its_owner_can_read_it(contacts: Contacts, tmp_path: Path) -> None:
    rejects = tmp_path / "rejects.csv"
    check(contacts(ANN), rejects_path=rejects).close()
    assert stat.S_IMODE(rejects.stat().st_mode) == 0o600


def test_it_never_replaces_the_contact_file(contacts: Contacts) -> None:
    path = contacts(f"{ANN}\nx\n")
    with pytest.raises(InvalidContacts, match="another file"):
        check(path, rejects_path=path)
    assert path.read_text() == f"{ANN}\nx\n"


def test_a_rejects_file_that_cannot_be_written_fails_the_check(contacts: Contacts, tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match=r"rejects file .*No such file"):
        check(contacts(ANN), rejects_path=tmp_path / "gone" / "rejects.csv")


def test_a_full_disk_leaves_no_partial_file(contacts: Contacts, tmp_path: Path) -> None:
    path = contacts("\n".join([ANN, *("x" * 1000 for _ in range(200))]))
    with file_size_limit(100_000), pytest.raises(CheckFailed, match="Make room"):
        check(path, ContactRules(on_invalid="skip"), rejects_path=tmp_path / "rejects.csv")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["calls.csv"]
