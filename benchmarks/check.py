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
``results.SMALL_BYTES`` come from that.
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


# The programs. Each is given ``path``, ``cleaned``, ``rejects``, ``listed`` (the suppression list), and ``rules``, and
# sets ``counts`` to the numbers of valid, rejected, duplicate, and suppressed rows.

_CHECK = """
from airflow_provider_queuecalls.contacts import ContactRules, check, results
if store:
    results.SMALL_BYTES = {"memory": 1 << 60, "duckdb": -1}[store]
if rules.pop("suppress", None):
    rules["suppress"] = [listed]
with check(path, ContactRules(on_invalid="skip", duplicates="drop", **rules), rejects_path=rejects) as checked:
    report = checked.report
counts = report.valid, report.rejected, report.duplicates, report.suppressed
digest = report.digest
"""
_PLAIN = r"""
import csv, re
number = re.compile("1[2-9][0-9]{2}[2-9][0-9]{6}")
written = re.compile(
    r"(?:\+?1[ .-]{0,3})?(?:\(([2-9][0-9]{2})\)|([2-9][0-9]{2}))[ .-]{0,3}([2-9][0-9]{2})[ .-]{0,3}([0-9]{4})"
)
header, normalize = "has_header" in rules, "normalize" in rules
suppressed = set()
if "suppress" in rules:
    with open(listed) as file:
        suppressed.update(line.rstrip("\n") for line in file)
valid = rejected = duplicates = suppressed_rows = 0
seen = set()
with (
    open(path, newline="", encoding="utf-8") as file,
    open(cleaned, "w", newline="", encoding="utf-8") as sent,
    open(rejects, "w", newline="", encoding="utf-8") as bad,
):
    write, reject = csv.writer(sent, lineterminator="\n").writerow, csv.writer(bad, lineterminator="\n").writerow
    rows = csv.reader(file)
    reject(["line", "reason", *(next(rows) if header else ["phone_number", "message_reference", "call_parameter"])])
    for line, row in enumerate(rows, 2 if header else 1):
        cells, reason = [row[2], row[0], row[1]] if header else row[:], None
        if normalize and (match := written.fullmatch(cells[0].strip(" "))):
            cells[0] = "1" + "".join(part for part in match.groups() if part)
        if not 1 <= len(cells) <= 3:
            reason = "too_many_cells"
        elif not number.fullmatch(cells[0]):
            reason = "invalid_number"
        elif len(cells) > 1 and len(cells[1].encode()) > 128:
            reason = "message_reference_too_long"
        elif len(cells) > 2 and len(cells[2].encode()) > 255:
            reason = "call_parameter_too_long"
        elif cells[0] in suppressed:
            reason = "suppressed"
            suppressed_rows += 1
        elif cells[0] in seen:
            reason = "duplicate"
            duplicates += 1
        if reason is None:
            seen.add(cells[0])
            valid += 1
            write(cells)
        else:
            rejected += reason not in ("suppressed", "duplicate")
            reject([line, reason, *("'" + cell if cell.startswith(("=", "+", "-", "@")) else cell for cell in row)])
counts = valid, rejected, duplicates, suppressed_rows
"""
_DUCKDB = """
import duckdb
header = "has_header" in rules
quote = '"' if "quoting" in rules else ""
names = ["phone_number", "message_reference", "call_parameter"]
if header:
    names = [*names[1:], names[0], "other"]
number = "phone_number"
if "normalize" in rules:
    ten = "regexp_replace(phone_number, '[^0-9]', '', 'g')"
    number = f"if(strlen(phone_number) <> 11 AND strlen({ten}) = 10, '1' || {ten}, if(starts_with(phone_number, '+'), {ten}, phone_number))"
suppressed = "false"
if "suppress" in rules:
    suppressed = f"number IN (SELECT n FROM read_csv('{listed}', header = false, columns = {{'n': 'VARCHAR'}}))"
connection = duckdb.connect()
connection.execute("SET enable_progress_bar = false")
connection.execute(f'''
    CREATE TABLE checked AS SELECT *, CASE
        WHEN NOT regexp_full_match(number, '1[2-9][0-9]{{2}}[2-9][0-9]{{6}}') THEN 'invalid_number'
        WHEN strlen(message_reference) > 128 THEN 'message_reference_too_long'
        WHEN strlen(call_parameter) > 255 THEN 'call_parameter_too_long'
        WHEN {suppressed} THEN 'suppressed' END AS reason
    FROM (SELECT row_number() OVER () + {int(header)} AS line, *, {number} AS number FROM read_csv($path,
        auto_detect = false, header = {header}, delim = ',', quote = '{quote}', escape = '{quote}',
        columns = { {name: 'VARCHAR' for name in names} }))
''', {"path": path})
connection.execute("CREATE TABLE firsts AS SELECT min(line) AS line FROM checked WHERE reason IS NULL GROUP BY number")
connection.execute(f'''COPY (SELECT number, message_reference, call_parameter FROM checked SEMI JOIN firsts USING (line)
    ORDER BY line) TO '{cleaned}' (FORMAT csv, HEADER false)''')
connection.execute(f'''COPY (SELECT line, coalesce(reason, 'duplicate') AS reason, {", ".join(names)} FROM checked
    ANTI JOIN firsts USING (line) ORDER BY line) TO '{rejects}' (FORMAT csv)''')
found = dict(connection.sql("SELECT reason, count(*) FROM checked GROUP BY reason").fetchall())
((valid,),) = connection.sql("SELECT count(*) FROM firsts").fetchall()
good, suppressed_rows = found.pop(None), found.pop("suppressed", 0)
counts = valid, sum(found.values()), good - valid, suppressed_rows
"""
_POLARS = """
import polars as pl
header = "has_header" in rules
names = ["phone_number", "message_reference", "call_parameter"]
if header:
    names = [*names[1:], names[0], "other"]
rows = pl.read_csv(path, has_header=header, new_columns=names, infer_schema=False, row_index_name="line",
    row_index_offset=1 + header, quote_char='"' if "quoting" in rules else None)
given = pl.col("phone_number")
if "normalize" in rules:
    ten = given.str.replace_all("[^0-9]", "")
    to_ten = (given.str.len_bytes() != 11) & (ten.str.len_bytes() == 10)
    given = pl.when(to_ten).then("1" + ten).when(given.str.starts_with("+")).then(ten).otherwise(given)
suppressed = pl.lit(False)
if "suppress" in rules:
    numbers = pl.read_csv(listed, has_header=False, new_columns=["n"], infer_schema=False)["n"]
    suppressed = pl.col("number").is_in(numbers.implode())
number, reason = pl.col("number"), pl.col("reason")
checked = rows.with_columns(number=given).with_columns(
    reason=pl.when(~number.str.contains("^1[2-9][0-9]{2}[2-9][0-9]{6}$")).then(pl.lit("invalid_number"))
    .when(pl.col("message_reference").str.len_bytes() > 128).then(pl.lit("message_reference_too_long"))
    .when(pl.col("call_parameter").str.len_bytes() > 255).then(pl.lit("call_parameter_too_long"))
    .when(suppressed).then(pl.lit("suppressed"))
)
valid_number = pl.when(reason.is_null()).then(number)
repeated = valid_number.is_not_null() & ~valid_number.is_first_distinct()
checked = checked.with_columns(reason=pl.when(repeated).then(pl.lit("duplicate")).otherwise(reason))
sent = checked.filter(reason.is_null()).select("number", "message_reference", "call_parameter")
sent.write_csv(cleaned, include_header=False)
bad = checked.filter(reason.is_not_null()).select("line", "reason", *names)
bad.write_csv(rejects)
found = dict(bad["reason"].value_counts().iter_rows())
duplicates, suppressed_rows = found.pop("duplicate", 0), found.pop("suppressed", 0)
counts = len(sent), sum(found.values()), duplicates, suppressed_rows
"""
PROGRAMS = {"check": _CHECK, "plain loop": _PLAIN, "DuckDB": _DUCKDB, "polars": _POLARS}
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
