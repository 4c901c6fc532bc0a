"""A request to stop, which every long step looks at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from airflow_provider_queuecalls.exceptions import NotSent

#: What did not happen, for messages.
NOTHING_SENT, NOTHING_WRITTEN = "Nothing was sent", "Nothing was written"


class StopRequest:
    """A request to stop. It cannot be taken back: no check continues, nothing is recorded, and nothing is sent.

    May be requested from a signal handler or another thread. A long step calls :meth:`raise_if_requested` between its
    parts, or registers with :meth:`calling` what breaks it off. ``effect`` says what did not happen, for the message.
    """

    def __init__(self, effect: str = NOTHING_SENT) -> None:
        self.requested = False
        self.effect = effect
        self._callbacks: list[Callable[[], object]] = []

    def request(self) -> None:
        """Stop, and break off whatever is registered."""
        self.requested = True
        for callback in list(self._callbacks):
            callback()

    def raise_if_requested(self) -> None:
        """Raise :class:`NotSent` if a stop was requested."""
        if self.requested:
            raise NotSent(f"The task was stopped. {self.effect}. It is safe to try again.", sent=False)

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
