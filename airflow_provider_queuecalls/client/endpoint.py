"""Where to send a campaign, as whom and how, read from an Airflow connection."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from urllib.parse import SplitResult, quote, unquote, urlsplit

from airflow_provider_queuecalls.client.campaign import BY_NAME as CAMPAIGN
from airflow_provider_queuecalls.client.connection import CAMPAIGN_NAME, DEFAULT_HOST, DEFAULT_PATH, EXTRAS, FIELDS
from airflow_provider_queuecalls.client.hosts import ascii_url, is_loopback
from airflow_provider_queuecalls.exceptions import InvalidConnection, Violation
from airflow_provider_queuecalls.parameters import conn_id_to_show, read_values, show
from airflow_provider_queuecalls.value_types import type_name

CONN_TYPE = "queuecalls"
DEFAULT_CONN_ID = "queuecalls_default"
_BY_NAME = {entry.name: entry for entry in FIELDS}
_DEFAULT_PORTS = {"https": 443, "http": 80}


class AirflowConnection(Protocol):
    """What is read of an Airflow Connection."""

    conn_id: Any
    host: Any
    schema: Any
    port: Any
    login: Any
    password: Any

    @property
    def extra(self) -> Any: ...


@dataclass(frozen=True)
class Endpoint:
    """Where to send a campaign, as whom, and how. The repr shows no secret."""

    url: str
    login: str = field(repr=False)
    password: str = field(repr=False)
    pin: str = field(repr=False)
    basic_auth: bool = True
    field_names: Mapping[str, str] = field(default_factory=dict)
    connect_timeout: float = 10.0
    read_timeout: float = 300.0
    verify: bool | str = True
    proxies: Mapping[str, str] | None = field(default=None, repr=False)
    campaign_url: str | None = None
    queued_values: Mapping[str, str] = field(default_factory=dict)
    notify_numbers: tuple[str, ...] = field(default=(), repr=False)

    def url_of_campaign(self, campaign_name: str) -> str | None:
        """Where a person finds the campaign of this name; None if the connection has no campaign_url."""
        return self.campaign_url and self.campaign_url.replace(CAMPAIGN_NAME, quote(campaign_name, safe=""))

    @property
    def basic_credentials(self) -> str:
        """The credentials of HTTP Basic (RFC 7617, UTF-8), without the word ``Basic``."""
        return base64.b64encode(f"{self.login}:{self.password}".encode()).decode()

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every value that must never be shown."""
        proxy_passwords = [urlsplit(proxy).password or "" for proxy in (self.proxies or {}).values()]
        return (
            self.login,
            self.password,
            self.pin,
            self.basic_credentials,
            *proxy_passwords,
            *map(unquote, proxy_passwords),
            *self.notify_numbers,
        )

    @classmethod
    def from_connection(cls, connection: AirflowConnection) -> Endpoint:
        """Read a connection. Raises :class:`InvalidConnection` with everything that is wrong in it."""
        extras, violations = _extras(connection.extra)
        values = {
            entry.name: getattr(connection, entry.name) if entry.standard else extras.get(entry.name)
            for entry in FIELDS
        }
        read, found = read_values(FIELDS, {name: None if value == {} else value for name, value in values.items()})
        url, others = _url(read)
        for violation in (*others, *_credentials(read)):
            found.setdefault(violation.parameter, violation)
        if violations := [*violations, *found.values()]:
            source = f"connection {str(connection.conn_id)[:64]!r}"
            raise InvalidConnection([replace(violation, source=source) for violation in violations])
        return cls(
            url=url,
            login=read["login"],
            password=read["password"] or "",
            pin=read["pin"] or read["password"],
            **{name: read[name] for name in EXTRAS if name not in ("path", "pin", "allow_http")},
        )


def undefined_connection(conn_id: object) -> InvalidConnection:
    """Return the error for a connection id that is not a text or not defined, which says how to define it."""
    is_text = isinstance(conn_id, str)
    name = str(conn_id) if is_text and conn_id_to_show(conn_id) else "ID"
    problem = "is not defined" if is_text else type_name(conn_id)
    if f"AIRFLOW_CONN_{name.upper()}" in os.environ:
        problem = "is set in the environment, but not to a connection that Airflow can read"
    fields = {"conn_type": CONN_TYPE, "host": DEFAULT_HOST, "login": "…", "password": "…"}
    rule = (
        "the id of a connection. To define it, add a connection of type queuecalls under Admin > Connections, or with "
        f"`airflow connections add {name} --conn-json JSON`, or set the environment variable "
        f"AIRFLOW_CONN_{name.upper()} on all workers to the same JSON, such as {json.dumps(fields, ensure_ascii=False)}"
    )
    return InvalidConnection([Violation("queuecalls_conn_id", problem, rule, value=conn_id_to_show(conn_id))])


def _extras(text: Any) -> tuple[dict[str, Any], list[Violation]]:
    """Read the connection's extra. Return it, and what is wrong with it as a whole and with its keys."""
    try:
        extras = json.loads(text or "{}")
    except ValueError:
        extras = None
    if not isinstance(extras, dict):
        return {}, [Violation("extra", "is not a JSON object", "a JSON object")]
    rule = "one of " + ", ".join(EXTRAS)
    unknown = sorted(set(map(str, extras)) - set(EXTRAS))
    named = (f"extra {shown}" if (shown := show(name[:64])) else "a key of the extra" for name in unknown)
    return extras, [Violation(name, "is not known", rule) for name in named]


def _url(read: Mapping[str, Any]) -> tuple[str, list[Violation]]:
    """Make the URL of host, scheme, port and path. Return it, and what is wrong with them together."""
    host: SplitResult = read["host"]
    path = read["path"]
    violations = [
        replace(_BY_NAME[name].violation("differs from the URL in host", ours), rule="the same as in the URL, or unset")
        for name, ours, theirs in (
            ("schema", read["schema"], host.scheme),
            ("port", read["port"], host.port),
            ("path", path if path != DEFAULT_PATH else "", host.path.rstrip("/")),
        )
        if ours and theirs and ours != theirs
    ]
    scheme, port = host.scheme or read["schema"] or "https", host.port or read["port"]
    if port == _DEFAULT_PORTS.get(scheme):  # written or not, it is the same service, with the same records
        port = None
    name = str(host.hostname)
    address = f"{f'[{name}]' if ':' in name else name}{f':{port}' if port else ''}"
    try:
        url = ascii_url(f"{scheme}://{address}{host.path if host.path.rstrip('/') else path}")
    except ValueError:
        return "", [
            *violations,
            _BY_NAME["host"].violation("cannot be resolved, because it is not a valid host name", name),
        ]
    if scheme == "http" and not read["allow_http"] and not is_loopback(urlsplit(url).hostname or ""):
        violations.append(
            Violation(
                "schema",
                "is http, and login, PIN, and contacts would travel unencrypted",
                "https, unless allow_http is set",
            )
        )
    return url, violations


def _credentials(read: Mapping[str, Any]) -> Iterator[Violation]:
    """Yield what is wrong with login, PIN and password together."""
    login, password, pin = read["login"] or "", read["password"] or "", read["pin"]
    if not password and (read["basic_auth"] or not pin):
        yield replace(_BY_NAME["password"].violation("is missing"), rule=CAMPAIGN["pin"].rule)
    if read["basic_auth"] and ":" in login:
        yield Violation(
            "login",
            "contains a colon, which HTTP Basic cannot transport",
            "a string without a colon, unless basic_auth is false",
        )
    if password and not pin:
        try:
            CAMPAIGN["pin"].read(password)
        except ValueError as problem:
            yield replace(_BY_NAME["password"].violation(str(problem)), rule=CAMPAIGN["pin"].rule)
