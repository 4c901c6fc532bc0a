"""Starts and stops the sandbox, for the command line, the demo and tests."""

from __future__ import annotations

import asyncio
import json
import socket
import sqlite3
import threading
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
from airflow_provider_queuecalls.listening import LOOPBACK, listen, reachable_host, url_to
from airflow_provider_queuecalls.sandbox.app import create_app
from airflow_provider_queuecalls.sandbox.journal import MOST_ENTRIES, Entry
from airflow_provider_queuecalls.sandbox.page import CAMPAIGN_BY_NAME
from airflow_provider_queuecalls.sandbox.profiles import read_profile
from airflow_provider_queuecalls.sandbox.responses import FORMATS
from airflow_provider_queuecalls.sandbox.settings import Settings
from airflow_provider_queuecalls.sandbox.state import State
from airflow_provider_queuecalls.sandbox.store import Call, QueuedCampaign
from airflow_provider_queuecalls.sandbox.wire import WireProtocol

__all__ = ["CannotStart", "Sandbox", "run_sandbox"]

#: Seconds that requests under way have to end when the sandbox stops.
GRACE_SECONDS = 2


class CannotStart(QueueCallsError):
    """The sandbox cannot start: its database cannot be used, or its web server fails. The message says what to do."""


class _Server(uvicorn.Server):
    """uvicorn's server with events for its start and its stop, instead of polling ten times a second: tests start many."""

    _loop: asyncio.AbstractEventLoop | None = None

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Run until :meth:`stop`. ``ready`` is set once it listens or has failed; ``started`` says which."""
        try:
            super().run(sockets)
        finally:
            self.ready.set()

    async def main_loop(self) -> None:
        self._stop = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.ready.set()
        if not self.should_exit:
            await self._stop.wait()

    def stop(self) -> None:
        """Stop, from any thread or signal handler."""
        self.should_exit = True
        if self._loop is not None:
            with suppress(RuntimeError):  # it has stopped already
                self._loop.call_soon_threadsafe(self._stop.set)


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox: its URL, the connection that leads to it, its campaigns and calls."""

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
    def attempts(self) -> dict[str, int]:
        """How many attempts were made to call each phone number of a campaign, by its digits."""
        return {number.phone_number: number.attempts for number in self._state.store.dialed_numbers()}

    @property
    def numbers(self) -> dict[str, int]:
        """How many calls were queued to each phone number over all campaigns, by its digits."""
        return {number.phone_number: number.calls for number in self._state.store.dialed_numbers()}

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
            raise KeyError(f"There is no campaign {campaign_name!r}.")
        return [call for campaign in campaigns for call in self._calls(campaign)]

    def fail_next(self, fault: str, times: int | None = 1) -> None:
        """Arm a fault for the next ``times`` requests, or for all (None).

        Raises :class:`KeyError` with the names of all faults where there is none of this name.
        """
        self._state.faults.arm(fault, times)

    def advance(self, **duration: float) -> None:
        """Put the clock forward, by what :class:`datetime.timedelta` takes: ``advance(hours=2)``.

        Returns when everything that is due by then has happened, callbacks included. Raises :class:`ValueError` for a
        negative duration.
        """
        self._state.advance(timedelta(**duration).total_seconds())

    def reset(self) -> None:
        """Delete everything, and set the clock to the real time."""
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
    *, db: str | Path | None = None, host: str = LOOPBACK, port: int = 0, profile: str | None = None, **settings: Any
) -> Iterator[Sandbox]:
    """Run a sandbox in a thread of this process, until the end of the ``with``.

    :param db: A SQLite file that keeps everything across restarts. Without it, the state lies in a temporary file without
        a name, and is gone at the end.
    :param port: The port to listen on; 0 is any free one.
    :param profile: A service that differs from the documented one: a name of :data:`~.profiles.PROFILES`, or a JSON file,
        such as a report of ``queuecalls probe``.
    :param settings: Fields of :class:`Settings`; they win over the profile.

    Raises :class:`CannotStart`, :class:`QueueCallsError` where it cannot listen on the address, and :class:`InvalidConnection`
    where login, PIN and field names make no valid connection.
    """
    with ExitStack() as stack:
        listener = stack.enter_context(listen(host, port))
        read_settings = Settings(**{**(read_profile(profile) if profile else {}), **settings})
        connection = _connection_to(listener, read_settings)
        account = _read(connection)
        state = _open(Path(db) if db else None, read_settings)
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
            url=url_to(listener), connection=json.dumps(connection), _state=state, _server=server, _thread=thread
        )
        try:
            server.ready.wait()
            if not server.started:
                raise CannotStart("The sandbox's web server could not start; its log says why.")
            yield sandbox
        finally:
            sandbox.stop()
            sandbox.wait()


def _connection_to(listener: socket.socket, settings: Settings) -> dict[str, Any]:
    """The Airflow Connection that leads to the sandbox, as it is written in JSON."""
    extra: dict[str, Any] = {"campaign_url": f"{url_to(listener)}{CAMPAIGN_BY_NAME}?name={CAMPAIGN_NAME}"}
    if settings.field_names:
        extra["field_names"] = dict(settings.field_names)
    if settings.basic_auth == "refused":
        extra["basic_auth"] = False
    if settings.response_names or settings.response_format == "text":
        names = FORMATS[settings.response_format](settings.response_names).names
        extra["queued_values"] = {"text" if settings.response_format == "text" else names.status: names.queued}
    if not is_loopback(reachable_host(listener)):
        extra["allow_http"] = True
    account = {"login": settings.login, "password": settings.pin}
    return {"conn_type": CONN_TYPE, "host": url_to(listener), **account, "extra": extra}


def _read(connection: Mapping[str, Any]) -> Endpoint:
    """What the hook will make of the connection, by the hook's own reading of it."""
    fields = {"conn_id": "sandbox", "schema": None, "port": None, **connection}
    return Endpoint.from_connection(SimpleNamespace(**{**fields, "extra": json.dumps(connection["extra"])}))


def _open(path: Path | None, settings: Settings) -> State:
    try:
        return State.open(path, settings)
    except (sqlite3.Error, OSError) as error:
        file = "a temporary file" if path is None else repr(str(path))
        raise CannotStart(f"The sandbox cannot use {file} as its database: {error}.") from None
