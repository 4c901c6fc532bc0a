"""Write what is made of the tables of parameters, or check that it is current.

    python tools/tables.py [--check]

Tables of the documentation stand between ``<!-- table: NAME -->`` and ``<!-- end -->``, in one place of one page. The
docstrings of public classes have a ``:param NAME:`` for each of their parameters; those whose name is in a table are
written here, and all others are left as they are.
"""

from __future__ import annotations

import ast
import re
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from airflow_provider_queuecalls._airflow.alarms import PARAMETERS as ALARM_PARAMETERS
from airflow_provider_queuecalls._airflow.question import PARAMETERS as QUESTION_PARAMETERS
from airflow_provider_queuecalls.client.campaign import BY_NAME as CAMPAIGN
from airflow_provider_queuecalls.client.campaign import PARAMETERS, START_LATE, Campaign
from airflow_provider_queuecalls.client.connection import FIELDS
from airflow_provider_queuecalls.contacts import PARAMETERS as CHECK_PARAMETERS
from airflow_provider_queuecalls.contacts import REASONS
from airflow_provider_queuecalls.contacts.row_results.call_limit import PARAMETERS as LIMIT_PARAMETERS
from airflow_provider_queuecalls.contacts.split.parameters import PARAMETERS as SPLIT_PARAMETERS
from airflow_provider_queuecalls.get_provider_info import get_provider_info
from airflow_provider_queuecalls.parameters import Parameter
from airflow_provider_queuecalls.records.call_results import FIELDS as RESULT_FIELDS
from airflow_provider_queuecalls.records.results.next_list import PARAMETERS as NEXT_LIST_PARAMETERS
from airflow_provider_queuecalls.records.results.waiting import PARAMETERS as WAIT_PARAMETERS
from airflow_provider_queuecalls.sandbox.faults import FAULTS
from airflow_provider_queuecalls.sandbox.numbers import MAGIC_NUMBERS
from airflow_provider_queuecalls.voice.speech import PARAMETERS as SPEECH_PARAMETERS
from airflow_provider_queuecalls.voice.speech import SPEAK

ROOT = Path(__file__).parents[1]


def campaign_table() -> str:
    """Every parameter of a campaign: its name here and on the wire, how that is known, its rule, and what it does."""
    rows = [
        [
            f"`{p.name}`",
            f"`{p.wire_name}`" if p.wire_name else "not known",
            p.name_evidence,
            _rule(p),
            _default(p),
            p.doc,
        ]
        for p in PARAMETERS
        if p.name not in ("login", "pin")
    ]
    rows.append([f"`{START_LATE.name}`", "not sent", "", _rule(START_LATE), _default(START_LATE), START_LATE.doc])
    return _table(["parameter", "form field", "evidence", "accepts", "default", "what it does"], rows)


def connection_table() -> str:
    """Every field of the Connection."""
    return _table(
        ["field", "accepts", "default", "what it does"],
        [
            [f"{entry.label}" if entry.standard else f"extra `{entry.name}`", _rule(entry), _default(entry), entry.doc]
            for entry in FIELDS
        ],
    )


def configuration_table() -> str:
    """Every option of the sections in Airflow's configuration."""
    rows = [
        [
            f"`{name}`",
            f"`AIRFLOW__{section.upper()}__{name.upper()}`",
            f"`{option['default']}`" if option["default"] else "not set",
            option["description"],
        ]
        for section, content in get_provider_info()["config"].items()
        for name, option in content["options"].items()
    ]
    return _table(["option", "environment variable", "default", "what it is"], rows)


def check_table() -> str:
    """Every parameter of the check."""
    return _table(
        ["parameter", "accepts", "default", "what it does"],
        [[f"`{p.name}`", _rule(p), _default(p), p.doc] for p in CHECK_PARAMETERS],
    )


def speech_table() -> str:
    """Every setting in ``speak``."""
    return _table(
        ["setting", "accepts", "default", "what it does"],
        [[f"`{p.name}`", _rule(p), _default(p), p.doc] for p in SPEECH_PARAMETERS],
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


def results_table() -> str:
    """Every field of a call's result."""
    return _table(
        ["field", "accepts", "what it is", "evidence"],
        [[f"`{f.name}`", f.rule, f.doc, f.evidence] for f in RESULT_FIELDS],
    )


TABLES = {
    "results": results_table,
    "campaign": campaign_table,
    "check": check_table,
    "reasons": reasons_table,
    "connection": connection_table,
    "configuration": configuration_table,
    "speech": speech_table,
    "numbers": numbers_table,
    "faults": faults_table,
}


_ENTRY = re.compile(r"^ +:param (\w+):.*\n(?: {8,}\S.*\n)*", re.MULTILINE)


def _check(**own: dict[str, Any]) -> list[Parameter]:
    """Return the parameters of the check for an operator that sends nothing, with its own words about some of them."""
    return [replace(parameter, **own.get(parameter.name, {})) for parameter in CHECK_PARAMETERS]


_EMPTY = "A value that renders to an empty string is an error."


#: The public classes with parameters that are declared in a table: file and class, with the parameters in order.
_CAMPAIGN = [CAMPAIGN[name] for name in Campaign.names() if name in CAMPAIGN]
#: An operator makes the script itself with ``speak``.
_SCRIPT = [replace(CAMPAIGN["start_url"], required=False, default_doc="none; give it or speak"), SPEAK]
DOCUMENTED = {
    ("client/campaign.py", "Campaign"): _CAMPAIGN,
    ("contacts/rules.py", "ContactRules"): CHECK_PARAMETERS,
    ("voice/speech.py", "Speech"): SPEECH_PARAMETERS,
    ("operators/queuecalls.py", "QueueCallsOperator"): [
        *_SCRIPT,
        *(each for each in _CAMPAIGN if each.name != "start_url"),
        *CHECK_PARAMETERS,
        *LIMIT_PARAMETERS,
        *QUESTION_PARAMETERS,
    ],
    ("operators/call_results.py", "CallResultsOperator"): [
        *NEXT_LIST_PARAMETERS,
        *_check(
            suppress_max_age={
                "doc": f"Has no effect: the suppression lists were new enough when the list was sent. {_EMPTY}"
            },
            calling_hours={
                "doc": f"The same hours as in the task that sent the list: contacts who were outside them are left out. {_EMPTY}"
            },
        ),
    ],
    ("operators/split_contacts.py", "SplitContactsOperator"): [
        *SPLIT_PARAMETERS,
        *_check(
            calling_hours={
                "doc": f"The hours in which people may be called, by their own clocks. Each file gets a span that is within them. {_EMPTY}",
                "default_doc": "none; required unless by='size'",
            }
        ),
    ],
    ("sensors/queuecalls.py", "QueueCallsResultsSensor"): WAIT_PARAMETERS,
    ("notifications/queuecalls.py", "QueueCallsNotifier"): ALARM_PARAMETERS,
}


def current(pages: dict[Path, str]) -> dict[Path, str]:
    """Return the pages' texts with every table made anew."""
    for name, table in TABLES.items():
        pattern = re.compile(rf"(<!-- table: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        places = [page for page, text in pages.items() for _ in pattern.finditer(text)]
        if len(places) != 1:
            raise SystemExit(f"README.md and docs/ have {len(places)} places for the table {name!r}; it takes one")
        made = f"{table()}\n"
        pages = {page: pattern.sub(partial(_put, made), text) for page, text in pages.items()}
    return pages


def documented(source: str, name: str, parameters: Sequence[Parameter]) -> str:
    """Return a module's source in which the docstring of one class has a current ``:param`` for each parameter.

    An entry that is there already stays where it is; a new one comes after the last entry.
    """
    (node,) = (each for each in ast.parse(source).body if isinstance(each, ast.ClassDef) and each.name == name)
    lines = source.splitlines(keepends=True)
    start, end = node.body[0].lineno - 1, node.body[0].end_lineno
    entries = {parameter.name: _entry(parameter) for parameter in parameters}
    docstring = _ENTRY.sub(lambda match: entries.pop(match[1], match[0]), "".join(lines[start:end]))
    missing = "".join(entries.values())
    if found := list(_ENTRY.finditer(docstring)):
        docstring = docstring[: found[-1].end()] + missing + docstring[found[-1].end() :]
    elif missing:
        docstring = docstring.removesuffix('    """\n') + f'\n{missing}    """\n'
    return "".join([*lines[:start], docstring, *lines[end:]])


def _entry(parameter: Parameter) -> str:
    """Return a parameter's ``:param``, indented as in the docstring of a class."""
    if parameter.choices:
        accepted = "; ".join(f"``{choice!r}``: {meaning}" for choice, meaning in parameter.choices.items())
    else:
        accepted = f"Accepts {parameter.rule}"
    is_literal = isinstance(parameter.default, str | bool) and not parameter.default_doc
    default = f"Default: {f'``{parameter.default!r}``' if is_literal else parameter.default_text}"
    return textwrap.fill(
        f":param {parameter.name}: {parameter.doc} {accepted}. {'Required' if parameter.required else default}.", 120,
        initial_indent=" " * 4, subsequent_indent=" " * 8, break_on_hyphens=False, break_long_words=False,
    ) + "\n"  # fmt: skip


def _default(parameter: Parameter) -> str:
    words = parameter.default_text
    return words if parameter.default_doc or not words else f"`{words}`"


def _rule(parameter: Parameter) -> str:
    return f"{parameter.rule}; required" if parameter.required else parameter.rule


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _put(made: str, match: re.Match[str]) -> str:
    return match[1] + made + match[2]


def main() -> None:
    """Write the tables, or with ``--check`` end with status 1 if one isn't current."""
    paths = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    before = {path: path.read_text(encoding="utf-8") for path in paths}
    after = current(before)
    for (path, name), parameters in DOCUMENTED.items():
        module = ROOT / "airflow_provider_queuecalls" / path
        before[module] = module.read_text(encoding="utf-8")
        after[module] = documented(before[module], name, parameters)
    stale = {path: text for path, text in after.items() if text != before[path]}
    if "--check" not in sys.argv[1:]:
        for file, text in stale.items():
            file.write_text(text, encoding="utf-8")
    elif stale:
        raise SystemExit(f"{', '.join(str(path.relative_to(ROOT)) for path in stale)}: not current: run make tables")


if __name__ == "__main__":
    main()
