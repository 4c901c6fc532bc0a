"""Many small campaigns on a cluster: the operator against a task that does nothing, and one written by hand.

    python -m benchmarks.cluster                                # 200 campaigns of 1,000 contacts, in 5 rounds
    python -m benchmarks.cluster --campaigns 40 --rounds 2

The cluster is that of tests/cluster: Airflow with CeleryExecutor, PostgreSQL, Redis, two workers of two slots each, a
storage that speaks S3, and the sandbox. One DAG, three operators: one that does nothing; one that reads the contact
file from the storage and posts it, with nothing checked and nothing remembered; and the QueueCallsOperator, which keeps
its receipts in the storage. The three take turns, so that what else the machine does falls on all alike; ratios count,
not seconds.

A task's time is Airflow's own, from its start to its end; throughput is of a run's mapped tasks, from the first one's
start to the last one's end. Our own share of a task's time is all that the QueueCallsOperator does but fetch the
contact file and wait for the service, which nobody can do without: the check, the records of what was sent (with what
the storage takes for that), and the rest. Exit status 1: it is more than 15 %.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

from airflow_provider_queuecalls.sandbox.server import run_sandbox
from tests.support.airflow import Airflow
from tests.support.cluster import SLOTS, celery_cluster

GOAL_SHARE = 0.15
WORKERS = ("worker-1", "worker-2")
SECONDS = 3600
DAGS = Path(__file__).parent / "dags"
CONTENDERS = {"no_op": "nothing", "by_hand": "fetch and post", "outreach": "QueueCallsOperator"}
PARTS = {
    "airflow": "Airflow", "fetch": "fetch the file", "service": "the service", "check": "check the file",
    "records": "records", "rest": "the rest",
}  # fmt: skip
OWN = ("check", "records", "rest")
WARM_UP = 2 * SLOTS * len(WORKERS)


class Run(NamedTuple):
    """The mapped tasks of one run: the seconds that each took, and that all took together; and where the time of each
    went, if it tells."""

    tasks: list[float]
    seconds: float
    parts: list[Mapping[str, float]]


def run(airflow: Airflow, dag_id: str, run_id: str, campaigns: int, contacts: int) -> Run:
    airflow.trigger(dag_id, run_id, campaigns=campaigns, contacts=contacts)
    tasks = airflow.finished(dag_id, run_id, SECONDS)
    calls = [task for task in tasks if task["task_id"] == "call"]
    if len(calls) != campaigns or any(task["state"] != "success" or task["try_number"] != 1 for task in tasks):
        sys.exit(f"Not every task of {dag_id} succeeded at once\n{airflow.logs()}")
    starts, ends = ([datetime.fromisoformat(task[moment]) for task in calls] for moment in ("start_date", "end_date"))
    parts: list[Mapping[str, float]] = []
    for task in calls if dag_id == "outreach" else ():
        told = airflow.xcom(task)["seconds"]
        parts.append({**told, "airflow": task["duration"] - sum(told.values())})
    return Run([task["duration"] for task in calls], (max(ends) - min(starts)).total_seconds(), parts)


def report(campaigns: int, contacts: int, runs: dict[str, list[Run]]) -> int:
    """Print the table and tell whether the goal is missed."""
    rounds = len(runs["no_op"])
    print(
        f"{campaigns * rounds} campaigns of {contacts:,} contacts by each, {rounds} interleaved rounds, "
        f"{len(WORKERS)} workers of {SLOTS} slots on {os.cpu_count()} cores\n"
    )
    print(f"{'':20}{'seconds a task':>24}{'tasks':>12}{'times':>10}")
    print(f"{'':20}{'median':>12}{'9th decile':>12}{'a second':>12}{'nothing':>10}")
    for dag_id, own in runs.items():
        seconds = [second for one in own for second in one.tasks]
        print(
            f"{CONTENDERS[dag_id]:20}{median(seconds):12.2f}{quantiles(seconds, n=10)[-1]:12.2f}"
            f"{median(campaigns / one.seconds for one in own):12.2f}{_ratio(own, runs['no_op']):10.2f}"
        )
    tasks = [parts for one in runs["outreach"] for parts in one.parts]
    print(f"\n{'a task of ours':20}{'seconds':>12}{'share':>12}")
    for part, title in PARTS.items():
        print(f"{title:20}{median(task[part] for task in tasks):12.2f}{_share(tasks, [part]):12.0%}")
    share = _share(tasks, OWN)
    print(
        f"\n{'Goal met' if share <= GOAL_SHARE else 'GOAL MISSED'}: our own share of a task's time is {share:.0%} "
        f"(at most {GOAL_SHARE:.0%})"
    )
    return int(share > GOAL_SHARE)


def _share(tasks: list[Mapping[str, float]], parts: Iterable[str]) -> float:
    """The share of some parts in the time of all tasks."""
    return sum(task[part] for task in tasks for part in parts) / sum(sum(task.values()) for task in tasks)


def _ratio(own: list[Run], other: list[Run]) -> float:
    """Neighbours in time share the machine's mood, so each run is compared with the other one of the same round."""
    return median(median(one.tasks) / median(another.tasks) for one, another in zip(own, other, strict=True))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--campaigns", type=int, default=200, help="by each operator, in all rounds (default: 200)")
    parser.add_argument("--contacts", type=int, default=1000, help="in each campaign (default: 1000)")
    parser.add_argument("--rounds", type=int, default=5, help="the campaigns are spread over so many (default: 5)")
    options = parser.parse_args()
    campaigns = max(1, options.campaigns // options.rounds)
    runs: dict[str, list[Run]] = {dag_id: [] for dag_id in CONTENDERS}
    with tempfile.TemporaryDirectory(prefix="queuecalls-bench-") as home, run_sandbox(speed=0) as sandbox:
        connection = {"AIRFLOW_CONN_QUEUECALLS_DEFAULT": sandbox.connection}
        with celery_cluster(Path(home), DAGS, WORKERS, connection) as cluster:
            cluster.airflow.wait_for(CONTENDERS)
            for dag_id in CONTENDERS:
                run(cluster.airflow, dag_id, "warm-up", WARM_UP, options.contacts)
            for number in range(options.rounds):
                turn = number % len(CONTENDERS)
                for dag_id in [*CONTENDERS][turn:] + [*CONTENDERS][:turn]:
                    runs[dag_id].append(run(cluster.airflow, dag_id, f"round-{number}", campaigns, options.contacts))
    return report(campaigns, options.contacts, runs)


if __name__ == "__main__":
    sys.exit(main())
