"""Runs a DAG file's DAG through a real Airflow, and tells what Airflow keeps of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from tests.conftest import HOME
from tests.support.command import REPOSITORY
from tests.support.logs import Entry, everything_logged
from tests.support.moved import IS_AIRFLOW_2, dag_bag, for_this_airflow, serialized_dag, xcom_model, xcom_value

if TYPE_CHECKING:
    import pytest

DAGS = HOME / "dags"
#: The task that sends.
TASK_ID = "queue"
DAG_FILE = """
from datetime import datetime, timedelta, timezone
from airflow.sdk import DAG, task
from airflow_provider_queuecalls._airflow.compat import Asset
from airflow_provider_queuecalls.client import Campaign
from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook
from airflow_provider_queuecalls.notifications.queuecalls import QueueCallsNotifier
from airflow_provider_queuecalls.operators.call_results import CallResultsOperator
from airflow_provider_queuecalls.operators.queuecalls import QueueCallsOperator
from airflow_provider_queuecalls.operators.split_contacts import SplitContactsOperator
from airflow_provider_queuecalls.sensors.queuecalls import QueueCallsResultsSensor
from airflow_provider_queuecalls.transfers.sql_to_queuecalls import SqlToQueueCallsOperator

ANN, BOB, CAY = "16175550143", "16175550178", "12025550119"

with DAG({dag_id!r}, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc), {settings}):
{tasks}
"""


@dataclass
class Run:
    """What Airflow keeps of a run: the tasks' states and tries, XCom, rendered fields and all that was printed.

    ``xcom`` is what the task ``queue`` returned, or a list of that if it is mapped; ``links`` are the URLs of its link
    to the campaign, as the server gives them to the task's page, a mapped task's by index.
    """

    states: dict[str, str]
    tries: int
    xcom: Any
    links: list[str]
    kept: str
    printed: str


def noon_tomorrow() -> datetime:
    """A ``run_after`` with which an example calls in a window that begins in the future, at any time of the day: one that a
    run of today gets may end before it is used."""
    return (datetime.now(ZoneInfo("America/New_York")) + timedelta(days=1)).replace(hour=12)


def without_masked(printed: str) -> str:
    """What ``dag.test()`` has printed, without the lines in which Airflow, at level DEBUG, logs what it is asked to mask."""
    return "".join(line for line in printed.splitlines(keepends=True) if "msg=MaskSecret(" not in line)


def run_tasks(tasks: str, *, dag_id: str, capfd: pytest.CaptureFixture[str], settings: str = "", **options: Any) -> Run:
    """Run a DAG of these tasks as :func:`run_dag_file` does, from a file that exists only during the run. Tasks and the DAG's
    further settings are code for the newest Airflow."""
    code = DAG_FILE.format(dag_id=dag_id, settings=settings, tasks=indent(tasks, "    "))
    with _written(for_this_airflow(code), dag_id) as file:
        return run_dag_file(file, dag_id, capfd, **options)


def run_dag_file(file: Path, dag_id: str, capfd: pytest.CaptureFixture[str], **options: Any) -> Run:
    """Run a DAG of a file, by what ``dag.test()`` takes. The file has to lie in the DAGs folder."""
    from airflow.models.renderedtifields import RenderedTaskInstanceFields
    from airflow.utils.session import create_session
    from sqlalchemy import select

    capfd.readouterr()
    # Python takes a file that was rewritten within a second, and is as long as before, for what it has compiled.
    shutil.rmtree(file.parent / "__pycache__", ignore_errors=True)
    bag, xcoms = dag_bag(str(file)), xcom_model()
    assert not bag.import_errors
    dag = bag.dags[dag_id]
    # Airflow 2 prints to the stream that it found when it was loaded, which is another test's.
    logging: AbstractContextManager[list[Entry]] = everything_logged() if IS_AIRFLOW_2 else nullcontext([])
    with logging as logged, _alone(file):
        dag_run = dag.test(**options)
    printed = without_masked(
        "".join([*capfd.readouterr(), *(f"{entry.message} {' '.join(entry.parts)}\n" for entry in logged)])
    )
    # Parts of Airflow that need no links switch them off for their whole process, which is this one here.
    serialized_dag()._load_operator_extra_links = True
    serialized = serialized_dag().from_dict(serialized_dag().to_dict(dag))
    with create_session() as session:
        instances = sorted(dag_run.get_task_instances(session=session), key=lambda ti: (ti.task_id, ti.map_index))
        here = {"dag_id": dag_id, "run_id": dag_run.run_id}
        pushed = session.scalars(select(xcoms).filter_by(**here)).all()
        rendered = [RenderedTaskInstanceFields.get_templated_fields(ti, session=session) for ti in instances]
        returned = [row for row in pushed if (row.task_id, row.key) == (TASK_ID, "return_value")]
        results = [xcom_value(row) for row in sorted(returned, key=lambda row: row.map_index)]
        queue = serialized.get_task(TASK_ID) if TASK_ID in serialized.task_ids else None
        return Run(
            states={f"{ti.task_id}{'' if ti.map_index < 0 else ti.map_index}": str(ti.state) for ti in instances},
            tries=max(ti.try_number for ti in instances),
            xcom=results[0] if returned and returned[0].map_index < 0 else results,
            links=[queue.get_extra_links(ti, "Campaign") for ti in instances if queue and ti.task_id == TASK_ID],
            kept=json.dumps([row.value for row in pushed]) + json.dumps(rendered),
            printed=printed,
        )


def run_in_a_process(
    code: str, dag_id: str, events: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a program that is a DAG file, which exists only meanwhile. OpenLineage's events go to a file."""
    transport = {"type": "file", "log_file_path": str(events), "append": True}
    common = {"PYTHONPATH": str(REPOSITORY), "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport)}
    given = {**os.environ, **common, **environment}
    with _written(code, dag_id) as file, _alone(file):
        return subprocess.run([sys.executable, str(file)], env=given, capture_output=True, text=True, check=False)


@contextmanager
def _written(code: str, dag_id: str) -> Iterator[Path]:
    """A file in the DAGs folder, removed at the end."""
    file = DAGS / f"{dag_id}.py"
    file.write_text(code, encoding="utf-8")
    try:
        yield file
    finally:
        file.unlink()


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Hide all other DAG files: ``dag.test()`` reads and stores every DAG of the folder, each time."""
    ignored = DAGS / ".airflowignore"
    ignored.write_text(rf"^(?!(.*/)?{re.escape(file.name)}$).*\.py$")
    try:
        yield
    finally:
        ignored.unlink()
