"""Starts the sandbox, for the command line, the demo and tests."""

from __future__ import annotations

import errno
import json
import socket
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import uvicorn

from airflow_provider_queuecalls.connection import CONN_TYPE, Endpoint, is_loopback
from airflow_provider_queuecalls.exceptions import QueueCallsError
from airflow_provider_queuecalls.sandbox import DEFAULT_LOGIN, DEFAULT_PIN, LOOPBACK
from airflow_provider_queuecalls.sandbox.app import create_app
from airflow_provider_queuecalls.sandbox.store import Call, QueuedCampaign, Store

#: Seconds that requests under way have to end when the sandbox stops.
GRACE_SECONDS = 2


class CannotStart(QueueCallsError):
    """The sandbox cannot start: its address or its database cannot be used. The message says what to do."""


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox: where it is, the connection that leads to it, and what it holds."""

    url: str
    #: The Airflow Connection as JSON, to be set as AIRFLOW_CONN_QUEUECALLS_DEFAULT.
    connection: str = field(repr=False)
    _store: Store = field(repr=False)
    _server: uvicorn.Server = field(repr=False)
    _thread: threading.Thread = field(repr=False)

    def campaigns(self) -> list[QueuedCampaign]:
        """All campaigns, in the order they were queued."""
        return self._store.campaigns()

    def calls(self, campaign_name: str) -> list[Call]:
        """All calls of one campaign, in the contact file's order. Raises :class:`KeyError` where there is none."""
        for campaign in self._store.campaigns(campaign_name):
            return [call for page in self._store.pages(campaign.id) for call in page]
        raise KeyError(f"the sandbox holds no campaign {campaign_name!r}")

    def rings(self) -> dict[str, int]:
        """How many calls are queued for each phone number as it is spelled, over all campaigns."""
        return self._store.rings()

    def stop(self) -> None:
        """Tell the sandbox to stop, from any thread or signal handler; :meth:`wait` waits for it."""
        self._server.should_exit = True

    def wait(self) -> None:
        """Wait until the sandbox has stopped."""
        self._thread.join()


@contextmanager
def run_sandbox(
    *,
    login: str = DEFAULT_LOGIN,
    pin: str = DEFAULT_PIN,
    db: str | Path | None = None,
    host: str = LOOPBACK,
    port: int = 0,
    field_names: Mapping[str, str] | None = None,
) -> Iterator[Sandbox]:
    """Run a sandbox in a thread of this process, until the end of the ``with``.

    Port 0 is any free one. Without ``db`` the state lies in a temporary file (not in memory, which would grow with
    it) and is gone at the end. ``field_names`` are other names of form fields, as in the connection's extra. Raises
    :class:`CannotStart`, and :class:`InvalidConnection` where no connection could be made of login, PIN and names.
    """
    with ExitStack() as stack:
        listener = stack.enter_context(_listen(host, port))
        connection = _connection_to(listener, login=login, pin=pin, field_names=field_names or {})
        account = _read(connection)
        store = _open(Path(db or Path(stack.enter_context(_directory()), "sandbox.db")))
        config = uvicorn.Config(
            create_app(store, account), lifespan="off", ws="none", log_config=None, log_level="warning",
            access_log=False, server_header=False, timeout_graceful_shutdown=GRACE_SECONDS,
        )  # fmt: skip
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), name="queuecalls-sandbox", daemon=True)
        thread.start()
        sandbox = Sandbox(
            url=_url(listener), connection=json.dumps(connection), _store=store, _server=server, _thread=thread
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


def _connection_to(listener: socket.socket, *, login: str, pin: str, field_names: Mapping[str, str]) -> dict[str, Any]:
    """The Airflow Connection that leads to the sandbox, as it is written in JSON."""
    extra: dict[str, Any] = {}
    if field_names:
        extra["field_names"] = dict(field_names)
    if not is_loopback(_reachable(listener)):
        extra["allow_http"] = True
    connection = {"conn_type": CONN_TYPE, "host": _url(listener), "login": login, "password": pin}
    return {**connection, "extra": extra} if extra else connection


def _read(connection: Mapping[str, Any]) -> Endpoint:
    """What the hook will make of the connection, by the hook's own reading of it."""
    fields = {"conn_id": "sandbox", "schema": None, "port": None, **connection}
    return Endpoint.from_connection(SimpleNamespace(**{**fields, "extra": json.dumps(connection.get("extra", {}))}))


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


def _open(path: Path) -> Store:
    try:
        return Store(path)
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
