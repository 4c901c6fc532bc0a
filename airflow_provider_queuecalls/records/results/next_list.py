"""Writes the contacts that were sent, joined with their results, as CSV, Parquet, or JSON lines.

A CSV file is a contact file with a header line and further columns. A campaign accepts it with ``has_header=True``, and with
the ``phone_format`` of the list that was sent. A cell of that list that has a comma is quoted, which needs ``quoting='allow'``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from airflow_provider_queuecalls.contacts.output.files import FORMULA_STARTS
from airflow_provider_queuecalls.contacts.rules import COLUMNS
from airflow_provider_queuecalls.exceptions import InvalidNextList, Violation
from airflow_provider_queuecalls.files.lines import ControlCharacters, write_row
from airflow_provider_queuecalls.files.writing import complete_file, unwritable
from airflow_provider_queuecalls.parameters import Parameter, ValueType, is_unset, show_path
from airflow_provider_queuecalls.records.results.joined_list import OUTPUT_COLUMNS, SELECTIONS, JoinedList
from airflow_provider_queuecalls.records.results.waiting import BY_NAME as WAIT
from airflow_provider_queuecalls.records.results.waiting import read_for_campaign
from airflow_provider_queuecalls.records.sent.entry import CampaignKey
from airflow_provider_queuecalls.stopping import StopRequest
from airflow_provider_queuecalls.value_types import CHOICE, type_name

Select: TypeAlias = Literal["all", "completed", "failed", "not_reached", "missing"]
OutputFormat: TypeAlias = Literal["csv", "parquet", "jsonl"]
_EXTENSIONS = {".csv": "csv", ".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl"}
#: The options of DuckDB's COPY statement.
_COPY_OPTIONS = {"parquet": "FORMAT parquet", "jsonl": "FORMAT json"}
_LINES_AT_ONCE = 1_000
#: At this ratio of difflib, a choice or a callee_type is taken for a misspelled name of ours.
_SIMILAR = 0.85
#: What would have to be quoted, or would make the row a reject.
_ESCAPED = re.compile(f'{ControlCharacters(",").in_text.pattern}|[,"]')
_NUMBER = re.compile(r"\+?[0-9]+")


def _select(value: object, _: Parameter) -> str:
    from difflib import get_close_matches

    if not isinstance(value, str):
        raise ValueError(type_name(value))
    folded = re.sub(r"[\s-]+", "_", value.strip().casefold())
    if value.strip() not in SELECTIONS and (meant := get_close_matches(folded, SELECTIONS, 1, _SIMILAR)):
        raise ValueError(f"is probably meant as {meant[0]!r}")
    return value.strip()


def can_select(choice: str) -> bool:
    """Whether ``select`` can name a choice. It takes the name of another selection, and one that is similar, for that selection."""
    try:
        return _select(choice, BY_NAME["select"]) not in SELECTIONS
    except ValueError:
        return False


#: The parameters of a list that is joined with its results.
#:
#: :meta hide-value:
PARAMETERS: tuple[Parameter, ...] = (
    WAIT["queued"],
    WAIT["campaign_name"],
    Parameter(
        name="select", type=ValueType(f"{', '.join(map(repr, SELECTIONS))}, a choice, or a callee_type", _select), default_doc="``'all'``",
        doc="Which contacts to write, by their results. A value that renders to an empty string is an error.",
    ),
    Parameter(
        name="output_format", type=CHOICE, default_doc="by the extension of ``output``",
        choices={
            "csv": "a contact file with a header line",
            "parquet": "Apache Parquet",
            "jsonl": "one JSON object per line",
        },
        doc="How the file is written.",
    ),
)  # fmt: skip


BY_NAME = {parameter.name: parameter for parameter in PARAMETERS}


@dataclass(frozen=True)
class NextList:
    """Which contacts of which campaign are written. ``digest`` is that of the list that was sent, and ``span`` is when calls
    were made to it, with calling hours; None if they are not known."""

    campaign_key: str
    campaign_name: str
    select: str
    output_format: str | None
    digest: str | None = None
    span: tuple[int, int | None] | None = None


def read_next_list(values: Mapping[str, object], key_of: Callable[[str], CampaignKey]) -> NextList | None:
    """Read the values of :data:`PARAMETERS`, ``output``, ``output_table``, and ``output_conn_id``.

    ``key_of`` gives the key of a campaign that is known by its name. Returns None if nothing was sent, since ``queued``
    is the result of a dry run. Raises :class:`InvalidNextList` with all violations.
    """
    read, violations = read_for_campaign(PARAMETERS, values)
    is_given = {name: not is_unset(values.get(name)) for name in ("output", "output_table", "output_conn_id")}
    if read["select"] is None and "select" not in violations:
        violations["select"] = BY_NAME["select"].violation("is empty")
    if is_given["output"] == is_given["output_table"]:
        problem = "is given together with output_table" if is_given["output"] else "is missing"
        violations["output"] = Violation("output", problem, "a path or URL, unless output_table is given")
    elif "\0" in str(values.get("output")):
        violations["output"] = Violation("output", "has a NUL character", "a path or URL")
    if is_given["output_table"] != is_given["output_conn_id"]:
        rule = "the id of a connection to a database, together with output_table"
        problem = "is given without output_table" if is_given["output_conn_id"] else "is missing"
        violations["output_conn_id"] = Violation("output_conn_id", problem, rule)
    extension = os.path.splitext(str(values.get("output")).strip())[1].lower()
    output_format = read["output_format"] or _EXTENSIONS.get(extension)
    if is_given["output"] and output_format is None and "output_format" not in violations:
        problem = "is missing, and output has no extension that is known"
        violations["output_format"] = BY_NAME["output_format"].violation(problem)
    if is_given["output_table"] and not is_unset(values.get("output_format")):
        rule = "unset, because rows are written to output_table"
        violations["output_format"] = Violation("output_format", "has no effect here", rule)
    if violations:
        raise InvalidNextList(violations.values())
    queued = read["queued"] or {}
    if queued.get("dry_run"):
        return None
    name = read["campaign_name"]
    key = key_of(name).digest if name else queued["campaign_key"]
    start = queued.get("calls_from")
    span = (start, queued.get("expiration_timestamp")) if start else None
    return NextList(key, name or queued["campaign_name"], read["select"], output_format, queued.get("digest"), span)


def write_next_list(
    joined: JoinedList, select: str, path: str | os.PathLike[str], output_format: str, stop: StopRequest
) -> None:
    """Write the selected contacts to a file that only its owner can read. It gets its name when it is complete."""
    try:
        with complete_file(path) as partial:
            if output_format == "csv":
                with open(partial, "wb") as file:
                    for lines in _csv(joined.rows(select)):
                        stop.raise_if_requested()
                        file.write(lines)
            else:
                joined.copy(select, partial, _COPY_OPTIONS[output_format])
    except OSError as error:
        reason = error.strerror or type(error).__name__
        problem = f"The list {show_path(path)} cannot be written: {reason}. Nothing was written."
        raise unwritable(problem, error, " Choose another path.") from None


def _csv(rows: Iterable[tuple[Any, ...]]) -> Iterator[bytes]:
    """Yield the lines of a contact file, many at once.

    The cells of a contact are as they were sent. Those of a result come from outside, and are neither quoted nor a formula.
    """
    lines = [write_row(OUTPUT_COLUMNS)]
    for row in rows:
        contact, result = row[: len(COLUMNS)], row[len(COLUMNS) :]
        lines.append(write_row([*(cell or "" for cell in contact), *map(harmless_cell, result)]))
        if len(lines) >= _LINES_AT_ONCE:
            yield b"\n".join([*lines, b""])
            lines = []
    yield b"\n".join([*lines, b""])


def harmless_cell(value: str | int | None) -> str:
    """The cell of a value that comes from outside: neither quoted nor a formula."""
    if not isinstance(value, str):
        return "" if value is None else str(value)
    harmless = f"'{value}" if value.startswith(FORMULA_STARTS) else value
    return _ESCAPED.sub(lambda match: f"\\x{ord(match[0]):02x}", harmless)


def result_cell(value: str | int | None) -> str:
    """As :func:`harmless_cell`, for a file of results: a phone number keeps its plus, which makes no formula of it."""
    return value if isinstance(value, str) and _NUMBER.fullmatch(value) else harmless_cell(value)
