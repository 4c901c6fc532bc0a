"""The file that is sent, as it is or as a cleaned copy, and the rejects file."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_queuecalls.contacts import ContactRules, check
from airflow_provider_queuecalls.exceptions import CheckFailed, InvalidContacts
from tests.unit.contacts.checking import (
    ANN,
    BOB,
    CAT,
    NOT_A_NUMBER,
    Contacts,
    file_size_limit,
    reasons,
    rejected,
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


def test_a_file_that_gets_the_same_name_later_is_not_sent(contacts: Contacts, tmp_path: Path) -> None:
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


@pytest.mark.parametrize("others", ["", 'a "quoted" one\n'], ids=["duckdb_safe", "with a line that is not duckdb_safe"])
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


def test_a_missing_column_is_sent_as_an_empty_cell(contacts: Contacts) -> None:
    path = contacts(f"call_parameter,phone_number\np,{ANN}\n")
    assert sent(path, has_header=True) == f"{ANN},,p\n".encode()


def test_quotes_are_written_only_where_they_are_needed(contacts: Contacts) -> None:
    path = contacts(f'"{ANN}","r","a, ""b"""\n')
    assert sent(path, quoting="allow") == f'{ANN},r,"a, ""b"""\n'.encode()
    assert reasons(path) == {"quoted_cell": 1}


def test_the_cleaned_copy_has_no_name_in_the_temporary_directory(contacts: Contacts, workspace: Path) -> None:
    with check(contacts(f"{ANN}\n\n")) as checked:
        assert list(workspace.iterdir()) == []
        assert checked.upload.file.read() == f"{ANN}\n".encode()
    assert checked.upload.file.closed


# The rejects file.


def test_the_rejects_file_has_the_line_the_reason_and_the_original_cells(contacts: Contacts) -> None:
    path = contacts(f"{ANN},a\n\n{NOT_A_NUMBER},b,c\n{ANN},d\n")
    assert rejected(path) == [["3", "invalid_number", NOT_A_NUMBER, "b", "c"], ["4", "duplicate", ANN, "d"]]


@pytest.mark.parametrize("valid", [0, 998, 2_001])
def test_each_of_many_rejects_has_the_number_of_its_line(contacts: Contacts, valid: int) -> None:
    rows = rejected(contacts("".join(f"1617{2_000_000 + n}\n" for n in range(valid)) + "617\n" * 3_001))

    assert rows == [[str(line), "invalid_number", "617"] for line in range(valid + 1, valid + 3_002)]


def test_no_cell_of_the_rejects_file_is_a_formula(contacts: Contacts) -> None:
    path = contacts('=1+1,+2,-3\n@x,\t=y,"z\n')
    assert rejected(path) == [
        ["1", "invalid_number", "'=1+1", "'+2", "'-3"],
        ["2", "control_character", "'@x", "'\\x09=y", '"z'],
    ]


def test_bytes_that_are_not_utf8_are_escaped(contacts: Contacts) -> None:
    assert rejected(contacts(b"M\xfcller\x00\n")) == [["1", "not_utf8", "M\\xfcller\\x00"]]


def test_the_rejects_file_has_only_a_header_line_if_there_are_no_rejects(contacts: Contacts, tmp_path: Path) -> None:
    rejects = tmp_path / "rejects.csv"
    check(contacts(ANN), rejects_path=rejects).close()
    assert rejects.read_text() == "line,reason,phone_number,message_reference,call_parameter\n"


def test_only_its_owner_can_read_the_rejects_file(contacts: Contacts, tmp_path: Path) -> None:
    rejects = tmp_path / "rejects.csv"
    check(contacts(ANN), rejects_path=rejects).close()
    assert stat.S_IMODE(rejects.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "alias", [lambda path: path, lambda path: path.parent / "." / path.name, "symlink", os.path.relpath]
)
@pytest.mark.parametrize("replaced", ["contact file", "suppression list"])
def test_the_rejects_file_never_replaces_a_file_that_is_read(
    contacts: Contacts, tmp_path: Path, alias: Any, replaced: str
) -> None:
    path, suppression_list = contacts(f"{ANN}\nx\n"), tmp_path / "suppression_list.csv"
    suppression_list.write_text(f"{BOB}\n")
    target = path if replaced == "contact file" else suppression_list
    if alias == "symlink":
        rejects = tmp_path / "link.csv"
        rejects.symlink_to(target)
    else:
        rejects = alias(target)
    with pytest.raises(InvalidContacts, match=f"The {replaced} .* and rejects_path are the same file") as raised:
        check(path, ContactRules(on_invalid="skip", suppress=[suppression_list]), rejects_path=rejects)
    assert raised.value.report is None
    assert (path.read_text(), suppression_list.read_text()) == (f"{ANN}\nx\n", f"{BOB}\n")


def test_rejects_path_is_compared_before_any_file_is_opened(contacts: Contacts, mocker: Any) -> None:
    opened = mocker.spy(os, "open")
    path = contacts(ANN)
    with pytest.raises(InvalidContacts, match="same file"):
        check(path, rejects_path=path)
    assert path not in [call.args[0] for call in opened.call_args_list]


@pytest.mark.parametrize(
    ("rejects", "problem"),
    [
        ("gone/rejects.csv", r"No such file or directory\. Create its directory first\."),
        ("calls.csv/rejects.csv", "Not a directory"),
        (".", "Is a directory"),
    ],
)
def test_a_rejects_file_for_which_there_is_no_place_is_not_tried_again(
    contacts: Contacts, tmp_path: Path, rejects: str, problem: str
) -> None:
    with pytest.raises(InvalidContacts, match=f"The rejects file .* cannot be written: {problem}"):
        check(contacts(ANN), rejects_path=tmp_path / rejects)


def test_a_full_disk_leaves_no_partial_rejects_file(contacts: Contacts, tmp_path: Path) -> None:
    path = contacts("\n".join([ANN, *("x" * 1000 for _ in range(200))]))
    with file_size_limit(100_000), pytest.raises(CheckFailed, match="Make room"):
        check(path, ContactRules(on_invalid="skip"), rejects_path=tmp_path / "rejects.csv")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["calls.csv"]
