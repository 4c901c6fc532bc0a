"""A running receiver of results, as ``queuecalls results serve`` is one, a result, and what the database has of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import pytest

from airflow_provider_queuecalls.cli.results import DATABASE, SECRET
from airflow_provider_queuecalls.records.database.database import Database
from tests.support.command import Program, command

OLD, NEW = "the-secret-of-last-year", "the-secret-of-this-year"
NAME, KEY = "spring", "00d1"
NUMBER, REFERENCE = "16175550100", "order-4711"
RESULT = {
    "phone_number": NUMBER, "message_reference": REFERENCE, "call_id": "7", "result": "completed",
    "callee_type": "human", "attempts": "2", "last_attempt_timestamp": "1790000000", "duration": "45",
}  # fmt: skip


@contextmanager
def receiver(url: str, port: int = 0) -> Iterator[tuple[Program, str]]:
    """Run the receiver; give its process and the base of its results URLs."""
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv(SECRET, f"{NEW}\n{OLD}")
            environment.setenv(DATABASE, url)
            process, printed = stack.enter_context(command("results", "serve", "--port", str(port)))
        (base,) = re.findall(r"listens on (\S+)\. ", printed)
        yield process, base


def stored(url: str, key: str = KEY) -> list[dict[str, Any]]:
    with closing(Database(url)) as database:
        return list(database.rows(key, every_post=True))


def choices(database: Database) -> list[tuple[str, ...]]:
    with database.reading() as connection:
        query = "SELECT campaign_key, call_key, choice FROM queuecalls_choices ORDER BY 1, 2"
        return [tuple(row) for row in connection.exec_driver_sql(query)]
