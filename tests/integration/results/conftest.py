"""The results database: a SQLite file, and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from airflow_provider_queuecalls.records.database import Database
from tests.support.postgres import Postgres, postgres_server

_NUMBERS = count()


@pytest.fixture(scope="package")
def postgres() -> Iterator[Postgres]:
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/results.db"
    server: Postgres = request.getfixturevalue("postgres")
    return server.new_database(f"results{next(_NUMBERS)}")


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    database = Database(url)
    yield database
    database.close()
