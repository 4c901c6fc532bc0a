"""The Airflow Connection: its fields in one table, and what a request needs to know, read from one.

The table feeds the connection form, the reading and the README. It is read by every Airflow process, so this
module imports next to nothing.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

from airflow_provider_queuecalls.exceptions import InvalidConnection, Violation

CONN_TYPE = "queuecalls"
DEFAULT_CONN_ID = "queuecalls_default"
DEFAULT_HOST = "outbound.vxml.sharpencx.com"
DEFAULT_PATH = "/webservice/queuecalls.php"
SOURCE = "connection"
#: Stands for the campaign's name in the extra campaign_url.
CAMPAIGN_NAME = "{campaign_name}"
_PATH = re.compile(r"/[!\"$-.0->@-~/]*")  # printable ASCII without blank, # and ?


@dataclass(frozen=True)
class Field:
    """One field of the form. ``standard`` ones are Airflow's own, the others lie in the connection's extra.

    ``type`` is JSON Schema's name; ``example`` is a placeholder, or a sentence of the help.
    """

    name: str
    label: str
    rule: str
    doc: str
    type: str = "string"
    default: Any = None
    example: str = ""
    secret: bool = False
    standard: bool = False


FIELDS: tuple[Field, ...] = (
    Field(
        "host", "Host", "a host name or an address, or a full http(s) URL",
        "The service's host, as the vendor told you. A full URL brings scheme, port and path with it.",
        default=DEFAULT_HOST, example=DEFAULT_HOST, standard=True,
    ),
    Field("schema", "Scheme", "https or http", "http only with allow_http, or to a loopback address.", default="https", example="https", standard=True),
    Field("port", "Port", "a whole number from 1 to 65535", "Only if it isn't the scheme's own.", "integer", example="443", standard=True),
    Field("login", "Login", "a text of at most 128 characters and bytes, required", "The sender's login name.", example="the sender's login name", standard=True),
    Field(
        "password", "PIN", "a text, at most 16 characters and bytes unless the extra pin is set; required",
        "The sender's PIN; also the password of HTTP Basic.", example="the sender's PIN", secret=True, standard=True,
    ),
    Field("path", "Path", "a path that starts with /", "Where the service lies on its host.", default=DEFAULT_PATH),
    Field("pin", "PIN as a form field", "a text of at most 16 characters and bytes", "Only where the PIN among the request's fields differs from the password of HTTP Basic.", secret=True),
    Field("basic_auth", "HTTP Basic", "true or false", "Send login and PIN as HTTP Basic too.", "boolean", default=True),
    Field("allow_http", "Allow plain http", "true or false", "Send login, PIN and contacts unencrypted to a host that isn't this machine.", "boolean", default=False),
    Field(
        "field_names", "Field names", "an object of parameter: field name, names of letters, digits and _ . [ ] -",
        "Other names of form fields than the documented ones.", "object", default={}, example='{"secure": "is_pci"}',
    ),
    Field("connect_timeout", "Connect timeout", "a number of seconds above 0", "How long to wait for the connection.", "number", default=10),
    Field("read_timeout", "Read timeout", "a number of seconds above 0", "How long to wait for the whole answer, and for the service to take the next block.", "number", default=300),
    Field(
        "verify", "Verify TLS", "true or false, or the path of a CA file on the worker",
        "False accepts any certificate, and warns. Empty is true.", default=True,
    ),
    Field(
        "proxies", "Proxies", "an object of scheme: proxy URL", "Instead of the proxies from the worker's environment.",
        "object", example='{"https": "http://proxy.example:3128"}',
    ),
    Field(
        "campaign_url", "Campaign URL", f"an absolute http(s) URL without credentials, with {CAMPAIGN_NAME} after the host",
        "Where the vendor's campaign manager shows a campaign; each task gets a link to its own.",
        example=f"https://manager.example/campaigns?name={CAMPAIGN_NAME}",
    ),
)  # fmt: skip
EXTRAS: Mapping[str, Field] = {entry.name: entry for entry in FIELDS if not entry.standard}


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

    def url_of_campaign(self, campaign_name: str) -> str | None:
        """Where a person finds the campaign of this name; None where the connection doesn't say."""
        return self.campaign_url and self.campaign_url.replace(CAMPAIGN_NAME, quote(campaign_name, safe=""))

    @property
    def basic(self) -> str:
        """The credentials of HTTP Basic (RFC 7617, UTF-8), without the word ``Basic``."""
        return base64.b64encode(f"{self.login}:{self.password}".encode()).decode()

    @property
    def secrets(self) -> tuple[str, ...]:
        """All that must never be shown."""
        proxy_passwords = (urlsplit(proxy).password or "" for proxy in (self.proxies or {}).values())
        return (self.login, self.password, self.pin, self.basic, *proxy_passwords)

    @classmethod
    def from_connection(cls, connection: AirflowConnection) -> Endpoint:
        """Read a Connection. Raises :class:`InvalidConnection` with everything that is wrong in it."""
        reader = _Reader(connection)
        extras = {name: reader.extra(name) for name in EXTRAS}
        reader.refuse_unknown()
        url = reader.url(extras["path"], extras["allow_http"])
        login, password, pin = reader.credentials(extras["pin"], extras["basic_auth"])
        if reader.violations:
            raise InvalidConnection(reader.violations)
        return cls(
            url=url, login=login, password=password, pin=pin,
            **{name: extras[name] for name in EXTRAS if name not in ("path", "pin", "allow_http")},
        )  # fmt: skip


class _Reader:
    """Reads a Connection's values and collects what is wrong with them."""

    def __init__(self, connection: AirflowConnection) -> None:
        self.violations: list[Violation] = []
        self._connection = connection
        self._extras: dict[str, Any] = {}
        try:
            extras = json.loads(connection.extra or "{}")
        except ValueError:
            extras = None
        if isinstance(extras, dict):
            self._extras = extras
        else:
            self._add("extra", "is not a JSON object", "a JSON object")

    def extra(self, name: str) -> Any:
        value = self._extras.get(name)
        if value in (None, {}) or (isinstance(value, str) and not value.strip()):  # the form's ways of leaving it empty
            return EXTRAS[name].default
        try:
            return _PARSERS[name](value)
        except (TypeError, ValueError) as problem:
            self._add(name, str(problem))
            return EXTRAS[name].default

    def refuse_unknown(self) -> None:
        rule = "one of " + ", ".join(EXTRAS)
        for name in sorted(set(map(str, self._extras)) - set(EXTRAS)):
            self._add(f"extra {name[:64]!r}", "is not known", rule)

    def url(self, path: str, allow_http: bool) -> str:
        schema = str(self._connection.schema or "").strip().lower()
        host = str(self._connection.host or "").strip() or DEFAULT_HOST
        if re.fullmatch(r"[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*", host):
            host = f"[{host}]"
        try:
            parts = urlsplit(host if "://" in host else f"//{host}")
            port = parts.port or self._connection.port
        except ValueError:
            self._add("host", "is not a host or a URL")
            return ""
        name = parts.hostname or ""
        if "@" in parts.netloc:
            self._add("host", "holds credentials; they belong into Login and PIN")
        elif parts.query or parts.fragment or not re.fullmatch(r"[^\s/\\?#%]+", name):
            self._add("host", "is not a host or a URL")
        for field_name, ours, theirs in (
            ("schema", schema, parts.scheme),
            ("port", self._connection.port, parts.port),
            ("path", path if path != DEFAULT_PATH else "", parts.path.rstrip("/")),
        ):
            if ours and theirs and ours != theirs:
                self._add(field_name, "differs from what the URL in host says")
        if parts.path.rstrip("/"):
            path = parts.path
            if not _PATH.fullmatch(path):
                self._add("host", "is a URL with a path that is none")
        scheme = parts.scheme or schema or "https"
        if scheme not in ("http", "https"):
            self._add("schema", "is another scheme")
        if scheme == "http" and not allow_http and not is_loopback(name):
            self._add(
                "schema", "is http, and login, PIN and contacts would travel unencrypted; set allow_http to do so"
            )
        if port is not None and not (isinstance(port, int) and 0 < port < 65536):
            self._add("port", "is out of range")
        return f"{scheme}://{f'[{name}]' if ':' in name else name}{f':{port}' if port else ''}{path}"

    def credentials(self, extra_pin: str | None, basic_auth: bool) -> tuple[str, str, str]:
        login, password = (str(value or "") for value in (self._connection.login, self._connection.password))
        pin = extra_pin or password
        if not login:
            self._add("login", "is missing")
        if not password and (basic_auth or not pin):
            self._add("password", "is missing")
        if basic_auth and ":" in login:
            self._add("login", "holds a colon, which HTTP Basic cannot carry", "a text without a colon")
        for name, value, limit in (("login", login, 128), ("pin" if extra_pin else "password", pin, 16)):
            try:
                if len(value.encode()) > limit:
                    self._add(name, "is too long")
            except UnicodeEncodeError:
                self._add(name, "holds half a character (a lone surrogate)")
        return login, password, pin

    def _add(self, name: str, problem: str, rule: str | None = None) -> None:
        known = {entry.name: entry.rule for entry in FIELDS}
        self.violations.append(
            Violation(name, problem, rule or known[name], f"{SOURCE} {str(self._connection.conn_id)[:64]!r}")
        )


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, so that nothing travels over a network."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"is a {type(value).__name__}")
    return value


def _path(value: Any) -> str:
    if not _PATH.fullmatch(text := _text(value).strip()):
        raise ValueError("is not a path")
    return text


def _bool(value: Any) -> bool:
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    if not isinstance(value, bool):
        raise TypeError(f"is a {type(value).__name__}")
    return value


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError(f"is a {type(value).__name__}")
    try:
        seconds = float(value)
    except ValueError:
        raise ValueError("is not a number") from None
    if not 0 < seconds <= 86_400:
        raise ValueError("is not between 0 and 86400 seconds")
    return seconds


def _verify(value: Any) -> bool | str:
    try:
        return _bool(value)
    except TypeError:
        if not os.path.isfile(path := _text(value)):
            raise ValueError("is the path of a file that doesn't exist here") from None
        return path


def _object(value: Any) -> dict[str, str]:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError("is not JSON") from None
    if not isinstance(value, dict) or not all(isinstance(item, str) for pair in value.items() for item in pair):
        raise TypeError("is not an object of texts")
    return value


def _field_names(value: Any) -> dict[str, str]:
    from airflow_provider_queuecalls.client.campaign import PARAMETERS
    from airflow_provider_queuecalls.client.multipart import FIELD_NAME

    names = _object(value)
    if unknown := set(names) - {parameter.name for parameter in PARAMETERS}:
        raise ValueError(f"names unknown parameters ({', '.join(sorted(unknown))[:200]})")
    if not all(FIELD_NAME.fullmatch(name) for name in names.values()):
        raise ValueError("holds a field name that cannot be sent")
    wire_names = [names.get(p.name, p.wire_name) for p in PARAMETERS if names.get(p.name, p.wire_name)]
    if len(set(wire_names)) < len(wire_names):
        raise ValueError("gives two parameters one field name")
    return names


def _proxies(value: Any) -> dict[str, str]:
    proxies = _object(value)
    try:
        hosts = [urlsplit(proxy).hostname for proxy in proxies.values() if re.match(r"(https?|socks5h?)://", proxy)]
    except ValueError:
        hosts = []
    if not all(hosts) or len(hosts) < len(proxies):
        raise ValueError("holds something else than proxy URLs")
    return proxies


def _campaign_url(value: Any) -> str:
    from airflow_provider_queuecalls.client.campaign import absolute_url

    text = _text(value).strip()
    if not text.isprintable():
        raise ValueError("holds a character that cannot be shown")
    if "{" in urlsplit(absolute_url(text)).netloc:
        raise ValueError(f"has {CAMPAIGN_NAME} in its host")
    if CAMPAIGN_NAME not in text:
        raise ValueError(f"leads to the same page for all campaigns, since there is no {CAMPAIGN_NAME} in it")
    if re.search("[{}]", text.replace(CAMPAIGN_NAME, "")):
        raise ValueError(f"holds other braces than {CAMPAIGN_NAME}")
    return text


_PARSERS: Mapping[str, Callable[[Any], Any]] = {
    "path": _path,
    "pin": _text,
    "basic_auth": _bool,
    "allow_http": _bool,
    "field_names": _field_names,
    "connect_timeout": _seconds,
    "read_timeout": _seconds,
    "verify": _verify,
    "proxies": _proxies,
    "campaign_url": _campaign_url,
}
