"""The tables behind a check: DuckDB reads the lines, and knows which numbers came before or are on a list.

Memory is bounded, whatever the size of the file: beyond the limit, tables spill into the check's own directory.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_queuecalls.contacts.rows import BLANK, COLUMN_NAMES, LONGEST_LINE

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MEMORY_LIMIT = "256MB"
MOST_THREADS = 4
_BATCH = 10_000
_VIEWS = {
    # The rows that pass on their own account,
    "good": "SELECT rowid + 1 AS line, number FROM plain WHERE number IS NOT NULL "
    "UNION ALL SELECT line, number FROM judged WHERE reason IS NULL",
    # those of them whose number is on no do-not-call list,
    "kept": "SELECT line, number FROM good WHERE number NOT IN (SELECT number FROM listed)",
    # and the rows that are left out; blank lines and the header line are none.
    "rejects": f"SELECT line, reason FROM left_out WHERE reason NOT IN ('{BLANK}', '{COLUMN_NAMES}')",  # noqa: S608
}
#: DuckDB would draw a bar on the standard output, which is the command line's (and JSON's).
_QUIET = "SET enable_progress_bar = false"


class Judged(NamedTuple):
    """The verdict on one line that is not plain. ``changed``: the row to send differs from the line."""

    line: int
    number: int | None
    reason: str | None
    changed: bool
    normalised: bool


class Tables:
    """The rows of one file. Built up in this order: :meth:`read`, :meth:`add_judged`, :meth:`decide`.

    ``plain`` has one row per line, with the number if the line is plain, else NULL; a line's number is its rowid
    plus one. ``judged`` has the verdicts on the others. ``listed`` has the numbers on do-not-call lists. ``left_out``
    has the lines that are not sent, blank ones too, each with its reason.
    """

    def __init__(self, directory: str) -> None:
        import duckdb

        self._directory = directory
        self._connection: DuckDBPyConnection = duckdb.connect(
            config={
                "memory_limit": MEMORY_LIMIT,
                "threads": min(os.cpu_count() or 1, MOST_THREADS),
                "temp_directory": os.path.join(directory, "spilled"),
                "preserve_insertion_order": True,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            }
        )
        self._run(_QUIET)
        self._run("CREATE TABLE listed (number BIGINT)")
        self.clear()
        for view, query in _VIEWS.items():
            self._run(f"CREATE VIEW {view} AS {query}")

    def clear(self) -> None:
        """Forget the file, but not the do-not-call lists."""
        self._run("CREATE OR REPLACE TABLE plain (number BIGINT)")
        self._run(
            "CREATE OR REPLACE TABLE judged "
            "(line BIGINT, number BIGINT, reason VARCHAR, changed BOOLEAN, normalised BOOLEAN)"
        )
        self._run("CREATE OR REPLACE TABLE left_out (line BIGINT, reason VARCHAR)")

    def __enter__(self) -> Tables:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connection.close()

    def read(self, path: str, line_end: str, plain: str, number: str) -> int:
        """Read a file of tame lines, each of which ends with ``line_end``. Returns the number of lines.

        ``plain`` and ``number`` are the expressions of :meth:`Judge.plain_sql`. A line is read as one cell: the
        delimiter is a character that tame lines do not have.
        """
        end = {"\n": "\\n", "\r\n": "\\r\\n"}[line_end]
        self._run(
            f"""
            INSERT INTO plain SELECT CASE WHEN {plain} THEN {number} END
            FROM read_csv(
                $path, columns = {{'line': 'VARCHAR'}}, auto_detect = false, header = false, new_line = '{end}',
                delim = '\x1f', quote = '', escape = '', max_line_size = {4 * LONGEST_LINE}
            )
            """,  # noqa: S608 - both expressions are our own
            {"path": path},
        )
        return int(self._value("SELECT count(*) FROM plain"))

    def interrupt(self) -> None:
        """Stop :meth:`read` in another thread; it raises an error then, or has ended before."""
        self._connection.interrupt()

    def odd_lines(self) -> Iterator[tuple[int, None]]:
        """The numbers of the lines that have to be judged."""
        for (line,) in self._stream("SELECT rowid + 1 FROM plain WHERE number IS NULL ORDER BY rowid"):
            yield line, None

    def add_judged(self, verdicts: Iterable[Judged]) -> None:
        """Take in the verdicts on the lines that were not plain."""
        path = os.path.join(self._directory, "judged.csv")
        with open(path, "w", encoding="ascii") as file:
            for verdict in verdicts:
                file.write(
                    f"{verdict.line},{'' if verdict.number is None else verdict.number},{verdict.reason or ''},"
                    f"{verdict.changed:d},{verdict.normalised:d}\n"
                )
        self._run(
            """
            INSERT INTO judged SELECT * FROM read_csv(
                $path, auto_detect = false, header = false, delim = ',', quote = '', escape = '', columns = {
                    'line': 'BIGINT', 'number': 'BIGINT', 'reason': 'VARCHAR', 'changed': 'BOOLEAN', 'normalised': 'BOOLEAN'}
            )
            """,
            {"path": path},
        )
        os.unlink(path)

    def to_list(self) -> None:
        """Add the file's numbers to those on do-not-call lists, and forget the file."""
        self._run("INSERT INTO listed SELECT number FROM good")
        self.clear()

    def decide(self, *, look_for_duplicates: bool) -> None:
        """Find the rows that are left out: judged, then suppressed, then duplicates of a row that is still there."""
        self._run("INSERT INTO left_out SELECT line, reason FROM judged WHERE reason IS NOT NULL")
        if self._value("SELECT count(*) FROM listed"):
            self._run(
                "INSERT INTO left_out SELECT line, 'suppressed' FROM good WHERE number IN (SELECT number FROM listed)"
            )
        if look_for_duplicates and self._value("SELECT count(*) <> count(DISTINCT number) FROM kept"):
            self._run(
                """
                CREATE TABLE repeated AS
                    SELECT number FROM kept GROUP BY number HAVING count(*) > 1;
                CREATE TABLE several AS
                    SELECT line, number FROM kept WHERE number IN (SELECT number FROM repeated);
                INSERT INTO left_out
                    SELECT line, 'duplicate' FROM several
                    WHERE line NOT IN (SELECT min(line) FROM several GROUP BY number);
                """
            )

    def counts(self) -> Mapping[str, tuple[int, int]]:
        """How many lines each reason left out, and the first of them."""
        rows = self._stream("SELECT reason, count(*), min(line) FROM left_out GROUP BY reason")
        return {reason: (count, first) for reason, count, first in rows}

    def judged_counts(self) -> Mapping[str, tuple[int, int]]:
        """The same for the verdicts alone."""
        rows = self._stream("SELECT reason, count(*), min(line) FROM judged WHERE reason IS NOT NULL GROUP BY reason")
        return {reason: (count, first) for reason, count, first in rows}

    def any_changed(self) -> bool:
        """Whether a good row differs from its line."""
        return bool(self._value("SELECT count(*) FROM judged WHERE changed"))

    def examples(self, most: int) -> list[tuple[int, str]]:
        """The first rows left out, blank lines and the header line aside."""
        return list(islice(self.rejects(), most))

    def normalised(self) -> int:
        """How many of the rows to send have another number than the file."""
        return int(
            self._value("SELECT count(*) FROM judged WHERE normalised AND line NOT IN (SELECT line FROM left_out)")
        )

    def rejects(self) -> Iterator[tuple[int, str]]:
        """The rows left out, by line, with the reason."""
        yield from self._stream("SELECT line, reason FROM rejects ORDER BY line")

    def changes(self) -> Iterator[tuple[int, str | None]]:
        """The lines to leave out (with a reason) or to rewrite (with None), by line."""
        yield from self._stream(
            "SELECT line, reason FROM left_out "
            "UNION ALL SELECT line, NULL FROM judged WHERE reason IS NULL AND changed "
            "AND line NOT IN (SELECT line FROM left_out) ORDER BY line"
        )

    def _run(self, statement: str, parameters: Mapping[str, object] | None = None) -> None:
        self._connection.execute(statement, parameters)

    def _value(self, query: str) -> Any:
        ((value,),) = self._connection.execute(query).fetchall()
        return value

    def _stream(self, query: str) -> Iterator[Any]:
        cursor = self._connection.cursor()
        try:
            cursor.execute(_QUIET)
            cursor.execute(query)
            while rows := cursor.fetchmany(_BATCH):
                yield from rows
        finally:
            cursor.close()
