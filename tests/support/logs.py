"""What is logged, whichever way this Airflow logs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """A line of the log: its level, what it says, and all that it is made of."""

    level: str
    message: str
    parts: tuple[str, ...]


class _Keeping(logging.Handler):
    def __init__(self, entries: list[Entry]) -> None:
        super().__init__(logging.DEBUG)
        self.entries = entries

    def emit(self, record: logging.LogRecord) -> None:
        parts = (record.name, self.format(record))
        self.entries.append(Entry(record.levelname.lower(), record.getMessage(), parts))


@contextmanager
def everything_logged() -> Iterator[list[Entry]]:
    """Keep what is logged at any level: by the standard library, and by structlog before Airflow masks anything.

    The list is complete at the end.
    """
    entries: list[Entry] = []
    handler = _Keeping(entries)
    known = [logging.getLogger(), *map(logging.getLogger, list(logging.root.manager.loggerDict))]
    # All others pass on to the root what is logged, and take their level from above. To set a level takes long: Python then
    # empties the cache of every logger.
    before = [(logger, logger.level) for logger in known if logger.level or not logger.propagate]
    with ExitStack() as stack:
        try:
            from structlog.testing import capture_logs
        except ImportError:  # Airflow 2
            structured = []
        else:
            structured = stack.enter_context(capture_logs())
        for logger, _ in before:
            logger.addHandler(handler)
            logger.setLevel(logging.DEBUG)
        try:
            yield entries
        finally:
            for logger, level in before:
                logger.removeHandler(handler)
                logger.setLevel(level)
            for entry in structured:
                parts = (str(entry), *map(str, entry.get("positional_args", ())))
                entries.append(Entry(entry["log_level"], str(entry.get("event")), parts))
