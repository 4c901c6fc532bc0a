"""Ports of this machine."""

from __future__ import annotations

import random
import socket

#: Below those that the system gives to outgoing connections: one of these could take the port before its server does.
_CHOICE = range(20_000, 32_000)


def free_port() -> int:
    """A port that nobody listens on, for a server that cannot choose one itself."""
    for port in random.SystemRandom().sample(_CHOICE, len(_CHOICE)):
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue  # somebody listens there
    raise OSError(f"every port from {_CHOICE.start} to {_CHOICE.stop} is taken")
