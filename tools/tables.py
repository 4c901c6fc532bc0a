"""Write the tables that are made from the code into README and documentation, or check that they are current.

    python tools/tables.py [--check]

A table stands between ``<!-- table: NAME -->`` and ``<!-- end -->``, in one place of one page.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from airflow_provider_queuecalls.client.campaign import PARAMETERS
from airflow_provider_queuecalls.client.connection import FIELDS
from airflow_provider_queuecalls.contacts import PARAMETERS as CHECK_PARAMETERS
from airflow_provider_queuecalls.contacts import REASONS
from airflow_provider_queuecalls.parameters import Parameter
from airflow_provider_queuecalls.sandbox.faults import FAULTS
from airflow_provider_queuecalls.sandbox.numbers import MAGIC_NUMBERS

ROOT = Path(__file__).parents[1]


def campaign_table() -> str:
    """Every documented parameter: its name here and on the wire, its rule, and what it does."""
    return _table(
        ["parameter", "wire name", "accepts", "what it does"],
        [
            [f"`{p.name}`", f"`{p.wire_name}`" if p.wire_name else "not known", _rule(p), p.doc]
            for p in PARAMETERS
            if p.name not in ("login", "pin")
        ],
    )


def connection_table() -> str:
    """Every field of the Connection."""
    return _table(
        ["field", "accepts", "default", "what it does"],
        [
            [
                f"{entry.label}" if entry.standard else f"extra `{entry.name}`",
                _rule(entry),
                f"`{entry.default_words}`" if entry.default_words else "",
                entry.doc,
            ]
            for entry in FIELDS
        ],
    )


def check_table() -> str:
    """Every parameter of the check."""
    return _table(
        ["parameter", "accepts", "default", "what it does"],
        [[f"`{p.name}`", p.rule, p.default_words, p.doc] for p in CHECK_PARAMETERS],
    )


def reasons_table() -> str:
    """Every reason to leave a row out, in the order in which they are looked for."""
    return _table(["reason", "what it is"], [[f"`{reason}`", words] for reason, words in REASONS.items()])


def numbers_table() -> str:
    """The phone numbers whose calls end as documented, in the sandbox."""
    return _table(["number", "what happens"], [[magic.ending, magic.doc] for magic in MAGIC_NUMBERS])


def faults_table() -> str:
    """What can go wrong on purpose in the sandbox."""
    rows = [[f"`{fault.name}`", fault.doc, fault.outcome.value] for fault in FAULTS]
    return _table(["fault", "what the sandbox does", "outcome"], rows)


TABLES = {
    "campaign": campaign_table,
    "check": check_table,
    "reasons": reasons_table,
    "connection": connection_table,
    "numbers": numbers_table,
    "faults": faults_table,
}


def current(pages: dict[Path, str]) -> dict[Path, str]:
    """Return the pages' texts with every table made anew."""
    for name, table in TABLES.items():
        pattern = re.compile(rf"(<!-- table: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        places = [page for page, text in pages.items() for _ in pattern.finditer(text)]
        if len(places) != 1:
            raise SystemExit(f"README.md and docs/ have {len(places)} places for the table {name!r}; it takes one")
        made = f"{table()}\n"
        pages = {
            page: pattern.sub(lambda match, made=made: match[1] + made + match[2], text) for page, text in pages.items()
        }
    return pages


def _rule(parameter: Parameter) -> str:
    return f"{parameter.rule}; required" if parameter.required else parameter.rule


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def main() -> None:
    """Write the tables, or with ``--check`` end with status 1 if one isn't current."""
    paths = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    pages = {path: path.read_text(encoding="utf-8") for path in paths}
    stale = {path: text for path, text in current(pages).items() if text != pages[path]}
    if "--check" not in sys.argv[1:]:
        for path, text in stale.items():
            path.write_text(text, encoding="utf-8")
    elif stale:
        raise SystemExit(
            f"{', '.join(str(path.relative_to(ROOT)) for path in stale)}: tables are not current: make tables"
        )


if __name__ == "__main__":
    main()
