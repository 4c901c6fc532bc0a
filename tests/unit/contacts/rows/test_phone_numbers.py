"""The number of a call result, in whatever spelling it is posted."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_queuecalls.contacts.rows.phone_numbers import NUMBER_POSTED, number_called, number_posted

NUMBER = 16175550100


@pytest.mark.parametrize(
    "text", ["16175550100", "6175550100", "+1 617 555 0100", "(617) 555-0100", "tel:+16175550100;ani=8001234567"]
)
def test_every_spelling_of_a_number_is_the_number_that_is_called(text: str) -> None:
    assert number_posted(text) == NUMBER == number_called("+16175550100", "vendor")


@pytest.mark.parametrize("text", ["+4512345678", "tel:+4512345678;ani=+16175550100", "+45 12 34 56 78"])
def test_ten_digits_with_a_plus_are_a_number_of_another_country(text: str) -> None:
    assert number_posted(text) == 4512345678 == number_called("+4512345678", "vendor")


@pytest.mark.parametrize("text", ["", "anybody", ";16175550100", "0", "1" * 16, "1" * 5000])
def test_a_text_that_is_not_a_number_has_none(text: str) -> None:
    assert number_posted(text) is None


@given(st.lists(st.text("0123456789+-(); \u0663", max_size=24) | st.text(max_size=5), min_size=1))
def test_duckdb_reads_the_same_number(texts: list[str]) -> None:
    rows = ", ".join(["(?)"] * len(texts))
    found = duckdb.execute(f"SELECT {NUMBER_POSTED} FROM (VALUES {rows}) AS given (phone_number)", texts).fetchall()
    assert [number for (number,) in found] == list(map(number_posted, texts))
