"""The command ``queuecalls records``: the folder in which the provider records what was sent."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

FAILED = 2


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand ``records`` and its own subcommands."""
    text = "manage the records of what was sent"
    parser = commands.add_parser("records", help=text, description=text)
    subparsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add in (_add_init,):
        add(subparsers)


def _add_init(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    text = "make a folder for records on this machine"
    parser = commands.add_parser(
        "init", help=text,
        description=f"{text}, once. Without it, an unmounted share would look like a folder without records.",
    )  # fmt: skip
    parser.add_argument("folder", metavar="FOLDER", type=_folder, help="path of a folder that is new or empty")
    parser.add_argument("--group", action="store_true", help="let the folder's Unix group read and write all records")
    parser.set_defaults(run=_run_init)


def _folder(text: str) -> Path:
    if "://" in text:
        raise argparse.ArgumentTypeError(f"{text!r} is a URL, which needs no init; FOLDER must be a path")
    return Path(text).expanduser().absolute()


def _run_init(options: argparse.Namespace) -> int:
    from airflow_provider_queuecalls.records.stores import init_folder

    folder: Path = options.folder
    try:
        init_folder(folder, group=options.group)
    except OSError as error:
        print(f"queuecalls: {folder} cannot be used for records: {error.strerror}", file=sys.stderr)
        return FAILED
    print(
        f"{folder} is ready for records. To use it: export AIRFLOW__QUEUECALLS__RECEIPTS_PATH={shlex.quote(str(folder))}"
    )
    return 0
