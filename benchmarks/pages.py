"""How long the server takes for the pages of campaigns over one campaign of a million results, and over 10,000 campaigns.

    python -m benchmarks.pages [--results 1000000] [--campaigns 10000]

Both databases: a SQLite file, and PostgreSQL. The processor time is that of this process and of all processes of PostgreSQL.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import psutil

from airflow_provider_queuecalls.pages.app import local_pages
from airflow_provider_queuecalls.records.call_results import read_result
from airflow_provider_queuecalls.records.database.database import CampaignRow, Database
from tests.support.postgres import postgres_server

BLOCK, ROUNDS = 2_000, 15
PATHS = (
    "/?days=30",
    "/?days=365",
    "/?days=365&state=complete",
    "/?dag=dag7",
    f"/{'0' * 16}",
    f"/{'0' * 16}?group=failed",
)
AREAS = ("212", "312", "303", "415", "617", "808")


def post(number: int, moment: int) -> list[tuple[str, str]]:
    """One result, which was posted at some time of the twelve hours from the moment on."""
    result, kind = (("completed", "human"), ("completed", "machine"), ("failed", "busy"))[number % 3]
    return [
        ("phone_number", f"1{AREAS[number % len(AREAS)]}555{number % 10_000:04}"), ("call_id", str(number)),
        ("message_reference", f"order-{number}"), ("result", result), ("callee_type", kind),
        ("attempts", str(1 + number % 4)), ("last_attempt_timestamp", str(moment + number % 43_200)), ("duration", "30"),
    ]  # fmt: skip


def fill(database: Database, results: int, campaigns: int) -> None:
    """One campaign with all results, and many with a few of them."""
    now = int(time.time())
    start = now - 50_000
    zones = '{"America/New_York": 1, "America/Chicago": 1}'
    database.put_campaign(CampaignRow("0" * 16, "large", results, "queued", "large", "run", start, now, zones=zones))
    for first in range(0, results, BLOCK):
        database.add_all([("0" * 16, read_result(post(number, start))) for number in range(first, first + BLOCK)])
    posts = []
    for number in range(campaigns):
        key, sent = f"{number + 1:016x}", now - number * 30 * 86_400 // campaigns
        database.put_campaign(
            CampaignRow(key, f"small{number}", 10, "queued", f"dag{number % 50}", "run", sent, sent + 3_600)
        )
        posts += [(key, read_result(post(call, sent))) for call in range(8)]
    posts += [
        (f"f{number:015x}", read_result(post(number, now))) for number in range(100)
    ]  # of campaigns without a row
    for first_post in range(0, len(posts), BLOCK):
        database.add_all(posts[first_post : first_post + BLOCK])


def measure(name: str, database: Database, programs: Sequence[psutil.Process]) -> None:
    """Print how long each page takes, and the processor time of this process and of the programs."""
    from starlette.testclient import TestClient

    client = TestClient(local_pages(database), base_url="http://localhost")
    for path in PATHS:
        times, before = [], cpu_seconds(programs)
        for _ in range(ROUNDS):
            began = time.perf_counter()
            assert client.get(path).status_code == 200
            times.append(1000 * (time.perf_counter() - began))
        spent = 1000 * (cpu_seconds(programs) - before) / ROUNDS
        print(
            f"{name:10} {path:32} median {statistics.median(times):6.0f} ms, most {max(times):6.0f} ms, CPU {spent:6.0f} ms",
            flush=True,
        )


def cpu_seconds(programs: Sequence[psutil.Process]) -> float:
    """The processor time of this process and of the programs, with all processes that they have started."""
    times = [each.cpu_times() for program in programs for each in (program, *program.children(recursive=True))]
    return time.process_time() + float(sum(each.user + each.system for each in times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=int, default=1_000_000)
    parser.add_argument("--campaigns", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, postgres_server() as postgres:
        urls = {"sqlite": f"sqlite:///{Path(folder, 'results.db')}", "postgresql": postgres.new_database("results")}
        for name, url in urls.items():
            with closing(Database(url)) as database:
                began = time.perf_counter()
                fill(database, options.results, options.campaigns)
                print(f"{name:10} filled in {time.perf_counter() - began:,.0f} s", flush=True)
                measure(name, database, [psutil.Process(postgres.process.pid)] if name == "postgresql" else [])


if __name__ == "__main__":
    main()
