"""The results for a small file, in plain Python: nothing has to be loaded, and nothing is written to the disk."""

from __future__ import annotations

from collections.abc import Iterable

from airflow_provider_queuecalls.contacts.reading import (
    LineResult,
    assert_same_lines,
    file_digest,
    line_results,
    survey,
)
from airflow_provider_queuecalls.contacts.results import CODES, Advance, Counts, Reading, Results, add_to_counts
from airflow_provider_queuecalls.contacts.rows import RowValidator
from airflow_provider_queuecalls.contacts.source import Source
from airflow_provider_queuecalls.stopping import StopRequest


class ResultsInMemory(Results):
    """Every line is validated in Python, and the numbers are kept in a set."""

    def __init__(self, stop: StopRequest, advance: Advance) -> None:
        super().__init__()
        self._stop = stop
        self._advance = advance
        self._suppressed: set[int] = set()
        self._contacts: list[tuple[int, int]] = []

    def add_suppression_list(self, source: Source, validator: RowValidator) -> Counts:
        counts: dict[str, tuple[int, int]] = {}
        seen = survey(source, validator, self._stop, self._advance)
        for line, number, code in self._all_lines(source, validator, seen.lines):
            add_to_counts(counts, line, code)
            if number is not None:
                self._suppressed.add(number)
        return counts

    def read_contacts(self, source: Source, validator: RowValidator) -> Reading:
        seen = survey(source, validator, self._stop, self._advance)
        self._codes = bytearray(seen.lines)
        for line, number, code in self._all_lines(source, validator, seen.lines):
            self._codes[line - 1] = code
            if number is not None:
                self._contacts.append((line, number))
        return Reading(seen.lines, seen.bom, seen.lone_cr, file_digest(source.file, self._stop))

    def _all_lines(self, source: Source, validator: RowValidator, lines: int) -> Iterable[LineResult]:
        results = list(line_results(source, validator, iter(range(1, lines + 1)), self._stop))
        assert_same_lines(source, lines, len(results))
        return results

    def mark_repeats(self, *, look_for_duplicates: bool) -> None:
        earlier: set[int] = set()
        for line, number in self._contacts:
            if number in self._suppressed:
                self._codes[line - 1] = CODES["suppressed"]
            elif look_for_duplicates and number in earlier:
                self._codes[line - 1] = CODES["duplicate"]
            earlier.add(number)
