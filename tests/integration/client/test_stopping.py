"""A stop request, at any moment, from a signal handler or another thread: nothing begins after it."""

from __future__ import annotations

import itertools
import random
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_queuecalls.client import client
from airflow_provider_queuecalls.client.client import Client
from airflow_provider_queuecalls.client.endpoint import Endpoint
from airflow_provider_queuecalls.client.multipart import MultipartBody, Upload
from airflow_provider_queuecalls.client.response import Response
from airflow_provider_queuecalls.exceptions import AlreadySent, NotSent, OutcomeUnknown, WireError
from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook
from tests.conftest import LOGIN, PIN, Connect
from tests.support.fault_server import Exchange, FaultServer
from tests.support.outcomes import (
    CAMPAIGN,
    MIDWAY,
    QUEUED_XML,
    assert_outcome,
    deaf_listener,
    on_signal,
    queue,
    says,
    tcp_server,
)

if TYPE_CHECKING:
    from pytest_mock import MockerFixture

CLIENT = str(Path(client.__file__).parent)
STOPPED = "the task was stopped"


def test_a_closed_hook_refuses_to_send(connect: Connect, small_list: Path) -> None:
    hook = QueueCallsHook()
    with FaultServer(says(QUEUED_XML)) as server:
        connect(server.url)
        assert_outcome(queue(small_list, hook), None, 200)
        hook.close()
        for _ in range(2):
            assert_outcome(queue(small_list, hook), NotSent, None, sent=False)
    assert server.connections == 1


@pytest.fixture(params=["signal", "thread"])
def stopping(request: pytest.FixtureRequest) -> Iterator[tuple[QueueCallsHook, Callable[[], None]]]:
    """A hook, and what stops it from another thread: by itself, or by a signal to the main thread."""
    hook = QueueCallsHook()
    with on_signal(hook.close) as strike:
        yield hook, strike if request.param == "signal" else hook.close


Stopping = tuple[QueueCallsHook, Callable[[], None]]


def test_a_stop_while_the_connection_is_made_ends_it(
    stopping: Stopping, connect: Connect, small_list: Path, mocker: MockerFixture
) -> None:
    hook, stop = stopping
    resolve = socket.getaddrinfo

    def stop_soon(*args: Any, **options: Any) -> Any:
        threading.Timer(0.1, stop).start()  # nothing else tells that the main thread is about to wait
        return resolve(*args, **options)

    with deaf_listener() as url:
        connect(url, connect_timeout=60)
        mocker.patch("socket.getaddrinfo", stop_soon)
        result = queue(small_list, hook)
    assert_outcome(result, NotSent, None, sent=False)
    assert STOPPED in str(result)


def test_a_stop_while_the_host_is_resolved_opens_no_connection(
    stopping: Stopping, connect: Connect, small_list: Path, mocker: MockerFixture
) -> None:
    hook, stop = stopping
    resolve = socket.getaddrinfo
    with FaultServer(says(QUEUED_XML)) as server:
        connect(server.url)
        mocker.patch("socket.getaddrinfo", lambda *args, **options: (stop(), resolve(*args, **options))[1])
        assert_outcome(queue(small_list, hook), NotSent, None, sent=False)
    assert server.connections == 0


@pytest.mark.parametrize("step", ["TLS", "a proxy's tunnel"])
def test_a_stop_while_the_connection_is_set_up_ends_it(
    step: str, stopping: Stopping, connect: Connect, small_list: Path
) -> None:
    hook, stop = stopping

    def stop_then_wait(connection: socket.socket, over: threading.Event) -> None:
        connection.recv(1)
        stop()
        over.wait()

    with tcp_server(stop_then_wait) as port:
        if step == "TLS":
            connect(f"https://127.0.0.1:{port}", connect_timeout=60)
        else:
            connect("https://service.invalid", proxies={"https": f"http://127.0.0.1:{port}"}, connect_timeout=60)
        result = queue(small_list, hook)
    assert_outcome(result, NotSent, None, sent=False)
    assert STOPPED in str(result)


@pytest.mark.parametrize("receive", [MIDWAY, None], ids=["during the upload", "during the wait"])
def test_a_stop_is_unknown_once_the_whole_list_was_sent(
    receive: int | None, stopping: Stopping, connect: Connect, large_list: Path
) -> None:
    hook, stop = stopping

    def stop_it(exchange: Exchange) -> None:
        exchange.receive(receive)
        stop()
        exchange.hang()

    with FaultServer(stop_it) as server:
        connect(server.url)
        result = queue(large_list, hook)
    assert_outcome(result, NotSent if receive else OutcomeUnknown, None)
    assert STOPPED in str(result)
    assert server.connections == 1


class Told:
    """Hears how far a request has come, and acts on it."""

    def __init__(self, intent: Callable[[], object] = bool, complete: Callable[[], object] = bool) -> None:
        self.heard: list[str] = []
        self._acts = {"intent": intent, "complete": complete}

    def record_intent(self, *, complete: bool) -> None:
        self._hear("intent")
        if complete:
            self.heard.append("complete")

    def record_complete(self) -> None:
        if "complete" not in self.heard:
            self._hear("complete")

    def _hear(self, what: str) -> None:
        self._acts[what]()
        self.heard.append(what)


def send(client: Client, contacts: Path, record: Told) -> Response | WireError:
    with contacts.open("rb", buffering=0) as file:
        upload = Upload(file, "calls.csv", contacts.stat().st_size)
        try:
            return client.queue_calls(upload, CAMPAIGN, record=record)
        except WireError as error:
            return error


@pytest.mark.parametrize("moment", ["intent", "complete"])
def test_a_stop_while_the_record_is_written_keeps_the_end_of_the_list_back(moment: str, large_list: Path) -> None:
    with FaultServer(says(QUEUED_XML)) as server:
        client = Client(Endpoint(server.url + "/x", LOGIN, PIN, PIN))
        record = Told(**{moment: client.stop.request})
        assert_outcome(send(client, large_list, record), NotSent, None, sent=moment == "complete")
    assert record.heard == (["intent"] if moment == "intent" else ["intent", "complete"])
    assert server.uploads == []


@pytest.mark.parametrize("moment", ["intent", "complete"])
def test_an_error_of_the_record_is_raised_as_it_is_and_ends_the_request(moment: str, large_list: Path) -> None:
    def fail() -> None:
        raise AlreadySent("by another task")

    with FaultServer(says(QUEUED_XML)) as server, pytest.raises(AlreadySent, match="by another task"):
        send(Client(Endpoint(server.url + "/x", LOGIN, PIN, PIN)), large_list, Told(**{moment: fail}))
    assert (len(server.requests), server.uploads) == (int(moment == "complete"), [])


@pytest.mark.parametrize("size", ["small", "large"])
def test_a_short_request_is_put_on_record_at_once(size: str, small_list: Path, large_list: Path) -> None:
    record = Told()
    with FaultServer(says(QUEUED_XML)) as server:
        record._acts["complete"] = lambda: record.heard.append(f"{len(server.requests)} request")
        send(
            Client(Endpoint(server.url + "/x", LOGIN, PIN, PIN)),
            {"small": small_list, "large": large_list}[size],
            record,
        )
    assert record.heard == ["intent", *["1 request"] * (size == "large"), "complete"]


@contextmanager
def at_line(number: int, act: Callable[[], object]) -> Iterator[None]:
    """Act before the so many-th line of the client that is executed, as a signal handler may."""
    lines = itertools.count(1)

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if not frame.f_code.co_filename.startswith(CLIENT):
            return None
        if event == "line" and next(lines) == number:
            act()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


class Run:
    """One request, and what was so when it was stopped: bytes handed over, and whether the intent was on record."""

    def __init__(self, server: FaultServer, number: int, contacts: Path, bodies: list[MultipartBody]) -> None:
        self.target = f"/{number}"
        self.result: object = None
        self.intended = False
        self.at_stop: tuple[int, bool] | None = None
        self._bodies = bodies
        self._contacts = contacts
        self._client = Client(Endpoint(server.url + self.target, LOGIN, PIN, PIN))
        bodies.clear()

    def send(self) -> None:
        self.result = send(self._client, self._contacts, Told(self._intend))

    def stop(self) -> None:
        self._client.stop.request()
        self.at_stop = sum(body.sent for body in self._bodies), self.intended

    def assert_nothing_began_after_the_stop(self, server: FaultServer) -> None:
        arrived = sum(request.received for request in server.requests if request.target == self.target)
        assert isinstance(self.result, NotSent | OutcomeUnknown | Response)
        assert not isinstance(self.result, NotSent) or all(upload.target != self.target for upload in server.uploads)
        if self.at_stop is not None:
            sent, intended = self.at_stop
            assert arrived == 0 or sent > 0, "no byte of the body leaves after a stop"
            assert intended or isinstance(self.result, NotSent), "an intent of that moment is known to be withdrawn"

    def _intend(self) -> None:
        self.intended = True


@pytest.fixture
def bodies(mocker: MockerFixture) -> list[MultipartBody]:
    """The bodies of the requests that were made."""
    made: list[MultipartBody] = []

    def make(*args: Any, **options: Any) -> MultipartBody:
        made.append(MultipartBody(*args, **options))
        return made[-1]

    mocker.patch.object(client, "MultipartBody", make)
    return made


@pytest.mark.long
def test_nothing_begins_after_a_stop_before_any_line_of_the_client(
    small_list: Path, bodies: list[MultipartBody]
) -> None:
    runs: list[Run] = []
    with FaultServer(says(QUEUED_XML)) as server:
        while not runs or runs[-1].at_stop is not None:
            runs.append(run := Run(server, len(runs) + 1, small_list, bodies))
            with at_line(len(runs), run.stop):
                run.send()
    for run in runs:
        run.assert_nothing_began_after_the_stop(server)
    assert len(runs) > 100
    unknown = [run for run in runs if isinstance(run.result, OutcomeUnknown) and run.at_stop == (0, True)]
    assert len(unknown) <= 2, "whether the first block left is unknown only at the very moment it is handed over"
    assert {type(run.result) for run in runs} == {NotSent, OutcomeUnknown, Response}, "before, during and after"


@pytest.mark.parametrize("seed", range(3))
def test_nothing_begins_after_a_stop_from_a_thread_at_a_random_moment(
    seed: int, large_list: Path, bodies: list[MultipartBody]
) -> None:
    moments = random.Random(seed)
    runs = []
    with FaultServer(says(QUEUED_XML)) as server:
        for number in range(20):
            runs.append(run := Run(server, number, large_list, bodies))
            timer = threading.Timer(moments.choice([0, 0.002, 0.01, 0.05]) * moments.random(), run.stop)
            timer.start()
            run.send()
            timer.join()
    for run in runs:
        run.assert_nothing_began_after_the_stop(server)
