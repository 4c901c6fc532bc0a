"""DataFrames of pandas and polars, and Arrow tables, recognized by their methods: no library is imported for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from airflow_provider_queuecalls.contacts.from_rows import ROWS_AT_ONCE


def dataframe_rows(value: Any) -> tuple[list[str], Iterator[Sequence[object]]] | None:
    """Return the names of a DataFrame's columns and its rows; None for anything else.

    A missing value is None: in pandas also NaN, NA, and NaT, which are its ways to write one.
    """
    if is_lazy(value):
        return None
    if hasattr(value, "itertuples") and hasattr(value, "iloc"):
        return list(map(str, value.columns)), _pandas_rows(value)
    if hasattr(value, "iter_rows") and hasattr(value, "columns"):
        return list(value.columns), value.iter_rows()
    if hasattr(value, "schema") and (hasattr(value, "to_batches") or hasattr(value, "read_next_batch")):
        batches = value.to_batches(ROWS_AT_ONCE) if hasattr(value, "to_batches") else value
        return list(value.schema.names), chain.from_iterable(map(_arrow_rows, batches))
    if hasattr(value, "schema") and hasattr(value, "to_pylist") and hasattr(value, "num_rows"):
        return list(value.schema.names), _arrow_rows(value)
    return None


def is_lazy(value: Any) -> bool:
    """Whether a value is a query that has not run yet, as a LazyFrame of polars."""
    return hasattr(value, "collect") and hasattr(value, "collect_schema") and not hasattr(value, "iter_rows")


def _pandas_rows(dataframe: Any) -> Iterator[Sequence[object]]:
    """The rows without the index."""
    for start in range(0, len(dataframe), ROWS_AT_ONCE):
        part = dataframe.iloc[start : start + ROWS_AT_ONCE].astype(object)
        yield from part.where(part.notna(), None).itertuples(index=False, name=None)


def _arrow_rows(batch: Any) -> Iterator[Sequence[object]]:
    for start in range(0, batch.num_rows, ROWS_AT_ONCE):
        yield from zip(*(column.to_pylist() for column in batch.slice(start, ROWS_AT_ONCE).columns), strict=True)
