"""The command ``queuecalls sandbox``: a queuecalls service on this machine."""

from __future__ import annotations

import argparse
import logging
import shlex
import signal
import sys

from airflow_provider_queuecalls.client.endpoint import DEFAULT_CONN_ID
from airflow_provider_queuecalls.client.hosts import is_loopback
from airflow_provider_queuecalls.listening import LOOPBACK
from airflow_provider_queuecalls.sandbox import DEFAULT_LOGIN, DEFAULT_PIN

#: The sandbox's settings that have an option of the same name.
SETTINGS = (
    "login",
    "pin",
    "speed",
    "seed",
    "response_format",
    "errors",
    "unique_names",
    "check_urls",
    "callback_hosts",
    "calling_hours",
)


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand ``sandbox``."""
    text = "run a queuecalls service on this machine that places no real calls"
    parser = commands.add_parser("sandbox", help=text, description=text)
    parser.add_argument("--host", default=LOOPBACK, help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8099, help="port to listen on (%(default)s); 0 is any free port")
    parser.add_argument("--db", metavar="FILE", help="SQLite file that keeps everything across restarts")
    parser.add_argument("--login", default=DEFAULT_LOGIN, help="login name to accept (%(default)s)")
    parser.add_argument("--pin", default=DEFAULT_PIN, help="PIN to accept (%(default)s)")
    parser.add_argument(
        "--speed", type=_not_negative, default=1.0, metavar="N",
        help="seconds that pass on its clock in one real second (1); 0 stands still",
    )  # fmt: skip
    parser.add_argument("--open", action="store_true", help="open its page in the browser")
    parser.add_argument(
        "--profile",
        metavar="NAME|FILE",
        help="another service than the documented one: the name of a profile, 'list' to print them, or a JSON file, such as a report of 'queuecalls probe'",
    )
    parser.add_argument("--response-format", choices=("xml", "json", "text"), help="format of its responses (xml)")
    parser.add_argument(
        "--errors", choices=("failed", "http"),
        help="how to refuse a campaign: HTTP 200 and 'failed', or HTTP error codes (failed)",
    )  # fmt: skip
    parser.add_argument(
        "--unique-names", action=argparse.BooleanOptionalAction,
        help="refuse a campaign whose name is taken (yes)",
    )  # fmt: skip
    parser.add_argument(
        "--check-urls", action="store_true", help="queue nothing unless start_url and result_url respond with 200"
    )
    parser.add_argument(
        "--callback-host", action="append", default=[], metavar="HOST", dest="callback_hosts",
        help="send callbacks to this host too, not only to this machine; may be repeated; '*' is any host",
    )  # fmt: skip
    parser.add_argument(
        "--calling-hours", type=_hours, metavar="HOURS",
        help="show attempts outside these hours, by the clock of the person called: 08:00-21:00, the name of a set, or JSON",
    )  # fmt: skip
    parser.add_argument(
        "--max-upload", type=_not_negative, default=1024.0, metavar="MIB", help="largest upload in MiB (1024)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N",
        help="another seed gives another mix of answered and failed calls (%(default)s)",
    )  # fmt: skip
    parser.set_defaults(run=_run)


def _hours(text: str) -> str:
    from airflow_provider_queuecalls.contacts.hours.calling_hours import CallingHours

    try:
        CallingHours.read(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(f"{text!r} {problem}") from None
    return text


def _not_negative(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 0 or more")
    return number


def _run(options: argparse.Namespace) -> int:
    from airflow_provider_queuecalls.sandbox.profiles import PROFILES
    from airflow_provider_queuecalls.sandbox.server import run_sandbox

    if options.profile == "list":
        for name, profile in PROFILES.items():
            print(f"{name:12} {profile.doc}")
        return 0
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("airflow_provider_queuecalls.sandbox").setLevel(logging.INFO)
    given = vars(options)
    settings = {name: given[name] for name in SETTINGS if given[name] is not None}
    with run_sandbox(
        host=options.host, port=options.port, db=options.db, profile=options.profile,
        max_upload_bytes=int(options.max_upload * (1 << 20)), **settings,
    ) as sandbox:  # fmt: skip
        if not is_loopback(options.host):
            print(
                f"Warning: other machines can reach the sandbox on {options.host}, and read every phone number in it without a password.",
                file=sys.stderr,
            )
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: sandbox.stop())
        kept = f"kept in {options.db}" if options.db else "deleted when it stops (--db FILE keeps them)"
        print(
            f"The queuecalls sandbox listens on {sandbox.url}. It places no real calls. Campaigns are {kept}.\n"
            "Open that URL in a browser to see campaigns and calls. This connection leads Airflow to it:\n\n"
            f"export AIRFLOW_CONN_{DEFAULT_CONN_ID.upper()}={shlex.quote(sandbox.connection)}\n\n"
            "Press Ctrl-C to stop it.",
            flush=True,
        )
        if options.open:
            import webbrowser

            webbrowser.open(sandbox.url)
        sandbox.wait()
    return 0
