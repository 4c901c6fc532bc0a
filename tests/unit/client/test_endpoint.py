"""Reading a Connection: what it says, what it leaves out, and what is wrong with it."""

from __future__ import annotations

import json
import re
import traceback
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from urllib3.util import parse_url

from airflow_provider_queuecalls.client.connection import DEFAULT_HOST, EXTRAS
from airflow_provider_queuecalls.client.endpoint import Endpoint, undefined_connection
from airflow_provider_queuecalls.client.route import Route
from airflow_provider_queuecalls.exceptions import InvalidConnection
from airflow_provider_queuecalls.parameters import show_conn_id

DEFAULT_URL = f"https://{DEFAULT_HOST}/webservice/queuecalls.php"


def connection(*, extra: Any = None, **values: Any) -> Any:
    fields = {"conn_id": "calls", "host": None, "schema": None, "port": None, "login": "bob", "password": "4711"}
    return SimpleNamespace(
        **{**fields, **values, "extra": extra if isinstance(extra, str) else json.dumps(extra or {})}
    )


def endpoint(**values: Any) -> Endpoint:
    return Endpoint.from_connection(connection(**values))


def violations(**values: Any) -> list[str]:
    """The names of what is wrong."""
    with pytest.raises(InvalidConnection) as caught:
        endpoint(**values)
    assert "'calls'" in str(caught.value)
    return [violation.parameter for violation in caught.value.violations]


@pytest.mark.parametrize(
    ("values", "url"),
    [
        ({}, DEFAULT_URL),
        ({"host": " ", "schema": ""}, DEFAULT_URL),
        ({"host": "calls.example"}, "https://calls.example/webservice/queuecalls.php"),
        ({"host": "calls.example", "port": 443}, "https://calls.example/webservice/queuecalls.php"),
        ({"host": "https://calls.example:443/q.php"}, "https://calls.example/q.php"),
        ({"host": "127.0.0.1", "schema": "http", "port": 80}, "http://127.0.0.1/webservice/queuecalls.php"),
        ({"host": "127.0.0.1", "schema": "http", "port": 443}, "http://127.0.0.1:443/webservice/queuecalls.php"),
        ({"host": "calls.example", "port": 8443}, "https://calls.example:8443/webservice/queuecalls.php"),
        ({"host": "calls.example:8443"}, "https://calls.example:8443/webservice/queuecalls.php"),
        ({"host": "calls.example", "extra": {"path": "/out/q.php"}}, "https://calls.example/out/q.php"),
        ({"host": "10.1.2.3/outbound/q.php"}, "https://10.1.2.3/outbound/q.php"),
        ({"host": "https://calls.example:8443/q.php"}, "https://calls.example:8443/q.php"),
        ({"host": "https://calls.example/"}, "https://calls.example/webservice/queuecalls.php"),
        ({"host": "https://calls.example", "schema": "https", "port": 443}, "https://calls.example/webservice/queuecalls.php"),
        ({"host": "http://127.0.0.1:8099"}, "http://127.0.0.1:8099/webservice/queuecalls.php"),
        ({"host": "localhost", "schema": "HTTP"}, "http://localhost/webservice/queuecalls.php"),
        ({"host": "::1", "schema": "http", "port": 80}, "http://[::1]/webservice/queuecalls.php"),
        ({"host": "http://[::1]:8099/q"}, "http://[::1]:8099/q"),
        ({"host": "Bücher.example"}, "https://xn--bcher-kva.example/webservice/queuecalls.php"),
        ({"host": "with_underscore.example"}, "https://with_underscore.example/webservice/queuecalls.php"),
        ({"host": "http://calls.example", "extra": {"allow_http": True}}, "http://calls.example/webservice/queuecalls.php"),
        ({"host": "http://calls.example", "extra": {"allow_http": "true"}}, "http://calls.example/webservice/queuecalls.php"),
    ],
)  # fmt: skip
def test_the_url_comes_from_host_scheme_port_and_path(values: dict[str, Any], url: str) -> None:
    assert endpoint(**values).url == url


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({"host": "http://calls.example"}, ["schema"]),
        ({"host": "calls.example", "schema": "http"}, ["schema"]),
        ({"host": "127.0.0.1.evil.example", "schema": "http"}, ["schema"]),
        ({"host": "10.0.0.1", "schema": "http"}, ["schema"]),
        ({"host": "ftp://calls.example"}, ["host"]),
        ({"host": "calls.example", "schema": "queuecalls"}, ["schema"]),
        ({"host": "https://bob:4711@calls.example"}, ["host"]),
        ({"host": "https://calls.example/q?pin=4711"}, ["host"]),
        ({"host": "https://calls.example/q#x"}, ["host"]),
        ({"host": "https://calls.example:port"}, ["host"]),
        ({"host": "https://"}, ["host"]),
        ({"host": "two words"}, ["host"]),
        ({"host": "https://…"}, ["host"]),
        ({"host": "…"}, ["host"]),
        ({"host": "a" * 64 + ".example"}, ["host"]),
        ({"host": "a." * 130 + "example"}, ["host"]),
        ({"host": "a..example"}, ["host"]),
        ({"host": "calls\u3002example"}, ["host"]),
        ({"host": "\uff11\uff12\uff17.0.0.1"}, ["host"]),
        ({"host": ".example"}, ["host"]),
        ({"host": "*.example"}, ["host"]),
        ({"host": "calls\n.example"}, ["host"]),
        ({"host": "ex%61mple"}, ["host"]),
        ({"host": "fe80::1%eth0"}, ["host"]),
        ({"host": "https://calls.example:0"}, ["host"]),
        ({"host": "xn--a\u00e9.example"}, ["host"]),
        ({"host": "https://calls.example/a b"}, ["host"]),
        ({"host": "https://calls.example", "schema": "http"}, ["schema"]),
        ({"host": "https://calls.example:1", "port": 2}, ["port"]),
        ({"host": "https://calls.example/a", "extra": {"path": "/b"}}, ["path"]),
        ({"port": 70_000}, ["port"]),
        ({"port": -1}, ["port"]),
        ({"login": None}, ["login"]),
        ({"login": ""}, ["login"]),
        ({"password": None}, ["password"]),
        ({"login": "a:b"}, ["login"]),
        ({"login": "a" * 129}, ["login"]),
        ({"login": "é" * 65}, ["login"]),
        ({"password": "1" * 17}, ["password"]),
        ({"password": "é" * 9}, ["password"]),
        ({"extra": {"pin": "1" * 17}}, ["pin"]),
        ({"login": "\ud800"}, ["login"]),
    ],
)
def test_what_is_wrong_is_named(values: dict[str, Any], names: list[str]) -> None:
    assert violations(**values) == names


def test_a_port_that_differs_is_explained() -> None:
    with pytest.raises(InvalidConnection, match=r"port is 2, .* in host; it must be the same as in the URL, or unset"):
        endpoint(host="https://calls.example:1", port=2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("path", value) for value in ("q.php", "/a b", "/a?b", "/a#b", 1, ["/"])],
        *[("pin", value) for value in (4711, True, ["4711"])],
        *[(name, value) for name in ("basic_auth", "allow_http") for value in ("yes", 2, "-1", [], 1.0)],
        *[("field_names", value) for value in ("x", "[]", ["a"], {"max_retries": 1}, {"unknown": "x"}, {"secure": "a b"})],
        *[("queued_values", value) for value in ("x", ["a"], {"state": 1}, {"state": ""}, {" ": "accepted"})],
        *[("notify_numbers", value) for value in (True, 1.5, {"a": "b"}, [None], [["1"]], ["1,2"], ["1"] * 101)],
        *[("field_names", value) for value in ({"secure": 'a"b'}, {"secure": "a\r\nb"}, {"secure": ""}, {"secure": "login"})],
        *[(f"{kind}_timeout", value) for kind in ("connect", "read") for value in (0, -1, "x", True, [], "nan", "inf")],
        *[("verify", value) for value in ("/no/such/file", 2, [])],
        *[("campaign_url", value) for value in (
            1, True, ["https://x.example/{campaign_name}"], "/campaigns/{campaign_name}", "x.example/{campaign_name}",
            "javascript:alert('{campaign_name}')", "ftp://x.example/{campaign_name}", "https:///{campaign_name}",
            "https://x.example/campaigns", "https://x.example/{name}", "https://x.example/{campaign_name}/{id}",
            "https://x.example/{campaign_name", "https://x.example/{{campaign_name}}", "https://x.example/{campaign_name!r}",
            "https://{campaign_name}.example/{campaign_name}", "https://bob:4711@x.example/{campaign_name}",
            "https://x.example/a b/{campaign_name}", "https://x.example/\r\n{campaign_name}", "https://x.example/\x00{campaign_name}",
            "https://x.example/\ud800{campaign_name}", "https://x.example:port/{campaign_name}",
        )],
        *[("proxies", value) for value in ("proxy:3128", {"https": "proxy:3128"}, {"https": "http://u:p@[bad"}, {"https": "http://"}, {"https": 1}, [], True)],
    ],
)  # fmt: skip
def test_an_extra_of_a_wrong_type_or_value_is_named(name: str, value: Any) -> None:
    assert violations(extra={name: value}) == [name]


@pytest.mark.parametrize(
    ("name", "problem"),
    [("unknown", "has an unknown parameter: 'unknown'"), ("16175550143", "has an unknown parameter;")],
)
def test_an_unknown_parameter_in_field_names_is_named_unless_it_may_be_a_number(name: str, problem: str) -> None:
    with pytest.raises(InvalidConnection, match=problem) as caught:
        endpoint(extra={"field_names": {name: "x"}})
    assert "16175550143" not in str(caught.value)


def test_a_url_that_is_given_as_the_id_of_a_connection_is_not_shown() -> None:
    url = "https://service.example/?password=secret"
    assert "secret" not in str(undefined_connection(url))
    assert show_conn_id(url) == "(not shown)"


@pytest.mark.parametrize(
    ("extra", "name"),
    [
        ({"timeout": 3}, "extra 'timeout'"),
        ({"Verify": True}, "extra 'Verify'"),
        ({"16175550143": 1}, "a key of the extra"),
    ],
)
def test_an_unknown_extra_is_named(extra: dict[str, Any], name: str) -> None:
    assert violations(extra=extra) == [name]


@pytest.mark.parametrize("extra", ["not json", "[]", "1", '"text"'])
def test_an_extra_that_is_no_object_is_refused(extra: str) -> None:
    assert violations(extra=extra) == ["extra"]


def test_everything_wrong_is_reported_together() -> None:
    assert violations(login=None, host="ftp://x", extra={"verify": 2, "nonsense": 1}) == [
        "extra 'nonsense'", "host", "login", "verify",
    ]  # fmt: skip


@pytest.mark.parametrize("empty", [None, "", "  ", {}])
def test_an_extra_left_empty_has_its_default(empty: Any) -> None:
    read = endpoint(extra=dict.fromkeys(EXTRAS, empty))
    assert read == endpoint()
    assert (read.connect_timeout, read.read_timeout, read.verify, read.basic_auth) == (10.0, 300.0, True, True)


def test_extras_may_come_as_texts_from_a_connections_uri() -> None:
    read = endpoint(
        extra={
            "basic_auth": "false", "connect_timeout": "2.5", "read_timeout": "30", "verify": "False",
            "field_names": '{"secure": "is_pci"}', "proxies": '{"https": "http://127.0.0.1:3128"}', "pin": "99",
        }
    )  # fmt: skip
    assert (read.basic_auth, read.connect_timeout, read.read_timeout, read.verify) == (False, 2.5, 30.0, False)
    assert (read.field_names, read.proxies) == ({"secure": "is_pci"}, {"https": "http://127.0.0.1:3128"})
    assert (read.password, read.pin) == ("4711", "99")


@pytest.mark.parametrize(
    ("campaign_url", "name", "url"),
    [
        ("https://x.example/c/{campaign_name}", "spring", "https://x.example/c/spring"),
        (" http://x.example:80?n={campaign_name} ", "spring", "http://x.example:80?n=spring"),
        ("https://x.example/#/c?n={campaign_name}&m={campaign_name}", "a&b", "https://x.example/#/c?n=a%26b&m=a%26b"),
        ("https://x.example/c/{campaign_name}", "../a b/ü?#%+\"'", "https://x.example/c/..%2Fa%20b%2F%C3%BC%3F%23%25%2B%22%27"),
        ("https://x.example/c/{campaign_name}", "{campaign_name}{0}", "https://x.example/c/%7Bcampaign_name%7D%7B0%7D"),
        ("https://x.example/100%/{campaign_name}", "a", "https://x.example/100%/a"),
    ],
)  # fmt: skip
def test_a_campaigns_name_is_put_into_the_campaign_url(campaign_url: str, name: str, url: str) -> None:
    assert endpoint(extra={"campaign_url": campaign_url}).url_of_campaign(name) == url


@pytest.mark.parametrize("unset", [None, "", "  "])
def test_without_campaign_url_a_campaign_has_none(unset: Any) -> None:
    assert endpoint(extra={"campaign_url": unset}).url_of_campaign("spring") is None


def test_verify_takes_a_ca_file(tmp_path: Any) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_text("")
    assert endpoint(extra={"verify": str(authority)}).verify == str(authority)


def test_a_long_password_is_fine_if_the_pin_is_another() -> None:
    assert endpoint(password="p" * 100, extra={"pin": "4711"}).pin == "4711"


def test_without_basic_the_extra_pin_is_enough() -> None:
    assert endpoint(password=None, extra={"pin": "4711", "basic_auth": False}).pin == "4711"


def test_basic_credentials_are_utf_8() -> None:
    assert endpoint(login="zoë", password="pässwörd").basic_credentials == "em/Dqzpww6Rzc3fDtnJk"


def test_an_endpoint_shows_no_secret() -> None:
    shown = repr(
        endpoint(login="bob-the-login", password="4711-secret", extra={"proxies": {"https": "http://u:pw@127.0.0.1:1"}})
    )
    assert not [secret for secret in ("bob-the-login", "4711-secret", "u:pw") if secret in shown]


HOST_PARTS = st.sampled_from(
    [
        *("https://", "http://", "calls", ".example", "::1", "127.0.0.1", ":443", "a" * 64, "xn--"),
        *"éß…\u3002\u200b\u00ad.-_:/[]@%?#* \\\t{}<>\"'`^|~!$&()+,;=0",
    ]
)  # fmt: skip


@given(st.one_of(st.lists(HOST_PARTS, max_size=6).map("".join), st.text(max_size=20)))
def test_any_host_is_refused_or_can_be_requested_and_resolved(host: str) -> None:
    try:
        url = endpoint(host=host, extra={"allow_http": True}).url
    except InvalidConnection as error:
        assert {violation.parameter for violation in error.violations} <= {"host", "schema", "path"}  # noqa: PT017
        return
    assert requests.Request("POST", url).prepare().url == url
    name = urlsplit(url).hostname or ""
    assert name == (parse_url(url).host or "").strip("[]")
    assert name.encode("idna")  # as the resolver does
    if re.fullmatch(r"[a-z.]+", host):
        assert name == host


@pytest.mark.parametrize(
    "proxy",
    [
        "http://zoe-login:4711-s#cret@proxy.example:3128", "http://zoe-login:4711-s/cret@proxy.example:3128", "http://zoe-login:4711-s[cret@proxy.example:3128",
        "http://zoe-login:4711-s?cret@proxy.example:3128", "http://zoe-login:4711-s%zzcret@:3128", "zoe-login:4711-scret@proxy.example:3128",
        "socks5://zoe-login:4711-scret@proxy.example:1080", "http://zoe-login:4711-scret@proxy.example:port", "http://zoe-login:4711-\ud800cret@proxy.example",
        "http://zoe-login:4711-scret@" + "a" * 64, "http://zoe-login:4711-scret@proxy.example:0", "http://zoe-login:4711-scret@proxy.example/path",
    ],
)  # fmt: skip
def test_a_proxy_that_cannot_be_used_is_refused_and_not_shown(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidConnection) as caught:
        endpoint(extra={"proxies": {"https": proxy}})
    shown = "".join(traceback.format_exception(caught.value))
    assert [violation.parameter for violation in caught.value.violations] == ["proxies"]
    assert not [part for part in ("4711", "zoe-login", "cret") if part in shown]
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)

    if "://" not in proxy or "\ud800" in proxy:  # the environment's need no scheme, and cannot have the other
        return
    monkeypatch.setenv("https_proxy", proxy)
    with pytest.raises(InvalidConnection) as caught:
        Route.to(endpoint())
    shown = "".join(traceback.format_exception(caught.value))
    assert not [part for part in ("4711", "zoe-login", "cret") if part in shown]
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_a_proxy_may_have_credentials_that_are_quoted() -> None:
    proxy = "http://ann:s%23cret@proxy.example:3128"
    read = endpoint(extra={"proxies": {"https": proxy}})
    assert read.proxies == {"https": proxy}
    assert {"s%23cret", "s#cret"} <= set(read.secrets)


def test_timeouts_are_durations() -> None:
    read = endpoint(extra={"connect_timeout": "1 minute", "read_timeout": "PT10M"})
    assert (read.connect_timeout, read.read_timeout) == (60, 600)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"port": 70_000}, "port is 70000, which is too large; it must be a whole number from 1 to 65,535 (connection 'calls')"),
        ({"schema": "ftp"}, "schema is 'ftp', which is not valid; it must be 'https' or 'http'"),
        ({"host": "two words"}, "host is 'two words', which contains whitespace; it must be a host name"),
        ({"extra": {"read_timeout": "never"}}, "read_timeout is 'never', which is not a duration; it must be a number of seconds"),
        ({"extra": {"basic_auth": "yes"}}, "basic_auth is 'yes', which is neither true nor false"),
        ({"host": "http://calls.example"}, "schema is http, and login, PIN, and contacts would travel unencrypted; it must be https, unless allow_http is set"),
    ],
)  # fmt: skip
def test_an_error_repeats_a_value_that_is_harmless(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidConnection) as caught:
        endpoint(**values)
    assert sentence in str(caught.value)


def test_an_error_shows_no_secret() -> None:
    with pytest.raises(InvalidConnection) as caught:
        endpoint(
            login="bob:the-login" * 20,
            password="4711-secret-long",
            host="https://bob:4711-secret@x",
            extra={"pin": ["9999"]},
        )
    assert not [secret for secret in ("bob", "4711", "9999") if secret in str(caught.value)]
