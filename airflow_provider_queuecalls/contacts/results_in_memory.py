"""The results on a small file, in plain Python: nothing has to be loaded, and nothing is written to the disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from airflow_provider_queuecalls.contacts.reading import (
    Counts,
    LineResult,
    Progress,
    Reading,
    assert_same_lines,
    file_digest,
    line_results,
    survey,
)
from airflow_provider_queuecalls.contacts.rows import BLANK, COLUMN_NAMES, RowValidator
from airflow_provider_queuecalls.contacts.source import Source


class ResultsInMemory:
    """The results in a list, in the order of the lines; :class:`Results` says what is asked of them."""

    def __init__(self) -> None:
        self._judged: list[LineResult] = []
        self._listed: set[int | None] = set()
        self._left_out: dict[int, str] = {}

    def read(self, source: Source, validator: RowValidator, progress: Progress | None = None) -> Reading:
        seen = survey(source, validator, progress)
        self._judged = list(line_results(source, validator, ((line, None) for line in range(1, seen.lines + 1))))
        assert_same_lines(source, seen.lines, len(self._judged))
        return Reading(seen.lines, seen.bom, seen.lone_cr, file_digest(source.file))

    def own_counts(self) -> Counts:
        return _counts({result.line: result.reason for result in self._judged if result.reason})

    def suppress(self) -> None:
        self._listed |= {result.number for result in self._judged if result.reason is None}

    def decide(self, *, look_for_duplicates: bool) -> None:
        kept: set[int | None] = set()
        for result in self._judged:
            reason = result.reason
            if reason is None and result.number in self._listed:
                reason = "suppressed"
            elif reason is None and look_for_duplicates and result.number in kept:
                reason = "duplicate"
            if reason is None:
                kept.add(result.number)
            else:
                self._left_out[result.line] = reason

    def counts(self) -> Counts:
        return _counts(self._left_out)

    def any_changed(self) -> bool:
        return any(result.changed for result in self._judged)

    def normalized(self) -> int:
        return sum(result.normalized and result.line not in self._left_out for result in self._judged)

    def rejects(self) -> Iterator[tuple[int, str]]:
        return ((line, reason) for line, reason in self._left_out.items() if reason not in (BLANK, COLUMN_NAMES))

    def changes(self) -> Iterator[tuple[int, str | None]]:
        for result in self._judged:
            if result.changed or result.line in self._left_out:
                yield result.line, self._left_out.get(result.line)


def _counts(left_out: dict[int, str]) -> Counts:
    first = {reason: line for line, reason in reversed(left_out.items())}
    return {reason: (count, first[reason]) for reason, count in Counter(left_out.values()).items()}
