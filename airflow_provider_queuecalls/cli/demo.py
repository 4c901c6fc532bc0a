"""The command ``queuecalls demo``: runs the example DAG in a real Airflow against the sandbox.

Everything is kept in a temporary folder, which is removed at the end and after SIGTERM and Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from airflow_provider_queuecalls.sandbox.server import Sandbox

DAG_ID = "queue_calls"
SHOWN_CALLS = 5
SHOWN_CHARACTERS = 300
#: The lines that our operator and hook log, among everything that Airflow prints.
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
    row = session.scalars(select(XComModel).where(XComModel.task_id == "queue_calls", XComModel.key == "return_value")).one()
    print(json.dumps(XComModel.deserialize_value(row)))
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand ``demo``."""
    text = "run the example DAG in a real Airflow against a sandbox; places no real calls"
    commands.add_parser("demo", help=text, description=text).set_defaults(run=lambda _: run_demo())


def run_demo() -> int:
    """Run the demo; return 0 only if the sandbox has every contact exactly once."""
    from airflow_provider_queuecalls.records.stores import init_folder
    from airflow_provider_queuecalls.sandbox.server import run_sandbox

    signal.signal(signal.SIGTERM, _end)
    with tempfile.TemporaryDirectory(prefix="queuecalls-demo-") as home, run_sandbox() as sandbox:
        environment = _environment(Path(home), sandbox)
        init_folder(Path(environment["AIRFLOW__QUEUECALLS__RECEIPTS_PATH"]))
        _print_title("Create an Airflow with a SQLite database")
        _run(environment, "-m", "airflow", "db", "migrate")
        print(f"  {home}")
        _print_title(f"Run DAG {DAG_ID}: export contacts, queue the campaign, report")
        printed = _run(environment, "-m", "airflow", "dags", "test", DAG_ID, "--conf", json.dumps({"dry_run": False}))
        for line in printed.splitlines():
            if match := OUR_LOG.match(line):
                print(f"  {match['line']}")
        _print_title("XCom of the task")
        pushed = json.loads(_run(environment, "-c", READ_XCOM).splitlines()[-1])
        shown = {"call_ids": _shortened(pushed["call_ids"]), "response": f"{pushed['response'][:SHOWN_CHARACTERS]}…"}
        print(json.dumps({**pushed, **shown}, indent=2, ensure_ascii=False))
        return _compare(pushed, sandbox)


def _compare(pushed: dict[str, Any], sandbox: Sandbox) -> int:
    """Show what the sandbox has received, and compare it with the task's XCom."""
    from airflow_provider_queuecalls.sandbox.numbers import masked

    (campaign,) = sandbox.campaigns
    calls, numbers = sandbox.calls_of(pushed["campaign_name"]), sandbox.numbers
    _print_title("What the sandbox has received")
    print(f"  campaign {campaign.name}\n  {len(calls)} calls to {len(numbers)} numbers; the first {SHOWN_CALLS}:")
    for call in calls[:SHOWN_CALLS]:
        print(f"    {masked(call.phone_number)}  {call.call_id}  {call.call_parameter}")
    whole = campaign.digest == pushed["digest"] and len(calls) == len(numbers) == pushed["contacts"]
    once = set(numbers.values()) == {1}
    _print_title(
        "Every contact is queued exactly once" if whole and once else "NOT every contact is queued exactly once"
    )
    return 0 if whole and once else 1


def _environment(home: Path, sandbox: Sandbox) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    return {
        **inherited,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(_examples()),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__QUEUECALLS__RECEIPTS_PATH": str(home / "receipts"),
        "AIRFLOW_CONN_QUEUECALLS_DEFAULT": sandbox.connection,
        "TMPDIR": str(home),  # the contact file too
        "PYTHONWARNINGS": "ignore",
        "NO_COLOR": "1",
    }


def _examples() -> Path:
    """The example DAGs: inside an installed package, beside it in the repository."""
    package = Path(str(files("airflow_provider_queuecalls")))
    inside = package / "example_dags"
    return inside if inside.is_dir() else package.parent / "example_dags"


def _run(environment: dict[str, str], *command: str) -> str:
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
