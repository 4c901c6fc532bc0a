"""Cost of our operator's import when a DAG file is parsed, over what such a file imports of Airflow anyway.

    python benchmarks/import_cost.py                       # 20 rounds
    python benchmarks/import_cost.py --rounds 5

Fresh processes with and without our import take turns, with bytecode at hand, as in an installed Airflow. What is
measured is CPU time, which the machine's other work disturbs least. The difference between two processes is still
smaller than their noise, so the goal is judged by our import alone, timed in the process that did Airflow's just before.

The modules that our import adds are listed: anything that isn't ours is what a DAG file now has to wait for. Exit
status 1: our import takes more than 2 % of Airflow's.
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
from typing import Any

GOAL_PERCENT = 2.0
OURS = "airflow_provider_queuecalls"
ROOT = str(Path(__file__).resolve().parent.parent)


def parse(with_ours: bool) -> None:
    """In a process of its own: import what a DAG file imports, and print what it cost."""
    started = time.process_time()
    # airflow.sdk loads its names when they are asked for, as a DAG file does.
    from airflow.sdk import DAG, BaseOperator, task  # noqa: F401

    imported = time.process_time()
    before = set(sys.modules)
    if with_ours:
        from airflow_provider_queuecalls.operators.queuecalls import QueueCallsOperator  # noqa: F401
    ended = time.process_time()
    added = sorted(set(sys.modules) - before)
    print(json.dumps({"airflow": imported - started, "ours": ended - imported, "process": ended, "added": added}))


def measure(rounds: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return what each process printed: those without our import, and those with it."""
    results: dict[str, list[dict[str, Any]]] = {"without": [], "with": []}
    with tempfile.TemporaryDirectory(prefix="queuecalls-bench-") as directory:
        env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | {
            "AIRFLOW_HOME": directory,
            "PYTHONPATH": os.pathsep.join(filter(None, (ROOT, os.environ.get("PYTHONPATH")))),
            "PYTHONPYCACHEPREFIX": os.path.join(directory, "bytecode"),
        }
        for number in range(-1, max(1, rounds)):
            for name, own in results.items():
                command = [sys.executable, __file__, "--parse", name]
                output = subprocess.run(command, check=True, env=env, stdout=subprocess.PIPE, text=True).stdout
                if number >= 0:  # the first round compiled
                    own.append(json.loads(output.splitlines()[-1]))
    return results["without"], results["with"]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20, help="processes with and without our import (default: 20)")
    parser.add_argument("--parse", choices=("without", "with"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.parse:
        parse(options.parse == "with")
        return 0
    without, with_ours = measure(options.rounds)
    rows = {
        "process with airflow.sdk": [run["process"] for run in without],
        "process with our operator too": [run["process"] for run in with_ours],
        "import of airflow.sdk": [run["airflow"] for run in with_ours],
        "import of our operator after it": [run["ours"] for run in with_ours],
    }
    print(f"{len(without)} interleaved rounds\n\n{'CPU time, ms':34}{'min':>9}{'median':>9}")
    for title, seconds in rows.items():
        print(f"{title:34}{min(seconds) * 1e3:9.1f}{median(seconds) * 1e3:9.1f}")
    added = with_ours[-1]["added"]
    foreign = [name for name in added if name.split(".")[0] != OURS]
    print(f"\nour import adds {len(added)} modules, {len(foreign)} of them not ours:")
    print("".join(f"  {name}\n" for name in [*foreign, *(name for name in added if name not in foreign)]))
    percent = median(100 * run["ours"] / run["airflow"] for run in with_ours)
    met = percent <= GOAL_PERCENT
    print(
        f"{'Goal met' if met else 'GOAL MISSED'}: our import takes {percent:.2f} % of airflow.sdk's "
        f"(at most {GOAL_PERCENT:.0f} %)"
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
