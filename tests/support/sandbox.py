"""Posts campaigns to a sandbox as any client would, and takes callbacks."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

import requests

from airflow_provider_queuecalls.client.connection import DEFAULT_PATH
from airflow_provider_queuecalls.sandbox.server import Sandbox

START_URL = "https://voice.example/start"


def post(sandbox: Sandbox, rows: str = "16175550100\n", headers: Any = None, **form: Any) -> requests.Response:
    """Post a campaign with the sandbox's own login and PIN."""
    connection = json.loads(sandbox.connection)
    fields = {"login": connection["login"], "pin": connection["password"], "start_url": START_URL, **form}
    file = {"phone_number_list": (fields.pop("file_name", "contacts.csv"), rows.encode())}
    return requests.post(sandbox.url + DEFAULT_PATH, data=fields, files=file, headers=headers, timeout=60)


class Listener:
    """Takes what is sent to ``url``: ``received`` are paths with their fields, ``asked`` the paths of GETs."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.received: list[tuple[str, dict[str, str]]] = []
        self.asked: list[str] = []
        self.url = ""


@contextmanager
def listening(status: int = 200) -> Iterator[Listener]:
    """A server of the customer's, which answers with one code."""
    listener = Listener(status)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            listener.received.append((self.path, dict(parse_qsl(body, keep_blank_values=True))))
            self._answer()

        def do_GET(self) -> None:
            listener.asked.append(self.path)
            self._answer()

        def _answer(self) -> None:
            self.send_response(listener.status)
            self.send_header("Content-Length", "0")
            if 300 <= listener.status < 400:
                self.send_header("Location", "/elsewhere")
            self.end_headers()

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
