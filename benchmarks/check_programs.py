"""The programs that ``benchmarks/check.py`` compares, as source code.

Each is given ``path``, ``cleaned``, ``rejects``, ``listed`` (the suppression list), and ``rules``, and sets ``counts`` to the
numbers of valid, rejected, duplicate, and suppressed rows.
"""

from __future__ import annotations

_CHECK = """
from airflow_provider_queuecalls.contacts import ContactRules, check
from airflow_provider_queuecalls.contacts.row_results import in_memory
if store:
    in_memory.SMALL_BYTES = {"memory": 1 << 60, "duckdb": -1}[store]
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
