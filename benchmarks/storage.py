"""How long it takes to fetch a contact file from object storage, beside the storage's own speed and the check of a local file.

    python -m benchmarks.storage [--rows 2000000] [--runs 3]

The storage is the tests' server with S3's API, in a process of its own on this machine. What it could deliver is one GET of the
whole object; what the library that Airflow uses (s3fs) makes of it is its own download to a file. All take turns. Exits with 1
if fetching takes more than 1.5 times that download.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median

GOAL = 1.5
SERVER = """
import sys
from tests.support.s3 import s3_server
with s3_server() as url:
    print(url, flush=True)
    sys.stdin.read()
"""


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=2_000_000)
    options.add_argument("--runs", type=int, default=3)
    given = options.parse_args()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(
            subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        assert server.stdin
        assert server.stdout
        stack.callback(server.stdin.close)
        url = server.stdout.readline().strip()
        measured = measure(directory, url, given.rows, given.runs)
    print(f"{given.rows:,} rows, {measured.pop('MB'):,.0f} MB")
    for step, seconds in measured.items():
        print(f"{step:>28}: {seconds:6.2f} s")
    ratio = measured["fetch"] / measured["download by s3fs"]
    print(f"fetching takes {ratio:.2f} times the download by s3fs (goal: {GOAL})")
    return ratio > GOAL


def measure(directory: Path, url: str, rows: int, runs: int) -> dict[str, float]:
    """The size in MB, and the median seconds of each step."""
    from tests.support.s3 import BUCKET, STORAGE, new_bucket, s3_connection

    os.environ.update(AIRFLOW_HOME=str(directory), AIRFLOW_CONN_STORAGE=s3_connection(url))
    from airflow_provider_queuecalls._airflow.storage import fetched, remote_path
    from airflow_provider_queuecalls.contacts import check
    from airflow_provider_queuecalls.stopping import StopRequest
    from benchmarks.check import KINDS, write

    local = directory / "calls.csv"
    write(local, KINDS["clean"], rows)
    bucket = new_bucket(url, BUCKET)
    bucket.upload_file(str(local), local.name)
    client = bucket.meta.client
    signed = client.generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": local.name})
    remote = f"s3://{STORAGE}@{BUCKET}/{local.name}"

    def get() -> None:
        with urllib.request.urlopen(signed) as response, (directory / "copy").open("wb") as copy:
            while block := response.read(1 << 20):
                copy.write(block)

    def download() -> None:
        remote_path(remote).fs.get_file(f"{BUCKET}/{local.name}", str(directory / "copy"))

    def fetch(then: Callable[[str | os.PathLike[str]], object] = str) -> None:
        with fetched(remote, "The contact file", lambda *_: None, StopRequest()) as path:
            then(path)

    steps: dict[str, Callable[[], object]] = {
        "GET": get,
        "download by s3fs": download,
        "fetch": fetch,
        "check of the local file": lambda: check(local).close(),
        "fetch and check": lambda: fetch(lambda path: check(path).close()),
    }
    seconds: dict[str, list[float]] = {step: [] for step in steps}
    for _ in range(runs):
        for step, run in steps.items():
            started = time.perf_counter()
            run()
            seconds[step].append(time.perf_counter() - started)
    return {"MB": local.stat().st_size / 1e6, **{step: median(each) for step, each in seconds.items()}}


if __name__ == "__main__":
    sys.exit(main())
