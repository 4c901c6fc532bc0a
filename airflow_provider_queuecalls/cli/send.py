"""The command ``queuecalls send``: deliver one contact file, with a dry run and a confirmation first."""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from functools import partial
from types import FrameType
from typing import Any

from airflow_provider_queuecalls.cli.check import add_limit, add_rules, given_rules, option_help, progress_bar
from airflow_provider_queuecalls.cli.terminal import say, say_traceback
from airflow_provider_queuecalls.client import Campaign
from airflow_provider_queuecalls.client.campaign import BY_NAME
from airflow_provider_queuecalls.client.endpoint import DEFAULT_CONN_ID
from airflow_provider_queuecalls.contacts import ContactRules
from airflow_provider_queuecalls.exceptions import InvalidContacts, OutcomeUnknown, QueueCallsError
from airflow_provider_queuecalls.outcome import Outcome
from airflow_provider_queuecalls.voice.speech import SPEAK

SENT, NOT_VALID, FAILED, UNKNOWN = 0, 1, 2, 3


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand ``send``, with an option for each parameter of the campaign and of the check."""
    text = "check a contact file and queue it as one campaign, once"
    parser = commands.add_parser(
        "send",
        help=text,
        description=f"{text[0].upper()}{text[1:]}. A dry run comes first; then you type the number of contacts to confirm.",
        epilog="Exit code: 0 the campaign is queued, or the dry run found nothing wrong; 1 the contact file did not pass the check; "
        "2 this command queued nothing, and the message says why; 3 the outcome is unknown: look the campaign up before you send it again.",
    )
    parser.add_argument("file", metavar="FILE", help="the contact file")
    parser.add_argument(
        "--conn-id", default=DEFAULT_CONN_ID, metavar="ID",
        help="Airflow connection, for example as JSON in the variable AIRFLOW_CONN_<ID> (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--receipts", metavar="FOLDER",
        help="folder for records: an absolute path of a folder made by 'queuecalls records init', a URL, 'database' for the results database, or 'none'; "
        "default is [queuecalls] receipts_path of Airflow's configuration",
    )  # fmt: skip
    parser.add_argument("--rejects", metavar="OUT", help="write the rejects to this CSV file")
    parser.add_argument("--dry-run", action="store_true", help="check everything and send nothing")
    parser.add_argument("--yes", action="store_true", help="send without asking")
    parser.add_argument("--resend", action="store_true", help="send a campaign that was sent before, or may have been")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    campaign = parser.add_argument_group("campaign")
    for name in Campaign.names():
        parameter = BY_NAME[name]
        campaign.add_argument(
            f"--{name.replace('_', '-')}", metavar="X", required=name == "campaign_name",
            help=option_help(parameter, "" if name == "campaign_name" else None),
        )  # fmt: skip
    campaign.add_argument(
        "--speak", nargs="?", const="true", metavar="X",
        help=f"{SPEAK.doc} Accepts {SPEAK.rule}, as JSON; without a value, true. Give it or --start-url.",
    )  # fmt: skip
    checks = parser.add_argument_group("check")
    add_rules(checks)
    add_limit(checks)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    try:
        with redirect_stdout(sys.stderr):  # Airflow logs to what it finds there when it is imported
            result, code = _send(options)
    except InvalidContacts as error:
        return _fail(error, NOT_VALID if error.report is not None else FAILED)
    except OutcomeUnknown as error:
        return _fail(error, UNKNOWN)
    except QueueCallsError as error:
        return _fail(error, FAILED)
    except KeyboardInterrupt:  # from the time of sending on, a signal is a request to stop
        say("\nqueuecalls: Nothing was sent.")
        return FAILED
    except (Exception, SystemExit):  # noqa: BLE001 - Python would exit with 1, which means that the contact file is not valid
        say_traceback()
        say("queuecalls: Nothing was sent.")
        return FAILED
    return code if _printed(result, options) else UNKNOWN if result["outcome"] == Outcome.QUEUED.value else FAILED


def _send(options: argparse.Namespace) -> tuple[dict[str, Any], int]:
    """Return the result, and the exit code."""
    from airflow_provider_queuecalls._airflow.campaigns import build_campaign
    from airflow_provider_queuecalls._airflow.delivering import delivering
    from airflow_provider_queuecalls._airflow.receipts import records_at, try_of
    from airflow_provider_queuecalls.client.client import Client
    from airflow_provider_queuecalls.delivery import deliver
    from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook

    log = _stderr_logger()
    hook = QueueCallsHook(options.conn_id)
    client = Client(hook.endpoint, log=log)

    def stop(*_: object) -> None:
        client.stop.request()

    _on_signals(stop)
    rules = ContactRules(**given_rules(options))
    values = {name: getattr(options, name) for name in Campaign.names()}
    campaign = build_campaign(values, hook.endpoint, speak=options.speak)
    this_try = try_of(None, resend=options.resend)
    open_store = records_at(options.receipts, log, dry_run=options.dry_run)
    as_configured = partial(
        delivering, campaign, hook.endpoint, open_store, this_try, max_per_period=options.max_per_period, log=log
    )
    deliver_list = partial(deliver, campaign, options.file, client, rules=rules)
    with progress_bar() as progress, as_configured() as (open_ledger, configured):
        checked = deliver_list(
            open_ledger, rejects=nullcontext(options.rejects), dry_run=True, progress=progress, **configured,
        )  # fmt: skip
    # Python goes on to read the answer after a handler that raises nothing.
    _on_signals(signal.default_int_handler)
    if options.dry_run or not (options.yes or _confirmed(checked.campaign_name, checked.report.valid)):
        return checked.result, SENT if options.dry_run else FAILED
    _on_signals(stop)
    with _outcome_unknown(checked.campaign_name), as_configured() as (open_ledger, configured):
        delivery = deliver_list(open_ledger, expected_digest=checked.report.digest or "", **configured)
    return delivery.result, SENT


@contextmanager
def _outcome_unknown(campaign_name: str) -> Iterator[None]:
    """Say of an error that nobody has foreseen, or of an exit, that the campaign may be queued."""
    try:
        yield
    except QueueCallsError:
        raise
    except BaseException as error:  # noqa: BLE001
        say_traceback()
        raise OutcomeUnknown(
            f"Cannot tell whether campaign {campaign_name!r} was queued: the command ended with {type(error).__name__}. Look for it "
            "in the vendor's campaign manager before you send it again.",
            campaign_name=campaign_name,
        ) from None


def _on_signals(handler: Callable[[int, FrameType | None], object]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


def _stderr_logger() -> logging.Logger:
    """A logger of our own: Airflow configures the others."""
    log = logging.Logger("queuecalls", logging.INFO)
    log.addHandler(logging.StreamHandler())
    return log


def _confirmed(campaign_name: str, contacts: int) -> bool:
    """Ask for the number of contacts. Where nobody can be asked, it is a no."""
    if not sys.stdin.isatty():
        say("queuecalls: there is no terminal to confirm on. Add --yes to send. Nothing was sent.")
        return False
    say(f"Campaign {campaign_name} will call {contacts:,} contacts. Type their number to send it: ", end="")
    if sys.stdin.readline().strip().replace(",", "") == str(contacts):
        return True
    say("queuecalls: that is not the number of contacts. Nothing was sent.")
    return False


def _printed(result: dict[str, Any], options: argparse.Namespace) -> bool:
    """Print the result; False where that is not possible, such as on a full disk."""
    name, outcome = result["campaign_name"], result["outcome"]
    text = json.dumps(result) if options.json else f"{outcome}: campaign {name}, {result['contacts']:,} contacts"
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except (OSError, UnicodeError) as error:
        say(f"queuecalls: The result cannot be printed ({type(error).__name__}). Campaign {name!r} is {outcome}.")
        return False
    return True


def _fail(error: QueueCallsError, code: int) -> int:
    say(f"queuecalls: {error}")
    return code
