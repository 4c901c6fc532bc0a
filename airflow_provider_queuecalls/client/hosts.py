"""Which hosts and proxies a request can be sent to.

A host or proxy that cannot work is reported when the connection is read. Later it would look like a network problem,
and the task would try again.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

#: A longer name cannot be resolved (RFC 1035).
LONGEST_HOST = 253


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, so that nothing travels over a network."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def ascii_url(url: str) -> str:
    """Normalize a URL with ``requests``; an international host becomes ASCII.

    Raises :class:`ValueError` if ``requests`` cannot send it, or if its host is not a valid host name (RFC 1035).
    """
    import requests

    prepared = str(requests.Request("POST", url).prepare().url)
    _assert_host(prepared)
    return prepared


def read_proxy(proxy: str) -> SplitResult:
    """Return the parts of a proxy's URL. Raises :class:`ValueError` with the problem, which never repeats the URL."""
    try:
        parts = urlsplit(proxy)
        _assert_host(proxy)
        proxy.encode()
    except ValueError:
        raise ValueError("is not a URL of a proxy") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError("does not start with http:// or https://")
    if parts.port == 0 or parts.path.rstrip("/") or parts.query or parts.fragment:
        raise ValueError("has more than credentials, a host, and a port; percent-encode special characters in them")
    return parts


def _assert_host(url: str) -> None:
    """Raise :class:`ValueError` unless two parsers find the same host in a URL, and a resolver can be asked for it."""
    from urllib3.util import parse_url

    ours, theirs = urlsplit(url), parse_url(url)
    host = ours.hostname or ""
    same = (host.encode("idna"), ours.port) == ((theirs.host or "").strip("[]").encode("idna").lower(), theirs.port)
    if not host or not same or re.search(r"[\s/\\?#%]", host) or len(host.encode("idna").rstrip(b".")) > LONGEST_HOST:
        raise ValueError("has no valid host")
