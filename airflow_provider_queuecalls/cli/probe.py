"""The command ``queuecalls probe``: find out with a real account, and one's own phone, what the documentation leaves open."""

from __future__ import annotations

import argparse
import errno
import json
import logging
import os
import shlex
import sys
import traceback
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airflow_provider_queuecalls.client.endpoint import DEFAULT_CONN_ID
from airflow_provider_queuecalls.exceptions import QueueCallsError
from airflow_provider_queuecalls.parameters import show_path
from airflow_provider_queuecalls.value_types import counted

if TYPE_CHECKING:
    from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook
    from airflow_provider_queuecalls.probe.sending import Seen
    from airflow_provider_queuecalls.probe.steps import Step

DONE, BROKEN_OFF, FAILED = 0, 1, 2


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand ``probe``."""
    text = "find out with your account and your own phone what the vendor's documentation leaves open"
    parser = commands.add_parser(
        "probe",
        help=text,
        description=f"{text[0].upper()}{text[1:]}. It calls only the number in --to, at most ten times. Each step is explained and "
        "asked about first. At the end it writes a report without personal data: settings for the connection, a profile for the "
        "sandbox, and a text for an issue.",
        epilog="Exit code: 0 the report is written; 1 an error ended the probe, and the report has what was seen until then; 2 nothing "
        "was done.",
    )
    parser.add_argument(
        "--conn-id", default=DEFAULT_CONN_ID, metavar="ID",
        help="Airflow connection, for example as JSON in the variable AIRFLOW_CONN_<ID> (%(default)s)",
    )  # fmt: skip
    parser.add_argument("--to", metavar="NUMBER", help="your own phone number, the only one that is ever called")
    parser.add_argument(
        "--start-url", metavar="URL",
        help="the VoiceXML script that runs when a call connects; default is the script of the receiver at [queuecalls] results_url, which "
        "speaks the call_parameters, or without a receiver the front page of the service, which makes a silent call",
    )  # fmt: skip
    parser.add_argument(
        "--result-url", metavar="URL", help="where the service posts the result of each call; default is not sent"
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="STEP", help="do only this step; may be repeated"
    )
    parser.add_argument("--list", action="store_true", help="list the steps and do nothing")
    parser.add_argument(
        "--yes", action="store_true", help="ask nothing: do all steps, and leave open what only a person knows"
    )
    parser.add_argument(
        "--report",
        metavar="FILE.json",
        help="a new file for the report as JSON, with its text beside it as .txt; default is queuecalls-probe-<time>.json",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook
    from airflow_provider_queuecalls.probe.report import make_report
    from airflow_provider_queuecalls.probe.sending import MOST_CALLS, Sender
    from airflow_provider_queuecalls.probe.steps import BY_NAME, STEPS
    from airflow_provider_queuecalls.probe.walk import Walk

    if options.list:
        for step in STEPS:
            print(f"{step.name:10} {step.title}, {counted(step.calls, 'call')} at most\n{'':10} {step.why}")
        return DONE
    if unknown := [name for name in options.only if name not in BY_NAME]:
        raise QueueCallsError(f"--only {unknown[0]!r} is not a step. The steps are {', '.join(BY_NAME)}.")
    number = _number(options.to)
    path = _report_path(options.report)
    hook = QueueCallsHook(options.conn_id)
    endpoint = hook.endpoint
    if not (start_url := options.start_url):
        start_url, said = _script(hook)
        print(f"Without --start-url, the script of all calls is {said}.")
    log = logging.Logger("queuecalls")  # Airflow configures the others
    log.addHandler(logging.NullHandler())
    sender = Sender(number, log)
    terminal = _Terminal(asks=not options.yes)
    walk = Walk(endpoint, sender, terminal, start_url=start_url, result_url=options.result_url, log=log)
    if not options.yes and not _confirmed(number):
        return FAILED
    _create(path, path.with_suffix(".txt"))
    code = DONE
    try:
        walk.go(options.only)
    except KeyboardInterrupt:
        print("\nStopped. The report has what was seen until now.", file=sys.stderr)
    except Exception as error:  # noqa: BLE001  # what calls have shown must not be lost
        problem = f"queuecalls: {error}" if isinstance(error, QueueCallsError) else traceback.format_exc()
        print(f"{problem}\nThe probe ended here. The report has what was seen until now.", file=sys.stderr)
        code = BROKEN_OFF
    report = make_report(walk.learned)
    print(f"\n{report.text}\nSettings to put into the connection:\n{json.dumps(dict(report.settings), indent=2)}")
    path.write_text(report.json, "utf-8")
    path.with_suffix(".txt").write_text(report.text, "utf-8")
    print(
        f"\nThe service has accepted at most {MOST_CALLS - sender.calls_left} calls. The report is in {path}, and its text, to attach to an "
        f"issue, in {path.with_suffix('.txt')}.\nA sandbox like this service: queuecalls sandbox --profile={shlex.quote(str(path))}"
    )
    return code


def _report_path(given: str | None) -> Path:
    path = Path(given or f"queuecalls-probe-{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}.json")
    if path.suffix != ".json":  # the text beside it must be another file
        raise QueueCallsError(
            f"--report is {show_path(given)}; it must be a file whose name ends in .json. Nothing was sent."
        )
    return path


def _create(*files: Path) -> None:
    """Create the report's files before the first call, none of which may exist: what calls have shown must not be lost."""
    try:
        if found := next(filter(Path.exists, files), None):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), found)
        for file in files:
            file.open("x").close()
    except OSError as error:
        raise QueueCallsError(
            f"The report cannot be written to {show_path(error.filename)}: {error.strerror}. Nothing was sent. Choose another file "
            "with --report."
        ) from None


def _script(hook: QueueCallsHook) -> tuple[str, str]:
    """A script for all calls, and what it says: that of the receiver if there is one."""
    from airflow_provider_queuecalls._airflow import settings

    if settings.option("results_url") is not None:
        said = "that of the receiver: it says the call_parameters, which the step 'campaign' has"
        return hook.script_url("probe"), said
    front = urlsplit(hook.endpoint.url)
    return f"{front.scheme}://{front.netloc}/", "the front page of the service: your phone rings, and nothing is said"


def _number(given: str | None) -> str:
    from airflow_provider_queuecalls.contacts.rows.phone_numbers import normalized_number, number_called

    number = normalized_number(given or "", "vendor")
    if number_called(number, "vendor") is None:
        raise QueueCallsError("--to must be your own phone number, such as 16175550100. Nothing was sent.")
    return number


def _confirmed(number: str) -> bool:
    """Have the number typed again. Where nobody can type, it is a no."""
    from airflow_provider_queuecalls.contacts.rows.phone_numbers import normalized_number

    if not sys.stdin.isatty():
        print(
            "queuecalls: there is no terminal to confirm on. Add --yes to do all steps. Nothing was sent.",
            file=sys.stderr,
        )
        return False
    if normalized_number(_typed("Only your own phone may be called. Type its number again: "), "vendor") == number:
        return True
    print("queuecalls: that is another number. Nothing was sent.", file=sys.stderr)
    return False


class _Terminal:
    """A person at a terminal, or a script that agrees to everything and knows nothing."""

    def __init__(self, *, asks: bool) -> None:
        self._asks = asks
        self._step = 0

    def agrees(self, step: Step) -> bool:
        self._step += 1
        print(f"\n{self._step}. {step.title} ({step.name})\n   {step.why}\n   {step.sends}")
        return not self._asks or _choice("   Do this now? [yes/no] ", ("yes", "no")) == "yes"

    def answers(self, step: Step, seen: Seen) -> Mapping[str, str]:
        what = f"{seen.outcome.value}: " if step.rows else ""
        print(f"   → {what}{seen.how if seen.status_code else seen.problem or 'no response'}")
        if not self._asks or seen.status_code is None:
            return {}
        given = {
            question.name: _choice(
                f"   {question.text} [{'/'.join(question.answers)}, empty: not known] ", question.answers
            )
            for question in step.questions
        }
        return {name: answer for name, answer in given.items() if answer}

    def report(self, text: str) -> None:
        print(f"   {text}")


def _choice(prompt: str, answers: tuple[str, ...]) -> str:
    """One of the answers, which may be shortened; empty for none."""
    while True:
        typed = _typed(prompt).lower()
        found = [answer for answer in answers if typed and answer.startswith(typed)]
        if not typed or found:
            return found[0] if found else ""


def _typed(prompt: str) -> str:
    print(prompt, end="", flush=True)
    if not (line := sys.stdin.readline()):
        raise KeyboardInterrupt  # the terminal is gone
    return line.strip()
