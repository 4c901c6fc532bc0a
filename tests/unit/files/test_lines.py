"""How a file is divided into lines, and how they are numbered."""

from __future__ import annotations

import pytest

from airflow_provider_queuecalls.files import lines
from tests.unit.contacts.checking import ANN, BOB, CAT, Contacts, report, sent

pytestmark = pytest.mark.usefixtures("results_kept")


def test_only_line_feeds_and_carriage_returns_end_a_line(contacts: Contacts) -> None:
    path = contacts(f"{ANN},a\u2028b\n{BOB},a\u0085b\n{CAT},\x0b\x0c\x1c\n")
    assert report(path).lines == 3


def test_line_numbers_are_those_of_an_editor(contacts: Contacts) -> None:
    path = contacts(f"\ufeff{ANN}\r\n\n\r{BOB}\rx\r\r\ny")
    assert [example.line for example in report(path).examples] == [5, 7]


def test_the_first_row_of_a_number_is_kept_across_blocks(contacts: Contacts) -> None:
    numbers = [f"1617555{n:04d},{'r' * 100}\n" for n in range(2000)]
    path = contacts("".join(numbers * 6))
    assert path.stat().st_size > lines.BLOCK_BYTES
    assert sent(path, duplicates="drop") == "".join(numbers).encode()
