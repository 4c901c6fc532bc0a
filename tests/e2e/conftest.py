"""A real Airflow: scheduler with LocalExecutor, API server and DAG processor, each a process, over PostgreSQL."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from tests.support import fault_server as faults
from tests.support.multipart import parse
from tests.support.ports import free_port
from tests.support.postgres import postgres_server

DAGS = Path(__file__).parent / "dags"
COMPONENTS = ("api-server", "dag-processor", "scheduler")
TASK_ID, RUN_ID = "call", "once"
OVER = ("success", "failed", "skipped", "upstream_failed")
#: Generous: nothing here is about speed, and the machine may be busy.
WATCHDOG_SECONDS = 240
#: How long Airflow waits for a sign of life of a task before it takes its worker for lost.
HEARTBEAT_TIMEOUT = 45


@dataclass(frozen=True)
class Task:
    """What Airflow tells of a task: its state, how many tries it had, what each one logged, and its XCom."""

    state: str
    tries: int
    said: Mapping[int, str]
    xcom: Any


class Service(faults.FaultServer):
    """The service, as a scenario needs it. It takes a repeated campaign name gladly: nothing but the client's own
    care keeps it from calling twice."""

    def __init__(self, *acts: faults.Act, turned_away: int = 0) -> None:
        super().__init__(*acts)
        self._turned_away = turned_away

    def rings(self) -> Counter[str]:
        """How many calls each number gets out of the uploads that came in whole, but for those it turned away."""
        lists = [
            part.content.decode()
            for post in self.uploads[self._turned_away :]
            for part in parse(post.headers["content-type"], bytes(post.body))
            if part.file_name
        ]
        return Counter(row.split(",")[0] for contacts in lists for row in contacts.splitlines())


class Airflow:
    """What a person does with Airflow, by its REST API."""

    def __init__(self, url: str, logs: Path) -> None:
        self._url = url
        self._logs = logs
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, component: str, environment: Mapping[str, str]) -> None:
        with (self._logs / f"{component}.log").open("wb") as log:
            self._processes[component] = subprocess.Popen(
                [sys.executable, "-m", "airflow", component],
                env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def stop(self) -> None:
        for sent in (signal.SIGTERM, signal.SIGKILL):
            for process in self._processes.values():
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, sent)  # it leads a group of its own, with all that it has started
            for process in self._processes.values():
                with suppress(subprocess.TimeoutExpired):
                    process.wait(5)

    def trigger_all(self, dag_ids: Collection[str]) -> None:
        """Trigger them as soon as they are known."""
        self.wait(lambda: self._known() >= set(dag_ids), "some DAG")
        for dag_id in dag_ids:
            self.wait(lambda dag_id=dag_id: self._trigger(dag_id), f"the run of {dag_id}")

    def set_variable(self, key: str, value: str) -> None:
        self._ask("POST", "variables", {"key": key, "value": value})

    def clear(self, dag_id: str) -> None:
        """What the button of that name does."""
        choice = {"dag_run_id": RUN_ID, "task_ids": [TASK_ID], "only_failed": False, "dry_run": False}
        assert self._ask("POST", f"dags/{dag_id}/clearTaskInstances", choice)["total_entries"] == 1

    def task(self, dag_id: str, *, after_try: int = 0) -> Task:
        """The task, once it is over, and has had a further try than that one."""
        path = f"dags/{dag_id}/dagRuns/{RUN_ID}/taskInstances/{TASK_ID}"

        def over() -> Any:
            task = self._ask("GET", path)
            return task if task["state"] in OVER and task["try_number"] > after_try else None

        task = self.wait(over, f"the end of {dag_id}")
        tries = task["try_number"]
        said = {
            number: _messages(self._ask("GET", f"{path}/logs/{number}?full_content=true"))
            for number in range(1, tries + 1)
        }
        xcom = None
        if task["state"] == "success":
            xcom = self._ask("GET", f"{path}/xcomEntries/return_value?deserialize=true")["value"]
        return Task(task["state"], tries, said, xcom)

    def wait(self, reached: Callable[[], Any], what: str) -> Any:
        """Ask until there is something, or the watchdog barks."""
        end, problem = time.monotonic() + WATCHDOG_SECONDS, None
        while time.monotonic() < end:
            for component, process in self._processes.items():
                assert process.poll() is None, f"the {component} has ended\n{self.logs()}"
            try:
                if found := reached():
                    return found
            except OSError as error:  # it may not be up yet, or be busy
                problem = error
            time.sleep(0.3)
        raise AssertionError(f"{what} didn't come in {WATCHDOG_SECONDS} s ({problem})\n{self.logs()}")

    def logs(self) -> str:
        """The end of what each of Airflow's processes has printed."""
        ends = {log.name: log.read_text(errors="replace")[-5000:] for log in sorted(self._logs.glob("*.log"))}
        return "\n".join(f"--- {name}\n{end}" for name, end in ends.items())

    def _trigger(self, dag_id: str) -> bool:
        try:
            self._ask("POST", f"dags/{dag_id}/dagRuns", {"dag_run_id": RUN_ID, "logical_date": None})
        except urllib.error.HTTPError as error:
            if error.code != HTTPStatus.CONFLICT:  # it is there: an earlier request of ours failed after all was done
                raise
        return True

    def _known(self) -> set[str]:
        errors = self._ask("GET", "importErrors")["import_errors"]
        assert not errors, errors
        return {dag["dag_id"] for dag in self._ask("GET", "dags?limit=100")["dags"]}

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        request = urllib.request.Request(
            f"{self._url}/api/v2/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Accept": "application/json", **self._authorization},
            method=method,
        )
        with _direct.open(request, timeout=30) as answer:
            return json.load(answer)

    @property
    def _authorization(self) -> dict[str, str]:
        if not hasattr(self, "_token"):
            with _direct.open(f"{self._url}/auth/token", timeout=30) as answer:
                self._token = json.load(answer)["access_token"]
        return {"Authorization": f"Bearer {self._token}"}


#: Past any proxy: everything lies on this machine.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@contextmanager
def real_airflow(home: Path, variables: Mapping[str, str]) -> Iterator[Airflow]:
    """Start Airflow, wait until it is up, and end all of it."""
    url = f"http://127.0.0.1:{free_port()}"
    airflow = Airflow(url, home)
    with postgres_server() as postgres:
        environment = _environment(home, url, postgres.new_database("airflow")) | dict(variables)
        migrate = [sys.executable, "-m", "airflow", "db", "migrate"]
        migrated = subprocess.run(migrate, env=environment, capture_output=True, text=True, check=False)
        assert migrated.returncode == 0, f"{migrated.stdout}\n{migrated.stderr}"
        try:
            for component in COMPONENTS:
                airflow.start(component, environment)
            yield airflow
        finally:
            airflow.stop()


def _environment(home: Path, url: str, database: str) -> dict[str, str]:
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("AIRFLOW") and not name.lower().endswith("_proxy")
    }
    return {
        **clean,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": url.rpartition(":")[2],
        "AIRFLOW__API__SECRET_KEY": "for this test only",
        "AIRFLOW__API_AUTH__JWT_SECRET": "for this test only, and 64 bytes long, as signatures want it to be",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "8",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database.replace("postgresql:", "postgresql+psycopg2:"),
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(HEARTBEAT_TIMEOUT),
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "2",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONWARNINGS": "ignore",
        "NO_COLOR": "1",
    }


def _messages(log: Mapping[str, Any]) -> str:
    """What a task's log says: its messages, and those of the errors in it, a line each."""
    return "\n".join(
        f"{entry['event']}\n" + "\n".join(f"{error['exc_value']}" for error in entry.get("error_detail") or ())
        for entry in log["content"]
    )
