"""Sockets that a program of ours listens on, and the URLs that lead to them from this machine."""

from __future__ import annotations

import errno
import socket

from airflow_provider_queuecalls.exceptions import QueueCallsError

LOOPBACK = "127.0.0.1"
#: Connections that may wait to be accepted: the service posts many results at once.
BACKLOG = 2048


def listen(host: str, port: int) -> socket.socket:
    """Listen on an address; port 0 is any free one. Raises :class:`QueueCallsError` if that cannot be."""
    try:
        family, *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OverflowError:
        problem = "the port must be a number from 0 to 65535"
    except OSError as error:
        in_use = "another program already does; stop it, or choose another port"
        problem = in_use if error.errno == errno.EADDRINUSE else str(error.strerror)
    raise QueueCallsError(f"Cannot listen on {host}:{port}: {problem}.")


def reachable_host(listener: socket.socket) -> str:
    """The address at which this machine reaches the socket."""
    host = str(listener.getsockname()[0])
    return {"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host)  # noqa: S104  # every address, so this machine's too


def url_to(listener: socket.socket) -> str:
    """The URL of that address and its port."""
    host, port = reachable_host(listener), listener.getsockname()[1]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
