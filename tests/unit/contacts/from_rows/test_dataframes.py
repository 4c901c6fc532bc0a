"""DataFrames of pandas and polars, and Arrow tables, as contact files."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_queuecalls.contacts import ContactRules
from airflow_provider_queuecalls.contacts.from_rows.tables import is_lazy, read_table
from airflow_provider_queuecalls.contacts.from_rows.writing import ROWS_AT_ONCE
from airflow_provider_queuecalls.exceptions import InvalidContacts
from tests.unit.contacts.checking import contact_file

ANN, BOB = "16175550143", "16175550178"
OTHER_VALUES: list[Any] = [[], "x", {}, iter(()), None, Path("x")]


@pytest.fixture(params=["pandas", "polars", "arrow table", "arrow batch", "arrow reader"])
def dataframe(request: pytest.FixtureRequest) -> Any:
    """Makes a DataFrame or Arrow table of columns, of each library."""
    pandas, polars, pyarrow = (importlib.import_module(name) for name in ("pandas", "polars", "pyarrow"))

    def reader(columns: Any) -> Any:
        table = pyarrow.table(columns)
        return pyarrow.RecordBatchReader.from_batches(table.schema, table.to_batches(2))

    return {
        "pandas": pandas.DataFrame,
        "polars": polars.DataFrame,
        "arrow table": pyarrow.table,
        "arrow batch": pyarrow.RecordBatch.from_pydict,
        "arrow reader": reader,
    }[request.param]


def file_of(value: Any, rules: ContactRules | None = None) -> str:
    return contact_file(read_table(value) or pytest.fail("is not a table"), rules)


def problem(value: Any) -> str:
    with pytest.raises(InvalidContacts) as caught:
        file_of(value)
    return str(caught.value)


def test_columns_are_found_by_name(dataframe: Any) -> None:
    count = ROWS_AT_ONCE + 3
    columns = {
        "score": [0.5] * count,
        "mobile": [16172000000 + number for number in range(count)],
        "message_reference": ["ref", None, *["é"] * (count - 2)],
    }
    rules = ContactRules(has_header=True, columns={"phone_number": "mobile"})
    lines = file_of(dataframe(columns), rules).splitlines()
    assert lines[:3] == ["16172000000,ref", "16172000001,", "16172000002,é"]
    assert (len(lines), lines[-1]) == (count, f"{16172000000 + count - 1},é")


def test_numbers_in_a_float_column_are_an_error_that_says_how_to_convert_them(dataframe: Any) -> None:
    message = problem(dataframe({"phone_number": [16175550143.0, 16175550178.0]}))
    assert "Row 1 of the test: phone_number is a float" in message
    assert "dtype=str, or convert it to 'Int64'" in message


def test_a_missing_phone_number_column_is_an_error(dataframe: Any) -> None:
    assert "The test has no column 'phone_number' for phone_number; it has 'a'" in problem(dataframe({"a": [ANN]}))


def test_a_misspelled_column_is_an_error(dataframe: Any) -> None:
    message = problem(dataframe({"phone_number": [ANN], "call_parameters": ["x"]}))
    assert "has 'call_parameters', which is probably meant as call_parameter" in message


@pytest.mark.parametrize("missing", ["None", "NaN", "NA", "NaT"])
@pytest.mark.parametrize("dtype", [object, "string"])
def test_missing_values_of_pandas_are_empty_cells(missing: str, dtype: Any) -> None:
    import pandas

    value = {"None": None, "NaN": float("nan"), "NA": pandas.NA, "NaT": pandas.NaT}[missing]
    column = pandas.Series(["ref", value], dtype=dtype)
    assert (
        file_of(pandas.DataFrame({"phone_number": [ANN, BOB], "message_reference": column})) == f"{ANN},ref\n{BOB},\n"
    )


def test_a_nan_is_a_float_in_a_library_with_another_missing_value() -> None:
    import polars
    import pyarrow

    columns = {"phone_number": [ANN], "message_reference": [float("nan")]}
    for make in (polars.DataFrame, pyarrow.table):
        assert "message_reference is a float" in problem(make(columns))


def test_a_file_that_pandas_reads_as_text_keeps_its_empty_cells(tmp_path: Path) -> None:
    import pandas

    path = tmp_path / "people.csv"
    path.write_text(f"phone_number,message_reference,call_parameter\n{ANN},,7\n,ref,\n{BOB},ref,8\n")
    assert "phone_number is a float" in problem(pandas.read_csv(path))
    for read in (
        pandas.read_csv(path, dtype=str),
        pandas.read_csv(path, dtype={"phone_number": "Int64", "call_parameter": "Int64"}),
    ):
        assert file_of(read) == f"{ANN},,7\n,ref,\n{BOB},ref,8\n"


def test_a_lazy_frame_is_recognized_without_running_it() -> None:
    import polars

    lazy = polars.LazyFrame({"phone_number": [ANN]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # polars warns where the schema of a query is computed
        assert read_table(lazy) is None
    assert is_lazy(lazy)
    assert not is_lazy(lazy.collect())


def test_other_values_are_not_dataframes() -> None:
    assert [read_table(value) for value in OTHER_VALUES] == [None] * 6
