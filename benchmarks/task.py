"""The operator's own share of a task: the CPU time that it adds to a process in which Airflow has started.

    python -m benchmarks.task [--rows 1000] [--rounds 10]

Each round is a fresh process that has imported what runs Airflow's tasks, with bytecode at hand. Then it imports our operator, and
executes it: check, record in a folder, request to a sink on this machine, response. Exits with 1 if it takes more than 100 ms for
1,000 rows.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

from benchmarks.upload import FIELDS, LOGIN, PIN, ROOT, running_sink, write_contacts

GOAL_SECONDS, GOAL_ROWS = 0.1, 1_000


def execute(path: Path) -> None:
    """In a process of its own: import and execute the operator, and print what it cost."""
    import airflow.sdk.execution_time.supervisor
    import airflow.sdk.execution_time.task_runner  # noqa: F401
    from airflow.sdk import DAG, BaseOperator, task  # noqa: F401 - as every DAG file does

    started = time.process_time()
    from airflow_provider_queuecalls.operators.queuecalls import QueueCallsOperator

    imported = time.process_time()
    operator = QueueCallsOperator(
        task_id="call", contacts=str(path), start_url=FIELDS["start_url"], receipts_path=str(path.parent / "records")
    )
    run_id = f"manual__{os.getpid()}"
    ti = SimpleNamespace(dag_id="task", task_id="call", run_id=run_id, map_index=-1, try_number=1, max_tries=0)
    modules = set(sys.modules)
    context: Any = {"ti": ti}
    operator.execute(context)
    ended = time.process_time()
    added = [name for name in sys.modules if name not in modules and name.count(".") == 0]
    print(json.dumps({"import": imported - started, "execute": ended - imported, "added": added}))


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=GOAL_ROWS)
    options.add_argument("--rounds", type=int, default=10)
    options.add_argument("--execute", type=Path, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.execute:
        execute(given.execute)
        return 0
    with tempfile.TemporaryDirectory() as directory, running_sink() as (port, _):
        home = Path(directory)
        path = write_contacts(home / "calls.csv", rows=given.rows)
        connection = {"conn_type": "queuecalls", "schema": "http", "host": "127.0.0.1", "port": port}
        env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | {
            "AIRFLOW_HOME": directory,
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
            "no_proxy": "*",
            "AIRFLOW_CONN_QUEUECALLS_DEFAULT": json.dumps(connection | {"login": LOGIN, "password": PIN}),
            "PYTHONPYCACHEPREFIX": str(home / "bytecode"),
        }
        init = "import sys; from airflow_provider_queuecalls.cli import main; main(['records', 'init', sys.argv[1]])"
        subprocess.run(
            [sys.executable, "-c", init, home / "records"], check=True, env=env, cwd=ROOT, stdout=subprocess.PIPE
        )
        command = [sys.executable, "-m", "benchmarks.task", "--execute", str(path)]
        runs = []
        for _ in range(given.rounds + 1):
            done = subprocess.run(command, check=True, env=env, cwd=ROOT, stdout=subprocess.PIPE, text=True)
            runs.append(json.loads(done.stdout.splitlines()[-1]))
    del runs[0]  # it compiled
    share = {step: median(run[step] for run in runs) for step in ("import", "execute")}
    total = median(run["import"] + run["execute"] for run in runs)
    print(f"{given.rows:,} rows: {total * 1e3:.0f} ms of CPU", {step: f"{s * 1e3:.0f} ms" for step, s in share.items()})
    print(f"execute imports: {', '.join(sorted(runs[-1]['added']))}")
    missed = bool(given.rows <= GOAL_ROWS and total > GOAL_SECONDS)
    print("GOAL MISSED" if missed else "goal met")
    return missed


if __name__ == "__main__":
    sys.exit(main())
