"""``queuecalls results`` under load: killed, crashed, and slow clients."""

from __future__ import annotations

import resource
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from queue import SimpleQueue
from urllib.parse import urlsplit

import pytest
import requests

from airflow_provider_queuecalls.listening import LOOPBACK, listen
from airflow_provider_queuecalls.records.database.database import Database
from airflow_provider_queuecalls.records.receiver.urls import results_url
from airflow_provider_queuecalls.signed_url import read_secrets
from tests.support.memory import peak
from tests.support.patience import PATIENCE_SECONDS
from tests.support.ports import free_port
from tests.support.postgres import postgres_server
from tests.support.receiver import KEY, NEW, RESULT, receiver, stored

pytestmark = pytest.mark.long
SENDERS = 20


@contextmanager
def senders(*targets: str) -> Iterator[SimpleQueue[str]]:
    """Let 20 senders post results that differ, each until it is acknowledged; give the calls of those that are."""
    acknowledged, end = SimpleQueue[str](), threading.Event()

    def send(sender: int) -> None:
        number = 0
        with requests.Session() as session:
            while not end.is_set():
                call = f"{sender}-{number}"
                try:
                    response = session.post(targets[sender % len(targets)], {**RESULT, "call_id": call}, timeout=60)
                    is_stored = response.status_code == 200
                except requests.RequestException:
                    is_stored = False
                if is_stored:
                    acknowledged.put(call)
                    number += 1
                else:
                    end.wait(0.02)

    threads = [threading.Thread(target=send, args=(sender,)) for sender in range(SENDERS)]
    for thread in threads:
        thread.start()
    try:
        yield acknowledged
    finally:
        end.set()
        for thread in threads:
            thread.join()


def take(acknowledged: SimpleQueue[str], count: int) -> list[str]:
    return [acknowledged.get(timeout=PATIENCE_SECONDS) for _ in range(count)]


def assert_stored_once(url: str, acknowledged: list[str]) -> None:
    calls = [row["call_id"] for row in stored(url)]
    assert len(calls) == len(set(calls))
    assert set(acknowledged) <= set(calls)
    assert len(set(calls) - set(acknowledged)) <= SENDERS  # stored, and ended before the response
    with closing(Database(url)) as database:
        assert [counts.results for counts in database.counts(KEY)] == [len(calls)]


def test_every_acknowledged_result_is_stored_once_whatever_is_killed(url: str) -> None:
    port, calls = free_port(), list[str]()
    with senders(results_url(f"http://127.0.0.1:{port}", KEY, [NEW])) as acknowledged:
        for _ in range(3):
            with receiver(url, port=port) as (process, _):
                calls += take(acknowledged, 200)
                process.kill()
    assert_stored_once(url, calls + take(acknowledged, acknowledged.qsize()))


def test_two_receivers_store_every_acknowledged_result_once_in_a_database_that_crashes() -> None:
    with postgres_server() as server:
        url, calls = server.new_database("shared"), list[str]()
        with receiver(url) as (_, one), receiver(url) as (_, other):
            with senders(*(results_url(base, KEY, [NEW]) for base in (one, other))) as acknowledged:
                for _ in range(3):
                    calls += take(acknowledged, 200)
                    server.restart()
                calls += take(acknowledged, 200)
            assert_stored_once(url, calls + take(acknowledged, acknowledged.qsize()))


def test_a_thousand_slow_clients_take_bounded_memory(sqlite: str) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 1_100:
        pytest.skip(f"a process may open {hard} files only")
    with ExitStack() as stack:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        process, base = stack.enter_context(receiver(sqlite))
        target = urlsplit(results_url(base, KEY, [NEW]))
        body = b"call_id=%03d&x=" + b"\xff" * 65_000  # a byte that is not UTF-8 takes six in JSON
        head = f"POST {target.path} HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body) - 1}\r\n\r\n".encode()
        before, clients = peak(process.pid), list[socket.socket]()
        for number in range(990):
            address = (target.hostname, target.port)
            clients.append(stack.enter_context(socket.create_connection(address, timeout=PATIENCE_SECONDS)))
            clients[-1].sendall(head + body.replace(b"%03d", b"%03d" % number)[:-1])
        for client in clients:
            client.sendall(body[-1:])
        # On a busy machine, a body may be late, and the limit of what waits may be reached.
        responses = Counter(client.recv(12)[-3:] for client in clients)
        assert responses.keys() <= {b"200", b"408", b"503"}
        assert 100 <= responses[b"200"] <= len(stored(sqlite))
        # The bodies are 64 MB, and as much may wait for the database. Without that limit it was 927 MiB.
        assert peak(process.pid) - before < 400
        assert requests.get(f"{base}/health", timeout=60).status_code == 200


def test_slow_clients_are_disconnected(sqlite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_provider_queuecalls.records.receiver import requests as reading
    from airflow_provider_queuecalls.records.receiver import server as serving
    from airflow_provider_queuecalls.records.receiver.app import Receiver

    for module in (reading, serving):
        monkeypatch.setattr(module, "CLIENT_SECONDS", 2)
    database = Database(sqlite)
    app = Receiver(lambda: database, read_secrets(NEW))
    listener = listen(LOOPBACK, 0)
    server = serving.make_server(app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    path = results_url("http://h", KEY, [NEW]).removeprefix("http://h")
    responses = {
        b"": b"",
        b"POST / HTTP": b"",
        f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nx".encode(): b"HTTP/1.1 408",
    }
    try:
        with ExitStack() as stack:
            clients = [stack.enter_context(socket.create_connection(listener.getsockname(), 30)) for _ in responses]
            for client, sent in zip(clients, responses, strict=True):
                client.sendall(sent)
            assert [client.recv(12) for client in clients] == [*responses.values()]
    finally:
        server.should_exit = True
        thread.join()
        app.close()
        database.close()
