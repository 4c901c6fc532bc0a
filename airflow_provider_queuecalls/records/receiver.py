"""The receiver of call results: an ASGI app, and a server for it whose memory is bounded."""

from __future__ import annotations

import asyncio
import email
import logging
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from email.utils import collapse_rfc2231_value
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from airflow_provider_queuecalls.records.call_results import read_result
from airflow_provider_queuecalls.records.database import Database
from airflow_provider_queuecalls.records.results_url import key_of

if TYPE_CHECKING:
    import uvicorn
    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

log = logging.getLogger("airflow_provider_queuecalls.results")
HEALTH = "/health"
MOST_BYTES = 64 << 10
MOST_CONNECTIONS = 1_000
#: How long a client may take to send a request's head, and its body.
CLIENT_SECONDS = 20
#: How long a result may wait for the database.
STORE_SECONDS = 30


class Receiver:
    """An ASGI app that stores the results of calls. It responds with 200 once a result is committed.

    It serves the results URLs of all campaigns that one of the secrets has signed, below any prefix, and ``/health``.
    Its log has neither paths nor values of a post.
    """

    def __init__(self, database: Database, secrets: Sequence[str]) -> None:
        self._database = database
        self._secrets = tuple(secrets)
        self._threads = ThreadPoolExecutor(database.writers, thread_name_prefix="queuecalls-results")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.requests import ClientDisconnect, Request
        from starlette.responses import PlainTextResponse

        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        request = Request(scope, receive)
        key = key_of(scope["path"], self._secrets)
        try:
            if key is None and scope["path"].endswith(HEALTH) and request.method in ("GET", "HEAD"):
                status, text = await self._in_database(self._database.ping)
            elif key is None:
                status, text = 404, "not found"
            else:
                status, text = await self._respond(request, key)
        except ClientDisconnect:
            return
        if (key or status == 503) and request.method not in ("GET", "HEAD"):
            log.info("%s %d campaign %s: %s", request.method, status, key and key[:12], text)
        headers = {"Cache-Control": "no-store"}
        if status == 503:
            headers["Retry-After"] = "30"
        elif status == 405:
            headers["Allow"] = "GET, HEAD, POST"
        await PlainTextResponse(f"{text}\n", status, headers)(scope, receive, send)

    def close(self) -> None:
        """Wait for what is being stored."""
        self._threads.shutdown()

    async def _respond(self, request: Request, key: str) -> tuple[int, str]:
        if request.method in ("GET", "HEAD"):  # the service checks the URL before it queues the campaign
            return 200, "ok"
        if request.method != "POST":
            return 405, "method not allowed"
        try:
            body = await asyncio.wait_for(_body(request), CLIENT_SECONDS)
        except asyncio.TimeoutError:
            return 408, "the body did not arrive in time"
        if body is None:
            return 413, f"the body has more than {MOST_BYTES} bytes"
        pairs = read_pairs(request.headers.get("content-type", ""), body, request.url.query)
        if not pairs:
            return 400, "the post has no fields"
        return await self._in_database(self._database.add, key, read_result(pairs))

    async def _in_database(self, operation: Callable[..., bool | None], *arguments: Any) -> tuple[int, str]:
        running = asyncio.get_running_loop().run_in_executor(self._threads, operation, *arguments)
        try:
            is_new = await asyncio.wait_for(running, STORE_SECONDS)
        except Exception as error:  # noqa: BLE001  # any: only a committed result may be acknowledged
            # Not the error's own text: it may quote the result.
            log.error("The database cannot be used: %s", _describe(error))
            return 503, "the database cannot be used"
        return 200, "ok" if is_new is None else "stored" if is_new else "stored before"


def _describe(error: BaseException) -> str:
    cause = getattr(error, "orig", None) or error
    codes = (getattr(cause, name, None) for name in ("sqlstate", "pgcode", "sqlite_errorname"))
    return " ".join([type(cause).__name__, *filter(None, codes)])


async def _body(request: Request) -> bytes | None:
    """The body; None if it is too large."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            return None
    return bytes(body)


def read_pairs(content_type: str, body: bytes, query: str) -> list[tuple[str, str]]:
    """Return the names and values in the URL's query and the body, which is a form, multipart or not.

    Nothing is lost: what is neither is a name without a value, and a byte that is not UTF-8 is escaped.
    """
    pairs = _form(query)
    if content_type.strip().lower().startswith("multipart/form-data"):
        message: Any = email.message_from_bytes(b"Content-Type: " + content_type.encode("latin-1") + b"\n\n" + body)
        if message.is_multipart():
            return pairs + [_part(part) for part in message.get_payload()]
        return [*pairs, (_text(body), "")]
    return pairs + _form(_text(body))


def _form(text: str) -> list[tuple[str, str]]:
    return parse_qsl(text, keep_blank_values=True, errors="surrogateescape")


def _part(part: Any) -> tuple[str, str]:
    name = part.get_param("name", "", header="content-disposition")
    return collapse_rfc2231_value(name), _text(part.get_payload(decode=True) or b"")


def _text(value: bytes) -> str:
    return value.decode(errors="surrogateescape")


def server(receiver: Receiver) -> uvicorn.Server:
    """Return a server for the receiver. Slow clients and many of them cannot make its memory grow."""
    import uvicorn
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Protocol(H11Protocol):
        """uvicorn's protocol with a bounded head, which must also arrive in time."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._await_head()

        def on_response_complete(self) -> None:
            self._deadline.cancel()
            self._await_head()
            super().on_response_complete()

        def connection_lost(self, exc: Exception | None) -> None:
            self._deadline.cancel()
            super().connection_lost(exc)

        def _await_head(self) -> None:
            self._deadline = self.loop.call_later(CLIENT_SECONDS, self._close_if_idle)

        def _close_if_idle(self) -> None:
            if self.cycle is None or self.cycle.response_complete:
                self.transport.close()

    return uvicorn.Server(
        uvicorn.Config(
            receiver, http=Protocol, lifespan="off", ws="none", log_config=None, log_level="warning", access_log=False,
            server_header=False, limit_concurrency=MOST_CONNECTIONS, timeout_keep_alive=CLIENT_SECONDS,
            timeout_graceful_shutdown=CLIENT_SECONDS,
        )
    )  # fmt: skip


def listen(host: str, port: int) -> socket.socket:
    """Listen on an address. Raises :class:`OSError`."""
    family, *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    return socket.create_server((host, port), family=family, backlog=2048)
