"""Proxies: which one is used, what it sees, and that a loopback address is never reached through one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airflow_provider_queuecalls.exceptions import InvalidConnection, NotSent
from tests.conftest import Connect
from tests.integration.conftest import certificate
from tests.support.fault_server import FaultServer, relay, respond
from tests.support.outcomes import QUEUED_XML, assert_outcome, queue, says

if TYPE_CHECKING:
    import trustme

#: A service that only the proxy of a test can reach.
SERVICE = "http://service.invalid"


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
def test_the_environments_proxy_is_used_where_the_connection_has_none(
    name: str, connect: Connect, small_list: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultServer(says(QUEUED_XML)) as server, FaultServer(relay(server)) as proxy:
        monkeypatch.setenv(name, proxy.url)
        connect(SERVICE, allow_http=True)
        assert_outcome(queue(small_list), None, 200)
    assert [request.target for request in proxy.posts] == [f"{SERVICE}/webservice/queuecalls.php"]
    assert server.posts[0].headers["host"] == "service.invalid"


def test_a_host_in_no_proxy_is_not_reached_through_the_environments_proxy(
    connect: Connect, small_list: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultServer(says(QUEUED_XML)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "service.invalid")
        connect(SERVICE, allow_http=True)
        assert_outcome(queue(small_list), NotSent, None, sent=False)
    assert proxy.connections == 0


def test_the_connections_proxy_is_used_in_place_of_the_environments(
    connect: Connect, small_list: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultServer(says(QUEUED_XML)) as server, FaultServer(relay(server)) as proxy, FaultServer() as other:
        monkeypatch.setenv("http_proxy", other.url)
        connect(SERVICE, allow_http=True, proxies={"http": proxy.url})
        assert_outcome(queue(small_list), None, 200)
        connect(SERVICE, allow_http=True, proxies={"https": proxy.url})
        assert_outcome(queue(small_list), NotSent, None, sent=False)
    assert len(proxy.posts) == 1
    assert other.connections == 0


def test_a_proxy_that_cannot_be_reached_is_what_to_check(connect: Connect, small_list: Path) -> None:
    connect(SERVICE, allow_http=True, proxies={"http": "http://127.0.0.1:1"})
    assert "the connection was refused; check the proxy's host and port." in str(queue(small_list))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST"])
@pytest.mark.parametrize("given", ["by the environment", "by the connection"])
def test_a_loopback_address_is_never_reached_through_a_proxy(
    given: str, host: str, connect: Connect, small_list: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultServer(says(QUEUED_XML)) as server, FaultServer(relay(server)) as proxy:
        for name in ("http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        names = ["http", "all", f"http://{host.lower()}"] if given == "by the connection" else []
        connect(f"http://{host}:{server.port}", proxies=dict.fromkeys(names, proxy.url))
        assert_outcome(queue(small_list), None, 200)
    assert proxy.connections == 0


@pytest.mark.parametrize("host", ["[::1]", "127.1.2.3"])
def test_any_loopback_address_is_never_reached_through_a_proxy(
    host: str, connect: Connect, small_list: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultServer(says(QUEUED_XML)) as proxy:
        monkeypatch.setenv("all_proxy", proxy.url)
        connect(f"http://{host}:{proxy.port}")  # nobody listens there
        assert_outcome(queue(small_list), NotSent, None, sent=False)
    assert proxy.connections == 0


def test_a_tunnel_carries_no_credentials_to_the_proxy(
    connect: Connect, small_list: Path, authority: trustme.CA, authority_file: str
) -> None:
    with (
        FaultServer(says(QUEUED_XML), tls=certificate(authority, "service.invalid")) as server,
        FaultServer(relay(server)) as proxy,
    ):
        connect("https://service.invalid", verify=authority_file, proxies={"https": proxy.url})
        assert_outcome(queue(small_list), None, 200)
    assert [request.target for request in proxy.requests] == ["service.invalid:443"]
    assert [request.method for request in proxy.requests] == ["CONNECT"]
    assert "authorization" not in proxy.requests[0].headers
    assert "authorization" in server.posts[0].headers


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxys_credentials_reach_the_proxy_and_not_the_service(
    scheme: str, connect: Connect, small_list: Path, authority: trustme.CA, authority_file: str
) -> None:
    tls = certificate(authority, "service.invalid") if scheme == "https" else None
    with FaultServer(says(QUEUED_XML), tls=tls) as server, FaultServer(relay(server)) as proxy:
        proxies = {scheme: proxy.url.replace("//", "//me:s%40cret@")}
        connect(f"{scheme}://service.invalid", verify=authority_file, allow_http=True, proxies=proxies)
        assert_outcome(queue(small_list), None, 200)
    assert proxy.requests[0].headers["proxy-authorization"] == "Basic bWU6c0BjcmV0"
    assert scheme == "http" or "proxy-authorization" not in server.posts[0].headers


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_may_speak_tls_itself(
    scheme: str, connect: Connect, small_list: Path, authority: trustme.CA, authority_file: str
) -> None:
    tls = certificate(authority, "service.invalid") if scheme == "https" else None
    with (
        FaultServer(says(QUEUED_XML), tls=tls) as server,
        FaultServer(relay(server), tls=certificate(authority, "127.0.0.1")) as proxy,
    ):
        connect(f"{scheme}://service.invalid", verify=authority_file, allow_http=True, proxies={scheme: proxy.url})
        assert_outcome(queue(small_list), None, 200)
    assert len(server.uploads) == 1


@pytest.mark.parametrize("code", [403, 407, 502])
def test_a_proxy_that_refuses_the_tunnel_is_not_sent(
    code: int, connect: Connect, small_list: Path, authority_file: str
) -> None:
    with FaultServer(respond(code)) as proxy:
        connect("https://service.invalid", verify=authority_file, proxies={"https": proxy.url})
        result = queue(small_list)
    assert_outcome(result, NotSent, None, sent=False)
    assert f"through the proxy 127.0.0.1:{proxy.port}: the proxy refused a tunnel to the service (HTTP {code})" in str(
        result
    )
    assert proxy.connections == 1


@pytest.mark.parametrize("url", ["socks5://me:secret@proxy.invalid", "http://me:secret@proxy:x", "http://:secret@"])
def test_a_proxy_that_cannot_be_used_is_an_invalid_connection_and_not_shown(
    url: str, connect: Connect, small_list: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", url)
    connect("https://service.invalid")
    with pytest.raises(InvalidConnection, match="has a proxy that ") as caught:
        queue(small_list)
    assert "secret" not in str(caught.value)
    assert caught.value.__context__ is None
