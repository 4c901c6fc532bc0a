"""Runs the command ``queuecalls`` as its own process."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tests.support.patience import PATIENCE_SECONDS

REPOSITORY = Path(__file__).parents[2]
PROGRAM = "import sys; from airflow_provider_queuecalls.cli import main; sys.exit(main())"


class Program(subprocess.Popen[str]):
    """A process of Python code that can import from this repository."""

    def __init__(self, code: str, *arguments: str, stderr: int | IO[Any] = subprocess.PIPE) -> None:
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        command = [sys.executable, "-c", code, *arguments]
        super().__init__(command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=environment)
        self._log = stderr

    def logged(self) -> str:
        """Wait for the end; return what was written to the file ``stderr``."""
        assert not isinstance(self._log, int)
        self.wait(PATIENCE_SECONDS)
        self._log.seek(0)
        return str(self._log.read())


def newly_imported(code: str, after: str = "pass") -> set[str]:
    """The modules that a new process imports for some code, besides those that it has imported before."""
    program = (
        f"import sys; {after}; before = set(sys.modules); {code}; print('imported:', *(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    # Airflow prints as well, also at the end.
    return set(done.stdout.partition("imported: ")[2].partition("\n")[0].split())


@contextmanager
def command(*arguments: str) -> Iterator[tuple[Program, str]]:
    """Run ``queuecalls``; give the process and what it had printed when it was ready."""
    # A pipe that nobody reads would stop it once it is full.
    with tempfile.TemporaryFile("w+") as log, Program(PROGRAM, *arguments, stderr=log) as process:
        try:
            assert process.stdout is not None
            printed = ""
            for line in process.stdout:
                printed += line
                if "Ctrl-C" in line:
                    break
            yield process, printed
        finally:
            process.kill()
