"""The campaign: every parameter that the service documents for ``queuecalls``, in one table.

Validation, the multipart form, the sandbox and the documentation read :data:`PARAMETERS`. Limits come from the
reference page of ``POST queuecalls.php``. That page leaves out the names of the form fields, so each parameter says
how its name is known.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_queuecalls.exceptions import InvalidCampaign, Violation
from airflow_provider_queuecalls.parameters import Parameter, ValueType, read_values
from airflow_provider_queuecalls.value_types import (
    EXPRESSION,
    FILE,
    FLAG,
    INTEGER,
    NAME,
    SECRET,
    TEXT,
    TIMESTAMP,
    URL,
    WHOLE_SECONDS,
    format_duration,
    format_moment,
    read_duration,
)

DOCUMENTED = "name documented for the single-call queuecall"
INFERRED = "name inferred"
#: The shortest limit that the service documents for a free text is 128; a default name stays well below it.
DEFAULT_NAME_LENGTH, DIGEST_LENGTH = 100, 12
#: The ``start_late`` with which a campaign starts however long ago its scheduled_timestamp passed.
ANY_DELAY = "any"


@dataclass(frozen=True, kw_only=True)
class FormField(Parameter):
    """A parameter of the service's document: its wire name, and how that name is known."""

    wire_name: str | None
    name_evidence: str


def _field(position: int, name: str, value_type: ValueType, doc: str, **others: Any) -> FormField:
    source = f"parameter {position} of the service's queuecalls page"
    default_doc = "" if others.get("required") else "not sent"
    known = {"wire_name": name, "name_evidence": DOCUMENTED, "source": source, "default_doc": default_doc}
    return FormField(name=name, type=value_type, doc=doc, **known | others)


#: Every documented parameter, in the document's order. CONTRIBUTING.md says what else a new one needs.
#:
#: :meta hide-value:
PARAMETERS: tuple[FormField, ...] = (
    _field(1, "login", SECRET, "The sender's login name, from the connection.", required=True, max_length=128),
    _field(2, "pin", SECRET, "The sender's PIN, from the connection.", required=True, max_length=16),
    _field(
        3, "campaign_name", NAME, "The unique name of the new campaign.", name_evidence=INFERRED,
        default_doc="in an operator, a name of the task instance that is the same on every try",
    ),
    _field(4, "contacts", FILE, "The contact file.", wire_name="phone_number_list", name_evidence=INFERRED, required=True),
    _field(5, "start_url", URL, "The VoiceXML script that runs when a call connects.", required=True, max_length=255),
    _field(6, "result_url", URL, "Where the service posts the result of each call, after the call or its last failed attempt.", max_length=255),
    _field(7, "message_reference", TEXT, "Text that is posted to start_url with every call. Never shown.", max_length=255),
    _field(8, "call_parameters", TEXT, "Further text that is posted to start_url with every call. Never shown.", max_length=255),
    _field(
        9, "max_retries", INTEGER, "How many further attempts the service makes to call a number that was not reached.",
        name_evidence=f"{DOCUMENTED}; another page says max_retry", minimum=0, maximum=10,
    ),
    _field(10, "retry_interval", WHOLE_SECONDS, "The time between two attempts to call a number.", unit="seconds", minimum=60, maximum=172_800),
    _field(11, "scheduled_timestamp", TIMESTAMP, "When the calls start; 0 starts them at once."),
    _field(12, "expiration_timestamp", TIMESTAMP, "When the service stops calling, whether or not everybody was reached; 0 is never."),
    _field(13, "scheduled_time", EXPRESSION, "An alternative to scheduled_timestamp that the service interprets.", max_length=80),
    _field(14, "expiration_time", EXPRESSION, "An alternative to expiration_timestamp that the service interprets.", max_length=80),
    _field(
        15, "secure", FLAG,
        "Run connected calls in the service's HIPAA/PCI environment. The name of its form field is not documented: ask "
        "the service for it and set field_names in the connection's extra.",
        wire_name=None, name_evidence="name not documented",
    ),
)  # fmt: skip


def _delay(value: object, parameter: Parameter) -> timedelta:
    is_any = isinstance(value, str) and value.strip() == ANY_DELAY
    return timedelta.max if is_any else read_duration(value, parameter)


START_LATE = Parameter(
    name="start_late",
    type=ValueType(f"a timedelta, a number of minutes, a string such as '2 hours' or 'PT2H', or {ANY_DELAY!r}", _delay),
    doc="How long after scheduled_timestamp the campaign may still be sent; its calls then start at once. "
    "Later than that it is sent only if it has an expiration_timestamp in the future.",
    unit="minutes", minimum=0, default=timedelta(minutes=15), default_doc="15 minutes",
)  # fmt: skip
BY_NAME: Mapping[str, Parameter] = {parameter.name: parameter for parameter in (*PARAMETERS, START_LATE)}

#: The fields without which a request that was cut short has nobody to queue for.
_SENT_LAST = ("login", "pin", "campaign_name")
_TIME_PAIRS = (("scheduled_timestamp", "scheduled_time"), ("expiration_timestamp", "expiration_time"))


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """The parameters of one campaign.

    Every parameter accepts what a template may render to, and is normalized. Raises :class:`InvalidCampaign` with all
    violations at once, so a campaign that exists is valid; :meth:`assert_timely` checks its times against the clock.

    :param start_url: The VoiceXML script that runs when a call connects. Accepts an absolute http(s) URL without
        credentials, whitespace, or control characters, of at most 255 bytes in UTF-8. Required.
    :param result_url: Where the service posts the result of each call, after the call or its last failed attempt.
        Accepts an absolute http(s) URL without credentials, whitespace, or control characters, of at most 255 bytes in
        UTF-8. Default: not sent.
    :param campaign_name: The unique name of the new campaign. Accepts a string without control characters. Default: in
        an operator, a name of the task instance that is the same on every try.
    :param message_reference: Text that is posted to start_url with every call. Never shown. Accepts a string of at most
        255 bytes in UTF-8. Default: not sent.
    :param call_parameters: Further text that is posted to start_url with every call. Never shown. Accepts a string of
        at most 255 bytes in UTF-8. Default: not sent.
    :param max_retries: How many further attempts the service makes to call a number that was not reached. Accepts a
        whole number from 0 to 10. Default: not sent.
    :param retry_interval: The time between two attempts to call a number. Accepts a timedelta, a number of seconds, or
        a string such as '15 minutes' or 'PT15M', from 60 to 172,800 seconds. Default: not sent.
    :param scheduled_timestamp: When the calls start; 0 starts them at once. Accepts a datetime with a time zone, an ISO
        8601 time with an offset or the name of a time zone, a UNIX time in seconds, or 0. Default: not sent.
    :param expiration_timestamp: When the service stops calling, whether or not everybody was reached; 0 is never.
        Accepts a datetime with a time zone, an ISO 8601 time with an offset or the name of a time zone, a UNIX time in
        seconds, or 0. Default: not sent.
    :param scheduled_time: An alternative to scheduled_timestamp that the service interprets. Accepts a time expression
        of the service, such as '+3 days' or 'oct 14th, 2026 11:05PM EST', of at most 80 bytes in UTF-8. Default: not
        sent.
    :param expiration_time: An alternative to expiration_timestamp that the service interprets. Accepts a time
        expression of the service, such as '+3 days' or 'oct 14th, 2026 11:05PM EST', of at most 80 bytes in UTF-8.
        Default: not sent.
    :param secure: Run connected calls in the service's HIPAA/PCI environment. The name of its form field is not
        documented: ask the service for it and set field_names in the connection's extra. Accepts true or false.
        Default: not sent.
    :param start_late: How long after scheduled_timestamp the campaign may still be sent; its calls then start at once.
        Later than that it is sent only if it has an expiration_timestamp in the future. Accepts a timedelta, a number
        of minutes, a string such as '2 hours' or 'PT2H', or 'any'. Default: 15 minutes.
    :param field_names: The connection's own names of form fields, so that a ``secure`` that cannot be sent is reported
        here, too. Accepts a mapping from parameters to names of form fields. Default: not checked before sending.
    """

    start_url: str | None = field(repr=False)  # the receiver's own are signed
    result_url: str | None = field(default=None, repr=False)
    campaign_name: str | None = None
    message_reference: str | int | None = field(default=None, repr=False)  # these may name a person
    call_parameters: str | int | None = field(default=None, repr=False)
    max_retries: int | str | None = None
    retry_interval: timedelta | int | str | None = None
    scheduled_timestamp: datetime | int | str | None = None
    expiration_timestamp: datetime | int | str | None = None
    scheduled_time: str | None = None
    expiration_time: str | None = None
    secure: bool | int | str | None = None
    start_late: timedelta | int | str | None = None
    field_names: InitVar[Mapping[str, str] | None] = None

    def __post_init__(self, field_names: Mapping[str, str] | None) -> None:
        given = {name: getattr(self, name) for name in self.names()}
        read, found = read_values([BY_NAME[name] for name in given], given)
        for name, value in read.items():
            object.__setattr__(self, name, value)
        violations = [*found.values(), *self._time_violations()]
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
        for parameter in sorted(PARAMETERS, key=lambda each: (each.name in _SENT_LAST, each.name != "contacts")):
            value = given[parameter.name] if parameter.name in given else getattr(self, parameter.name)
            wire_name = field_names.get(parameter.name, parameter.wire_name)
            if value is None or value is False or wire_name is None:
                continue
            form.append((wire_name, str(int(value)) if isinstance(value, int) else value))
        return form

    def assert_timely(self) -> None:
        """Raise :class:`InvalidCampaign` if the campaign has expired, or would start later than ``start_late`` allows.

        That depends on the moment, so it is checked before sending. A campaign that is on record as sent stays valid.
        """
        now, (scheduled, expiration) = time.time(), self._times()
        if expiration and expiration <= now:
            problem = f"passed {format_duration(timedelta(seconds=now - expiration))} ago"
            violation = Violation("expiration_timestamp", problem, "in the future", value=format_moment(expiration))
        elif not expiration and scheduled and timedelta(seconds=now - scheduled) > self._longest_delay:
            problem = (
                f"passed {format_duration(timedelta(seconds=now - scheduled))} ago, so the calls would start at once"
            )
            rule = (
                f"at most {format_duration(self._longest_delay)} in the past (start_late). Set expiration_timestamp to the "
                f"time after which nobody may be called, or start_late={ANY_DELAY!r} to call at whatever time it is"
            )
            violation = Violation("scheduled_timestamp", problem, rule, value=format_moment(scheduled))
        else:
            return
        raise InvalidCampaign([violation], campaign_name=self.campaign_name)

    def span(self, now: float | None = None) -> tuple[int, int | None]:
        """When the first call may start, and when the service stops calling (None: not set), as UNIX times.

        Raises :class:`InvalidCampaign` if that cannot be proven: with a time expression, which only the service interprets,
        or if it never stops.
        """
        violations = [
            Violation(expression, "cannot be proven to be within calling_hours", f"given as {timestamp}")
            for timestamp, expression in _TIME_PAIRS
            if getattr(self, expression) is not None
        ]
        if self.expiration_timestamp == 0:
            rule = "a time within calling_hours, or unset for the latest one that is right for all rows"
            violations.append(Violation("expiration_timestamp", "is 0, which is never", rule))
        if violations:
            raise InvalidCampaign(violations, campaign_name=self.campaign_name)
        scheduled, expiration = self._times()
        # With an expiration, the span is the same on every try: a late start only makes it shorter.
        fixed = scheduled and expiration
        return scheduled if fixed else max(scheduled, int(time.time() if now is None else now)), expiration or None

    def lost_attempts(self, span: tuple[int, int]) -> list[str]:
        """A warning if the attempts that were asked for do not fit into a span of time."""
        if not self.max_retries or not self.retry_interval:
            return []
        wanted, interval = 1 + int(self.max_retries), int(str(self.retry_interval))
        fitting = 1 + (span[1] - span[0] - 1) // interval
        if fitting >= wanted:
            return []
        return [
            f"Calls are made for {format_duration(timedelta(seconds=span[1] - span[0]))}, so at most {fitting} of {wanted} "
            f"attempts fit with a retry_interval of {format_duration(timedelta(seconds=interval))}."
        ]

    def warnings(self) -> list[str]:
        """What is allowed and may still surprise, in sentences."""
        warnings = [
            f"{expression} is relative to the moment of the request: a later try of this task means another time. "
            f"A fixed moment in {timestamp} means the same on every try."
            for timestamp, expression in _TIME_PAIRS
            if (value := getattr(self, expression)) is not None and not re.search(r"\b\d{4}\b", value)
        ]
        if 0 < self._times()[0] < time.time():
            warnings.append("scheduled_timestamp has passed: the calls start at once.")
        return warnings

    def _times(self) -> tuple[int, int]:
        """When the calls start and when they expire, as UNIX times; 0 where that is not set."""
        scheduled, expiration = (int(str(getattr(self, name) or 0)) for name, _ in _TIME_PAIRS)
        return scheduled, expiration

    @property
    def calls_from(self) -> int | None:
        """When the calls start, as a UNIX time; None if they start at once, or if only the service knows."""
        return self._times()[0] or None

    @property
    def expires_at(self) -> int | None:
        """When the service stops calling, as a UNIX time; None without an expiration_timestamp, or if it is 0 (never)."""
        return self._times()[1] or None

    @property
    def _longest_delay(self) -> timedelta:
        # For mypy: after validation it is always a timedelta.
        return self.start_late if isinstance(self.start_late, timedelta) else START_LATE.default

    def _time_violations(self) -> list[Violation]:
        violations = [
            replace(
                BY_NAME[timestamp].violation(
                    f"is given together with {expression}, and which one counts is not documented"
                ),
                rule=f"given without {expression}",
            )
            for timestamp, expression in _TIME_PAIRS
            if getattr(self, timestamp) is not None and getattr(self, expression) is not None
        ]
        scheduled, expiration = self._times()
        if expiration and expiration <= scheduled:
            rule = f"later than scheduled_timestamp ({format_moment(scheduled)})"
            violations.append(Violation("expiration_timestamp", "is too early", rule, value=format_moment(expiration)))
        return violations

    def _wire_violations(self, field_names: Mapping[str, str]) -> list[Violation]:
        return [
            Violation(
                parameter.name,
                "has no known form field. The service would ignore a wrong one and run the calls outside the secure "
                "environment",
                "unset until you know the name from the service and the connection's extra has it: "
                f'field_names: {{"{parameter.name}": "…"}}',
                parameter.source,
            )
            for parameter in PARAMETERS
            if parameter.wire_name is None and parameter.name not in field_names and getattr(self, parameter.name)
        ]


def letters_of(*texts: str) -> str:
    """A digest of texts for a campaign's name. Letters only: many digits in a row look like a phone number to be redacted."""
    digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()[:DIGEST_LENGTH]
    return digest.translate(str.maketrans("0123456789", "ghijklmnop"))


def default_campaign_name(dag_id: str, task_id: str, run_id: str, map_index: int | None = None) -> str:
    """A readable name for one task instance: the same on every try, another for any other instance.

    Letters, digits, ``.``, ``_`` and ``-`` only, at most 100 characters. The digest at the end keeps names apart
    that shortening or replacing characters made alike.
    """
    index = [] if map_index is None or map_index < 0 else [str(map_index)]
    digest = letters_of(dag_id, task_id, run_id, *index)
    room = DEFAULT_NAME_LENGTH - len(digest) - sum(len(part) + 1 for part in index) - 3
    shares = (room - 30) // 2, (room - 30) // 2, 30
    readable = [
        re.sub(r"[^A-Za-z0-9_-]", "_", part)[:share]
        for part, share in zip((dag_id, task_id, run_id), shares, strict=True)
    ]
    return ".".join([*readable, *index, digest])
