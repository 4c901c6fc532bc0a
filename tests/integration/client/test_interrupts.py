"""Airflow's time limit and Ctrl-C, which are raised in the main thread wherever it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from airflow_provider_queuecalls.exceptions import OutcomeUnknown
from tests.conftest import Connect
from tests.support.fault_server import Exchange, FaultServer
from tests.support.moved import first_of
from tests.support.outcomes import MIDWAY, assert_outcome, on_signal, queue

if TYPE_CHECKING:
    from pytest_mock import MockerFixture


def raising(error: BaseException) -> Callable[[], NoReturn]:
    def act() -> NoReturn:
        raise error

    return act


def task_timeout() -> BaseException:
    timeout = first_of("airflow.sdk.exceptions:AirflowTaskTimeout", "airflow.exceptions:AirflowTaskTimeout")
    assert not issubclass(timeout, Exception), "else Airflow would have changed the rules"
    error: BaseException = timeout("Timeout")
    return error


@pytest.mark.parametrize("receive", [MIDWAY, None], ids=["during the upload", "during the wait"])
def test_airflows_time_limit_is_unknown_once_the_whole_list_was_sent(
    receive: int | None, connect: Connect, large_list: Path
) -> None:
    def interrupt(exchange: Exchange) -> None:
        exchange.receive(receive)
        strike()
        exchange.hang()

    limit = task_timeout()
    with on_signal(raising(limit)) as strike, FaultServer(interrupt) as server:
        connect(server.url)
        if receive:
            with pytest.raises(type(limit)):
                queue(large_list)
        else:
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

    with on_signal(raising(error())) as strike, FaultServer(interrupt) as server:
        connect(server.url)
        with pytest.raises(error):
            queue(small_list)
