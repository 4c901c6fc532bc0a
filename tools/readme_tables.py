"""Write the README's tables of parameters and connection fields from the code, or check that they are current.

    python tools/readme_tables.py [--check]

A table stands between ``<!-- table: NAME -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from airflow_provider_queuecalls.campaign import PARAMETERS
from airflow_provider_queuecalls.connection import FIELDS
from airflow_provider_queuecalls.contacts import PARAMETERS as CHECK_PARAMETERS
from airflow_provider_queuecalls.contacts import REASONS
from airflow_provider_queuecalls.sandbox.faults import FAULTS
from airflow_provider_queuecalls.sandbox.numbers import MAGIC_NUMBERS

README = Path(__file__).parents[1] / "README.md"


def campaign_table() -> str:
    """Every documented parameter: its name here and on the wire, its rule, and what it does."""
    return _table(
        ["parameter", "wire name", "takes", "what it does"],
        [
            [f"`{p.name}`", f"`{p.wire_name}`" if p.wire_name else "not known", p.rule, p.doc]
            for p in PARAMETERS
            if p.name not in ("login", "pin")
        ],
    )


def connection_table() -> str:
    """Every field of the Connection."""
    return _table(
        ["field", "takes", "default", "what it does"],
        [
            [
                f"{entry.label}" if entry.standard else f"extra `{entry.name}`",
                entry.rule,
                _default(entry.default),
                entry.doc,
            ]
            for entry in FIELDS
        ],
    )


def check_table() -> str:
    """Every parameter of the check."""
    return _table(
        ["parameter", "takes", "default", "what it does"],
        [
            [f"`{p.name}`", p.rule, f"`{p.default}`" if p.default or p.default is False else "", p.doc]
            for p in CHECK_PARAMETERS
        ],
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


def current(text: str) -> str:
    """Return the text with every table made anew."""
    for name, table in TABLES.items():
        text, count = re.subn(
            rf"(<!-- table: {name} -->\n).*?(<!-- end -->)",
            lambda match, table=table: f"{match[1]}{table()}\n{match[2]}",
            text,
            flags=re.DOTALL,
        )
        if count != 1:
            raise SystemExit(f"{README.name} has {count} places for the table {name!r}; it takes one")
    return text


def _default(value: object) -> str:
    shown = {None: "", True: "true", False: "false"}.get(value, value) if not isinstance(value, dict | float) else value
    return f"`{shown:g}`" if isinstance(shown, float) else f"`{shown}`" if shown else ""


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def main() -> None:
    """Write the tables, or with ``--check`` end with status 1 if one isn't current."""
    text = README.read_text(encoding="utf-8")
    if "--check" not in sys.argv[1:]:
        README.write_text(current(text), encoding="utf-8")
    elif text != current(text):
        raise SystemExit("README.md's tables are not current: make tables")


if __name__ == "__main__":
    main()
