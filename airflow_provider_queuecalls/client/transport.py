"""One request over ``requests``, sent once and bounded in time.

``requests`` alone follows redirects, gives the sending the connect timeout, and lets an answer that drips last for
ever. The session here doesn't, and it can be closed from another thread or a signal handler.
"""

from __future__ import annotations

import http.client
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies
from urllib3.exceptions import HTTPError

from airflow_provider_queuecalls import __version__
from airflow_provider_queuecalls.client.endpoint import Endpoint
from airflow_provider_queuecalls.client.response import CutShort

BLOCK_BYTES = 256 << 10
PACKED_BLOCK_BYTES = 1 << 10


class Transport:
    """The way to one endpoint, for one request. Close it to break off whatever is under way.

    ``read_timeout`` bounds each wait for the service to take a block of the body, and then the whole wait for the
    answer, from the body's last byte to the answer's.
    """

    def __init__(
        self, endpoint: Endpoint, *, connect_timeout: float | None = None, read_timeout: float | None = None
    ) -> None:
        self.timed_out = False
        self._endpoint = endpoint
        self._timeouts = (connect_timeout or endpoint.connect_timeout, read_timeout or endpoint.read_timeout)
        self._socket: socket.socket | None = None
        self._closed = False
        self._response: requests.Response | None = None
        self._watchdog = threading.Timer(self._timeouts[1], self._give_up)
        self._watchdog.daemon = True
        self._session = _Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _Adapter(self))
        # Without this, requests would take credentials out of a .netrc, and the environment's proxies before ours.
        self._session.trust_env = False
        self._session.headers.update(
            {"User-Agent": f"airflow-provider-queuecalls/{__version__}", "Accept-Encoding": "identity"}
        )
        if endpoint.basic_auth:
            self._session.headers["Authorization"] = f"Basic {endpoint.basic}"

    def __enter__(self) -> Transport:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watchdog.cancel()
        if self._response is not None:
            self._response.close()  # one that wasn't read to its end keeps its connection
        self._session.close()

    def request(self, method: str, body: Any = None, content_type: str | None = None) -> requests.Response:
        """Send the one request and wait for the answer's head. Raises :class:`requests.RequestException`."""
        self._response = response = self._session.request(
            method,
            self._endpoint.url,
            data=body,
            headers={"Content-Type": content_type},
            timeout=self._timeouts,
            verify=_authorities(self._endpoint.verify),
            proxies=_proxies(self._endpoint),
            stream=True,
        )
        if self.timed_out:  # http.client takes the end of the connection for the end of the head
            raise requests.ReadTimeout("the head of the answer came too slowly")
        return response

    def chunks(self, response: requests.Response) -> Iterator[bytes]:
        """The answer's body as it comes in. Raises :class:`CutShort`."""
        # What is packed, unasked, may be a thousand times longer, and urllib3 before 2.6 unpacks a block at once.
        block_bytes = PACKED_BLOCK_BYTES if "Content-Encoding" in response.headers else BLOCK_BYTES
        try:
            yield from response.raw.stream(block_bytes, decode_content=True)
        except (HTTPError, OSError) as error:
            raise CutShort(
                "the answer came too slowly" if self.timed_out else f"the answer was cut short ({type(error).__name__})"
            ) from None
        if self.timed_out:
            raise CutShort("the answer came too slowly")

    def close(self) -> None:
        """Break off the request, from any thread. What has left has left."""
        self._closed = True
        if self._socket is not None:
            with suppress(OSError):  # it is closed already
                # Not the TLS layer's own shutdown, which isn't safe while another thread reads.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def connected(self, connection: Any) -> None:
        """Take note of the connection; what is sent over it has the time that an answer has."""
        connection.sock.settimeout(self._timeouts[1])
        connection.timeout = self._timeouts[1]  # what urllib3 sets again before it sends, if it connected earlier
        self._socket = getattr(connection.sock, "socket", connection.sock)  # TLS inside TLS wraps the socket
        if self._closed:
            raise ConnectionAbortedError("closed before it was connected")

    def waiting(self) -> None:
        """Take note that the body is out: from now on the answer's time runs."""
        self._watchdog.start()

    def _give_up(self) -> None:
        self.timed_out = True
        self.close()


def _proxies(endpoint: Endpoint) -> dict[str, str]:
    return dict(get_environ_proxies(endpoint.url) if endpoint.proxies is None else endpoint.proxies)


def _authorities(verify: bool | str) -> bool | str:
    if verify is True:
        return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
    return verify


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Follow nothing, and don't read a redirect's body either."""


class _Reply(http.client.HTTPResponse):
    def begin(self) -> None:
        """Forget what stands between the headers and is none: urllib3 would log it, and it may repeat the PIN."""
        super().begin()
        self.headers.set_payload("")
        self.headers.defects.clear()


class _Adapter(HTTPAdapter):
    """Tells the transport about its connection: when it is made, and when the body is out."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, blocksize=BLOCK_BYTES, **kwargs)

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        transport, plain = self._transport, pool.ConnectionCls

        class Observed(plain):  # type: ignore[misc,valid-type]
            response_class = _Reply

            def connect(self) -> None:
                super().connect()
                transport.connected(self)

            def getresponse(self) -> Any:
                transport.waiting()
                return super().getresponse()

        pool.ConnectionCls = Observed
        return pool
