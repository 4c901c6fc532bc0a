"""Rows as a contact file: the check gets every value as it was given, or an error names its row and column."""

from __future__ import annotations

import errno
from collections import namedtuple
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_queuecalls.contacts import ContactRules, check
from airflow_provider_queuecalls.contacts.from_rows.writing import ROWS_AT_ONCE, write_contact_file
from airflow_provider_queuecalls.exceptions import CheckFailed, EmptyContacts, InvalidContacts, NotSent
from airflow_provider_queuecalls.stopping import StopRequest
from tests.unit.contacts.checking import contact_file, file_size_limit

ANN, BOB, CAY = "16175550143", "16175550178", "12025550119"
BY_NAME = ContactRules(has_header=True, columns={"phone_number": "mobile", "call_parameter": "Spoken"})


class Named(Enum):
    ANN = ANN


def problem(rows: Any, **more: Any) -> str:
    with pytest.raises(InvalidContacts) as caught:
        contact_file(rows, **more)
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    return str(caught.value)


def checked(rows: Any, **rules: Any) -> Any:
    """The report of a check of rows, and what would be sent."""
    asked = ContactRules(**{"on_invalid": "skip", "phone_format": "vendor", **rules})
    with (
        write_contact_file(rows, asked, "the test", log=print, stop=StopRequest()) as path,
        check(path, asked.for_rows()) as found,
    ):
        return found.report, found.upload.file.read().decode()


def test_rows_are_written_in_their_order_one_line_each() -> None:
    count = 2 * ROWS_AT_ONCE + 1
    rows = ((16172000000 + number, f"ref-{number}") for number in range(count))
    assert contact_file(rows) == "".join(f"{16172000000 + number},ref-{number}\n" for number in range(count))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (16175550143, ANN),
        ("0016175550143", "0016175550143"),
        (Decimal("16175550143"), ANN),
        (Decimal("1.6175550143E+10"), ANN),
        (Decimal("12.50"), "12.50"),
        (None, ""),
        ("None", "None"),
        (" é ", " é "),
        (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
    ],
)
def test_a_value_is_written_unchanged(value: Any, text: str) -> None:
    assert contact_file([("x", value)]) == f"x,{text}\n"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (16175550143.0, "is a float"),
        (float("nan"), "is a float"),
        (True, "is a bool"),
        (b"16175550143", "is a bytes"),
        (bytearray(b"16175550143"), "is a bytearray"),
        (Decimal("NaN"), "is a Decimal that is not a usable number"),
        (Decimal("1E+999999"), "is a Decimal that is not a usable number"),
        pytest.param(10**5000, "Exceeds the limit", id="huge"),
        (Fraction(16175550143), "is a Fraction"),
        (1 + 0j, "is a complex"),
        (date(2026, 1, 1), "is a date"),
        (Named.ANN, "is a Named"),
        ([ANN], "is a list"),
        ({ANN: ANN}, "is a dict"),
    ],
)
@pytest.mark.parametrize("column", ["phone_number", "message_reference", "call_parameter"])
def test_a_value_without_an_exact_text_is_reported_by_row_and_column_and_not_shown(
    value: Any, words: str, column: str
) -> None:
    valid = dict.fromkeys(("phone_number", "message_reference", "call_parameter"), "x")
    message = problem([valid, {**valid, column: value}])
    assert f"Row 2 of the test: {column} {words}" in message
    assert "Nothing was sent" in message
    assert "5550143" not in message


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        (ANN, "a string of 11 characters"),
        (16175550143, "an int"),
        (None, "None"),
        ({ANN}, "a set of 1"),
        (b"x", "a bytes of 1"),
        ((cell for cell in (ANN,)), "a generator"),
    ],
)
def test_a_value_that_is_not_a_row_is_an_error(row: Any, kind: str) -> None:
    message = problem([(ANN,), row])
    assert f"Row 2 of the test is {kind}." in message
    assert "5550143" not in message


def test_mappings_and_named_tuples_are_read_by_name_in_any_order_and_case() -> None:
    named = namedtuple("named", "spoken other MOBILE")
    rows = [
        {"mobile": ANN, "message_reference": "ref", "spoken": "lang=en", "age": 44},
        {"age": 45.5, "SPOKEN ": "lang=de", "Mobile": BOB},
        named("lang=fr", b"", CAY),
    ]
    assert contact_file(rows, BY_NAME) == f"{ANN},ref,lang=en\n{BOB},,lang=de\n{CAY},,lang=fr\n"


def test_names_define_the_columns_of_all_rows() -> None:
    names = ["CALL_PARAMETER", "id", "phone_number"]
    assert contact_file([("par", 1.5, ANN), ["par", 2, BOB]], names=names) == f"{ANN},,par\n{BOB},,par\n"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (
            {"phone": ANN},
            "Row 1 of the test has no column 'phone_number' for phone_number (is 'phone' meant?); it has 'phone'.",
        ),
        ({"phone_number": ANN, "Phone_Number": BOB}, "has 2 columns for phone_number"),
        ({}, "it has no columns at all"),
        ({ANN: "ref", "Ann Lee": 1}, "it has 2 more that are not shown."),
        ({16175550143: "ref"}, "it has 1 more that is not shown."),
    ],
)
def test_a_mapping_without_a_number_is_an_error_that_shows_names_only(row: Any, words: str) -> None:
    message = problem([row])
    assert words in message
    assert "columns={" in message
    assert ANN not in message


def test_a_column_that_the_rules_name_is_required() -> None:
    assert "has no column 'Spoken' for call_parameter" in problem([{"mobile": ANN}], rules=BY_NAME)


def test_the_line_numbers_of_a_report_are_the_numbers_of_the_rows() -> None:
    rows = [
        (ANN, 'say "hi"', "a, b"),
        (None,),
        ("  ", None, None),
        (BOB, "two\nlines"),
        (BOB, "two\rlines"),
        (BOB, "\ud800"),
        ("nobody", "ref"),
        (),
        (BOB, "a", "b", "c"),
        (CAY,),
    ]
    report, sent = checked(rows, quoting="allow")
    assert [tuple(example) for example in report.examples] == [
        (2, "no_number"),
        (3, "no_number"),
        (4, "control_character"),
        (5, "control_character"),
        (6, "not_utf8"),
        (7, "invalid_number"),
        (8, "no_number"),
        (9, "too_many_cells"),
    ]
    assert report.lines == len(rows)
    assert sent == f'{ANN},"say ""hi""","a, b"\n{CAY}\n'


@pytest.mark.parametrize("cell", ['say "hi"', "a, b", '"'])
def test_a_cell_that_needs_quotes_is_rejected_unless_the_rules_allow_quotes(cell: str) -> None:
    report, sent = checked([(ANN, cell), (BOB,)])
    assert report.reasons == {"quoted_cell": 1}
    assert sent == f"{BOB}\n"


def test_a_byte_order_mark_in_the_first_cell_is_part_of_it() -> None:
    report, _ = checked([(f"\ufeff{ANN}",), (BOB,)])
    assert report.reasons == {"invalid_number": 1}


def test_a_row_of_names_is_rejected_as_a_header() -> None:
    report, _ = checked([("phone_number", "message_reference"), (ANN, "ref")])
    assert report.reasons == {"header": 1}


cells = st.none() | st.text(max_size=5) | st.text('", \n\r\t\v\ufeff\u2028a1', max_size=6) | st.integers()


@settings(max_examples=60)
@given(st.lists(st.lists(cells, max_size=4)))
def test_every_row_becomes_one_line_and_only_given_rows_are_sent(rows: list[list[Any]]) -> None:
    rows = [*rows, [ANN, "last"]]
    report, sent = checked(rows, duplicates="keep", quoting="allow")
    assert report.lines == report.contacts == len(rows)
    assert report.valid + report.rejected == len(rows)
    texts = [["" if cell is None else str(cell) for cell in row] for row in rows]
    lines = [",".join('"' + t.replace('"', '""') + '"' if '"' in t or "," in t else t for t in row) for row in texts]
    left = iter(lines)
    assert all(line in left for line in sent.splitlines()), "rows are sent in their order, and nothing else is sent"


def test_an_error_that_the_rows_raise_is_not_changed() -> None:
    def rows() -> Iterator[Any]:
        yield (ANN,)
        raise OSError(errno.ENOSPC, "of the function's own")

    with pytest.raises(OSError, match="of the function's own"):
        contact_file(rows())


def test_a_stop_request_ends_the_writing() -> None:
    stop, taken = StopRequest(), []

    def rows() -> Iterator[Any]:
        for number in range(5 * ROWS_AT_ONCE):
            taken.append(number)
            if number == ROWS_AT_ONCE:
                stop.request()
            yield (ANN,)

    with (
        pytest.raises(NotSent, match="was stopped"),
        write_contact_file(rows(), ContactRules(), "the test", log=print, stop=stop),
    ):
        pytest.fail("a file was written")
    assert len(taken) <= 2 * ROWS_AT_ONCE


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system has no path for an open file")
def test_the_file_has_no_name_so_a_killed_process_leaves_nothing(workspace: Path) -> None:
    with write_contact_file([(ANN,)], ContactRules(), "the test", log=print, stop=StopRequest()) as path:
        assert list(workspace.iterdir()) == []
        assert Path(path).read_text() == f"{ANN}\n"
        with check(path) as found:
            assert found.upload.name == "contacts.csv"


def test_names_that_are_not_sent_are_logged_once() -> None:
    logged: list[str] = []
    rows = [{"phone_number": ANN, "age": 44}, {"phone_number": BOB, "age": 45, "Ann Lee": 1, ANN: 2}] * 3
    contact_file(rows, log=lambda text, *values: logged.append(text % values))
    assert logged[1:] == ["Columns of the test that are not sent: 'age', 2 more that are not shown"]


def test_a_full_disk_is_an_error_after_which_another_try_may_help() -> None:
    message = r"could not be written to a file: File too large. Make room in"
    with file_size_limit(1000), pytest.raises(CheckFailed, match=message):
        contact_file((ANN,) for _ in range(10_000))


def test_no_rows_are_an_empty_file() -> None:
    with pytest.raises(EmptyContacts):
        checked([], on_empty="skip")
    with pytest.raises(InvalidContacts, match=r"The contact file \(rows of the test\) is empty"):
        checked([])
