"""The command ``queuecalls demo``: runs an example DAG in a real Airflow against the sandbox, from the list to the results.

Everything is kept in a temporary folder, which is removed at the end and after SIGTERM and Ctrl-C.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime, timedelta, timezone
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from airflow_provider_queuecalls.sandbox.server import Sandbox

DAG_ID = "queue_calls_with_results"
SHOWN_PEOPLE = 5
#: How far the sandbox's clock goes at once, and how long the demo waits before that.
STEP_SECONDS, PAUSE_SECONDS = 60, 0.2
#: The lines that our operators, hook and sensor log, among everything that Airflow prints.
OUR_LOG = re.compile(r"^(?P<line>\S+ \[\w+ *\].*?)\s*\[airflow\.task\.\w+\.airflow_provider_queuecalls\.")
READ_XCOM = """
import json
from sqlalchemy import select
from airflow.utils.session import create_session
try:
    from airflow.models.xcom import XComModel
except ImportError:
    from airflow.models.xcom import XCom as XComModel
with create_session() as session:
    rows = session.scalars(select(XComModel).where(XComModel.key == "return_value"))
    print(json.dumps({row.task_id: XComModel.deserialize_value(row) for row in rows}))
"""
MAIN = "import sys; from airflow_provider_queuecalls.cli import main; sys.exit(main())"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand ``demo``."""
    text = "run an example DAG in a real Airflow against a sandbox, from the list to the results; places no real calls"
    commands.add_parser("demo", help=text, description=text).set_defaults(run=lambda _: run_demo())


def run_demo() -> int:
    """Run the demo; return 0 only if the sandbox has every contact exactly once, and the results of all are here."""
    from airflow_provider_queuecalls.records.sent.stores import init_folder
    from airflow_provider_queuecalls.sandbox.server import run_sandbox

    signal.signal(signal.SIGTERM, _end)
    with tempfile.TemporaryDirectory(prefix="queuecalls-demo-") as home, run_sandbox() as sandbox:
        environment = _environment(Path(home), sandbox)
        init_folder(Path(environment["AIRFLOW__QUEUECALLS__RECEIPTS_PATH"]))
        with _receiver(environment) as url:
            environment["AIRFLOW__QUEUECALLS__RESULTS_URL"] = url
            _print_title("Create an Airflow with a SQLite database")
            _run(environment, "-m", "airflow", "db", "migrate")
            print(f"  {home}")
            _print_title(f"Run DAG {DAG_ID}: export contacts, queue the campaign, wait for the results")
            _run_dag(environment, {"dry_run": False, "folder": f"{home}/lists"}, sandbox)
            pushed = json.loads(_run(environment, "-c", READ_XCOM).splitlines()[-1])
        _print_title("XCom of the tasks")
        queued = pushed["queue_calls"]
        shown = {"call_ids": _shortened(queued["call_ids"]), "response": f"{queued['response'][:60]}…"}
        for task_id in ("queue_calls", "wait_for_results", "not_reached"):
            values = {**pushed[task_id], **(shown if task_id == "queue_calls" else {})}
            print(f"  {task_id}: {json.dumps(values, indent=2, ensure_ascii=False)}")
        return _compare(pushed, sandbox)


def _run_dag(environment: Mapping[str, str], conf: Mapping[str, Any], sandbox: Sandbox) -> None:
    """Run the DAG, and let time pass in the sandbox once the campaign is queued. Show our log, and how many results came."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from airflow_provider_queuecalls.records.database.database import Database

    # Tomorrow's calling hours are still to come, whatever the time is now.
    tomorrow = f"{datetime.now(timezone.utc) + timedelta(days=1):%Y-%m-%dT12:00}"
    command = [sys.executable, "-m", "airflow", "dags", "test", DAG_ID, tomorrow, "--conf", json.dumps(conf)]
    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn())
    with (
        tempfile.TemporaryFile("w+") as output,
        subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT) as process,  # noqa: S603
        closing(Database(environment["AIRFLOW__QUEUECALLS__RESULTS_DATABASE"])) as database,
        Progress(*columns, console=Console(file=sys.stdout)) as progress,
    ):
        bar = progress.add_task("results", total=None)
        while process.poll() is None:
            time.sleep(PAUSE_SECONDS)
            for campaign in sandbox.campaigns:
                before_start = campaign.starts_at - sandbox.now.timestamp()
                sandbox.advance(seconds=max(before_start, STEP_SECONDS))
            for counts in database.counts():
                progress.update(bar, completed=counts.results, total=counts.contacts)
        output.seek(0)
        printed = output.read()
    if process.returncode:
        raise SystemExit(f"The DAG run failed with status {process.returncode}:\n{printed}")
    for line in printed.splitlines():
        if match := OUR_LOG.match(line):
            print(f"  {match['line']}")


def _compare(pushed: Mapping[str, Any], sandbox: Sandbox) -> int:
    """Show who was not reached, and compare the tasks' XComs with what the sandbox has received."""
    from airflow_provider_queuecalls.contacts.rows.phone_numbers import masked

    queued, results, not_reached = (pushed[task_id] for task_id in ("queue_calls", "wait_for_results", "not_reached"))
    (campaign,) = sandbox.campaigns
    calls, numbers = sandbox.calls_of(queued["campaign_name"]), sandbox.numbers
    with open(not_reached["output"], newline="", encoding="utf-8") as file:
        people = list(csv.DictReader(file))
    completed = results["by_result"].get("completed", 0)
    _print_title(
        f"{completed} of {queued['contacts']} people were reached; the list of the others, ready for the next campaign"
    )
    print(f"  {not_reached['output']}")
    for person in people[:SHOWN_PEOPLE]:
        print(f"    {masked(person['phone_number'])}  {person['message_reference']}  {person['call_parameter']}")
    print(f"    … {len(people) - SHOWN_PEOPLE} more" if len(people) > SHOWN_PEOPLE else "")
    whole = campaign.digest == queued["digest"] and len(calls) == len(numbers) == queued["contacts"]
    once = set(numbers.values()) == {1}
    home = results["complete"] and completed + len(people) == queued["contacts"]
    home = home and len(people) == sum(call.state != "completed" for call in calls)
    good = whole and once and home
    _print_title(f"{'Every' if good else 'NOT every'} contact is queued exactly once, and its result has come back")
    return 0 if good else 1


def _environment(home: Path, sandbox: Sandbox) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    return {
        **inherited,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(_examples()),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__QUEUECALLS__RECEIPTS_PATH": str(home / "receipts"),
        "AIRFLOW__QUEUECALLS__RESULTS_DATABASE": f"sqlite:///{home}/results.db",
        "AIRFLOW__QUEUECALLS__RESULTS_SECRET": secrets.token_urlsafe(),
        "AIRFLOW_CONN_QUEUECALLS_DEFAULT": sandbox.connection,
        "TMPDIR": str(home),
        "PYTHONWARNINGS": "ignore",
        "NO_COLOR": "1",
    }


@contextmanager
def _receiver(environment: Mapping[str, str]) -> Iterator[str]:
    """Run a results receiver; give the base of its URLs."""
    command = [sys.executable, "-u", "-c", MAIN, "results", "serve", "--port", "0"]
    with subprocess.Popen(  # noqa: S603
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            line = next(iter(process.stdout or ()), "")
            if not (found := re.search(r"listens on (\S+)\. ", line)):
                raise SystemExit(f"The results receiver did not start: {line}")
            _print_title("Start a results receiver")
            print(f"  {found[1]}")
            yield found[1]
        finally:
            process.terminate()


def _examples() -> Path:
    """The example DAGs: inside an installed package, beside it in the repository."""
    package = Path(str(files("airflow_provider_queuecalls")))
    inside = package / "example_dags"
    return inside if inside.is_dir() else package.parent / "example_dags"


def _run(environment: Mapping[str, str], *command: str) -> str:
    done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed with status {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


def _shortened(call_ids: list[str]) -> list[str]:
    return [*call_ids[:3], f"… {len(call_ids) - 3} more"] if len(call_ids) > 3 else call_ids


def _print_title(title: str) -> None:
    print(f"\n== {title}", flush=True)


def _end(*_: object) -> NoReturn:
    raise SystemExit("The demo was stopped by a signal.")
