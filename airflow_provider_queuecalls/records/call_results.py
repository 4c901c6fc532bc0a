"""The result of a call: the fields that the service posts to ``result_url``, in one table.

The sandbox posts these fields, the receiver reads them, the database stores them, and the documentation lists them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from airflow_provider_queuecalls.parameters import Parameter, ValueType, read_values
from airflow_provider_queuecalls.value_types import INTEGER, TIMESTAMP, read_text

#: The results with which a contact counts as reached, and as not reached. With any other it counts as neither, as without a
#: result: it may have been reached, so calling it again may call a person twice.
COMPLETED, FAILED = "completed", "failed"
DOCUMENTED = "documented"
#: How long the digests of a post and of a call are, in characters.
KEY_LENGTH = 32


def _stored_text(value: object, parameter: Parameter) -> str:
    text = read_text(value, parameter).strip()
    if "\0" in text:  # PostgreSQL stores none
        raise ValueError("contains a NUL character")
    return text


TEXT = ValueType("a string without NUL characters", _stored_text, shown=False)


@dataclass(frozen=True, kw_only=True)
class ResultField(Parameter):
    """A field of a call's result, and what is known about it."""

    evidence: str = DOCUMENTED


#: Every documented field, in the document's order.
#:
#: :meta hide-value:
FIELDS: tuple[ResultField, ...] = (
    ResultField(
        name="phone_number", type=TEXT, max_length=255, doc="The number that was called.",
        evidence="documented; whether it is spelled as in the contact file is not known",
    ),
    ResultField(name="message_reference", type=TEXT, max_length=255, doc="The contact's message_reference."),
    ResultField(
        name="call_id", type=TEXT, max_length=255, doc="The service's id of the call.",
        evidence="documented; unique only within one server of the service",
    ),
    ResultField(
        name="result", type=TEXT, max_length=255, doc="How the call ended, such as completed or failed.",
        evidence="documented; further values are not known",
    ),
    ResultField(
        name="callee_type", type=TEXT, max_length=255, doc="Who answered, such as a person or a machine, or why nobody did.",
        evidence="documented; its values are not known",
    ),
    ResultField(name="attempts", type=INTEGER, minimum=0, maximum=1_000_000, doc="How many attempts the service made."),
    ResultField(
        name="last_attempt_timestamp", type=TIMESTAMP, doc="When the last attempt was made.",
        evidence="documented; its format is not known",
    ),
    ResultField(
        name="duration", type=INTEGER, minimum=0, maximum=1_000_000_000, doc="How long the call took.",
        evidence="documented; its unit, probably seconds, is not known",
    ),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class CallResult:
    """The result of one call, with a value for each of :data:`FIELDS`. None stands for a missing or unreadable value."""

    phone_number: str | None = None
    message_reference: str | None = None
    call_id: str | None = None
    result: str | None = None
    callee_type: str | None = None
    attempts: int | None = None
    last_attempt_timestamp: int | None = None
    duration: int | None = None

    @property
    def call_key(self) -> str | None:
        """A digest of what names the call; None if nothing does."""
        call = (self.phone_number, self.message_reference, self.call_id)
        return None if call == (None, None, None) else _digest(call)

    def form(self) -> dict[str, str]:
        """Return the fields as the service posts them."""
        values = asdict(self)
        return {field.name: "" if values[field.name] is None else str(values[field.name]) for field in FIELDS}


@dataclass(frozen=True)
class PostedResult:
    """One post to ``result_url``: what could be read of it, and everything as it came.

    ``fields`` is a JSON object of all fields, with a list of values for a name that came with several. ``problems`` names
    the documented fields whose value could not be read. Two posts of the same fields have the same ``digest``, whatever
    their order and the whitespace around them.
    """

    result: CallResult
    fields: str
    problems: tuple[str, ...]
    digest: str


def read_result(pairs: Iterable[tuple[str, str]]) -> PostedResult:
    """Read the names and values of a post. A value that is not valid is a problem, never an error."""
    found: dict[str, list[str]] = {}
    for name, value in dict.fromkeys(pairs):
        found.setdefault(name, []).append(value)
    fields = {name: values[0] if len(values) == 1 else values for name, values in found.items()}
    stripped = {
        name: sorted(v.strip() for v in value) if isinstance(value, list) else value.strip()
        for name, value in fields.items()
    }
    read, violations = read_values(FIELDS, fields)
    return PostedResult(CallResult(**read), json.dumps(fields), tuple(violations), _digest(stripped))


_ENCODER = json.JSONEncoder(sort_keys=True)


def _digest(value: object) -> str:
    return hashlib.sha256(_ENCODER.encode(value).encode()).hexdigest()[:KEY_LENGTH]
