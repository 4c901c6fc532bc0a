"""How many results the receiver stores in a second, against the same server that responds without storing.

    python -m benchmarks.results                                # 7 rounds of 5,000 posts, then 1 million results
    python -m benchmarks.results --rounds 3 --results 100000

Each server is a process of its own: an app that reads the body and responds; the command ``queuecalls results serve``
with a database that stores nothing; and the command with a SQLite file and with PostgreSQL. Commits are durable:
``synchronous`` of SQLite is FULL, and PostgreSQL has ``fsync`` and ``synchronous_commit``. The sender is a process too: on
each of its connections, the next result follows the response to the last one. The servers take turns, so that what else
the machine does falls on all alike; ratios count, not posts per second. The processor time of a post is that of the
server, of all processes of PostgreSQL, and of the sender; its ratio is that of server and database together. Both ratios
are to the command that stores nothing.

Then the receiver gets results of one campaign, 10,000 at first and 1 million at last. Its memory is the peak of its
process. A poll is what a sensor does: it counts the results in a database that is open. Exit status 1: the receiver stores fewer
posts than 40 % (SQLite) or 60 % (PostgreSQL) of those that the command takes without storing, its memory grows by
more than 16 MiB, or a poll takes more than twice as long with all results as with the first.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from statistics import median
from typing import Any, NamedTuple

import psutil

from airflow_provider_queuecalls.cli import main as queuecalls
from airflow_provider_queuecalls.cli.results import DATABASE, SECRET
from airflow_provider_queuecalls.listening import listen
from airflow_provider_queuecalls.records.call_results import PostedResult
from airflow_provider_queuecalls.records.database import database
from airflow_provider_queuecalls.records.database.database import Database
from airflow_provider_queuecalls.records.receiver.server import make_server
from airflow_provider_queuecalls.records.receiver.urls import results_url
from tests.support.command import PROGRAM
from tests.support.memory import peak
from tests.support.postgres import Postgres, postgres_server

GOALS = {"sqlite": 0.40, "postgresql": 0.60}
GOAL_GROWTH_MIB = 16
GOAL_POLL_RATIO = 2.0
FEW = 10_000
#: The sender makes so many requests before it sends them, since making them takes time of the same machine.
MOST_AT_ONCE = 50_000
NAME, KEY = "benchmark", "the-secret-of-the-benchmark"
BODY = (
    "phone_number=1617{0:07d}&message_reference=order-{0}&call_id={0}&result=completed&callee_type=human&attempts=1"
    "&last_attempt_timestamp=1790000000&duration=45"
)
_numbers = itertools.count()


# The servers


async def respond(_: Any, receive: Any, send: Any) -> None:
    """Read the body and respond as the receiver does, and do nothing else."""
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"text/plain"), (b"cache-control", b"no-store"), (b"content-length", b"7")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"stored\n"})


class Nowhere:
    """A database that stores nothing."""

    url = "nowhere"

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def ping(self) -> None:
        pass

    def closing(self) -> AbstractContextManager[Nowhere]:
        return nullcontext(self)

    def add_all(self, posts: Sequence[tuple[str, PostedResult]]) -> list[bool]:
        return [True] * len(posts)


def serve(name: str) -> None:
    """In a process of its own: serve without storing."""
    if name == "nowhere":
        database.Database = Nowhere  # type: ignore[assignment,misc]
        queuecalls(["results", "serve", "--port", "0"])
        return
    listener = listen("127.0.0.1", 0)
    print(f"listens on http://127.0.0.1:{listener.getsockname()[1]}. Press Ctrl-C", flush=True)
    app: Any = respond
    make_server(app).run(sockets=[listener])


@contextmanager
def server_process(url: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run a server; give its process and port."""
    command = [sys.executable, "-m", "benchmarks.results", "--serve", url]
    if "://" in url:
        command = [sys.executable, "-c", PROGRAM, "results", "serve", "--port", "0"]
    environment = {**os.environ, DATABASE: url, SECRET: KEY}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        try:
            assert process.stdout
            (port,) = next(
                found for line in process.stdout if (found := re.findall(r"listens on http://.*:(\d+)", line))
            )
            yield process, int(port)
        finally:
            process.terminate()


# The sender


def send(port: int, connections: int, first: int, count: int) -> None:
    """In a process of its own: post so many results that differ, and print how many seconds that took, and of the processor."""
    path = results_url("http://h", NAME, [KEY]).removeprefix("http://h")
    head = f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: "
    bodies = (BODY.format(number) for number in range(first, first + count))
    requests = [f"{head}{len(body)}\r\n\r\n{body}".encode() for body in bodies]
    selector = selectors.DefaultSelector()
    for _ in range(connections):
        client = socket.create_connection(("127.0.0.1", port))
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(client, selectors.EVENT_READ, bytearray())
    started, busy, answered = time.perf_counter(), time.process_time(), 0
    for key in list(selector.get_map().values()):
        key.fileobj.send(requests.pop())  # type: ignore[union-attr]
    while answered < count:
        for key, _ in selector.select():
            client, received = key.fileobj, key.data  # type: ignore[assignment]
            received += client.recv(4096)
            if not received.endswith(b"d\n"):  # of "stored", which may come after the head
                continue
            if not received.startswith(b"HTTP/1.1 200 "):
                sys.exit(f"The server responded with {received!r}")
            received.clear()
            answered += 1
            if requests:
                client.send(requests.pop())
    print(json.dumps([time.perf_counter() - started, time.process_time() - busy]))


def seconds(port: int, connections: int, count: int) -> tuple[float, float]:
    """Post results that were not posted before; return how long it took, and how much of the processor the sender."""
    taken, busy = 0.0, 0.0
    for size in [MOST_AT_ONCE] * (count // MOST_AT_ONCE) + [count % MOST_AT_ONCE]:
        if size:
            arguments = json.dumps([port, connections, next(_numbers) * MOST_AT_ONCE, size])
            command = [sys.executable, "-m", "benchmarks.results", "--send", arguments]
            printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            more: list[float] = json.loads(printed)
            taken, busy = taken + more[0], busy + more[1]
    return taken, busy


# The benchmark


class Turn(NamedTuple):
    """What a server took for a post, in microseconds: of the clock, and of the processor."""

    wall: float
    server: float
    database: float
    sender: float

    @property
    def storing(self) -> float:
        return self.server + self.database


def measure_speed(urls: dict[str, str], postgres: Postgres, rounds: int, posts: int, connections: int) -> bool:
    """Let the servers take turns, print the table, and return whether the goals are met."""
    turns: dict[str, list[Turn]] = {name: [] for name in urls}
    with ExitStack() as stack:
        servers = {name: stack.enter_context(server_process(url)) for name, url in urls.items()}
        for number in range(-1, rounds):
            for name, (process, port) in servers.items():
                before = [processor(pid) for pid in (process.pid, postgres.process.pid)]
                wall, sender = seconds(port, connections, posts)
                busy = [processor(pid) - b for pid, b in zip((process.pid, postgres.process.pid), before, strict=True)]
                if number >= 0:  # in the first round, everything is imported and connected
                    turns[name].append(Turn(*(1e6 * taken / posts for taken in (wall, *busy, sender))))
    print(f"{rounds} interleaved rounds of {posts:,} posts over {connections} connections\n")
    print(f"{'':12}{'posts/s':>9}{'ratio':>7}{'to responds':>13} | processor time of a post, us:", end="")
    print(f"{'server':>8}{'database':>10}{'sender':>8}{'ratio':>7}")
    met = True
    for name, own in turns.items():
        rate, to_responds, busy = (
            median(getattr(other, what) / getattr(turn, what) for turn, other in zip(own, turns[base], strict=True))
            for base, what in (("nowhere", "wall"), ("responds", "wall"), ("nowhere", "storing"))
        )
        wall, *each = (median(taken) for taken in zip(*own, strict=True))
        print(f"{name:12}{1e6 / wall:9,.0f}{rate:7.2f}{to_responds:13.2f}{'|':>2}", end="")
        print(f"{each[0]:37.0f}{each[1]:10.0f}{each[2]:8.0f}{busy:7.2f}")
        met &= rate >= GOALS.get(name, 0)
    return met


def processor(pid: int) -> float:
    """The processor time of a process and all its children, in seconds."""
    family = psutil.Process(pid)
    return sum(sum(each.cpu_times()[:4]) for each in (family, *family.children(recursive=True)))


def measure_size(url: str, results: int, connections: int) -> bool:
    """Post that many results of one campaign, print what they cost, and return whether the goals are met."""
    figures = []
    with server_process(url) as (process, port), closing(Database(url)) as opened:
        for count in (FEW, results - FEW):
            taken, _ = seconds(port, connections, count)
            polls = []
            for _ in range(50):
                started = time.perf_counter()
                (counts,) = opened.counts(NAME)
                polls.append(time.perf_counter() - started)
            figures.append((peak(process.pid), median(polls)))
            print(f"{counts.results:>12,}{count / taken:10,.0f}{figures[-1][0]:13}{figures[-1][1] * 1e3:10.2f}")
    (few, quick), (many, slow) = figures
    return many - few <= GOAL_GROWTH_MIB and slow <= GOAL_POLL_RATIO * quick


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="how often each server has its turn (%(default)s)")
    parser.add_argument("--posts", type=int, default=5_000, help="results in a turn (%(default)s)")
    parser.add_argument("--connections", type=int, default=64, help="of the sender (%(default)s)")
    parser.add_argument(
        "--results", type=int, default=1_000_000, help="of one campaign; 0 skips this part (%(default)s)"
    )
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--send", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve or options.send:
        serve(options.serve) if options.serve else send(*options.send)
        return 0
    with tempfile.TemporaryDirectory(prefix="queuecalls-bench-") as directory, postgres_server(fsync="on") as postgres:
        stored = {"sqlite": f"sqlite:///{directory}/speed.db", "postgresql": postgres.new_database("speed")}
        urls = {"responds": "responds", "nowhere": "nowhere", **stored}
        met = measure_speed(urls, postgres, options.rounds, options.posts, options.connections)
        for name in stored if options.results else ():
            url = f"sqlite:///{directory}/size.db" if name == "sqlite" else postgres.new_database("size")
            print(f"\n{name + ': results':>12}{'posts/s':>10}{'memory, MiB':>13}{'poll, ms':>10}")
            met &= measure_size(url, options.results, options.connections)
    print(f"\n{'Goals met' if met else 'GOAL MISSED'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
