"""Queries that cannot be turned into a campaign: what the errors say, and what they never say."""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_queuecalls._airflow.compat import AirflowFailException, AirflowSkipException
from airflow_provider_queuecalls.exceptions import CheckFailed, EmptyContacts, InvalidContactRules, InvalidContacts
from tests.support.logs import everything_logged
from tests.support.postgres import Postgres
from tests.support.warehouse import Database, failure, postgres_database, run, shown, sqlite_database


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT mobile FROM people", "has no column 'phone_number' for phone_number; it has 'mobile'"),
        ("SELECT mobile AS phone_number, id AS phone_number FROM people", "has 2 columns for phone_number"),
        (
            "SELECT mobile AS phone_number, reference FROM people",
            "The query on 'warehouse' has 'reference', which is probably meant as message_reference",
        ),
        ("SELECT phone_number FORM people", "cannot be run: "),
        ("SELECT x FROM nowhere", "run the query by hand to see it"),
        ("SELECT 1; DELETE FROM people", "sql has 2 statements"),
        ("DELETE FROM people RETURNING mobile AS phone_number", "sql is a statement to DELETE"),
        ("WITH x AS (SELECT 1) INSERT INTO people (id) SELECT 4", "sql is a statement to INSERT"),
        ("DROP TABLE people", "sql is a statement to DROP"),
        ("-- nothing", "sql has 0 statements"),
        ("", "sql is empty"),
        ("None", "sql is empty"),
        (None, "sql is empty"),
        (["SELECT 1"], "sql is a list"),
    ],
)
def test_a_query_that_cannot_be_run_is_an_error_that_says_why(
    sql: Any, words: str, warehouse: Database, temporary: Path
) -> None:
    error = failure(sql)
    assert isinstance(error, InvalidContacts)
    assert words in str(error)
    assert warehouse.do("SELECT count(*) FROM people") == [(3,)]
    assert list(temporary.iterdir()) == []


def test_a_statement_without_a_result_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = sqlite_database(tmp_path / "warehouse.db", monkeypatch)
    database.do("CREATE TABLE people (id INT)")
    assert "returned no result. Nothing was sent. It must be one statement" in str(failure("PRAGMA foreign_keys = ON"))


def test_a_number_that_the_database_keeps_as_a_float_is_an_error(warehouse: Database) -> None:
    words = "Row 2 of the query on 'warehouse': message_reference is a float"
    cast = "id + 0.5" if warehouse.mark == "?" else "(id + 0.5)::float"
    sql = (
        f"SELECT mobile AS phone_number, CASE WHEN id = 2 THEN {cast} END AS message_reference FROM people ORDER BY id"
    )
    assert words in str(failure(sql))


def test_an_empty_result_is_a_failure_unless_it_is_to_be_skipped(warehouse: Database) -> None:
    sql = "SELECT mobile AS phone_number FROM people WHERE id > 99"
    assert "The contact file (rows of the query on 'warehouse') is empty: there is nobody to call" in str(failure(sql))
    with pytest.raises(AirflowSkipException) as caught:
        run(sql, on_empty="skip")
    assert isinstance(caught.value.__context__, EmptyContacts)


def test_wrong_rules_are_reported_before_the_query_runs() -> None:
    error = failure(sql_conn_id="undefined", on_invalid="perhaps", columns={"phone": "mobile"})
    assert isinstance(error, InvalidContactRules)
    assert len(error.violations) == 2


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
@pytest.mark.parametrize("number", [1, 25_000])
def test_postgres_errors_do_not_quote_rows(
    number: int, driver: str, postgres: Postgres, monkeypatch: pytest.MonkeyPatch, temporary: Path
) -> None:
    postgres_database(postgres, monkeypatch, driver)
    values = f"SELECT CASE WHEN i = {number} THEN 'patient-88' ELSE '1' END AS a FROM generate_series(1, 30000) i"
    error = failure(f"SELECT a::int AS phone_number FROM ({values}) AS x")
    assert "InvalidTextRepresentation (SQLSTATE 22P02: data exception). Nothing was sent." in str(error)
    assert "patient" not in shown(error)
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_postgres_errors_repeat_neither_the_statement_nor_its_parameters(
    driver: str, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = postgres_database(postgres, monkeypatch, driver)
    database.do("CREATE FUNCTION bad() RETURNS BIGINT LANGUAGE plpgsql AS $$ BEGIN RAISE 'bad row patient-88'; END $$")
    for error in (
        failure("SELECT FORM x WHERE a = %s AND b = 16175550143", parameters=["patient-88"]),
        failure('SELECT phone_number FROM "patient-88"'),
        failure("SELECT %s", parameters=["a", "patient-88"]),
    ):
        assert "patient" not in shown(error)
        assert "5550143" not in shown(error)
    with pytest.raises((AirflowFailException, CheckFailed)) as caught:
        run("SELECT bad() AS phone_number")
    assert "RaiseException (SQLSTATE P0001: error raised by a procedure)" in str(caught.value)
    assert "patient" not in shown(caught.value)
    assert "parameters is a str" in str(failure("SELECT %s", parameters="'patient-88'"))


def test_sqlite_errors_do_not_quote_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, temporary: Path) -> None:
    sqlite_database(tmp_path / "warehouse.db", monkeypatch)
    for sql in (
        "SELECT CAST(x'313631373535353031ff' AS TEXT) AS phone_number",
        'SELECT * FROM "161755501"',
        "SELECT 161755501 x y",
    ):
        error = failure(sql)
        assert "The query on 'warehouse' cannot be run: OperationalError" in str(error)
        assert "161755501" not in shown(error)
    assert list(temporary.iterdir()) == []


def test_a_table_that_is_locked_is_safe_to_try_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "warehouse.db"
    database = sqlite_database(path, monkeypatch)
    database.do("CREATE TABLE people (mobile INT)")
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, timeout=0.1))  # by itself it waits 5 s
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(
            CheckFailed, match=r"cannot be run: OperationalError.*Nothing was sent. It is safe to try again"
        ):
            run("SELECT mobile AS phone_number FROM people")


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_a_query_that_the_server_ends_is_safe_to_try_again(
    driver: str, postgres: Postgres, monkeypatch: pytest.MonkeyPatch, temporary: Path
) -> None:
    postgres_database(postgres, monkeypatch, driver)
    ends = "SELECT pg_terminate_backend(pg_backend_pid())::int + i AS phone_number FROM generate_series(1, {}) i"
    with pytest.raises(CheckFailed, match=r"The query on 'warehouse' cannot be run: .*Nothing was sent. It is safe"):
        run(ends.format(1))
    later = "SELECT CASE WHEN i > 20000 THEN pg_sleep(5)::text END AS phone_number FROM generate_series(1, 30000) i"
    hook_params = {"options": "-c statement_timeout=1000"}
    with pytest.raises(CheckFailed, match=r"cannot be read to its end: QueryCanceled .*Nothing was sent. It is safe"):
        run(later, hook_params=hook_params)
    assert list(temporary.iterdir()) == []


def test_a_database_that_is_down_is_safe_to_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", "postgres://me:secret-word@127.0.0.1:1/x")
    with pytest.raises(CheckFailed, match="The database 'warehouse' cannot be reached: OperationalError") as caught:
        run("SELECT 1")
    assert "secret-word" not in shown(caught.value)


@pytest.mark.parametrize(
    ("connection", "words"),
    [
        (None, "is not defined"),
        (
            {"conn_type": "queuecalls"},
            "is of type 'queuecalls', which is not a database. Nothing was sent. Use a connection whose provider ",
        ),
        ({"conn_type": "nosuchtype"}, "cannot be used"),
    ],
)
def test_a_connection_that_is_not_to_a_database_is_an_error(
    connection: Any, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_WAREHOUSE", raising=False)
    if connection:
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(connection))
    error = failure()
    assert isinstance(error, InvalidContacts)
    assert f"The connection 'warehouse' {words}" in str(error)


@pytest.mark.parametrize("conn_id", ["postgresql://etl:S3cretPw@db/x", "etl:S3cretPw@db"])
def test_a_password_in_place_of_the_connections_id_is_not_shown(conn_id: str) -> None:
    with everything_logged() as logged:
        error = failure(sql_conn_id=conn_id)
    assert "so it is not shown. Nothing was sent. It must be the id of an Airflow connection" in str(error)
    assert "S3cretPw" not in f"{shown(error)}{logged}"


def test_a_library_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": "x.db"}))
    for module, words in (
        ("airflow.providers.sqlite.hooks.sqlite", "install the database's provider"),
        ("airflow.providers.common.sql.hooks.sql", "airflow-provider-queuecalls[sql]"),
    ):
        monkeypatch.setitem(sys.modules, module, None)
        assert words in str(failure())
