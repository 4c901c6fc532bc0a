"""From a query to a campaign: real databases, and a real Airflow."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_queuecalls.exceptions import InvalidContacts
from airflow_provider_queuecalls.sandbox.server import Sandbox
from airflow_provider_queuecalls.transfers.sql_to_queuecalls import SqlToQueueCallsOperator
from tests.conftest import HOME
from tests.support.command import newly_imported
from tests.support.dag_run import noon_tomorrow, run_dag_file
from tests.support.memory import growth
from tests.support.moved import IS_AIRFLOW_2, serialized_dag
from tests.support.postgres import Postgres
from tests.support.warehouse import (
    ANN,
    BOB,
    CAY,
    START_URL,
    Database,
    failure,
    operator,
    postgres_database,
    run,
    sqlite_database,
)

ROWS, GROWTH_MB = 200_000, 32


def test_a_query_in_a_file_becomes_a_campaign_in_its_order(
    run_tasks: Any, warehouse: Database, sandbox: Sandbox, temporary: Path
) -> None:
    (HOME / "dags" / "people.sql").write_text(
        "SELECT reference, mobile, 0.5 AS score FROM {{ 'people' }} "
        f"WHERE reference < {warehouse.mark} ORDER BY id DESC;\n-- that's all\n"
    )
    run = run_tasks("""SqlToQueueCallsOperator(
        task_id="queue", sql="people.sql", sql_conn_id="{{ 'ware' ~ 'house' }}", start_url="https://ivr.example.com/x",
        parameters=["{{ 'order-' ~ '9' }}"], columns={"phone_number": "mobile", "message_reference": "REFERENCE"},
    )""")
    assert run.states == {"queue": "success"}
    assert [(call.phone_number, call.message_reference) for call in sandbox.calls] == [
        (CAY, "order-3"),
        (BOB, "order-2"),
        (ANN, "order-1"),
    ]
    assert (run.xcom["outcome"], run.xcom["contacts"]) == ("queued", 3)
    assert "Wrote 3 rows of the query on 'warehouse' to a contact file" in run.printed
    assert "FROM people" in run.kept, "a person can see what was asked"
    assert "***" in run.kept
    for secret in (ANN, BOB, CAY, "order-", "5550143"):
        assert secret not in run.kept + run.printed
    assert list(temporary.iterdir()) == []


def test_each_map_index_has_a_query_and_a_campaign(run_tasks: Any, warehouse: Database, sandbox: Sandbox) -> None:
    run = run_tasks(
        """SqlToQueueCallsOperator.partial(task_id="queue", sql_conn_id="warehouse", start_url="https://ivr.example.com/x").expand(
            sql=[f"SELECT mobile AS phone_number FROM people WHERE id = {key}" for key in (1, 2)])"""
    )
    assert run.states == {"queue0": "success", "queue1": "success"}
    assert sorted(sandbox.numbers) == sorted([ANN, BOB])
    assert len({result["campaign_name"] for result in run.xcom}) == 2


@pytest.fixture
def appointments(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    database = postgres_database(postgres, monkeypatch, "psycopg2")
    database.do(
        "CREATE TABLE appointments (day DATE, mobile TEXT, reference TEXT, spoken_time TEXT)",
        f"""INSERT INTO appointments VALUES
            ('2026-01-02', '{BOB}', 'b', 'at ten'), ('2026-01-02', '{ANN}', 'a', 'at nine'), ('2026-01-02', NULL, 'c', ''),
            ('2026-01-02', '{ANN}', 'd', 'at eleven'), ('2026-01-03', '{CAY}', 'e', 'at nine')""",
    )


@pytest.mark.skipif(IS_AIRFLOW_2, reason="the example DAGs are written for Airflow 3")
def test_the_example_calls_nobody_unless_told_to(
    examples: Path, appointments: None, sandbox: Sandbox, capfd: pytest.CaptureFixture[str]
) -> None:
    file = examples / "queue_calls_from_sql.py"
    for conf, said, numbers in (
        ({}, "2 contacts would be called (dry run), 0 rows left out", []),
        ({"day": "2026-01-04"}, "there is nobody to call", []),
        ({"dry_run": False}, "2 contacts queued as 2 calls", [ANN, BOB]),
    ):
        run = run_dag_file(file, "queue_calls_from_sql", capfd, run_conf=conf, run_after=noon_tomorrow())
        assert set(run.states.values()) == ({"skipped"} if "nobody" in said else {"success"})
        assert said in run.printed
        assert [call.phone_number for call in sandbox.calls] == numbers


def test_columns_are_found_by_name_in_any_case_and_order(
    warehouse: Database, sandbox: Sandbox, temporary: Path
) -> None:
    sql = "SELECT NULL AS x, reference AS Call_Parameter, mobile AS PHONE_NUMBER, id FROM people WHERE id = 1"
    assert run(sql, dry_run=False)["contacts"] == 1
    (call,) = sandbox.calls
    assert (call.phone_number, call.message_reference, call.call_parameter) == (ANN, None, "order-1")
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("parameters", [[1], (1,), "[1]", "(1,)"])
def test_parameters_are_bound_by_the_driver(parameters: Any, warehouse: Database) -> None:
    sql = f"SELECT mobile AS phone_number FROM people WHERE id > {warehouse.mark} AND reference LIKE 'order-%'"
    sql = sql.replace("%'", "%%'") if warehouse.mark == "%s" else sql
    assert run(sql, parameters=parameters)["contacts"] == 2
    assert run(sql.replace("%%", "%").replace(f"> {warehouse.mark}", "> 0"), parameters="None")["contacts"] == 3


def test_hook_parameters_reach_the_hook(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    database = postgres_database(postgres, monkeypatch, "psycopg2")
    assert database.do("SELECT 1") == [(1,)]
    asked = "SELECT 16175550143 AS phone_number WHERE current_setting('application_name') = 'outreach'"
    assert isinstance(failure(asked), InvalidContacts)
    assert run(asked, hook_params={"options": "-c application_name=outreach"})["contacts"] == 1
    assert run(asked, hook_params='{"options": "-c application_name=outreach"}')["contacts"] == 1
    assert "cannot be used with these hook_params" in str(failure(asked, hook_params=["options"]))


def test_a_connection_that_gives_mappings_gives_the_same(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    for driver in ("psycopg2", "psycopg"):
        postgres_database(postgres, monkeypatch, driver)
        for cursor in ("dictcursor", "namedtuplecursor"):
            url = os.environ["AIRFLOW_CONN_WAREHOUSE"].partition("?")[0]
            monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", f"{url}?cursor={cursor}")
            assert run("SELECT 5 AS id, 16175550143 AS phone_number, 6 AS id")["contacts"] == 1


def test_nothing_is_committed(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    database = postgres_database(postgres, monkeypatch, "psycopg2")
    database.do(
        "CREATE TABLE asked (number BIGINT)",
        "CREATE FUNCTION claim() RETURNS BIGINT LANGUAGE sql AS "
        "'INSERT INTO asked VALUES (16175550143) RETURNING number'",
    )
    assert run("SELECT claim() AS phone_number")["contacts"] == 1
    assert database.do("SELECT count(*) FROM asked") == [(0,)]


def test_rows_are_checked_and_rejected_by_their_number(warehouse: Database, sandbox: Sandbox, tmp_path: Path) -> None:
    rejects = tmp_path / "rejects.csv"
    sql = f"""
        SELECT '{ANN}' AS phone_number, 'a, b' AS message_reference, 1 AS place UNION ALL
        SELECT NULL, 'ref', 2 UNION ALL SELECT '{BOB}', 'two' || {"char(10)" if warehouse.mark == "?" else "chr(10)"} || 'lines', 3
        UNION ALL SELECT '{CAY}', 'say "hi"', 4 UNION ALL SELECT '{BOB}', NULL, 5 ORDER BY place"""
    result = run(sql, dry_run=False, on_invalid="skip", rejects_path=str(rejects))
    assert (result["contacts"], result["rejected"]) == (1, 4)
    assert rejects.read_text().splitlines() == [
        "line,reason,phone_number,message_reference,call_parameter",
        f'1,quoted_cell,{ANN},"""a"," b"""',
        "2,no_number,,ref",
        f"3,control_character,{BOB},two\\x0blines",
        f'4,quoted_cell,{CAY},"""say """"hi"""""""',
    ]
    assert sandbox.numbers == {BOB: 1}
    error = failure(sql)
    assert (
        "The contact file (rows of the query on 'warehouse') did not pass the check: 4 of 5 rows are rejected"
        in str(error)
    )
    assert run(sql, quoting="allow", on_invalid="skip")["contacts"] == 3


MEASURE = """
import sys
from airflow_provider_queuecalls.transfers.sql_to_queuecalls import SqlToQueueCallsOperator
if sys.argv[2] == "psycopg2":
    from airflow.providers.postgres.hooks import postgres
    postgres.USE_PSYCOPG3 = False

def lines_of(sql):
    task = SqlToQueueCallsOperator(task_id="call", sql=sql, sql_conn_id="warehouse", start_url="https://x.example/")
    with task._contact_file({}) as contacts, open(contacts.path, "rb") as file:
        return sum(1 for _ in file)

assert lines_of(sys.argv[1] + " LIMIT 1000") == 1000
before = peak()
assert lines_of(sys.argv[1]) == int(sys.argv[3])
print("grown", peak() - before)
"""


@pytest.mark.long
@pytest.mark.parametrize("kind", ["sqlite", "psycopg", "psycopg2"])
def test_memory_does_not_grow_with_the_result(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    columns = (
        f"16172000000 + i AS phone_number, 'reference-' || i AS message_reference, '{'x' * 100}' AS call_parameter"
    )
    if kind == "sqlite":
        database = sqlite_database(tmp_path / "warehouse.db", monkeypatch)
        series = f"(WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < {ROWS}) SELECT i FROM s)"
    else:
        database = postgres_database(request.getfixturevalue("postgres"), monkeypatch, kind)
        series = f"generate_series(1, {ROWS}) i"
    database.do(f"CREATE TABLE people AS SELECT {columns} FROM {series}")
    assert growth(MEASURE, "SELECT * FROM people ORDER BY phone_number", kind, str(ROWS)) <= GROWTH_MB


def test_it_survives_deepcopy_and_serialisation() -> None:
    from datetime import datetime, timezone

    from airflow import DAG

    with DAG("reminders", start_date=datetime(2026, 1, 1, tzinfo=timezone.utc), schedule=None) as dag:
        task = operator("SELECT 1", parameters=[1])
        SqlToQueueCallsOperator.partial(task_id="mapped", sql_conn_id="x", start_url=START_URL).expand(sql=["a", "b"])
    again = serialized_dag().from_dict(serialized_dag().to_dict(dag))
    assert again.get_task("call").sql == copy.deepcopy(task).sql == "SELECT 1"
    assert set(again.task_ids) == {"call", "mapped"}


@pytest.mark.parametrize("name", ["contacts", "has_header", "delimiter"])
def test_parameters_of_a_file_are_none_of_a_query(name: str) -> None:
    assert name not in SqlToQueueCallsOperator.template_fields
    with pytest.raises(TypeError, match=name):
        operator(**{name: "x"})


def test_every_other_parameter_is_templated() -> None:
    from airflow_provider_queuecalls.operators.queuecalls import QueueCallsOperator

    ours = {"sql", "sql_conn_id", "parameters", "hook_params"}
    assert set(SqlToQueueCallsOperator.template_fields) == (
        set(QueueCallsOperator.template_fields) - {"contacts", "has_header", "delimiter"} | ours
    )


def test_parsing_a_dag_imports_no_database() -> None:
    modules = newly_imported(
        "import airflow_provider_queuecalls.transfers.sql_to_queuecalls",
        after="from airflow_provider_queuecalls._airflow.compat import BaseOperator",
    )
    assert "airflow_provider_queuecalls.transfers.sql_to_queuecalls" in modules
    heavy = ("sqlparse", "sqlite3", "psycopg2", "psycopg", "pandas", "duckdb", "airflow.providers")
    assert [name for name in modules if name.startswith(heavy)] == []
