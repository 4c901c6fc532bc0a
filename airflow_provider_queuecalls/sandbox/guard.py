"""Keeps other sites' pages out: what is open in the same browser must neither read nor change the sandbox."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Everything comes from the sandbox itself; nothing frames it.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_READING = ("GET", "HEAD")
_FOREIGN = ("cross-site", "same-site")


class Guard:
    """Refuses what a foreign page has sent. Programs say nothing of the kind that browsers do, and pass.

    A page of another name that leads here (DNS rebinding) is of the same origin to the browser, so the ``Host`` has to
    be an address, this machine's name, or one of ``hosts``; but for the service's own path, to which programs come by
    any name.
    """

    def __init__(self, app: ASGIApp, *, hosts: Collection[str], service_path: str) -> None:
        self._app = app
        self._hosts = {host.lower() for host in (*hosts, "localhost", socket.gethostname())}
        self._service_path = service_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        problem = next(self._problems(scope), None)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        if problem:
            response = JSONResponse({"error": problem}, status_code=403)
            await response(scope, receive, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)

    def _problems(self, scope: Scope) -> Iterator[str]:
        headers = Headers(scope=scope)
        host, origin, site = headers.get("Host", ""), headers.get("Origin"), headers.get("Sec-Fetch-Site")
        reads = scope["method"] in _READING
        if (origin or site or scope["path"] != self._service_path) and not self._is_ours(host):
            yield "This Host is not the sandbox's. Use its address, or the name that --host gave it."
        if origin and origin != f"http://{host}":
            yield "The sandbox takes no requests from other sites."
        # A link from elsewhere may lead to the page, and nothing else may be asked from elsewhere.
        followed = reads and headers.get("Sec-Fetch-Mode") == "navigate"
        if site in _FOREIGN and not followed:
            yield "The sandbox takes no requests from other sites."
        is_json = headers.get("Content-Type", "").partition(";")[0].strip().lower() == "application/json"
        if scope["path"] != self._service_path and not reads and not is_json:
            yield "The sandbox's API takes application/json."

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name in self._hosts or _is_address(name)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
