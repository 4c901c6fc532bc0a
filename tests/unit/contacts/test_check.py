"""The contact file: what is accepted, what is sent, what is said, and what is left behind."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import pickle
import platform
import resource
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_queuecalls.contacts import PARAMETERS, REASONS, ContactRules, Report, check, lines
from airflow_provider_queuecalls.contacts.results import SMALL_BYTES
from airflow_provider_queuecalls.contacts.results_in_duckdb import ResultsInDuckDB
from airflow_provider_queuecalls.contacts.results_in_memory import ResultsInMemory
from airflow_provider_queuecalls.exceptions import (
    CheckFailed,
    EmptyContacts,
    InvalidContactRules,
    InvalidContacts,
)
from airflow_provider_queuecalls.stopping import StopRequest

ANN, BOB, CAT = "16175551234", "16175551235", "19998886666"
NOT_A_NUMBER = "555-SECRET"

Contacts = Callable[[bytes | str], Path]


@pytest.fixture
def contacts(tmp_path: Path) -> Contacts:
    """Writes a contact file and returns its path."""

    def write(content: bytes | str) -> Path:
        path = tmp_path / "calls.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


@pytest.fixture(autouse=True)
def workspace(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary files go. Every test leaves it as empty as it was."""
    directory = tmp_path_factory.mktemp("workspace")
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    yield directory
    assert list(directory.iterdir()) == []


def sent(path: Path, **rules: Any) -> bytes:
    """What would be sent."""
    with check(path, ContactRules(**rules)) as checked:
        content = checked.upload.file.read()
        assert checked.upload.size == len(content)
        assert checked.upload.digest == checked.report.digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
        return content


def refused(path: Path, **rules: Any) -> InvalidContacts:
    """The error that says why nothing is sent."""
    with pytest.raises(InvalidContacts) as raised:
        check(path, ContactRules(**rules))
    return raised.value


def report(path: Path, **rules: Any) -> Report:
    """What the check finds, whether it passes or not."""
    try:
        with check(path, ContactRules(**rules)) as checked:
            return checked.report
    except InvalidContacts as error:
        found: Report = error.report
        return found


def reasons(path: Path, **rules: Any) -> dict[str, int]:
    """How many rows each reason left out."""
    return dict(report(path, **{"on_invalid": "skip", "duplicates": "drop", **rules}).reasons)


def rejected(path: Path, **rules: Any) -> list[list[str]]:
    """The rows of the rejects file, without its header line."""
    rejects = path.with_name("rejects.csv")
    with pytest.raises(InvalidContacts):
        check(path, ContactRules(**rules), rejects_path=rejects)
    with rejects.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))[1:]


@pytest.mark.usefixtures("results_kept")
class TestWhatIsSent:
    @pytest.mark.parametrize(
        "content", [f"{ANN}", f"{ANN},ref\n{BOB},,p\n", f"{ANN}\r\n{BOB}\r\n", f"{ANN}\r\n{BOB}\n"]
    )
    def test_a_clean_file_is_sent_as_it_is(self, contacts: Contacts, content: str) -> None:
        path = contacts(content)
        with check(path) as checked:
            assert os.fstat(checked.upload.file.fileno()).st_ino == path.stat().st_ino
            assert checked.upload.file.read() == content.encode()
        assert checked.upload.name == "calls.csv"

    def test_a_file_given_the_same_name_later_is_not_what_is_sent(self, contacts: Contacts, tmp_path: Path) -> None:
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
    def test_what_the_vendor_may_trip_over_is_cleaned(self, contacts: Contacts, content: str, expected: str) -> None:
        assert sent(contacts(content)) == expected.encode()

    def test_a_byte_order_mark_is_said(self, contacts: Contacts) -> None:
        found = report(contacts("\ufeff" + ANN))
        assert found.bom
        assert "byte-order mark" in found.summary()

    @pytest.mark.parametrize("others", ["", 'a "quoted" one\n'], ids=["tame", "with a line to look at closely"])
    def test_a_second_byte_order_mark_is_part_of_the_number(self, contacts: Contacts, others: str) -> None:
        found = report(contacts(f"\ufeff\ufeff{ANN}\n{BOB}\n{others}"), on_invalid="skip")
        assert (found.valid, found.first_lines["invalid_number"]) == (1, 1)

    def test_rows_left_out_are_not_sent(self, contacts: Contacts) -> None:
        path = contacts(f"{ANN},a\n{NOT_A_NUMBER}\n{ANN},b\r\n{BOB}\n")
        assert sent(path, on_invalid="skip", duplicates="drop") == f"{ANN},a\n{BOB}\n".encode()

    def test_numbers_are_normalized_on_request_and_counted(self, contacts: Contacts) -> None:
        spellings = ["(617) 555-1234", "617.555.1235", "+1 617 555 1236", "6175551237", " 16175551238 ", "16175551239"]
        path = contacts("".join(f"{spelling},r é\n" for spelling in spellings))
        assert sent(path, normalize=True) == "".join(f"1617555{n},r é\n" for n in range(1234, 1240)).encode()
        assert report(path, normalize=True).normalized == 5
        assert reasons(path) == {"invalid_number": 5}

    def test_an_international_number_is_normalized_in_the_vendors_format(self, contacts: Contacts) -> None:
        path = contacts("+44 20 7183 8750\n")
        assert sent(path, phone_format="vendor", normalize=True) == b"+442071838750\n"

    def test_columns_are_found_by_name_in_any_order(self, contacts: Contacts) -> None:
        path = contacts(f"name;Mobile;message_reference\nAnn;{ANN};r1\nBob;{BOB}\n")
        rules = {"has_header": True, "delimiter": ";", "columns": {"phone_number": "mobile"}}
        assert sent(path, **rules) == f"{ANN},r1\n{BOB},\n".encode()

    def test_a_column_that_is_absent_keeps_its_place(self, contacts: Contacts) -> None:
        path = contacts(f"call_parameter,phone_number\np,{ANN}\n")
        assert sent(path, has_header=True) == f"{ANN},,p\n".encode()

    def test_quotes_are_written_only_where_they_are_needed(self, contacts: Contacts) -> None:
        path = contacts(f'"{ANN}","r","a, ""b"""\n')
        assert sent(path, quoting="allow") == f'{ANN},r,"a, ""b"""\n'.encode()
        assert reasons(path) == {"quoted_cell": 1}

    def test_a_temporary_copy_has_no_name_while_it_is_sent(self, contacts: Contacts, workspace: Path) -> None:
        with check(contacts(f"{ANN}\n\n")) as checked:
            assert list(workspace.iterdir()) == []
            assert checked.upload.file.read() == f"{ANN}\n".encode()
        assert checked.upload.file.closed


@pytest.mark.usefixtures("results_kept")
class TestReasons:
    @pytest.mark.parametrize(
        ("row", "reason"),
        [
            (b"\xe9", "not_utf8"),
            (b"\xe9\x00", "not_utf8"),
            (b"16175551234,a\tb", "control_character"),
            (b"16175551234,\xc2\x85", "control_character"),
            (b"16175551234,\xe2\x80\xa8", "control_character"),
            (b'"16175551234"', "quoted_cell"),
            (b"16175551234,a,b,", "too_many_cells"),
            (b",".join([b"x"] * 300), "too_many_cells"),
            (b"phone_number,message_reference", "header"),
            ("телефон".encode(), "header"),
            (b",ref", "no_number"),
            (b" ,ref", "no_number"),
            (b"1.61756E+10", "spreadsheet_number"),
            (b"16175551234.0", "spreadsheet_number"),
            (ANN.translate({ord(digit): ord(digit) + 0xFEE0 for digit in "0123456789"}).encode(), "invalid_number"),
            ("١٦١٧٥٥٥١٢٣٤".encode(), "invalid_number"),
            ("16175551234\u200b".encode(), "invalid_number"),
            ("\u00a016175551234".encode(), "invalid_number"),
            (b" 16175551234", "invalid_number"),
            (b"16175551234 x12", "invalid_number"),
            (b"+16175551234", "invalid_number"),
            (b"=1+1", "invalid_number"),
            (b"6175551234", "invalid_number"),
            (b"16171551234", "invalid_number"),
            (b"16175551234," + b"r" * 129, "message_reference_too_long"),
            (b"16175551234," + "é".encode() * 65, "message_reference_too_long"),
            (b"16175551234,r," + b"p" * 256, "call_parameter_too_long"),
            (b"16175551234," + b"r" * 10_000_000, "message_reference_too_long"),
        ],
    )
    def test_a_bad_row_is_named(self, contacts: Contacts, row: bytes, reason: str) -> None:
        assert reasons(contacts(row + b"\n")) == {reason: 1}

    @pytest.mark.parametrize(
        "row", [b"r" * 128 + b"," + b"p" * 255, "é".encode() * 64, "\u200b\ufeff😀".encode(), b"=1"]
    )
    def test_a_cell_within_its_limit_is_good(self, contacts: Contacts, row: bytes) -> None:
        path = contacts(b"16175551234," + row)
        assert sent(path) == path.read_bytes()

    @pytest.mark.parametrize(
        "spelling",
        [
            "19998886666",
            "tel:12223456547",
            "tel:+16177123000",
            "+1234567890;ani=8001234567",
            "16175551234;postd=1234",
            "+442071838750",
        ],
    )
    def test_the_vendors_spellings_are_good_in_the_vendors_format(self, contacts: Contacts, spelling: str) -> None:
        path = contacts(f"{spelling},r\n")
        assert sent(path, phone_format="vendor") == path.read_bytes()

    @pytest.mark.parametrize("number", ["6175551234", "10175551234", "06175551234", "123456", "1234567890123456"])
    def test_a_number_that_calls_nobody_is_bad_in_the_vendors_format_too(self, contacts: Contacts, number: str) -> None:
        assert reasons(contacts(number), phone_format="vendor") == {"invalid_number": 1}

    def test_names_are_a_header_in_the_first_row_only(self, contacts: Contacts) -> None:
        assert reasons(contacts("\nphone\nphone\n")) == {"header": 1, "invalid_number": 1}

    def test_only_line_feeds_and_carriage_returns_end_a_line(self, contacts: Contacts) -> None:
        path = contacts(f"{ANN},a\u2028b\n{BOB},a\u0085b\n{CAT},\x0b\x0c\x1c\n")
        assert report(path).lines == 3

    def test_line_numbers_are_those_of_an_editor(self, contacts: Contacts) -> None:
        path = contacts(f"\ufeff{ANN}\r\n\n\r{BOB}\rx\r\r\ny")
        assert [example.line for example in report(path).examples] == [5, 7]

    def test_a_quoted_cell_over_several_lines_takes_all_of_them_out(self, contacts: Contacts) -> None:
        path = contacts(f'{ANN},"a\n{BOB}\n\nb"\n{CAT}\n')
        assert sent(path, quoting="allow", on_invalid="skip") == f"{CAT}\n".encode()
        assert reasons(path, quoting="allow") == {"control_character": 4}

    @pytest.mark.parametrize("row", ['16175551234,"Smith, Ann",9:30', '16175551234,","', '16175551234,"a ""b"""'])
    def test_a_quoted_cell_below_a_header_line_stays_whole(self, contacts: Contacts, row: str) -> None:
        path = contacts(f"phone_number,message_reference,call_parameter\n{row}\n{BOB},x\n")
        assert sent(path, has_header=True, quoting="allow") in (
            f"{row}\n{BOB},x,\n".encode(),
            f"{row},\n{BOB},x,\n".encode(),
        )

    def test_a_tab_within_a_cell_is_a_control_character_in_a_tab_delimited_file_too(self, contacts: Contacts) -> None:
        path = contacts(f'{ANN}\t"a\tb"\n{BOB}\tc\n')
        assert reasons(path, delimiter="tab", quoting="allow") == {"control_character": 1}
        assert sent(path, delimiter="tab", quoting="allow", on_invalid="skip") == f"{BOB},c\n".encode()

    def test_a_comma_in_a_cell_of_a_semicolon_file_needs_quotes(self, contacts: Contacts) -> None:
        path = contacts(f"{ANN};a,b\n")
        assert reasons(path, delimiter=";") == {"quoted_cell": 1}
        assert sent(path, delimiter=";", quoting="allow") == f'{ANN},"a,b"\n'.encode()

    @pytest.mark.parametrize(
        "spellings", [["16175551234", "tel:+16175551234"], ["+16175551234;ani=8001234567", "16175551234;postd=1"]]
    )
    def test_a_duplicate_is_the_same_number_in_any_spelling(self, contacts: Contacts, spellings: list[str]) -> None:
        path = contacts("\n".join(spellings))
        assert sent(path, phone_format="vendor", duplicates="drop") == spellings[0].encode() + b"\n"

    def test_ten_digits_repeat_the_eleven_they_are_normalized_to(self, contacts: Contacts) -> None:
        assert reasons(contacts(f"{ANN}\n{ANN[1:]}\n"), normalize=True) == {"duplicate": 1}

    def test_a_row_that_is_bad_itself_makes_no_other_a_duplicate(self, contacts: Contacts) -> None:
        path = contacts(f"{ANN},{'r' * 129}\n{ANN}\n")
        assert reasons(path) == {"message_reference_too_long": 1}

    def test_the_first_row_of_a_number_stays_across_blocks(self, contacts: Contacts) -> None:
        numbers = [f"1617555{n:04d},{'r' * 100}\n" for n in range(2000)]
        path = contacts("".join(numbers * 6))
        assert path.stat().st_size > lines.BLOCK_BYTES
        assert sent(path, duplicates="drop") == "".join(numbers).encode()

    def test_every_reason_says_what_to_do(self) -> None:
        assert list(REASONS) == [
            "not_utf8",
            "control_character",
            "quoted_cell",
            "too_many_cells",
            "header",
            "no_number",
            "spreadsheet_number",
            "invalid_number",
            "message_reference_too_long",
            "call_parameter_too_long",
            "suppressed",
            "duplicate",
        ]


@pytest.mark.usefixtures("results_kept")
class TestPolicies:
    def test_all_reasons_are_in_the_error(self, contacts: Contacts) -> None:
        error = refused(contacts(f"phone\n{ANN}\n{NOT_A_NUMBER}\n\n{ANN}\n"))
        for part in [
            "calls.csv",
            "2 of 4 rows",
            "header: 1 row, first in line 1",
            "invalid_number: 1 row, first in line 3",
            "line 5",
        ]:
            assert part in str(error)

    def test_no_value_of_the_file_is_in_an_error_or_a_report(self, contacts: Contacts) -> None:
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
    def test_max_rejects_is_a_count_or_a_share(
        self, contacts: Contacts, allowed: int | str | None, passes: bool
    ) -> None:
        path = contacts("\n".join(["x", "x", *(f"1617555{n:04d}" for n in range(8))]))
        if passes:
            assert sent(path, on_invalid="skip", max_rejects=allowed).count(b"\n") == 8
        else:
            assert "max_rejects" in str(refused(path, on_invalid="skip", max_rejects=allowed))

    def test_suppressed_rows_and_duplicates_are_no_rejects(self, contacts: Contacts, tmp_path: Path) -> None:
        listed = tmp_path / "listed.csv"
        listed.write_text(ANN)
        path = contacts(f"{ANN}\n{BOB}\n{BOB}\n")
        found = report(path, on_invalid="skip", max_rejects=0, duplicates="drop", suppress=[listed])
        assert (found.rejected, found.suppressed, found.duplicates, found.valid) == (0, 1, 1, 1)

    def test_duplicates_fail_unless_told_otherwise(self, contacts: Contacts) -> None:
        path = contacts(f"{ANN},1\n{ANN},2\n")
        assert "repeat a number" in str(refused(path, on_invalid="skip"))
        assert sent(path, duplicates="keep") == path.read_bytes()

    def test_nothing_left_to_call_is_a_failure(self, contacts: Contacts) -> None:
        assert "no row is left" in str(refused(contacts("x\n"), on_invalid="skip", on_empty="skip"))

    @pytest.mark.parametrize(
        ("content", "said"), [("", "is empty"), ("\n \r\n\t", "blank lines"), ("\ufeff", "is empty")]
    )
    def test_an_empty_list_is_a_failure_or_skipped(self, contacts: Contacts, content: str, said: str) -> None:
        path = contacts(content)
        error = refused(path)
        assert said in str(error)
        assert not isinstance(error, EmptyContacts)
        assert isinstance(refused(path, on_empty="skip"), EmptyContacts)

    def test_a_header_line_alone_is_an_empty_list(self, contacts: Contacts) -> None:
        path = contacts("phone_number\n")
        assert "only a header line" in str(refused(path, has_header=True))
        assert isinstance(refused(path, has_header=True, on_empty="skip"), EmptyContacts)

    @pytest.mark.parametrize(
        ("header", "rules", "said"),
        [
            ("number,name", {}, "no column 'phone_number'"),
            ("phone_number,PHONE_NUMBER ", {}, "2 columns for phone_number"),
            ("phone_number", {"columns": {"call_parameter": "amount"}}, "no column 'amount'"),
            ('"phone_number"', {}, "quotes out of place"),
            (f"{ANN},x", {}, "no column 'phone_number'"),
        ],
    )
    def test_a_header_line_must_name_each_column_once(
        self, contacts: Contacts, header: str, rules: dict[str, Any], said: str
    ) -> None:
        assert said in str(refused(contacts(f"\n{header}\n{BOB}\n"), has_header=True, **rules))


@pytest.mark.usefixtures("results_kept")
class TestDoNotCallLists:
    @pytest.fixture
    def listed(self, tmp_path: Path) -> Path:
        path = tmp_path / "listed.csv"
        path.write_text(f'number,"name, first"\n(617) 555-1234,"Ann, A."\n\ntel:+{CAT},x,y,z,\n')
        return path

    def test_a_listed_number_is_left_out_whatever_its_spelling(self, contacts: Contacts, listed: Path) -> None:
        path = contacts(f"+{ANN};postd=1,r\n{BOB},r\n{CAT},r\n")
        assert sent(path, phone_format="vendor", suppress=[listed]) == f"{BOB},r\n".encode()

    def test_several_lists_add_up(self, contacts: Contacts, listed: Path, tmp_path: Path) -> None:
        other = tmp_path / "other.csv"
        other.write_text(BOB)
        assert reasons(contacts(f"{ANN}\n{BOB}\n"), suppress=f"{listed}, {other}") == {"suppressed": 2}

    def test_a_list_that_is_missing_is_a_failure(self, contacts: Contacts, tmp_path: Path) -> None:
        error = refused(contacts(ANN), suppress=[tmp_path / "gone.csv"])
        assert error.report is None
        assert "suppression list" in str(error)

    @pytest.mark.parametrize(
        ("row", "reason"), [(NOT_A_NUMBER, "invalid_number"), (",Ann", "no_number"), ("1.6E+10", "spreadsheet_number")]
    )
    def test_a_list_with_a_row_that_cannot_be_understood_is_a_failure(
        self, contacts: Contacts, listed: Path, row: str, reason: str
    ) -> None:
        listed.write_text(f"{BOB}\n{row}\n")
        assert f"{reason}: 1, first in line 2" in str(refused(contacts(ANN), suppress=[listed], on_invalid="skip"))

    def test_a_list_with_the_numbers_in_another_column_is_a_failure(self, contacts: Contacts, listed: Path) -> None:
        listed.write_text(f"Ann,{ANN}\n")
        assert "invalid_number: 1, first in line 1" in str(refused(contacts(ANN), suppress=[listed]))

    def test_an_empty_list_is_a_failure_but_one_with_a_header_only_is_not(
        self, contacts: Contacts, listed: Path
    ) -> None:
        path = contacts(ANN)
        listed.write_text("")
        assert "failed export" in str(refused(path, suppress=[listed]))
        listed.write_text("phone_number\n")
        assert sent(path, suppress=[listed]) == path.read_bytes()

    def test_a_list_older_than_allowed_is_a_failure(self, contacts: Contacts, listed: Path) -> None:
        path = contacts(BOB)
        os.utime(listed, (time.time() - 32 * 86_400,) * 2)
        assert "32 days ago" in str(refused(path, suppress=[listed], suppress_max_age="31 days"))
        assert sent(path, suppress=[listed], suppress_max_age=33) == BOB.encode()


@pytest.mark.usefixtures("results_kept")
class TestRejectsFile:
    def test_it_has_line_reason_and_the_original_cells(self, contacts: Contacts) -> None:
        path = contacts(f"{ANN},a\n\n{NOT_A_NUMBER},b,c\n{ANN},d\n")
        assert rejected(path) == [["3", "invalid_number", NOT_A_NUMBER, "b", "c"], ["4", "duplicate", ANN, "d"]]

    def test_no_cell_is_a_formula(self, contacts: Contacts) -> None:
        path = contacts('=1+1,+2,-3\n@x,\t=y,"z\n')
        assert rejected(path) == [
            ["1", "invalid_number", "'=1+1", "'+2", "'-3"],
            ["2", "control_character", "'@x", "'\\x09=y", '"z'],
        ]

    def test_bytes_that_are_not_utf8_are_written_out(self, contacts: Contacts) -> None:
        assert rejected(contacts(b"M\xfcller\x00\n")) == [["1", "not_utf8", "M\\xfcller\\x00"]]

    def test_without_rejects_it_has_a_header_line_only(self, contacts: Contacts, tmp_path: Path) -> None:
        rejects = tmp_path / "rejects.csv"
        check(contacts(ANN), rejects_path=rejects).close()
        assert rejects.read_text() == "line,reason,phone_number,message_reference,call_parameter\n"

    def test_only_its_owner_can_read_it(self, contacts: Contacts, tmp_path: Path) -> None:
        rejects = tmp_path / "rejects.csv"
        check(contacts(ANN), rejects_path=rejects).close()
        assert stat.S_IMODE(rejects.stat().st_mode) == 0o600

    def test_it_never_takes_the_place_of_the_contact_file(self, contacts: Contacts) -> None:
        path = contacts(f"{ANN}\nx\n")
        with pytest.raises(InvalidContacts, match="another file"):
            check(path, rejects_path=path)
        assert path.read_text() == f"{ANN}\nx\n"

    def test_a_rejects_file_that_cannot_be_written_stops_everything(self, contacts: Contacts, tmp_path: Path) -> None:
        with pytest.raises(CheckFailed, match=r"rejects file .*No such file"):
            check(contacts(ANN), rejects_path=tmp_path / "gone" / "rejects.csv")

    def test_a_full_disk_leaves_no_half_of_it(self, contacts: Contacts, tmp_path: Path) -> None:
        path = contacts("\n".join([ANN, *("x" * 1000 for _ in range(200))]))
        with file_size_limit(100_000), pytest.raises(CheckFailed, match="Make room"):
            check(path, ContactRules(on_invalid="skip"), rejects_path=tmp_path / "rejects.csv")
        assert sorted(file.name for file in tmp_path.iterdir()) == ["calls.csv"]


@pytest.mark.usefixtures("results_kept")
class TestFilesThatAreNone:
    def test_a_missing_file_names_the_host(self, tmp_path: Path) -> None:
        error = refused(tmp_path / "gone.csv")
        assert error.report is None
        assert platform.node() in str(error)
        assert "only on the worker" in str(error)

    @pytest.mark.parametrize("path", ["", " ", "None", "nul\0byte"])
    def test_no_path_is_an_error(self, path: str) -> None:
        assert refused(Path(path) if path.strip("\0") != path else path).report is None  # type: ignore[arg-type]

    def test_a_directory_is_refused(self, tmp_path: Path) -> None:
        assert "is a directory" in str(refused(tmp_path))

    def test_a_pipe_is_refused_and_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        assert "is a pipe" in str(refused(tmp_path / "pipe"))

    def test_a_socket_is_refused(self, tmp_path: Path) -> None:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(os.path.relpath(tmp_path / "socket"))
            assert refused(tmp_path / "socket").report is None

    def test_a_file_that_may_not_be_read_is_refused(self, contacts: Contacts) -> None:
        path = contacts(ANN)
        path.chmod(0)
        with unprivileged():
            assert "Permission denied" in str(refused(path))

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (ANN.encode("utf-16"), "UTF-16"),
            (b"\xfe\xff" + ANN.encode("utf-16-be"), "UTF-16"),
            (b"PK\x03\x04xl/workbook.xml", "workbook"),
        ],
    )
    def test_a_file_that_is_no_text_says_what_it_is(self, contacts: Contacts, content: bytes, said: str) -> None:
        error = refused(contacts(content), on_invalid="skip")
        assert error.report is None
        assert said in str(error)

    def test_utf_16_without_a_mark_and_latin_1_are_rejected_by_row(self, contacts: Contacts) -> None:
        assert reasons(contacts(f"{ANN}\n".encode("utf-16-le"))) == {"control_character": 2}
        assert reasons(contacts(f"{ANN},Müller\n".encode("latin-1"))) == {"not_utf8": 1}


class TestWhileItRuns:
    @pytest.mark.usefixtures("results_kept")
    @pytest.mark.parametrize("change", [lambda path: path.open("a").write("x"), lambda path: os.truncate(path, 5)])
    def test_a_file_that_changes_is_not_sent(
        self, contacts: Contacts, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], object]
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
    def test_a_full_disk_is_said_and_leaves_nothing(self, contacts: Contacts) -> None:
        path = contacts("\n".join([*(f"1617555{n:04d},{'r' * 100}" for n in range(2000)), "x"]))
        with file_size_limit(100_000), pytest.raises(CheckFailed, match="needs room"):
            check(path, ContactRules(on_invalid="skip"))

    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    def test_line_numbers_hold_in_a_file_that_the_engine_reads_in_parts(self, contacts: Contacts, end: str) -> None:
        part = "".join(f"{ANN},{'r' * length}{end}" for length in range(100)) + f"x{end}{end}"
        path = contacts(part * 15_000)
        rejects = path.with_name("rejects.csv")
        check(path, ContactRules(on_invalid="skip", duplicates="keep"), rejects_path=rejects).close()
        with rejects.open() as file:
            assert [int(row["line"]) for row in csv.DictReader(file)] == list(range(101, 102 * 15_000, 102))

    def test_the_engine_draws_no_bar_of_its_own(self) -> None:
        with closing(ResultsInDuckDB(256, StopRequest(), print)) as results:
            assert results._value("SELECT current_setting('enable_progress_bar')") is False

    @pytest.mark.usefixtures("results_kept")
    def test_progress_goes_up_to_the_size_of_the_file(self, contacts: Contacts) -> None:
        seen: list[tuple[int, int]] = []
        path = contacts(f"{ANN},{'r' * 100}\n" * 30_000)
        with check(path, ContactRules(duplicates="keep"), progress=lambda *steps: seen.append(steps)):
            size = path.stat().st_size
        assert {total for _, total in seen} == {2 * size}
        assert seen == sorted(seen)
        assert len(seen) > 3
        assert seen[-1] == (2 * size, 2 * size)

    def test_a_line_of_a_gigabyte_is_rejected_in_bounded_memory(self, contacts: Contacts) -> None:
        path = contacts(f"{ANN},")
        os.truncate(path, 1 << 30)  # NULs that take no room on the disk
        program = (
            "import sys\n"
            "from airflow_provider_queuecalls.contacts import check\n"
            "try: check(sys.argv[1])\n"
            "except Exception as error: print(dict(error.report.reasons))\n"
            # Not getrusage: that counts this process's memory too, from before the program was loaded.
            "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))\n"
        )
        run = subprocess.run(
            [sys.executable, "-c", program, path], capture_output=True, text=True, check=True, cwd=os.getcwd()
        )
        found, kilobytes = run.stdout.splitlines()
        assert found == "{'control_character': 1}"
        assert int(kilobytes) < 400_000

    @pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files where Linux lists them")
    @pytest.mark.parametrize("content", [ANN, f"{ANN}\n\n", "x", ""], ids=["as it is", "cleaned", "rejected", "empty"])
    def test_no_file_stays_open(self, contacts: Contacts, content: str) -> None:
        path = contacts(content)
        report(path)  # what DuckDB opens once for all
        before = len(os.listdir("/proc/self/fd"))
        report(path)
        assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.usefixtures("results_kept")
class TestReport:
    def test_to_dict_is_what_the_command_line_prints(self, contacts: Contacts) -> None:
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

    def test_it_has_the_first_ten_examples(self, contacts: Contacts) -> None:
        assert [line for line, _ in report(contacts("x\n" * 30)).examples] == list(range(1, 11))

    def test_it_survives_pickling_with_its_error(self, contacts: Contacts) -> None:
        error = refused(contacts("x\n"))
        again = pickle.loads(pickle.dumps(error))
        assert (str(again), again.report) == (str(error), error.report)

    def test_its_summary_is_one_line(self, contacts: Contacts) -> None:
        found = report(contacts(f"{ANN}\nx\n\n"), on_invalid="skip")
        assert found.summary() == "2 contacts in 3 lines: 1 valid, 1 invalid_number, 1 blank line passed over."


class TestRules:
    def test_unset_values_are_the_defaults(self) -> None:
        names = [parameter.name for parameter in PARAMETERS]
        for unset in (None, "", " ", "None"):
            assert ContactRules(**dict.fromkeys(names, unset)) == ContactRules()

    @pytest.mark.parametrize(
        ("name", "given", "kept"),
        [
            ("normalize", "True", True),
            ("normalize", "false", False),
            ("delimiter", "\t", "\t"),
            ("delimiter", "tab", "\t"),
            ("duplicates", " drop ", "drop"),
            ("suppress", "a.csv, b.csv", ("a.csv", "b.csv")),
            ("suppress", '["a,b.csv"]', ("a,b.csv",)),
            ("suppress", "['a.csv']", ("a.csv",)),
            ("suppress", Path("a.csv"), (Path("a.csv"),)),
            ("suppress", [], ()),
            ("suppress_max_age", 31, timedelta(days=31)),
            ("suppress_max_age", "31", timedelta(days=31)),
            ("suppress_max_age", "31 days", timedelta(days=31)),
            ("suppress_max_age", "12 hours", timedelta(hours=12)),
            ("suppress_max_age", str(timedelta(days=1, hours=2)), timedelta(days=1, hours=2)),
            ("suppress_max_age", timedelta(hours=1), timedelta(hours=1)),
        ],
    )
    def test_what_templating_yields_is_read(self, name: str, given: object, kept: object) -> None:
        rules: dict[str, Any] = {name: given}
        assert getattr(ContactRules(**rules), name) == kept

    @pytest.mark.parametrize("given", [{"phone_number": "x"}, '{"phone_number": "x"}', "{'phone_number': 'x '}"])
    def test_columns_are_a_mapping_or_the_text_of_one(self, given: Any) -> None:
        assert ContactRules(has_header=True, columns=given).columns == {"phone_number": "x"}

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("phone_format", "e164"),
            ("phone_format", 1),
            ("normalize", "yes please"),
            ("normalize", 2),
            ("delimiter", "::"),
            ("delimiter", "1"),
            ("quoting", True),
            ("max_rejects", True),
            ("max_rejects", 2.5),
            ("max_rejects", -1),
            ("max_rejects", "101%"),
            ("max_rejects", "many"),
            ("suppress", 5),
            ("suppress", [None]),
            ("suppress", b"a.csv"),
            ("suppress", "['a.csv'"),
            ("suppress_max_age", True),
            ("suppress_max_age", 0),
            ("suppress_max_age", -1),
            ("suppress_max_age", "a while"),
            ("columns", "phone"),
            ("columns", {"phone": "x"}),
            ("columns", {"phone_number": ""}),
            ("columns", {"phone_number": ANN}),
            ("columns", {"phone_number": "x", "call_parameter": "X"}),
            ("columns", [1]),
        ],
    )
    def test_a_wrong_value_is_named_and_not_repeated(self, name: str, value: object) -> None:
        rules: dict[str, Any] = {"has_header": True, "on_invalid": "skip", name: value}
        with pytest.raises(InvalidContactRules) as raised:
            ContactRules(**rules)
        assert [violation.parameter for violation in raised.value.violations] == [name]

    def test_all_wrong_values_are_reported_together(self) -> None:
        with pytest.raises(InvalidContactRules) as raised:
            ContactRules(phone_format="x", max_rejects=1.5, columns={"a": "b"}, duplicates="y")  # type: ignore[arg-type]
        assert {v.parameter for v in raised.value.violations} == {
            "phone_format",
            "max_rejects",
            "columns",
            "duplicates",
        }

    def test_options_that_would_do_nothing_are_refused(self) -> None:
        with pytest.raises(InvalidContactRules) as raised:
            ContactRules(columns={"phone_number": "x"}, max_rejects=5)
        assert {v.parameter for v in raised.value.violations} == {"columns", "max_rejects"}


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


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Stands for a full disk: no file may grow beyond ``size`` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def unprivileged() -> Iterator[None]:
    """Be nobody for a while, where the tests run as root."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(user)
