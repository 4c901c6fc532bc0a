"""Sends requests to a sandbox as any client would, and receives its callbacks."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl
from xml.etree import ElementTree

import requests

from airflow_provider_queuecalls.client.connection import DEFAULT_PATH
from airflow_provider_queuecalls.sandbox.server import Sandbox
from tests.support.patience import PATIENCE_SECONDS

START_URL = "https://voice.example/start"
LOGIN, PIN = "a-sender", "it's-secret"
FORM = {"login": LOGIN, "pin": PIN, "start_url": START_URL}
#: A script that says one sentence.
SCRIPT = '<?xml version="1.0"?><vxml version="2.0"><form><block><prompt>Hello.</prompt></block></form></vxml>'
CONTACTS = b"16175550100,order-1,lang=en\n16175550101,order-2\n16175550102\n"


def post(sandbox: Sandbox, rows: str = "16175550100\n", headers: Any = None, **form: Any) -> requests.Response:
    """Post a campaign with the sandbox's own login and PIN."""
    connection = json.loads(sandbox.connection)
    fields = {"login": connection["login"], "pin": connection["password"], "start_url": START_URL, **form}
    file = {"phone_number_list": (fields.pop("file_name", "contacts.csv"), rows.encode())}
    return requests.post(sandbox.url + DEFAULT_PATH, data=fields, files=file, headers=headers, timeout=PATIENCE_SECONDS)


def post_form(
    sandbox: Sandbox, form: dict[str, Any], file: bytes | None = CONTACTS, **options: Any
) -> requests.Response:
    """Post a form as it is. Values may be lists, for repeated fields."""
    files = {"phone_number_list": ("contacts.csv", file)} if file is not None else {"nothing": ("", b"")}
    return requests.post(
        sandbox.url + DEFAULT_PATH, data=form, files=options.pop("files", files), timeout=PATIENCE_SECONDS, **options
    )


def refused_fields(response: requests.Response) -> list[str | None]:
    """The names of the fields in a refusal."""
    root = ElementTree.fromstring(response.content)
    assert response.status_code == 200
    assert (root.tag, root.get("status")) == ("queuecalls", "failed")
    return [error.get("field") for error in root.iter("error")]


def ask(sandbox: Sandbox, method: str, path: str, body: Any = None, **headers: str) -> requests.Response:
    """Send a request to the sandbox's API."""
    data = None if body is None else json.dumps(body)
    headers = {"Content-Type": "application/json", **headers}
    return requests.request(method, sandbox.url + path, data=data, headers=headers, timeout=PATIENCE_SECONDS)


def get(sandbox: Sandbox, path: str) -> Any:
    """Read from the sandbox's API."""
    response = ask(sandbox, "GET", path)
    assert response.status_code == 200, response.text
    return response.json()


def states(sandbox: Sandbox) -> list[tuple[str, int]]:
    """The state and the attempts of each call."""
    return [(call.state, call.attempts) for call in sandbox.calls]


def said(sandbox: Sandbox) -> list[str]:
    """What each campaign has to say."""
    return [campaign.parameters["call_parameters"] for campaign in sandbox.campaigns]


def number(ending: str) -> str:
    """A magic number."""
    return f"1617{ending.replace('-', '')}"


class Listener:
    """Receives callbacks at ``url``: ``received`` are the paths of POSTs with their fields, ``asked`` the paths of GETs.

    ``scripts`` are the documents it responds with, by path; those of other paths are :data:`SCRIPT`.
    """

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.scripts: dict[str, str] = {}
        self.received: list[tuple[str, dict[str, str]]] = []
        self.asked: list[str] = []
        self.url = ""
        self._arrived = threading.Condition()

    def arrive(self, path: str, fields: dict[str, str]) -> None:
        with self._arrived:
            self.received.append((path, fields))
            self._arrived.notify_all()

    def wait_for(self, callbacks: int) -> None:
        """Wait until so many have been received."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.received) >= callbacks, PATIENCE_SECONDS)


@contextmanager
def listening(status: int = 200) -> Iterator[Listener]:
    """A server behind start_url and result_url, which responds with one code."""
    listener = Listener(status)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            listener.arrive(self.path, dict(parse_qsl(body, keep_blank_values=True)))
            self._respond()

        def do_GET(self) -> None:
            listener.asked.append(self.path)
            self._respond()

        def _respond(self) -> None:
            script = listener.scripts.get(self.path.partition("?")[0], SCRIPT).encode()
            self.send_response(listener.status)
            self.send_header("Content-Length", str(len(script)))
            if 300 <= listener.status < 400:
                self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(script)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        listener.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield listener
        finally:
            server.shutdown()
            thread.join()
