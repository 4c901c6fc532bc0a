"""One Airflow for all modules: to start it takes longer than most tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.airflow import Airflow, airflow_command, real_airflow
from tests.support.moved import AIRFLOW

#: More than the tasks that tests freeze, each of which holds a slot.
SLOTS = 16


@pytest.fixture(scope="session")
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
