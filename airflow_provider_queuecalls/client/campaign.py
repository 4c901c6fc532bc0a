"""The campaign: every parameter the vendor documents for ``queuecalls``, in one table.

Validation, the multipart form, the sandbox and the README's table all read :data:`PARAMETERS`. Limits come from
the vendor's reference page of ``POST queuecalls.php``; the page leaves the field names out, so each parameter
says where its wire name is known from.
"""

from __future__ import annotations

import hashlib
import re
import time
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import InitVar, dataclass, field, fields
from datetime import datetime
from enum import Enum
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from airflow_provider_queuecalls.exceptions import InvalidCampaign, Violation

DOCUMENTED = "name documented for the single-call queuecall"
INFERRED = "name inferred"
#: Timestamps are seconds. Anything before 2001 is a duration or a date in digits, anything after 9999 milliseconds.
EARLIEST_TIMESTAMP = 1_000_000_000
LATEST_TIMESTAMP = 253_402_300_799
#: The shortest limit the vendor documents for a free text is 128; a default name stays well below it.
DEFAULT_NAME_LENGTH, DIGEST_LENGTH = 100, 12


class Kind(Enum):
    """What a parameter's value is. The value of each member is the rule in words."""

    SECRET = "a text"
    NAME = "a text without control characters"
    TEXT = "any text"
    FILE = "a CSV file: phone number, message_reference, call_parameter; no header line"
    URL = "an absolute http(s) URL without credentials, blanks or control characters"
    INTEGER = "a whole number"
    TIMESTAMP = (
        "0, a UNIX time in seconds, a datetime with a time zone or an ISO 8601 time with an offset or a zone's name"
    )
    EXPRESSION = "a time expression of the vendor's, as 'now', '+3 days' or 'oct 14th, 2026 11:05PM EST'"
    FLAG = "true or false"


@dataclass(frozen=True)
class Parameter:
    """One documented form field: our name, the wire's name, the value's kind and limits, and how we know."""

    name: str
    wire_name: str | None
    kind: Kind
    doc: str
    position: int
    name_evidence: str = DOCUMENTED
    required: bool = False
    max_length: int | None = None
    minimum: int | None = None
    maximum: int | None = None

    @property
    def rule(self) -> str:
        """The rule in words, with its limits."""
        limits = ""
        if self.minimum is not None:
            limits = f" from {self.minimum} to {self.maximum}"
        elif self.max_length is not None:
            limits = f", at most {self.max_length} bytes of UTF-8"
        return f"{self.kind.value}{limits}{'; required' if self.required else ''}"

    @property
    def source(self) -> str:
        """Where the rule comes from. Where the wire name does is in ``name_evidence``."""
        return f"parameter {self.position} of the vendor's queuecalls page"

    def violation(self, problem: str) -> Violation:
        """This parameter's rule, broken."""
        return Violation(self.name, problem, self.rule, self.source)

    def normalize(self, value: object) -> str | int | bool | None:
        """Return the value the vendor should get, or None where the parameter is unset.

        Takes what templating yields: None, ``''``, blanks and ``'None'`` mean unset. Raises :class:`ValueError`
        with the problem in words, which never repeats a text.
        """
        if is_unset(value):
            if self.required:
                raise ValueError("is missing")
            return None
        return _NORMALIZERS[self.kind](value, self)


#: Every documented parameter, in the document's order.
#:
#: :meta hide-value:
PARAMETERS: tuple[Parameter, ...] = (
    Parameter("login", "login", Kind.SECRET, "The sender's login name, from the Connection.", 1, required=True, max_length=128),
    Parameter("pin", "pin", Kind.SECRET, "The sender's PIN, from the Connection.", 2, required=True, max_length=16),
    Parameter(
        "campaign_name", "campaign_name", Kind.NAME,
        "Unique name of the new campaign. The operator's default names the task instance.", 3, INFERRED,
    ),
    Parameter("contacts", "phone_number_list", Kind.FILE, "The contact file.", 4, INFERRED, required=True),
    Parameter("start_url", "start_url", Kind.URL, "The VoiceXML script that runs when a call connects.", 5, required=True, max_length=255),
    Parameter("result_url", "result_url", Kind.URL, "Gets the result after each call, or after its last failed attempt.", 6, max_length=255),
    Parameter("message_reference", "message_reference", Kind.TEXT, "Posted to start_url with every call.", 7, max_length=255),
    Parameter("call_parameters", "call_parameters", Kind.TEXT, "Posted to start_url with every call.", 8, max_length=255),
    Parameter(
        "max_retries", "max_retries", Kind.INTEGER, "Failed attempts to call a number before giving up.", 9,
        f"{DOCUMENTED}, where another page says max_retry", minimum=0, maximum=10,
    ),
    Parameter("retry_interval", "retry_interval", Kind.INTEGER, "Seconds between two attempts.", 10, minimum=60, maximum=172_800),
    Parameter("scheduled_timestamp", "scheduled_timestamp", Kind.TIMESTAMP, "When to start calling; 0 is at once.", 11),
    Parameter("expiration_timestamp", "expiration_timestamp", Kind.TIMESTAMP, "When to give up on uncompleted calls; 0 is never.", 12),
    Parameter("scheduled_time", "scheduled_time", Kind.EXPRESSION, "Instead of scheduled_timestamp; read by the vendor.", 13, max_length=80),
    Parameter("expiration_time", "expiration_time", Kind.EXPRESSION, "Instead of expiration_timestamp; read by the vendor.", 14, max_length=80),
    Parameter(
        "secure", None, Kind.FLAG,
        "Run connected calls in the vendor's HIPAA/PCI environment. No wire name is documented: "
        "set the connection's extra field_names.", 15, "name not documented",
    ),
)  # fmt: skip
BY_NAME: Mapping[str, Parameter] = {parameter.name: parameter for parameter in PARAMETERS}


def is_unset(value: object) -> bool:
    """Whether a value, as templating yields it, means that the parameter is not given."""
    return value is None or (isinstance(value, str) and value.strip() in ("", "None"))


_TIME_PAIRS = (("scheduled_timestamp", "scheduled_time"), ("expiration_timestamp", "expiration_time"))


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """The parameters of one campaign; see :data:`PARAMETERS` for each one's rule.

    Every parameter takes what templating yields and is normalized. Raises :class:`InvalidCampaign` with all
    violations at once, so a Campaign that exists is valid. ``field_names`` are the connection's overrides of wire
    names; giving them here reports a ``secure`` that cannot be sent together with everything else.
    """

    start_url: str | None
    result_url: str | None = None
    campaign_name: str | None = None
    message_reference: str | int | None = field(default=None, repr=False)  # these may name a person
    call_parameters: str | int | None = field(default=None, repr=False)
    max_retries: int | str | None = None
    retry_interval: int | str | None = None
    scheduled_timestamp: int | str | datetime | None = None
    expiration_timestamp: int | str | datetime | None = None
    scheduled_time: str | None = None
    expiration_time: str | None = None
    secure: bool | int | str | None = None
    field_names: InitVar[Mapping[str, str] | None] = None

    def __post_init__(self, field_names: Mapping[str, str] | None) -> None:
        violations: list[Violation] = []
        for name in self.names():
            try:
                object.__setattr__(self, name, BY_NAME[name].normalize(getattr(self, name)))
            except ValueError as problem:
                violations.append(BY_NAME[name].violation(str(problem)))
                object.__setattr__(self, name, None)
        violations += self._time_violations()
        if field_names is not None:
            violations += self._wire_violations(field_names)
        if violations:
            raise InvalidCampaign(violations, campaign_name=self.campaign_name)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names of all campaign parameters."""
        return tuple(field.name for field in fields(cls))

    def form(self, given: Mapping[str, Any], field_names: Mapping[str, str]) -> list[tuple[str, Any]]:
        """The form's fields as (wire name, value), in the order they are sent; unset parameters are left out.

        The file comes first, and login, PIN and campaign name come last: a request that is cut short has no complete
        set of credentials and no name, so that a script which runs all the same finds nothing to queue. ``given``
        holds what is not the campaign's: login, pin and contacts. Raises :class:`InvalidCampaign` where a set
        parameter has no wire name.
        """
        if violations := self._wire_violations(field_names):
            raise InvalidCampaign(violations, campaign_name=self.campaign_name)
        form: list[tuple[str, Any]] = []
        last = ("login", "pin", "campaign_name")
        others = [name for name in BY_NAME if name not in ("contacts", *last)]
        for parameter in (BY_NAME[name] for name in ("contacts", *others, *last)):
            value = given[parameter.name] if parameter.name in given else getattr(self, parameter.name)
            wire_name = field_names.get(parameter.name, parameter.wire_name)
            if value is None or value is False or wire_name is None:
                continue
            form.append((wire_name, str(int(value)) if isinstance(value, int) else value))
        return form

    def warnings(self) -> list[str]:
        """What is allowed and may still surprise, in sentences."""
        warnings = [
            f"{name} is relative to the moment of the request: a later try of this task means another time. "
            f"A fixed moment in {name}stamp means the same on every try."
            for _, name in _TIME_PAIRS
            if (value := getattr(self, name)) is not None and not re.search(r"\b\d{4}\b", value)
        ]
        if self.scheduled_timestamp and int(str(self.scheduled_timestamp)) < time.time():
            warnings.append("scheduled_timestamp has passed: the calls start at once.")
        return warnings

    def _time_violations(self) -> list[Violation]:
        violations = [
            BY_NAME[timestamp].violation(f"is given together with {expression}, and which one counts is not documented")
            for timestamp, expression in _TIME_PAIRS
            if getattr(self, timestamp) is not None and getattr(self, expression) is not None
        ]
        scheduled, expiration = (int(str(getattr(self, name) or 0)) for name, _ in _TIME_PAIRS)
        if expiration and expiration <= time.time():
            violations.append(BY_NAME["expiration_timestamp"].violation("has passed already"))
        elif expiration and expiration <= scheduled:
            violations.append(BY_NAME["expiration_timestamp"].violation("is not after scheduled_timestamp"))
        return violations

    def _wire_violations(self, field_names: Mapping[str, str]) -> list[Violation]:
        return [
            parameter.violation(
                "is set, but its wire name is not known, and a field the service ignores would run the calls outside "
                f'the secure environment: ask the vendor for the name and set field_names, as {{"{parameter.name}": '
                '"is_pci"}, in the connection\'s extra'
            )
            for parameter in PARAMETERS
            if parameter.wire_name is None and parameter.name not in field_names and getattr(self, parameter.name)
        ]


def default_campaign_name(dag_id: str, task_id: str, run_id: str, map_index: int | None = None) -> str:
    """A readable name for one task instance: the same on every try, another for any other instance.

    Letters, digits, ``.``, ``_`` and ``-`` only, at most 100 characters. The digest at the end keeps names apart
    that shortening or replacing characters made alike.
    """
    index = [] if map_index is None or map_index < 0 else [str(map_index)]
    identity = "\n".join((dag_id, task_id, run_id, *index)).encode()
    digest = hashlib.sha256(identity).hexdigest()[:DIGEST_LENGTH].translate(str.maketrans("0123456789", "ghijklmnop"))
    room = DEFAULT_NAME_LENGTH - len(digest) - sum(len(part) + 1 for part in index) - 3
    shares = (room - 30) // 2, (room - 30) // 2, 30
    # "_" for what is replaced, and a digest of letters: more digits in a row look like a phone number to be redacted.
    readable = [
        re.sub(r"[^A-Za-z0-9_-]", "_", part)[:share]
        for part, share in zip((dag_id, task_id, run_id), shares, strict=True)
    ]
    return ".".join([*readable, *index, digest])


def _fits(text: str, parameter: Parameter) -> str:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ValueError("holds half a character (a lone surrogate)") from None
    if parameter.max_length is not None and size > parameter.max_length:
        unit = "characters" if len(text) > parameter.max_length else "bytes in UTF-8"
        raise ValueError(f"has {len(text) if unit == 'characters' else size} {unit}")
    return text


def _text(value: object, parameter: Parameter) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"is a {type(value).__name__}")
    return _fits(str(value), parameter)


def _name(value: object, parameter: Parameter) -> str:
    text = _text(value, parameter).strip()
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise ValueError("holds a control character or a line break")
    return text


def _expression(value: object, parameter: Parameter) -> str:
    if not isinstance(value, str):
        raise ValueError(f"is a {type(value).__name__}")
    return _name(value, parameter)


def absolute_url(text: str) -> str:
    """The text, if it is an absolute http(s) URL. Raises :class:`ValueError` with the problem in words."""
    if re.search(r"\s", text):
        raise ValueError("holds a blank")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("is not a URL") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError("is not an absolute http(s) URL")
    if "@" in parts.netloc:
        raise ValueError("holds credentials")
    return text


def _url(value: object, parameter: Parameter) -> str:
    return absolute_url(_expression(value, parameter))


def _integer(value: object, parameter: Parameter) -> int:
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,20}", value.strip()):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("is not a whole number" if isinstance(value, str) else f"is a {type(value).__name__}")
    if parameter.minimum is not None and value < parameter.minimum:
        raise ValueError("is too small")
    if parameter.maximum is not None and value > parameter.maximum:
        raise ValueError("is too large")
    return value


def _timestamp(value: object, parameter: Parameter) -> int:
    if isinstance(value, str) and not re.fullmatch(r"[+-]?[0-9]+", value.strip()):
        value = _parse_time(value.strip())
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise ValueError("has no time zone")
        return int(value.timestamp())
    seconds = _integer(value, parameter)
    if seconds != 0 and not EARLIEST_TIMESTAMP <= seconds <= LATEST_TIMESTAMP:
        raise ValueError("is not a UNIX time in seconds between the years 2001 and 9999")
    return seconds


def _parse_time(text: str) -> datetime:
    """Read ISO 8601 with an offset, or without one and followed by a zone's name."""
    from dateutil.parser import isoparse  # the standard library's reads less of ISO 8601 before Python 3.11

    stamp, _, zone = re.sub(r"\[(.+)\]$", r" \1", text).rpartition(" ")
    try:
        if (stamp and "/" in zone) or zone == "UTC":
            moment = isoparse(stamp)
            return moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))
        return isoparse(text)
    except (ValueError, KeyError, OSError):
        raise ValueError("is not a time in ISO 8601") from None


def _flag(value: object, _: Parameter) -> bool:
    known = {"true": True, "1": True, "false": False, "0": False}
    if isinstance(value, bool | int | str) and str(value).strip().lower() in known:
        return known[str(value).strip().lower()]
    raise ValueError("is neither true nor false")


def parse_flag(name: str, value: object) -> bool:
    """Read a switch that templating may have turned into a text. An empty one is an error, not a no."""
    try:
        return _flag(value, BY_NAME["secure"])
    except ValueError as problem:
        violation = Violation(name, str(problem), Kind.FLAG.value, "this provider")
        raise InvalidCampaign([violation]) from None


_NORMALIZERS: Mapping[Kind, Callable[[Any, Parameter], str | int | bool]] = {
    Kind.SECRET: _text,
    Kind.NAME: _name,
    Kind.TEXT: _text,
    Kind.URL: _url,
    Kind.INTEGER: _integer,
    Kind.TIMESTAMP: _timestamp,
    Kind.EXPRESSION: _expression,
    Kind.FLAG: _flag,
}
