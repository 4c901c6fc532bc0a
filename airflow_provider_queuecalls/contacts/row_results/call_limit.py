"""How often a number may be called in a period of time: ``max_per_period``, by the record of earlier campaigns.

The record has a keyed hash of each number, and DuckDB joins the contacts with it, in parts that fit into memory.
"""

# ruff: noqa: S608 - a query is built from our own constants and paths of temporary files

from __future__ import annotations

import csv
import hmac
import io
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple, Protocol, TypeVar

from airflow_provider_queuecalls.contacts.rows.phone_numbers import NUMBER_POSTED
from airflow_provider_queuecalls.files.duckdb_session import Session, copy_to_parquet
from airflow_provider_queuecalls.files.writing import path_of, temporary_file
from airflow_provider_queuecalls.parameters import Parameter, ValueType
from airflow_provider_queuecalls.stopping import StopRequest
from airflow_provider_queuecalls.value_types import type_name

#: A period is not longer, in days.
LONGEST_PERIOD = 366
#: A hash has this many bytes: with 10 million contacts and 100 million numbers on record, the probability that any two
#: different ones have the same is 1 to 18,000.
HASH_BYTES = 8
#: How long a part of the record is, and how many hashes are read into one file.
PART_BYTES = 1 << 20
_HASHES_AT_ONCE = 10_000_000
_HOUR = 3_600
_LIMIT = re.compile(r"([1-9][0-9]{0,5})\s*/\s*([1-9][0-9]{0,3})\s*([hd])")


class CallLimit(NamedTuple):
    """At most this many calls to a number in a period of so many seconds."""

    most: int
    period: int

    def __str__(self) -> str:
        hours = self.period // _HOUR
        return f"{self.most}/{f'{hours // 24}d' if hours % 24 == 0 and hours > 24 else f'{hours}h'}"


def _read_limit(value: object, _: Parameter) -> CallLimit:
    if isinstance(value, CallLimit):
        return value
    if not isinstance(value, str):
        raise ValueError(type_name(value))
    match = _LIMIT.fullmatch(value.strip())
    if not match:
        raise ValueError("is not a number of calls and a period")
    hours = int(match[2]) * (24 if match[3] == "d" else 1)
    if hours > LONGEST_PERIOD * 24:
        raise ValueError("has a period that is too long")
    return CallLimit(int(match[1]), hours * _HOUR)


#: The parameter.
#:
#: :meta hide-value:
PARAMETERS: tuple[Parameter, ...] = (
    Parameter(
        name="max_per_period",
        type=ValueType(
            f"a number of calls from 1 to 999,999, '/', and a period in hours or days of at most {LONGEST_PERIOD} days, such as "
            "'3/24h' or '5/7d'", _read_limit,
        ),
        default_doc="[queuecalls] max_per_period of Airflow's configuration; if that is not set, there is no limit",
        doc="How often a number may be called in a period of time, by all campaigns that have a limit. Requires "
        "[queuecalls] results_database and results_secret. A contact who would be called more often is rejected. A value that "
        "renders to an empty string is an error.",
        empty_is_unset=False,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class NumberKey:
    """What a record hashes numbers with: a key that is derived from a secret, which is not on record.

    ``name`` says on record which secret it was.
    """

    key: bytes
    name: str

    @classmethod
    def of(cls, secret: str) -> NumberKey:
        """The key that is derived from a secret."""
        return cls(
            hmac.digest(secret.encode(), b"queuecalls numbers", "sha256"),
            hmac.digest(secret.encode(), b"queuecalls name of the key", "sha256").hex()[:16],
        )

    @property
    def parameters(self) -> Mapping[str, bytes]:
        """The parameters of :data:`HASH`."""
        padded = self.key.ljust(64, b"\0")  # the block size of SHA-256
        return {"inner": bytes(byte ^ 0x36 for byte in padded), "outer": bytes(byte ^ 0x5C for byte in padded)}


#: The first bytes of HMAC-SHA256 of a ``number``'s digits, as an integer.
HASH = (
    "CAST('0x' || left(sha256($outer || unhex(sha256($inner || CAST(CAST(number AS VARCHAR) AS BLOB)))), "
    f"{2 * HASH_BYTES}) AS UBIGINT)"
)


class OwnRecord(Protocol):
    """What one campaign has on record."""

    @property
    def key(self) -> NumberKey:
        """The key of the hashes that this campaign puts on record."""

    def own(self) -> Iterable[tuple[NumberKey, Iterator[bytes]]]:
        """The hashes of the numbers that this very campaign has on record, by the key that they were made with."""


class CallRecord(OwnRecord, Protocol):
    """The record of earlier campaigns, as far as they count for one campaign."""

    @property
    def limit(self) -> CallLimit:
        """How often a number may be called."""

    def earlier(self) -> Iterable[tuple[NumberKey, Iterator[bytes]]]:
        """The hashes of the numbers that other campaigns call, by the key that they were made with."""

    def attempts(self) -> Iterator[Sequence[tuple[str, int]]]:
        """The results of these other campaigns that report another number of attempts than 1, a block at a time."""


T = TypeVar("T", bound="NumberCheck")


class NumberCheck(ABC):
    """Compares the contacts of one check with a record. Close it, or use it in a ``with`` statement.

    :param stop: ends the reading of the record
    """

    def __init__(self, stop: StopRequest) -> None:
        self.stop = stop
        self._files = ExitStack()
        self._tables: dict[tuple[str, NumberKey], str] = {}

    def close(self) -> None:
        """Delete the temporary files."""
        self._files.close()

    def __enter__(self: T) -> T:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def read_record(self, session: Session) -> None:
        """Read the record, before the first part of the contacts is compared with it."""

    @abstractmethod
    def too_often(self, session: Session, contacts: str, *, keep: bool) -> str:
        """Compare a part of the contacts, a query of line and number. Returns a query of the lines that are rejected.

        :param keep: each row of a number is one more call. Otherwise a number is called once, whatever its rows.
        """

    def _keep(self, name: str, found: Iterable[tuple[NumberKey, Iterator[bytes]]], session: Session) -> None:
        """Keep the hashes of a part of the record, which has this name."""
        for key, hashes in found:
            if table := self._read(hashes, session):
                self._tables[name, key] = table

    def _make_tables(self, session: Session, contacts: str, last: NumberKey, *, keep: bool) -> None:
        """Make the tables ``asked``, with each number and how often it would be called, and ``earlier`` and ``own``, with the
        numbers on record and their calls. A fourth one, ``hashed``, has the hashes of the asked numbers with the last key."""
        session.run(
            f"CREATE OR REPLACE TABLE asked AS SELECT number, {'count(*)' if keep else '1'} AS rows FROM ({contacts}) GROUP BY number"
        )
        for name in ("earlier", "own"):
            session.run(f"CREATE OR REPLACE TABLE {name} (number BIGINT, calls BIGINT)")
        for key in [*{key for _, key in self._tables} - {last}, last]:
            session.run(f"CREATE OR REPLACE TABLE hashed AS SELECT number, {HASH} AS hash FROM asked", key.parameters)
            for name in ("earlier", "own"):
                if table := self._tables.get((name, key)):
                    # The hash table is built from the contacts: the record may be long.
                    found = f"SELECT hash, count(*) AS calls FROM {table} SEMI JOIN hashed USING (hash) GROUP BY hash"
                    session.run(f"INSERT INTO {name} SELECT number, calls FROM hashed JOIN ({found}) USING (hash)")

    def _read(self, hashes: Iterator[bytes], session: Session) -> str:
        """Write hashes to files, and return the table of them for queries; empty if there are none."""
        paths = [self._new_file(f"SELECT hash FROM {_lines(file)}", session) for file in _in_files(hashes, self.stop)]
        return f"read_parquet({paths})" if paths else ""

    def _new_file(self, query: str, session: Session) -> str:
        path = path_of(self._files.enter_context(temporary_file()))
        session.run(copy_to_parquet(query, path))
        return path


def _lines_over(contacts: str, *, keep: bool) -> str:
    """A query of the lines of numbers in the table ``over``, after the first ``free`` rows of each."""
    if not keep:
        return f"SELECT line FROM ({contacts}) SEMI JOIN over USING (number)"
    place = "row_number() OVER (PARTITION BY number ORDER BY line) AS place"
    return f"SELECT line FROM (SELECT line, number, {place} FROM ({contacts}) SEMI JOIN over USING (number)) JOIN over USING (number) WHERE place > free"


class LimitCheck(NumberCheck):
    """Finds the contacts of one check who were called too often, and keeps the hashes of the others.

    :param memory_mb: the memory that DuckDB may use when the hashes are put on record, in MiB
    """

    def __init__(self, record: CallRecord, memory_mb: int, stop: StopRequest) -> None:
        super().__init__(stop)
        self.record = record
        self.memory_mb = memory_mb
        #: Files with hash, rows that are sent, and calls, one for each part of the contacts.
        self._sent: list[str] = []
        self._attempts = ""

    def read_record(self, session: Session) -> None:
        self._keep("earlier", self.record.earlier(), session)
        self._keep("own", self.record.own(), session)
        with temporary_file() as posted:
            text = io.TextIOWrapper(posted, "utf-8", newline="")
            for rows in self.record.attempts():
                csv.writer(text, lineterminator="\n").writerows(rows)
            text.flush()
            if posted.tell():
                columns = "{'phone_number': 'VARCHAR', 'attempts': 'BIGINT'}"
                query = (
                    f"SELECT {NUMBER_POSTED} AS number, attempts FROM read_csv('{path_of(posted)}', header = false, "
                    f"auto_detect = false, columns = {columns}, quote = '\"', escape = '\"')"
                )
                self._attempts = self._new_file(query, session)
            text.detach()

    def too_often(self, session: Session, contacts: str, *, keep: bool) -> str:
        limit = self.record.limit
        # The key of the hashes that are put on record comes last.
        self._make_tables(session, contacts, self.record.key, keep=keep)
        if self._attempts:
            session.run(
                "INSERT INTO earlier SELECT number, sum(attempts - 1) FROM "
                f"read_parquet('{self._attempts}') SEMI JOIN earlier USING (number) GROUP BY number"
            )
        # A number that this campaign has on record keeps its place: others have counted it since.
        session.run(
            "CREATE OR REPLACE TABLE counted AS SELECT number, rows, coalesce(calls, 0) AS calls FROM asked "
            "LEFT JOIN (SELECT number, greatest(sum(calls), 0) AS calls FROM earlier ANTI JOIN own USING (number) GROUP BY number) "
            "USING (number)"
        )
        sent = f"least(rows, greatest({limit.most} - calls, 0))"
        query = f"SELECT hash, CAST({sent} AS BIGINT) AS rows, CAST(calls AS BIGINT) AS calls FROM counted JOIN hashed USING (number) WHERE {sent} > 0"
        self._sent.append(self._new_file(query, session))
        session.run(
            f"CREATE OR REPLACE TABLE over AS SELECT number, {limit.most} - calls AS free FROM counted WHERE rows + calls > {limit.most}"
        )
        return _lines_over(contacts, keep=keep)

    def hashes(self, session: Session) -> Iterator[bytes]:
        """The hashes of all contacts that are sent, one for each call. Sorted, so that they do not reveal the order of
        the list."""
        for path in self._sent:
            with temporary_file() as file:
                hashes = f"SELECT format('{{:016x}}', hash) AS hash FROM (SELECT hash, unnest(range(rows)) FROM read_parquet('{path}')) ORDER BY hash"
                session.run(f"COPY ({hashes}) TO '{path_of(file)}' (FORMAT csv, HEADER false, USE_TMP_FILE false)")
                while text := file.read(PART_BYTES // HASH_BYTES * (2 * HASH_BYTES + 1)):
                    yield bytes.fromhex(text.decode())

    def exceeded(self, session: Session, hashes: Iterator[bytes]) -> int:
        """How many of the contacts that are sent would be called too often if further hashes counted too."""
        exceeded, more = 0, self._read(hashes, session)
        for path in self._sent if more else ():
            session.run(f"CREATE OR REPLACE TABLE sent AS FROM read_parquet('{path}')")
            exceeded += session.value(
                f"SELECT count(*) FROM sent JOIN (SELECT hash, count(*) AS more FROM {more} SEMI JOIN sent USING (hash) GROUP BY hash) "
                f"USING (hash) WHERE more + rows + calls > {self.record.limit.most}"
            )
        return exceeded


class SentCheck(NumberCheck):
    """Finds the contacts of a list who were not sent with it, since they had been called too often by then."""

    def __init__(self, record: OwnRecord, stop: StopRequest) -> None:
        super().__init__(stop)
        self._record = record

    def read_record(self, session: Session) -> None:
        self._keep("own", self._record.own(), session)

    def too_often(self, session: Session, contacts: str, *, keep: bool) -> str:
        self._make_tables(session, contacts, self._record.key, keep=keep)
        session.run(
            "CREATE OR REPLACE TABLE over AS SELECT number, coalesce(calls, 0) AS free FROM asked "
            "LEFT JOIN (SELECT number, sum(calls) AS calls FROM own GROUP BY number) USING (number) WHERE rows > coalesce(calls, 0)"
        )
        return _lines_over(contacts, keep=keep)


def _in_files(hashes: Iterator[bytes], stop: StopRequest) -> Iterator[BinaryIO]:
    """Write hashes to a file that DuckDB reads, and yield it whenever it is long enough, and in the end."""
    with temporary_file() as file:
        for part in hashes:
            stop.raise_if_requested()
            file.write(part.hex("\n", HASH_BYTES).encode() + b"\n")
            if file.tell() > _HASHES_AT_ONCE * (2 * HASH_BYTES + 1):
                file.flush()
                yield file
                file.seek(0)
                file.truncate()
        if file.tell():
            file.flush()
            yield file


def _lines(file: BinaryIO) -> str:
    """A query of the hashes in such a file."""
    return (
        f"(SELECT CAST('0x' || hash AS UBIGINT) AS hash FROM read_csv('{path_of(file)}', header = false, auto_detect = false, "
        "columns = {'hash': 'VARCHAR'}))"
    )
