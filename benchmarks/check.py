"""How fast a contact file is checked, beside a plain loop, DuckDB alone, and polars alone.

    python benchmarks/check.py                                    # all kinds of lists, 1 million rows
    python benchmarks/check.py --rows 10000000 --svg docs/images/check.svg
    python benchmarks/check.py --rows 50000000 --kinds clean dirty --programs check --runs 1      # memory
    python benchmarks/check.py --rows 1000 10000 20000 40000 --kinds clean dirty --store memory duckdb --programs check

All programs do the same work: they skip invalid rows, drop duplicates, and write the cleaned list and the rejects. They
take turns, each in a process of its own, so imports are part of the time, and what else the machine does falls on all
alike: ratios count, not seconds. The check and the plain loop must write the same bytes; the others, which do not know
formulas, the same cleaned list. Exit status 1: the check misses one of the goals, which are for 10 million rows and
more, or uses more than 512 MB.

``--store`` forces small or large files to be checked in memory or in DuckDB, side by side: both limits of
``in_memory.SMALL_BYTES`` come from that.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.check_programs import PROGRAMS  # noqa: E402 - found wherever this file is started from

#: The goals: the least ratio to the plain loop, and the most to the check of the clean list.
FASTER, SLOWER, GOAL_ROWS = 5.0, 1.5, 10_000_000
MEGABYTES = 512

# The lists. ``n`` is the phone number of row ``i``: all are different, and in no order.

_NUMBERS = """SELECT i, (12002000000 + x // 8000000 * 10000000 + x % 8000000)::VARCHAR AS n
    FROM (SELECT i, (i * 4294967311 + 12345) % 6400000000 AS x FROM (SELECT range{different} AS i FROM range({rows})))"""
_REFERENCE = "'customer-' || lpad(i::VARCHAR, 9, '0')"
_PARAMETER = "if(i % 4 = 0, 'Žofie', 'Sophie') || ' due 2030-05-01'"
_CLEAN = f"n || ',' || {_REFERENCE} || ',' || {_PARAMETER}"
#: One row in twenty: without the leading 1, punctuation, a plus sign, a repetition, a word, a reference that is too long.
_BAD_NUMBER = """CASE i // 20 % 6 WHEN 0 THEN n[2:] WHEN 1 THEN '(' || n[2:4] || ') ' || n[5:7] || '-' || n[8:]
    WHEN 2 THEN '+' || n WHEN 3 THEN '12002012345' WHEN 4 THEN 'unknown' ELSE n END"""
_DIRTY = f"""if(i % 20 = 10, {_BAD_NUMBER}, n) || ',' || if(i % 120 = 110, repeat('r', 150), {_REFERENCE})
    || ',' || {_PARAMETER}"""


@dataclass(frozen=True)
class Kind:
    """A kind of list: the expression of a line, the rules of the check, and what the other programs need to know."""

    line: str = _CLEAN
    rules: Mapping[str, Any] = field(default_factory=dict)
    header: str = ""
    repeats: int = 1
    goal: bool = True


KINDS = {
    "clean": Kind(),
    "dirty": Kind(_DIRTY),
    "repeated": Kind(repeats=10),
    "header": Kind(
        f"{_REFERENCE} || ',' || {_PARAMETER} || ',' || n || ',x'",
        {"has_header": True},
        header="message_reference,call_parameter,phone_number,other",
    ),
    "normalized": Kind(_DIRTY, {"normalize": True}),
    "quoted": Kind(
        f"""'"' || n || '","' || {_REFERENCE} || '","' || {_PARAMETER} || ', ' || i % 100 || '"'""",
        {"quoting": "allow"},
        goal=False,
    ),
    "suppressed": Kind(rules={"suppress": True}, goal=False),
}


def write(path: Path, kind: Kind, rows: int) -> None:
    """Write a list, and beside it a suppression list of a tenth of the size, half of whose numbers are on the list."""
    import duckdb

    listed = _NUMBERS.format(different=" * 20", rows=rows // 10)
    numbers = _NUMBERS.format(different=f" % {rows // kind.repeats}", rows=rows)
    if kind.header:
        numbers = f"SELECT -1 AS i, '' AS n UNION ALL {numbers}"
    line = f"if(i < 0, '{kind.header}', {kind.line})"
    with duckdb.connect() as connection:
        for to, query in (
            (path, f"SELECT {line} FROM ({numbers})"),
            (suppression_list(path), f"SELECT n FROM ({listed})"),
        ):
            connection.execute(
                f"COPY ({query}) TO '{to}' (FORMAT csv, HEADER false, DELIMITER '\x1e', QUOTE '', ESCAPE '')"
            )


def suppression_list(path: Path) -> Path:
    return path.with_name("suppressed.csv")


# Running a program.

_TIMED = """
import sys, time
started = time.perf_counter()
import json
globals().update(json.loads(sys.argv[1]))
digest = None
{program}
seconds = time.perf_counter() - started
import resource
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss // 1024, counts, digest]))
"""


class Run(NamedTuple):
    """What one program took, what it found, and the digests of the cleaned list and of the rejects."""

    seconds: float
    cpu: float
    megabytes: int
    counts: tuple[int, ...]
    cleaned: str
    rejects: str


def run(program: str, path: Path, rules: Mapping[str, Any], store: str | None) -> Run:
    """Run a program in a process of its own."""
    cleaned, rejects = path.with_name("cleaned.csv"), path.with_name("rejects.csv")
    files = {"path": path, "cleaned": cleaned, "rejects": rejects, "listed": suppression_list(path)}
    given = {**{name: str(file) for name, file in files.items()}, "rules": dict(rules), "store": store}
    done = subprocess.run(
        [sys.executable, "-c", _TIMED.replace("{program}", PROGRAMS[program]), json.dumps(given)],
        stdout=subprocess.PIPE,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    seconds, cpu, megabytes, counts, digest = json.loads(done.stdout)
    return Run(seconds, cpu, megabytes, tuple(counts), digest or file_digest(cleaned), file_digest(rejects))


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        sha256 = hashlib.sha256()
        while block := file.read(1 << 20):
            sha256.update(block)
    return f"sha256:{sha256.hexdigest()}"


def compare(path: Path, kind: Kind, candidates: Sequence[tuple[str, str | None]], runs: int) -> dict[str, Run]:
    """Run all programs in turns. Returns for each the run with the median time, and its highest peak of memory."""
    found: dict[str, list[Run]] = {}
    for _ in range(runs):
        for program, store in candidates:
            name = f"{program} ({store})" if store else program
            found.setdefault(name, []).append(run(program, path, kind.rules, store))
    expected = next(iter(found.values()))[0]
    for name, each in found.items():
        same = (each[0].counts, each[0].cleaned) == (expected.counts, expected.cleaned)
        exact = name.startswith("check") or name == "plain loop"
        if not same or (exact and each[0].rejects != expected.rejects):
            raise SystemExit(f"{name} finds {each[0]}, the first program {expected}")
    return {
        name: sorted(each)[len(each) // 2]._replace(megabytes=max(one.megabytes for one in each))
        for name, each in found.items()
    }


# What is printed and drawn.


def chart(title: str, measured: Mapping[str, Mapping[str, Run]]) -> str:
    """An SVG picture with a bar for each kind of list and program."""
    colors = {"check": "#0b7285", "plain loop": "#868e96", "DuckDB": "#f08c00", "polars": "#7048e8"}
    scale = 440 / max(each.seconds for runs in measured.values() for each in runs.values())
    y, parts = 34, [f'<text x="10" y="18" font-weight="bold">{title}</text>']
    for kind, runs in measured.items():
        parts.append(f'<text x="10" y="{y + 7 * len(runs) + 4}">{kind}</text>')
        for program, each in runs.items():
            width = max(1, round(each.seconds * scale))
            color = colors[program.partition(" (")[0]]
            parts.append(f'<rect x="100" y="{y}" width="{width}" height="12" fill="{color}"/>')
            label = f"{program}: {each.seconds:.1f} s, {each.megabytes:,} MB"
            parts.append(f'<text x="{106 + width}" y="{y + 10}" font-size="10">{label}</text>')
            y += 14
        y += 10
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="760" height="{y}" viewBox="0 0 760 {y}" role="img" '
        f'font-family="sans-serif" font-size="12" fill="#868e96">\n<title>{title}</title>\n{body}\n</svg>\n'
    )


def missed_goals(rows: int, measured: Mapping[str, Mapping[str, Run]]) -> list[str]:
    """The goals that the check misses."""
    missed = []
    for kind, runs in measured.items():
        for name, ours in ((name, each) for name, each in runs.items() if name.startswith("check")):
            missed += [f"{kind}: {ours.megabytes} MB"] * (ours.megabytes > MEGABYTES)
            if rows < GOAL_ROWS or not KINDS[kind].goal:
                continue
            if "plain loop" in runs and (ratio := runs["plain loop"].seconds / ours.seconds) < FASTER:
                missed.append(f"{kind}: {ratio:.1f} times faster than the plain loop")
            if "clean" in measured and (ratio := ours.seconds / measured["clean"][name].seconds) > SLOWER:
                missed.append(f"{kind}: {ratio:.1f} times the clean list")
    return missed


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, nargs="+", default=[1_000_000])
    options.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    options.add_argument("--programs", nargs="+", choices=PROGRAMS, default=list(PROGRAMS))
    options.add_argument("--store", nargs="+", choices=("memory", "duckdb"), default=[None])
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--svg", type=Path, help="draw a chart of the last number of rows")
    options.add_argument("--directory", help="where the files go; they are removed afterwards")
    given = options.parse_args()
    candidates = [
        (program, store) for program in given.programs for store in (given.store if program == "check" else [None])
    ]
    missed: list[str] = []
    for rows in given.rows:
        print(f"\n{rows:,} rows\n\n| list | program | seconds | CPU seconds | times the first | peak MB |")
        print("| --- | --- | --: | --: | --: | --: |")
        measured: dict[str, dict[str, Run]] = {}
        for kind in given.kinds:
            with tempfile.TemporaryDirectory(dir=given.directory) as directory:
                path = Path(directory) / "calls.csv"
                write(path, KINDS[kind], rows)
                measured[kind] = compare(path, KINDS[kind], candidates, given.runs)
            first = next(iter(measured[kind].values()))
            for name, each in measured[kind].items():
                figures = (
                    f"{each.seconds:.2f} | {each.cpu:.2f} | {each.seconds / first.seconds:.1f} | {each.megabytes:,}"
                )
                print(f"| {kind} | {name} | {figures} |", flush=True)
        if given.svg:
            given.svg.write_text(chart(f"Checking {rows:,} contacts", measured), "utf-8")
        missed += missed_goals(rows, measured)
    print("\nall goals met" if not missed else f"\nmissed: {'; '.join(missed)}")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
