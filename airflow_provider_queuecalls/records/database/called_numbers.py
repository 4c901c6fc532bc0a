"""The record of called numbers, for ``max_per_period``: which campaigns call which numbers, and when.

Each request that may queue a campaign is on record with hashes of its numbers before its first byte, and is removed if
nothing was queued. The hashes are keyed, and the key is not in the database.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO

from sqlalchemy import text

from airflow_provider_queuecalls.contacts.row_results.call_limit import PART_BYTES, CallLimit, LimitCheck, NumberKey
from airflow_provider_queuecalls.exceptions import (
    CheckFailed,
    InvalidCampaign,
    OutcomeUnknown,
    QueueCallsError,
    Violation,
)
from airflow_provider_queuecalls.files.duckdb_session import Session, translate_errors
from airflow_provider_queuecalls.files.writing import temporary_file
from airflow_provider_queuecalls.records.database.database import Database, forget_numbers
from airflow_provider_queuecalls.records.database.errors import translate_sqlalchemy_errors
from airflow_provider_queuecalls.value_types import counted

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

#: Taken while a request is recorded, so that each one sees all that came before. Any number that others don't take.
_LOCK = 0x71756576
#: How many parts of the record, of 1 MiB each, and how many results are read at once.
_PARTS_AT_ONCE = 8
_RESULTS_AT_ONCE = 10_000

#: A campaign counts if its calls end less than the period before those of this campaign start, and start less than the
#: period after they end. It does not matter which of them is on record first. A campaign without a known end ends at its start.
_COUNTS = "ends_at > :start - :period AND starts_at < :end + :period"
_OTHERS = f"FROM queuecalls_requests WHERE campaign_key <> :campaign_key AND {_COUNTS}"
_OWN = "FROM queuecalls_requests WHERE campaign_key = :campaign_key"
_HASHES = "SELECT hashes FROM queuecalls_numbers WHERE token IN (SELECT token {which} AND key_name = :key_name)"
_HASHES_OF = "SELECT hashes FROM queuecalls_numbers WHERE token = :token"
#: A call with one attempt counts as it does without a result.
_ATTEMPTS = f"""SELECT post.phone_number, post.attempts FROM queuecalls_calls AS known
    JOIN queuecalls_results AS post USING (campaign_key, call_key, digest)
    WHERE post.attempts <> 1 AND post.phone_number IS NOT NULL
    AND known.campaign_key IN (SELECT campaign_key {_OTHERS})"""  # noqa: S608
_RECORD = """INSERT INTO queuecalls_requests
    (token, campaign_key, key_name, contacts, period, recorded_at, starts_at, ends_at)
    VALUES (:token, :campaign_key, :key_name, :contacts, :period, :now, :start, :end)"""
_ADD_PART = "INSERT INTO queuecalls_numbers (token, part, hashes) VALUES (:token, :part, :hashes)"


class OwnNumbers:
    """What one campaign has on record. It is an :class:`~airflow_provider_queuecalls.contacts.row_results.call_limit.OwnRecord`.

    :param database: the results database; :meth:`close` closes it
    :param all_secrets: the secrets whose keys the record may be hashed with; the first one's key is used from now on
    :param campaign_key: which campaign; empty for a check by itself

    Raises :class:`CheckFailed` where the database cannot be used, and where a key is missing.
    """

    def __init__(self, database: Database, all_secrets: Sequence[str], campaign_key: str) -> None:
        self._database = database
        self._keys = {key.name: key for key in map(NumberKey.of, all_secrets)}
        self.key = next(iter(self._keys.values()))
        self._which: dict[str, Any] = {"campaign_key": campaign_key}

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def own(self) -> Iterable[tuple[NumberKey, Iterator[bytes]]]:
        """The hashes of the numbers that this campaign has on record, by their key."""
        return self._hashes(_OWN, self.key_names())

    def key_names(self) -> list[str]:
        """The names of the keys of these hashes; empty if the campaign is not on record."""
        with self._usable() as connection:
            return [name for (name,) in self._rows(connection, f"SELECT DISTINCT key_name {_OWN}")]

    def _hashes(self, which: str, names: Iterable[str]) -> Iterator[tuple[NumberKey, Iterator[bytes]]]:
        for name in dict.fromkeys(names):
            if name not in self._keys:
                raise CheckFailed(
                    "max_per_period cannot be checked: numbers on record were hashed with a secret that is no longer among "
                    "those of [queuecalls] results_secret. Add the old secret after the new one, separated by a comma, until "
                    "these campaigns are older than the period, and have been joined with their results."
                )
            yield self._keys[name], self._parts(_HASHES.format(which=which), {"key_name": name})

    def _parts(self, query: str, values: Mapping[str, str]) -> Iterator[bytes]:
        with self._usable() as connection:
            for rows in self._stream(connection, query, _PARTS_AT_ONCE, **values):
                yield from (bytes(row[0]) for row in rows)

    def _rows(self, connection: Connection, query: str) -> list[Any]:
        statement = text(query)
        names = statement.compile().params
        return list(connection.execute(statement, {name: self._which[name] for name in names}))

    def _stream(self, connection: Connection, query: str, size: int, **values: str) -> Iterator[Any]:
        statement = text(query)
        given = self._which | values
        names = statement.compile().params
        streaming = connection.execution_options(stream_results=True, max_row_buffer=size)
        yield from streaming.execute(statement, {name: given[name] for name in names}).partitions(size)

    @contextmanager
    def _usable(self, *, writes: bool = False) -> Iterator[Connection]:
        """A connection to the database. Raises :class:`CheckFailed` for an error of it."""
        try:
            with (
                translate_sqlalchemy_errors(self._database.url),
                self._database.transaction() if writes else self._database.reading(unlimited=True) as connection,
            ):
                yield connection
        except CheckFailed:
            raise
        except QueueCallsError as error:
            raise CheckFailed(f"max_per_period cannot be checked: {str(error).rstrip('.')}.") from None


class CalledNumbers(OwnNumbers):
    """The record of called numbers, as far as it counts for one campaign. It is a
    :class:`~airflow_provider_queuecalls.contacts.row_results.call_limit.CallRecord`.

    :param start: when its calls start, as a UNIX time; default is now
    :param end: when its calls end, as a UNIX time; default is at their start
    """

    def __init__(
        self,
        database: Database,
        limit: CallLimit,
        all_secrets: Sequence[str],
        *,
        campaign_key: str = "",
        start: int | None = None,
        end: int | None = None,
        log: logging.Logger | Any | None = None,
    ) -> None:
        super().__init__(database, all_secrets, campaign_key)
        self.limit = limit
        self._start = max(int(time.time()), start or 0)
        self._which |= {"start": self._start, "period": limit.period}
        self.expect_end(end)
        self._log = log or logging.getLogger(__name__)

    def expect_end(self, end: int | None) -> None:
        """Set when the calls end, before the check: the latest time that is possible if only the check finds out."""
        self._which["end"] = max(self._start, end or 0)

    def earlier(self) -> Iterable[tuple[NumberKey, Iterator[bytes]]]:
        """The hashes of the numbers that other campaigns call, by their key."""
        return self._hashes(_OTHERS, self._seen.values())

    def attempts(self) -> Iterator[Sequence[tuple[str, int]]]:
        """Number and attempts of the calls of these campaigns whose result reports another number of attempts than 1."""
        with self._usable() as connection:
            yield from self._stream(connection, _ATTEMPTS, _RESULTS_AT_ONCE)

    @contextmanager
    def recorded(
        self, sent: LimitCheck, contacts: int, ends_at: int | None, *, token: str, is_retry: bool
    ) -> Iterator[None]:
        """Have the numbers on record while the request is made. They stay unless it is known that nothing was queued.

        Of two campaigns at the same moment, the second one on record finds the first one's numbers. Raises
        :class:`CheckFailed` if it would now call somebody too often, and :class:`InvalidCampaign` if its calls end later than the
        check expected, which another try would not change.

        :param sent: the check that found out who is sent
        :param ends_at: when the calls end, as a UNIX time; None if that is not known
        :param token: that of the request's entries in the record of what was sent, by which a person's answer removes it
        :param is_retry: all earlier requests of this campaign are known to have queued nothing
        """
        expected = self._which["end"]
        self.expect_end(ends_at)
        self._which["token"] = token
        request = self._which | {"key_name": self.key.name, "contacts": contacts, "now": int(time.time())}
        with (
            translate_errors("The record of called numbers", 2 * sent.memory_mb),
            closing(Session(sent.memory_mb, sent.stop)) as session,
            temporary_file() as hashes,
        ):
            hashes.writelines(sent.hashes(session))
            late: dict[str, str] = {}
            while unseen := self._record(request, hashes, self._seen | late):
                late |= unseen  # together: each of them alone may leave a call that all of them take
                self._assert_still_allowed(late, sent, session, is_longer=self._which["end"] > expected)
        try:
            yield
        except QueueCallsError as error:
            if not (isinstance(error, OutcomeUnknown) and error.sent):
                self._remove("token = :token")
            elif is_retry:
                self._remove("token <> :token")
            raise
        if is_retry:
            self._remove("token <> :token")

    @cached_property
    def _seen(self) -> dict[str, str]:
        """The requests that count, with the names of their keys, as they were when this was asked first."""
        with self._usable() as connection:
            return self._counting(connection)

    def _counting(self, connection: Connection) -> dict[str, str]:
        return dict(map(tuple, self._rows(connection, f"SELECT token, key_name {_OTHERS}")))

    def _record(self, request: Mapping[str, Any], hashes: BinaryIO, compared: Mapping[str, str]) -> Mapping[str, str]:
        """Put the request on record, unless there are others that it was not compared with. Returns those."""
        hashes.seek(0)
        with self._usable(writes=True) as connection:
            for part, each in enumerate(iter(lambda: hashes.read(PART_BYTES), b"")):
                connection.execute(text(_ADD_PART), {"token": request["token"], "part": part, "hashes": each})
            if self._database.is_shared:  # in SQLite, nobody else writes until the transaction ends
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
            counting = self._counting(connection)
            if unseen := {token: name for token, name in counting.items() if token not in compared}:
                connection.rollback()
                return unseen
            connection.execute(text(_RECORD), request)
        return {}

    def _assert_still_allowed(
        self, late: Mapping[str, str], sent: LimitCheck, session: Session, *, is_longer: bool
    ) -> None:
        """Raise an error if somebody would be called too often, given the requests that the check has not seen.

        These were made since then. If the campaign ends later than the check expected, there may be earlier ones too.
        """
        if set(late.values()) != {self.key.name}:
            raise CheckFailed(
                "Another campaign was sent during the check with another results_secret, so its numbers could not be compared. "
                "Nothing was sent. Give all workers the same [queuecalls] results_secret. Another try checks the list again."
            )
        hashes = (part for token in late for part in self._parts(_HASHES_OF, {"token": token}))
        if not (exceeded := sent.exceeded(session, hashes)):
            return
        contacts = counted(exceeded, "contact")
        if is_longer:
            problem = (
                f"is missing, and until the end that calling_hours allow, {contacts} would be called more often than "
                f"max_per_period allows ({self.limit})"
            )
            rule = "given, so that the check finds the campaigns of that time, and rejects these contacts"
            raise InvalidCampaign([Violation("expiration_timestamp", problem, rule, "this provider")])
        raise CheckFailed(
            f"Other campaigns were sent during the check, and {contacts} of this one would now be called "
            f"more often than max_per_period allows ({self.limit}). Nothing was sent. Another try checks the list again."
        )

    def _remove(self, which: str) -> None:
        """Delete requests of this campaign. An error is only logged: their numbers count until the period is over."""
        try:
            with translate_sqlalchemy_errors(self._database.url), self._database.transaction() as connection:
                for (token,) in self._rows(connection, f"SELECT token {_OWN} AND {which}"):
                    forget_numbers(connection, token)
        except QueueCallsError as error:
            self._log.error("Numbers that were not called still count for max_per_period: %s", error)
