"""The way to the service: directly or through a proxy, and how TLS is set up on it."""

from __future__ import annotations

import base64
import http.client
import os
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_environ_proxies, select_proxy
from urllib3.util.ssltransport import SSLTransport

from airflow_provider_queuecalls.client.endpoint import Endpoint
from airflow_provider_queuecalls.client.hosts import is_loopback, read_proxy
from airflow_provider_queuecalls.exceptions import InvalidConnection, Violation

_PORTS = {"http": 80, "https": 443}


class TunnelRefused(OSError):
    """The proxy did not open a tunnel to the service."""


@dataclass(frozen=True)
class Route:
    """The way to one URL. ``str()`` of it shows no credentials.

    A loopback address is never reached through a proxy, whatever the connection and the environment say: the proxy
    would see the credentials and contacts of a plain HTTP request that must not leave this machine.
    """

    url: SplitResult
    proxy: SplitResult | None

    @classmethod
    def to(cls, endpoint: Endpoint) -> Route:
        """Choose the way. Raises :class:`InvalidConnection` for a proxy that cannot be used."""
        url = urlsplit(endpoint.url)
        if is_loopback(url.hostname or ""):
            return cls(url, None)
        proxies = get_environ_proxies(endpoint.url) if endpoint.proxies is None else dict(endpoint.proxies)
        if not (proxy := select_proxy(endpoint.url, proxies)):
            return cls(url, None)
        try:
            return cls(url, read_proxy(proxy if "://" in proxy else f"http://{proxy}"))
        except ValueError as problem:
            source = "the worker's environment" if endpoint.proxies is None else "the connection"
            # Without the URL, which may hold a password.
            violation = Violation("proxies", f"has a proxy that {problem}", "http and https URLs of proxies", source)
        raise InvalidConnection([violation])

    def __str__(self) -> str:
        proxy = f" through the proxy {_address(self.proxy)}" if self.proxy else ""
        return f"{self.url.geturl()}{proxy}"

    @property
    def first_hop(self) -> tuple[str, int]:
        """Host and port of the TCP connection."""
        hop = self.proxy or self.url
        return _host(hop), _port(hop)

    @property
    def target(self) -> str:
        """The request's target: the path, or for plain HTTP through a proxy the whole URL."""
        return self.url.geturl() if self.proxy and self.url.scheme == "http" else self.url.path

    @property
    def headers(self) -> dict[str, str]:
        """The headers that depend on the way."""
        credentials = self._proxy_credentials if self.url.scheme == "http" else {}
        port = f":{self.url.port}" if self.url.port else ""
        return {"Host": f"{_bracketed(_host(self.url))}{port}", **credentials}

    def layers(self, connection: socket.socket, verify: bool | str) -> Iterator[socket.socket]:
        """Put on a TCP connection what the way needs: TLS to the proxy, its tunnel, TLS to the service.

        Yields the connection again after each layer.
        """
        proxy = self.proxy
        if self.url.scheme == "https" or (proxy and proxy.scheme == "https"):
            context = _tls_context(verify)
        if proxy and proxy.scheme == "https":
            connection = context.wrap_socket(connection, server_hostname=_host(proxy))
            yield connection
        if self.url.scheme == "http":
            return
        if proxy:
            self._open_tunnel(connection)
        if isinstance(connection, ssl.SSLSocket):  # the ssl module has no TLS inside TLS
            yield SSLTransport(connection, context, server_hostname=_host(self.url))  # type: ignore[misc]
        else:
            yield context.wrap_socket(connection, server_hostname=_host(self.url))

    def _open_tunnel(self, connection: socket.socket) -> None:
        head = {"Host": _address(self.url), **self._proxy_credentials}
        lines = [f"CONNECT {_address(self.url)} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        response = http.client.HTTPResponse(connection, method="CONNECT")
        try:
            response.begin()
        finally:
            response.close()
        if response.status != 200:
            raise TunnelRefused(f"the proxy refused a tunnel to the service (HTTP {response.status})")

    @property
    def _proxy_credentials(self) -> dict[str, str]:
        if self.proxy is None or self.proxy.username is None:
            return {}
        user = f"{unquote(self.proxy.username)}:{unquote(self.proxy.password or '')}"
        return {"Proxy-Authorization": f"Basic {base64.b64encode(user.encode()).decode()}"}


def _tls_context(verify: bool | str) -> ssl.SSLContext:
    if verify is False:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        named = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") if verify is True else verify
        path = named or DEFAULT_CA_BUNDLE_PATH
        is_directory = os.path.isdir(path)
        try:
            context = ssl.create_default_context(
                cafile=None if is_directory else path, capath=path if is_directory else None
            )
        except OSError:
            problem = f"is {path!r}, which cannot be read as CA certificates here"
            rule = "the path of a file with CA certificates in PEM"
            source = "the worker's environment" if verify is True else "the connection"
            raise InvalidConnection([Violation("verify", problem, rule, source)]) from None
    context.set_alpn_protocols(["http/1.1"])
    return context


def _host(url: SplitResult) -> str:
    """The host as the wire needs it. Raises :class:`UnicodeError` for a name that no host can have."""
    return (url.hostname or "").encode("idna").decode()


def _port(url: SplitResult) -> int:
    return url.port or _PORTS[url.scheme]


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _address(url: SplitResult) -> str:
    return f"{_bracketed(_host(url))}:{_port(url)}"
