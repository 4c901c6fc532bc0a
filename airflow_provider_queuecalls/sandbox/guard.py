"""Keeps pages of other sites out: whatever is open in the same browser can neither read nor change the sandbox."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Everything comes from the sandbox itself, and no other page may frame it.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
#: The API reads a body as a whole.
MOST_BYTES = 64 << 10


class Guard:
    """Refuses requests that a page of another site has sent. Programs send none of a browser's headers, and pass.

    With DNS rebinding, a foreign page reaches this machine by a name of its own, and the browser takes the sandbox for
    the same origin. So the name in ``Host`` must be this machine's or one of ``hosts``. An address cannot be rebound, and
    the service's own path is open to programs by any name.
    """

    def __init__(self, app: ASGIApp, *, hosts: Collection[str], service_path: str) -> None:
        self._app = app
        names = ["localhost", socket.gethostname(), *hosts]
        self._by_known_name = TrustedHostMiddleware(app, allowed_hosts=names, www_redirect=False)
        self._service_path = service_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        headers = Headers(scope=scope)
        is_program = "Origin" not in headers and "Sec-Fetch-Site" not in headers
        app: ASGIApp = self._by_known_name
        if problem := next(self._problems(scope, headers), None):
            status, detail = problem
            app = JSONResponse({"detail": detail}, status)
        elif _is_address(headers.get("Host", "")) or (is_program and scope["path"] == self._service_path):
            app = self._app
        await app(scope, receive, send_with_headers)

    def _problems(self, scope: Scope, headers: Headers) -> Iterator[tuple[int, str]]:
        reads = scope["method"] in ("GET", "HEAD")
        origin = headers.get("Origin")
        # A link on another site may lead to the page; nothing else may be requested from there.
        followed = reads and headers.get("Sec-Fetch-Mode") == "navigate"
        is_foreign = headers.get("Sec-Fetch-Site") in ("cross-site", "same-site") and not followed
        if is_foreign or (origin and origin != f"http://{headers.get('Host')}"):
            yield 403, "The sandbox accepts no requests from other sites."
        if reads or scope["path"] == self._service_path:
            return
        # A form on a foreign page can send other content types without asking the sandbox first.
        if headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
            yield 403, "The sandbox's API accepts only application/json."
        length = headers.get("Content-Length", "0")
        if "Transfer-Encoding" in headers or not (length.isdecimal() and int(length) <= MOST_BYTES):
            yield 413, f"The sandbox's API accepts bodies of at most {MOST_BYTES} bytes, with Content-Length."


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False
    return True
