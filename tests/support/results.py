"""A team's own endpoint behind result_url, which writes what becomes of each call into the team's warehouse."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote

import psycopg2

from tests.support.command import REPOSITORY

RECORD = (REPOSITORY / "example_dags" / "sql" / "record_result.sql").read_text()


@contextmanager
def results_endpoint(warehouse: str) -> Iterator[str]:
    """Take results at ``/results/<campaign>``; give the URL before that. Anything else is answered 200, as start_url's
    script is.

    Each result is taken in twice, as when the vendor's first answer got lost on its way.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            if self.path.startswith("/results/"):
                campaign = unquote(self.path.removeprefix("/results/"))
                fields = {**dict(parse_qsl(body, keep_blank_values=True)), "campaign": campaign}
                with closing(psycopg2.connect(warehouse)) as connection:
                    connection.cursor().execute(RECORD, fields)
                    connection.cursor().execute(RECORD, fields)
                    connection.commit()
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
