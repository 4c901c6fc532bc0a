"""The command ``queuecalls check``: the same check, for a person at a terminal or a script."""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

from airflow_provider_queuecalls.cli.terminal import console
from airflow_provider_queuecalls.contacts import PARAMETERS, REASONS, ContactRules, Report, check
from airflow_provider_queuecalls.contacts.row_results.call_limit import PARAMETERS as LIMIT_PARAMETERS
from airflow_provider_queuecalls.contacts.row_results.call_limit import LimitCheck
from airflow_provider_queuecalls.exceptions import InvalidContactRules, InvalidContacts, Violation
from airflow_provider_queuecalls.files.duckdb_session import LEAST_MEMORY, MEMORY_LIMIT
from airflow_provider_queuecalls.parameters import Parameter, read_or_raise, read_values
from airflow_provider_queuecalls.progress import Progress
from airflow_provider_queuecalls.stopping import StopRequest
from airflow_provider_queuecalls.value_types import TIMESTAMP

CLEAN, NOT_CLEAN = 0, 1
#: The span of time in which calls are to be made.
SPAN = (
    Parameter(name="from", type=TIMESTAMP, doc="When calls may start, for the calling hours."),
    Parameter(name="until", type=TIMESTAMP, doc="When calls end."),
)
#: Bytes of files that take long enough for a progress bar.
LONG_FILES = 100 << 20


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand ``check``, with an option for each parameter of the check."""
    text = "check a contact file as the operator does, and send nothing"
    parser = commands.add_parser(
        "check",
        help=text,
        description=text,
        epilog="Exit code: 0 the file can be sent, and no row is rejected; 1 a row is rejected, even with --on-invalid skip, or the "
        "file breaks another rule; 2 the file cannot be checked, or an option is not valid.",
    )
    parser.add_argument("file", metavar="FILE", help="the contact file")
    add_rules(parser)
    add_limit(parser, "no limit")
    add_span(parser, "the latest time that is right for all rows")
    parser.add_argument("--rejects", metavar="OUT", help="write the rejects to this CSV file")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--memory-limit",
        type=int,
        default=MEMORY_LIMIT,
        metavar="MIB",
        help=f"memory that the check may use, in MiB, at least {LEAST_MEMORY} (%(default)s); enough for files of any size",
    )
    parser.set_defaults(run=_run, extra="results")


def add_rules(
    parser: argparse._ActionsContainer, without: Collection[str] = (), defaults: Mapping[str, str] | None = None
) -> None:
    """Add an option for each parameter of the check, except those that have no effect on the command.

    ``defaults`` are the texts of defaults that differ from those of the operator.
    """
    for parameter in (each for each in PARAMETERS if each.name not in without):
        option = f"--{parameter.name.replace('_', '-')}"
        if parameter.default is False:
            parser.add_argument(option, action="store_true", help=parameter.doc)
        else:
            text = option_help(parameter, (defaults or {}).get(parameter.name))
            parser.add_argument(option, action="append", metavar="X", help=text)


def add_limit(parser: argparse._ActionsContainer, default: str | None = None) -> None:
    """Add the option for how often a number may be called."""
    (limit,) = LIMIT_PARAMETERS
    parser.add_argument("--max-per-period", metavar="X", help=option_help(limit, default))


def option_help(parameter: Parameter, default: str | None = None) -> str:
    """What a parameter is and accepts, as it is written at a terminal: objects of Python are not, and others are options.

    ``default`` is the text of a default that differs from the operator's; an empty one is left out.
    """
    text = f"{_doc(parameter)} Accepts {parameter.rule}."
    if default is None:
        is_literal = isinstance(parameter.default, str) and not parameter.default_doc
        default = repr(parameter.default) if is_literal else parameter.default_text
    text = f"{text} Default: {default}." if default else text
    text = re.sub("a timedelta, |a datetime with a time zone, ", "", text)
    text = re.sub(
        r"\b(\w+)=(?:True|'(\w+)')", lambda match: f"--{match[1].replace('_', '-')} {match[2] or ''}".strip(), text
    )
    return text.replace("%", "%%")


def _doc(parameter: Parameter) -> str:
    """What a parameter is, without words that are about templates."""
    return parameter.doc.replace("A value that renders to an empty string", "An empty value")


def given_rules(options: argparse.Namespace) -> dict[str, Any]:
    """The parameters of the check among the options. An option that is given several times has a list of values."""
    given = {parameter.name: getattr(options, parameter.name, None) for parameter in PARAMETERS}
    return {name: value[0] if isinstance(value, list) and len(value) == 1 else value for name, value in given.items()}


def add_span(parser: argparse._ActionsContainer, default_end: str) -> None:
    """Add the options for the span of time in which calls are to be made."""
    for parameter, default in zip(SPAN, ("now", default_end), strict=True):
        parser.add_argument(
            f"--{parameter.name}", metavar="TIME", dest=f"span_{parameter.name}", help=option_help(parameter, default)
        )


def given_span(options: argparse.Namespace) -> tuple[int, int | None] | None:
    """The span of time among the options, in UNIX seconds. Raises :class:`InvalidContactRules` if it is not valid."""
    read, violations = read_values(
        SPAN, {parameter.name: getattr(options, f"span_{parameter.name}") for parameter in SPAN}
    )
    start, end = read["from"] or int(time.time()), read["until"]
    if not violations and end is not None and end <= start:
        violations["until"] = Violation("until", "is not later than the start", "later than --from")
    if violations:
        raise InvalidContactRules(violations.values())
    return (start, end) if any(read.values()) else None


def _assert_has_effect(options: argparse.Namespace) -> None:
    """Raise :class:`InvalidContactRules` for a span that nothing is compared with: the report would seem to say that all may be
    called then."""
    for name, needed in (("from", ("calling_hours", "max_per_period")), ("until", ("calling_hours",))):
        if getattr(options, f"span_{name}") is not None and not any(getattr(options, each) for each in needed):
            given = " or ".join(f"--{each.replace('_', '-')}" for each in needed)
            raise InvalidContactRules([Violation(name, "has no effect here", f"unset, or given together with {given}")])


def _run(options: argparse.Namespace) -> int:
    """Check a file and print the report. Returns 0 if the file can be sent and no row is rejected.

    A rejected row makes it 1, even if the rules allow it. Raises :class:`QueueCallsError` if there is no report: a
    file cannot be read, or the rules are not valid.
    """
    _assert_has_effect(options)
    problem, rules = "", ContactRules(**given_rules(options))
    start, end = given_span(options) or (None, None)
    hours = rules.hours_check(start, end)
    span = (start, hours.last_end if hours else end)
    memory_limit = options.memory_limit
    try:
        with (
            progress_bar() as progress,
            _limit(options.max_per_period, span, memory_limit) as limit,
            check(
                options.file,
                rules,
                rejects_path=options.rejects,
                progress=progress,
                hours=hours,
                limit=limit,
                memory_limit=memory_limit,
            ) as checked,
        ):
            report = checked.report
    except InvalidContacts as error:
        if error.report is None:
            raise
        report, problem = error.report, str(error)
    if options.json:
        print(json.dumps(report.to_dict()))
    else:
        _print_table(report)
    if problem:
        print(problem.partition("\n")[0], file=sys.stderr)
    return NOT_CLEAN if problem or report.rejected else CLEAN


@contextmanager
def _limit(
    max_per_period: str | None, span: tuple[int | None, int | None], memory_limit: int
) -> Iterator[LimitCheck | None]:
    """How often numbers may be called, by the record in the results database; the environment says where that is."""
    read = read_or_raise(LIMIT_PARAMETERS, {"max_per_period": max_per_period}, InvalidContactRules)
    if max_per_period is None:
        yield None
        return
    from airflow_provider_queuecalls.cli.results import SECRET, database_url, from_environment
    from airflow_provider_queuecalls.records.database.called_numbers import CalledNumbers
    from airflow_provider_queuecalls.records.database.database import Database
    from airflow_provider_queuecalls.signed_url import read_secrets

    secrets = read_secrets(from_environment(SECRET))
    database = Database(database_url(), create=False)
    with (
        closing(CalledNumbers(database, read["max_per_period"], secrets, start=span[0], end=span[1])) as called,
        LimitCheck(called, memory_limit // 2, StopRequest()) as limit,
    ):
        yield limit


def _print_table(report: Report) -> None:
    from rich.table import Table

    table = Table("reason", "rows", "first line", "meaning", title=report.summary(), title_justify="left")
    for column in (1, 2):
        table.columns[column].justify = "right"
    for reason, count in report.reasons.items():
        table.add_row(reason, f"{count:,}", f"{report.first_lines[reason]:,}", REASONS[reason])
    terminal = console()
    terminal.print(table if report.reasons else report.summary())
    if report.zones:
        zones = Table("time zone", "rows", "outside hours")
        for column in (1, 2):
            zones.columns[column].justify = "right"
        for zone, counts in report.zones.items():
            zones.add_row(zone, *(f"{count:,}" for count in counts.values()))
        terminal.print(zones)


@contextmanager
def progress_bar(doing: str = "Checking") -> Iterator[Progress | None]:
    """A progress bar on standard error, if that is a terminal and the files are long."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich import progress
    from rich.console import Console

    columns = (doing, progress.BarColumn(), progress.TaskProgressColumn(), progress.TimeRemainingColumn())
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", visible=False)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, visible=total >= LONG_FILES)

        yield show
