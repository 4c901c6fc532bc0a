"""The command ``queuecalls suppression``: builds a suppression list once for many checks."""

from __future__ import annotations

import argparse
import signal

from airflow_provider_queuecalls.cli.check import progress_bar
from airflow_provider_queuecalls.contacts.rules import BY_NAME
from airflow_provider_queuecalls.exceptions import NotSent, QueueCallsError
from airflow_provider_queuecalls.files.duckdb_session import LEAST_MEMORY, MEMORY_LIMIT
from airflow_provider_queuecalls.stopping import StopRequest


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand ``suppression`` and its own subcommand ``build``."""
    text = "prepare suppression lists (do-not-call lists)"
    parser = commands.add_parser("suppression", help=text, description=text)
    subparsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    text = "build one list of several, which a check reads many times faster"
    build = subparsers.add_parser(
        "build",
        help=text,
        description=f"{text}. suppress_max_age counts from the last change of the oldest FILE.",
        epilog="Exit code: 0 the list was written; 2 it could not be built, and nothing was written.",
    )
    build.add_argument(
        "out", metavar="OUT", help="the list to write; a file with this name is replaced when the list is complete"
    )
    build.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        help="a suppression list: text with the phone number in the first column, the full list of the US National Do Not "
        "Call Registry as a flat text file (202,5550143), or a list that was built",
    )
    build.add_argument(
        "--phone-format",
        choices=BY_NAME["phone_format"].choices,
        help="that of the contacts (nanp); with vendor, digits without + may be a number of another country",
    )
    build.add_argument(
        "--memory-limit",
        type=int,
        default=MEMORY_LIMIT,
        metavar="MIB",
        help=f"memory that may be used, in MiB, at least {LEAST_MEMORY} (%(default)s); enough for lists of any size",
    )
    build.set_defaults(run=_run_build)


def _run_build(options: argparse.Namespace) -> int:
    from airflow_provider_queuecalls.contacts.suppression.building import build_suppression_list

    stop = StopRequest()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.request())
    try:
        with progress_bar("Building") as progress:
            built = build_suppression_list(
                options.out,
                options.files,
                phone_format=options.phone_format,
                memory_limit=options.memory_limit,
                progress=progress,
                stop=stop,
            )
    except NotSent:
        raise QueueCallsError("The build was stopped. Nothing was written.") from None
    print(
        f"Wrote {built.numbers:,} numbers of {len(options.files)} {'list' if len(options.files) == 1 else 'lists'}. "
        f"suppress_max_age counts from {built.oldest_change.isoformat(' ', 'minutes')}, when the oldest of them was last changed."
    )
    return 0
