"""The command ``queuecalls records``: what was sent, and a person's answer where the outcome is not known."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_queuecalls.cli.terminal import console
from airflow_provider_queuecalls.exceptions import QueueCallsError
from airflow_provider_queuecalls.records.sent.entry import OUTCOMES, Entry, State
from airflow_provider_queuecalls.records.sent.ledger import Ledger

if TYPE_CHECKING:
    from airflow_provider_queuecalls.records.sent.stores import Store

FAILED = 2


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand ``records`` and its own subcommands."""
    text = "manage the records of what was sent"
    parser = commands.add_parser("records", help=text, description=text)
    subparsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add in (_add_init, _add_list, _add_show, _add_resolve):
        add(subparsers)


def _add_init(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "make a folder for records on this machine"
    parser = commands.add_parser(
        "init", help=text,
        description=f"{text}, once. The command puts a marker file into the folder, so that an unmounted share is not taken for an "
        "empty one.",
    )  # fmt: skip
    parser.add_argument("folder", metavar="FOLDER", type=_folder, help="path of a folder that is new or empty")
    parser.add_argument("--group", action="store_true", help="let the folder's Unix group read and write all records")
    parser.set_defaults(run=_run_init)


def _folder(text: str) -> Path:
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty; it must be the path of a folder")
    if "://" in text:
        raise argparse.ArgumentTypeError(f"{text!r} is a URL, which needs no init; FOLDER must be a path")
    return Path(text).expanduser().absolute()


def _run_init(options: argparse.Namespace) -> int:
    from airflow_provider_queuecalls.records.sent.stores import LocalStore, UnusableFolder, init_folder

    folder: Path = options.folder
    store = LocalStore(folder, "any")
    try:
        init_folder(folder, group=options.group)
        store.probe()
    except (OSError, UnusableFolder) as error:
        print(f"queuecalls: {folder} cannot be used for records: {store.problem(error)}", file=sys.stderr)
        return FAILED
    print(
        f"{folder} is ready for records. To use it: export AIRFLOW__QUEUECALLS__RECEIPTS_PATH={shlex.quote(str(folder))}"
    )
    return 0


def _add_list(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "list all records in a folder"
    parser = commands.add_parser("list", help=text, description=text)
    _add_receipts(parser)
    parser.set_defaults(run=_run_list)


def _add_show(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "show the record of one campaign, and what to do about it"
    parser = commands.add_parser("show", help=text, description=text)
    _add_campaign(parser)
    parser.set_defaults(run=_run_show)


def _add_resolve(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "record whether a campaign with an unknown outcome was queued"
    parser = commands.add_parser(
        "resolve", help=text,
        description=f"{text}. Look for it in the vendor's campaign manager first. Then clear the task: it returns the result "
        "of the queued campaign, or sends the campaign once.",
    )  # fmt: skip
    _add_campaign(parser)
    decision = parser.add_mutually_exclusive_group(required=True)
    decision.add_argument("--queued", action="store_true", help="the campaign is at the service")
    decision.add_argument("--not-queued", action="store_true", help="the campaign is not at the service")
    parser.add_argument("--calls", type=_count, metavar="N", help="how many calls the campaign has, with --queued (0)")
    parser.add_argument("--by", metavar="WHO", help="who checked it (the user who runs the command)")
    parser.add_argument(
        "--force", action="store_true", help="accept --not-queued although the request may still be under way"
    )
    parser.set_defaults(run=_run_resolve)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is not valid; it must be a whole number from 0")
    return int(text)


def _add_receipts(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--receipts",
        metavar="PATH_OR_URL",
        help="the folder, or 'database' for the results database ([queuecalls] receipts_path of Airflow's configuration)",
    )


def _add_campaign(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?", help="the campaign's name, or that of its folder")
    _add_receipts(parser)
    parser.add_argument(
        "--task", nargs=4, metavar=("DAG_ID", "RUN_ID", "TASK_ID", "MAP_INDEX"),
        help="a task that keeps its record in its own state, instead of NAME; run this where Airflow's database can be "
        "reached; MAP_INDEX is -1 for a task that is not mapped",
    )  # fmt: skip


def _stores(options: argparse.Namespace) -> list[tuple[str, Store]]:
    from airflow_provider_queuecalls._airflow.receipts import stores_at, task_stores

    if not options.task:
        return stores_at(options.receipts, options.name)
    dag_id, run_id, task_id, index = options.task
    try:
        map_index = int(index)
    except ValueError:
        raise QueueCallsError(
            f"MAP_INDEX is {index!r}; it must be a whole number, or -1 for a task that is not mapped."
        ) from None
    return task_stores(dag_id, run_id, task_id, map_index)


def _one(options: argparse.Namespace) -> tuple[Ledger, int, Entry]:
    """The only record that the options mean."""
    from airflow_provider_queuecalls._airflow.results import first_result
    from airflow_provider_queuecalls.records.sent.resolving import ledger_of

    if (options.name is None) == (options.task is None):
        raise QueueCallsError("Name one campaign, or its task with --task.")
    if not (found := _stores(options)):
        raise QueueCallsError("This task has no record in its state. Check DAG_ID, RUN_ID, TASK_ID, and MAP_INDEX.")
    if len(found) > 1:
        names = "".join(f"\n  {shlex.quote(name)}" for name, _ in found)
        raise QueueCallsError(f"{len(found)} records have this name. Use that of its folder:{names}")
    ((name, store),) = found
    ledger = ledger_of(store, name, first_result)
    generation, entry = ledger.read()
    if entry is None:
        raise QueueCallsError(f"Nothing is on record for campaign {ledger.campaign_name!r}.")
    return ledger, generation, entry


def _run_list(options: argparse.Namespace) -> int:
    from rich.table import Table

    from airflow_provider_queuecalls._airflow.receipts import stores_at
    from airflow_provider_queuecalls.records.sent.resolving import ledger_of

    table, damaged = Table("campaign", "outcome", "contacts", "started", "service"), list[str]()
    for name, store in stores_at(options.receipts):
        try:
            _, entry = ledger_of(store, name, lambda _: None).read()
        except QueueCallsError as error:
            damaged.append(str(error))
            continue
        if entry is not None:
            by = f" (recorded by {entry.resolved_by})" if entry.resolved_by else ""
            outcome = f"{OUTCOMES[entry.state]}{by}"
            table.add_row(entry.campaign_name, outcome, f"{entry.contacts:,}", entry.started_at, entry.service)
    console().print(table)
    for problem in damaged:
        print(problem, file=sys.stderr)
    return FAILED if damaged else 0


def _run_show(options: argparse.Namespace) -> int:
    ledger, _, entry = _one(options)
    shown = {
        "campaign": entry.campaign_name, "outcome": OUTCOMES[entry.state], "service": entry.service,
        "contacts": f"{entry.contacts:,}", "digest": entry.digest,
        "started": f"{entry.started_at} by try {entry.try_number} on host {entry.host}", "queued": entry.queued_at,
        "decided": entry.resolved_by and f"by {entry.resolved_by} at {entry.resolved_at}",
    }  # fmt: skip
    print("".join(f"{name + ':':10}{value}\n" for name, value in shown.items() if value), end="")
    if entry.state is State.COMPLETE:
        print(f"{ledger.hint(entry)}\n{ledger.how_to_resolve}".strip())
    return 0


def _run_resolve(options: argparse.Namespace) -> int:
    from airflow_provider_queuecalls._airflow.results import update_campaign_row
    from airflow_provider_queuecalls.records.sent.resolving import resolve
    from airflow_provider_queuecalls.records.sent.stores import user_name

    if options.not_queued and options.calls is not None:
        raise QueueCallsError("--calls is the number of calls of a queued campaign. Leave it out with --not-queued.")
    ledger, generation, entry = _one(options)
    name = entry.campaign_name
    if entry.state is not State.COMPLETE:
        raise QueueCallsError(
            f"According to its record, campaign {name!r} is {OUTCOMES[entry.state]}. There is nothing to resolve."
        )
    by = options.by or user_name(os.getuid())
    calls = options.calls or 0
    update_campaign_row(resolve(ledger, generation, queued=options.queued, by=by, calls=calls, force=options.force))
    then = "returns its result" if options.queued else "sends it once"
    print(
        f"Campaign {name!r} is now on record as {'queued' if options.queued else 'not queued'}. Clear its task: it {then}."
    )
    return 0
