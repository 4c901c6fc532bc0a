"""The list that was sent, joined with the results of its calls::

    with closing(JoinedList(checked.upload.file, database.rows(name), stop=stop)) as joined:
        joined.counts
        joined.rows("not_reached")

A result belongs to the contacts with its phone number and its reference; if there are none, to all contacts with its phone
number; if the list does not have its number, to the contact with its reference, if there is only one. Phone numbers are
compared by their digits, with and without the leading 1. If a contact has several results, a completed call comes first and a
failed one last, and then the order of the database decides. The latest choice counts, whatever the result of its call, and also if
there is none.

The data is in temporary files that have no name. It is joined in parts that fit into DuckDB's memory.
"""

# ruff: noqa: S608 - a query is built from our own constants, never from a value

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from airflow_provider_queuecalls.contacts.rows.phone_numbers import NUMBER_COMPARED
from airflow_provider_queuecalls.contacts.rules import COLUMNS
from airflow_provider_queuecalls.files.duckdb_session import (
    MEMORY_LIMIT,
    Session,
    copy_to_parquet,
    read_lines,
    translate_errors,
)
from airflow_provider_queuecalls.files.lines import Block, blocks, split_quoted
from airflow_provider_queuecalls.files.writing import path_of, temporary_file
from airflow_provider_queuecalls.records.call_results import COMPLETED, FAILED, FIELDS
from airflow_provider_queuecalls.records.results.counts import OTHER as OTHER_VALUES
from airflow_provider_queuecalls.records.results.counts import by_value
from airflow_provider_queuecalls.stopping import StopRequest

#: The columns of a result that follow those of its contact.
RESULT_COLUMNS = (*(entry.name for entry in FIELDS if entry.name not in COLUMNS), "received_at", "choice", "chosen_at")
OUTPUT_COLUMNS = (*COLUMNS, *RESULT_COLUMNS)
_NUMBERS = ("attempts", "last_attempt_timestamp", "duration", "received_at", "chosen_at")
#: The state of a contact by its result, and those of them that each selection has.
MISSING, OTHER = "missing", "other"
SELECTIONS: Mapping[str, tuple[str, ...]] = {
    "all": (COMPLETED, FAILED, MISSING, OTHER),
    COMPLETED: (COMPLETED,),
    FAILED: (FAILED,),
    "not_reached": (FAILED,),
    MISSING: (MISSING,),
}
#: How many of the values of a column are looked at: there may be as many as contacts.
_MOST_VALUES = 1_000
#: The best result and the latest choice of a group.
_BEST = "min(rank) AS rank, max(chosen) AS chosen"
#: DuckDB's memory per contact and result in a part.
_BYTES_PER_ROW = 512
#: Separates the cells of a line in our temporary files. No cell of a list contains it.
_SEPARATOR = "\x1f"
#: A line break of a result becomes a space.
_NO_SEPARATORS = {ord(_SEPARATOR): " ", ord("\x1e"): " ", ord("\r"): " ", ord("\n"): " "}


@dataclass
class JoinedCounts:
    """How many contacts have which result. ``other`` is a result that is neither completed nor failed.

    ``unjoined`` is how many results belong to no contact, and ``repeated_references`` how many references several contacts
    have. ``by_callee_type`` counts contacts by who answered, and ``by_choice`` by what they chose.
    """

    contacts: int = 0
    results: int = 0
    completed: int = 0
    failed: int = 0
    other: int = 0
    missing: int = 0
    unjoined: int = 0
    repeated_references: int = 0
    by_callee_type: dict[str, int] = field(default_factory=dict)
    by_choice: dict[str, int] = field(default_factory=dict)


class JoinedList:
    """The contacts in the order of the list, each with its result. Close it to delete the temporary files.

    :param contacts: The list that was sent, as :func:`~airflow_provider_queuecalls.contacts.check` returns it.
    :param results: The results of the campaign's calls, as the database yields them.
    :param stop: Ends the join once it is requested: :class:`NotSent` is raised.
    :param memory_limit: The memory that the join may use, in MiB.

    Raises :class:`CheckFailed` if another try may help.
    """

    def __init__(
        self,
        contacts: BinaryIO,
        results: Iterable[Mapping[str, Any]],
        *,
        stop: StopRequest | None = None,
        memory_limit: int = MEMORY_LIMIT,
    ) -> None:
        self._stop = stop or StopRequest()
        self._memory_limit = memory_limit
        self._rows_at_once = (memory_limit // 2 << 20) // _BYTES_PER_ROW
        self.counts = JoinedCounts()
        with self._translated():
            self._duckdb = Session(memory_limit // 2, self._stop)
            try:
                self._read("contacts", COLUMNS, (_cells(block) for block in blocks(contacts, stop=self._stop)))
                self._read("results", (*COLUMNS[:2], *RESULT_COLUMNS), map(_line, results))
                self._rank_results()
                self._join()
                self._count()
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """End what is running, and delete the temporary files."""
        self._duckdb.close()

    def count(self, select: str) -> int:
        """Count the selected contacts."""
        with self._translated():
            query, parameters = _selected("count(*)", select)
            ((count,),) = self._duckdb.stream(query, parameters)
            return int(count)

    def rows(self, select: str) -> Iterator[tuple[Any, ...]]:
        """Yield the selected contacts as values of :data:`OUTPUT_COLUMNS`. Those of a result are None where there is none."""
        with self._translated():
            yield from self._duckdb.stream(*_selected(", ".join(OUTPUT_COLUMNS), select))

    def copy(self, select: str, path: str, options: str) -> None:
        """Let DuckDB write the selected contacts to a file, with options of its COPY statement."""
        with self._translated():
            query, parameters = _selected(", ".join(OUTPUT_COLUMNS), select)
            quoted = path.replace("'", "''")
            self._duckdb.run(f"COPY ({query}) TO '{quoted}' ({options}, USE_TMP_FILE false)", parameters)

    def _translated(self) -> AbstractContextManager[None]:
        return translate_errors("The list", self._memory_limit, "joined with the results of its calls")

    def _read(self, name: str, columns: tuple[str, ...], lines: Iterable[bytes]) -> None:
        """Make a view of lines, with the number of each row and the key of its phone number."""
        parquet = self._duckdb.new_file()
        with temporary_file() as copy:
            for line in lines:
                self._stop.raise_if_requested()
                copy.write(line)
            copy.flush()
            cells = ", ".join(
                f"CAST(nullif(split_part(line, '{_SEPARATOR}', {place}), '') AS "
                f"{'BIGINT' if column in _NUMBERS else 'VARCHAR'}) AS {column}"
                for place, column in enumerate(columns, 1)
            )
            query = f"SELECT *, {NUMBER_COMPARED} AS key FROM (SELECT {cells} FROM {read_lines()})"
            self._duckdb.run(copy_to_parquet(query, parquet), {"path": path_of(copy)})
        rows = f"SELECT file_row_number AS row, * FROM read_parquet('{parquet}', file_row_number = true)"
        self._duckdb.run(f"CREATE VIEW {name} AS {rows}")

    def _rank_results(self) -> None:
        """Add a sort key to each result, best first, with the row number as tie-breaker; and one to each choice."""
        state = f"CASE lower(result) WHEN '{COMPLETED}' THEN 0 WHEN '{FAILED}' THEN 2 ELSE 1 END"
        self._duckdb.run(
            f"""CREATE VIEW ranked AS SELECT key, coalesce(message_reference, '') AS reference,
            CASE WHEN received_at IS NOT NULL THEN {{
                'state': {state}, 'attempts': -coalesce(attempts, -1), 'last': -coalesce(last_attempt_timestamp, -1),
                'received': -received_at, 'row': row
            }} END AS rank,
            CASE WHEN choice IS NOT NULL THEN {{'at': chosen_at, 'choice': choice}} END AS chosen FROM results"""
        )

    def _join(self) -> None:
        self.counts.contacts = self._duckdb.value("SELECT count(*) FROM contacts")
        self.counts.results = self._duckdb.value("SELECT count(received_at) FROM results")
        parts = max(1, -(-(self.counts.contacts + self.counts.results) // self._rows_at_once))
        ranks, unknown = list[str](), list[str]()
        for part in range(parts):
            self._join_by_number(f"hash(coalesce(key, 0)) % {parts} = {part}", ranks, unknown)
        self._duckdb.run(f"CREATE VIEW unknown AS FROM {_files(unknown)}")
        for part in range(parts):
            self._join_by_reference(f"hash(reference) % {parts} = {part}", ranks)
        self._duckdb.run(f"CREATE VIEW ranks AS FROM {_files(ranks)}")
        rows_at_once = -(-self.counts.contacts // parts)
        joined = [
            self._join_rows(first, first + rows_at_once - 1)
            for first in range(0, self.counts.contacts, rows_at_once or 1)
        ]
        state = (
            f"CASE WHEN received_at IS NULL THEN '{MISSING}' WHEN lower(result) = '{COMPLETED}' THEN '{COMPLETED}' "
            f"WHEN lower(result) = '{FAILED}' THEN '{FAILED}' ELSE '{OTHER}' END"
        )
        self._duckdb.run(f"CREATE VIEW joined AS SELECT *, {state} AS state FROM {_files(joined)}")

    def _join_by_number(self, in_part: str, ranks: list[str], unknown: list[str]) -> None:
        """Find the best result for each contact whose number has one, and the results whose number the list does not have."""
        contacts = f"(SELECT row, key, coalesce(message_reference, '') AS reference FROM contacts WHERE {in_part})"
        self._table("sent", f"SELECT DISTINCT key, reference FROM {contacts}")
        self._table("exact", f"SELECT key, reference, {_BEST} FROM ranked WHERE {in_part} GROUP BY key, reference")
        self._table("inexact", f"SELECT key, {_BEST} FROM exact ANTI JOIN sent USING (key, reference) GROUP BY key")
        self._add(
            ranks,
            f"""SELECT row, least(exact.rank, inexact.rank) AS rank, greatest(exact.chosen, inexact.chosen) AS chosen
            FROM {contacts} LEFT JOIN exact USING (key, reference) LEFT JOIN inexact USING (key)
            WHERE coalesce(exact.key, inexact.key) IS NOT NULL""",
        )
        self._add(
            unknown,
            f"SELECT reference, rank, chosen FROM ranked ANTI JOIN (SELECT DISTINCT key FROM sent) USING (key) WHERE {in_part}",
        )

    def _join_by_reference(self, in_part: str, ranks: list[str]) -> None:
        """Find the contact of each result whose number the list does not have, by a reference that one contact has."""
        self._table(
            "sent",
            f"""SELECT reference, min(row) AS row, count(*) > 1 AS repeated FROM (
                SELECT row, message_reference AS reference FROM contacts WHERE message_reference IS NOT NULL
            ) WHERE {in_part} GROUP BY reference""",
        )
        self.counts.repeated_references += self._duckdb.value("SELECT count(*) FROM sent WHERE repeated")
        self._add(
            ranks,
            f"SELECT row, rank, chosen FROM unknown JOIN (FROM sent WHERE NOT repeated) USING (reference) WHERE {in_part}",
        )
        self.counts.unjoined += self._duckdb.value(
            f"SELECT count(rank) FROM unknown ANTI JOIN (FROM sent WHERE NOT repeated) USING (reference) WHERE {in_part}"
        )

    def _join_rows(self, first: int, last: int) -> str:
        """Write some contacts with their results to a file, in the order of the list. Returns its path."""
        choice = ("best.chosen.choice", "best.chosen.at AS chosen_at")
        result = ", ".join([*(f"results.{name}" for name in RESULT_COLUMNS[: -len(choice)]), *choice])
        self._table(
            "best",
            f"SELECT row, min(rank).row AS result_row, max(chosen) AS chosen FROM ranks WHERE row BETWEEN {first} AND {last} GROUP BY row",
        )
        self._table("found", f"SELECT best.row, {result} FROM best LEFT JOIN results ON results.row = best.result_row")
        columns = ", ".join(f"contacts.{name}" for name in COLUMNS)
        path = self._duckdb.new_file()
        self._duckdb.run(
            copy_to_parquet(
                f"SELECT {columns}, {', '.join(RESULT_COLUMNS)} FROM contacts LEFT JOIN found USING (row) "
                f"WHERE contacts.row BETWEEN {first} AND {last} ORDER BY contacts.row",
                path,
            )
        )
        return path

    def _table(self, name: str, query: str) -> None:
        self._duckdb.run(f"CREATE OR REPLACE TEMP TABLE {name} AS {query}")

    def _add(self, files: list[str], query: str) -> None:
        files.append(self._duckdb.new_file())
        self._duckdb.run(copy_to_parquet(query, files[-1]))

    def _count(self) -> None:
        for state, count in self._duckdb.stream("SELECT state, count(*) FROM joined GROUP BY state"):
            setattr(self.counts, state, count)
        self.counts.by_callee_type = self._count_by("coalesce(callee_type, '')", f"state <> '{MISSING}'")
        self.counts.by_choice = self._count_by("choice", "choice IS NOT NULL")

    def _count_by(self, value: str, where: str) -> dict[str, int]:
        joined = f"FROM joined WHERE {where}"
        counts = f"SELECT {value}, count(*) {joined} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {_MOST_VALUES}"
        found = Counter(dict(self._duckdb.stream(counts)))
        rest = self._duckdb.value(f"SELECT count(*) {joined}") - found.total()
        return by_value(found + Counter({OTHER_VALUES: rest}))


def _selected(columns: str, select: str) -> tuple[str, dict[str, str]]:
    """Return the query for the selected contacts, and its parameters."""
    if select in SELECTIONS:
        states = ", ".join(f"'{state}'" for state in SELECTIONS[select])
        return f"SELECT {columns} FROM joined WHERE state IN ({states})", {}
    matches = " OR ".join(f"lower({column}) = lower($select)" for column in ("choice", "callee_type"))
    return f"SELECT {columns} FROM joined WHERE {matches}", {"select": select}


def _cells(block: Block) -> bytes:
    """The lines of a list that passed the check, with our separator."""
    data = block.data.replace(b"\r\n", b"\n").removesuffix(b"\n")
    if b'"' not in data:
        return data.replace(b",", _SEPARATOR.encode()) + b"\n"
    rows = (split_quoted(line, ",") or [] for line in data.decode().split("\n"))
    return "".join(f"{_SEPARATOR.join(cells)}\n" for cells in rows).encode()


def _line(result: Mapping[str, Any]) -> bytes:
    texts = ("" if result[name] is None else str(result[name]) for name in (*COLUMNS[:2], *RESULT_COLUMNS))
    cells = (text if text.isprintable() else text.translate(_NO_SEPARATORS) for text in texts)
    return f"{_SEPARATOR.join(cells)}\n".encode()


def _files(paths: list[str]) -> str:
    return f"read_parquet([{', '.join(repr(path) for path in paths)}])"
