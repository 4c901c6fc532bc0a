"""Two Airflows for all modules, without and with a results receiver: to start one takes longer than most tests.

They end with the last of these modules: an idle scheduler takes a tenth of a processor. Modules of the second one are marked
``long``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_queuecalls.cli.results import DATABASE, SECRET, URL
from tests.support.airflow import Airflow, airflow_command, real_airflow
from tests.support.command import REPOSITORY
from tests.support.moved import AIRFLOW
from tests.support.postgres import postgres_server
from tests.support.receiver import NEW, receiver

EXAMPLES = REPOSITORY / "example_dags"
#: More than the tasks that tests freeze, each of which holds a slot.
SLOTS = 16


def calling_tomorrow(dag_id: str, folder: Path) -> Path:
    """Copy an example to a folder so that it calls in tomorrow's window, which begins in the future at any time of the day."""
    code = (EXAMPLES / f"{dag_id}.py").read_text()
    assert "timedelta(hours=6)" in code
    (copy := folder / f"{dag_id}.py").write_text(code.replace("timedelta(hours=6)", "timedelta(hours=30)"))
    return copy


@pytest.fixture(scope="package")
def live_airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    """A running Airflow without a DAG or a connection; modules add theirs. Temporary files of tasks are in its folder."""
    home, dags = (tmp_path_factory.mktemp(name) for name in ("airflow", "dags"))
    variables = {
        "AIRFLOW__CORE__PARALLELISM": str(SLOTS),
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "QUEUECALLS_E2E": str(home),
        "TMPDIR": str(home),
    }
    with real_airflow(home, dags, variables) as airflow:
        airflow.wait_for(())
        if AIRFLOW < (3, 3):
            airflow.start("triggerer", airflow_command("triggerer"))  # which asks people there
        yield airflow


@pytest.fixture(scope="package")
def airflow_with_results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    """Another one, with a results receiver. Its triggerer takes over from one that was killed within seconds."""
    home, dags = (tmp_path_factory.mktemp(name) for name in ("airflow", "dags"))
    with postgres_server() as postgres, receiver(database := postgres.new_database("results")) as (_, url):
        variables = {
            "AIRFLOW__API__ENABLE_XCOM_DESERIALIZE_SUPPORT": "True",
            "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "5",
            "AIRFLOW_CONN_RESULTS_DB": database,
            DATABASE: "results_db",  # not a word of a log: Airflow masks the value of this setting
            SECRET: NEW,
            URL: url,
        }
        with real_airflow(home, dags, variables) as airflow:
            airflow.start("triggerer", airflow_command("triggerer"))
            airflow.wait_for(())
            yield airflow
