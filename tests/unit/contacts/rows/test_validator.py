"""Valid rows, and the one reason for which each invalid row is rejected."""

from __future__ import annotations

import pytest

from tests.unit.contacts.checking import ANN, BOB, CAT, Contacts, reasons, sent

pytestmark = pytest.mark.usefixtures("results_kept")


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
        (b"16175551234," + b"r" * 10_000_000, "line_too_long"),
        (b" " * 2_000_000, "line_too_long"),
    ],
)
def test_an_invalid_row_is_rejected_with_its_reason(contacts: Contacts, row: bytes, reason: str) -> None:
    assert reasons(contacts(row + b"\n")) == {reason: 1}


@pytest.mark.parametrize("row", [b"r" * 128 + b"," + b"p" * 255, "é".encode() * 64, "\u200b\ufeff😀".encode(), b"=1"])
def test_a_cell_within_its_limit_is_valid(contacts: Contacts, row: bytes) -> None:
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
def test_the_vendors_spellings_are_valid_in_the_vendors_format(contacts: Contacts, spelling: str) -> None:
    path = contacts(f"{spelling},r\n")
    assert sent(path, phone_format="vendor") == path.read_bytes()


@pytest.mark.parametrize("number", ["6175551234", "10175551234", "06175551234", "123456", "1234567890123456"])
def test_an_impossible_number_is_invalid_in_the_vendors_format_too(contacts: Contacts, number: str) -> None:
    assert reasons(contacts(number), phone_format="vendor") == {"invalid_number": 1}


def test_names_are_a_header_in_the_first_row_only(contacts: Contacts) -> None:
    assert reasons(contacts("\nphone\nphone\n")) == {"header": 1, "invalid_number": 1}


def test_a_quoted_cell_over_several_lines_rejects_all_of_them(contacts: Contacts) -> None:
    path = contacts(f'{ANN},"a\n{BOB}\n\nb"\n{CAT}\n')
    assert sent(path, quoting="allow", on_invalid="skip") == f"{CAT}\n".encode()
    assert reasons(path, quoting="allow") == {"control_character": 4}


@pytest.mark.parametrize("row", ['16175551234,"Smith, Ann",9:30', '16175551234,","', '16175551234,"a ""b"""'])
def test_a_quoted_cell_below_a_header_line_stays_whole(contacts: Contacts, row: str) -> None:
    path = contacts(f"phone_number,message_reference,call_parameter\n{row}\n{BOB},x\n")
    assert sent(path, has_header=True, quoting="allow") in (
        f"{row}\n{BOB},x,\n".encode(),
        f"{row},\n{BOB},x,\n".encode(),
    )


@pytest.mark.parametrize("end", ["", '"', '"",a"'], ids=["left open", "closed", "closed after an escaped quote"])
def test_a_line_that_is_too_long_may_open_a_cell_of_the_next_lines(contacts: Contacts, end: str) -> None:
    path = contacts(f'{ANN},"{"r" * 2_000_000}{end}\n{BOB}\n"\n{CAT}\n')
    assert sent(path, quoting="allow", on_invalid="skip") == f"{BOB if end else CAT}\n".encode()


def test_a_tab_within_a_cell_is_a_control_character_in_a_tab_delimited_file_too(contacts: Contacts) -> None:
    path = contacts(f'{ANN}\t"a\tb"\n{BOB}\tc\n')
    assert reasons(path, delimiter="tab", quoting="allow") == {"control_character": 1}
    assert sent(path, delimiter="tab", quoting="allow", on_invalid="skip") == f"{BOB},c\n".encode()


def test_a_comma_in_a_cell_of_a_semicolon_file_needs_quotes(contacts: Contacts) -> None:
    path = contacts(f"{ANN};a,b\n")
    assert reasons(path, delimiter=";") == {"quoted_cell": 1}
    assert sent(path, delimiter=";", quoting="allow") == f'{ANN},"a,b"\n'.encode()


@pytest.mark.parametrize(
    "spellings", [["16175551234", "tel:+16175551234"], ["+16175551234;ani=8001234567", "16175551234;postd=1"]]
)
def test_a_duplicate_is_the_same_number_in_any_spelling(contacts: Contacts, spellings: list[str]) -> None:
    path = contacts("\n".join(spellings))
    assert sent(path, phone_format="vendor", duplicates="drop") == spellings[0].encode() + b"\n"


def test_ten_digits_repeat_the_eleven_they_are_normalized_to(contacts: Contacts) -> None:
    assert reasons(contacts(f"{ANN}\n{ANN[1:]}\n"), normalize=True) == {"duplicate": 1}


def test_a_reject_does_not_make_a_later_row_a_duplicate(contacts: Contacts) -> None:
    path = contacts(f"{ANN},{'r' * 129}\n{ANN}\n")
    assert reasons(path) == {"message_reference_too_long": 1}
