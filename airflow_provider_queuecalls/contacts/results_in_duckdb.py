"""The results for large files: DuckDB recognizes the rows that are valid and sent unchanged, and compares the numbers.

Memory is bounded, whatever the size of the files, and DuckDB never spills to the disk: the numbers are in our own
temporary files, which have no name, and are compared in parts that fit into DuckDB's memory.
"""

# ruff: noqa: S608 - a query is built from our own constants, never from a value in a file

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, overload

from airflow_provider_queuecalls.contacts.files import Source, path_of, temporary_file
from airflow_provider_queuecalls.contacts.lines import BOM, LONGEST_LINE, blocks
from airflow_provider_queuecalls.contacts.results import (
    CODES,
    Advance,
    Counts,
    Reading,
    Results,
    Survey,
    add_to_counts,
    assert_same_lines,
    file_digest,
    line_results,
    survey,
)
from airflow_provider_queuecalls.contacts.rows import RowValidator
from airflow_provider_queuecalls.stopping import StopRequest

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MOST_THREADS = 4
#: The longest line that DuckDB reads; a longer one is replaced by ``?``. DuckDB keeps a few buffers of twice this size.
_MOST_LINE_BYTES = 4 * LONGEST_LINE
#: DuckDB's memory per contact in a part. It needs about 60 bytes to group the numbers.
_BYTES_PER_CONTACT = 128
_ROWS_AT_ONCE = 10_000
_POLL_SECONDS = 0.1

T = TypeVar("T")


class ResultsInDuckDB(Results):
    """Each file's numbers are in Parquet files: one with a row per line, NULL for each line that the fast path does not
    recognize, and one with (line, number) for the lines among these that are valid nevertheless."""

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
                "temp_directory": "",  # so DuckDB writes no number to a file that has a name
                "preserve_insertion_order": True,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                # The hash table of a join is then built from its right side: the numbers of one part.
                "disabled_optimizers": "join_order,build_side_probe_side",
            }
        )
        # DuckDB would draw the bar on standard output, where the command line prints its result.
        self._connection.execute("SET enable_progress_bar = false")

    def close(self) -> None:
        """Interrupt what is running, and release memory and disk space."""
        self._closing.request()
        if self._running is not None:
            self._interrupt(self._running)
        self._threads.shutdown()
        self._connection.close()
        for file in self._files:
            file.close()

    def add_suppression_list(self, source: Source, validator: RowValidator) -> Counts:
        counts: dict[str, tuple[int, int]] = {}
        _, numbers = self._read(source, validator)
        for line, code in self._check_others(source, validator, numbers):
            add_to_counts(counts, line, code)
        self._suppressed.append(_valid(numbers))
        return counts

    def read_contacts(self, source: Source, validator: RowValidator) -> Reading:
        digest = self._threads.submit(file_digest, source.file, self._closing)
        seen, numbers = self._read(source, validator)
        self._codes = _CodesInFile(seen.lines)
        self._files.append(self._codes.file)
        for line, code in self._check_others(source, validator, numbers):
            self._codes[line - 1] = code
        self._run(f"CREATE VIEW contacts AS {_valid(numbers)}")
        with self._stop.calling(self._closing.request):
            return Reading(seen.lines, seen.bom, seen.lone_cr, digest.result())

    def _read(self, source: Source, validator: RowValidator) -> tuple[Survey, list[str]]:
        """Extract the numbers of the rows that the fast path recognizes. Returns the path of the file with them.

        DuckDB reads the file at once, in parallel with our own survey. If the survey finds that DuckDB may have misread
        a line, the result is discarded, and DuckDB reads a copy that it cannot misread.
        """
        expected_end = _first_line_end(source)
        numbers = self._new_file()
        running = self._start(self._extract_numbers, source.address(), expected_end, validator, numbers)
        seen = survey(source, validator, self._stop, self._advance)
        if seen.line_ends <= {expected_end} and seen.duckdb_safe:
            self._finish(running)
        else:
            self._interrupt(running)
            with temporary_file() as copy:
                _write_duckdb_safe(source, validator, copy, self._stop)
                self._finish(self._start(self._extract_numbers, path_of(copy), "\n", validator, numbers))
        lines = self._value(f"SELECT count(*) FROM read_parquet('{numbers}')")
        assert_same_lines(source, seen.lines, lines)
        self._bytes_read += source.size
        return seen, [numbers]

    def _extract_numbers(self, path: str, line_end: str, validator: RowValidator, numbers: str) -> None:
        """Let DuckDB read a file of lines that it cannot misread, each of which ends with ``line_end``.

        A line is read as one cell: the delimiter is a character that such lines do not contain.
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

    def _check_others(self, source: Source, validator: RowValidator, numbers: list[str]) -> Iterator[tuple[int, int]]:
        """Check the lines that the fast path does not recognize in Python. Yields each with its code.

        Adds a file with the numbers of those that are valid to ``numbers``.
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
        """Compare the numbers in parts, each of which fits into memory. Every part reads all files, which is fast."""
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
        """Create a temporary file that is kept until the end of the check. Returns its path."""
        self._files.append(temporary_file())
        return path_of(self._files[-1])

    def _start(self, function: Callable[..., T], *arguments: Any) -> Future[T]:
        """Call a function of DuckDB in a thread, so that this thread can react to a stop request."""
        self._stop.raise_if_requested()
        self._running = running = self._threads.submit(function, *arguments)
        return running

    def _finish(self, running: Future[T]) -> T:
        while not wait([running], timeout=_POLL_SECONDS).done:
            if self._stop.requested:
                self._interrupt(running)
        self._stop.raise_if_requested()
        return running.result()

    def _interrupt(self, running: Future[Any]) -> None:
        """Interrupt DuckDB until it has stopped: it ignores an interrupt before a query begins."""
        while not running.done():
            self._connection.interrupt()
            wait([running], timeout=_POLL_SECONDS)

    def _run(self, statement: str) -> None:
        self._finish(self._start(self._connection.execute, statement))

    def _value(self, query: str) -> Any:
        ((value,),) = self._stream(query)
        return value

    def _stream(self, query: str) -> Iterator[Any]:
        self._run(query)
        while rows := self._finish(self._start(self._connection.fetchmany, _ROWS_AT_ONCE)):
            yield from rows


def _first_line_end(source: Source) -> str:
    """The line end of a file's first line."""
    first = next(blocks(source.file), None)
    return "\r\n" if first and first.data.partition(b"\n")[0].endswith(b"\r") else "\n"


def _write_duckdb_safe(source: Source, validator: RowValidator, copy: BinaryIO, stop: StopRequest) -> None:
    """Copy the file line by line for DuckDB, with ``?`` in place of each line that DuckDB could misread."""
    in_open_cell, at_start = False, True
    for block in blocks(source.file, validator.delimiter, stop=stop):
        data = block.data.replace(b"\r\n", b"\n")
        if at_start and data.startswith(BOM):
            copy.write(BOM)  # DuckDB removes one, and the file's own has been removed
        at_start = False
        if not in_open_cell and not block.abridged and validator.duckdb_safe(data):
            copy.write(data if data.endswith(b"\n") else data + b"\n")
            continue
        for line in block.lines():
            unsafe = in_open_cell or block.abridged or not validator.duckdb_safe(line)
            copy.write(b"?\n" if unsafe else line + b"\n")
            in_open_cell = validator.leaves_cell_open(line, in_open_cell)
    copy.flush()


def _copy(query: str, path: str) -> str:
    """Return the statement that writes a query's rows to a temporary file."""
    # Version 2 needs half the bytes per number, and takes no longer than a table in memory.
    return (
        f"COPY ({query}) TO '{path}' (FORMAT parquet, PARQUET_VERSION v2, COMPRESSION uncompressed, USE_TMP_FILE false)"
    )


def _recognized(path: str) -> str:
    return f"SELECT file_row_number + 1 AS line, number FROM read_parquet('{path}', file_row_number = true)"


def _valid(numbers: list[str]) -> str:
    """Return the query for line and number of all valid rows of a file."""
    first, *others = numbers
    queries = [f"{_recognized(first)} WHERE number IS NOT NULL", *(f"FROM read_parquet('{path}')" for path in others)]
    return " UNION ALL ".join(queries)


class _CodesInFile:
    """The codes of the results in a temporary file, of which only the pages in use are in memory."""

    _MOST_PAGES = 10_000

    def __init__(self, lines: int) -> None:
        self.file = temporary_file()
        self._lines = lines
        self._pages = 0
        for start in range(0, lines, 1 << 20):  # with no room for a page later, the system would kill the process
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
