"""How long tests wait for an event, and the waiting. Nothing here is about speed, and the machine may be busy: this only ends what hangs."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Found = TypeVar("Found")
#: Until whatever waits gives up, and says what it waited for.
PATIENCE_SECONDS = 600
#: Until a test is broken off that waits for something without a limit.
WATCHDOG_SECONDS = 900


def wait_until(reached: Callable[[], Found], process: subprocess.Popen[bytes], log: Path) -> Found:
    """Ask until there is something. Fails with the log if the process ends before that, or patience does."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not (found := reached()):
        goes_on = process.poll() is None and time.monotonic() < end
        assert goes_on, f"{process.args!r} doesn't get there\n{log.read_text(errors='replace')}"
        time.sleep(0.1)
    return found
