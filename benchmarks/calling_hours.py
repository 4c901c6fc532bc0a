"""What calling hours and ``max_per_period`` cost in the check, and a list from all time zones that is split, sent, and dialed.

    python -m benchmarks.calling_hours                                  # 2 million rows, 100,000 contacts dialed
    python -m benchmarks.calling_hours --rows 10000000 --dial 1000000
    python -m benchmarks.calling_hours --rows 10000000 --recorded 10000000 --dial 0

The checks take turns, each in a process of its own: ratios count, not seconds. The list has numbers of all area codes where
it is within hours during the whole campaign, so that all checks send the same. ``--recorded`` numbers of earlier campaigns are on
record in a SQLite file, a tenth of them on the list, with results of two attempts for a tenth of those.

The other list has numbers of all area codes and toll-free ones. ``queuecalls split`` splits it, and each file is sent to a sandbox,
which dials every number by its own clock, with three further attempts an hour apart. Its database has the time of each last
attempt. Each attempt is compared with the hours by the clock on the wall, without the code of the check.

Exit status 1: a check with hours takes more than 1.3 times the CPU of the one without, or uses more than 512 MB; a contact is lost or
called twice, or an attempt is outside hours.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager, closing
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, reset_tzpath

from airflow_provider_queuecalls.client import Campaign, Endpoint
from airflow_provider_queuecalls.client.client import Client
from airflow_provider_queuecalls.contacts import ContactRules
from airflow_provider_queuecalls.contacts.hours.calling_hours import common_places
from airflow_provider_queuecalls.contacts.hours.places import area_codes
from airflow_provider_queuecalls.delivery import deliver
from airflow_provider_queuecalls.records.sent.ledger import Ledger, Try
from airflow_provider_queuecalls.records.sent.stores import LocalStore, init_folder
from airflow_provider_queuecalls.sandbox.server import Sandbox, run_sandbox

HOURS, OPEN, CLOSE = "08:00-21:00", 8, 21
SLOWER, MEGABYTES = 1.3, 512
HOUR, RETRIES = 3_600, 3
#: From 15:00 to 17:00 in New York, it is within hours from Newfoundland to Hawaii.
SPAN = tuple(int(datetime(2026, 12, 7, hour, tzinfo=timezone.utc).timestamp()) for hour in (20, 22))
SECRET = "the-secret-of-a-benchmark"
CHECK = """
import json, resource, sys, time
started = time.perf_counter()
from contextlib import ExitStack, closing
given = json.loads(sys.argv[1])
from airflow_provider_queuecalls.contacts import ContactRules, check
from airflow_provider_queuecalls.contacts.hours.check import HoursCheck
rules = ContactRules(calling_hours=given["hours"], duplicates="drop", on_invalid="skip")
with ExitStack() as stack:
    limit = called = None
    if given["database"]:
        from airflow_provider_queuecalls.contacts.row_results.call_limit import CallLimit, LimitCheck
        from airflow_provider_queuecalls.records.database.called_numbers import CalledNumbers
        from airflow_provider_queuecalls.records.database.database import Database
        from airflow_provider_queuecalls.stopping import StopRequest
        called = CalledNumbers(Database(given["database"]), CallLimit(2, 86400), [given["secret"]], campaign_key="new")
        stack.enter_context(closing(called))
        limit = stack.enter_context(LimitCheck(called, 256, StopRequest()))
    checked = stack.enter_context(check(given["path"], rules, hours=rules.hours_check(*given["span"]), limit=limit))
    report = checked.report
    if called:
        stack.enter_context(called.recorded(limit, report.valid, None, token="new", is_retry=False))
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss // 1024, dict(report.reasons)]))
"""


def write_list(path: Path, rows: int, codes: list[int], *, different: int) -> None:
    """Write numbers of these area codes in no order; the first ones are the same for any number of rows."""
    import duckdb

    with duckdb.connect() as connection:
        number = f"1 || [{', '.join(map(str, codes))}][1 + x % {len(codes)}] || (2000000 + x // {len(codes)})"
        query = f"""SELECT {number} || ',customer-' || lpad(i::VARCHAR, 9, '0') || ',due 2030-05-01'
            FROM (SELECT range AS i, (range * 4294967311 + 12345) % {different} AS x FROM range({rows}))"""
        connection.execute(
            f"COPY ({query}) TO '{path}' (FORMAT csv, HEADER false, DELIMITER '\x1e', QUOTE '', ESCAPE '')"
        )


def measure(path: Path, *, hours: str | None, database: str | None = None) -> tuple[float, float, int, dict[str, int]]:
    given = {"path": str(path), "hours": hours, "span": SPAN, "database": database, "secret": SECRET}
    done = subprocess.run([sys.executable, "-c", CHECK, json.dumps(given)], stdout=subprocess.PIPE, check=True)
    seconds, cpu, megabytes, reasons = json.loads(done.stdout)
    return seconds, cpu, megabytes, reasons


def opened(url: str) -> AbstractContextManager[Any]:
    """A connection to a SQLite database, which is closed at the end."""
    import sqlite3

    return closing(sqlite3.connect(url.removeprefix("sqlite:///")))


def record_earlier(path: Path, url: str, rows: int) -> None:
    """Put numbers of earlier campaigns on record, and results for some of those that are on the list."""
    given = {"path": str(path), "hours": None, "span": SPAN, "database": url, "secret": SECRET}
    code = CHECK.replace('campaign_key="new"', 'campaign_key="earlier"')
    subprocess.run([sys.executable, "-c", code, json.dumps(given)], stdout=subprocess.DEVNULL, check=True)
    with opened(url) as database, path.open() as lines, database:
        calls = [(line[:11], f"{number:032}") for number, line in enumerate(lines) if number % 100 == 0]
        database.executemany(
            "INSERT INTO queuecalls_results VALUES ('earlier', ?2, ?2, 0, ?1, NULL, ?2, 'failed', '', 2, 0, 0, '', '')",
            calls,
        )
        database.executemany(
            "INSERT INTO queuecalls_calls VALUES ('earlier', ?2, ?2, 0, 0, 'failed', '', 2, NULL, NULL, NULL)", calls
        )
    print(f"On record: {rows:,} numbers, and {len(calls):,} results of two attempts")


def compare_checks(folder: Path, rows: int, recorded: int, runs: int) -> bool:
    """Compare the checks, and print what they take. Returns whether the goals are met."""
    open_places = set(common_places())
    codes = [code for code, place in area_codes().items() if place in open_places]
    path, earlier, url = folder / "calls.csv", folder / "earlier.csv", f"sqlite:///{folder}/results.db"
    write_list(path, rows, codes, different=len(codes) * 8_000_000)
    write_list(earlier, recorded, codes, different=len(codes) * 7_999_999)  # most of them are not on the list
    record_earlier(earlier, url, recorded)
    kinds: Mapping[str, Mapping[str, Any]] = {
        "check": {"hours": None}, "with calling hours": {"hours": HOURS}, "with max_per_period": {"hours": None, "database": url},
    }  # fmt: skip
    found: dict[str, list[tuple[float, float, int, dict[str, int]]]] = {}
    for _ in range(runs):
        for name, options in kinds.items():
            found.setdefault(name, []).append(measure(path, **options))
            with opened(url) as database, database:
                for table in ("numbers", "requests"):
                    where = "WHERE token IN (SELECT token FROM queuecalls_requests WHERE campaign_key = 'new')"
                    database.execute(f"DELETE FROM queuecalls_{table} {where}")
    medians = {name: sorted(each)[len(each) // 2] for name, each in found.items()}
    plain = medians["check"]
    print(f"{rows:,} rows, median of {runs}")
    for name, (seconds, cpu, megabytes, reasons) in medians.items():
        print(
            f"  {name:20} {seconds:6.1f} s ({seconds / plain[0]:.2f}), CPU {cpu:6.1f} s ({cpu / plain[1]:.2f}), {megabytes} MB {reasons or ''}"
        )
    cpu = medians["with calling hours"][1] / plain[1]
    return cpu <= SLOWER and max(each[2] for each in medians.values()) <= MEGABYTES


def dial(folder: Path, contacts: int) -> bool:
    """Split a list from all time zones, send it, and let the sandbox dial it. Returns whether all attempts are within hours."""
    path, draw = folder / "everywhere.csv", random.Random(1)
    codes = [*area_codes(), 800, 888]
    numbers = [f"1{draw.choice(codes)}{2_000_000 + line}" for line in range(contacts)]
    path.write_text("".join(f"{number},{line}\n" for line, number in enumerate(numbers)))
    arguments = [
        "--folder",
        str(folder / "parts"),
        "--calling-hours",
        HOURS,
        "--unknown-zone",
        "skip",
        "--on-invalid",
        "skip",
        "--json",
    ]
    split = subprocess.run(
        ["queuecalls", "split", str(path), *arguments, "--max-contacts", "100000", "--rejects", str(folder / "rejects.csv")],
        stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    campaigns = json.loads(split.stdout)
    rejected = (folder / "rejects.csv").read_text().count("\n") - 1
    init_folder(folder / "receipts")
    with run_sandbox(speed=0, db=folder / "sandbox.db", calling_hours=HOURS) as sandbox:
        queued = sum(send(sandbox, campaign, folder / "receipts") for campaign in campaigns)
        last = max(campaign["expiration_timestamp"] for campaign in campaigns)
        while (now := sandbox.now.timestamp()) <= last:
            sandbox.advance(seconds=min(6 * HOUR, last + 60 - now))
        marked = sum(sandbox._state.outside_hours.counts.values())
    reset_tzpath(())  # the data of the package, which is newer than that of many systems
    attempts, outside, called = Counter[str](), 0, Counter[str]()
    clocks = {code: tuple(map(ZoneInfo, place.zones)) for code, place in area_codes().items()}
    seen: dict[tuple[int, int], bool] = {}
    with opened(str(folder / "sandbox.db")) as database:
        for number, state, made, at in database.execute(
            "SELECT phone_number, state, attempts, last_attempt_at FROM calls"
        ):
            called[number] += 1
            attempts[state] += made
            for moment in (at - step * HOUR for step in range(made)):
                key = int(number[1:4]), moment
                if key not in seen:
                    seen[key] = all(
                        OPEN <= datetime.fromtimestamp(moment, clock).hour < CLOSE for clock in clocks[key[0]]
                    )
                outside += not seen[key]
    lost = contacts - rejected - queued
    twice = sum(count - 1 for count in called.values())
    print(
        f"{contacts:,} numbers: {queued:,} queued in {len(campaigns)} campaigns, {rejected:,} without a time zone left out; "
        f"{sum(attempts.values()):,} attempts {dict(attempts)}, {outside} outside hours, {marked} of them marked by the sandbox"
    )
    return not (outside or marked or lost or twice) and set(called) <= set(numbers)


def send(sandbox: Sandbox, parameters: Mapping[str, Any], receipts: Path) -> int:
    """Send one file of the split list. Returns how many contacts were queued."""
    connection = json.loads(sandbox.connection)
    endpoint = Endpoint(
        url=f"{sandbox.url}/webservice/queuecalls.php",
        login=connection["login"],
        password=connection["password"],
        pin=connection["password"],
    )
    times = {name: parameters[name] for name in ("campaign_name", "scheduled_timestamp", "expiration_timestamp")}
    campaign = Campaign(start_url="https://ivr.example.com/x.vxml", max_retries=RETRIES, retry_interval=HOUR, **times)
    delivery = deliver(
        campaign, parameters["contacts"], Client(endpoint), lambda key: Ledger(LocalStore(receipts, key.digest), key, Try(1, "benchmark")),
        rules=ContactRules(calling_hours=HOURS),
    )  # fmt: skip
    return delivery.report.valid


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000, help="rows that are checked (%(default)s)")
    parser.add_argument("--recorded", type=int, default=1_000_000, help="numbers on record (%(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="how often each check runs (%(default)s)")
    parser.add_argument(
        "--dial", type=int, default=100_000, metavar="CONTACTS", help="contacts that are dialed (%(default)s)"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="queuecalls-bench-") as directory:
        met = compare_checks(Path(directory), options.rows, options.recorded, options.runs) if options.rows else True
        if options.dial:
            started = time.perf_counter()
            met = dial(Path(directory), options.dial) and met
            print(f"That took {time.perf_counter() - started:.0f} s.")
    print("Goals met" if met else "A goal is missed")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
