"""Starts the sandbox, for the command line, the demo and tests."""

from __future__ import annotations

import asyncio
import errno
import json
import socket
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import uvicorn

from airflow_provider_queuecalls.client.connection import CAMPAIGN_NAME
from airflow_provider_queuecalls.client.endpoint import CONN_TYPE, Endpoint
from airflow_provider_queuecalls.client.hosts import is_loopback
from airflow_provider_queuecalls.exceptions import QueueCallsError
from airflow_provider_queuecalls.sandbox import LOOPBACK
from airflow_provider_queuecalls.sandbox.app import create_app
from airflow_provider_queuecalls.sandbox.journal import MOST_ENTRIES, Entry
from airflow_provider_queuecalls.sandbox.page import CAMPAIGN_BY_NAME
from airflow_provider_queuecalls.sandbox.settings import Settings
from airflow_provider_queuecalls.sandbox.state import State
from airflow_provider_queuecalls.sandbox.store import Call, QueuedCampaign
from airflow_provider_queuecalls.sandbox.wire import WireProtocol

#: Seconds that requests under way have to end when the sandbox stops.
GRACE_SECONDS = 2


class CannotStart(QueueCallsError):
    """The sandbox cannot start: its address or its database cannot be used. The message says what to do."""


class _Server(uvicorn.Server):
    """uvicorn's server, which is told when to stop instead of looking ten times a second: tests start many."""

    _loop: asyncio.AbstractEventLoop | None = None

    async def main_loop(self) -> None:
        self._told = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        if not self.should_exit:
            await self._told.wait()

    def stop(self) -> None:
        """Stop, from any thread or signal handler."""
        self.should_exit = True
        if self._loop is not None:
            with suppress(RuntimeError):  # it has stopped already
                self._loop.call_soon_threadsafe(self._told.set)


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox: where it is, the connection that leads to it, and what it holds."""

    url: str
    #: The Airflow Connection as JSON, to be set as AIRFLOW_CONN_QUEUECALLS_DEFAULT.
    connection: str = field(repr=False)
    _state: State = field(repr=False)
    _server: _Server = field(repr=False)
    _thread: threading.Thread = field(repr=False)

    @property
    def campaigns(self) -> list[QueuedCampaign]:
        """All campaigns, in the order they were queued."""
        return self._state.store.campaigns()

    @property
    def calls(self) -> list[Call]:
        """All calls of all campaigns, in the order they were queued."""
        return [call for campaign in self.campaigns for call in self._calls(campaign)]

    @property
    def rings(self) -> dict[str, int]:
        """How often each phone number rang that is to be called, by its digits."""
        return {number.phone_number: number.rings for number in self._state.store.rings()}

    @property
    def numbers(self) -> dict[str, int]:
        """How many calls each phone number is to get over all campaigns, by its digits."""
        return {number.phone_number: number.calls for number in self._state.store.rings()}

    @property
    def journal(self) -> list[Entry]:
        """The newest requests to the service and callbacks, in the order they happened, without secrets."""
        return self._state.journal.newest(MOST_ENTRIES)[::-1]

    @property
    def now(self) -> datetime:
        """The time by the sandbox's clock."""
        return datetime.fromtimestamp(self._state.clock.now(), timezone.utc)

    def calls_of(self, campaign_name: str) -> list[Call]:
        """All calls of one campaign, in the contact file's order. Raises :class:`KeyError` where there is none."""
        campaigns = self._state.store.campaigns(campaign_name)
        if not campaigns:
            raise KeyError(f"the sandbox holds no campaign {campaign_name!r}")
        return [call for campaign in campaigns for call in self._calls(campaign)]

    def fail_next(self, fault: str, times: int | None = 1) -> None:
        """Let the next request go wrong, or the next so many, or all (None).

        Raises :class:`KeyError` with the names of all faults where there is none of this name.
        """
        self._state.faults.arm(fault, times)

    def advance(self, **duration: float) -> None:
        """Put the clock forward, by what :class:`datetime.timedelta` takes: ``advance(hours=2)``.

        Returns when all that is due by then has happened, callbacks included.
        """
        self._state.advance(timedelta(**duration).total_seconds())

    def reset(self) -> None:
        """Forget everything, and show the world's time."""
        self._state.reset()

    def stop(self) -> None:
        """Tell the sandbox to stop, from any thread or signal handler; :meth:`wait` waits for it."""
        self._server.stop()

    def wait(self) -> None:
        """Wait until the sandbox has stopped."""
        self._thread.join()

    def _calls(self, campaign: QueuedCampaign) -> list[Call]:
        return [call for page in self._state.store.pages(campaign.id) for call in page]


@contextmanager
def run_sandbox(
    *,
    db: str | Path | None = None,
    host: str = LOOPBACK,
    port: int = 0,
    **settings: Any,
) -> Iterator[Sandbox]:
    """Run a sandbox in a thread of this process, until the end of the ``with``.

    Port 0 is any free one; ``settings`` are the fields of :class:`Settings`. Without ``db`` the state lies in a temporary file (not in memory, which would grow with
    it) and is gone at the end. Raises :class:`CannotStart`, and :class:`InvalidConnection` where no connection could be
    made of login, PIN and field names.
    """
    with ExitStack() as stack:
        listener = stack.enter_context(_listen(host, port))
        read_settings = Settings(**settings)
        connection = _connection_to(listener, read_settings)
        account = _read(connection)
        state = _open(Path(db or Path(stack.enter_context(_directory()), "sandbox.db")), read_settings)
        stack.callback(state.close)
        state.dialer.start()
        config = uvicorn.Config(
            create_app(state, account, connection=connection, hosts=[host]), http=WireProtocol, lifespan="off", ws="none", log_config=None,
            log_level="warning", access_log=False, server_header=False, date_header=False, timeout_graceful_shutdown=GRACE_SECONDS,
        )  # fmt: skip
        server = _Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), name="queuecalls-sandbox", daemon=True)
        thread.start()
        sandbox = Sandbox(
            url=_url(listener), connection=json.dumps(connection), _state=state, _server=server, _thread=thread
        )
        try:
            while not server.started:
                if not thread.is_alive():
                    raise CannotStart("The sandbox's web server ended before it had started; its log says why.")
                time.sleep(0.005)
            yield sandbox
        finally:
            sandbox.stop()
            sandbox.wait()


def _connection_to(listener: socket.socket, settings: Settings) -> dict[str, Any]:
    """The Airflow Connection that leads to the sandbox, as it is written in JSON."""
    extra: dict[str, Any] = {"campaign_url": f"{_url(listener)}{CAMPAIGN_BY_NAME}?name={CAMPAIGN_NAME}"}
    if settings.field_names:
        extra["field_names"] = dict(settings.field_names)
    if not is_loopback(_reachable(listener)):
        extra["allow_http"] = True
    account = {"login": settings.login, "password": settings.pin}
    return {"conn_type": CONN_TYPE, "host": _url(listener), **account, "extra": extra}


def _read(connection: Mapping[str, Any]) -> Endpoint:
    """What the hook will make of the connection, by the hook's own reading of it."""
    fields = {"conn_id": "sandbox", "schema": None, "port": None, **connection}
    return Endpoint.from_connection(SimpleNamespace(**{**fields, "extra": json.dumps(connection["extra"])}))


def _listen(host: str, port: int) -> socket.socket:
    where = f"{host}:{port}"
    try:
        family, *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server((host, port), family=family)
    except OverflowError:
        raise CannotStart(f"The sandbox cannot listen on {where}: a port is a number from 0 to 65535.") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise CannotStart(
                f"The sandbox cannot listen on {where}: another program does already. Stop that one, or choose another port."
            ) from None
        raise CannotStart(f"The sandbox cannot listen on {where}: {error.strerror}.") from None


def _open(path: Path, settings: Settings) -> State:
    try:
        return State.open(path, settings)
    except sqlite3.Error as error:
        raise CannotStart(f"The sandbox cannot use {str(path)!r} as its database: {error}.") from None


def _directory() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="queuecalls-sandbox-", ignore_cleanup_errors=True)


def _reachable(listener: socket.socket) -> str:
    host = str(listener.getsockname()[0])
    return {"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host)  # noqa: S104  # every address, so this machine's too


def _url(listener: socket.socket) -> str:
    host, port = _reachable(listener), listener.getsockname()[1]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
