"""DataFrames of pandas and polars and Arrow tables as lines of a contact file, without a Python value for each cell.

They are recognized by their methods, without importing a library. DuckDB reads their rows in blocks through Arrow's C
stream, which does not need pyarrow; pyarrow itself writes what needs no quotes of its own tables. Where neither can,
``from_rows.writing`` writes the same lines, or finds the error.
"""

# ruff: noqa: S608 - a query is built from our own constants, never from a value or a name in a table

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

from airflow_provider_queuecalls.contacts.rows.validator import ABSENT
from airflow_provider_queuecalls.files.duckdb_session import Session
from airflow_provider_queuecalls.files.writing import path_of, temporary_file
from airflow_provider_queuecalls.stopping import StopRequest

#: The rows of a block. Below the least, loading DuckDB takes longer than it saves.
BLOCK_ROWS = 200_000
LEAST_ROWS = 50_000
_ROWS_AT_ONCE = 10_000
#: The types of DuckDB whose texts are those of the Python values. DuckDB 1.2 takes INTEGER for a column of nulls too.
_EXACT_TYPES = {
    *("VARCHAR", "UUID", "NULL", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"),
    *("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT", "DECIMAL"),
}
_MEMORY_MB = 256
_PIECE_BYTES = 4 << 20

#: Gives the columns at these positions as an object with ``__arrow_c_stream__``, or None if they have no Arrow types.
_Export = Callable[[Sequence[int]], Any]


@dataclass(frozen=True)
class ColumnBlock:
    """Some rows of a table: how many, as rows of Python values, and as columns."""

    count: int
    rows: Callable[[], Iterable[Sequence[object]]]
    export: _Export

    def __len__(self) -> int:
        return self.count


@dataclass(frozen=True)
class Table:
    """A DataFrame or an Arrow table. Its blocks can be read once."""

    names: Sequence[str]
    blocks: Iterator[ColumnBlock]


class ColumnWriter:
    """Lets DuckDB write blocks as lines. ``positions`` are the positions of the service's columns in a table."""

    def __init__(self, positions: Sequence[int], stop: StopRequest) -> None:
        self._positions = positions
        self._stop = stop
        self._session: Session | None = None
        self._file = temporary_file(buffering=0)
        self._refused = False

    def __enter__(self) -> ColumnWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if self._session is not None:
            self._session.close()

    def lines_of(self, block: ColumnBlock) -> Iterator[bytes] | None:
        """The lines of a block, in pieces. None if they have to be written from its rows."""
        if self._refused or (self._session is None and block.count < LEAST_ROWS):
            return None
        columns = block.export([position for position in self._positions if position != ABSENT])
        if columns is None:
            return None
        if self._write_plain(columns):
            return self._pieces()
        import duckdb

        self._session = self._session or Session(_MEMORY_MB, self._stop)
        try:
            return self._pieces() if self._write(self._session, columns) else None
        except duckdb.Error:
            # A type that DuckDB does not read, a text that is not UTF-8, a full disk: the rows show what it is.
            self._refused = True
            return None

    def _write_plain(self, columns: Any) -> bool:
        """Let pyarrow write a table of its own, which takes a third of DuckDB's time. False if a cell is not written as it is."""
        if not type(columns).__module__.startswith("pyarrow"):
            return False
        pyarrow, csv = import_module("pyarrow"), import_module("pyarrow.csv")
        is_exact = (
            pyarrow.types.is_string,
            pyarrow.types.is_large_string,
            pyarrow.types.is_integer,
            pyarrow.types.is_null,
        )
        # A line of one cell may be blank.
        if len(self._positions) < 2 or ABSENT in self._positions:
            return False
        if not all(any(matches(field.type) for matches in is_exact) for field in columns.schema):
            return False
        try:
            csv.write_csv(columns, path_of(self._file), csv.WriteOptions(include_header=False, quoting_style="none"))
        except (pyarrow.ArrowInvalid, OSError):
            return False  # a cell needs quotes or has a line break, or the disk is full, as DuckDB finds out too
        return True

    def _write(self, session: Session, columns: Any) -> bool:
        """Write the lines to the file. False if a column has values without an exact text."""
        # Not the object itself: DuckDB would export it again for each query, and 1.2 import pyarrow for some of them.
        session.connection.register("block", columns.__arrow_c_stream__())
        types = [str(row[1]).strip('"').partition("(")[0] for row in session.stream("DESCRIBE FROM block")]
        if not _EXACT_TYPES.issuperset(types):
            return False
        given = iter([_cell_sql(f"c{position}", kind) for position, kind in enumerate(types)])
        cells = ["''" if position == ABSENT else next(given) for position in self._positions]
        line = "concat(" + ", ',', ".join(cells) + ")"
        if len(cells) == 1:
            line = f"CASE WHEN trim({line}, ' ' || chr(9)) = '' THEN concat({line}, ',') ELSE {line} END"
        names = ", ".join(f"c{position}" for position in range(len(types)))
        options = "FORMAT csv, HEADER false, DELIM '\x1e', QUOTE '', ESCAPE '', USE_TMP_FILE false"
        session.run(f"COPY (SELECT {line} FROM block AS block({names})) TO '{path_of(self._file)}' ({options})")
        return True

    def _pieces(self) -> Iterator[bytes]:
        position = 0
        while piece := os.pread(self._file.fileno(), _PIECE_BYTES, position):
            yield piece
            position += len(piece)


def _cell_sql(name: str, kind: str) -> str:
    """An expression for the text of a cell, as ``from_rows.writing`` writes it."""
    if kind != "VARCHAR":
        return f"CAST({name} AS VARCHAR)"
    text = f"translate({name}, chr(10) || chr(13), chr(11) || chr(11))"
    return (
        f"CASE WHEN contains({name}, ',') OR contains({name}, '\"') THEN '\"' || replace({text}, '\"', '\"\"') || '\"' "
        f"WHEN contains({name}, chr(10)) OR contains({name}, chr(13)) THEN {text} ELSE {name} END"
    )


# The libraries.


def read_table(value: Any) -> Table | None:
    """Return the table that a DataFrame or Arrow's tables, batches, and readers are; None for any other value.

    A missing value becomes None. In pandas, NaN, NA, and NaT are missing values.
    """
    if is_lazy(value):
        return None
    if hasattr(value, "itertuples") and hasattr(value, "iloc"):
        return Table(list(map(str, value.columns)), _pandas_blocks(value))
    if hasattr(value, "iter_rows") and hasattr(value, "columns"):
        return Table(list(value.columns), _polars_blocks(value))
    if hasattr(value, "__arrow_c_stream__") or hasattr(value, "read_next_batch"):
        return _arrow_table(value)
    return None


def is_lazy(value: Any) -> bool:
    """Whether a value is a query that has not run yet, such as a LazyFrame of polars."""
    return hasattr(value, "collect") and hasattr(value, "collect_schema") and not hasattr(value, "iter_rows")


def _pandas_blocks(dataframe: Any) -> Iterator[ColumnBlock]:
    """The rows, without the index."""
    for start in range(0, len(dataframe), BLOCK_ROWS):
        part = dataframe.iloc[start : start + BLOCK_ROWS]
        yield ColumnBlock(len(part), partial(_pandas_rows, part), partial(_pandas_export, part))


def _pandas_rows(dataframe: Any) -> Iterator[Sequence[object]]:
    for start in range(0, len(dataframe), _ROWS_AT_ONCE):
        part = dataframe.iloc[start : start + _ROWS_AT_ONCE].astype(object)
        yield from part.where(part.notna(), None).itertuples(index=False, name=None)


def _pandas_export(dataframe: Any, positions: Sequence[int]) -> Any:
    try:
        pyarrow = import_module("pyarrow")
        columns = [pyarrow.array(dataframe.iloc[:, position], from_pandas=True) for position in positions]
    except (ImportError, TypeError, ValueError, ArithmeticError, NotImplementedError):
        return None  # values of several types, or of one that Arrow does not have
    if any(pyarrow.types.is_decimal(column.type) for column in columns):
        return None  # Arrow gives all of a column the same number of decimal places
    return pyarrow.table(columns, names=[str(position) for position in positions])


def _polars_blocks(dataframe: Any) -> Iterator[ColumnBlock]:
    for part in dataframe.iter_slices(BLOCK_ROWS):
        yield ColumnBlock(len(part), part.iter_rows, partial(_polars_export, part))


def _polars_export(dataframe: Any, positions: Sequence[int]) -> Any:
    return dataframe.select([dataframe.columns[position] for position in positions])


def _arrow_table(value: Any) -> Table | None:
    try:
        pyarrow = import_module("pyarrow")
    except ImportError:
        return None
    if isinstance(value, pyarrow.RecordBatch):
        value = pyarrow.Table.from_batches([value])
    if isinstance(value, pyarrow.Table):
        return Table(value.schema.names, _arrow_blocks([value]))
    if not isinstance(value, pyarrow.RecordBatchReader):
        value = pyarrow.RecordBatchReader.from_stream(value)
    return Table(value.schema.names, _arrow_blocks(_gathered(value, pyarrow.Table.from_batches)))


def _gathered(reader: Any, make_table: Callable[[list[Any]], Any]) -> Iterator[Any]:
    """The batches of a reader as tables of enough rows for a block."""
    batches: list[Any] = []
    rows = 0
    for batch in reader:
        batches.append(batch)
        rows += len(batch)
        if rows >= BLOCK_ROWS:
            yield make_table(batches)
            batches, rows = [], 0
    if batches:
        yield make_table(batches)


def _arrow_blocks(tables: Iterable[Any]) -> Iterator[ColumnBlock]:
    for table in tables:
        for start in range(0, len(table), BLOCK_ROWS):
            part = table.slice(start, BLOCK_ROWS)
            yield ColumnBlock(len(part), partial(_arrow_rows, part), part.select)


def _arrow_rows(table: Any) -> Iterator[Sequence[object]]:
    for start in range(0, len(table), _ROWS_AT_ONCE):
        yield from zip(*(column.to_pylist() for column in table.slice(start, _ROWS_AT_ONCE).columns), strict=True)
