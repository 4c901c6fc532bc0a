"""Profiles: services that differ from the documented one, each as settings of the sandbox, and how one is read from a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_type_hints

from airflow_provider_queuecalls.exceptions import QueueCallsError
from airflow_provider_queuecalls.parameters import any_of, describe, show
from airflow_provider_queuecalls.sandbox.responses import Names
from airflow_provider_queuecalls.sandbox.settings import Settings

#: The settings that say how a service differs from another.
NAMES = (
    *(
        "field_names",
        "response_format",
        "response_names",
        "errors",
        "unique_names",
        "checks_pin",
        "basic_auth",
        "redirect",
    ),
    *("unknown_fields", "duplicates", "bad_rows", "quoting", "expired"),
)


class Profile(NamedTuple):
    """A service: what it is like, and the sandbox's settings that make it so."""

    doc: str
    settings: Mapping[str, Any]


PROFILES: Mapping[str, Profile] = {
    "documented": Profile("The service as the vendor documents it, where it does; the sandbox's own choice elsewhere.", {}),
    "siblings": Profile("Responds in JSON and with HTTP error codes, as other products of the vendor do.", {"response_format": "json", "errors": "http"}),
    "lenient": Profile(
        "Ignores fields that it does not know, drops repeated numbers, skips bad rows, reads quotes, and accepts repeated names and expired campaigns.",
        {"unknown_fields": "ignore", "duplicates": "drop", "bad_rows": "skip", "quoting": "read", "unique_names": False, "expired": "accept"},
    ),
    "strict": Profile("Refuses a list with a number twice, and a request without HTTP Basic.", {"duplicates": "refuse", "basic_auth": "required"}),
    "renamed": Profile(
        "Has other names for form fields, and says so in its errors.",
        {"field_names": {"contacts": "contact_list", "campaign_name": "name", "max_retries": "max_retry"}},
    ),
    "other_words": Profile(
        "Says state and accepted instead of status and queued.",
        {"response_format": "json", "response_names": {"status": "state", "queued": "accepted", "failed": "denied", "error": "problems", "call_id": "id"}},
    ),
    "terse": Profile("Responds with one word of text.", {"response_format": "text", "response_names": {"queued": "OK", "failed": "DENIED"}}),
    "open_door": Profile("Accepts a wrong PIN.", {"checks_pin": False}),
    "form_only": Profile("Refuses requests with HTTP Basic.", {"basic_auth": "refused"}),
    "moved": Profile("Redirects everything to https.", {"redirect": "https"}),
}  # fmt: skip


def read_profile(name: str) -> dict[str, Any]:
    """The settings of a profile: one of :data:`PROFILES`, or a JSON file, such as a report of ``queuecalls probe``.

    Raises :class:`QueueCallsError`.
    """
    if name in PROFILES:
        return dict(PROFILES[name].settings)
    try:
        found = json.loads(Path(name).read_text("utf-8"))
    except FileNotFoundError:
        raise QueueCallsError(
            f"There is no profile {name!r}, and no such file. Profiles: {', '.join(PROFILES)}."
        ) from None
    except (OSError, ValueError) as error:
        raise QueueCallsError(f"The profile {name!r} cannot be read as JSON ({type(error).__name__}).") from None
    settings = found.get("profile", found) if isinstance(found, dict) else None
    if not isinstance(settings, dict):
        raise QueueCallsError(f"The profile {name!r} must be a JSON object with keys among {', '.join(NAMES)}.")
    for key, value in settings.items():
        if key not in NAMES:
            raise QueueCallsError(f"The profile {name!r} has the key {key!r}; a key must be {any_of(NAMES)}.")
        is_valid, rule = _compare(key, value)
        if not is_valid:
            shown = show(value) or describe(value)
            raise QueueCallsError(f"The profile {name!r} is not valid: {key} is {shown}; it must be {rule}.")
    return settings


def _compare(key: str, value: Any) -> tuple[bool, str]:
    """Whether a setting may have a value, and what is accepted."""
    if key in ("field_names", "response_names"):
        is_texts = isinstance(value, dict) and all(isinstance(text, str) for text in value.values())
        if key == "field_names":  # the connection knows which there are
            return is_texts, "a JSON object of strings"
        known = [each.name for each in fields(Names)]
        return is_texts and set(value) <= set(known), f"a JSON object of strings, with keys among {', '.join(known)}"
    hint = get_type_hints(Settings)[key]
    if choices := [choice for choice in get_args(hint) if isinstance(choice, str)]:
        return value in choices, any_of(choices)
    if hint is bool:
        return isinstance(value, bool), "true or false"
    return value is None or isinstance(value, str), "a string, or null"
