"""Upload of a large contact file to a local sink: the hook against what one would use instead.

    python benchmarks/upload.py                            # 600 MB, 10 million rows, 5 rounds
    python benchmarks/upload.py --megabytes 120 --rounds 3
    python benchmarks/upload.py --only hook --only curl

Every upload runs in a fresh process, which sends one row first, so that all it needs is imported, and then times
the file alone. The rounds are interleaved, so that what else the machine does falls on all alike; ratios count, not
seconds. The sink reads and forgets; it also counts, so that nobody wins by leaving something out.

Memory is what an upload adds to the process's peak; the growth is from the peak with a file of a tenth of the size to
the peak with the file, of the worst two rounds. Exit status 1: the hook takes more than 1.25 times curl's time, its
memory grows by more than 16 MiB, or the whole check and the upload together take more than 12 times curl's time.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import IO, NamedTuple

GOAL_RATIO = 1.25
GOAL_GROWTH_MIB = 16.0
GOAL_CHECKED_RATIO = 12.0
ROWS_PER_BLOCK = 10_000
LOGIN, PIN = "sender", "1234"
FIELDS = {"login": LOGIN, "pin": PIN, "campaign_name": "benchmark", "start_url": "https://example.org/start.php"}
FILE_FIELD = "phone_number_list"
ANSWER = b"<result><status>queued</status><call_id>1</call_id></result>"

Upload = Callable[[str], "float | None"]


# The contenders: each gets the sink's port and returns what uploads a file. All send the same fields.


def hook(port: int) -> Upload:
    os.environ["AIRFLOW_CONN_QUEUECALLS_DEFAULT"] = _connection("queuecalls", port)
    from airflow_provider_queuecalls.client.campaign import Campaign
    from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook

    campaign = Campaign(campaign_name=FIELDS["campaign_name"], start_url=FIELDS["start_url"])

    def upload(path: str) -> None:
        QueueCallsHook().queue_calls(path, campaign)

    return upload


def check_and_hook(port: int) -> Upload:
    os.environ["AIRFLOW_CONN_QUEUECALLS_DEFAULT"] = _connection("queuecalls", port)
    from airflow_provider_queuecalls.client.campaign import Campaign
    from airflow_provider_queuecalls.contacts import check
    from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook

    campaign = Campaign(campaign_name=FIELDS["campaign_name"], start_url=FIELDS["start_url"])

    def upload(path: str) -> None:
        with check(path) as checked:
            QueueCallsHook().queue_calls(checked.upload, campaign)

    return upload


def curl(port: int) -> Upload:
    fields = [option for name, value in FIELDS.items() for option in ("-F", f"{name}={value}")]
    options = ["-sSf", "-u", f"{LOGIN}:{PIN}", "-o", os.devnull, "-w", "%{time_total}", *fields]

    def upload(path: str) -> float:
        command = ["curl", *options, "-F", f"{FILE_FIELD}=@{path};type=text/csv", f"http://127.0.0.1:{port}/"]
        return float(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)

    return upload


def requests_files(port: int) -> Upload:
    import requests

    def upload(path: str) -> None:
        with open(path, "rb") as file:
            files = {FILE_FIELD: ("calls.csv", file, "text/csv")}
            url = f"http://127.0.0.1:{port}/"
            requests.post(url, data=FIELDS, files=files, auth=(LOGIN, PIN), timeout=60).raise_for_status()

    return upload


def requests_toolbelt(port: int) -> Upload:
    import requests
    from requests_toolbelt import MultipartEncoder

    def upload(path: str) -> None:
        with open(path, "rb") as file:
            body = MultipartEncoder({**FIELDS, FILE_FIELD: ("calls.csv", file, "text/csv")})
            headers = {"Content-Type": body.content_type}
            url = f"http://127.0.0.1:{port}/"
            requests.post(url, data=body, headers=headers, auth=(LOGIN, PIN), timeout=60).raise_for_status()

    return upload


def http_hook(port: int) -> Upload:
    os.environ["AIRFLOW_CONN_HTTP_DEFAULT"] = _connection("http", port)
    from airflow.providers.http.hooks.http import HttpHook

    def upload(path: str) -> None:
        with open(path, "rb") as file:
            HttpHook(method="POST").run("/", data=FIELDS, files={FILE_FIELD: ("calls.csv", file, "text/csv")})

    return upload


def _connection(kind: str, port: int) -> str:
    return json.dumps(
        {"conn_type": kind, "schema": "http", "host": "127.0.0.1", "port": port, "login": LOGIN, "password": PIN}
    )


class Contender(NamedTuple):
    title: str
    make: Callable[[int], Upload]


CONTENDERS = {
    "hook": Contender("QueueCallsHook", hook),
    "checked": Contender("check, then hook", check_and_hook),
    "curl": Contender("curl -F", curl),
    "requests": Contender("requests files=", requests_files),
    "toolbelt": Contender("requests-toolbelt", requests_toolbelt),
    "http-hook": Contender("Airflow's HttpHook", http_hook),
}


def contend(name: str, port: int, one_row: str, path: str) -> None:
    """In a process of its own: upload, and print what it took."""
    try:
        upload = CONTENDERS[name].make(port)
    except ModuleNotFoundError as error:
        if name in ("hook", "checked"):
            raise
        print(json.dumps({"missing": error.name}))
        return
    upload(one_row)
    # A child's peak is at least that of the process that started it: this one, which has imported next to nothing.
    whose = resource.RUSAGE_CHILDREN if name == "curl" else resource.RUSAGE_SELF
    before = resource.getrusage(whose).ru_maxrss
    started = time.perf_counter()
    timed_itself = upload(path)
    seconds = time.perf_counter() - started if timed_itself is None else timed_itself
    print(json.dumps({"seconds": seconds, "before": before, "peak": resource.getrusage(whose).ru_maxrss}))


# The sink, in a process of its own too.


def sink() -> None:
    """Print the port, then for each request the length of its body."""
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    buffer = memoryview(bytearray(1 << 20))
    while True:
        connection, _ = listener.accept()
        with connection:
            length = drain(connection, buffer)
            head = (
                f"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {len(ANSWER)}\r\nConnection: close\r\n"
            )
            connection.sendall(head.encode() + b"\r\n" + ANSWER)
        print(length, flush=True)


def drain(connection: socket.socket, buffer: memoryview) -> int:
    """Read one request and return the length of its body as it came over the wire."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := connection.recv(1 << 16)):
            return 0
        data += more
    head, body = data.lower().split(b"\r\n\r\n", 1)
    headers = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    if b"expect" in headers:  # curl asks first
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    length, tail = len(body), body[-5:]
    chunked = headers.get(b"transfer-encoding") == b"chunked"
    expected = int(headers.get(b"content-length", 0))
    while (tail != b"0\r\n\r\n") if chunked else (length < expected):
        if not (count := connection.recv_into(buffer)):
            break
        length += count
        if chunked:
            tail = (tail + bytes(buffer[max(0, count - 5) : count]))[-5:]
    return length


# The benchmark.


class Run(NamedTuple):
    seconds: float
    before: int
    peak: int


class NotInstalled(Exception):
    """A contender needs what isn't there; the message names it."""


class Bench:
    """A directory with the contact files, and a sink; every upload of them is checked for being complete."""

    def __init__(self, directory: Path, port: int, lengths: IO[str]) -> None:
        self._port = port
        self._lengths = lengths
        self._one_row = write_contacts(directory / "one.csv", rows=1)
        self._env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | {
            "AIRFLOW_HOME": str(directory),
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
            "PYTHONPATH": os.pathsep.join(filter(None, (ROOT, os.environ.get("PYTHONPATH")))),
            "PYTHONPYCACHEPREFIX": str(directory / "bytecode"),
            "no_proxy": "*",
        }

    def is_ready(self, name: str) -> bool:
        """Whether a contender is installed. Leaves bytecode behind: compiling takes memory, and isn't measured."""
        try:
            self.run(name, self._one_row)
        except NotInstalled as missing:
            print(f"{CONTENDERS[name].title} is left out: {missing} is not installed")
            return False
        return True

    def run(self, name: str, path: Path) -> Run:
        """Upload a file in a fresh process."""
        command = [sys.executable, __file__, "--contend", name, str(self._port), str(self._one_row), str(path)]
        output = subprocess.run(command, check=True, env=self._env, stdout=subprocess.PIPE, text=True).stdout
        result = json.loads(output.splitlines()[-1])
        if "missing" in result:
            raise NotInstalled(result["missing"])
        *_, length = (int(self._lengths.readline()) for _ in (self._one_row, path))
        if not 0 < length - path.stat().st_size < 4096:
            sys.exit(f"{CONTENDERS[name].title} sent {length} bytes for a file of {path.stat().st_size}")
        return Run(**result)


ROOT = str(Path(__file__).resolve().parent.parent)


def write_contacts(path: Path, rows: int) -> Path:
    """Write distinct rows of 60 bytes, of phone number, message_reference and call_parameter."""
    text = "1####00{0:04d},ref-####{0:04d},Your parcel comes tomorrow at 9.30\n"
    block = "".join(text.format(row) for row in range(min(rows, ROWS_PER_BLOCK))).encode()
    with path.open("wb") as file:
        for number in range(-(-rows // ROWS_PER_BLOCK)):
            # An area code from 200, and an exchange's first digit from 2.
            file.write(block.replace(b"####", b"%d%d" % (200 + number % 800, 2 + number // 800 % 8)))
    return path


@contextmanager
def running_sink() -> Iterator[tuple[int, IO[str]]]:
    """Yield the sink's port and the lengths it prints."""
    process = subprocess.Popen([sys.executable, __file__, "--sink"], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        yield int(process.stdout.readline()), process.stdout
    finally:
        process.terminate()
        process.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=600, help="size of the contact file (default: 600)")
    parser.add_argument("--rounds", type=int, default=5, help="uploads of it by each contender (default: 5)")
    parser.add_argument(
        "--only", action="append", choices=CONTENDERS, help="besides hook, checked and curl; may be repeated"
    )
    parser.add_argument("--sink", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--contend", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.sink:
        sink()
    if options.contend:
        name, port, one_row, path = options.contend
        contend(name, int(port), one_row, path)
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the files go away
    blocks = max(1, round(options.megabytes * 1e6 / 60 / ROWS_PER_BLOCK))
    wanted = [
        name for name in CONTENDERS if name in ("hook", "checked", "curl") or name in (options.only or CONTENDERS)
    ]
    with tempfile.TemporaryDirectory(prefix="queuecalls-bench-") as root, running_sink() as (port, lengths):
        directory = Path(root)
        small = write_contacts(directory / "small.csv", max(1, blocks // 10) * ROWS_PER_BLOCK)
        large = write_contacts(directory / "large.csv", blocks * ROWS_PER_BLOCK)
        bench = Bench(directory, port, lengths)
        runs: dict[str, list[tuple[Run, Run]]] = {name: [] for name in wanted if bench.is_ready(name)}
        for _ in range(max(1, options.rounds)):
            for name, own in runs.items():
                own.append((bench.run(name, small), bench.run(name, large)))
        return report(small.stat().st_size, large.stat().st_size, runs)


def report(small: int, large: int, runs: dict[str, list[tuple[Run, Run]]]) -> int:
    """Print the table and tell whether a goal is missed."""
    sizes = f"{small / 1e6:.0f} MB", f"{large / 1e6:.0f} MB"
    print(f"{large / 1e6:.0f} MB, {large // 60:,} rows, {len(runs['curl'])} interleaved rounds\n")
    print(f"{'':20}{'seconds':>14}{'':>18}{'times':>8}   memory it takes, MiB")
    print(f"{'':20}{'min':>7}{'median':>9}{'MB/s':>9}{'curl':>9}{sizes[0]:>10}{sizes[1]:>10}{'growth':>9}")
    figures = {}
    for name, own in runs.items():
        seconds = [run.seconds for _, run in own]
        # Neighbours in time share the machine's mood, so each upload is compared with curl's of the same round.
        ratio = median(run.seconds / curls.seconds for (_, run), (_, curls) in zip(own, runs["curl"], strict=True))
        # The worst pair: what grows only sometimes grows.
        growth = (max(run.peak for _, run in own) - min(run.peak for run, _ in own)) / 1024
        figures[name] = ratio, growth
        taken = [median(run.peak - run.before for run in same) / 1024 for same in zip(*own, strict=True)]
        print(
            f"{CONTENDERS[name].title:20}{min(seconds):7.2f}{median(seconds):9.2f}{large / 1e6 / median(seconds):9.0f}"
            f"{ratio:9.2f}{taken[0]:10.1f}{taken[1]:10.1f}{growth:9.1f}"
        )
    ratio, growth = figures["hook"]
    checked, _ = figures["checked"]
    met = ratio <= GOAL_RATIO and growth <= GOAL_GROWTH_MIB and checked <= GOAL_CHECKED_RATIO
    print(
        f"\n{'Goals met' if met else 'GOAL MISSED'}: the hook takes {ratio:.2f} times curl's time (at most {GOAL_RATIO}), "
        f"and its memory grows by {growth:.1f} MiB (at most {GOAL_GROWTH_MIB:.0f}); with the whole check it takes "
        f"{checked:.2f} times curl's time (at most {GOAL_CHECKED_RATIO:.0f})"
    )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
