"""How fast rows become a checked contact file, against the check of the same rows in a file.

    python benchmarks/rows.py [--rows 1000000] [--arrow-rows 10000000] [--runs 3]

A query on a PostgreSQL server, which is started for it, is measured against ``COPY … TO`` a file and our check of that file.
Arrow tables and DataFrames are measured against our check of the file that they become. Every run is a fresh process; both
sides take turns, so that a busy machine slows both. Imports and the making of a table are not measured. The ratios are
those of the medians. Exits with 1 where a goal is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
#: At most this many times the time of the other side.
GOALS = {"psycopg2": 2.0, "psycopg": 2.0, "arrow": 1.5, "polars": None, "pandas": None}

QUERY = "SELECT phone_number, message_reference, call_parameter FROM people ORDER BY id"
#: Different North American numbers, for PostgreSQL and DuckDB.
N = "(i::BIGINT * 4294967311) % 6400000000"
COLUMNS = f"""12002000000 + CAST(({N} - {N} % 8000000) * 5 / 4 AS BIGINT) + {N} % 8000000 AS phone_number,
    'customer-' || lpad(i::TEXT, 10, '0') AS message_reference, 'balance=' || i % 1000 || ';due=2030-05-01' AS call_parameter"""

TIMED = """
import json, os, sys, time
from airflow_provider_queuecalls.contacts import ContactRules, check
from airflow_provider_queuecalls.stopping import StopRequest
path, rows = sys.argv[1], int(sys.argv[2])
rules = ContactRules(on_invalid="skip", duplicates="drop")
def checked(path):
    with check(path, rules) as done:
        return done.report.valid
PREPARED
started, before = time.perf_counter(), os.times()
PROGRAM
after = os.times()
print(json.dumps([time.perf_counter() - started, after.user + after.system - before.user - before.system, valid]))
"""
COPIED = (
    "import psycopg2",
    f"""
with psycopg2.connect(os.environ["WAREHOUSE"]) as connection, open(path, "wb") as file:
    connection.cursor().copy_expert("COPY ({QUERY}) TO STDOUT (FORMAT csv)", file)
valid = checked(path)
""",
)
QUERIED = (
    """
from airflow_provider_queuecalls.transfers.sql_to_queuecalls import SqlToQueueCallsOperator
from airflow.providers.postgres.hooks import postgres
postgres.USE_PSYCOPG3 = os.environ["KIND"] == "psycopg"
def result(sql):
    start = "https://ivr.example.com/x.vxml"
    return SqlToQueueCallsOperator(task_id="call", sql=sql, sql_conn_id="warehouse", start_url=start)._contact_file({})
with result("SELECT 1 AS phone_number"):  # imports the hook and the driver
    pass
""",
    f"""
with result("{QUERY}") as contacts:
    valid = checked(contacts.path)
""",
)
TABLE = f"""
import duckdb
from airflow_provider_queuecalls.contacts.from_rows.tables import read_table
from airflow_provider_queuecalls.contacts.from_rows.writing import write_contact_file
table = duckdb.sql('''SELECT {COLUMNS} FROM range(''' + str(rows) + ") t(i)")
table = dict(arrow=table.to_arrow_table, polars=table.pl, pandas=table.df)[os.environ["KIND"]]()
def write():
    return write_contact_file(read_table(table), rules, "the table", log=lambda *_: None, stop=StopRequest())
"""
FROM_TABLE = """
with write() as contacts:
    valid = checked(contacts)
"""
WRITE_FILE = """
import shutil
with write() as contacts:
    shutil.copy(contacts, path)
valid = 0
"""


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=1_000_000, help="rows of the query; 0 leaves it out")
    options.add_argument("--arrow-rows", type=int, default=10_000_000, help="rows of the Arrow table; 0 leaves it out")
    options.add_argument(
        "--dataframe-rows", type=int, default=1_000_000, help="rows of the DataFrames; 0 leaves them out"
    )
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--directory", help="where the files go; they are removed afterwards")
    given = options.parse_args()
    missed = []
    with tempfile.TemporaryDirectory(dir=given.directory) as directory:
        path = Path(directory, "calls.csv")
        if given.rows:
            from tests.support.postgres import postgres_server

            with postgres_server() as server:
                url = server.new_database("warehouse")
                os.environ.update(WAREHOUSE=url, AIRFLOW_CONN_WAREHOUSE=url, AIRFLOW_HOME=directory)
                fill(url, given.rows)
                for driver in ("psycopg2", "psycopg"):
                    os.environ["KIND"] = driver
                    missed += compare(
                        driver, path, given.rows, ours=QUERIED, other=COPIED, name="COPY and check", runs=given.runs
                    )
        for kind, rows in (
            ("arrow", given.arrow_rows),
            ("polars", given.dataframe_rows),
            ("pandas", given.dataframe_rows),
        ):
            if rows:
                os.environ["KIND"] = kind
                run((TABLE, WRITE_FILE), path, rows)
                missed += compare(
                    kind,
                    path,
                    rows,
                    ours=(TABLE, FROM_TABLE),
                    other=("", "valid = checked(path)"),
                    name="check",
                    runs=given.runs,
                )
    print("all goals met" if not missed else f"missed: {'; '.join(missed)}")
    return bool(missed)


def fill(url: str, rows: int) -> None:
    """Make the table ``people``."""
    import psycopg2

    with psycopg2.connect(url) as connection:
        connection.cursor().execute(
            f"CREATE TABLE people AS SELECT i AS id, {COLUMNS} FROM generate_series(1, {rows}) i; ANALYZE people"
        )


def compare(
    kind: str, path: Path, rows: int, *, ours: tuple[str, str], other: tuple[str, str], name: str, runs: int
) -> list[str]:
    """Measure both in turns, print the medians and their ratio, and return the goal if it is missed."""
    results: dict[str, list[tuple[float, float, int]]] = {"ours": [], name: []}
    for _ in range(runs):
        results[name].append(run(other, path, rows))
        results["ours"].append(run(ours, path, rows))
    assert {valid for each in results.values() for *_, valid in each} == {rows}
    wall, cpu = (
        {side: statistics.median(row[index] for row in each) for side, each in results.items()} for index in (0, 1)
    )
    ratio = wall["ours"] / wall[name]
    print(
        f"{kind:>8}, {rows:>10,} rows: ours {wall['ours']:6.2f} s ({cpu['ours']:.2f} s of CPU), {name} {wall[name]:6.2f} s "
        f"({cpu[name]:.2f} s): {ratio:.2f} times (CPU {cpu['ours'] / cpu[name]:.2f})",
        flush=True,
    )  # fmt: skip
    goal = GOALS[kind]
    return [f"{kind}: {ratio:.2f} times"] if goal and ratio > goal else []


def run(program: tuple[str, str], path: Path, rows: int) -> tuple[float, float, int]:
    """Run in a fresh process. Returns seconds, seconds of CPU, and the number of valid rows."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            TIMED.replace("PREPARED", program[0]).replace("PROGRAM", program[1]),
            str(path),
            str(rows),
        ],
        stdout=subprocess.PIPE,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    seconds, cpu, valid = json.loads(done.stdout.splitlines()[-1])
    return seconds, cpu, valid


if __name__ == "__main__":
    sys.exit(main())
