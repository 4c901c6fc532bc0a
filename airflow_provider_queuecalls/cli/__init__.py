"""The command ``queuecalls``: one module for each subcommand.

Every subcommand imports what it needs when it runs, so that asking for help takes no time.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from airflow_provider_queuecalls import __version__
from airflow_provider_queuecalls.cli import (
    check,
    demo,
    hours,
    probe,
    records,
    results,
    sandbox,
    send,
    split,
    suppression,
)
from airflow_provider_queuecalls.exceptions import QueueCallsError

SUBCOMMANDS = (check, suppression, hours, split, send, records, results, probe, sandbox, demo)
#: What the extras ``sandbox`` and ``results`` bring, by module.
EXTRA_MODULES = frozenset({"fastapi", "jinja2", "python_multipart", "sqlalchemy", "starlette", "uvicorn"})
FAILED = 2
#: What a shell reports of a command that was ended because nobody reads its output any more.
OUTPUT_CLOSED = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit code: 0, or 2 where the subcommand could not be run; see each subcommand for its own.

    If whoever reads the output closes it early, as ``head`` does, a command that is not done ends there, with 141.
    """
    code = OUTPUT_CLOSED
    try:
        try:
            code = _run(arguments)
        finally:
            print(end="", flush=True)
    except BrokenPipeError:
        # Python writes what is left at its end, and would show the error once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _run(arguments: Sequence[str] | None) -> int:
    options = build_parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except QueueCallsError as error:
        return _say_error(str(error))
    except ModuleNotFoundError as error:
        if error.name not in EXTRA_MODULES:
            raise
        extra = getattr(options, "extra", "sandbox")
        return _say_error(
            f"The {extra} command needs {error.name}, which is not installed: pip install 'airflow-provider-queuecalls[{extra}]'"
        )


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of the command and all its subcommands."""
    parser = argparse.ArgumentParser(prog="queuecalls", description="Calling campaigns with the queuecalls service.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    subparsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for subcommand in SUBCOMMANDS:
        subcommand.add_parser(subparsers)
    return parser


def _say_error(sentence: str) -> int:
    print(f"queuecalls: {sentence}", file=sys.stderr)
    return FAILED
