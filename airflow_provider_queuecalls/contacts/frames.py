"""Frames of pandas, polars and Arrow, recognized by what they can do: nothing is imported for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from airflow_provider_queuecalls.contacts.writing import ROWS_AT_ONCE


def frame_rows(value: Any) -> tuple[list[str], Iterator[Sequence[object]]] | None:
    """The names of a frame's columns, and its rows; None for anything that is no frame. What is missing is None."""
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


def _pandas_rows(frame: Any) -> Iterator[Sequence[object]]:
    """The index is left out. NaN, NA and NaT are what pandas writes for nothing."""
    for start in range(0, len(frame), ROWS_AT_ONCE):
        part = frame.iloc[start : start + ROWS_AT_ONCE].astype(object)
        yield from part.where(part.notna(), None).itertuples(index=False, name=None)


def _arrow_rows(batch: Any) -> Iterator[Sequence[object]]:
    for start in range(0, batch.num_rows, ROWS_AT_ONCE):
        yield from zip(*(column.to_pylist() for column in batch.slice(start, ROWS_AT_ONCE).columns), strict=True)
