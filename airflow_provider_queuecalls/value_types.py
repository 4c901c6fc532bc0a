"""The types of parameters' values: how a value that a template has rendered is read, and the text that says what is accepted."""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime, timedelta, timezone
from urllib.parse import urlsplit

from airflow_provider_queuecalls.exceptions import InvalidCampaign
from airflow_provider_queuecalls.parameters import Parameter, ValueType, read_or_raise

#: Timestamps are seconds. A number before 2001 is a duration or a date in digits, one after 9999 is in milliseconds.
EARLIEST_TIMESTAMP = 1_000_000_000
LATEST_TIMESTAMP = 253_402_300_799
#: The most phone numbers that an alarm may call.
MOST_NUMBERS = 100
#: Units of durations, in seconds.
UNITS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800}


def type_name(value: object) -> str:
    """Return what a value of a wrong type is called in a message."""
    return f"is a value of type {type(value).__name__}"


def _fits(text: str, parameter: Parameter) -> str:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ValueError("contains half of a character (a lone surrogate)") from None
    if parameter.max_length is not None and size > parameter.max_length:
        unit = "characters" if len(text) > parameter.max_length else "bytes in UTF-8"
        raise ValueError(f"has {len(text) if unit == 'characters' else size} {unit}")
    return text


def read_text(value: object, parameter: Parameter) -> str:
    """Read a string unchanged. An integer becomes its digits: a template that renders native values makes one of them."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(type_name(value))
    return _fits(str(value), parameter)


def _secret(value: object, parameter: Parameter) -> str:
    if not isinstance(value, str):
        raise ValueError(type_name(value))
    return _fits(value, parameter)


def read_name(value: object, parameter: Parameter) -> str:
    """Read a string of one line, without the whitespace around it."""
    text = read_text(value, parameter).strip()
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise ValueError("contains a control character or a line break")
    return text


def _expression(value: object, parameter: Parameter) -> str:
    if not isinstance(value, str):
        raise ValueError(type_name(value))
    return read_name(value, parameter)


def read_url(value: object, parameter: Parameter) -> str:
    """Read an absolute http(s) URL without credentials."""
    text = _expression(value, parameter)
    if re.search(r"\s", text):
        raise ValueError("contains whitespace")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("is not a URL") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError("does not start with http:// or https://")
    if not host:
        raise ValueError("has no host")
    if "@" in parts.netloc:
        raise ValueError("contains credentials")
    return text


def read_integer(value: object, parameter: Parameter) -> int:
    """Read a whole number, within the parameter's limits."""
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,20}", value.strip()):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("is not a whole number" if isinstance(value, str) else type_name(value))
    _assert_limits(value, parameter)
    return value


def _assert_limits(value: float, parameter: Parameter) -> None:
    if parameter.minimum is not None and value < parameter.minimum:
        raise ValueError("is too small")
    if parameter.maximum is not None and value > parameter.maximum:
        raise ValueError("is too large")


def _timestamp(value: object, parameter: Parameter) -> int:
    if isinstance(value, str) and not re.fullmatch(r"[+-]?[0-9]+", value.strip()):
        value = _parse_time(value.strip())
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise ValueError("has no time zone")
        # Also 1970, which would be 0 and mean "at once" or "never": it is a date that is missing.
        if not EARLIEST_TIMESTAMP <= (seconds := int(value.timestamp())) <= LATEST_TIMESTAMP:
            raise ValueError("is not between the years 2001 and 9999")
        return seconds
    seconds = read_integer(value, parameter)
    if seconds != 0 and not EARLIEST_TIMESTAMP <= seconds <= LATEST_TIMESTAMP:
        raise ValueError("is not a UNIX time in seconds between the years 2001 and 9999")
    return seconds


def _parse_time(text: str) -> datetime:
    """Read ISO 8601 with an offset, or without one and followed by a zone's name."""
    from dateutil.parser import isoparse  # the standard library's reads less of ISO 8601 before Python 3.11

    from airflow_provider_queuecalls.clocks import clocks

    stamp, _, zone = re.sub(r"\[(.+)\]$", r" \1", text).rpartition(" ")
    try:
        if (stamp and "/" in zone) or zone == "UTC":
            moment, clock = isoparse(stamp), timezone.utc if zone == "UTC" else clocks(zone)[0]
            return moment if moment.tzinfo else moment.replace(tzinfo=clock)
        return isoparse(text)
    except (ValueError, KeyError, OSError):
        raise ValueError("is not a time in ISO 8601") from None


_AMOUNT = rf"([0-9]{{1,9}}(?:\.[0-9]{{1,6}})?) *({'|'.join(UNITS)})s?"
_AMOUNTS = re.compile(rf"{_AMOUNT}(?:(?: *,)?(?: +and)? *{_AMOUNT})*")
_ISO_DURATION = re.compile(
    r"P(?=.)(?:(?P<week>[0-9]{1,9})W)?(?:(?P<day>[0-9]{1,9})D)?"
    r"(?:T(?=.)(?:(?P<hour>[0-9]{1,9})H)?(?:(?P<minute>[0-9]{1,9})M)?(?:(?P<second>[0-9]{1,9}(?:\.[0-9]{1,6})?)S)?)?"
)
_WRITTEN_TIMEDELTA = re.compile(
    r"(?:(?P<day>[0-9]{1,9}) days?, )?(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2}(?:\.[0-9]{1,6})?)"
)


def read_duration(value: object, parameter: Parameter) -> timedelta:
    """Read a duration above 0, or 0 if the parameter's minimum is 0.

    Accepts a timedelta; a number, in the parameter's unit; and a string: such a number, ``'1 hour 30 minutes'``, ISO 8601
    (``'PT1H30M'``) without years and months, or what ``str(timedelta)`` writes.
    """
    unit = UNITS[parameter.unit.removesuffix("s")]
    try:
        if isinstance(value, str):
            value = timedelta(seconds=_seconds_of(value.strip(), unit))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            value = timedelta(seconds=value * unit)
    except (OverflowError, ValueError):
        raise ValueError("is not a duration") from None
    if not isinstance(value, timedelta):
        raise ValueError(type_name(value))
    if value < timedelta(0) or (not value and parameter.minimum is None):
        raise ValueError("is not above 0" if parameter.minimum is None else "is negative")
    _assert_limits(value.total_seconds() / unit, parameter)
    return value


def _seconds_of(text: str, unit: int) -> float:
    if re.fullmatch(r"[0-9]{1,12}(?:\.[0-9]{1,6})?", text):
        return float(text) * unit
    if _AMOUNTS.fullmatch(text):
        return sum(float(amount) * UNITS[name] for amount, name in re.findall(_AMOUNT, text))
    written = _ISO_DURATION.fullmatch(text) or _WRITTEN_TIMEDELTA.fullmatch(text)
    if not written:
        raise ValueError
    return sum(float(amount or 0) * UNITS[name] for name, amount in written.groupdict().items())


def format_duration(duration: timedelta) -> str:
    """Return a duration in its two largest units, such as ``1 hour 30 minutes``."""
    seconds, words = int(duration.total_seconds()), list[str]()
    for unit in ("day", "hour", "minute", "second"):
        count, seconds = divmod(seconds, UNITS[unit])
        if count:
            words.append(f"{count} {unit}{'s' if count > 1 else ''}")
    return " ".join(words[:2]) or "0 seconds"


def format_moment(timestamp: float) -> str:
    """Return a UNIX time as messages show it: ``2026-11-23 14:45 UTC``."""
    return f"{datetime.fromtimestamp(timestamp, timezone.utc):%Y-%m-%d %H:%M} UTC"


def _seconds(value: object, parameter: Parameter) -> float:
    return read_duration(value, parameter).total_seconds()


def _whole_seconds(value: object, parameter: Parameter) -> int:
    seconds = _seconds(value, parameter)
    if seconds % 1:
        raise ValueError("is not a whole number of seconds")
    return int(seconds)


def read_flag(value: object, _: Parameter) -> bool:
    """Read a switch: true or false, as a bool, 0 or 1, or the text of one of them."""
    known = {"true": True, "1": True, "false": False, "0": False}
    if isinstance(value, bool | int | str) and str(value).strip().lower() in known:
        return known[str(value).strip().lower()]
    raise ValueError("is neither true nor false" if isinstance(value, bool | int | str) else type_name(value))


def read_phone_numbers(value: object, _: Parameter | None = None) -> tuple[str, ...]:
    """Read phone numbers: one, a list, or a text that has them on lines of their own, between commas, or as a JSON list.

    Whether each is a phone number is for the check of contacts.
    """
    if isinstance(value, str):
        text = value.strip()
        value = read_structure(text) if text.startswith("[") else re.split("[\n,]", text)
    if isinstance(value, int) and not isinstance(value, bool):
        value = [value]
    if not isinstance(value, list | tuple | set | frozenset):
        raise ValueError(type_name(value))
    if not all(isinstance(number, str | int) for number in value):
        raise ValueError("has an entry that is neither a string nor a whole number")
    numbers = tuple(number for each in value if (number := str(each).strip()))
    if len(numbers) > MOST_NUMBERS:
        raise ValueError(f"has more than {MOST_NUMBERS} phone numbers")
    if any("," in number or "\n" in number for number in numbers):
        raise ValueError("has an entry with a comma or a line break")
    return numbers


def _choice(value: object, parameter: Parameter) -> str:
    if isinstance(value, str) and value.strip() in parameter.choices:
        return value.strip()
    raise ValueError("is not valid" if isinstance(value, str) else type_name(value))


def read_structure(text: str) -> object:
    """Read a JSON text, or the Python literal to which a template renders a list or a mapping."""
    import ast
    import json

    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise ValueError("is neither JSON nor a Python literal") from None


SECRET = ValueType("a string", _secret, shown=False)
NAME = ValueType("a string without control characters", read_name)
TEXT = ValueType("a string", read_text, shown=False)
URL = ValueType("an absolute http(s) URL without credentials, whitespace, or control characters", read_url, shown=False)
INTEGER = ValueType("a whole number", read_integer, form_type="integer")
TIMESTAMP = ValueType(
    "a datetime with a time zone, an ISO 8601 time with an offset or the name of a time zone, a UNIX time in seconds, or 0",
    _timestamp,
)
EXPRESSION = ValueType(
    "a time expression of the service, such as '+3 days' or 'oct 14th, 2026 11:05PM EST'", _expression
)
PHONE_NUMBERS = ValueType(
    "a phone number, or several, separated by commas or line breaks or as a JSON list", read_phone_numbers, shown=False
)
FLAG = ValueType("true or false", read_flag, form_type="boolean")
CHOICE = ValueType("", _choice)
SECONDS = ValueType("a number of {unit}, or a string such as '1 minute' or 'PT1M'", _seconds, form_type="number")
WHOLE_SECONDS = ValueType(
    "a timedelta, a number of {unit}, or a string such as '15 minutes' or 'PT15M'", _whole_seconds
)
#: The value is passed through; the contact file is opened later.
FILE = ValueType(
    "a CSV file with the columns phone number, message_reference, and call_parameter, without a header line",
    lambda value, _: value,
)


def parse_flag(name: str, value: object) -> bool:
    """Read a switch that a template may have rendered to a string. An empty one is an error, not false."""
    switch = Parameter(name=name, type=FLAG, doc="", required=True)
    return bool(read_or_raise([switch], {name: value}, InvalidCampaign)[name])


def counted(number: int, noun: str) -> str:
    """A number with its noun: ``1 call``, ``1,234 calls``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
