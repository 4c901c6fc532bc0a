"""The command ``queuecalls``: one module for each subcommand.

Every subcommand imports what it needs when it runs, so that asking for help takes no time.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TextIO

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
from airflow_provider_queuecalls.cli.terminal import say, say_traceback
from airflow_provider_queuecalls.exceptions import QueueCallsError

SUBCOMMANDS = (check, suppression, hours, split, send, records, results, probe, sandbox, demo)
#: What the extras ``sandbox`` and ``results`` bring, by module.
EXTRA_MODULES = frozenset({"fastapi", "jinja2", "python_multipart", "sqlalchemy", "starlette", "uvicorn"})
FAILED = 2
#: What a shell reports of a command that was ended because nobody reads its output any more.
OUTPUT_CLOSED = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit code: 0, or 2 where the subcommand could not be run; see each subcommand for its own.

    If whoever reads the output closes it early, as ``head`` does, a command that is not done ends there, with 141. If the
    output cannot be written for another reason, such as a full disk, a command that would report 0 reports 2.
    """
    code = None
    try:
        try:
            code = _run(arguments)
        finally:
            print(end="", flush=True)
    except BrokenPipeError:
        code = OUTPUT_CLOSED if code is None else code
        _drop_output(sys.stdout)
    except OSError as error:
        code = code or _say_error(f"The output cannot be written: {error.strerror}")
        _drop_output(sys.stdout)
    try:
        sys.stderr.flush()
    except OSError:
        _drop_output(sys.stderr)
    return code


def _drop_output(stream: TextIO) -> None:
    """Drop what could not be written. Python writes it at its end, and would exit with 120."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _run(arguments: Sequence[str] | None) -> int:
    options = build_parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except QueueCallsError as error:
        return _say_error(str(error))
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001  # Python would exit with 1, which may mean that a list is not valid
        if isinstance(error, ModuleNotFoundError) and error.name in EXTRA_MODULES:
            package = f"airflow-provider-queuecalls[{options.extra}]"
            return _say_error(
                f"The command {options.command!r} needs {error.name}, which is not installed: pip install '{package}'"
            )
        say_traceback()
        return FAILED


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of the command and all its subcommands."""
    parser = argparse.ArgumentParser(prog="queuecalls", description="Calling campaigns with the queuecalls service.")
    parser.set_defaults(extra="sandbox")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    subparsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", dest="command")
    for subcommand in SUBCOMMANDS:
        subcommand.add_parser(subparsers)
    return parser


def _say_error(sentence: str) -> int:
    say(f"queuecalls: {sentence}")
    return FAILED
