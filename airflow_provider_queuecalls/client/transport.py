"""One HTTP request, sent once and bounded in time.

It uses ``http.client``, which repeats nothing, follows no redirect and reads no ``.netrc``. A library above it, such as
``requests``, has no limit for connecting as a whole and hides the socket until TLS is set up, so nothing could break off
a handshake.
"""

from __future__ import annotations

import http.client
import logging
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from airflow_provider_queuecalls import __version__
from airflow_provider_queuecalls.client.endpoint import Endpoint
from airflow_provider_queuecalls.client.multipart import BLOCK_BYTES, MultipartBody
from airflow_provider_queuecalls.client.response import CutShort
from airflow_provider_queuecalls.client.route import Route

_log = logging.getLogger(__name__)
#: How many interim responses, such as 103 (Early Hints), may come before the response.
MOST_INTERIM_RESPONSES = 20


class BrokenOff(ConnectionAbortedError):
    """The request was broken off on this side. The message says why."""


class _Response(http.client.HTTPResponse):
    """The response itself: interim ones (1xx, but 101 is final) are skipped, of which http.client skips only 100."""

    def begin(self) -> None:
        for _ in range(MOST_INTERIM_RESPONSES + 1):
            self.headers = None  # type: ignore[assignment]  # so that the next head is read
            super().begin()
            if self.status == http.HTTPStatus.SWITCHING_PROTOCOLS or not 100 <= self.status < 200:
                break


class Transport:
    """The connection to one endpoint, for one request: :meth:`connect`, then :meth:`request`, then :meth:`chunks`.

    :param connect_timeout: seconds to connect, including a proxy's tunnel and TLS; default is the endpoint's. The
        system's resolver has limits of its own, which cannot be shortened
    :param read_timeout: seconds for the service to accept one block of the body, and again for the whole response after
        the last block; default is the endpoint's
    """

    def __init__(
        self, endpoint: Endpoint, *, connect_timeout: float | None = None, read_timeout: float | None = None
    ) -> None:
        #: Why the request was broken off on this side; None as long as it wasn't.
        self.broken_off: str | None = None
        self.route = Route.to(endpoint)
        self._endpoint = endpoint
        self._connect_timeout = connect_timeout or endpoint.connect_timeout
        self._read_timeout = read_timeout or endpoint.read_timeout
        self._handle: socket.socket | None = None
        self._stack = ExitStack()
        self._connection = http.client.HTTPConnection("", blocksize=BLOCK_BYTES)
        self._connection.response_class = _Response
        self._connection.auto_open = 0  # it gets its socket from connect(), once

    def __enter__(self) -> Transport:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def connect(self) -> None:
        """Connect to the service. Raises :class:`OSError` and other errors of the network, and sends no request."""
        _log.debug("Connecting to %s", self.route)
        self._stack.callback(self._connection.close)
        with self._time_limit(
            self._connect_timeout, f"it could not be reached within {self._connect_timeout:g} s (connect_timeout)"
        ):
            connection = self._open(time.monotonic() + self._connect_timeout)
            self._connection.sock = connection
            for layer in self.route.layers(connection, self._endpoint.verify):
                self._connection.sock = layer
        self._raise_if_broken_off()
        self._connection.sock.settimeout(self._read_timeout)

    @property
    def tls_version(self) -> str | None:
        """The version of TLS that was agreed upon; None without TLS."""
        version = getattr(self._connection.sock, "version", None)
        return version() if version else None

    def request(
        self, method: str, body: MultipartBody | None = None, content_type: str | None = None
    ) -> http.client.HTTPResponse:
        """Send the request and wait for the response's head.

        Raises :class:`OSError` and :class:`http.client.HTTPException`.
        """
        headers = {
            **self.route.headers,
            "User-Agent": f"airflow-provider-queuecalls/{__version__}",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
        }
        if self._endpoint.basic_auth:
            headers["Authorization"] = f"Basic {self._endpoint.basic_credentials}"
        if body is not None and content_type:
            headers |= {"Content-Type": content_type, "Content-Length": str(len(body))}
        try:
            self._connection.request(method, self.route.target, body, headers)
        except TimeoutError:
            raise BrokenOff(f"the service accepted no data for {self._read_timeout:g} s (read_timeout)") from None
        except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
            pass  # a service that refuses may respond before it has read everything
        self._stack.enter_context(
            self._time_limit(
                self._read_timeout, f"its response was not complete within {self._read_timeout:g} s (read_timeout)"
            )
        )
        self._connection.sock.settimeout(None)  # the time limit above is the only one from here on
        response = self._connection.getresponse()
        self._stack.callback(response.close)
        self._raise_if_broken_off()  # http.client takes the end of the connection for the end of the head
        return response

    def chunks(self, response: http.client.HTTPResponse) -> Iterator[bytes]:
        """The response's body as it comes in, unpacked. Raises :class:`CutShort`."""
        packed = response.headers.get("Content-Encoding", "").strip().lower() in ("gzip", "x-gzip", "deflate")
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32) if packed else None  # 32: gzip or zlib, by its first bytes
        try:
            while block := response.read(BLOCK_BYTES):
                if unpacker is None:
                    yield block
                while unpacker and block:
                    yield unpacker.decompress(block, BLOCK_BYTES)
                    block = unpacker.unconsumed_tail
        except (http.client.HTTPException, OSError, zlib.error) as error:
            raise CutShort(self.broken_off or f"the response was cut short ({type(error).__name__})") from None
        if self.broken_off:
            raise CutShort(self.broken_off)
        if response.length or (unpacker and (not unpacker.eof or unpacker.unused_data)):
            raise CutShort("the response was cut short")

    def abort(self, reason: str = "the task was stopped") -> None:
        """Break off the request, from any thread or a signal handler. Nothing is sent afterwards."""
        self.broken_off = self.broken_off or reason
        if self._handle is not None:
            with suppress(OSError):  # it is closed already
                self._handle.shutdown(socket.SHUT_RDWR)

    def _open(self, deadline: float) -> socket.socket:
        """Connect to the first of the host's addresses that accepts."""
        failure = OSError("the host has no address")
        for family, kind, protocol, _, address in socket.getaddrinfo(*self.route.first_hop, type=socket.SOCK_STREAM):
            connection = socket.socket(family, kind, protocol)
            try:
                self._hold(connection)
                connection.settimeout(max(deadline - time.monotonic(), 1e-3))
                connection.connect(address)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return connection
            except BaseException as error:
                connection.close()
                if not isinstance(error, OSError) or self.broken_off:
                    raise
                failure = error
        raise failure

    def _hold(self, connection: socket.socket) -> None:
        """Keep a handle by which :meth:`abort` reaches the connection, whatever TLS wraps around it."""
        if self._handle is not None:
            self._handle.close()
        self._handle = connection.dup()
        self._stack.callback(self._handle.close)
        self._raise_if_broken_off()

    def _raise_if_broken_off(self) -> None:
        if self.broken_off:
            raise BrokenOff(self.broken_off)

    @contextmanager
    def _time_limit(self, seconds: float, reason: str) -> Iterator[None]:
        watchdog = threading.Timer(seconds, self.abort, [reason])
        watchdog.daemon = True
        watchdog.start()
        try:
            yield
        except TimeoutError:
            raise BrokenOff(reason) from None
        finally:
            watchdog.cancel()
            watchdog.join()
