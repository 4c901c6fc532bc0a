"""The database of call results, on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
import os
import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta, timezone
from itertools import count as numbers
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_queuecalls.contacts import check
from airflow_provider_queuecalls.contacts.row_results.call_limit import CallLimit, LimitCheck
from airflow_provider_queuecalls.exceptions import CheckFailed, QueueCallsError
from airflow_provider_queuecalls.records.call_results import CallResult, read_result
from airflow_provider_queuecalls.records.database import called_numbers, engine, pruning, schema
from airflow_provider_queuecalls.records.database.called_numbers import CalledNumbers
from airflow_provider_queuecalls.records.database.database import CampaignRow, Database, ResultCounts
from airflow_provider_queuecalls.records.database.errors import translate_sqlalchemy_errors
from airflow_provider_queuecalls.records.database.ledger_store import DatabaseStore
from airflow_provider_queuecalls.records.database.pruning import prune
from airflow_provider_queuecalls.stopping import StopRequest
from tests.support.command import REPOSITORY
from tests.support.postgres import Postgres
from tests.support.receiver import KEY, NAME, RESULT, choices

_NUMBERS = numbers()


def add(database: Database, **fields: str) -> bool:
    return database.add(KEY, read_result({**RESULT, **fields}.items()))


def test_processes_that_start_at_once_make_one_schema_and_store_a_result_once(url: str) -> None:
    def start(_: int) -> bool:
        database = Database(url)
        try:
            return add(database)
        finally:
            database.close()

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(start, range(8))) == [False] * 7 + [True]


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_a_statement_does_not_wait_forever_behind_a_process_that_is_frozen(
    postgres_url: str, driver: str, tmp_path: Path
) -> None:
    from sqlalchemy import text

    pytest.importorskip(driver)
    if driver == "psycopg" and sqlalchemy.__version__ < "2":
        pytest.skip("SQLAlchemy 1.4 has only psycopg2")
    url = postgres_url.replace("postgresql", f"postgresql+{driver}")
    path = tmp_path / "calls.csv"
    path.write_text("16175550143")
    with (
        closing(Database(url)) as frozen,
        closing(Database(url, patience=2)) as database,
        closing(CalledNumbers(Database(url, patience=2), CallLimit(1, 3600), ["a-secret-of-ours-1"])) as called,
    ):
        with frozen.transaction() as holder, LimitCheck(called, 128, StopRequest()) as sent, check(path, limit=sent):
            holder.execute(text("LOCK TABLE queuecalls_results IN ACCESS EXCLUSIVE MODE"))
            holder.execute(text(f"SELECT pg_advisory_xact_lock({called_numbers._LOCK})"))
            started = time.monotonic()
            with (
                pytest.raises(QueueCallsError, match=r"SQLSTATE 55P03.* frozen, in pg_stat_activity"),
                translate_sqlalchemy_errors(database.url),
            ):
                add(database, call_id="1")
            with (
                pytest.raises(CheckFailed, match="SQLSTATE 55P03"),
                called.recorded(sent, 1, None, token="a", is_retry=False),
            ):
                pass
            assert time.monotonic() - started < 30
        assert add(database, call_id="1")


def test_only_statements_that_may_take_long_have_no_limit(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlalchemy import text
    from sqlalchemy.exc import DBAPIError

    monkeypatch.setattr(engine, "STATEMENT_SECONDS", 1)
    with closing(Database(f"{postgres_url}?options=-csearch_path%3Dpublic,x&keepalives_count=2")) as database:
        for connect in (database.transaction, database.reading):
            with pytest.raises(DBAPIError), connect() as connection:
                connection.execute(text("SELECT pg_sleep(2)"))
            with connect(unlimited=True) as connection:
                connection.execute(text("SELECT pg_sleep(2)"))
                assert connection.execute(text("SHOW search_path")).scalar() == "public,x"


def test_a_database_of_a_newer_version_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as newer:
        newer.setattr(schema, "SCHEMA", (*schema.SCHEMA, ("ALTER TABLE queuecalls_results ADD more text",)))
        Database(url).close()
        Database(url).close()
    with pytest.raises(QueueCallsError, match="schema version 2"):
        Database(url)


def test_the_result_of_a_call_does_not_depend_on_the_order_of_posts(database: Database) -> None:
    posts = [
        {"result": "failed", "attempts": "1", "last_attempt_timestamp": "1790000000"},
        {"result": "failed", "attempts": "2", "last_attempt_timestamp": "1790000060"},
        {"result": "completed", "attempts": "2", "last_attempt_timestamp": "1790000120"},
        {"result": "failed", "attempts": "2", "last_attempt_timestamp": "1790000120"},
    ]
    for number, order in enumerate(permutations(posts)):
        for fields in [*order, *order]:
            add(database, call_id=str(number), **fields)

    results = list(database.rows(KEY))
    assert [(row["result"], row["last_attempt_timestamp"]) for row in results] == [("completed", 1790000120)] * 24
    assert len(list(database.rows(KEY, every_post=True))) == 24 * 4


@pytest.mark.parametrize(
    "changed",
    [
        {"attempts": "two"},
        {"last_attempt_timestamp": "25.11.2026 10:00"},
        {"duration": "-1"},
        {"result": "x" * 300},
        {"callee_type": "hum\0an"},
        {"message_reference": "\udcff"},
        {"attempts": "9" * 20},
    ],
)
def test_a_bad_value_is_stored_as_it_came_and_flagged(changed: dict[str, str], database: Database) -> None:
    assert add(database, **changed, unknown="kept")
    (name,) = changed
    (row,) = database.rows(KEY)
    assert (row[name], row["problems"]) == (None, name)
    assert json.loads(row["fields"]) == {**RESULT, **changed, "unknown": "kept"}


def test_results_are_counted_by_campaign(database: Database) -> None:
    database.put_campaign(CampaignRow(KEY, NAME, 5, "unknown", started_at=1, expires_at=2))
    database.put_campaign(CampaignRow(KEY, NAME, 5, "queued", started_at=1))
    add(database)
    add(database, call_id="8", result="failed", callee_type="")
    add(database, call_id="9", result="operator stop", callee_type="")
    for post in ([("garbage", "")], [("other", "garbage")]):
        database.add(KEY, read_result(post))
    database.add("other", read_result(RESULT.items()))

    (counts,) = database.counts(KEY)
    assert (counts.name, counts.contacts, counts.outcome, counts.results, counts.unreadable) == (
        NAME,
        5,
        "queued",
        3,
        2,
    )
    assert (counts.started_at, counts.expires_at, counts.attempts) == (1, 2, 6)
    assert counts.by_result == {"completed": 1, "failed": 1, "operator stop": 1}
    assert counts.by_callee_type == {"human": 1, "": 2}
    assert {counts.key: counts.results for counts in database.counts()} == {KEY: 3, "other": 1}


def test_old_results_are_deleted_with_their_campaigns(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "PRUNED_AT_ONCE", 2)
    now = time.time()
    with monkeypatch.context() as earlier:
        earlier.setattr(time, "time", lambda: now - 1000)
        database.put_campaign(CampaignRow(KEY, NAME, 5, "queued"))
        database.put_campaign(CampaignRow("winter", "winter", 5, "queued"))
        for number in range(5):
            add(database, call_id=str(number))
    add(database, call_id="new")

    assert prune(database, int(now) - 500) == 5
    assert [row["call_id"] for row in database.rows(KEY)] == ["new"]
    assert list(database.rows("winter")) == []
    (counts,) = database.counts()
    assert (counts.name, counts.results) == (NAME, 6)


def test_a_late_post_is_deleted_with_the_result_of_its_call(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "PRUNED_AT_ONCE", 2)
    now = time.time()
    with monkeypatch.context() as earlier:
        earlier.setattr(time, "time", lambda: now - 1000)
        for number in "12345":
            add(database, call_id=number, attempts="2")
        add(database, call_id="again", attempts="1")
    for number in "12345":
        add(database, call_id=number, attempts="1")
    add(database, call_id="again", attempts="2")
    database.add(KEY, read_result([("garbage", "")]))

    assert prune(database, int(now) - 500) == 11
    posts = [(row["call_id"], row["attempts"]) for row in database.rows(KEY, every_post=True)]
    assert sorted(posts, key=str) == [("again", 2), (None, None)]
    assert [row["call_id"] for row in database.rows(KEY)] == ["again"]


def test_the_last_choice_of_a_call_counts_and_is_deleted_with_its_result(database: Database) -> None:
    now, posted = int(time.time()), read_result(RESULT.items())
    call, other = posted.result.call_key, CallResult(call_id="another")
    for choice, chosen_at in (("first", now - 100), ("last", now - 90), ("late", now - 95)):
        database.add_choice(KEY, posted.result, choice, chosen_at)
    database.add_choice(KEY, other, "é ", now - 100)
    database.add_choice("other", posted.result, "first", now - 10)
    database.add(KEY, posted)

    assert set(choices(database)) == {(KEY, call, "last"), (KEY, other.call_key, "é "), ("other", call, "first")}
    assert prune(database, now - 50) == 0
    assert choices(database) == [(KEY, call, "last"), ("other", call, "first")]
    assert prune(database, now + 86_400) == 1
    assert choices(database) == []


def test_a_connection_that_the_server_has_ended_loses_no_result(postgres: Postgres) -> None:
    url = postgres.new_database("ended")
    with closing(Database(url)) as database, closing(Database(url)) as other:
        assert add(database)
        with other.transaction() as connection:
            end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'ended' AND pid <> pg_backend_pid()"
            connection.exec_driver_sql(end)
        assert add(database, call_id="8")


def test_a_database_is_opened_while_another_program_writes(url: str) -> None:
    with closing(Database(url)) as database:
        database.put_campaign(CampaignRow("kept", "kept", 1, "queued"))
        with database.transaction() as connection:
            connection.exec_driver_sql("DELETE FROM queuecalls_campaigns")
            with closing(Database(url)) as opened:  # and reads what is committed
                assert [counts.name for counts in opened.counts()] == ["kept"]
        assert database.counts() == []


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("sqlite:///{}/missing/results.db", "cannot be used: OperationalError.* Check that its folder exists"),
        ("sqlite://", "not one in memory"),
        ("nonsense", "no valid URL"),
        ("mysql://user:s3cret@host/db", "cannot be 'mysql'"),
        (
            "postgresql+asyncpg://user:s3cret@host/db",
            "cannot use the driver 'asyncpg'.* must be .*'psycopg2', or left out",
        ),
        ("sqlite+aiosqlite:///{}/results.db", "cannot use the driver 'aiosqlite'.* must be 'pysqlite', or left out"),
        (
            "postgresql://user:s3cret@127.0.0.1:1/db",
            "cannot be used: OperationalError. Check that the server can be reached",
        ),
        ("postgresql://127.0.0.1:1/db?user=user&password=s3cret", "cannot be used: OperationalError"),
        ("postgresql://user:p@s3cret:word@host/db", "no valid URL.* percent-encoded"),
    ],
)
def test_a_database_that_cannot_be_used_is_explained_without_its_password(
    url: str, problem: str, tmp_path: Path
) -> None:
    with pytest.raises(QueueCallsError, match=f"(?s){problem}") as caught:
        Database(url.format(tmp_path))
    assert "s3cret" not in str(caught.value)
    assert "word@" not in str(caught.value)


def test_a_sqlite_file_belongs_to_its_owner_and_commits_are_durable(tmp_path: Path) -> None:
    database: Any = Database(f"sqlite:///{tmp_path}/results.db")
    add(database)
    with database._engine.connect() as connection:
        pragmas = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
    assert pragmas == ["wal", 2]
    assert {os.stat(path).st_mode & 0o777 for path in tmp_path.glob("results.db*")} == {0o600}
    database.close()


POSTS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "call_id": st.sampled_from("12"),
            "result": st.sampled_from(["completed", "COMPLETED", "failed"]),
            "callee_type": st.sampled_from(["human", "machine"]),
            "attempts": st.sampled_from("123"),
            "last_attempt_timestamp": st.sampled_from(["1790000000", "1790000060"]),
            "duration": st.sampled_from("12"),
        },
    ),
    max_size=30,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(posts=POSTS, data=st.data())
def test_counts_are_those_of_the_stored_posts_for_any_order_and_repetition(
    posts: list[dict[str, str]], data: st.DataObject, database: Database
) -> None:
    name = str(next(_NUMBERS))
    posted = [(name, read_result(post.items())) for post in [*posts, *posts]]
    while posted:
        count = data.draw(st.integers(1, 12))
        assert len(database.add_all(posted[:count])) == len(posted[:count])
        posted = posted[count:]

    results, unreadable = dict[Any, Any](), 0
    stored = list(database.rows(name, every_post=True))
    for row in stored:
        call = (row["phone_number"], row["message_reference"], row["call_id"])
        rank = (
            row["attempts"] or -1, row["last_attempt_timestamp"] or -1, (row["result"] or "").lower() == "completed",
            row["received_at"], read_result(json.loads(row["fields"]).items()).digest,
        )  # fmt: skip
        if call == (None, None, None):
            unreadable += 1
        elif call not in results or rank > results[call][0]:
            results[call] = (rank, row)
    chosen = [row for _, row in results.values()]
    assert len(stored) == len({tuple(sorted(post.items())) for post in posts})
    assert sorted(map(str, database.rows(name))) == sorted(map(str, chosen))
    (counts,) = database.counts(name) or [ResultCounts("")]
    assert (counts.results, counts.unreadable) == (len(chosen), unreadable)
    assert counts.by_result == Counter(row["result"] or "" for row in chosen)
    assert counts.by_callee_type == Counter(row["callee_type"] or "" for row in chosen)
    assert counts.attempts == sum(row["attempts"] or 0 for row in chosen)
    assert counts.last_received_at == max((row["received_at"] for row in stored), default=None)


def test_the_documented_statement_deletes_records_whose_last_entry_is_old(postgres_url: str) -> None:
    stores = {name: DatabaseStore(lambda: Database(postgres_url), name) for name in ("spring", "summer")}
    for name, generation, age in (("spring", 1, 500), ("spring", 2, 400), ("summer", 1, 500), ("summer", 2, 30)):
        started_at = datetime.now(timezone.utc) - timedelta(days=age)
        assert stores[name].create(generation, {"started_at": started_at.isoformat(timespec="seconds")})
    page = (REPOSITORY / "docs" / "never-twice.md").read_text("utf-8")
    (statement,) = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    with closing(Database(postgres_url)) as database, database.transaction() as connection:
        connection.exec_driver_sql(statement)
    assert stores["spring"].last() is None
    assert stores["summer"].names() == ["summer"]


@pytest.mark.parametrize("setting", ["off", "local", "remote_apply"])
def test_a_record_is_on_the_disk_of_the_server_when_it_is_committed(postgres_url: str, setting: str) -> None:
    with closing(Database(postgres_url)) as database, database.transaction() as connection:
        name = postgres_url.rpartition("/")[2]
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET synchronous_commit = '{setting}'")
        connection.exec_driver_sql(
            "ALTER TABLE queuecalls_records ADD committed text DEFAULT current_setting('synchronous_commit')"
        )
    assert DatabaseStore(lambda: Database(postgres_url), "spring").create(1, {})
    with closing(Database(postgres_url)) as database, database.reading() as connection:
        committed = connection.exec_driver_sql("SELECT committed FROM queuecalls_records").scalar()
    assert committed == ("on" if setting == "off" else setting)
