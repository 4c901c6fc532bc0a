"""The command ``queuecalls split``: contact files for several campaigns, by calling hours and by size."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from airflow_provider_queuecalls.cli.check import add_rules, given_rules, option_help, progress_bar
from airflow_provider_queuecalls.contacts import ContactRules, check
from airflow_provider_queuecalls.contacts.split.parameters import CARRY_OVER, PARAMETERS, Split
from airflow_provider_queuecalls.contacts.split.parts import Files, assert_kept, has_zones, write_parts
from airflow_provider_queuecalls.contacts.split.spans import SpansCheck
from airflow_provider_queuecalls.exceptions import InvalidContactRules, InvalidContacts, Violation
from airflow_provider_queuecalls.parameters import show_path
from airflow_provider_queuecalls.stopping import StopRequest


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand ``split``, with an option for each parameter of a split and of the check."""
    text = "split a list into contact files for several campaigns, and send nothing"
    parser = commands.add_parser(
        "split",
        help=text,
        description=text,
        epilog="Exit code: 0 the files are written; 1 the list is not valid; 2 it could not be split.",
    )
    parser.add_argument("file", metavar="FILE", help="the contact file")
    parser.add_argument(
        "--folder",
        metavar="FOLDER",
        required=True,
        help="where to write the files; it is created, and has the files of one split",
    )
    parser.add_argument(
        "--campaign-name", metavar="NAME", help="what the campaigns' names begin with; default is the name of FILE"
    )
    parser.add_argument(
        "--carry-over-path",
        metavar="OUT",
        help="write contacts whose hours do not begin today to this file, which is always replaced",
    )
    parser.add_argument("--rejects", metavar="OUT", dest="rejects_path", help="write the rejects to this CSV file")
    parser.add_argument(
        "--json", action="store_true", help="print the parameters of each campaign, as QueueCallsOperator takes them"
    )
    for parameter in PARAMETERS:
        default = "now" if parameter.name == "start" else None
        option = f"--{parameter.name.replace('_', '-')}"
        parser.add_argument(option, metavar="X", help=option_help(parameter, default))
    add_rules(parser.add_argument_group("check"), defaults={"calling_hours": "none; required unless by='size'"})
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    rules = ContactRules(**given_rules(options))
    split = Split.read(vars(options), rules, int(time.time()))
    hours = SpansCheck.of(rules, split)
    sources = rules.files_read(options.file)
    files = Files()
    for parameter, location in (("folder", split.folder), ("carry_over_path", split.carry_over_path)):
        if location and "://" in location:
            rule = "on this machine; for a storage, use SplitContactsOperator"
            raise InvalidContactRules([Violation(parameter, "is a URL", rule, value=show_path(location))])
    assert_kept(split.carry_over_path, [*sources, ("The rejects file", split.rejects_path)], files)
    name = options.campaign_name or Path(options.file).stem
    try:
        with (
            progress_bar() as progress,
            check(options.file, rules, rejects_path=split.rejects_path, progress=progress, hours=hours) as checked,
        ):
            parts = write_parts(
                checked, split, hours, files, campaign_name=name, sources=sources, rules=rules, stop=StopRequest()
            )
            has_header = has_zones(checked)
    except InvalidContacts as error:
        if error.report is None:
            raise
        print(f"queuecalls: {error}", file=sys.stderr)
        return 1
    campaigns = [part.campaign(split.location(part.name), name, has_header=has_header) for part in parts]
    if options.json:
        called = [each for each, part in zip(campaigns, parts, strict=True) if part.name != CARRY_OVER]
        print(json.dumps(called))
    else:
        for part, campaign in zip(parts, campaigns, strict=True):
            print(f"{campaign['contacts']}: {part}")
    return 0
