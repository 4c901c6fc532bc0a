"""Which hosts and proxies the libraries that send the request can use.

They are asked themselves, so that a connection that is accepted here does not fail there: an error of theirs would be
taken for a network problem and tried again, and it repeats the URL with its password.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

#: DNS knows no longer names.
LONGEST_HOST = 253


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, so that nothing travels over a network."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def requested_url(url: str) -> str:
    """Return a URL as ``requests`` sends it, with an international host in its ASCII form.

    Raises :class:`ValueError` if ``requests`` cannot send it, or if its host cannot be resolved by design.
    """
    import requests

    prepared = str(requests.Request("POST", url).prepare().url)
    _resolvable(prepared)
    return prepared


def is_proxy_url(proxy: str) -> bool:
    """Whether ``requests`` can use a proxy's URL, and means the same host, port and password by it."""
    from requests.utils import get_auth_from_url

    try:
        parts = urlsplit(proxy)
        _resolvable(proxy)
        get_auth_from_url(proxy)
        return parts.scheme in ("http", "https", "socks4", "socks4a", "socks5", "socks5h") and not (
            parts.path.rstrip("/") or parts.query or parts.fragment
        )
    except ValueError:
        return False


def environment_proxy(url: str) -> str | None:
    """Return the proxy that the environment names for a URL, as ``requests`` understands it."""
    from requests.utils import get_environ_proxies, select_proxy

    proxy = select_proxy(url, get_environ_proxies(url))
    return proxy if not proxy or "://" in proxy else f"http://{proxy}"


def _resolvable(url: str) -> None:
    """Raise :class:`ValueError` unless both parsers that read a URL find one host in it, and DNS can be asked for it."""
    from urllib3.util import parse_url

    ours, theirs = urlsplit(url), parse_url(url)
    host = ours.hostname or ""
    if (
        not host
        or re.search(r"[\s/\\\\?#%]", host)
        or (host, ours.port) != ((theirs.host or "").strip("[]"), theirs.port)
    ):
        raise ValueError("has no host, or an ambiguous one")
    if ":" not in host and len(host.encode("idna").rstrip(b".")) > LONGEST_HOST:
        raise ValueError("has a host that is too long")
