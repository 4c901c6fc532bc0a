"""The command ``queuecalls hours``: a named set of calling hours, or when the contacts of a list may be called."""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_queuecalls.cli.check import add_rules, add_span, given_rules, given_span
from airflow_provider_queuecalls.cli.terminal import console, say
from airflow_provider_queuecalls.contacts import ContactRules, Report, check
from airflow_provider_queuecalls.contacts.hours.calling_hours import (
    CallingHours,
    Span,
    common_spans,
    entries,
    set_as_data,
    set_names,
)
from airflow_provider_queuecalls.exceptions import InvalidContacts
from airflow_provider_queuecalls.files.writing import unwritable
from airflow_provider_queuecalls.parameters import show_path
from airflow_provider_queuecalls.value_types import counted

if TYPE_CHECKING:
    from rich.table import Table

DAY, HOUR = 86_400, 3_600
#: The characters of a bar: open, open for a part of the time that one character stands for, closed.
OPEN, PARTLY, CLOSED = "█", "▒", "·"
CHARACTERS = 48


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand ``hours``."""
    sets = ", ".join(set_names())
    text = "show a named set of calling hours with its sources, or when the contacts of a list may be called"
    parser = commands.add_parser("hours", help=text, description=text)
    parser.add_argument("what", metavar="SET|FILE", help=f"the name of a set ({sets}), or a contact file")
    parser.add_argument("--json", action="store_true", help="print JSON; that of a set is accepted as calling_hours")
    parser.add_argument("--svg", metavar="OUT", help="write the chart to this file as well")
    add_span(parser, "24 hours later")
    add_rules(parser, without=("on_invalid", "max_rejects", "on_empty"), defaults={"calling_hours": "'08:00-21:00'"})
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    if options.what in set_names():
        return _show_set(options.what, as_json=options.json)
    if re.fullmatch("[a-z-]+", options.what) and not Path(options.what).exists():
        raise InvalidContacts(
            f"{options.what!r} is neither a contact file nor the name of a set: {', '.join(set_names())}."
        )
    rules = ContactRules(**{"calling_hours": "08:00-21:00", **_given(options), "on_invalid": "skip"})
    start, end = given_span(options) or (int(time.time()) // HOUR * HOUR, None)
    span = Span(start, end or start + DAY)
    report = _report(options.what, rules, span)
    groups = list(_groups(report, rules.calling_hours, span))
    if options.json:
        print(json.dumps([{"zone": name, "contacts": count, "open": opened} for name, count, opened in groups]))
    else:
        _print(_chart(groups, span), options.svg)
    if unread := report.contacts - sum(count.contacts for count in report.places.values()):
        say(
            f"{counted(unread, 'row')} without a valid phone number {'is' if unread == 1 else 'are'} left out. "
            "'queuecalls check' says what is wrong."
        )
    return 0


def _given(options: argparse.Namespace) -> dict[str, Any]:
    return {name: value for name, value in given_rules(options).items() if value is not None}


def _show_set(name: str, *, as_json: bool) -> int:
    from rich.table import Table

    if as_json:
        print(json.dumps(set_as_data(name), indent=2))
        return 0
    table = Table("region", "days", "hours", "source", "looked up", title=f"{name}: not legal advice")
    for entry in entries():
        if entry.name == name:
            table.add_row(entry.region, entry.days, entry.hours, entry.source, entry.looked_up)
    _print(table)
    return 0


def _report(path: str, rules: ContactRules, span: Span) -> Report:
    try:
        with check(path, rules, hours=rules.hours_check(*span)) as checked:
            return checked.report
    except InvalidContacts as error:
        if error.report is None or not error.report.places:
            raise
        found: Report = error.report
        return found


def _groups(report: Report, hours: CallingHours, span: Span) -> Iterator[tuple[str, int, Sequence[Span]]]:
    """The contacts by zone and by the times at which they may be called, and in the end the times that are right for all."""
    by_hours: dict[tuple[str, Sequence[Span]], tuple[int, list[str]]] = {}
    common = [span]
    for place, count in report.places.items():
        opened = tuple(hours.openings(place, *span))
        contacts, regions = by_hours.get((str(place), opened), (0, []))
        by_hours[str(place), opened] = contacts + count.contacts, [*regions, *place.regions]
        if place.zones:
            common = common_spans(common, opened)
    zones = [zone for zone, _ in by_hours]
    for (zone, times), (contacts, regions) in by_hours.items():
        which = f" ({', '.join(sorted(set(regions)))})" if zones.count(zone) > 1 else ""
        yield f"{zone}{which}", contacts, times
    yield "all known zones", sum(count.contacts for place, count in report.places.items() if place.zones), common


def _chart(groups: Iterable[tuple[str, int, Sequence[Span]]], span: Span) -> Table:
    """A bar for each group. A character stands for the same part of the span."""
    from rich.table import Table

    start, end = (f"{datetime.fromtimestamp(moment, timezone.utc):%a %Y-%m-%d %H:%M} UTC" for moment in span)
    scale = f"{start}{end:>{max(CHARACTERS - len(start), len(end) + 1)}}"
    table = Table("time zone", "contacts", scale)
    table.columns[0].overflow = "fold"
    table.columns[1].justify = "right"
    table.columns[2].no_wrap = True
    for name, count, opened in groups:
        table.add_row(name.replace("America/", ""), f"{count:,}", _bar(opened, span))
    return table


def _bar(opened: Sequence[Span], span: Span) -> str:
    length = (span.end - span.start) / CHARACTERS
    parts = [(span.start + number * length, span.start + (number + 1) * length) for number in range(CHARACTERS)]
    shares = [sum(max(0, min(each.end, end) - max(each.start, start)) for each in opened) for start, end in parts]
    return "".join(OPEN if share >= length * 0.999 else PARTLY if share else CLOSED for share in shares)


def _print(table: Table, svg: str | None = None) -> None:
    terminal = console(record=svg is not None)
    terminal.print(table)
    if svg is not None:
        picture = terminal.export_svg(title="queuecalls hours")
        # Without the fonts, which a browser would fetch from elsewhere.
        picture = re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)
        try:
            Path(svg).write_text(picture, encoding="utf-8")
        except OSError as error:
            problem = f"The chart cannot be written to {show_path(svg)}: {error.strerror}."
            raise unwritable(problem, error, " Choose another file.") from None
