"""A cluster on this machine: Airflow with CeleryExecutor, its workers each a machine of its own as far as that goes.

PostgreSQL keeps Airflow's state, Redis carries the messages to the workers, and a storage that speaks S3 holds
contact files, receipts and the tasks' logs: it is all that the workers share. Where this machine allows it (root, with
``unshare``) each worker has a name, temporary files and a home that nobody else sees, and can write nothing into the
project; elsewhere it has directories of its own.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.airflow import Airflow, airflow_command, real_airflow
from tests.support.command import REPOSITORY
from tests.support.patience import PATIENCE_SECONDS, wait_until
from tests.support.ports import free_port
from tests.support.s3 import BUCKET, STORAGE, new_bucket, s3_connection, s3_server

#: Seconds that Redis waits for a worker to have done with a task, before it gives the task to another one as well.
VISIBILITY_TIMEOUT = 15
#: Tasks at once on one worker.
SLOTS = 2

#: Makes a machine of its own: $1 is the project, $2 where temporary files lie, $3 the machine's name.
_OWN_MACHINE = """
set -e
hostname "$3"
mount --bind "$1" /mnt
mount -o remount,bind,ro /mnt
mount -t tmpfs tmpfs "$2"
mkdir -p "$1"
mount --move /mnt "$1"
shift 3
exec "$@"
"""
#: Makes a directory, and what is in there: $1 is the directory.
_OWN_DIRECTORY = 'mkdir -p "$1" && cd "$1" && shift && exec "$@"'


class Redis:
    """A server that keeps what it holds over a restart, as Debian's does."""

    def __init__(self, directory: Path) -> None:
        program = shutil.which("redis-server")
        assert program, "Redis is not installed: tools/install_debian.sh redis-server"
        self._port = free_port()
        self._log = directory / "log"
        self._command = [
            *(program, "--bind", "127.0.0.1", "--port", str(self._port), "--dir", str(directory)),
            *("--save", "3600 1", "--logfile", str(self._log)),
        ]
        self.url = f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        """Start it, and wait until it has read what it kept."""
        self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        ping = ["redis-cli", "-p", str(self._port), "ping"]
        wait_until(
            lambda: subprocess.run(ping, capture_output=True, check=False).stdout == b"PONG\n", self._process, self._log
        )

    def stop(self) -> None:
        """Let it write down what it holds, and end."""
        self._process.terminate()
        self._process.wait(PATIENCE_SECONDS)

    def restart(self) -> None:
        """Stop and start it: its connections break."""
        self.stop()
        self.start()


@contextmanager
def redis_server() -> Iterator[Redis]:
    """Start a server on a free port, and stop it."""
    with tempfile.TemporaryDirectory(prefix="redis-") as directory:
        redis = Redis(Path(directory))
        redis.start()
        try:
            yield redis
        finally:
            redis.stop()


@dataclass(frozen=True)
class Cluster:
    """A running cluster. ``bucket`` is boto3's; ``has_own_machines`` says how far its workers are apart."""

    airflow: Airflow
    redis: Redis
    bucket: Any
    has_own_machines: bool
    _home: Path

    def start_worker(self, name: str) -> None:
        """Start a worker, which takes tasks as soon as it is up."""
        directory = str(self._home / name)
        places = ("AIRFLOW_HOME", "AIRFLOW__LOGGING__BASE_LOG_FOLDER", "HOME", "TMPDIR")
        self.airflow.start(
            name,
            [
                *(_own_machine(name) if self.has_own_machines else ()),
                *("sh", "-c", _OWN_DIRECTORY, "sh", directory),
                *airflow_command("celery", "worker", "--celery-hostname", name, "--concurrency", str(SLOTS)),
                *("--queues", f"default,{name}"),
                "--skip-serve-logs",  # they go to the storage
            ],
            dict.fromkeys(places, directory),
        )  # fmt: skip


@contextmanager
def celery_cluster(home: Path, dags: Path, workers: Sequence[str], variables: Mapping[str, str]) -> Iterator[Cluster]:
    """Start all of it, and end all of it."""
    with redis_server() as redis, s3_server() as s3:
        settings = {
            "AIRFLOW_CONN_STORAGE": s3_connection(s3),
            "AIRFLOW__CELERY__BROKER_URL": redis.url,
            "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__UNACKED_RESTORE_THROTTLE": "1",  # look every 10 s, not 100
            "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": str(VISIBILITY_TIMEOUT),
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__CORE__PARALLELISM": "32",
            "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER": f"s3://{BUCKET}/logs",
            "AIRFLOW__LOGGING__REMOTE_LOGGING": "True",
            "AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID": STORAGE,
            "AIRFLOW__QUEUECALLS__RECEIPTS_PATH": f"s3://{STORAGE}@{BUCKET}/receipts",
        }
        bucket = new_bucket(s3, BUCKET)
        with real_airflow(home, dags, {**settings, **variables}) as airflow:
            cluster = Cluster(airflow, redis, bucket, _can_have_own_machines(), home)
            for worker in workers:
                cluster.start_worker(worker)
            yield cluster


def _own_machine(name: str) -> list[str]:
    return ["unshare", "--mount", "--uts", "sh", "-c", _OWN_MACHINE, "sh", str(REPOSITORY), tempfile.gettempdir(), name]


def _can_have_own_machines() -> bool:
    probe = [*_own_machine("probe"), sys.executable, "-c", ""]
    try:
        return subprocess.run(probe, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
