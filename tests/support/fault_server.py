"""A server that fails on demand, over real sockets on 127.0.0.1.

    with FaultServer(hang()) as server:
        ...  # send something to server.url
    assert len(server.posts) == 1

The first request gets the first act, the next one the next, and the last act is repeated. An act is any function
of an :class:`Exchange`.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from typing_extensions import Self

KEPT_BYTES = 1 << 20
BLOCK_BYTES = 64 << 10
#: For a client that has left a connection open.
JOIN_SECONDS = 5

Headers = Iterable[tuple[str, str]]
Body = bytes | Iterable[bytes]


@dataclass
class Request:
    """One request: its head, the length and the beginning of the body received, and how long its response is so far."""

    head: bytes
    body: bytearray = field(default_factory=bytearray)
    received: int = 0
    response_bytes: int = 0

    @property
    def method(self) -> str:
        return self.head.split(b" ")[0].decode()

    @property
    def target(self) -> str:
        return self.head.split(b" ")[1].decode()

    @property
    def headers(self) -> dict[str, str]:
        lines = self.head.decode("latin-1").split("\r\n")[1:-2]
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    @property
    def length(self) -> int:
        return int(self.headers.get("content-length", 0))


class Exchange:
    """One connection with one request, for an act to play with."""

    def __init__(self, server: FaultServer, connection: socket.socket) -> None:
        self.server = server
        self.socket = connection
        head = b""
        while b"\r\n\r\n" not in head:
            if not (data := connection.recv(BLOCK_BYTES)):
                raise ConnectionError("no request came")
            head += data
        head, _, rest = head.partition(b"\r\n\r\n")
        self.request = Request(head + b"\r\n\r\n")
        self._take(rest)
        server.requests.append(self.request)

    def receive(self, upto: int | None = None) -> None:
        """Read the body: all that was announced, or up to so many bytes of it, or what comes before the end."""
        wanted = self.request.length if upto is None else upto
        while self.request.received < wanted and (data := self.socket.recv(BLOCK_BYTES)):
            self._take(data)

    def send(self, data: bytes, pause: float | None = None) -> None:
        """Send at once or, with a pause, byte by byte."""
        for piece in [data] if pause is None else (data[i : i + 1] for i in range(len(data))):
            self.socket.sendall(piece)
            self.request.response_bytes += len(piece)
            if pause and self.server.stopping.wait(pause):
                return

    def respond(self, code: int, body: Body = b"", headers: Headers = (), *, length: int | None = None) -> None:
        """Answer with a Content-Length, or in chunks where the body is not one piece.

        A ``length`` of its own leaves the response unfinished.
        """
        if isinstance(body, bytes):
            self.send(head(code, [*headers, ("Content-Length", str(len(body) if length is None else length))]))
            self.send(body)
            return
        self.send(head(code, [*headers, ("Transfer-Encoding", "chunked")]))
        for chunk in body:
            self.send(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        if length is None:
            self.send(b"0\r\n\r\n")

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def hang(self) -> None:
        self.server.stopping.wait()

    def relay(self, to: FaultServer) -> None:
        """Be a proxy: a tunnel for CONNECT, forward anything else. Whatever the target is called, it is ``to``."""
        with socket.create_connection((to.host, to.port)) as other:
            if self.request.method == "CONNECT":
                self.send(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                other.sendall(self.request.head + self.request.body)
            with selectors.DefaultSelector() as ways:
                ways.register(self.socket, selectors.EVENT_READ, other)
                ways.register(other, selectors.EVENT_READ, self.socket)
                while not self.server.stopping.is_set():
                    for ready, _ in ways.select(0.1):
                        if not (data := cast("socket.socket", ready.fileobj).recv(BLOCK_BYTES)):
                            return
                        ready.data.sendall(data)

    def _take(self, data: bytes) -> None:
        self.request.received += len(data)
        self.request.body += data[: KEPT_BYTES - len(self.request.body)]


Act = Callable[[Exchange], Any]


def head(code: int, headers: Headers = ()) -> bytes:
    reason = HTTPStatus(code).phrase if code in set(HTTPStatus) else "Whatever"
    lines = [f"HTTP/1.1 {code} {reason}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def respond(
    code: int, body: Body = b"", headers: Headers = (), *, receive: int | None = None, length: int | None = None
) -> Act:
    """Receive the body, or only so many bytes of it, respond and close. A ``length`` too large cuts the response."""

    def act(exchange: Exchange) -> None:
        exchange.receive(receive)
        exchange.respond(code, body, headers, length=length)

    return act


#: Queues a campaign, and lists no call, or one.
QUEUED = respond(200, b'<queuecalls status="queued"/>')
QUEUED_WITH_ID = respond(200, b'<queuecalls status="queued"><call call_id="100000001"/></queuecalls>')


def respond_early(code: int, body: bytes = b"") -> Act:
    """Answer before the body is read, and throw the body away, as servers do that close gently."""

    def act(exchange: Exchange) -> None:
        exchange.respond(code, body)
        exchange.receive()

    return act


def raw(data: bytes, pause: float | None = None) -> Act:
    """Receive everything, and send exactly this, at once or byte by byte."""

    def act(exchange: Exchange) -> None:
        exchange.receive()
        exchange.send(data, pause)

    return act


def reset(receive: int | None = None) -> Act:
    return lambda exchange: (exchange.receive(receive), exchange.reset())


def close(receive: int | None = None) -> Act:
    return lambda exchange: exchange.receive(receive)


def hang(receive: int | None = None) -> Act:
    return lambda exchange: (exchange.receive(receive), exchange.hang())


def relay(to: FaultServer) -> Act:
    """Be a proxy before that server, which the client knows by any other name: this machine has no proxy."""
    return lambda exchange: exchange.relay(to)


class FaultServer:
    """Serves acts until it is closed. ``connections`` counts connections, ``requests`` are those with a head."""

    def __init__(self, *acts: Act, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self.stopping = threading.Event()
        self._acts = acts
        self._tls = tls
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._last: tuple[str, int] | None = None
        self._listener = socket.socket()
        # Small, so that a list of some megabytes cannot hide in the buffers.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BLOCK_BYTES)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.host, self.port = self._listener.getsockname()
        self.url = f"{'https' if tls else 'http'}://{self.host}:{self.port}"

    @property
    def posts(self) -> list[Request]:
        return [request for request in self.requests if request.method == "POST"]

    @property
    def uploads(self) -> list[Request]:
        """The POSTs that came in whole: those that may have queued something."""
        return [post for post in self.posts if post.received == post.length]

    def __enter__(self) -> Self:
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the acts that wait, and let all others come to their end: then everything that was sent has arrived."""
        self.stopping.set()
        with socket.socket() as last:
            last.bind(("127.0.0.1", 0))
            self._last = last.getsockname()
            last.connect((self.host, self.port))
            self._threads[0].join()  # connections are accepted in their order, this one after all others
        for thread in self._threads:
            thread.join(JOIN_SECONDS)
        for one in [self._listener, *self._open]:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _serve(self) -> None:
        while True:
            connection, address = self._listener.accept()
            self._open.add(connection)
            if address == self._last:
                return
            self.connections += 1
            self._threads.append(threading.Thread(target=self._play, args=[connection], daemon=True))
            self._threads[-1].start()

    def _play(self, connection: socket.socket) -> None:
        try:
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.add(connection)
            exchange = Exchange(self, connection)
            self._acts[min(len(self.requests), len(self._acts)) - 1](exchange)
        except OSError:
            pass  # what the other side does to its connection is for the test to check
        finally:
            connection.close()
