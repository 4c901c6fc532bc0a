"""A Redis server of a test's own, from Debian's package."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.patience import PATIENCE_SECONDS
from tests.support.ports import free_port


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
        ping, end = ["redis-cli", "-p", str(self._port), "ping"], time.monotonic() + PATIENCE_SECONDS
        while subprocess.run(ping, capture_output=True, text=True, check=False).stdout.strip() != "PONG":
            running = self._process.poll() is None and time.monotonic() < end
            assert running, f"Redis doesn't start\n{self._log.read_text(errors='replace')}"
            time.sleep(0.1)

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
