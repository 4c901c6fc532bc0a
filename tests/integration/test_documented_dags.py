"""Run the example DAGs that a person or a schedule starts, and every DAG in README and documentation, both ways at night.

Started by hand, a DAG must call nobody before the calling hours of the day. Switched on, it must call nobody: Airflow then
starts the run that is overdue.
"""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest

from airflow_provider_queuecalls.sandbox.server import Sandbox
from tests.conftest import HOME
from tests.support.command import REPOSITORY
from tests.support.dag_run import Run, run_dag_file
from tests.support.moved import AIRFLOW, IS_AIRFLOW_2, dag_bag, for_this_airflow

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
EXAMPLES = [
    *sorted((REPOSITORY / "example_dags").glob("queue_calls*.py")),
    REPOSITORY / "example_dags" / "appointment_reminders.py",
]
ZONE = ZoneInfo("America/New_York")
CONTACTS = "16175550100,appointment-1,Tuesday at 9:30\n"
#: The params of each example's run, besides files and ``dry_run``. tests/e2e runs those that an asset starts.
EXAMPLE_CONF: dict[str, dict[str, Any]] = {
    "appointment_reminders": {},
    "queue_calls": {"region": "south", "appointments_per_office": 1},
    "queue_calls_end_to_end": {},
    "queue_calls_from_function": {},
    "queue_calls_from_sql": {},
    "queue_calls_in_parts": {},
    "queue_calls_with_approval": {},
    "queue_calls_with_results": {},
}
NEEDS_A_PERSON = ("queue_calls_end_to_end", "queue_calls_with_approval")
#: What waits for a person or for results, and what comes after that.
LATER = "approve|wait_for_results|not_reached|call_again|confirmed|canceled|do_not_call|suppress"

pytestmark = pytest.mark.usefixtures("database")


def code_blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)


class Documented(NamedTuple):
    """A complete DAG, and the page that shows it."""

    page: Path
    code: str


def documented_dags() -> Iterator[Any]:
    """Yield each complete DAG of every page."""
    for page in PAGES:
        blocks = [code for code in code_blocks(page, "python") if "with DAG(" in code]
        for number, code in enumerate(blocks, start=1):
            yield pytest.param(Documented(page, code), id=f"{page.relative_to(REPOSITORY)}-{number}")


DOCUMENTED = list(documented_dags())


def night(days: int) -> datetime:
    """A moment at which nobody may be called, that many days from now."""
    return (datetime.now(ZONE) + timedelta(days=days)).replace(hour=3, minute=43)


@pytest.fixture
def run_file(capfd: pytest.CaptureFixture[str]) -> Callable[..., Run]:
    """Run a DAG by hand, or as the run that is overdue when it is switched on."""

    def run(file: Path, dag_id: str, moment: datetime, *, by_hand: bool, **options: Any) -> Run:
        if IS_AIRFLOW_2:
            options["execution_date"] = moment
        else:
            # A run by hand has no logical date, unless a person gives it one.
            options |= {"run_after": moment, "logical_date": None if by_hand else moment}
        return run_dag_file(file, dag_id, capfd, **options)

    return run


@pytest.fixture
def dag_file() -> Iterator[Callable[[str], tuple[Path, str]]]:
    """Write a DAG to Airflow's folder; give the file and the DAG's id."""
    file = HOME / "dags" / "documented.py"

    def write(code: str) -> tuple[Path, str]:
        match = re.search(r'DAG\(\s*(?:dag_id=)?"(\w+)"', code)
        assert match
        file.write_text(code, encoding="utf-8")
        return file, match[1]

    yield write
    file.unlink(missing_ok=True)


def as_tried_here(documented: Documented, folder: Path) -> str:
    """Return the DAG with the imports of this Airflow. Run the commands of its page that write a contact file."""
    for commands in code_blocks(documented.page, "sh"):
        for line in commands.splitlines():
            if re.match(r"(echo|printf) .*> /tmp/", line):
                subprocess.run(line.replace("/tmp/", f"{folder}/"), shell=True, check=True)
    code = documented.code.replace("/tmp/", f"{folder}/")
    return for_this_airflow(in_airflow_2(code) if IS_AIRFLOW_2 else code)


def in_airflow_2(code: str) -> str:
    """Apply what docs/compatibility.md says about Airflow 2.11."""
    timetable = 'CronTriggerTimetable("45 14 * * *", timezone="America/New_York")'
    return f"from airflow.timetables.trigger import CronTriggerTimetable\n{code}".replace('"45 14 * * *"', timetable)


def assert_called_only_in_calling_hours(sandbox: Sandbox, earliest: datetime) -> None:
    assert sandbox.campaigns
    for campaign in sandbox.campaigns:
        start, end = (
            datetime.fromtimestamp(int(campaign.parameters[name]), ZONE)
            for name in ("scheduled_timestamp", "expiration_timestamp")
        )
        assert start > earliest
        assert start.minute in (15, 30, 45), "the vendor advises against the full hour"
        assert 8 <= start.hour < end.hour <= 21
        assert start.date() == end.date() == earliest.date()


def test_pages_have_dags_to_test() -> None:
    assert [
        page for page in PAGES if page.name == "README.md" and any(each.values[0].page == page for each in DOCUMENTED)
    ]


@pytest.mark.parametrize("documented", DOCUMENTED)
def test_documented_dag_started_by_hand_at_night_calls_in_calling_hours(
    documented: Documented, run_file: Any, dag_file: Any, queuecalls_sandbox: Sandbox, tmp_path: Path
) -> None:
    moment = night(days=1)
    run = run_file(*dag_file(as_tried_here(documented, tmp_path)), moment, by_hand=True)
    assert set(run.states.values()) == {"success"}, run.printed
    assert_called_only_in_calling_hours(queuecalls_sandbox, moment)


@pytest.mark.parametrize("documented", DOCUMENTED)
def test_documented_dag_switched_on_at_night_calls_nobody(
    documented: Documented, run_file: Any, dag_file: Any, queuecalls_sandbox: Sandbox, tmp_path: Path
) -> None:
    overdue = night(days=-1).replace(hour=14, minute=45)
    run = run_file(*dag_file(as_tried_here(documented, tmp_path)), overdue, by_hand=False)
    assert "failed" in run.states.values()
    assert run.tries == 1
    assert "expiration_timestamp" in run.printed
    assert queuecalls_sandbox.campaigns == []


@pytest.fixture
def example_run(
    examples: Path, tmp_path: Path, run_file: Any, queuecalls_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Run]]:
    """Run an example against the sandbox, with a warehouse, a contact file and folders of this test's own."""
    warehouse, contacts = tmp_path / "warehouse.db", tmp_path / "calls.csv"
    contacts.write_text(CONTACTS)
    with closing(sqlite3.connect(warehouse)) as connection, connection:
        connection.execute("CREATE TABLE appointments (day TEXT, mobile TEXT, reference TEXT, spoken_time TEXT)")
        connection.execute("INSERT INTO appointments VALUES ('2026-01-02', '16175550100', 'appointment-1', '9:30')")
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(warehouse)}))
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__RESULTS_URL", "https://results.example/queuecalls")
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__RESULTS_SECRET", "a-secret-for-this-test-only")
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__RESULTS_DATABASE", f"sqlite:///{tmp_path}/results.db")
    given = {"contacts": str(contacts), "parts_path": str(tmp_path / "parts"), "folder": str(tmp_path / "lists")}
    sql = examples / "sql" / "appointments.sql"

    def run(dag_id: str, moment: datetime, **options: Any) -> Run:
        code = (examples / f"{dag_id}.py").read_text()
        params = re.findall(r'^    "(\w+)": Param\(', code, flags=re.MULTILINE)
        conf = {name: value for name, value in given.items() if name in params} | EXAMPLE_CONF[dag_id]
        if "dry_run" in params:
            conf["dry_run"] = False
        options["mark_success_pattern"] = LATER
        found: Run = run_file(examples / f"{dag_id}.py", dag_id, moment, run_conf=conf, **options)
        return found

    text = sql.read_text()
    sql.write_text(text.replace("%(day)s", ":day"))
    try:
        yield run
    finally:
        sql.write_text(text)


airflow_3 = pytest.mark.skipif(IS_AIRFLOW_2, reason="the example DAGs are written for Airflow 3")
waits = pytest.mark.skipif(AIRFLOW < (3, 2), reason="the approval task of that time has no response_timeout")


def in_this_airflow(name: str) -> Any:
    """An example as a test's parameter, skipped where this Airflow cannot run it."""
    return pytest.param(name, marks=waits if name in NEEDS_A_PERSON else ())


runnable = pytest.mark.parametrize("dag_id", [in_this_airflow(name) for name in EXAMPLE_CONF])


@airflow_3
@runnable
def test_example_started_by_hand_at_night_calls_in_calling_hours(
    dag_id: str, example_run: Any, queuecalls_sandbox: Sandbox
) -> None:
    moment = night(days=1)
    run = example_run(dag_id, moment, by_hand=True)
    assert set(run.states.values()) == {"success"}, run.printed
    assert_called_only_in_calling_hours(queuecalls_sandbox, moment)


@airflow_3
@runnable
def test_overdue_run_of_an_example_calls_nobody(dag_id: str, example_run: Any, queuecalls_sandbox: Sandbox) -> None:
    run = example_run(dag_id, night(days=-1), by_hand=False)
    assert "failed" in run.states.values()
    assert "expiration_timestamp" in run.printed
    assert queuecalls_sandbox.campaigns == []


@airflow_3
@pytest.mark.parametrize("dag_file_name", [in_this_airflow(file.stem) for file in EXAMPLES])
def test_every_campaign_of_an_example_has_calling_hours(dag_file_name: str, examples: Path) -> None:
    bag = dag_bag(str(examples / f"{dag_file_name}.py"))
    assert not bag.import_errors
    campaigns = [
        {**dag.default_args, **(getattr(task, "partial_kwargs", None) or vars(task))}
        for dag in bag.dags.values()
        for task in dag.tasks
        if "start_url" in getattr(task, "template_fields", ())
    ]
    assert campaigns
    for campaign in campaigns:
        if campaign.get("calling_hours"):
            assert "SplitContactsOperator" in (examples / f"{dag_file_name}.py").read_text()
            continue  # the split gives each campaign its times
        date = re.escape("(dag_run.run_after.astimezone(dag.timezone) + macros.timedelta(hours=6)).date()")
        day = rf"\{{\{{ {date}( \+ macros\.timedelta\(days=1\))? \}}\}}"
        assert re.fullmatch(rf"{day}T15:15 America/New_York", campaign["scheduled_timestamp"])
        assert re.fullmatch(rf"{day}T18:00 America/New_York", campaign["expiration_timestamp"])
