"""The verdicts on a small file, in plain Python: nothing has to be loaded, and nothing is written to the disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from airflow_provider_queuecalls.contacts.reading import (
    Counts,
    Judged,
    Progress,
    Reading,
    assert_same_lines,
    file_digest,
    judged,
    survey,
)
from airflow_provider_queuecalls.contacts.rows import BLANK, COLUMN_NAMES, Judge
from airflow_provider_queuecalls.contacts.source import Source


class Memory:
    """The verdicts in a list, in the order of the lines; :class:`Verdicts` says what is asked of them."""

    def __init__(self) -> None:
        self._judged: list[Judged] = []
        self._listed: set[int | None] = set()
        self._left_out: dict[int, str] = {}

    def read(self, source: Source, judge: Judge, progress: Progress | None = None) -> Reading:
        seen = survey(source, judge, progress)
        self._judged = list(judged(source, judge, ((line, None) for line in range(1, seen.lines + 1))))
        assert_same_lines(source, seen.lines, len(self._judged))
        return Reading(seen.lines, seen.bom, seen.lone_cr, file_digest(source.file))

    def judged_counts(self) -> Counts:
        return _counts({verdict.line: verdict.reason for verdict in self._judged if verdict.reason})

    def to_list(self) -> None:
        self._listed |= {verdict.number for verdict in self._judged if verdict.reason is None}

    def decide(self, *, look_for_duplicates: bool) -> None:
        kept: set[int | None] = set()
        for verdict in self._judged:
            reason = verdict.reason
            if reason is None and verdict.number in self._listed:
                reason = "suppressed"
            elif reason is None and look_for_duplicates and verdict.number in kept:
                reason = "duplicate"
            if reason is None:
                kept.add(verdict.number)
            else:
                self._left_out[verdict.line] = reason

    def counts(self) -> Counts:
        return _counts(self._left_out)

    def any_changed(self) -> bool:
        return any(verdict.changed for verdict in self._judged)

    def normalized(self) -> int:
        return sum(verdict.normalized and verdict.line not in self._left_out for verdict in self._judged)

    def rejects(self) -> Iterator[tuple[int, str]]:
        return ((line, reason) for line, reason in self._left_out.items() if reason not in (BLANK, COLUMN_NAMES))

    def changes(self) -> Iterator[tuple[int, str | None]]:
        for verdict in self._judged:
            if verdict.changed or verdict.line in self._left_out:
                yield verdict.line, self._left_out.get(verdict.line)


def _counts(left_out: dict[int, str]) -> Counts:
    first = {reason: line for line, reason in reversed(left_out.items())}
    return {reason: (count, first[reason]) for reason, count in Counter(left_out.values()).items()}
