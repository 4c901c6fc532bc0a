"""Suppression lists."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.unit.contacts.checking import ANN, BOB, CAT, NOT_A_NUMBER, Contacts, reasons, refused, sent

EVE = "442071838750"

pytestmark = pytest.mark.usefixtures("results_kept")


@pytest.fixture
def suppression_list(tmp_path: Path) -> Path:
    path = tmp_path / "suppression_list.csv"
    path.write_text(f'number,"name, first"\n"(617) 555-1234","Ann, A."\n\ntel:+{CAT},x,y,z,\n')
    return path


def test_a_suppressed_number_is_not_sent_in_any_spelling(contacts: Contacts, suppression_list: Path) -> None:
    path = contacts(f"+{ANN};postd=1,r\n{BOB},r\n{CAT},r\n")
    assert sent(path, phone_format="vendor", suppress=[suppression_list]) == f"{BOB},r\n".encode()


def test_several_lists_are_combined(contacts: Contacts, suppression_list: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text(BOB)
    assert reasons(contacts(f"{ANN}\n{BOB}\n"), suppress=f"{suppression_list}, {other}") == {"suppressed": 2}


def test_a_missing_list_fails(contacts: Contacts, tmp_path: Path) -> None:
    error = refused(contacts(ANN), suppress=[tmp_path / "gone.csv"])
    assert error.report is None
    assert "suppression list" in str(error)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (NOT_A_NUMBER, "invalid_number"),
        (",Ann", "no_number"),
        ("1.6E+10", "spreadsheet_number"),
        ('"617,5551234"', "invalid_number"),
        (f'{ANN},a"b', "quoted_cell"),
    ],
)
def test_a_list_with_a_row_that_cannot_be_parsed_fails(
    contacts: Contacts, suppression_list: Path, row: str, reason: str
) -> None:
    suppression_list.write_text(f"{BOB}\n{row}\n")
    message = str(refused(contacts(ANN), suppress=[suppression_list], on_invalid="skip"))
    assert f"{reason}: 1, first in line 2" in message
    assert "normalize" not in message  # a suppression list has no such rule
    assert "quoting=" not in message


def test_a_list_with_the_numbers_in_another_column_fails(contacts: Contacts, suppression_list: Path) -> None:
    suppression_list.write_text(f"Ann,{ANN}\n")
    assert "invalid_number: 1, first in line 1" in str(refused(contacts(ANN), suppress=[suppression_list]))


@pytest.mark.parametrize(
    "text",
    [
        f"1000001,{ANN}\n1000002,{BOB}\n",  # customer ids
        f"number,area_code\n{ANN[4:]},{ANN[1:4]}\n",
        f"{ANN[4:]}\n",  # a local number
        f"{ANN[1:10]}\n",  # a digit is missing
        f"tel:{EVE}\n",
    ],
)
def test_digits_that_are_not_a_north_american_number_fail_the_list(
    contacts: Contacts, suppression_list: Path, text: str
) -> None:
    suppression_list.write_text(text)
    path = contacts(f"{ANN}\n{BOB}\n")
    message = str(refused(path, suppress=[suppression_list]))
    assert "invalid_number" in message
    assert "digits without + must be a North American number, unless phone_format='vendor'" in message
    assert sent(path, phone_format="vendor", suppress=[suppression_list]) == path.read_bytes()


def test_a_number_of_another_country_has_its_plus_or_the_vendors_format(
    contacts: Contacts, suppression_list: Path
) -> None:
    path = contacts(f"+{EVE}\n{BOB}\n")
    for text in (f"+{EVE}\n", f"tel:+{EVE};ani=+16175550199\n", f"{EVE}\n"):
        suppression_list.write_text(text)
        assert sent(path, phone_format="vendor", suppress=[suppression_list]) == f"{BOB}\n".encode()
    for text in (f"+{EVE}\n", f"tel:+{EVE}\n", f"{BOB}\n{BOB[1:]}\n{BOB[1:4]},{BOB[4:]}\n"):
        suppression_list.write_text(text)
        assert sent(contacts(ANN), suppress=[suppression_list]) == ANN.encode()


def test_an_empty_list_fails_but_a_header_line_alone_passes(contacts: Contacts, suppression_list: Path) -> None:
    path = contacts(ANN)
    suppression_list.write_text("")
    assert "failed export" in str(refused(path, suppress=[suppression_list]))
    suppression_list.write_text("phone_number\n")
    assert sent(path, suppress=[suppression_list]) == path.read_bytes()


def test_a_list_older_than_suppress_max_age_fails(contacts: Contacts, suppression_list: Path) -> None:
    path = contacts(BOB)
    os.utime(suppression_list, (time.time() - 32 * 86_400,) * 2)
    assert "32 days ago" in str(refused(path, suppress=[suppression_list], suppress_max_age="31 days"))
    assert sent(path, suppress=[suppression_list], suppress_max_age=33) == BOB.encode()
