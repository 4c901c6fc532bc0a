"""The command ``queuecalls results``: receives the results of calls, and lists, exports and deletes them."""

from __future__ import annotations

import argparse
import csv
import errno
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, redirect_stdout
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from airflow_provider_queuecalls.client.endpoint import DEFAULT_CONN_ID
from airflow_provider_queuecalls.client.hosts import is_loopback
from airflow_provider_queuecalls.exceptions import QueueCallsError
from airflow_provider_queuecalls.listening import LOOPBACK, listen, url_to
from airflow_provider_queuecalls.outcome import Outcome
from airflow_provider_queuecalls.parameters import Parameter, ValueType, show_path
from airflow_provider_queuecalls.records.database.engine import ACCEPTED
from airflow_provider_queuecalls.value_types import read_duration

if TYPE_CHECKING:
    import uvicorn

    from airflow_provider_queuecalls.records.database.database import Database

#: The variables in which Airflow's configuration has the same settings.
DATABASE, SECRET, URL = (f"AIRFLOW__QUEUECALLS__RESULTS_{name}" for name in ("DATABASE", "SECRET", "URL"))
RECEIVER_PORT, UI_PORT = 8098, 8099
_AGE = Parameter(name="--older-than", type=ValueType("a duration such as 90d", read_duration), doc="", unit="days")


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand ``results`` and its own subcommands."""
    text = "receive and read the results of calls"
    parser = commands.add_parser("results", help=text, description=text)
    subparsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add in (_add_serve, _add_url, _add_list, _add_export, _add_prune):
        add(subparsers).set_defaults(extra="results")


def _add_serve(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    text = "store the results that the service posts, and serve the scripts of 'speak'; or show campaigns in a browser"
    parser = commands.add_parser("serve", help=text, description=text)
    parser.add_argument(
        "--ui",
        action="store_true",
        help="serve the page of campaigns to this machine only, instead of receiving results; it shows phone numbers",
    )
    _add_database(parser)
    _add_secret(parser)
    parser.add_argument("--host", default=LOOPBACK, help="address to listen on (%(default)s)")
    parser.add_argument(
        "--port", type=int, help=f"port to listen on ({RECEIVER_PORT}, with --ui {UI_PORT}); 0 is any free port"
    )
    parser.set_defaults(run=_run_serve)
    return parser


def _add_url(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    text = "print the result_url of a campaign"
    parser = commands.add_parser(
        "url", help=text, description=f"{text}. Anybody who knows it can post results of this campaign."
    )
    parser.add_argument("name", metavar="NAME", help="the campaign's name")
    _add_secret(parser)
    parser.add_argument(
        "--conn-id",
        default=DEFAULT_CONN_ID,
        metavar="ID",
        help="Airflow connection that sends the campaign (%(default)s)",
    )
    parser.add_argument("--base", metavar="URL", help=f"the receiver's public URL (the environment variable {URL})")
    parser.set_defaults(run=_run_url)
    return parser


def _add_list(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    text = "list all campaigns with the counts of their results"
    parser = commands.add_parser("list", help=text, description=text)
    _add_database(parser)
    parser.set_defaults(run=_run_list)
    return parser


def _add_export(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    text = "write the results of one campaign as CSV"
    parser = commands.add_parser(
        "export", help=text, description=f"{text}, with one row for each call. It contains phone numbers."
    )
    parser.add_argument("name", metavar="CAMPAIGN", help="the campaign's name, or its key as 'list' shows it")
    _add_database(parser)
    parser.add_argument("--output", metavar="FILE", help="a new file, readable only by you (the terminal)")
    parser.add_argument(
        "--every-post", action="store_true", help="write every distinct post, not only the last result of each call"
    )
    parser.set_defaults(run=_run_export)
    return parser


def _add_prune(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    text = "delete old results, and old campaigns that have none left"
    parser = commands.add_parser("prune", help=text, description=text)
    _add_database(parser)
    parser.add_argument(
        "--older-than", type=_age, required=True, metavar="AGE", help="how long ago they were received, such as 90d"
    )
    parser.set_defaults(run=_run_prune)
    return parser


def _add_database(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--database", metavar="URL",
        help=f"URL of the database: sqlite:///FILE, or a PostgreSQL URL (the environment variable {DATABASE})",
    )  # fmt: skip


def _add_secret(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--secret-file", metavar="FILE",
        help=f"file with the secret that signs the URLs, and older ones that are still accepted (the environment variable {SECRET})",
    )  # fmt: skip


def _age(text: str) -> float:
    days = text.removesuffix("d")
    try:
        return read_duration(days if days.isdecimal() else text, _AGE).total_seconds()
    except ValueError as problem:
        raise argparse.ArgumentTypeError(f"{text!r} {problem}; it must be {_AGE.type.rule}") from None


def from_environment(variable: str, value: str | None = None, option: str = "") -> str:
    """The value of an option, or of the environment variable if it is not given."""
    if not (found := value or os.environ.get(variable, "").strip()):
        raise QueueCallsError(f"Set {f'{option}, or ' * bool(option)}the environment variable {variable}.")
    return found


def database_url(given: str | None = None, option: str = "") -> str:
    """The URL of the results database: that of an option, or of the environment variable."""
    url = from_environment(DATABASE, given, option)
    if "://" not in url:
        raise QueueCallsError(
            f"This command needs the URL of the results database, {ACCEPTED}{f', in {option}' if option else ''} or in the environment "
            f"variable {DATABASE}. The value is not a URL. Only Airflow's own processes can use the id of an Airflow connection."
        )
    return url


def _secrets(options: argparse.Namespace) -> tuple[str, ...]:
    from airflow_provider_queuecalls.signed_url import read_secrets

    if options.secret_file is None:
        return read_secrets(from_environment(SECRET, option="--secret-file"))
    try:
        return read_secrets(Path(options.secret_file).read_text("utf-8"), "The secret in --secret-file")
    except (OSError, UnicodeDecodeError) as error:
        raise QueueCallsError(
            f"The file {show_path(options.secret_file)} of --secret-file cannot be read: {type(error).__name__}."
        ) from None


def _database(options: argparse.Namespace, *, create: bool = False) -> AbstractContextManager[Database]:
    from airflow_provider_queuecalls.records.database.database import Database

    return Database(database_url(options.database, "--database"), create=create).closing()


def _run_serve(options: argparse.Namespace) -> int:
    from airflow_provider_queuecalls.records.receiver.app import Receiver
    from airflow_provider_queuecalls.records.receiver.server import make_server

    if options.ui:
        return _run_ui(options)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("airflow_provider_queuecalls.results").setLevel(logging.INFO)
    secrets = _secrets(options)
    has_database = options.database or os.environ.get(DATABASE, "").strip()
    with (
        _listener(options, RECEIVER_PORT) as (listener, url),
        _database(options, create=True) if has_database else nullcontext() as database,
        closing(Receiver(None if database is None else lambda: database, secrets)) as receiver,
    ):
        if database is None:
            print("Without a database, scripts are served, and results and choices are refused.", file=sys.stderr)
        if not is_loopback(options.host):
            print("Warning: other machines can reach this port without TLS.", file=sys.stderr)
        _serve(make_server(receiver), listener, f"The results receiver listens on {url}.")
    return 0


def _run_ui(options: argparse.Namespace) -> int:
    import uvicorn

    from airflow_provider_queuecalls.pages.app import local_pages

    if not is_loopback(options.host):
        raise QueueCallsError(
            f"--ui shows phone numbers without a login, so it listens on this machine only. --host is {options.host!r}: "
            f"leave it out, or open the page in Airflow, which asks for a login."
        )
    with _listener(options, UI_PORT) as (listener, url), _database(options) as database:
        app = local_pages(database)
        config = uvicorn.Config(app, lifespan="off", ws="none", log_config=None, log_level="warning", access_log=False, proxy_headers=False)  # fmt: skip
        _serve(uvicorn.Server(config), listener, f"Open {url} in a browser.")
    return 0


@contextmanager
def _listener(options: argparse.Namespace, default_port: int) -> Iterator[tuple[socket.socket, str]]:
    """A socket that listens on the address of the options, and its URL."""
    with listen(options.host, default_port if options.port is None else options.port) as listener:
        yield listener, url_to(listener)


def _serve(server: uvicorn.Server, listener: socket.socket, greeting: str) -> None:
    print(f"{greeting} Press Ctrl-C to stop it.", flush=True)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)  # uvicorn stops, and then raises the signal once more
    server.run(sockets=[listener])


def _run_url(options: argparse.Namespace) -> int:
    from airflow_provider_queuecalls.records.receiver.urls import results_url

    base, secrets = from_environment(URL, options.base, "--base"), _secrets(options)
    with redirect_stdout(sys.stderr):  # Airflow logs to what it finds there when it is imported
        from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook

        key = QueueCallsHook(options.conn_id).key_of(options.name)
    print(results_url(base, key.digest, secrets))
    return 0


def _run_list(options: argparse.Namespace) -> int:
    from airflow_provider_queuecalls.records.results.counts import summary

    with _database(options) as database:
        for each in database.counts():
            counts, last = summary(each, each.contacts), each.last_received_at
            # The first result of its calls shows that a campaign was queued, whatever its task knows.
            is_proven = each.outcome == Outcome.UNKNOWN and each.results
            outcome = Outcome.QUEUED.value if is_proven else each.outcome
            shown = {
                "key": each.key,
                "outcome": outcome,
                **{name.replace("_", " "): _shown(value) for name, value in counts.items()},
                "unreadable": _shown(each.unreadable),
                "last": datetime.fromtimestamp(last, timezone.utc).isoformat() if last else "",
            }
            print(each.name or "(not known)")
            print("".join(f"  {name + ':':16}{value}\n" for name, value in shown.items() if value), end="")
    return 0


def _shown(value: Mapping[str, int] | float | None) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {count:,}" for name, count in sorted(value.items()))
    return "" if value is None else f"{value:.1%}" if isinstance(value, float) else f"{value:,}"


def _run_export(options: argparse.Namespace) -> int:
    from airflow_provider_queuecalls.records.database.database import ROW
    from airflow_provider_queuecalls.records.results.next_list import result_cell

    with _database(options) as database:
        key = database.key_of(options.name)
        with _output(options.output) as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(ROW)
            for row in database.rows(key, every_post=options.every_post):
                # As JSON, the fields are no formula, and a program reads them.
                writer.writerow(row[name] if name == "fields" else result_cell(row[name]) for name in ROW)
    return 0


@contextmanager
def _output(path: str | None) -> Iterator[TextIO]:
    """The file to write to, which has its name only when it is complete."""
    from airflow_provider_queuecalls.files.writing import complete_file

    if path is None:
        yield sys.stdout
        return
    try:
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        with complete_file(path) as partial, open(partial, "w", encoding="utf-8", newline="") as file:
            yield file
    except OSError as error:
        raise QueueCallsError(
            f"The file of --output cannot be written: {error.strerror}. Nothing was written."
        ) from None


def _run_prune(options: argparse.Namespace) -> int:
    from airflow_provider_queuecalls.records.database.pruning import prune, prune_numbers

    with _database(options) as database:
        before = int(time.time() - options.older_than)
        results, campaigns = prune(database, before), prune_numbers(database, before)
    print(f"Deleted {results:,} results, and the record of called numbers of {campaigns:,} campaigns.")
    return 0
