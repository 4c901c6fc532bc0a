"""The faster ways to a contact file: rows that are alike, and columns. Both give what row by row gives, also the error."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from airflow_provider_queuecalls.contacts.from_rows import tables, writing
from airflow_provider_queuecalls.contacts.from_rows.tables import Table, read_table
from airflow_provider_queuecalls.exceptions import InvalidContacts
from tests.unit.contacts.checking import EXAMPLES, contact_file

ANN, BOB = "16175550143", "16175550178"
NAMES = ["call_parameter", "score", "phone_number", "message_reference"]
TEXTS = st.text(max_size=5) | st.text('", \n\r\t\v\0\x1e\ufeff\u2028#a1é', max_size=6)
#: The values of a column, as Python, and as each library's type.
KINDS = {
    "text": (TEXTS, "string", "String"),
    "whole": (st.integers(-(2**63), 2**63 - 1), "int64", "Int64"),
    "unsigned": (st.integers(0, 2**64 - 1), "uint64", "UInt64"),
    "decimal": (st.integers(-(10**9), 10**9).map(lambda value: Decimal(value).scaleb(-2)), "decimal", "Decimal"),
    "uuid": (st.uuids(), "uuid", "Object"),
    "float": (st.floats(), "float64", "Float64"),
    "bool": (st.booleans(), "bool_", "Boolean"),
    "date": (st.dates(), "date32", "Date"),
}
many = settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))


class Row(tuple[Any, ...]):
    """A row that is not alike others, since it is not a tuple itself."""


def outcome(rows: Any, **more: Any) -> str:
    """The contact file, or the error."""
    try:
        return contact_file(rows, **more)
    except InvalidContacts as error:
        return str(error)


cells = (
    st.none()
    | TEXTS
    | st.integers()
    | st.decimals()
    | st.floats()
    | st.booleans()
    | st.dates()
    | st.uuids()
    | st.binary(max_size=2)
)


@many
@given(st.lists(st.lists(cells, min_size=1, max_size=4), max_size=6), st.integers(1, 4))
@example([["\ufeff" + ANN]], 1)
@example([[" "], [None], [ANN]], 1)
@example([["\ud800", "a,b", "\r"]], 3)
@example([[10**5000]], 1)
def test_rows_that_are_alike_give_the_same_lines_or_error(rows: list[list[Any]], width: int) -> None:
    for given_rows in (rows, [(row * width)[:width] for row in rows]):
        assert outcome(map(tuple, given_rows)) == outcome(map(Row, given_rows))


@pytest.mark.parametrize(
    ("row", "names"),
    [
        ((ANN, "a,b", 5), None),
        ([ANN, None], None),
        ({"message_reference": "a", "phone_number": 16175550143}, None),
        ((1, ANN), ["x", "phone_number"]),
    ],
)
def test_rows_that_are_alike_are_not_written_one_by_one(row: Any, names: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = outcome([row], names=names)
    assert ANN in expected
    monkeypatch.setattr(writing._Lines, "of", lambda *_: pytest.fail("one by one"))
    assert outcome([row] * 3, names=names) == expected * 3


# Columns.


def in_each_library(columns: dict[str, tuple[str, list[Any]]]) -> Iterator[Any]:
    """Columns of these kinds and values as a DataFrame or table of each library that has such values."""
    pandas, polars, pyarrow = (importlib.import_module(name) for name in ("pandas", "polars", "pyarrow"))

    def arrow(kind: str, values: list[Any]) -> Any:
        name = KINDS[kind][1]
        if name == "uuid":
            return pyarrow.array([value and value.bytes for value in values], pyarrow.uuid())
        return pyarrow.array(values, pyarrow.decimal128(11, 2) if name == "decimal" else getattr(pyarrow, name)())

    table = pyarrow.table({name: arrow(*column) for name, column in columns.items()})
    yield table
    yield table.to_reader(2)
    yield pandas.DataFrame({name: pandas.Series(values, dtype=object) for name, (_, values) in columns.items()})
    dtypes = {kind: getattr(polars, name) for kind, (_, _, name) in KINDS.items()} | {"decimal": polars.Decimal(11, 2)}
    yield polars.DataFrame(
        {name: polars.Series(values, dtype=dtypes[kind]) for name, (kind, values) in columns.items()}
    )


@st.composite
def columns(draw: Any, kinds: tuple[str, ...] = tuple(KINDS)) -> dict[str, tuple[str, list[Any]]]:
    count = draw(st.integers(0, 5))
    drawn = {
        name: draw(st.sampled_from(kinds))
        for name in draw(st.permutations(NAMES))
        if name == "phone_number" or draw(st.booleans())
    }
    return {
        name: (kind, draw(st.lists(st.none() | KINDS[kind][0], min_size=count, max_size=count)))
        for name, kind in drawn.items()
    }


@many
@given(columns())
@example({"phone_number": ("text", ["\ufeff" + ANN, BOB])})
@example({"phone_number": ("text", [" ", None, "", "\r", '",\n', "\0\x1e#"])})
def test_columns_give_the_same_lines_or_error_as_rows(given_columns: dict[str, tuple[str, list[Any]]]) -> None:
    rows = [Row(row) for row in zip(*(values for _, values in given_columns.values()), strict=True)]
    with pytest.MonkeyPatch.context() as patch:
        for least in (0, 1 << 40):
            patch.setattr(tables, "LEAST_ROWS", least)
            for value in in_each_library(given_columns):
                # NaN is a missing value in pandas only.
                is_nan = any(kind == "float" and "nan" in map(str, values) for kind, values in given_columns.values())
                if not (is_nan and hasattr(value, "iloc")):
                    assert outcome(read_table(value)) == outcome(rows, names=list(given_columns)), type(value)


def without_rows(table: Table) -> Table:
    """The same table, without its rows as Python values."""
    return Table(table.names, (replace(block, rows=lambda: pytest.fail("rows are read")) for block in table.blocks))


def test_columns_of_exact_types_are_not_read_as_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "LEAST_ROWS", 0)
    monkeypatch.setattr(tables, "BLOCK_ROWS", 3)
    count = 10
    given_columns: dict[str, tuple[str, list[Any]]] = {
        "score": ("float", [0.5] * count),
        "message_reference": ("text", [f"é {number}" for number in range(count - 1)] + [None]),
        "phone_number": ("whole", [16172000000 + number for number in range(count)]),
    }
    expected = [f"{16172000000 + number},é {number}" for number in range(count - 1)] + [f"{16172000000 + count - 1},"]
    for value in in_each_library(given_columns):
        written = contact_file(without_rows(read_table(value) or pytest.fail("is not a table")))
        assert written.splitlines() == expected, type(value)


def test_a_table_is_read_through_arrows_c_stream_whatever_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow

    class Other:
        def __arrow_c_stream__(self, requested_schema: object = None) -> object:
            return pyarrow.table({"phone_number": [ANN, BOB]}).__arrow_c_stream__(requested_schema)

    monkeypatch.setattr(tables, "LEAST_ROWS", 0)
    assert contact_file(read_table(Other())) == f"{ANN}\n{BOB}\n"
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    assert read_table(Other()) is None
    polars = importlib.import_module("polars")
    table = without_rows(read_table(polars.DataFrame({"phone_number": [ANN]})) or pytest.fail("is not a table"))
    assert contact_file(table) == f"{ANN}\n"


def test_batches_are_gathered_into_blocks_in_linear_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "BLOCK_ROWS", 5)
    asked: list[int] = []

    class Batch(list[int]):
        def __len__(self) -> int:
            asked.append(super().__len__())
            return asked[-1]

    gathered = list(tables._gathered([Batch([0, 0]) for _ in range(7)], len))
    assert gathered == [3, 3, 1]
    assert asked == [2] * 7


def test_an_error_of_a_reader_is_not_changed() -> None:
    import pyarrow

    def batches() -> Iterator[Any]:
        yield pyarrow.record_batch({"phone_number": [ANN]})
        raise KeyError("of the function's own")

    reader = pyarrow.RecordBatchReader.from_batches(pyarrow.schema({"phone_number": pyarrow.string()}), batches())
    with pytest.raises(KeyError, match="of the function's own"):
        contact_file(read_table(reader))
