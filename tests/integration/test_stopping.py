"""A request that is stopped."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_queuecalls.exceptions import (
    NotSent,
    OutcomeUnknown,
)
from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook
from tests.conftest import Connect
from tests.support.fault_server import (
    Exchange,
    FaultServer,
)
from tests.support.outcomes import (
    MIDWAY,
    QUEUED_XML,
    assert_outcome,
    queue,
    says,
)

if TYPE_CHECKING:
    from pytest_mock import MockerFixture


@pytest.mark.parametrize("receive", [MIDWAY, None], ids=["during the upload", "during the wait"])
def test_closing_the_hook_from_another_thread_is_unknown(
    receive: int | None, connect: Connect, large_list: Path
) -> None:
    hook = QueueCallsHook()

    def close_it(exchange: Exchange) -> None:
        exchange.receive(receive)
        hook.close()
        exchange.hang()

    with FaultServer(close_it) as server:
        connect(server.url)
        assert_outcome(queue(large_list, hook), OutcomeUnknown, None)
    assert server.connections == 1


def test_closing_the_hook_before_it_is_connected_is_not_sent(
    connect: Connect, small_list: Path, mocker: MockerFixture
) -> None:
    hook = QueueCallsHook()
    resolve = socket.getaddrinfo

    def close_first(*args: Any, **kwargs: Any) -> Any:
        hook.close()
        return resolve(*args, **kwargs)

    with FaultServer(says(QUEUED_XML)) as server:
        connect(server.url)
        mocker.patch("socket.getaddrinfo", close_first)
        assert_outcome(queue(small_list, hook), NotSent, None, sent=False)
    assert server.posts == []


def test_a_closed_hook_refuses_to_send(connect: Connect, small_list: Path) -> None:
    hook = QueueCallsHook()
    with FaultServer(says(QUEUED_XML)) as server:
        connect(server.url)
        assert_outcome(queue(small_list, hook), None, 200)
        hook.close()
        assert_outcome(queue(small_list, hook), NotSent, None, sent=False)
    assert len(server.posts) == 1


@contextmanager
def on_signal(error: BaseException) -> Iterator[Callable[[], None]]:
    """A function that raises the error in the main thread, wherever it is, as a time limit or Ctrl-C does."""

    def raise_it(_: int, __: FrameType | None) -> None:
        raise error

    before = signal.signal(signal.SIGUSR1, raise_it)
    try:
        yield lambda: os.kill(os.getpid(), signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)


def task_timeout() -> BaseException:
    try:
        from airflow.sdk.exceptions import AirflowTaskTimeout
    except ImportError:
        from airflow.exceptions import AirflowTaskTimeout
    assert not issubclass(AirflowTaskTimeout, Exception), "else Airflow would have changed the rules"
    return AirflowTaskTimeout("Timeout")


@pytest.mark.parametrize("receive", [MIDWAY, None], ids=["during the upload", "during the wait"])
def test_airflows_time_limit_is_unknown_once_something_was_sent(
    receive: int | None, connect: Connect, large_list: Path
) -> None:
    def interrupt(exchange: Exchange) -> None:
        exchange.receive(receive)
        strike()
        exchange.hang()

    with on_signal(task_timeout()) as strike, FaultServer(interrupt) as server:
        connect(server.url)
        assert_outcome(queue(large_list), OutcomeUnknown, None)
    assert server.connections == 1


def test_airflows_time_limit_stays_what_it_is_before_anything_was_sent(
    connect: Connect, small_list: Path, mocker: MockerFixture
) -> None:
    limit = task_timeout()
    mocker.patch("socket.getaddrinfo", side_effect=limit)
    connect("https://service.invalid")
    with pytest.raises(type(limit)):
        queue(small_list)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_stays_an_interrupt(error: type[BaseException], connect: Connect, small_list: Path) -> None:
    def interrupt(exchange: Exchange) -> None:
        exchange.receive()
        strike()
        exchange.hang()

    with on_signal(error()) as strike, FaultServer(interrupt) as server:
        connect(server.url)
        with pytest.raises(error):
            queue(small_list)
