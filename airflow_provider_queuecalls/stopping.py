"""A request to stop, which every long step looks at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from airflow_provider_queuecalls.exceptions import NotSent


class StopRequest:
    """Once requested, for good: no check goes on, nothing is put on record and nothing is sent.

    May be requested from a signal handler or another thread. A long step calls :meth:`raise_if_requested` between its
    parts, or registers with :meth:`calling` what breaks it off.
    """

    def __init__(self) -> None:
        self.requested = False
        self._callbacks: list[Callable[[], object]] = []

    def request(self) -> None:
        """Stop, and break off whatever is registered."""
        self.requested = True
        for callback in list(self._callbacks):
            callback()

    def raise_if_requested(self) -> None:
        """Raise :class:`NotSent` if a stop was requested."""
        if self.requested:
            raise NotSent("The task was stopped, so nothing was sent. It is safe to try again.", sent=False)

    @contextmanager
    def calling(self, callback: Callable[[], object]) -> Iterator[None]:
        """Call ``callback`` if a stop is requested inside the block, or was before."""
        self._callbacks.append(callback)
        try:
            if self.requested:
                callback()
            yield
        finally:
            self._callbacks.remove(callback)
