"""The results for small files, in plain Python."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from airflow_provider_queuecalls.contacts.hours.places import Place
from airflow_provider_queuecalls.contacts.row_results.base import (
    CODES,
    Counts,
    LineResult,
    Results,
    Survey,
    add_to_counts,
    assert_same_lines,
    line_results,
    survey,
)
from airflow_provider_queuecalls.contacts.rows.validator import RowValidator
from airflow_provider_queuecalls.files.reading import Source
from airflow_provider_queuecalls.progress import Advance
from airflow_provider_queuecalls.stopping import StopRequest

#: A contact file and its suppression lists are small up to this total size, about 30,000 contacts. Up to there Python
#: is faster than loading DuckDB first (measured by ``benchmarks/check.py --store memory duckdb``).
SMALL_BYTES = 3 << 19


def is_small(size: int) -> bool:
    """Whether files of this total size are checked in Python alone."""
    return size <= SMALL_BYTES


class ResultsInMemory(Results):
    """For small files: every line is checked in Python, the numbers are in a set, and nothing is written to the disk."""

    def __init__(self, stop: StopRequest, advance: Advance) -> None:
        super().__init__(stop, advance)
        self._suppressed: set[int] = set()
        self._contacts: list[tuple[int, int]] = []
        self._lines_at = defaultdict[Place, list[int]](list)

    def add_suppression_list(self, source: Source, validator: RowValidator) -> Counts:
        counts: dict[str, tuple[int, int]] = {}
        seen = survey(source, validator, self._stop, self._advance)
        for line, number, code, _ in self._all_lines(source, validator, seen.lines):
            add_to_counts(counts, line, code)
            if number is not None:
                self._suppressed.add(number)
        return counts

    def read_contacts(self, source: Source, validator: RowValidator) -> Survey:
        seen = survey(source, validator, self._stop, self._advance)
        self._codes = bytearray(seen.lines)
        for result in self._all_lines(source, validator, seen.lines):
            self._codes[result.line - 1] = result.code
            self._add_place(result)
            if result.number is not None:
                self._contacts.append((result.line, result.number))
                if result.place is not None:
                    self._lines_at[result.place].append(result.line)
        return seen

    def _all_lines(self, source: Source, validator: RowValidator, lines: int) -> Iterable[LineResult]:
        results = list(line_results(source, validator, iter(range(1, lines + 1)), self._stop))
        assert_same_lines(source, lines, len(results))
        return results

    def mark_by_number(self, *, look_for_duplicates: bool) -> None:
        earlier: set[int] = set()
        for line, number in self._contacts:
            if number in self._suppressed:
                self._codes[line - 1] = CODES["suppressed"]
            elif look_for_duplicates and number in earlier:
                self._codes[line - 1] = CODES["duplicate"]
            earlier.add(number)

    def _lines(self, place: Place) -> Iterator[int]:
        return iter(self._lines_at[place])
