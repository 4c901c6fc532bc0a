"""How long the server takes for the pages of campaigns over one campaign of a million results, and over 10,000 campaigns.

python benchmarks/pages.py [--results 1000000] [--campaigns 10000] [--database URL]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path

from airflow_provider_queuecalls.pages.app import local_pages
from airflow_provider_queuecalls.records.call_results import read_result
from airflow_provider_queuecalls.records.database import CampaignRow, Database

BLOCK, ROUNDS = 2_000, 15
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
    database.put_campaign(CampaignRow("0" * 16, "large", results, "queued", "large", "run", start, now, zones="{}"))
    for first in range(0, results, BLOCK):
        database.add_all([("0" * 16, read_result(post(number, start))) for number in range(first, first + BLOCK)])
    posts = []
    for number in range(campaigns):
        key, sent = f"{number + 1:016x}", now - number * 30 * 86_400 // campaigns
        database.put_campaign(
            CampaignRow(key, f"small{number}", 10, "queued", f"dag{number % 50}", "run", sent, sent + 3_600)
        )
        posts += [(key, read_result(post(call, sent))) for call in range(8)]
    for first_post in range(0, len(posts), BLOCK):
        database.add_all(posts[first_post : first_post + BLOCK])


def main() -> None:
    from starlette.testclient import TestClient

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=int, default=1_000_000)
    parser.add_argument("--campaigns", type=int, default=10_000)
    parser.add_argument("--database", help="an empty database; a SQLite file in a temporary folder without it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = options.database or f"sqlite:///{Path(folder, 'results.db')}"
        with closing(Database(url)) as database:
            began = time.perf_counter()
            fill(database, options.results, options.campaigns)
            print(f"filled in {time.perf_counter() - began:,.0f} s")
            client = TestClient(local_pages(database), base_url="http://localhost")
            for path in (
                "/?days=30",
                "/?days=365&state=complete",
                "/?dag=dag7",
                f"/{'0' * 16}",
                f"/{'0' * 16}?group=failed",
            ):
                times = []
                for _ in range(ROUNDS):
                    began = time.perf_counter()
                    assert client.get(path).status_code == 200
                    times.append(1000 * (time.perf_counter() - began))
                print(f"{path:30} median {statistics.median(times):6.0f} ms, most {max(times):6.0f} ms")


if __name__ == "__main__":
    main()
