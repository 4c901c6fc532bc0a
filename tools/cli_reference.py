"""Describe the command ``queuecalls`` in Markdown, from its own argument parser. The documentation's build writes it to docs/cli.md.

python tools/cli_reference.py
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from airflow_provider_queuecalls.cli import build_parser


def cli_reference() -> str:
    """Return the page: a section for each subcommand, with a table of its arguments and options."""
    parser = build_parser()
    intro = f"# Command-line reference\n\n{parser.description} Every subcommand prints this with `--help`.\n"
    return "\n".join([intro, *(_section(name, command) for name, command in subcommands(parser).items())])


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the parser of each subcommand that has none of its own, by its name, such as ``records init``."""
    found: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                found |= {f"{name} {below}": each for below, each in subcommands(command).items()} or {name: command}
    return found


def _section(name: str, command: argparse.ArgumentParser) -> str:
    actions = [action for action in command._actions if action.help != argparse.SUPPRESS and action.dest != "help"]
    rows = "".join(f"| {_spelling(action)} | {_help(action, command)} |\n" for action in actions)
    table = f"| option | meaning |\n| --- | --- |\n{rows}\n" if rows else ""
    epilog = f"{command.epilog}\n\n" if command.epilog else ""
    return f"## queuecalls {name}\n\n{_sentence(command.description or '')}\n\n{table}{epilog}"


def _spelling(action: argparse.Action) -> str:
    """How the option is written, with its value: ``--port PORT``, or FILE for an argument."""
    value = ""
    if action.nargs != 0:
        shown = " ".join(action.metavar) if isinstance(action.metavar, tuple) else action.metavar
        choices = "{" + ",".join(map(str, action.choices)) + "}" if action.choices else None
        value = shown or choices or action.dest.upper()
    spelling = ", ".join(f"`{option} {value}`".replace(" `", "`") for option in action.option_strings) or f"`{value}`"
    return spelling.replace("|", "\\|")


def _help(action: argparse.Action, command: argparse.ArgumentParser) -> str:
    text = (action.help or "") % {**vars(action), "prog": command.prog}
    if action.required and action.option_strings:
        text = f"{_sentence(text)} Required"
    return _sentence(text).replace("|", "\\|").replace("*", "\\*")


def _sentence(text: str) -> str:
    """Start with a capital letter and end with a full stop."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}." if text else ""


if __name__ == "__main__":
    print(cli_reference(), end="")
