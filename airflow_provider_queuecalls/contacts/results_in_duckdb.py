"""The results for large files: DuckDB recognizes the rows that are valid and sent unchanged, and compares the numbers.

Memory is bounded, whatever the size of the files, and DuckDB never spills to the disk: the numbers are in our own
temporary files, which have no name, and are compared in parts that fit into DuckDB's memory.
"""

# ruff: noqa: S608 - a query is built from our own constants, never from a value in a file

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from typing import BinaryIO, overload

from airflow_provider_queuecalls.contacts.duckdb_session import Session, copy_to_parquet, read_lines
from airflow_provider_queuecalls.contacts.files import Source, path_of, temporary_file
from airflow_provider_queuecalls.contacts.lines import BOM, blocks
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

#: DuckDB's memory per contact in a part. It needs about 60 bytes to group the numbers.
_BYTES_PER_CONTACT = 128


class ResultsInDuckDB(Results):
    """Each file's numbers are in Parquet files: one with a row per line, NULL for each line that the fast path does not
    recognize, and one with (line, number) for the lines among these that are valid nevertheless."""

    def __init__(self, memory_mb: int, stop: StopRequest, advance: Advance) -> None:
        super().__init__()
        self._stop = stop
        self._advance = advance
        self._suppressed: list[str] = []
        self._bytes_read = 0
        self._contacts_at_once = (memory_mb << 20) // _BYTES_PER_CONTACT
        self._closing = StopRequest()
        self._duckdb = Session(memory_mb, stop)

    def close(self) -> None:
        """Interrupt what is running, and release memory and disk space."""
        self._closing.request()
        self._duckdb.close()

    def add_suppression_list(self, source: Source, validator: RowValidator) -> Counts:
        counts: dict[str, tuple[int, int]] = {}
        _, numbers = self._read(source, validator)
        for line, code in self._check_others(source, validator, numbers):
            add_to_counts(counts, line, code)
        self._suppressed.append(_valid(numbers))
        return counts

    def read_contacts(self, source: Source, validator: RowValidator) -> Reading:
        digest = self._duckdb.threads.submit(file_digest, source.file, self._closing)
        seen, numbers = self._read(source, validator)
        self._codes = _CodesInFile(seen.lines)
        self._duckdb.keep(self._codes.file)
        for line, code in self._check_others(source, validator, numbers):
            self._codes[line - 1] = code
        self._duckdb.run(f"CREATE VIEW contacts AS {_valid(numbers)}")
        with self._stop.calling(self._closing.request):
            return Reading(seen.lines, seen.bom, seen.lone_cr, digest.result())

    def _read(self, source: Source, validator: RowValidator) -> tuple[Survey, list[str]]:
        """Extract the numbers of the rows that the fast path recognizes. Returns the path of the file with them.

        DuckDB reads the file at once, in parallel with our own survey. If the survey finds that DuckDB may have misread
        a line, the result is discarded, and DuckDB reads a copy that it cannot misread.
        """
        expected_end = _first_line_end(source)
        numbers = self._duckdb.new_file()
        running = self._duckdb.start(self._extract_numbers, source.address(), expected_end, validator, numbers)
        seen = survey(source, validator, self._stop, self._advance)
        if seen.line_ends <= {expected_end} and seen.duckdb_safe:
            self._duckdb.finish(running)
        else:
            self._duckdb.interrupt(running)
            with temporary_file() as copy:
                _write_duckdb_safe(source, validator, copy, self._stop)
                self._duckdb.finish(self._duckdb.start(self._extract_numbers, path_of(copy), "\n", validator, numbers))
        lines = self._duckdb.value(f"SELECT count(*) FROM read_parquet('{numbers}')")
        assert_same_lines(source, seen.lines, lines)
        self._bytes_read += source.size
        return seen, [numbers]

    def _extract_numbers(self, path: str, line_end: str, validator: RowValidator, numbers: str) -> None:
        """Let DuckDB read a file of lines that it cannot misread, each of which ends with ``line_end``."""
        recognized, number = validator.fast_path_sql()
        query = f"SELECT CASE WHEN {recognized} THEN {number} END AS number FROM {read_lines(line_end)}"
        self._duckdb.connection.execute(copy_to_parquet(query, numbers), {"path": path})

    def _check_others(self, source: Source, validator: RowValidator, numbers: list[str]) -> Iterator[tuple[int, int]]:
        """Check the lines that the fast path does not recognize in Python. Yields each with its code.

        Adds a file with the numbers of those that are valid to ``numbers``.
        """
        query = f"SELECT line FROM ({_recognized(numbers[0])}) WHERE number IS NULL"
        others = (line for (line,) in self._duckdb.stream(query))
        with temporary_file() as valid:
            for line, number, code in line_results(source, validator, others, self._stop):
                if number is not None:
                    valid.write(b"%d,%d\n" % (line, number))
                yield line, code
            if valid.tell():
                valid.flush()
                numbers.append(self._duckdb.new_file())
                columns = "auto_detect = false, columns = {'line': 'BIGINT', 'number': 'BIGINT'}"
                self._duckdb.run(copy_to_parquet(f"FROM read_csv('{path_of(valid)}', {columns})", numbers[1]))

    def mark_repeats(self, *, look_for_duplicates: bool) -> None:
        """Compare the numbers in parts, each of which fits into memory. Every part reads all files, which is fast."""
        if not (self._suppressed or look_for_duplicates):
            return
        if self._suppressed:
            self._duckdb.run(f"CREATE VIEW suppressed AS {' UNION ALL '.join(self._suppressed)}")
        count = self._duckdb.value("SELECT count(*) FROM contacts")
        parts = -(-count // self._contacts_at_once)
        for part in range(parts):
            self._mark_part(f"hash(number) % {parts} = {part}", look_for_duplicates)
            self._advance(self._bytes_read // parts)

    def _mark_part(self, in_part: str, look_for_duplicates: bool) -> None:
        suppressed, duplicate = CODES["suppressed"], CODES["duplicate"]
        self._duckdb.run(
            "CREATE OR REPLACE TABLE numbers AS SELECT number, min(line) AS first, count(*) > 1 AS repeated "
            f"FROM contacts WHERE {in_part} GROUP BY number {'' if self._suppressed else 'HAVING repeated'}"
        )
        if self._suppressed:
            for (first,) in self._duckdb.stream(
                f"SELECT first FROM suppressed JOIN numbers USING (number) WHERE {in_part}"
            ):
                self._codes[first - 1] = suppressed
        if self._duckdb.value("SELECT bool_or(repeated) FROM numbers"):
            repeats = (
                "SELECT line, first FROM contacts JOIN (FROM numbers WHERE repeated) USING (number) "
                f"WHERE {in_part} AND line <> first"
            )
            for line, first in self._duckdb.stream(repeats):
                if self._codes[first - 1] == suppressed:
                    self._codes[line - 1] = suppressed
                elif look_for_duplicates:
                    self._codes[line - 1] = duplicate


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
