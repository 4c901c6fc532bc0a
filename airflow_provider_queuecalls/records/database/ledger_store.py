"""Keeps the records of what was sent in a results database, instead of a folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_provider_queuecalls.exceptions import QueueCallsError
from airflow_provider_queuecalls.records.sent.stores import SharedStore, command_arguments_for, decoded

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from airflow_provider_queuecalls.records.database.database import Database

_NAMES = "SELECT DISTINCT record_key FROM queuecalls_records"
_LAST = "SELECT generation, entry FROM queuecalls_records WHERE record_key = :name ORDER BY generation DESC LIMIT 1"
_CREATE = (
    "INSERT INTO queuecalls_records VALUES (:name, :generation, :entry) ON CONFLICT DO NOTHING RETURNING generation"
)
#: A server that confirms a commit before it is on its disk loses the last ones in a crash, after the request was sent.
_DURABLE = "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'"
#: The value of ``receipts_path`` and ``--receipts`` for this place.
DATABASE = "database"


class DatabaseStore(SharedStore):
    """One table row per entry. The primary key makes sure that each generation is created once.

    The database must be one that all workers share: in a SQLite file, each machine would have records of its own.
    """

    location = "the results database"
    exclusive = True

    def __init__(self, open_database: Callable[[], Database], name: str) -> None:
        self._open_database = open_database
        self._name = name
        self.command_arguments = command_arguments_for(name, DATABASE)

    def location_of(self, generation: int) -> str:
        return f"row ({self._name}, {generation}) of table queuecalls_records in {self.location}"

    def problem(self, error: Exception) -> str:
        return str(error).removesuffix(".") if isinstance(error, QueueCallsError) else type(error).__name__

    def probe(self) -> bool:
        with self._transaction() as connection:
            self._create(connection, 1, {})
            connection.rollback()
        return self.exclusive

    def names(self) -> list[str]:
        from sqlalchemy import text

        with self._transaction() as connection:
            return [name for (name,) in connection.execute(text(_NAMES))]

    def last(self) -> tuple[int, Any] | None:
        from sqlalchemy import text

        with self._transaction() as connection:
            found = connection.execute(text(_LAST), {"name": self._name}).first()
        return found and (found.generation, decoded(found.entry))

    def create(self, generation: int, entry: Mapping[str, Any]) -> bool:
        with self._transaction() as connection:
            return self._create(connection, generation, entry)

    def _create(self, connection: Connection, generation: int, entry: Mapping[str, Any]) -> bool:
        from sqlalchemy import text

        connection.execute(text(_DURABLE))
        row = {"name": self._name, "generation": generation, "entry": json.dumps(entry)}
        return connection.execute(text(_CREATE), row).first() is not None

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._open_database().closing() as database:
            if not database.is_shared:
                raise QueueCallsError(
                    "it is a SQLite file, so each machine would have records of its own; use PostgreSQL, or a folder for "
                    "the records"
                )
            with database.transaction() as connection:
                yield connection
