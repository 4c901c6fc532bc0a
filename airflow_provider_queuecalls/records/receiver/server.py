"""The server for the receiver. Slow clients and many of them cannot make its memory grow."""

from __future__ import annotations

import asyncio

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from airflow_provider_queuecalls.records.receiver.app import Receiver
from airflow_provider_queuecalls.records.receiver.requests import CLIENT_SECONDS

MOST_CONNECTIONS = 1_000


class _Protocol(H11Protocol):
    """uvicorn's protocol with a bounded head, which must also arrive in time."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def on_response_complete(self) -> None:
        self._deadline.cancel()
        self._await_head()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._deadline = self.loop.call_later(CLIENT_SECONDS, self._close_if_idle)

    def _close_if_idle(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


def make_server(receiver: Receiver) -> uvicorn.Server:
    """Return a server for the receiver, which does not run yet."""
    return uvicorn.Server(
        uvicorn.Config(
            receiver, http=_Protocol, lifespan="off", ws="none", log_config=None, log_level="warning", access_log=False, proxy_headers=False,
            server_header=False, limit_concurrency=MOST_CONNECTIONS, timeout_keep_alive=CLIENT_SECONDS,
            timeout_graceful_shutdown=CLIENT_SECONDS,
        )
    )  # fmt: skip
