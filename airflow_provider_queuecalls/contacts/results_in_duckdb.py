"""The results for a large file: DuckDB recognizes the rows that are valid as they are, and compares the numbers.

Memory is bounded, whatever the size of the files, and DuckDB never spills: the numbers lie in temporary files of ours,
which have no name, and are compared in parts that fit into DuckDB's memory.
"""

# ruff: noqa: S608 - every part of a query is of our own making, no value of a file is one

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, overload

from airflow_provider_queuecalls.contacts.reading import (
    Survey,
    assert_same_lines,
    file_digest,
    first_line_end,
    line_results,
    survey,
    write_duckdb_safe,
)
from airflow_provider_queuecalls.contacts.results import CODES, Advance, Counts, Reading, Results, add_to_counts
from airflow_provider_queuecalls.contacts.rows import LONGEST_LINE, RowValidator
from airflow_provider_queuecalls.contacts.source import Source
from airflow_provider_queuecalls.contacts.temporary import path_of, temporary_file
from airflow_provider_queuecalls.stopping import StopRequest

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MOST_THREADS = 4
#: Of a line that DuckDB reads; longer ones come to it as ``?``. DuckDB keeps a few buffers of twice the size.
_MOST_LINE_BYTES = 4 * LONGEST_LINE
#: Bytes of DuckDB's memory for each contact that is compared at once. It needs some 60 of them to group the numbers.
_BYTES_PER_CONTACT = 128
_ROWS_AT_ONCE = 10_000
_SECONDS_BETWEEN_LOOKS = 0.1

T = TypeVar("T")


class ResultsInDuckDB(Results):
    """Each file's numbers are in Parquet files of their own: one with a row for every line, NULL for those that the fast
    path does not recognize, and one with (line, number) for those among them that are valid all the same."""

    def __init__(self, memory_mb: int, stop: StopRequest, advance: Advance) -> None:
        import duckdb

        super().__init__()
        self._stop = stop
        self._advance = advance
        self._files: list[BinaryIO] = []
        self._suppressed: list[str] = []
        self._bytes_read = 0
        self._contacts_at_once = (memory_mb << 20) // _BYTES_PER_CONTACT
        self._closing = StopRequest()
        self._threads = ThreadPoolExecutor(2)  # one for DuckDB, one for the digest
        self._running: Future[Any] | None = None
        self._connection: DuckDBPyConnection = duckdb.connect(
            config={
                "memory_limit": f"{memory_mb}MiB",
                "threads": min(os.cpu_count() or 1, MOST_THREADS),
                "temp_directory": "",  # so it writes no number to a file that has a name
                "preserve_insertion_order": True,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                # A join builds its table of the numbers on its right, which are those of one part.
                "disabled_optimizers": "join_order,build_side_probe_side",
            }
        )
        # DuckDB would draw a bar on the standard output, which is the command line's (and JSON's).
        self._connection.execute("SET enable_progress_bar = false")

    def close(self) -> None:
        """Break off what is under way, and give memory and disk space back."""
        self._closing.request()
        if self._running is not None:
            self._break_off(self._running)
        self._threads.shutdown()
        self._connection.close()
        for file in self._files:
            file.close()

    def add_suppression_list(self, source: Source, validator: RowValidator) -> Counts:
        counts: dict[str, tuple[int, int]] = {}
        _, numbers = self._read(source, validator)
        for line, code in self._validate_others(source, validator, numbers):
            add_to_counts(counts, line, code)
        self._suppressed.append(_valid(numbers))
        return counts

    def read_contacts(self, source: Source, validator: RowValidator) -> Reading:
        digest = self._threads.submit(file_digest, source.file, self._closing)
        seen, numbers = self._read(source, validator)
        self._codes = _CodesInFile(seen.lines)
        self._files.append(self._codes.file)
        for line, code in self._validate_others(source, validator, numbers):
            self._codes[line - 1] = code
        self._run(f"CREATE VIEW contacts AS {_valid(numbers)}")
        with self._stop.calling(self._closing.request):
            return Reading(seen.lines, seen.bom, seen.lone_cr, digest.result())

    def _read(self, source: Source, validator: RowValidator) -> tuple[Survey, list[str]]:
        """Take the numbers of the rows that the fast path recognizes. Returns the path of the file with them.

        DuckDB starts on the file at once, beside our own reading of it. If that finds that DuckDB may have misread
        something, its work is thrown away and done again on a copy that it cannot misread.
        """
        guess = first_line_end(source)
        numbers = self._new_file()
        running = self._start(self._take_numbers, source.address(), guess, validator, numbers)
        seen = survey(source, validator, self._stop, self._advance)
        if seen.line_ends <= {guess} and seen.duckdb_safe:
            self._finish(running)
        else:
            self._break_off(running)
            with temporary_file() as copy:
                write_duckdb_safe(source, validator, copy, self._stop)
                self._finish(self._start(self._take_numbers, path_of(copy), "\n", validator, numbers))
        lines = self._value(f"SELECT count(*) FROM read_parquet('{numbers}')")
        assert_same_lines(source, seen.lines, lines)
        self._bytes_read += source.size
        return seen, [numbers]

    def _take_numbers(self, path: str, line_end: str, validator: RowValidator, numbers: str) -> None:
        """Read a file of lines that DuckDB cannot misread, each of which ends with ``line_end``.

        A line is read as one cell: the delimiter is a character that such lines do not have.
        """
        recognized, number = validator.fast_path_sql()
        end = {"\n": "\\n", "\r\n": "\\r\\n"}[line_end]
        self._connection.execute(
            _copy(
                f"""
                SELECT CASE WHEN {recognized} THEN {number} END AS number
                FROM read_csv(
                    $path, columns = {{'line': 'VARCHAR'}}, auto_detect = false, header = false, new_line = '{end}',
                    delim = '\x1f', quote = '', escape = '', max_line_size = {_MOST_LINE_BYTES}, buffer_size = {2 * _MOST_LINE_BYTES}
                )
                """,
                numbers,
            ),
            {"path": path},
        )

    def _validate_others(
        self, source: Source, validator: RowValidator, numbers: list[str]
    ) -> Iterator[tuple[int, int]]:
        """Validate the lines that the fast path does not recognize; give each with its code.

        Adds a file with the numbers of those that are valid.
        """
        query = f"SELECT line FROM ({_recognized(numbers[0])}) WHERE number IS NULL"
        others = (line for (line,) in self._stream(query))
        with temporary_file() as valid:
            for line, number, code in line_results(source, validator, others, self._stop):
                if number is not None:
                    valid.write(b"%d,%d\n" % (line, number))
                yield line, code
            if valid.tell():
                valid.flush()
                numbers.append(self._new_file())
                columns = "auto_detect = false, columns = {'line': 'BIGINT', 'number': 'BIGINT'}"
                self._run(_copy(f"FROM read_csv('{path_of(valid)}', {columns})", numbers[1]))

    def mark_repeats(self, *, look_for_duplicates: bool) -> None:
        """Part by part, so that the numbers of one fit into memory; every part reads all files, which is quick."""
        if not (self._suppressed or look_for_duplicates):
            return
        if self._suppressed:
            self._run(f"CREATE VIEW suppressed AS {' UNION ALL '.join(self._suppressed)}")
        count = self._value("SELECT count(*) FROM contacts")
        parts = -(-count // self._contacts_at_once)
        for part in range(parts):
            self._mark_part(f"hash(number) % {parts} = {part}", look_for_duplicates)
            self._advance(self._bytes_read // parts)

    def _mark_part(self, in_part: str, look_for_duplicates: bool) -> None:
        suppressed, duplicate = CODES["suppressed"], CODES["duplicate"]
        self._run(
            "CREATE OR REPLACE TABLE numbers AS SELECT number, min(line) AS first, count(*) > 1 AS repeated "
            f"FROM contacts WHERE {in_part} GROUP BY number {'' if self._suppressed else 'HAVING repeated'}"
        )
        if self._suppressed:
            for (first,) in self._stream(f"SELECT first FROM suppressed JOIN numbers USING (number) WHERE {in_part}"):
                self._codes[first - 1] = suppressed
        if self._value("SELECT bool_or(repeated) FROM numbers"):
            repeats = (
                "SELECT line, first FROM contacts JOIN (FROM numbers WHERE repeated) USING (number) "
                f"WHERE {in_part} AND line <> first"
            )
            for line, first in self._stream(repeats):
                if self._codes[first - 1] == suppressed:
                    self._codes[line - 1] = suppressed
                elif look_for_duplicates:
                    self._codes[line - 1] = duplicate

    def _new_file(self) -> str:
        """A temporary file that stays until the end of the check. Returns its path."""
        self._files.append(temporary_file())
        return path_of(self._files[-1])

    def _start(self, function: Callable[..., T], *arguments: Any) -> Future[T]:
        """Let DuckDB do something in a thread, so that this one can look out for a request to stop."""
        self._stop.raise_if_requested()
        self._running = running = self._threads.submit(function, *arguments)
        return running

    def _finish(self, running: Future[T]) -> T:
        while not wait([running], timeout=_SECONDS_BETWEEN_LOOKS).done:
            if self._stop.requested:
                self._break_off(running)
        self._stop.raise_if_requested()
        return running.result()

    def _break_off(self, running: Future[Any]) -> None:
        """Interrupt DuckDB until it has stopped: an interrupt that comes before a query has begun is lost."""
        while not running.done():
            self._connection.interrupt()
            wait([running], timeout=_SECONDS_BETWEEN_LOOKS)

    def _run(self, statement: str) -> None:
        self._finish(self._start(self._connection.execute, statement))

    def _value(self, query: str) -> Any:
        ((value,),) = self._stream(query)
        return value

    def _stream(self, query: str) -> Iterator[Any]:
        self._run(query)
        while rows := self._finish(self._start(self._connection.fetchmany, _ROWS_AT_ONCE)):
            yield from rows


def _copy(query: str, path: str) -> str:
    """The statement that writes a query's rows to a temporary file."""
    # Version 2 packs numbers into half the bytes, and takes no longer than a table in memory.
    return (
        f"COPY ({query}) TO '{path}' (FORMAT parquet, PARQUET_VERSION v2, COMPRESSION uncompressed, USE_TMP_FILE false)"
    )


def _recognized(path: str) -> str:
    return f"SELECT file_row_number + 1 AS line, number FROM read_parquet('{path}', file_row_number = true)"


def _valid(numbers: list[str]) -> str:
    """The query for line and number of all valid rows of a file."""
    first, *others = numbers
    queries = [f"{_recognized(first)} WHERE number IS NOT NULL", *(f"FROM read_parquet('{path}')" for path in others)]
    return " UNION ALL ".join(queries)


class _CodesInFile:
    """The results' codes in a temporary file, of which only what is in use is in memory."""

    _MOST_PAGES = 10_000

    def __init__(self, lines: int) -> None:
        self.file = temporary_file()
        self._lines = lines
        self._pages = 0
        for start in range(0, lines, 1 << 20):  # all of it: with no room for a page later, the process would be killed
            self.file.write(bytes(min(1 << 20, lines - start)))
        self.file.flush()
        self._map = mmap.mmap(self.file.fileno(), lines) if lines else bytearray()

    def __len__(self) -> int:
        return self._lines

    @overload
    def __getitem__(self, index: int, /) -> int: ...

    @overload
    def __getitem__(self, index: slice, /) -> bytes: ...

    def __getitem__(self, index: int | slice, /) -> int | bytes:
        if isinstance(index, int):
            return self._map[index]
        return os.pread(self.file.fileno(), index.stop - index.start, index.start)

    def __setitem__(self, index: int, code: int, /) -> None:
        self._map[index] = code
        self._pages += 1
        if self._pages > self._MOST_PAGES and isinstance(self._map, mmap.mmap):
            self._map.madvise(mmap.MADV_DONTNEED)
            self._pages = 0
