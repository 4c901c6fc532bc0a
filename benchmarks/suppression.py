"""How long a check takes with a suppression list of the size of a national registry, as text and built once.

    python benchmarks/suppression.py [--numbers 100000000] [--contacts 10000000] [--format dated|registry|ten] [--runs 1]

The text has 27 bytes per row (``dated``), or is that of the US National Do Not Call Registry (``registry``), or has ten digits
per row (``ten``). Every step is a fresh process, imports included; one round of all steps follows the other. Needs 5 GB of
disk. Exits with 1 where a goal is missed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MILLION = 1_000_000
#: The goals for 100 million numbers and 10 million contacts: seconds, and megabytes.
SECONDS = {"check with text": 90.0, "check with built list": 15.0}
MEGABYTES = 512
COMMAND = "import sys; from airflow_provider_queuecalls.cli import main; sys.exit(main())"
FORMATS = {"dated": "number || ',2024-01-01,home'", "registry": "left(ten, 3) || ',' || right(ten, 7)", "ten": "ten"}


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--numbers", type=int, default=100 * MILLION)
    options.add_argument("--contacts", type=int, default=10 * MILLION)
    options.add_argument("--format", choices=FORMATS, default="dated")
    options.add_argument("--runs", type=int, default=1)
    options.add_argument("--directory", help="where the files go; they are removed afterwards")
    given = options.parse_args()
    missed = []
    with tempfile.TemporaryDirectory(dir=given.directory) as directory:
        text, built, contacts = (Path(directory, name) for name in ("list.csv", "list.qc", "calls.csv"))
        write(text, given.numbers, FORMATS[given.format])
        # One contact in seven is on the list.
        line = "number || ',customer-' || lpad(i::VARCHAR, 10, '0') || ',balance=' || i % 1000"
        write(contacts, given.contacts, line, every=max(1, 7 * given.numbers // given.contacts))
        check = ["check", contacts, "--on-invalid", "skip", "--duplicates", "drop"]
        steps = {
            "check without a list": check,
            "check with text": [*check, "--suppress", text],
            "build": ["suppression", "build", built, text],
            "check with built list": [*check, "--suppress", built],
        }
        measured: dict[str, list[tuple[float, float, int]]] = {step: [] for step in steps}
        for _ in range(given.runs):
            for step, command in steps.items():
                measured[step].append(run([str(each) for each in command]))
        alone = statistics.median(cpu for _, cpu, _ in measured["check without a list"])
        print(
            f"{given.numbers:,} numbers, {text.stat().st_size:,} bytes ({given.format}), built {built.stat().st_size:,} bytes; {given.contacts:,} contacts"
        )
        for step, results in measured.items():
            seconds, cpu = (statistics.median(row[index] for row in results) for index in (0, 1))
            memory = max(memory for *_, memory in results)
            print(
                f"{step:>22}: {seconds:6.1f} s, {cpu:6.1f} s of CPU ({cpu / alone:5.2f} times that without a list), peak {memory} MB"
            )
            full = given.numbers >= 100 * MILLION and given.contacts >= 10 * MILLION
            missed += [f"{step}: {seconds:.1f} s"] * (full and seconds > SECONDS.get(step, seconds))
            missed += [f"{step}: {memory} MB"] * (memory > MEGABYTES)
    print("all goals met" if not missed else f"missed: {'; '.join(missed)}")
    return bool(missed)


def write(path: Path, rows: int, line: str, every: int = 1) -> None:
    """Write lines with different North American numbers, in no order."""
    import duckdb

    every_number = 6_400 * MILLION
    place = f"CAST((i::HUGEINT * {every} * 4294967311 + 12345) % {every_number} AS BIGINT)"
    number = f"12002000000 + {place} // 8000000 * 10000000 + {place} % 8000000"
    query = f"SELECT {line} FROM (SELECT i, number, right(number::VARCHAR, 10) AS ten FROM (SELECT i, {number} AS number FROM range({rows}) t(i)))"
    with duckdb.connect(config={"memory_limit": "1GiB"}) as connection:
        connection.execute(f"COPY ({query}) TO '{path}' (FORMAT csv, HEADER false, DELIM '\x1e', QUOTE '', ESCAPE '')")


def run(arguments: list[str]) -> tuple[float, float, int]:
    """Run the command in a fresh process. Returns seconds, seconds of CPU, and the peak of memory in MB."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    _, status, usage = os.wait4(process.pid, 0)
    if code := os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{arguments[0]} ended with {code}")
    return time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss >> 10


if __name__ == "__main__":
    sys.exit(main())
