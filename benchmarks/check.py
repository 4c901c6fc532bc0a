"""How fast a contact file is checked, and in how much memory, against the plain loop people write.

    python benchmarks/check.py [--rows 1000 1000000 10000000] [--runs 3] [--large] [--dirty]

Every run is a fresh process, so imports are part of it. Ours and the plain loop take turns on the same file, so that
a busy machine slows both; the ratio is that of the medians. ``--large`` adds a file of 50 million rows (3 GB) for
the memory, ``--dirty`` spoils or repeats one row in twenty (the goals of speed are for clean files). Exits with 1 where a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

MILLION = 1_000_000
#: Rows → at least so many times faster than the plain loop.
FASTER = {MILLION: 3.0, 10 * MILLION: 5.0}
SMALL_SECONDS = 0.5
GROWTH = 11.0  # from 1 to 10 million rows
MEGABYTES = 512

OURS = """
from airflow_provider_queuecalls.contacts import ContactRules, check
rules = ContactRules(on_invalid="skip", duplicates="drop")
with check(path, rules) as checked:
    valid = checked.report.valid
"""
PLAIN = """
import csv, re
number = re.compile(r"1[2-9]\\d\\d[2-9]\\d{6}", re.ASCII)
seen, valid = set(), 0
with open(path, newline="", encoding="utf-8") as file:
    for row in csv.reader(file):
        if not 1 <= len(row) <= 3 or not number.fullmatch(row[0]) or row[0] in seen:
            continue
        if any(len(cell.encode()) > limit for cell, limit in zip(row[1:], (128, 255))):
            continue
        seen.add(row[0])
        valid += 1
"""
#: Ours again, with every file taken for a small one, or none.
FORCED = (
    """
from airflow_provider_queuecalls.contacts import results
results.SMALL_BYTES = {small_bytes}
"""
    + OURS
)
TIMED = """
import sys, time
started = time.perf_counter()
path = sys.argv[1]
{program}
seconds = time.perf_counter() - started
import json, resource
print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, valid]))
"""


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, nargs="+", default=[1_000, 10_000, MILLION, 10 * MILLION])
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--large", action="store_true")
    options.add_argument("--dirty", action="store_true")
    options.add_argument("--directory", help="where the files go; they are removed afterwards")
    options.add_argument(
        "--threshold", action="store_true", help="only compare Python and DuckDB around results.SMALL_BYTES"
    )
    given = options.parse_args()
    if given.threshold:
        return compare_in_memory_and_in_duckdb(given.runs)
    missed: list[str] = []
    medians: dict[int, float] = {}
    with tempfile.TemporaryDirectory(dir=given.directory) as directory:
        path = Path(directory) / "calls.csv"
        for rows in given.rows:
            write(path, rows, dirty=given.dirty)
            ours, plain, memory = compare(path, given.runs)
            medians[rows] = ours
            print(
                f"{rows:>11,} rows, {path.stat().st_size / 1e6:7,.1f} MB: ours {ours:6.2f} s, plain {plain:6.2f} s, "
                f"{plain / ours:5.2f} times faster, peak {memory} MB"
            )
            missed += [f"{rows:,} rows: {plain / ours:.2f} times faster"] * (
                not given.dirty and plain / ours < FASTER.get(rows, 0)
            )
            missed += [f"{rows:,} rows: {ours:.2f} s"] * (rows <= 1_000 and ours > SMALL_SECONDS)
            missed += [f"{rows:,} rows: {memory} MB"] * (memory > MEGABYTES)
        if MILLION in medians and 10 * MILLION in medians:
            growth = medians[10 * MILLION] / medians[MILLION]
            print(f"growth from 1 to 10 million rows: {growth:.1f} times")
            missed += [f"growth: {growth:.1f} times"] * (growth > GROWTH)
        if given.large:
            write(path, 50 * MILLION, dirty=given.dirty)
            seconds, memory, _ = run(OURS, path)
            print(f" 50,000,000 rows, {path.stat().st_size / 1e6:7,.1f} MB: ours {seconds:6.2f} s, peak {memory} MB")
            missed += [f"50,000,000 rows: {memory} MB"] * (memory > MEGABYTES)
    print("all goals met" if not missed else f"missed: {'; '.join(missed)}")
    return bool(missed)


def compare_in_memory_and_in_duckdb(runs: int) -> int:
    """Print how long files around the threshold take in Python alone and in DuckDB, which has to be loaded first."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "calls.csv"
        for rows in (2_500, 5_000, 10_000, 20_000, 40_000):
            for kind, dirty in (("clean", False), ("dirty", True)):
                write(path, rows, dirty=dirty)
                seconds = []
                for small_bytes in (1 << 40, -1):
                    program = FORCED.format(small_bytes=small_bytes)
                    seconds.append(statistics.median(run(program, path)[0] for _ in range(runs)))
                print(
                    f"{rows:>7,} {kind} rows, {path.stat().st_size >> 10:>5,} KiB: in memory {seconds[0]:.2f} s, "
                    f"in DuckDB {seconds[1]:.2f} s"
                )
    return 0


def compare(path: Path, runs: int) -> tuple[float, float, int]:
    """The median seconds of ours and of the plain loop, in turns, and our highest peak of memory in MB."""
    ours, plain = [], []
    for _ in range(runs):
        ours.append(run(OURS, path))
        plain.append(run(PLAIN, path))
    if ours[0][2] != plain[0][2]:
        raise SystemExit(f"ours finds {ours[0][2]:,} good rows, the plain loop {plain[0][2]:,}")
    return (
        statistics.median(seconds for seconds, _, _ in ours),
        statistics.median(seconds for seconds, _, _ in plain),
        max(memory for _, memory, _ in ours),
    )


def run(program: str, path: Path) -> tuple[float, int, int]:
    """Run in a fresh process. Returns seconds, peak memory in MB, and the number of good rows."""
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(
        [sys.executable, "-c", TIMED.format(program=program), str(path)],
        stdout=subprocess.PIPE,
        check=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    seconds, memory, valid = json.loads(done.stdout)
    return seconds, memory, valid


def write(path: Path, rows: int, *, dirty: bool) -> None:
    """Write contacts of 59 bytes with numbers in no order, none twice; with ``dirty``, spoil one row in twenty."""
    with path.open("w", encoding="ascii", newline="") as file:
        for index, number in enumerate(numbers(rows)):
            text = f"{number},customer-{index:010d},balance={index % 1000:03d};due=2030-05-01\n"
            if dirty and index % 20 == 0:
                text = (f"{number % 10**10}\n", "\n", f"12002012345,{index}\n", "no number,x\n")[index // 20 % 4]
            file.write(text)


def numbers(count: int) -> Iterator[int]:
    """Different North American numbers, spread over all there are."""
    every = 8 * 100 * 8 * MILLION
    for index in range(count):
        area, rest = divmod((index * 4_294_967_311 + 12_345) % every, 8 * MILLION)
        yield 12_002_000_000 + area * 10_000_000 + rest


if __name__ == "__main__":
    sys.exit(main())
