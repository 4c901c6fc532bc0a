"""What the tests over real sockets share: Airflow, lists, certificates, a watchdog and a clean environment."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import itertools
import os
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import pytest
import trustme

from airflow_provider_queuecalls.records.database.ledger_store import DATABASE
from airflow_provider_queuecalls.records.sent.stores import init_folder
from airflow_provider_queuecalls.sandbox.server import Sandbox, run_sandbox
from tests.conftest import HOME, Connect
from tests.support import dag_run
from tests.support.command import REPOSITORY
from tests.support.fault_server import QUEUED, FaultServer
from tests.support.moved import AIRFLOW, IS_AIRFLOW_2
from tests.support.patience import WATCHDOG_SECONDS
from tests.support.postgres import Postgres, postgres_server
from tests.support.receiver import NEW, receiver
from tests.support.s3 import new_bucket, s3_connection, s3_server

NUMBERS = ("12025550143", "12025550178", "16175550119")
LARGE_BYTES = 32 << 20
DATABASES = itertools.count()


class TookTooLong(SystemExit):
    """The watchdog's. The hook lets it pass, as any exit."""


@pytest.fixture(autouse=True)
def watchdog(airflow: Any) -> Iterator[None]:
    """Break off a test that hangs."""

    def bark(*_: object) -> NoReturn:
        raise TookTooLong(f"no end after {WATCHDOG_SECONDS} s")

    before = signal.signal(signal.SIGALRM, bark)
    signal.alarm(WATCHDOG_SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def database(airflow: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Airflow's database, and one API over it: ``dag.test()`` would make one for each task, which takes longer than the task."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    migrated = shared / "migrated.db"
    # One process of tests migrates it, and the others copy it.
    with (shared / "migrated.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not migrated.exists():
            new = migrated.with_suffix(".new")
            environment = {**os.environ, "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{new}"}
            migrate = [sys.executable, "-m", "airflow", "db", "migrate"]
            subprocess.run(migrate, check=True, capture_output=True, env=environment)
            new.rename(migrated)
    shutil.copyfile(migrated, HOME / "airflow.db")
    if not IS_AIRFLOW_2:
        from airflow.sdk.execution_time import supervisor

        supervisor.in_process_api_server = functools.cache(supervisor.in_process_api_server)


@pytest.fixture(scope="session")
def examples(database: None) -> Path:
    """The example DAGs, where Airflow looks for DAGs."""
    return shutil.copytree(REPOSITORY / "example_dags", HOME / "dags" / "examples")


@pytest.fixture
def run_tasks(
    database: None, request: pytest.FixtureRequest, capfd: pytest.CaptureFixture[str]
) -> Callable[..., dag_run.Run]:
    """Run tasks, which are code, in a DAG of the test's own."""
    dag_id = f"dag_{hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]}"
    return functools.partial(dag_run.run_tasks, dag_id=dag_id, capfd=capfd)


@pytest.fixture(autouse=True)
def no_proxy_and_no_ca_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def receipts_folder(tmp_path: Path) -> Path:
    """A folder for records."""
    init_folder(tmp_path / "receipts")
    return tmp_path / "receipts"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with postgres_server() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: Postgres) -> str:
    """The URL of a new PostgreSQL database."""
    return postgres.new_database(f"results{next(DATABASES)}")


@pytest.fixture
def records_database(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The value of ``receipts_path`` for the results database, which is PostgreSQL."""
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__RESULTS_DATABASE", postgres_url)
    return DATABASE


@pytest.fixture(params=["folder", "bucket", "database"])
def receipts(request: pytest.FixtureRequest, receipts_folder: Path) -> str:
    """Each place where records go, as a value of ``receipts_path``."""
    if request.param == "folder":
        return str(receipts_folder)
    if request.param == "database":
        return str(request.getfixturevalue("records_database"))
    return f"s3://storage@{request.getfixturevalue('bucket').name}/receipts"


@pytest.fixture(autouse=AIRFLOW < (3, 3))
def no_state_of_tasks(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where tasks have no state of their own, Airflow's configuration names a folder."""
    folder = tmp_path_factory.mktemp("receipts")
    init_folder(folder)
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__RECEIPTS_PATH", str(folder))


@pytest.fixture
def service(connect: Connect) -> Iterator[FaultServer]:
    """A service that queues every campaign, to which the connection leads."""
    with FaultServer(QUEUED) as server:
        connect(server.url)
        yield server


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox in real time, to which the connection leads."""
    with run_sandbox() as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_QUEUECALLS_DEFAULT", sandbox.connection)
        yield sandbox


class ResultsReceiver(NamedTuple):
    """The URLs of a receiver of results, and of the database that it writes to."""

    url: str
    database: str


@pytest.fixture
def results_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a results database, which Airflow's configuration names: a SQLite file."""
    url = f"sqlite:///{tmp_path}/results.db"
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__RESULTS_DATABASE", url)
    return url


@pytest.fixture
def results_receiver(results_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[ResultsReceiver]:
    """A running receiver, to which Airflow's configuration leads."""
    with receiver(results_database) as (_, url):
        monkeypatch.setenv("AIRFLOW__QUEUECALLS__RESULTS_URL", url)
        monkeypatch.setenv("AIRFLOW__QUEUECALLS__RESULTS_SECRET", NEW)
        yield ResultsReceiver(url, results_database)


@pytest.fixture
def small_list(tmp_path: Path) -> Path:
    """Three contacts."""
    path = tmp_path / "calls.csv"
    path.write_text("".join(f"{number},order-{i},lang=en\n" for i, number in enumerate(NUMBERS)))
    return path


@pytest.fixture(scope="session")
def large_list(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Too long for the socket buffers. Nobody changes it: it is the same for all tests."""
    return write_rows(tmp_path_factory.mktemp("large") / "many-calls.csv", LARGE_BYTES // 12)


def write_rows(path: Path, rows: int) -> Path:
    """As many contacts, 12 bytes each."""
    block = b"12025550143\n" * 10_000
    with path.open("wb") as file:
        for _ in range(rows // 10_000):
            file.write(block)
        file.write(block[: rows % 10_000 * 12])
    return path


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    """One storage for all tests, since Airflow keeps the file system that it has made for a connection."""
    with s3_server() as url:
        yield url


@pytest.fixture
def bucket(s3_url: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Any:
    """An empty bucket, and the connection that leads to it."""
    monkeypatch.setenv("AIRFLOW_CONN_STORAGE", s3_connection(s3_url))
    return new_bucket(s3_url, f"bucket-{abs(hash(request.node.name))}")


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def authority_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def certificate(authority: trustme.CA, host: str, **validity: Any) -> ssl.SSLContext:
    """A TLS server's side, with a certificate for the host."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(host, **validity).configure_cert(context)
    return context
