"""What is sent: the file as it is, or a cleaned copy."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from airflow_provider_queuecalls.contacts import check
from tests.unit.contacts.checking import (
    ANN,
    BOB,
    CAT,
    NOT_A_NUMBER,
    Contacts,
    reasons,
    report,
    sent,
)

pytestmark = pytest.mark.usefixtures("results_kept")


@pytest.mark.parametrize("content", [f"{ANN}", f"{ANN},ref\n{BOB},,p\n", f"{ANN}\r\n{BOB}\r\n", f"{ANN}\r\n{BOB}\n"])
def test_a_clean_file_is_sent_as_it_is(contacts: Contacts, content: str) -> None:
    path = contacts(content)
    with check(path) as checked:
        assert os.fstat(checked.upload.file.fileno()).st_ino == path.stat().st_ino
        assert checked.upload.file.read() == content.encode()
    assert checked.upload.name == "calls.csv"


def test_a_file_given_the_same_name_later_is_not_what_is_sent(contacts: Contacts, tmp_path: Path) -> None:
    path = contacts(f"{ANN}\n")
    other = tmp_path / "other.csv"
    other.write_text(f"{BOB}\n")
    with check(path) as checked:
        os.replace(other, path)
        assert checked.upload.file.read() == f"{ANN}\n".encode()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("\ufeff" + ANN + "\n", f"{ANN}\n"),
        (f"{ANN}\n\n \t\n{BOB}\n", f"{ANN}\n{BOB}\n"),
        (f"{ANN}\r{BOB}\r", f"{ANN}\n{BOB}\n"),
        (f"{ANN}\r\n{BOB}\r{CAT}", f"{ANN}\n{BOB}\n{CAT}\n"),
    ],
    ids=["byte-order mark", "blank lines", "CR only", "mixed"],
)
def test_line_ends_blank_lines_and_a_byte_order_mark_are_cleaned(
    contacts: Contacts, content: str, expected: str
) -> None:
    assert sent(contacts(content)) == expected.encode()


def test_a_byte_order_mark_is_reported(contacts: Contacts) -> None:
    found = report(contacts("\ufeff" + ANN))
    assert found.bom
    assert "byte-order mark" in found.summary()


@pytest.mark.parametrize("others", ["", 'a "quoted" one\n'], ids=["tame", "with a line to look at closely"])
def test_a_second_byte_order_mark_is_part_of_the_number(contacts: Contacts, others: str) -> None:
    found = report(contacts(f"\ufeff\ufeff{ANN}\n{BOB}\n{others}"), on_invalid="skip")
    assert (found.valid, found.first_lines["invalid_number"]) == (1, 1)


def test_rejects_are_not_sent(contacts: Contacts) -> None:
    path = contacts(f"{ANN},a\n{NOT_A_NUMBER}\n{ANN},b\r\n{BOB}\n")
    assert sent(path, on_invalid="skip", duplicates="drop") == f"{ANN},a\n{BOB}\n".encode()


def test_normalize_rewrites_numbers_and_counts_them(contacts: Contacts) -> None:
    spellings = ["(617) 555-1234", "617.555.1235", "+1 617 555 1236", "6175551237", " 16175551238 ", "16175551239"]
    path = contacts("".join(f"{spelling},r é\n" for spelling in spellings))
    assert sent(path, normalize=True) == "".join(f"1617555{n},r é\n" for n in range(1234, 1240)).encode()
    assert report(path, normalize=True).normalized == 5
    assert reasons(path) == {"invalid_number": 5}


def test_an_international_number_is_normalized_in_the_vendors_format(contacts: Contacts) -> None:
    path = contacts("+44 20 7183 8750\n")
    assert sent(path, phone_format="vendor", normalize=True) == b"+442071838750\n"


def test_columns_are_found_by_name_in_any_order(contacts: Contacts) -> None:
    path = contacts(f"name;Mobile;message_reference\nAnn;{ANN};r1\nBob;{BOB}\n")
    rules = {"has_header": True, "delimiter": ";", "columns": {"phone_number": "mobile"}}
    assert sent(path, **rules) == f"{ANN},r1\n{BOB},\n".encode()


def test_a_column_that_is_absent_keeps_its_place(contacts: Contacts) -> None:
    path = contacts(f"call_parameter,phone_number\np,{ANN}\n")
    assert sent(path, has_header=True) == f"{ANN},,p\n".encode()


def test_quotes_are_written_only_where_they_are_needed(contacts: Contacts) -> None:
    path = contacts(f'"{ANN}","r","a, ""b"""\n')
    assert sent(path, quoting="allow") == f'{ANN},r,"a, ""b"""\n'.encode()
    assert reasons(path) == {"quoted_cell": 1}


def test_a_temporary_copy_has_no_name_while_it_is_sent(contacts: Contacts, workspace: Path) -> None:
    with check(contacts(f"{ANN}\n\n")) as checked:
        assert list(workspace.iterdir()) == []
        assert checked.upload.file.read() == f"{ANN}\n".encode()
    assert checked.upload.file.closed
