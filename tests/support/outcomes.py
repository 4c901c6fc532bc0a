"""One campaign sent through the hook to a server that goes wrong, and what has to come of it."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_queuecalls.client.campaign import Campaign
from airflow_provider_queuecalls.client.multipart import Upload
from airflow_provider_queuecalls.client.response import Response
from airflow_provider_queuecalls.exceptions import WireError
from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook
from airflow_provider_queuecalls.outcome import Outcome
from tests.support.fault_server import Act, Exchange, head, respond
from tests.support.memory import peak

CAMPAIGN = Campaign(start_url="https://ivr.example/start.vxml", campaign_name="spring")
MIDWAY = 1 << 20
QUEUED_XML = b'<?xml version="1.0"?><queuecall status="queued" call_id="123456789"><login>x</login></queuecall>'


@dataclass(frozen=True)
class Case:
    """What the service does, and what has to come of it. Without an error the campaign is queued."""

    act: Act
    error: type[WireError] | None
    status_code: int | None = 200
    large: bool = False
    extra: dict[str, Any] = field(default_factory=dict)


def says(body: bytes, *headers: tuple[str, str]) -> Act:
    return respond(200, body, headers)


def dripping_body(code: int) -> Act:
    def act(exchange: Exchange) -> None:
        exchange.receive()
        exchange.send(head(code, [("Content-Length", "100000")]))
        exchange.send(b" " * 100_000, pause=0.02)

    return act


def queue(
    path: Path | Upload, hook: QueueCallsHook | None = None, campaign: Campaign = CAMPAIGN
) -> Response | WireError:
    """Queue a campaign; the response, or the error that says what became of it."""
    try:
        return (hook or QueueCallsHook()).queue_calls(path, campaign)
    except WireError as error:
        return error


def assert_outcome(
    result: Response | WireError, error: type[WireError] | None, status_code: int | None, sent: bool = True
) -> None:
    """The class, and all that a caller can ask of it."""
    if error is None:
        assert isinstance(result, Response), result
        assert result.outcome is Outcome.QUEUED
    else:
        assert type(result) is error, result
        assert result.sent is sent
    assert result.status_code == status_code
    assert result.campaign_name == "spring"


@contextmanager
def bounded_memory(mebibytes: int) -> Iterator[None]:
    """Fail if this process (with the server in it) grows by more, at its highest. Linux only."""
    reset_peak = Path("/proc/self/clear_refs")
    if not os.access(reset_peak, os.W_OK):
        pytest.skip("the highest use of memory can be measured on Linux only")
    reset_peak.write_text("5")
    before = peak()
    yield
    assert peak() - before <= mebibytes, "too much memory"


@contextmanager
def deaf_listener() -> Iterator[str]:
    """A port that takes no connection: its backlog is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(16):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield "http://{}:{}".format(*listener.getsockname())


@contextmanager
def tcp_server(play: Callable[[socket.socket, threading.Event], object]) -> Iterator[int]:
    """The port of a server that does anything with one connection, for what comes before HTTP.

    ``play`` gets the connection, and an event that is set when it has to end.
    """
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError), listener.accept()[0] as connection:
                play(connection, over)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        over.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@contextmanager
def on_signal(act: Callable[[], object]) -> Iterator[Callable[[], None]]:
    """A function for any thread that makes the main thread act, wherever it is, as a signal handler."""
    before = signal.signal(signal.SIGUSR1, lambda *_: act())
    try:
        yield lambda: os.kill(os.getpid(), signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
