"""The result for every line of a contact file: a byte a line, so that any number of lines takes little memory."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, overload

from airflow_provider_queuecalls.contacts.rows import BLANK, COLUMN_NAMES, REASONS, RowValidator
from airflow_provider_queuecalls.contacts.source import Source

#: Every result, at its code. ``valid``: the row is sent as the fast path sends it, ``rewritten``: with some other
#: change, ``normalized``: with another number. All others are not sent.
RESULTS = ("valid", "rewritten", "normalized", BLANK, COLUMN_NAMES, *REASONS)
CODES: Mapping[str, int] = {result: code for code, result in enumerate(RESULTS)}
_REJECTED = re.compile(b"[" + re.escape(bytes(CODES[reason] for reason in REASONS)) + b"]")

#: For each result, how many lines have it, and the first of them.
Counts = Mapping[str, tuple[int, int]]
#: Called with the bytes that were dealt with since the last call.
Advance = Callable[[int], object]

#: A contact file and its suppression lists are small up to this size together: some 35,000 contacts. Up to there Python
#: alone is done before DuckDB is, which has to be loaded first (``benchmarks/check.py --threshold``).
SMALL_BYTES = 2 << 20
_CODES_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Reading:
    """What reading a contact file showed, besides the results."""

    lines: int
    bom: bool
    lone_cr: bool
    digest: str


class LineCodes(Protocol):
    """The code of each line's result, from 0 for line 1. A ``bytearray`` is one."""

    def __len__(self) -> int: ...

    @overload
    def __getitem__(self, index: int, /) -> int: ...

    @overload
    def __getitem__(self, index: slice, /) -> bytes | bytearray: ...

    def __setitem__(self, index: int, code: int, /) -> None: ...


class Results(ABC):
    """The results of a check. Call :meth:`add_suppression_list` for every list, then :meth:`read_contacts`, then
    :meth:`mark_repeats`; after that the results are complete."""

    def __init__(self) -> None:
        self._codes: LineCodes = bytearray()

    @abstractmethod
    def add_suppression_list(self, source: Source, validator: RowValidator) -> Counts:
        """Add the numbers of a suppression list, and count its rows that are not valid, by reason."""

    @abstractmethod
    def read_contacts(self, source: Source, validator: RowValidator) -> Reading:
        """Validate every line of the contact file by itself."""

    @abstractmethod
    def mark_repeats(self, *, look_for_duplicates: bool) -> None:
        """Mark the valid rows whose number is suppressed, then those whose number an earlier row has."""

    def codes(self, first: int, count: int) -> bytes | bytearray:
        """The codes of ``count`` lines, from line ``first`` on."""
        return self._codes[first - 1 : first - 1 + count]

    def counts(self) -> Counts:
        """Count the lines by result."""
        counts: dict[str, tuple[int, int]] = {}
        for start, codes in self._parts():
            for result, code in CODES.items():
                if found := codes.count(code):
                    before, first = counts.get(result, (0, start + codes.find(code) + 1))
                    counts[result] = before + found, first
        return counts

    def rejects(self) -> Iterator[tuple[int, str]]:
        """The rows that are not sent, by line, each with its reason. Blank lines and the header line are not rows."""
        for start, codes in self._parts():
            for match in _REJECTED.finditer(codes):
                yield start + match.start() + 1, RESULTS[codes[match.start()]]

    def _parts(self) -> Iterator[tuple[int, bytes | bytearray]]:
        for start in range(0, len(self._codes), _CODES_AT_ONCE):
            yield start, self._codes[start : start + _CODES_AT_ONCE]


def is_small(size: int) -> bool:
    """Whether files of this size in all are checked in Python alone."""
    return size <= SMALL_BYTES


def add_to_counts(counts: dict[str, tuple[int, int]], line: int, code: int) -> None:
    """Count one more line."""
    before, first = counts.get(RESULTS[code], (0, line))
    counts[RESULTS[code]] = before + 1, first
