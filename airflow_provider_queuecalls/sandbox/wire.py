"""The connection below a request, for responses that end in ways that a web framework doesn't offer."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from starlette.responses import Response
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from airflow_provider_queuecalls.sandbox.faults import Ending

if TYPE_CHECKING:
    import asyncio

    from starlette.types import Receive, Scope, Send

_SCOPE_KEY = "queuecalls.wire"


class WireProtocol(AutoHTTPProtocol):  # type: ignore[misc,valid-type]  # h11 or httptools, known at run time
    """uvicorn's protocol, whose requests have access to their connection."""

    app: Any

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        app = self.app
        self._hanging = False

        async def app_with_wire(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope, _SCOPE_KEY: self}, receive, send)

        self.app = app_with_wire

    def shutdown(self) -> None:
        """End with the sandbox, at once where a client still waits for a response."""
        super().shutdown()
        if self._hanging:
            self.transport.abort()

    def close(self) -> None:
        """Close the connection after what has been sent."""
        self.transport.close()

    def reset(self) -> None:
        """Reset the connection."""
        connection = self.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def hang(self) -> None:
        """Leave the connection open until the client closes it or the sandbox stops."""
        self._hanging = True


class BrokenResponse(Response):
    """The beginning of a response of ``length`` bytes, or nothing; then the connection ends as ``ending`` says."""

    def __init__(self, beginning: bytes, length: int, ending: Ending, media_type: str) -> None:
        super().__init__(beginning, headers={"Content-Length": str(length)}, media_type=media_type)
        self._ending = ending

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.body:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": self.body, "more_body": True})
        _ENDINGS[self._ending](scope[_SCOPE_KEY])
        # Returning before the connection is gone would make the server finish the response.
        while (await receive())["type"] != "http.disconnect":
            pass


_ENDINGS: Mapping[Ending, Callable[[WireProtocol], None]] = {
    Ending.CLOSE: WireProtocol.close,
    Ending.RESET: WireProtocol.reset,
    Ending.HANG: WireProtocol.hang,
}
