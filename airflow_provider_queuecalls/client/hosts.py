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


def assert_proxy(proxy: str) -> None:
    """Raise :class:`ValueError` with what is wrong with a proxy's URL, without repeating it.

    ``requests`` makes the connection pool that it would send through, which connects to nothing yet.
    """
    import requests

    request = requests.Request("POST", "https://host/").prepare()
    try:
        parts = urlsplit(proxy)
        _resolvable(proxy)
        requests.adapters.HTTPAdapter().get_connection_with_tls_context(request, verify=True, proxies={"all": proxy})
    except (ValueError, OSError) as error:
        socks = isinstance(error, requests.exceptions.InvalidSchema) and proxy.startswith("socks")
        raise ValueError("needs the package PySocks" if socks else "is not a URL of a proxy") from None
    if parts.path.rstrip("/") or parts.query or parts.fragment:
        raise ValueError("has more than a scheme, credentials, a host, and a port; quote special characters in them")


def assert_environment_proxy(url: str) -> None:
    """Raise :class:`ValueError` if the proxy that the environment has for a URL is not valid."""
    from requests.utils import get_environ_proxies, prepend_scheme_if_needed, select_proxy

    if proxy := select_proxy(url, get_environ_proxies(url)):
        try:
            if "://" not in proxy:
                proxy = prepend_scheme_if_needed(proxy, "http")  # type: ignore[no-untyped-call]
        except (ValueError, TypeError):  # its TypeError is for a URL without a host
            raise ValueError("is not a URL of a proxy") from None
        assert_proxy(proxy)


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
