"""A real Airflow: scheduler, API server and DAG processor, each a process, over PostgreSQL; and its REST API."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import psutil

from tests.support.command import REPOSITORY
from tests.support.patience import PATIENCE_SECONDS
from tests.support.ports import free_port
from tests.support.postgres import postgres_server

COMPONENTS = ("api-server", "dag-processor", "scheduler")
TASK_ID, RUN_ID = "call", "once"
OVER = ("success", "failed", "skipped", "upstream_failed")
#: How long Airflow waits for a sign of life of a task before it takes its worker for lost.
HEARTBEAT_TIMEOUT = 45

#: One try of one task, as the REST API describes it.
Instance = Mapping[str, Any]


@dataclass(frozen=True)
class Task:
    """What Airflow tells of a task: its state, how many tries it had, what each one logged, and its XCom."""

    state: str
    tries: int
    said: Mapping[int, str]
    xcom: Any


class Airflow:
    """What a person does with Airflow, by its REST API, and the processes that it consists of."""

    def __init__(self, url: str, home: Path, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.url = url
        self.home = home
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: Sequence[str], variables: Mapping[str, str] | None = None) -> None:
        """Start one of its processes, all of which are to run until they're stopped."""
        with (self.home / f"{name}.log").open("wb") as log:
            self._processes[name] = subprocess.Popen(
                command, env={**self.environment, **(variables or {})},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def kill(self, name: str) -> None:
        """Let one of its processes vanish with all that it has started, as when a machine loses its power."""
        process = self._processes.pop(name)
        _kill(_family(process))

    def stop(self) -> None:
        """End all of its processes."""
        family = [each for process in self._processes.values() for each in _family(process)]
        for process in self._processes.values():
            process.terminate()
        psutil.wait_procs(family, 5)
        _kill(family)

    def add_dags(self, files: Iterable[Path], dag_ids: Iterable[str]) -> None:
        """Copy files or folders to the DAGs folder, and wait until their DAGs are known."""
        for file in files:
            there = Path(self.environment["AIRFLOW__CORE__DAGS_FOLDER"], file.name)
            if file.is_dir():
                shutil.copytree(file, there, dirs_exist_ok=True)  # another module may need it as well
            else:
                shutil.copy(file, there)
        self.wait_for(dag_ids)

    def wait_for(self, dag_ids: Iterable[str]) -> None:
        """Wait until the DAGs are known."""
        self.wait(lambda: self._known() >= set(dag_ids), "some DAG")

    @contextmanager
    def connections(self, connections: Mapping[str, str]) -> Iterator[None]:
        """Create connections, given as JSON by their ids; delete them in the end."""
        entities = [{"connection_id": conn_id, **json.loads(given)} for conn_id, given in connections.items()]
        for entity in entities:
            entity["extra"] = json.dumps(entity.get("extra", {}))
        self._change_connections({"action": "create", "entities": entities})
        try:
            yield
        finally:
            self._change_connections({"action": "delete", "entities": list(connections)})

    def _change_connections(self, action: Mapping[str, Any]) -> None:
        done = self._ask("PATCH", "connections", {"actions": [action]})
        assert not [result["errors"] for result in done.values() if result and result["errors"]], done

    def trigger(self, dag_id: str, run_id: str = RUN_ID, **params: Any) -> None:
        """Trigger a DAG that is known. Its run is the one that other methods mean where they aren't told another."""
        request = {"dag_run_id": run_id, "logical_date": None, "conf": params}

        def triggered() -> bool:
            try:
                self._ask("POST", f"dags/{dag_id}/dagRuns", request)
            except urllib.error.HTTPError as error:
                if error.code != HTTPStatus.CONFLICT:  # it is there: an earlier request failed after all was done
                    raise
            return True

        self.wait(triggered, f"the run of {dag_id}")

    def set_variable(self, key: str, value: str) -> None:
        self._ask("POST", "variables", {"key": key, "value": value})

    def clear(self, dag_id: str, run_id: str = RUN_ID, task_ids: Sequence[str] = (TASK_ID,)) -> None:
        """What the button of that name does."""
        choice = {"dag_run_id": run_id, "task_ids": list(task_ids), "only_failed": False, "dry_run": False}
        assert self._ask("POST", f"dags/{dag_id}/clearTaskInstances", choice)["total_entries"] == len(task_ids)

    def mark_failed(self, dag_id: str) -> None:
        """What a person does who marks the running task as failed."""
        self._ask("PATCH", f"{_run(dag_id, RUN_ID)}/taskInstances/{TASK_ID}", {"new_state": "failed"})

    def task(self, dag_id: str, *, after_try: int = 0) -> Task:
        """The task, once it is over, and has had a further try than that one."""
        path = f"{_run(dag_id, RUN_ID)}/taskInstances/{TASK_ID}"

        def over() -> Any:
            task = self._ask("GET", path)
            return task if task["state"] in OVER and task["try_number"] > after_try else None

        task = self.wait(over, f"the end of {dag_id}")
        xcom = self.xcom(task) if task["state"] == "success" else None
        return Task(task["state"], task["try_number"], self.said(task), xcom)

    def question(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """What a task of a run asks a person, once it does."""
        task = self.waiting(dag_id, run_id, task_id)
        return self.wait(lambda: self._ask("GET", _question(task)), f"the question of {dag_id} {run_id}")

    def waiting(self, dag_id: str, run_id: str, task_id: str) -> Instance:
        """A task of a run, once it waits for a person or for an event, and its worker has ended: Airflow takes an end that comes
        after what it waits for for a failure."""

        def waits() -> Instance | None:
            (task,) = [each for each in self.instances(dag_id, run_id) if each["task_id"] == task_id]
            ended = f"Received executor event .*{task_id=}, {run_id=}, try_number={task['try_number']}"
            waits = task["state"] in ("awaiting_input", "deferred") and re.search(ended, self.log("scheduler"))
            return task if waits else None

        waiting: Instance = self.wait(waits, f"the wait of {task_id} in {dag_id} {run_id}")
        return waiting

    def answer(self, dag_id: str, run_id: str, task_id: str, option: str) -> None:
        """What a person does who presses one of the buttons below a task's question."""
        (task,) = [each for each in self.instances(dag_id, run_id) if each["task_id"] == task_id]
        self._ask("PATCH", _question(task), {"chosen_options": [option], "params_input": {}})

    def runs(self, dag_id: str) -> list[str]:
        """The ids of all runs of a DAG, the oldest first."""
        runs = self._ask("GET", f"dags/{dag_id}/dagRuns?order_by=run_after&limit=1000")["dag_runs"]
        return [run["dag_run_id"] for run in runs]

    def finished(self, dag_id: str, run_id: str = RUN_ID, seconds: float = PATIENCE_SECONDS) -> list[Instance]:
        """All tasks of a run, each with its last try, once the run is over."""
        path = _run(dag_id, run_id)
        self.wait(lambda: self._ask("GET", path)["state"] in OVER, f"the end of {dag_id} {run_id}", seconds)
        return self.instances(dag_id, run_id)

    def instances(self, dag_id: str, run_id: str = RUN_ID) -> list[Instance]:
        """All tasks of a run, each with its last try, as they are now."""
        found: list[Instance] = self._ask("GET", f"{_run(dag_id, run_id)}/taskInstances?limit=1000")["task_instances"]
        return found

    def said(self, task: Instance) -> dict[int, str]:
        """What each try of a task logged: its messages, and those of the errors in it, a line each."""
        path, index = _instance(task)
        return {
            number: _messages(self._ask("GET", f"{path}/logs/{number}?full_content=true&{index}"))
            for number in range(1, task["try_number"] + 1)
        }

    def xcom(self, task: Instance) -> Any:
        """What a task returned."""
        path, index = _instance(task)
        return self._ask("GET", f"{path}/xcomEntries/return_value?deserialize=true&{index}")["value"]

    def wait(self, reached: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
        """Ask until there is something. Fails if a process of Airflow's ends or patience does."""
        end, problem = time.monotonic() + seconds, None
        while time.monotonic() < end:
            for name, process in self._processes.items():
                assert process.poll() is None, f"the {name} has ended\n{self.logs()}"
            try:
                if found := reached():
                    return found
            except OSError as error:  # it may not be up yet, or be busy
                problem = error
            time.sleep(1)
        raise AssertionError(f"{what} didn't come in {seconds} s ({problem})\n{self.logs()}")

    def logs(self) -> str:
        """The end of what each of Airflow's processes has printed."""
        return "\n".join(f"--- {name}\n{self.log(name)[-5000:]}" for name in self._processes)

    def log(self, name: str) -> str:
        """What one of Airflow's processes has printed, also if it is gone."""
        return (self.home / f"{name}.log").read_text(errors="replace")

    def _known(self) -> set[str]:
        errors = self._ask("GET", "importErrors")["import_errors"]
        assert not errors, errors
        return {dag["dag_id"] for dag in self._ask("GET", "dags?limit=100")["dags"]}

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        request = urllib.request.Request(
            f"{self.url}/api/v2/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Accept": "application/json", **self._authorization},
            method=method,
        )
        with _direct.open(request, timeout=PATIENCE_SECONDS) as response:
            return json.load(response)

    @property
    def _authorization(self) -> dict[str, str]:
        if not hasattr(self, "_token"):
            with _direct.open(f"{self.url}/auth/token", timeout=PATIENCE_SECONDS) as response:
                self._token = json.load(response)["access_token"]
        return {"Authorization": f"Bearer {self._token}"}


#: Past any proxy: everything lies on this machine.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@contextmanager
def real_airflow(home: Path, dags: Path, variables: Mapping[str, str]) -> Iterator[Airflow]:
    """Start Airflow with LocalExecutor, unless the variables say otherwise; wait until it is up, and end all of it."""
    url = f"http://127.0.0.1:{free_port()}"
    with postgres_server() as postgres:
        environment = _environment(home, dags, url, postgres.new_database("airflow")) | dict(variables)
        migrate = airflow_command("db", "migrate")
        migrated = subprocess.run(migrate, env=environment, capture_output=True, text=True, check=False)
        assert migrated.returncode == 0, f"{migrated.stdout}\n{migrated.stderr}"
        airflow = Airflow(url, home, environment)
        try:
            for component in COMPONENTS:
                airflow.start(component, airflow_command(component))
            yield airflow
        finally:
            airflow.stop()


@contextmanager
def api_server(home: Path, variables: Mapping[str, str], path: str = "") -> Iterator[Airflow]:
    """Start an API server alone, below a path if one is given, over the database of the tests; wait until it is up, and end it."""
    port = free_port()
    url = f"http://127.0.0.1:{port}{path}"
    base = {"AIRFLOW__API__BASE_URL": url} if path else {}
    server = Airflow(url, home, {**os.environ, **base, **variables})
    server.start(
        "api-server", airflow_command("api-server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1")
    )
    try:
        server.wait(lambda: _direct.open(f"{server.url}/api/v2/version", timeout=30).status == HTTPStatus.OK, "it")
        yield server
    finally:
        server.stop()


def airflow_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "airflow", *arguments]


def _environment(home: Path, dags: Path, url: str, database: str) -> dict[str, str]:
    # The coverage of some dozen processes that import Airflow would cost a quarter of their time.
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW", "COVERAGE")) and not name.lower().endswith("_proxy")
    }
    return {
        **clean,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__MAXIMUM_PAGE_LIMIT": "1000",
        "AIRFLOW__API__PORT": url.rpartition(":")[2],
        "AIRFLOW__API__SECRET_KEY": "for this test only",
        "AIRFLOW__API_AUTH__JWT_SECRET": "for this test only, and 64 bytes long, as signatures want it to be",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "8",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "1",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "1",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database.replace("postgresql:", "postgresql+psycopg2:"),
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "1",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(HEARTBEAT_TIMEOUT),
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "2",
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONWARNINGS": "ignore",
        "NO_COLOR": "1",
    }


def _family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """A process and all that it has started, in whatever group; those that are gone are left out."""
    try:
        leader = psutil.Process(process.pid)
        return [leader, *leader.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _kill(family: Iterable[psutil.Process]) -> None:
    for each in family:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    psutil.wait_procs(family)


def _run(dag_id: str, run_id: str) -> str:
    return f"dags/{dag_id}/dagRuns/{run_id}"


def _instance(task: Instance) -> tuple[str, str]:
    """The path to a task, and the query that says which one of several."""
    path = f"{_run(task['dag_id'], task['dag_run_id'])}/taskInstances/{task['task_id']}"
    return path, f"map_index={task['map_index']}"


def _question(task: Instance) -> str:
    return f"{_run(task['dag_id'], task['dag_run_id'])}/taskInstances/{task['task_id']}/{task['map_index']}/hitlDetails"


def _messages(log: Mapping[str, Any]) -> str:
    return "\n".join(
        f"{entry['event']}\n" + "\n".join(f"{error['exc_value']}" for error in entry.get("error_detail") or ())
        for entry in log["content"]
    )
