"""A home of its own for Airflow, before anything imports it, and the connections that tests use."""

from __future__ import annotations

import atexit
import functools
import gc
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from packaging.specifiers import SpecifierSet
from xdist.scheduler import LoadFileScheduling

HOME = Path(tempfile.mkdtemp(prefix="queuecalls-tests-"))
atexit.register(shutil.rmtree, HOME, ignore_errors=True)
for name in [name for name in os.environ if name.startswith(("AIRFLOW__", "AIRFLOW_CONN_", "AIRFLOW_VAR_"))]:
    del os.environ[name]
os.environ.update(
    AIRFLOW_HOME=str(HOME),
    AIRFLOW__CORE__DAGS_FOLDER=str(HOME / "dags"),
    AIRFLOW__CORE__DAG_IGNORE_FILE_SYNTAX="regexp",
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__UNIT_TEST_MODE="False",
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{HOME / 'airflow.db'}",
    AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS="False",
    AIRFLOW__LOGGING__BASE_LOG_FOLDER=str(HOME / "logs"),
    AIRFLOW__LOGGING__LOGGING_LEVEL="DEBUG",
    AIRFLOW__USAGE_DATA_COLLECTION__ENABLED="False",
)
(HOME / "dags").mkdir()
# A machine that is busy or stands still for a second says nothing about the code.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")

pytest_plugins = ["pytester"]
LOGIN, PIN = "tester", "4711"
Connect = Callable[..., None]


def pytest_unconfigure() -> None:
    # Airflow logs at the interpreter's exit, to a stream that pytest has closed.
    logging.raiseExceptions = False


def pytest_collection_finish() -> None:
    # Or Python looks through thousands of collected tests again and again, for a sixth of the unit tests' time.
    gc.collect()
    gc.freeze()


#: What takes ten seconds to start is started once for all modules whose code has its name.
SHARED = {
    "live_airflow": "an Airflow",
    "airflow_with_results": "an Airflow with results",
    "run_dag_file": "DAG runs",
    "run_tasks": "DAG runs",
}


class ByModule(LoadFileScheduling):  # type: ignore[misc]  # it has no types
    """A module stays in one process, and so do all modules that share a running Airflow, or run DAGs in their own process."""

    def _split_scope(self, nodeid: str) -> str:
        module = super()._split_scope(nodeid)
        code = _code(self.config.rootpath / module)
        return next((scope for name, scope in SHARED.items() if name in code), module)


@functools.cache
def _code(module: Path) -> str:
    return module.read_text("utf-8")


@pytest.hookimpl(optionalhook=True)  # without pytest-xdist, nobody asks
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByModule | None:
    return ByModule(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_report_header() -> str:
    return f"airflow: {version('apache-airflow')}"


@pytest.fixture(params=["memory", "duckdb"])
def results_kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the size of a contact file, its results are kept in memory, or in DuckDB."""
    from airflow_provider_queuecalls.contacts.row_results import in_memory

    monkeypatch.setattr(in_memory, "SMALL_BYTES", {"memory": 1 << 40, "duckdb": -1}[request.param])


@pytest.fixture(scope="session")
def airflow() -> Any:
    """Airflow itself; the one that AIRFLOW_VERSION asks for, if it asks."""
    import airflow

    wanted = os.environ.get("AIRFLOW_VERSION") or airflow.__version__
    right = SpecifierSet(f"=={wanted}").contains(airflow.__version__, prereleases=True)
    assert right, f"Airflow {airflow.__version__} is installed, and {wanted} is to be tested"
    return airflow


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser for the module: while it runs, nothing else can run an event loop in this thread."""
    from tests.support.browser import running_browser

    with running_browser() as browser:
        yield browser


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Set the connection ``queuecalls_default``: a URL, and extras as keywords."""

    def set_connection(url: str, *, login: str | None = LOGIN, password: str | None = PIN, **extra: Any) -> None:
        connection = {"conn_type": "queuecalls", "host": url, "login": login, "password": password, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_QUEUECALLS_DEFAULT", json.dumps(connection))

    return set_connection


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go; nothing may be left there."""
    directory = tmp_path / "tmp"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    return directory
