"""The fields of the Airflow connection, in one table.

The connection form, the reader, and the documentation are made from it. Every Airflow process imports this module, so it
imports next to nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

from airflow_provider_queuecalls.client.campaign import BY_NAME as CAMPAIGN
from airflow_provider_queuecalls.client.campaign import PARAMETERS
from airflow_provider_queuecalls.parameters import Parameter, ValueType, assert_known, show
from airflow_provider_queuecalls.value_types import (
    CHOICE,
    FLAG,
    INTEGER,
    PHONE_NUMBERS,
    SECONDS,
    SECRET,
    URL,
    read_flag,
    read_structure,
    read_url,
    type_name,
)

DEFAULT_HOST = "outbound.vxml.sharpencx.com"
DEFAULT_PATH = "/webservice/queuecalls.php"
#: Stands for the campaign's name in the extra campaign_url.
CAMPAIGN_NAME = "{campaign_name}"
_PATH = re.compile(r"/[!\"$-.0->@-~/]*")  # printable ASCII without a space, # and ?


@dataclass(frozen=True, kw_only=True)
class Field(Parameter):
    """A field of the connection form. ``standard`` ones are Airflow's own; the others are keys of the extra.

    ``example`` is a placeholder.
    """

    label: str
    example: str = ""
    standard: bool = False


def _path(value: Any, _: Parameter) -> str:
    if not isinstance(value, str):
        raise ValueError(type_name(value))
    if not _PATH.fullmatch(text := value.strip()):
        raise ValueError("is not a path of a URL")
    return text


def _scheme(value: Any, parameter: Parameter) -> str:
    return str(CHOICE.read(value.lower() if isinstance(value, str) else value, parameter))


def _host(value: Any, _: Parameter) -> SplitResult:
    """Read a host, or a URL, into its parts."""
    text = str(value).strip()
    if re.search(r"\s", text):
        raise ValueError("contains whitespace")
    if re.fullmatch(r"[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*", text):
        text = f"[{text}]"
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        if parts.port == 0:
            raise ValueError
    except ValueError:
        raise ValueError("is neither a host nor a URL") from None
    if "@" in parts.netloc:
        raise ValueError("contains credentials, which belong into Login and PIN")
    if parts.scheme not in ("", "http", "https"):
        raise ValueError("is a URL with another scheme than http and https")
    if parts.query or parts.fragment or not re.fullmatch(r"[^\s/\\?#%]+", parts.hostname or ""):
        raise ValueError("is neither a host nor a URL")
    if parts.path.rstrip("/") and not _PATH.fullmatch(parts.path):
        raise ValueError("has a path with characters that a URL cannot have")
    return parts


def _verify(value: Any, parameter: Parameter) -> bool | str:
    try:
        return read_flag(value, parameter)
    except ValueError:
        if not isinstance(value, str):
            raise
        if not os.path.isfile(value):
            raise ValueError("is the path of a file that does not exist on this machine") from None
        return value


def _object(value: Any) -> dict[str, str]:
    mapping = read_structure(value.strip()) if isinstance(value, str) else value
    if not isinstance(mapping, dict) or not all(isinstance(item, str) for pair in mapping.items() for item in pair):
        raise ValueError("is not a JSON object whose values are strings")
    return mapping


def _field_names(value: Any, _: Parameter) -> dict[str, str]:
    from airflow_provider_queuecalls.client.multipart import FIELD_NAME

    names = _object(value)
    assert_known(names, {parameter.name for parameter in PARAMETERS}, "has an unknown parameter")
    if not all(FIELD_NAME.fullmatch(name) for name in names.values()):
        raise ValueError("has a name that a form field cannot have")
    wire_names = [name for p in PARAMETERS if (name := names.get(p.name, p.wire_name))]
    if len(set(wire_names)) < len(wire_names):
        raise ValueError("gives two parameters the same form field")
    return names


def _proxies(value: Any, _: Parameter) -> dict[str, str]:
    from airflow_provider_queuecalls.client.hosts import read_proxy

    proxies = _object(value)
    for scheme, proxy in proxies.items():
        try:
            read_proxy(proxy)
        except ValueError as problem:
            raise ValueError(f"has a proxy for {show(scheme) or 'a scheme'} that {problem}") from None
    return proxies


def _campaign_url(value: Any, parameter: Parameter) -> str:
    text = read_url(value, parameter)
    if not text.isprintable():
        raise ValueError("contains a character that cannot be displayed")
    if "{" in urlsplit(text).netloc:
        raise ValueError(f"has {CAMPAIGN_NAME} in its host")
    if CAMPAIGN_NAME not in text:
        raise ValueError(f"is the same page for all campaigns, because it does not contain {CAMPAIGN_NAME}")
    if re.search("[{}]", text.replace(CAMPAIGN_NAME, "")):
        raise ValueError(f"contains other braces than {CAMPAIGN_NAME}")
    return text


def _queued_values(value: Any, _: Parameter) -> dict[str, str]:
    values = {name.strip().lower(): text.strip().lower() for name, text in _object(value).items()}
    if not all((*values, *values.values())):
        raise ValueError("has an empty name or value")
    return values


_HOST = ValueType("a host name, an IP address, or a full http(s) URL without query and credentials", _host)
_VERIFY = ValueType("true, false, or the path of a CA file on the worker", _verify, shown=False)
_FIELD_NAMES = ValueType(
    "a JSON object from parameters to names of letters, digits, and _ . [ ] -", _field_names, form_type="object"
)
_QUEUED_VALUES = ValueType(
    "a JSON object from names of elements, attributes, or members to values", _queued_values, form_type="object"
)
_PROXIES = ValueType("a JSON object from schemes to http(s) URLs of proxies", _proxies, shown=False, form_type="object")
_CAMPAIGN_URL = ValueType(f"{URL.rule}, with {CAMPAIGN_NAME} after the host", _campaign_url, shown=False)

#: Every field of the connection.
#:
#: :meta hide-value:
FIELDS: tuple[Field, ...] = (
    Field(
        name="host", type=_HOST, label="Host", default=urlsplit(f"//{DEFAULT_HOST}"), default_doc=DEFAULT_HOST, example=DEFAULT_HOST, standard=True,
        doc="The host of the service for your account. A full URL sets scheme, port, and path as well.",
    ),
    Field(
        name="schema", type=ValueType("", _scheme), choices={"https": "", "http": ""}, label="Scheme", default_doc="https", example="https", standard=True,
        doc="http needs allow_http, unless the host is this machine.",
    ),
    Field(name="port", type=INTEGER, minimum=1, maximum=65_535, label="Port", default_doc="the scheme's own", example="443", standard=True, doc="The port of the service."),
    Field(name="login", type=SECRET, required=True, max_length=CAMPAIGN["login"].max_length, label="Login", example="the sender's login name", standard=True, doc="The sender's login name."),
    Field(
        name="password", type=SECRET, label="PIN", example="the sender's PIN", standard=True,
        doc="The sender's PIN, of at most 16 bytes. If the extra pin is set: the password of HTTP Basic, of any length. Required unless pin is set and basic_auth is false.",
    ),
    Field(name="path", type=ValueType("a path that starts with /", _path), default=DEFAULT_PATH, label="Path", doc="The path of the service on its host."),
    Field(
        name="pin", type=SECRET, max_length=CAMPAIGN["pin"].max_length, label="PIN as a form field", default_doc="the PIN above",
        doc="The PIN in the form, if it is not the password of HTTP Basic.",
    ),
    Field(name="basic_auth", type=FLAG, default=True, label="HTTP Basic", doc="Send login and PIN with HTTP Basic authentication, too."),
    Field(name="allow_http", type=FLAG, default=False, label="Allow plain http", doc="Send login, PIN, and contacts unencrypted to another machine."),
    Field(name="field_names", type=_FIELD_NAMES, default={}, default_doc="the documented names", label="Field names", example='{"secure": "is_pci"}', doc="Other names for form fields than the documented ones."),
    Field(
        name="queued_values", type=_QUEUED_VALUES, default={}, default_doc="status is queued or success", label="Queued values", example='{"state": "accepted"}',
        doc="Further values that mean queued, by the name of the element, attribute, or member. The name text stands for a response that is neither XML nor JSON: its whole text if it has a few words, otherwise its first word.",
    ),
    Field(name="connect_timeout", type=SECONDS, unit="seconds", maximum=86_400, default=10, label="Connect timeout", doc="How long connecting may take: TCP, a proxy's tunnel, and TLS."),
    Field(
        name="read_timeout", type=SECONDS, unit="seconds", maximum=1_800, default=300, label="Read timeout",
        doc="How long to wait for the whole response, and for the service to accept the next part of the upload.",
    ),
    Field(name="verify", type=_VERIFY, default=True, label="Verify TLS", doc="How to verify the certificate of the service. false accepts any certificate, and logs a warning."),
    Field(
        name="proxies", type=_PROXIES, default_doc="the proxies of the worker's environment", label="Proxies",
        example='{"https": "http://proxy.example:3128"}', doc="The proxies to use, unless the host is this machine. SOCKS proxies are not supported.",
    ),
    Field(
        name="campaign_url", type=_CAMPAIGN_URL, default_doc="no link", label="Campaign URL", example=f"https://manager.example/campaigns?name={CAMPAIGN_NAME}",
        doc="The page of a campaign in the service's campaign manager. Each task gets a link to its own.",
    ),
    Field(
        name="notify_numbers", type=PHONE_NUMBERS, default=(), default_doc="none", label="Numbers to notify",
        doc="Whom QueueCallsNotifier calls, unless it is given to_variable or to.",
    ),
)  # fmt: skip
EXTRAS: Mapping[str, Field] = {entry.name: entry for entry in FIELDS if not entry.standard}
