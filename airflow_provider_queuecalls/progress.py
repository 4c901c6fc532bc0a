"""The progress of long steps, logged about every five seconds."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Called with what is done and what is to be done in all, in bytes.
Progress = Callable[[int, int], None]
#: Called with the number of bytes that were processed since the last call.
Advance = Callable[[int], object]
INTERVAL_SECONDS = 5.0


class Throttle:
    """Decides when the progress of a long step is logged again.

    ``if throttle.due(): log(…)`` logs about every :data:`INTERVAL_SECONDS`, the first time after one interval.
    """

    def __init__(self) -> None:
        self._last = time.monotonic()

    def due(self) -> bool:
        """Whether an interval has passed since this was last true."""
        if (now := time.monotonic()) - self._last < INTERVAL_SECONDS:
            return False
        self._last = now
        return True


def advance_of(progress: Progress | None, total: int) -> Advance:
    """Return a function that adds up the bytes that were processed, and calls ``progress``."""
    done = 0

    def advance(size: int) -> None:
        nonlocal done
        done += size
        if progress:
            progress(min(done, total), total)

    return advance
