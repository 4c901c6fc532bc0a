"""A PostgreSQL server of a test's own, from Debian's package."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.patience import PATIENCE_SECONDS, wait_until
from tests.support.ports import free_port

SUPERUSER = "postgres"


class Postgres:
    """A running server. Anybody on this machine may do anything there."""

    def __init__(self, programs: Path, port: int, start: Callable[[], subprocess.Popen[bytes]]) -> None:
        self._programs = programs
        self._start = start
        self.process = start()
        self.port = port

    def restart(self) -> None:
        """Let it crash, and start it again."""
        self.stop()
        self.process = self._start()

    def stop(self) -> None:
        """End it without waiting for anybody."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(PATIENCE_SECONDS)

    def new_database(self, name: str) -> str:
        """Create a database; return its URL."""
        createdb = [
            str(self._programs / "createdb"),
            "--host=127.0.0.1",
            f"--port={self.port}",
            f"--username={SUPERUSER}",
        ]
        subprocess.run([*createdb, name], check=True, capture_output=True)
        return f"postgresql://{SUPERUSER}@127.0.0.1:{self.port}/{name}"


@contextmanager
def postgres_server(*, fsync: str = "off") -> Iterator[Postgres]:
    """Start a server on a free port, and stop it."""
    programs = _programs()
    with tempfile.TemporaryDirectory(prefix="postgres-") as directory:
        owner = _owner(directory)
        data = Path(directory, "data")
        initdb = [str(programs / "initdb"), "--auth=trust", f"--username={SUPERUSER}", "--no-sync", "-D", str(data)]
        subprocess.run(initdb, check=True, capture_output=True, cwd=directory, **owner)
        port = free_port()
        settings = {
            "listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": directory,
            "fsync": fsync, "max_connections": 200,
        }  # fmt: skip
        options = [f"--{name}={value}" for name, value in settings.items()]
        log = Path(directory, "log")
        ready = [str(programs / "pg_isready"), "--quiet", "--host=127.0.0.1", f"--port={port}"]

        def start() -> subprocess.Popen[bytes]:
            command = [str(programs / "postgres"), "-D", str(data), *options]
            with log.open("ab") as output:
                process = subprocess.Popen(command, stdout=output, stderr=output, cwd=directory, **owner)
            wait_until(lambda: subprocess.run(ready, check=False).returncode == 0, process, log)
            return process

        server = Postgres(programs, port, start)
        try:
            yield server
        finally:
            server.stop()


def _programs() -> Path:
    """Debian keeps the server's programs off the PATH, a folder for each version."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda found: int(found.parts[-3]))
    found = versions[-1] if versions else shutil.which("postgres")
    assert found, "PostgreSQL is not installed: tools/install_debian.sh postgresql"
    return Path(found).resolve().parent


def _owner(directory: str) -> Mapping[str, Any]:
    """Whom the server runs as: it refuses to run as root."""
    if os.getuid() != 0:
        return {}
    shutil.chown(directory, SUPERUSER, SUPERUSER)
    return {"user": SUPERUSER, "group": SUPERUSER, "extra_groups": ()}
