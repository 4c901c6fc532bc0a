"""The list joined with the results of its calls: sent, dialed by the sandbox, received, joined, and sent again."""

from __future__ import annotations

import csv
import os
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from airflow_provider_queuecalls._airflow.compat import AirflowFailException, AirflowSkipException, object_storage_path
from airflow_provider_queuecalls._airflow.table import CAMPAIGN
from airflow_provider_queuecalls.contacts import ContactRules, check
from airflow_provider_queuecalls.exceptions import CheckFailed, NotSent
from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook
from airflow_provider_queuecalls.operators.call_results import CallResultsOperator
from airflow_provider_queuecalls.records.call_results import CallResult, read_result
from airflow_provider_queuecalls.records.database.database import CampaignRow, Database
from airflow_provider_queuecalls.records.results.joined_list import OUTPUT_COLUMNS
from airflow_provider_queuecalls.sandbox.server import Sandbox
from tests.support.in_storage import read, url
from tests.support.logs import everything_logged
from tests.support.moved import AIRFLOW
from tests.support.sending import send
from tests.support.task import execute
from tests.support.warehouse import Database as Warehouse
from tests.support.warehouse import postgres_database, sqlite_database

NAME = "next list of autumn"
REACHED, BUSY, MACHINE, SUPPRESSED = (f"1617555{ending}" for ending in ("0100", "0101", "0105", "0199"))
#: As a team has it: a header line, another order of columns, quotes, a reject, a duplicate, and a suppressed number.
CONTACTS = f"""Order,Mobile,Text
order-1,{REACHED},"Tuesday"
order-2,{BUSY},=1+1
order-3,{MACHINE},
order-4,nobody,
order-5,{BUSY},
order-6,{SUPPRESSED},
"""


def joined(**parameters: Any) -> dict[str, Any]:
    result: dict[str, Any] = execute(CallResultsOperator(task_id="call", **parameters))
    return result


def test_those_not_reached_are_the_next_campaign(results_receiver: Any, sandbox: Sandbox, tmp_path: Path) -> None:
    contacts, suppressed, output = (tmp_path / name for name in ("calls.csv", "dnc.csv", "next.csv"))
    contacts.write_text(CONTACTS)
    suppressed.write_text(f"{SUPPRESSED}\n")
    rules: dict[str, Any] = {
        "contacts": str(contacts), "suppress": str(suppressed), "has_header": True, "quoting": "allow",
        "columns": {"phone_number": "Mobile", "message_reference": "Order", "call_parameter": "Text"},
        "on_invalid": "skip", "duplicates": "drop", "suppress_max_age": "1 hour",
    }  # fmt: skip
    later = sandbox.now + timedelta(hours=1)
    campaign: dict[str, Any] = {"campaign_name": NAME, "scheduled_timestamp": later}
    queued = send(**rules, **campaign, collect_results=True)
    sandbox.advance(hours=2)
    os.utime(suppressed, (0, 0))  # it was new enough when the list was sent

    with everything_logged() as logged:
        result = joined(queued=str(queued), output=str(output), select="not_reached", **rules)
    assert result == {
        "campaign_name": NAME, "select": "not_reached", "output": str(output), "rows": 1, "contacts": 3, "results": 3,
        "completed": 2, "failed": 1, "other": 0, "missing": 0, "unjoined": 0, "repeated_references": 0,
        "by_callee_type": {"human": 1, "machine": 1, "(empty)": 1}, "by_choice": {},
    }  # fmt: skip
    for person in (REACHED, BUSY, MACHINE, "order-2", "1+1"):
        assert person not in f"{result}{logged}"
    assert output.stat().st_mode & 0o777 == 0o600

    again = send(contacts=str(output), has_header=True, **{**campaign, "campaign_name": "second try"})
    assert again["contacts"] == 1
    call = sandbox.calls[-1]
    assert (call.phone_number, call.message_reference, call.call_parameter) == (BUSY, "order-2", "=1+1")


@pytest.mark.parametrize("duplicates", ["drop", "keep"])
def test_contacts_that_were_left_out_as_called_too_often_are_not_joined(
    results_receiver: Any, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, duplicates: str
) -> None:
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__MAX_PER_PERIOD", "2/24h")
    earlier, contacts, output = (tmp_path / name for name in ("earlier.csv", "calls.csv", "next.csv"))
    earlier.write_text(f"{REACHED}\n{REACHED}\n{BUSY}\n")
    contacts.write_text(f"{REACHED},a\n{BUSY},b\n{BUSY},c\n{MACHINE},d\n{BUSY},e\nnobody\n")
    rules: dict[str, Any] = {"contacts": str(contacts), "on_invalid": "skip", "duplicates": duplicates}
    later = sandbox.now + timedelta(hours=1)
    send(contacts=str(earlier), duplicates="keep", campaign_name="earlier", scheduled_timestamp=later)
    queued = send(**rules, campaign_name=NAME, scheduled_timestamp=later, collect_results=True)
    assert (queued["contacts"], queued["rejected"]) == (2, 2 if duplicates == "drop" else 4)
    sandbox.advance(hours=2)
    assert sandbox.calls[-1].attempts

    monkeypatch.delenv("AIRFLOW__QUEUECALLS__MAX_PER_PERIOD")  # what counts is the record
    for given in ({"queued": queued}, {"campaign_name": NAME}):
        result = joined(**given, output=str(output), select="all", **rules)
        assert (result["contacts"], result["results"], result["unjoined"]) == (2, 2, 0)
        assert [row["message_reference"] for row in csv.DictReader(output.open())] == ["b", "d"]

    with closing(Database(results_receiver.database)) as database, database.transaction() as connection:
        connection.execute(text("DELETE FROM queuecalls_requests"))
    with pytest.raises(AirflowFailException, match=r"record of called numbers has been pruned.*results export"):
        joined(queued=queued, output=str(output), **rules)


@pytest.fixture
def stored(tmp_path: Path, results_database: str, connect: Any) -> dict[str, Any]:
    """A campaign of three contacts, of which one was reached and one was not; gives the parameters of the operator."""
    connect("https://service.example/")
    key = QueueCallsHook().key_of(NAME).digest
    contacts = tmp_path / "sent.csv"
    contacts.write_text(f"{REACHED},order-1\n{BUSY},order-2\n{MACHINE},order-3\n")
    with closing(Database(results_database)) as database:
        database.put_campaign(CampaignRow(key, NAME, 3, "queued"))
        for number, result in ((REACHED, "completed"), (BUSY, "failed")):
            posted = {"phone_number": number, "result": result, "message_reference": "", "call_id": number[-1]}
            database.add(key, read_result(posted.items()))
    with check(contacts) as checked:
        queued = {"campaign_key": key, "campaign_name": NAME, "contacts": 3, "digest": checked.report.digest}
    return {"contacts": str(contacts), "queued": queued, "select": "not_reached"}


def test_a_secret_that_is_too_short_fails_without_a_retry(
    stored: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__RESULTS_SECRET", "too-short")
    with pytest.raises(AirflowFailException, match=r"^\[queuecalls\] results_secret has fewer than 16 characters"):
        joined(**stored, output=str(tmp_path / "next.csv"))


def test_a_list_of_those_who_chose_something_needs_no_result_and_suppresses_them(
    stored: dict[str, Any], results_database: str, tmp_path: Path
) -> None:
    key = stored["queued"]["campaign_key"]
    with closing(Database(results_database)) as database:
        database.add_choice(key, CallResult(phone_number=REACHED, call_id=REACHED[-1]), "do not call", 1_790_000_000)
        database.add_choice(key, CallResult(phone_number=MACHINE, call_id="lost"), "do not call", 1_790_000_001)
    output = tmp_path / "opted-out.csv"
    result = joined(**{**stored, "select": "Do not call"}, output=str(output))
    assert (result["rows"], result["results"], result["missing"], result["by_choice"]) == (2, 2, 1, {"do not call": 2})
    rows = list(csv.DictReader(output.open(encoding="utf-8")))
    assert [(row["phone_number"], row["result"], row["choice"], row["chosen_at"]) for row in rows] == [
        (REACHED, "completed", "do not call", "1790000000"), (MACHINE, "", "do not call", "1790000001"),
    ]  # fmt: skip
    with check(stored["contacts"], ContactRules(suppress=[str(output)], on_invalid="skip")) as checked:
        assert checked.report.valid == 1

    with everything_logged() as logged:
        joined(**{**stored, "select": "do not cal"}, output=str(output))
    said = "No result has the choice or callee_type 'do not cal'. The results have these: 'do not call', '(empty)'."
    assert said in f"{logged}"


def test_the_list_may_lie_in_storage(stored: dict[str, Any], bucket: Any, temporary: Path) -> None:
    bucket.put_object(Key="sent.csv", Body=Path(stored["contacts"]).read_bytes())
    output = object_storage_path(url(bucket, "next.csv"))
    result = joined(**{**stored, "contacts": url(bucket, "sent.csv")}, output=output)
    assert result["output"] == url(bucket, "next.csv")
    assert read(bucket, "next.csv").splitlines()[1].startswith(f"{BUSY},order-2,,1,failed,")
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("change", ["contacts", "duplicates", "suppress"])
def test_another_list_than_the_one_that_was_sent_is_refused(
    change: str, stored: dict[str, Any], tmp_path: Path
) -> None:
    changed = tmp_path / "changed.csv"
    changed.write_text(f"{REACHED},order-1\n{BUSY},order-2\n")
    output = tmp_path / "next.csv"
    rules = {"duplicates": "drop"} if change == "duplicates" else {change: str(changed)}
    if change == "duplicates":
        Path(stored["contacts"]).write_text(f"{REACHED},order-1\n{BUSY},order-2\n{BUSY}\n")
    with pytest.raises(AirflowFailException, match="not the one that was sent") as caught:
        joined(**{**stored, **rules}, output=str(output))
    assert REACHED not in str(caught.value)
    assert not output.exists()


def test_by_name_the_number_of_contacts_is_compared(stored: dict[str, Any], tmp_path: Path) -> None:
    given = {**stored, "queued": None, "campaign_name": NAME, "output": str(tmp_path / "next.csv")}
    assert joined(**given)["rows"] == 1
    with Path(stored["contacts"]).open("a") as contacts:
        contacts.write(f"{SUPPRESSED}\n")
    with everything_logged() as logged:
        assert joined(**given)["rows"] == 1
    assert "it has 4 contacts, and 3 were sent" in f"{logged}"
    with pytest.raises(AirflowFailException, match="4 contacts, and 3 were sent"):
        joined(**{**given, "select": "missing"})


def test_calling_hours_are_those_of_the_time_when_the_list_was_sent(stored: dict[str, Any], tmp_path: Path) -> None:
    """By now they are others, so without that time they are not checked."""
    with Path(stored["contacts"]).open("a") as contacts:
        contacts.write("18085550100\n")  # Honolulu, where it was night
    noon = 4_072_179_600  # in Boston
    queued = {**stored["queued"], "calls_from": noon, "expiration_timestamp": noon + 3600}
    given = {**stored, "calling_hours": "08:00-21:00", "on_invalid": "skip", "output": str(tmp_path / "next.csv")}
    assert joined(**{**given, "queued": queued})["rows"] == 1
    with pytest.raises(AirflowFailException, match="not the one that was sent"):
        joined(**given)


def test_a_list_that_was_not_sent_or_is_not_known_is_not_joined(stored: dict[str, Any], tmp_path: Path) -> None:
    output = str(tmp_path / "next.csv")
    with pytest.raises(AirflowSkipException, match="dry run"):
        joined(**{**stored, "queued": {**stored["queued"], "dry_run": True}}, output=output)
    with pytest.raises(CheckFailed, match="'never sent' is not in the results database"):
        joined(**{**stored, "queued": None, "campaign_name": "never sent"}, output=output)


@pytest.mark.parametrize("shape", ["{}", "file://{}"])
@pytest.mark.parametrize("role", ["contacts", "suppress"])
def test_the_next_list_never_replaces_a_file_that_is_read(
    shape: str, role: str, stored: dict[str, Any], tmp_path: Path
) -> None:
    files = {role: stored["contacts"]}
    with pytest.raises(AirflowFailException, match=r"and output are the same file\. Nothing was written"):
        joined(**{**stored, **files}, output=shape.format(stored["contacts"]), output_format="csv")


@pytest.fixture(params=["sqlite", "postgres"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    if request.param == "sqlite":
        return sqlite_database(tmp_path / "warehouse.db", monkeypatch)
    return postgres_database(request.getfixturevalue("postgres"), monkeypatch, "psycopg2")


def test_the_rows_of_a_campaign_are_replaced_in_a_table(stored: dict[str, Any], warehouse: Warehouse) -> None:
    columns = (*CAMPAIGN, *OUTPUT_COLUMNS)
    warehouse.do(
        f"CREATE TABLE reached ({', '.join(f'{name} varchar(60)' for name in columns)})",
        f"INSERT INTO reached (campaign_key, campaign_name) VALUES ('of another account', '{NAME}')",
    )
    given = {**stored, "output_conn_id": "warehouse", "output_table": "reached"}
    assert (joined(**given)["output"], joined(**{**given, "select": "all"})["rows"]) == ("reached", 3)
    rows = "SELECT campaign_name, phone_number, message_reference, result FROM reached WHERE campaign_key {} ORDER BY 2"
    assert [tuple(row) for row in warehouse.do(rows.format("= 'of another account'"))] == [(NAME, None, None, None)]
    assert [tuple(row) for row in warehouse.do(rows.format("<> 'of another account'"))] == [
        (NAME, REACHED, "order-1", "completed"),
        (NAME, BUSY, "order-2", "failed"),
        (NAME, MACHINE, "order-3", None),
    ]


def test_rows_that_cannot_be_inserted_change_nothing_and_are_not_shown(
    stored: dict[str, Any], warehouse: Warehouse
) -> None:
    """A try that fails in the middle leaves what was there before."""
    columns = ", ".join(f"{name} varchar(60)" for name in (*CAMPAIGN, *OUTPUT_COLUMNS))
    warehouse.do(
        f"CREATE TABLE reached ({columns}, CHECK (message_reference <> 'order-2'))",
        f"INSERT INTO reached (campaign_key, phone_number) VALUES ('{QueueCallsHook().key_of(NAME).digest}', 'from an earlier try')",
    )
    given = {**stored, "select": "all", "output_conn_id": "warehouse", "output_table": "reached"}
    with everything_logged() as logged, pytest.raises((AirflowFailException, CheckFailed)) as caught:
        joined(**given)
    assert "Nothing was written." in str(caught.value)
    for hidden in (REACHED, BUSY, "order-2", "run the query"):
        assert hidden not in f"{caught.value}{logged}"
    assert [row[0] for row in warehouse.do("SELECT phone_number FROM reached")] == ["from an earlier try"]
    with pytest.raises(
        AirflowFailException, match="output_table is 'reached; DROP TABLE reached', which is not an unquoted name"
    ):
        joined(**{**given, "output_table": "reached; DROP TABLE reached"})


def test_a_password_in_place_of_the_databases_connection_is_not_shown(stored: dict[str, Any]) -> None:
    given = {**stored, "output_conn_id": "postgresql://etl:S3cretPw@db/x", "output_table": "reached"}
    with (
        everything_logged() as logged,
        pytest.raises(AirflowFailException, match="It must be the id of an Airflow") as caught,
    ):
        joined(**given)
    assert "S3cretPw" not in f"{caught.value}{logged}"


def test_a_stopped_task_writes_nothing(stored: dict[str, Any], tmp_path: Path) -> None:
    task = CallResultsOperator(task_id="call", output=str(tmp_path / "next.csv"), **stored)
    task.on_kill()
    with pytest.raises(NotSent, match="Nothing was written"):
        execute(task)
    assert not (tmp_path / "next.csv").exists()


def test_a_lost_results_database_is_left_to_retries(
    stored: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__RESULTS_DATABASE", "postgresql://user:s3cret@127.0.0.1:1/results")
    with pytest.raises(CheckFailed, match="cannot be used") as caught:
        joined(**stored, output=str(tmp_path / "next.csv"))
    assert "s3cret" not in str(caught.value)
    monkeypatch.delenv("AIRFLOW__QUEUECALLS__RESULTS_DATABASE")
    with pytest.raises(AirflowFailException, match="results_database is not set"):
        joined(**stored, output=str(tmp_path / "next.csv"))


def newest_extra() -> Any:
    """The extra of the newest event of an asset."""
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        return session.scalars(select(AssetEvent.extra).order_by(AssetEvent.id.desc()).limit(1)).one()


def test_a_dag_writes_it_and_passes_the_counts_on_with_the_asset(
    stored: dict[str, Any], tmp_path: Path, run_tasks: Any
) -> None:
    # dag.test() of 3.0 refuses an asset that no scheduler has activated, and that of 2.11 records no event.
    outlets = [] if AIRFLOW == (3, 0) else '[Asset("not_reached")]'
    templates = {"queued": "{{ " + repr(stored["queued"]) + " }}", "output": f"{tmp_path}/{{{{ dag.dag_id }}}}.csv"}
    run = run_tasks(
        f'CallResultsOperator(task_id="queue", outlets={outlets}, **{ ({**stored, **templates}) })', dag_id="next_list"
    )
    assert run.states == {"queue": "success"}, run.printed
    assert (run.xcom["output"], run.xcom["rows"]) == (f"{tmp_path}/next_list.csv", 1)
    assert AIRFLOW < (3, 1) or newest_extra() == run.xcom
    for person in (REACHED, BUSY, "order-2"):
        assert person not in f"{run.kept}{run.printed}"
