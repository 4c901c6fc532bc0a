"""The results for large files: DuckDB checks the lines that it cannot misread, and compares the numbers.

Memory is bounded, whatever the size of the files, and DuckDB never spills to the disk: the numbers are in our own
temporary files, which have no name, and are compared in parts that fit into DuckDB's memory.
"""

# ruff: noqa: S608 - a query is built from our own constants, never from a value in a file

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import BinaryIO

from airflow_provider_queuecalls.contacts.hours.check import HoursCheck
from airflow_provider_queuecalls.contacts.hours.places import Place
from airflow_provider_queuecalls.contacts.row_results.base import (
    CODES,
    OUTSIDE_HOURS,
    RESULTS,
    SENT,
    Counts,
    Results,
    Survey,
    add_to_counts,
    assert_same_lines,
    line_results,
    survey,
)
from airflow_provider_queuecalls.contacts.row_results.call_limit import NumberCheck
from airflow_provider_queuecalls.contacts.row_results.codes_in_file import CodesInFile
from airflow_provider_queuecalls.contacts.rows.in_duckdb import UNSAFE, ListRowsInDuckDB, RowsInDuckDB
from airflow_provider_queuecalls.contacts.rows.validator import BLANK, RowValidator
from airflow_provider_queuecalls.files.duckdb_session import Session, copy_to_parquet, read_lines
from airflow_provider_queuecalls.files.lines import BOM, blocks
from airflow_provider_queuecalls.files.reading import Source, file_digest
from airflow_provider_queuecalls.files.writing import path_of, temporary_file
from airflow_provider_queuecalls.progress import Advance
from airflow_provider_queuecalls.stopping import StopRequest

#: DuckDB's memory per contact in a part. It needs about 60 bytes to group the numbers.
_BYTES_PER_CONTACT = 128
#: How many numbers are looked at to find ranges of about the same size, and a number that no phone has.
_SAMPLE = 100_000
_GREATER_THAN_ANY = 10**15
#: How many lines get their codes at once.
_LINES_AT_ONCE = 64 << 20
#: 0xff for each code of a line that is not sent.
_NOT_SENT = bytes(0 if result in SENT else 0xFF for result in RESULTS).ljust(256, b"\xff")


class ResultsInDuckDB(Results):
    """Each file's numbers are in Parquet files, see :class:`_Lines`.

    :param built: the suppression lists that were built, which only DuckDB reads
    :param limit: how often a number may be called, by a record that only DuckDB compares
    """

    _codes: CodesInFile

    def __init__(
        self,
        memory_mb: int,
        stop: StopRequest,
        advance: Advance,
        *,
        built: Sequence[Source] = (),
        limit: NumberCheck | None = None,
    ) -> None:
        super().__init__(stop, advance)
        paths = (source.address().replace("'", "''") for source in built)
        self._suppressed = [f"SELECT NULL AS line, number FROM read_parquet('{path}')" for path in paths]
        self._bytes_read = sum(source.size for source in built)
        self._limit = limit
        self._memory = memory_mb << 20
        self._digest: Future[str] | None = None
        self._closing = StopRequest()
        #: For each place, some of its lines that may be sent, and the queries of all, with their parameters.
        self._lines_at = defaultdict[Place, list[tuple[Sequence[int], str, Mapping[str, object]]]](list)
        self._duckdb = Session(memory_mb, stop)

    def close(self) -> None:
        """Interrupt what is running, and release memory and disk space."""
        self._closing.request()
        self._duckdb.close()

    def add_suppression_list(self, source: Source, validator: RowValidator) -> Counts:
        _, lines = self._read(source, validator, ListRowsInDuckDB(validator))
        counts: dict[str, tuple[int, int]] = {}
        for line, code in self._check_others(source, validator, lines):
            add_to_counts(counts, line, code)
        by_code = f"SELECT code, count(*), min(line) FROM ({lines.known}) GROUP BY code"
        for code, count, line in self._duckdb.stream(by_code):
            add_to_counts(counts, line, code, count)
        self._suppressed.append(lines.valid)
        return counts

    def read_contacts(self, source: Source, validator: RowValidator) -> Survey:
        seen, lines = self._read(source, validator, RowsInDuckDB(validator))
        self._codes = CodesInFile(seen.lines)
        self._duckdb.keep(self._codes.file)
        all_valid = True
        for line, code in self._check_others(source, validator, lines):
            self._codes[line - 1] = code
            all_valid = all_valid and code == CODES["valid"]
        if self._mark(f"SELECT line, code FROM ({lines.known}) WHERE code <> {CODES['valid']}"):
            all_valid = False
        if validator.hours:
            self._count_places(lines, validator.hours)
        self._duckdb.run(f"CREATE VIEW contacts AS {lines.valid}")
        if all_valid:  # the file itself may be sent
            self._digest = self._duckdb.threads.submit(file_digest, source.file, self._closing)
        return seen

    def digest(self, source: Source) -> str:
        if self._digest is None:
            return super().digest(source)
        with self._stop.calling(self._closing.request):
            return self._digest.result()

    def _read(self, source: Source, validator: RowValidator, rows: RowsInDuckDB) -> tuple[Survey, _Lines]:
        """Let DuckDB check the lines of a file.

        DuckDB reads the file at once, in parallel with our own survey. If the survey finds that DuckDB may have misread
        a line, the result is discarded, and DuckDB reads a copy that it cannot misread.
        """
        expected_end = _first_line_end(source)
        checked = self._duckdb.new_file()
        running = self._duckdb.start(self._check_lines, source.address(), expected_end, rows, checked)
        seen = survey(source, validator, self._stop, self._advance)
        if seen.line_ends <= {expected_end} and seen.duckdb_safe:
            self._duckdb.finish(running)
        else:
            self._duckdb.interrupt(running)
            with temporary_file() as copy:
                _write_duckdb_safe(source, validator, copy, self._stop)
                self._duckdb.finish(self._duckdb.start(self._check_lines, path_of(copy), "\n", rows, checked))
        assert_same_lines(source, seen.lines, self._duckdb.value(f"SELECT count(*) FROM read_parquet('{checked}')"))
        self._bytes_read += source.size
        first_row = f"SELECT line FROM ({_numbered(checked)}) WHERE code <> {CODES[BLANK]} LIMIT 1"
        found = next((line for (line,) in self._duckdb.stream(first_row)), seen.lines)
        return seen, _Lines(checked, found, seen.quoted)

    def _check_lines(self, path: str, line_end: str, rows: RowsInDuckDB, checked: str) -> None:
        """Let DuckDB read a file of lines that it cannot misread, each of which ends with ``line_end``."""
        cases = " ".join(
            f"WHEN {condition} THEN {'NULL' if result is None else CODES[result]}"
            for condition, result in rows.results()
        )
        number = f"""CASE WHEN code = {CODES["valid"]} THEN {rows.valid_number()}
            WHEN code IN ({CODES["normalized"]}, {CODES[OUTSIDE_HOURS]}) THEN {rows.number()} END AS number"""
        zone = f", {rows.zone()} AS zone" if rows.hours else ""
        query = f"""SELECT code, {number}{zone}
            FROM (SELECT cells, CAST(CASE {cases} END AS UTINYINT) AS code
                FROM ({rows.cells(read_lines(line_end))}))"""
        self._duckdb.connection.execute(copy_to_parquet(query, checked), {"path": path})

    def _check_others(self, source: Source, validator: RowValidator, lines: _Lines) -> Iterator[tuple[int, int]]:
        """Check in Python the lines whose result DuckDB does not know, and those that begin within a quoted cell. Yields
        each with its code."""
        others = chain(range(1, lines.first_row + 1), (line for (line,) in self._duckdb.stream(lines.others)))
        first_at = dict[Place, int]()
        with temporary_file() as results:
            for result in line_results(source, validator, others, self._stop):
                self._add_place(result)
                number = place = b""
                if result.number is not None:
                    number = b"%d" % result.number
                    if result.place is not None:
                        place = b"%d" % first_at.setdefault(result.place, result.line)
                results.write(b"%d,%s,%s\n" % (result.line, number, place))
                yield result.line, result.code
            if results.tell():
                results.flush()
                lines.checked_in_python = self._duckdb.new_file()
                columns = (
                    "auto_detect = false, columns = {'line': 'BIGINT', 'number': 'BIGINT', 'first_at_place': 'BIGINT'}"
                )
                query = f"FROM read_csv('{path_of(results)}', {columns})"
                self._duckdb.run(copy_to_parquet(query, lines.checked_in_python))
                at_place = f"SELECT line FROM read_parquet('{lines.checked_in_python}') WHERE first_at_place = $first"
                for each, first in first_at.items():
                    self._lines_at[each].append(([first], at_place, {"first": first}))

    def mark_by_number(self, *, look_for_duplicates: bool) -> None:
        """Compare the numbers in parts, each of which fits into memory. Every part reads all files, which is fast."""
        limit = self._limit
        in_parts = self._in_parts("contacts", weight=2 if limit else 1)
        if self._suppressed:
            self._duckdb.run(f"CREATE VIEW suppressed AS {' UNION ALL '.join(self._suppressed)}")
        if limit:
            limit.read_record(self._duckdb)
        for in_part in in_parts:
            if self._suppressed:
                self._mark_suppressed(in_part)
            if limit:
                anti = "ANTI JOIN found USING (number)" if self._suppressed else ""
                contacts = f"SELECT line, number FROM contacts {anti} WHERE {in_part}"
                too_often = limit.too_often(self._duckdb, contacts, keep=not look_for_duplicates)
                self._mark(f"SELECT line, {CODES['called_too_often']} AS code FROM ({too_often})")
        if look_for_duplicates:
            for start, end in self._ranges():
                firsts = 0
                for in_part in in_parts:
                    lines = f"SELECT min(line) AS line, 0 AS code FROM contacts WHERE {in_part} GROUP BY number"
                    firsts |= sum(int.from_bytes(bits, "big") for _, bits in self._bits(lines, start, end))
                size = -(-(end - start) // 8)
                others = (1 << 8 * size) - 1 & ~firsts
                self._codes.put(start, others.to_bytes(size, "big"), CODES["duplicate"], keep=_NOT_SENT)
        self._advance(self._bytes_read)

    def _in_parts(self, view: str, *, weight: int = 1) -> list[str]:
        """Conditions that divide the numbers of a view into ranges that fit into memory.

        Of a list that is sorted by number, DuckDB then reads only what is in the range.
        """
        count = self._duckdb.value(f"SELECT count(*) FROM {view}")
        parts = -(-count * weight * _BYTES_PER_CONTACT // self._memory)
        if parts < 2:
            return ["true"] * parts
        shares = [part / parts for part in range(1, parts)]
        # Not a sample of DuckDB's: in 1.2, it makes ranges of very different sizes.
        sample = f"(SELECT number FROM {view} WHERE hash(number) % {-(-count // _SAMPLE)} = 0)"
        bounds = sorted(set(self._duckdb.value(f"SELECT quantile_disc(number, {shares}) FROM {sample}") or ()))
        return [f"number >= {start} AND number < {end}" for start, end in pairwise([0, *bounds, _GREATER_THAN_ANY])]

    def _mark_suppressed(self, in_part: str) -> None:
        self._duckdb.run(
            "CREATE OR REPLACE TABLE found AS SELECT DISTINCT number FROM suppressed "
            f"SEMI JOIN (SELECT number FROM contacts WHERE {in_part}) USING (number) WHERE {in_part}"
        )
        if self._duckdb.value("SELECT count(*) FROM found"):
            self._mark(f"SELECT line, {CODES['suppressed']} AS code FROM contacts SEMI JOIN found USING (number)")

    def _count_places(self, lines: _Lines, hours: HoursCheck) -> None:
        is_outside = f"code = {CODES[OUTSIDE_HOURS]}"
        counts = f"""SELECT any_value(number), zone, {is_outside} AS outside, count(*), min(line), max(line)
            FROM ({lines.known}) WHERE number IS NOT NULL GROUP BY number // 10000000, zone, outside"""
        at_place = f"""SELECT line FROM ({lines.known}) WHERE number IS NOT NULL AND NOT {is_outside}
            AND number // 10000000 = $area AND zone = $zone"""
        for number, zone, outside, count, first, last in self._duckdb.stream(counts):
            place = hours.place(number, zone)
            self._places[place, outside] += count
            if not outside:
                self._lines_at[place].append(((first, last), at_place, {"area": number // 10_000_000, "zone": zone}))

    def _lines(self, place: Place) -> Iterator[int]:
        # First those that are known: nearly always, one of them is sent.
        for some, _, _ in self._lines_at[place]:
            yield from some
        for _, query, parameters in self._lines_at[place]:
            yield from (line for (line,) in self._duckdb.stream(query, parameters))

    def _mark(self, lines_and_codes: str) -> bool:
        """Give the lines of a query their codes. Returns whether there are any."""
        found = False
        for start, end in self._ranges():
            for code, bits in self._bits(lines_and_codes, start, end):
                self._codes.put(start, bits, code)
                found = True
        return found

    def _ranges(self) -> Iterator[tuple[int, int]]:
        """Ranges of lines whose bits fit into memory, each as the first line minus 1, and the last line."""
        lines = len(self._codes)
        return ((start, min(start + _LINES_AT_ONCE, lines)) for start in range(0, lines, _LINES_AT_ONCE))

    def _bits(self, lines_and_codes: str, start: int, end: int) -> Iterator[tuple[int, bytes]]:
        """For each code in a query, a bit for each line of a range, and some zeros after the last."""
        last = start + -(-(end - start) // 8) * 8
        yield from self._duckdb.stream(
            f"SELECT code, CAST(bitstring_agg(line, {start + 1}, {last}) AS BLOB) FROM ({lines_and_codes}) "
            f"WHERE line BETWEEN {start + 1} AND {end} GROUP BY code"
        )


@dataclass
class _Lines:
    """What is known of a file's lines, as queries.

    :param checked: A Parquet file with a row for each line: the code of its result, NULL where Python must check it, and
        its number if it is valid.
    :param first_row: The first line that is known to be a row. Up to it, Python checks every line, since any of them may
        be the first row, which may name the columns.
    :param quoted: Whether a line may begin within a quoted cell.
    :param checked_in_python: A Parquet file with the lines that Python has checked: line, number, and, with calling hours, the
        first of these lines at the same place; NULL if they are not valid.
    """

    checked: str
    first_row: int
    quoted: bool
    checked_in_python: str | None = None

    @property
    def known(self) -> str:
        """The lines that only DuckDB has checked, each with its code and its number."""
        query = f"FROM ({_numbered(self.checked)})"
        if self.quoted and self.checked_in_python:
            query += f" ANTI JOIN read_parquet('{self.checked_in_python}') USING (line)"
        return f"{query} WHERE code IS NOT NULL AND line > {self.first_row}"

    @property
    def others(self) -> str:
        """The lines after the first row that Python must check, in their order, which DuckDB 1.2 loses with an OR."""
        return f"SELECT line FROM ({_numbered(self.checked)}) WHERE code IS NULL AND line > {self.first_row}"

    @property
    def valid(self) -> str:
        """Line and number of all valid lines."""
        query = f"SELECT line, number FROM ({self.known}) WHERE number IS NOT NULL AND code <> {CODES[OUTSIDE_HOURS]}"
        if self.checked_in_python:
            query += (
                f" UNION ALL SELECT line, number FROM read_parquet('{self.checked_in_python}') WHERE number IS NOT NULL"
            )
        return query


def _numbered(path: str) -> str:
    return f"SELECT file_row_number + 1 AS line, * EXCLUDE file_row_number FROM read_parquet('{path}', file_row_number = true)"


def _first_line_end(source: Source) -> str:
    """The line end of a file's first line."""
    first = next(blocks(source.file), None)
    return "\r\n" if first and first.data.partition(b"\n")[0].endswith(b"\r") else "\n"


def _write_duckdb_safe(source: Source, validator: RowValidator, copy: BinaryIO, stop: StopRequest) -> None:
    """Copy the file for DuckDB, with :data:`UNSAFE` in place of lines that DuckDB could misread."""
    unsafe, at_start = UNSAFE.encode(), True
    for block in blocks(source.file, validator.delimiter, stop):
        if at_start and block.data.startswith(BOM):
            copy.write(BOM)  # DuckDB removes one, and the file's own has been removed
        at_start = False
        lines = [unsafe] if block.abridged else block.lines
        if not validator.duckdb_safe(b"\n".join(lines)):
            lines = [line if validator.duckdb_safe(line) else unsafe for line in lines]
        copy.write(b"\n".join([*lines, b""]))
    copy.flush()
