"""The tables behind a check: DuckDB reads the lines, and knows which numbers came before or are on a list.

ResultsInMemory is bounded, whatever the size of the file: beyond the limit, tables spill into the check's own directory.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from airflow_provider_queuecalls.contacts.reading import (
    Counts,
    LineResult,
    Progress,
    Reading,
    assert_same_lines,
    file_digest,
    first_line_end,
    line_results,
    survey,
    write_duckdb_safe,
)
from airflow_provider_queuecalls.contacts.rows import BLANK, COLUMN_NAMES, LONGEST_LINE, RowValidator
from airflow_provider_queuecalls.contacts.source import Source
from airflow_provider_queuecalls.exceptions import CheckFailed

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MEMORY_LIMIT = "256MB"
MOST_THREADS = 4
_BATCH = 10_000
_VIEWS = {
    # The rows that pass on their own account,
    "good": "SELECT rowid + 1 AS line, number FROM plain WHERE number IS NOT NULL "
    "UNION ALL SELECT line, number FROM line_results WHERE reason IS NULL",
    # those of them whose number is on no do-not-call list,
    "kept": "SELECT line, number FROM good WHERE number NOT IN (SELECT number FROM listed)",
    # and the rows that are left out; blank lines and the header line are none.
    "rejects": f"SELECT line, reason FROM left_out WHERE reason NOT IN ('{BLANK}', '{COLUMN_NAMES}')",  # noqa: S608
}
#: DuckDB would draw a bar on the standard output, which is the command line's (and JSON's).
_QUIET = "SET enable_progress_bar = false"


@contextmanager
def open_results_in_duckdb(shown: str) -> Iterator[ResultsInDuckDB]:
    """ResultsInDuckDB in a directory of their own, removed on every way out. What DuckDB raises becomes :class:`CheckFailed`."""
    import duckdb

    # Not the error's own words: they may quote a row.
    try:
        with tempfile.TemporaryDirectory(prefix="queuecalls-", ignore_cleanup_errors=True) as directory:
            tables = ResultsInDuckDB(directory)
            with closing(tables):
                yield tables
    except duckdb.Error as error:
        raise CheckFailed(
            f"{shown} could not be checked: DuckDB stopped with {type(error).__name__}. Nothing was sent. The "
            f"check needs some 300 MB of memory, and room in {tempfile.gettempdir()!r}, up to twice the size of the file."
        ) from None


class ResultsInDuckDB:
    """The results in tables; :class:`Results` says what is asked of them.

    ``plain`` has one row per line, with the number if the line is plain, else NULL; a line's number is its rowid
    plus one. ``line_results`` has the results on the others. ``listed`` has the numbers on do-not-call lists. ``left_out``
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
        self._clear()
        for view, query in _VIEWS.items():
            self._run(f"CREATE VIEW {view} AS {query}")

    def _clear(self) -> None:
        """Forget the file, but not the do-not-call lists."""
        self._run("CREATE OR REPLACE TABLE plain (number BIGINT)")
        self._run(
            "CREATE OR REPLACE TABLE line_results "
            "(line BIGINT, number BIGINT, reason VARCHAR, changed BOOLEAN, normalized BOOLEAN)"
        )
        self._run("CREATE OR REPLACE TABLE left_out (line BIGINT, reason VARCHAR)")

    def close(self) -> None:
        """Give the memory back."""
        self._connection.close()

    def read(self, source: Source, validator: RowValidator, progress: Progress | None = None) -> Reading:
        """Take in every line of a file.

        DuckDB starts on the file at once, beside our own reading of it. Where that finds that DuckDB may have misread
        something, its work is thrown away and done again on a copy that it cannot misread.
        """
        guess = first_line_end(source)
        with ThreadPoolExecutor(2) as threads:
            digest = threads.submit(file_digest, source.file)
            lines_read = threads.submit(self._read_lines, source.address(), guess, *validator.fast_path_sql())
            seen = survey(source, validator, progress)
            duckdb_safe = seen.line_ends <= {guess} and seen.duckdb_safe
            if not duckdb_safe:
                self._connection.interrupt()
        if duckdb_safe:
            lines = lines_read.result()
        else:
            lines_read.exception()  # of no interest
            self._clear()
            copy = os.path.join(self._directory, "duckdb_safe.csv")
            write_duckdb_safe(source, validator, copy)
            lines = self._read_lines(copy, "\n", *validator.fast_path_sql())
            os.unlink(copy)
        assert_same_lines(source, seen.lines, lines)
        self._add(line_results(source, validator, self._odd_lines()))
        return Reading(seen.lines, seen.bom, seen.lone_cr, digest.result())

    def _read_lines(self, path: str, line_end: str, plain: str, number: str) -> int:
        """Read a file of duckdb_safe lines, each of which ends with ``line_end``. Returns the number of lines.

        ``plain`` and ``number`` are the expressions of :meth:`RowValidator.fast_path_sql`. A line is read as one cell: the
        delimiter is a character that duckdb_safe lines do not have.
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

    def _odd_lines(self) -> Iterator[tuple[int, None]]:
        """The numbers of the lines that have to be line_results."""
        for (line,) in self._stream("SELECT rowid + 1 FROM plain WHERE number IS NULL ORDER BY rowid"):
            yield line, None

    def _add(self, results: Iterable[LineResult]) -> None:
        """Take in the results on the lines that were not plain."""
        path = os.path.join(self._directory, "line_results.csv")
        with open(path, "w", encoding="ascii") as file:
            for result in results:
                file.write(
                    f"{result.line},{'' if result.number is None else result.number},{result.reason or ''},"
                    f"{result.changed:d},{result.normalized:d}\n"
                )
        self._run(
            """
            INSERT INTO line_results SELECT * FROM read_csv(
                $path, auto_detect = false, header = false, delim = ',', quote = '', escape = '', columns = {
                    'line': 'BIGINT', 'number': 'BIGINT', 'reason': 'VARCHAR', 'changed': 'BOOLEAN', 'normalized': 'BOOLEAN'}
            )
            """,
            {"path": path},
        )
        os.unlink(path)

    def suppress(self) -> None:
        self._run("INSERT INTO listed SELECT number FROM good")
        self._clear()

    def decide(self, *, look_for_duplicates: bool) -> None:
        self._run("INSERT INTO left_out SELECT line, reason FROM line_results WHERE reason IS NOT NULL")
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

    def counts(self) -> Counts:
        rows = self._stream("SELECT reason, count(*), min(line) FROM left_out GROUP BY reason")
        return {reason: (count, first) for reason, count, first in rows}

    def own_counts(self) -> Counts:
        rows = self._stream(
            "SELECT reason, count(*), min(line) FROM line_results WHERE reason IS NOT NULL GROUP BY reason"
        )
        return {reason: (count, first) for reason, count, first in rows}

    def any_changed(self) -> bool:
        return bool(self._value("SELECT count(*) FROM line_results WHERE changed"))

    def normalized(self) -> int:
        return int(
            self._value(
                "SELECT count(*) FROM line_results WHERE normalized AND line NOT IN (SELECT line FROM left_out)"
            )
        )

    def rejects(self) -> Iterator[tuple[int, str]]:
        yield from self._stream("SELECT line, reason FROM rejects ORDER BY line")

    def changes(self) -> Iterator[tuple[int, str | None]]:
        yield from self._stream(
            "SELECT line, reason FROM left_out "
            "UNION ALL SELECT line, NULL FROM line_results WHERE reason IS NULL AND changed "
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
