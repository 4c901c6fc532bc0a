"""The report of a check, when a check fails and what its error says, and the probable cause of most rejects."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_queuecalls.cli import main
from airflow_provider_queuecalls.contacts import ContactRules, check
from airflow_provider_queuecalls.contacts.from_rows.writing import write_contact_file
from airflow_provider_queuecalls.exceptions import EmptyContacts, InvalidContacts
from airflow_provider_queuecalls.stopping import StopRequest
from tests.unit.contacts.checking import ANN, BOB, NOT_A_NUMBER, Contacts, refused, report, sent

pytestmark = pytest.mark.usefixtures("results_kept")


def test_to_dict_is_what_the_command_line_prints(contacts: Contacts) -> None:
    found = report(contacts(f"\ufeff{ANN}\n\nx\n{ANN}\n"))
    assert json.loads(json.dumps(found.to_dict())) == {
        "lines": 4,
        "blank": 1,
        "contacts": 3,
        "valid": 1,
        "rejected": 1,
        "reasons": {"invalid_number": 1, "duplicate": 1},
        "bom": True,
        "digest": None,
        "examples": [{"line": 3, "reason": "invalid_number"}, {"line": 4, "reason": "duplicate"}],
    }


def test_the_report_has_the_first_ten_rejects_as_examples(contacts: Contacts) -> None:
    assert [line for line, _ in report(contacts("x\n" * 30)).examples] == list(range(1, 11))


def test_an_error_is_pickled_with_its_report(contacts: Contacts) -> None:
    error = refused(contacts("x\n"))
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.report) == (str(error), error.report)


def test_the_summary_is_one_line(contacts: Contacts) -> None:
    found = report(contacts(f"{ANN}\nx\n\n"), on_invalid="skip")
    assert found.summary() == "2 contacts in 3 lines: 1 valid, 1 invalid_number, 1 blank line skipped."


# The policies.


def test_the_error_lists_all_reasons(contacts: Contacts) -> None:
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
    suppression_list = tmp_path / "suppression_list.csv"
    suppression_list.write_text(ANN)
    path = contacts(f"{ANN}\n{BOB}\n{BOB}\n")
    found = report(path, on_invalid="skip", max_rejects=0, duplicates="drop", suppress=[suppression_list])
    assert (found.rejected, found.suppressed, found.duplicates, found.valid) == (0, 1, 1, 1)


def test_duplicates_fail_by_default(contacts: Contacts) -> None:
    path = contacts(f"{ANN},1\n{ANN},2\n")
    assert "repeat a phone number" in str(refused(path, on_invalid="skip"))
    assert sent(path, duplicates="keep") == path.read_bytes()


def test_a_file_without_a_valid_row_fails(contacts: Contacts) -> None:
    assert "no valid row is left" in str(refused(contacts("x\n"), on_invalid="skip", on_empty="skip"))


@pytest.mark.parametrize(("content", "words"), [("", "is empty"), ("\n \r\n\t", "blank lines"), ("\ufeff", "is empty")])
def test_an_empty_file_fails_or_is_skipped(contacts: Contacts, content: str, words: str) -> None:
    path = contacts(content)
    error = refused(path)
    assert words in str(error)
    assert not isinstance(error, EmptyContacts)
    assert isinstance(refused(path, on_empty="skip"), EmptyContacts)


def test_a_header_line_alone_is_an_empty_file(contacts: Contacts) -> None:
    path = contacts("phone_number\n")
    assert "only a header line" in str(refused(path, has_header=True))
    assert isinstance(refused(path, has_header=True, on_empty="skip"), EmptyContacts)


@pytest.mark.parametrize(
    ("header", "rules", "words"),
    [
        ("number,name", {}, "no column 'phone_number'"),
        ("phone_number,PHONE_NUMBER ", {}, "2 columns for phone_number"),
        ("phone_number", {"columns": {"call_parameter": "amount"}}, "no column 'amount'"),
        ('"phone_number"', {}, "quotes out of place"),
        (f"{ANN},x", {}, "no column 'phone_number'"),
    ],
)
def test_a_header_line_must_name_each_column_once(
    contacts: Contacts, header: str, rules: dict[str, Any], words: str
) -> None:
    assert words in str(refused(contacts(f"\n{header}\n{BOB}\n"), has_header=True, **rules))


# The probable cause.

NUMBERS = [f"1617555{number:04}" for number in range(100, 130)]
ROWS = "".join(f"{number},ref\n" for number in NUMBERS)


def cause(tmp_path: Path, content: str | bytes, **rules: Any) -> str:
    """The sentences about the cause at the beginning of the error; empty if there are none."""
    path = tmp_path / "calls.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InvalidContacts) as caught:
        check(path, ContactRules(**rules))
    message = str(caught.value)
    assert not any(number in message for number in NUMBERS)
    first = message.partition("\n")[0]
    assert first.startswith(f"The contact file '{path}' did not pass the check")
    return first.partition(" did not pass the check. ")[2].rpartition(f"{caught.value.report.rejected} of ")[0].strip()


@pytest.mark.parametrize(
    ("content", "fact", "advice"),
    [
        (ROWS.replace(",", ";"), "its cells are separated by semicolons", "Set delimiter=';'."),
        (ROWS.replace(",", "\t"), "its cells are separated by tabs", "Set delimiter='\\t'."),
        (ROWS.replace(",", "|"), "its cells are separated by '|'", "Set delimiter='|'."),
        ("".join(f"id,{n}\n" for n in ["phone_number", *NUMBERS]), "its first row names the columns",
         "Set has_header=True."),
        ("".join(f'"{n}","a, b"\n' for n in NUMBERS), "its cells are quoted", "Set quoting='allow'."),
        ("".join(f"{n[1:]}\n" for n in NUMBERS), "its numbers lack the leading 1, or have spaces or punctuation",
         "Set normalize=True."),
        ("".join(f" {n} \n" for n in NUMBERS), "or have spaces", "Set normalize=True."),
        ("".join(f"+{n}\n" for n in NUMBERS), "or have spaces or punctuation", "Set normalize=True."),
        ("".join(f"+442071838{n[-3:]}\n" for n in NUMBERS), "those of other countries", "Set phone_format='vendor'."),
        ("Ref;Mobile\n" + "".join(f"x;{n[1:]}\n" for n in NUMBERS),
         "separated by semicolons and its first row names the columns and its numbers lack the leading 1",
         "Set delimiter=';' and has_header=True and normalize=True and columns={'message_reference': 'Ref', 'phone_number': 'Mobile'}."),
        ("Ref;Mobile No.\n" + "".join(f"x;{n}\n" for n in NUMBERS), "its first row names the columns",
         "Set delimiter=';' and has_header=True and columns={…}."),
        (ROWS.encode("utf-16-le"), "it is UTF-16, little-endian", "Write it as UTF-8"),
        (ROWS.encode("utf-16-be"), "it is UTF-16, big-endian", "Write it as UTF-8"),
        (ROWS.replace("ref", "Müller").encode("latin-1"), "it is Windows-1252 or Latin-1", "Write it as UTF-8"),
        (ROWS.replace("ref", "Müller").replace(",", ";").encode("latin-1"),
         "it is Windows-1252 or Latin-1 and its cells are separated by semicolons",
         "Write it as UTF-8 with at most one byte-order mark and set delimiter=';'."),
        (b"\xef\xbb\xbf" * 2 + f"{NUMBERS[0]}\n".encode(), "it begins with two byte-order marks", "Write it as UTF-8"),
    ],
)  # fmt: skip
def test_the_error_names_the_probable_cause_and_what_to_do(
    content: str | bytes, fact: str, advice: str, tmp_path: Path
) -> None:
    sentences = cause(tmp_path, content)
    assert fact in sentences
    assert sentences.startswith("Probable cause: ")
    assert advice in sentences


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([f"({n[1:4]}) {n[4:7]}-{n[7:]}" for n in NUMBERS], "Set normalize=True."),
        ([f"+442071838{n[-3:]}" for n in NUMBERS], "Set phone_format='vendor'."),
        ([f"{n};a" for n in NUMBERS], ""),
    ],
)
def test_the_advice_for_rows_is_a_setting_that_rows_can_have(numbers: list[str], expected: str) -> None:
    for rules in (ContactRules(), ContactRules(calling_hours="00:00-24:00", unknown_zone="strictest")):
        rows = [{"phone_number": number, "time_zone": "America/Denver"} for number in numbers]
        with (
            write_contact_file(rows, rules, "the rows", log=print, stop=StopRequest()) as path,
            pytest.raises(InvalidContacts) as caught,
        ):
            check(path, rules.for_rows())
        sentences = str(caught.value).partition("\n")[0]
        assert expected in sentences
        assert ("Set" in sentences) is bool(expected)


def test_the_advice_makes_the_file_valid(tmp_path: Path) -> None:
    sentences = cause(tmp_path, "Ref;Mobile\n" + "".join(f"x;{n[1:]}\n" for n in NUMBERS))
    settings = dict(eval(f"dict({sentences.partition('Set ')[2].rstrip('.').replace(' and ', ', ')})"))
    with check(tmp_path / "calls.csv", ContactRules(**settings)) as found:
        assert found.report.valid == len(NUMBERS)


@pytest.mark.parametrize(
    "content",
    ["nobody\n" * 30, ROWS + "nobody\n" * 100, ROWS + "nobody\n", "1.6E+10\n" * 30, "x" * 100_000, "\x00" * 100],
)
def test_the_error_names_no_cause_if_none_is_found(content: str, tmp_path: Path) -> None:
    assert not cause(tmp_path, content)


def test_the_command_prints_the_probable_cause(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "calls.csv"
    path.write_text(ROWS.replace(",", ";"))
    assert main(["check", str(path)]) == 1
    assert "Probable cause: its cells are separated by semicolons. Set delimiter=';'." in capsys.readouterr().err
