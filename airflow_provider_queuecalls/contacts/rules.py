"""What the check is asked to do: every parameter in one table, read from whatever templating yields."""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from fractions import Fraction
from typing import Any

from airflow_provider_queuecalls.exceptions import InvalidContactRules, Violation

#: The columns of what is sent, in the vendor's order.
COLUMNS = ("phone_number", "message_reference", "call_parameter")
#: Excluded are characters that occur in numbers, in names of columns or in quoting.
DELIMITERS = {",": ",", ";": ";", "|": "|", "\t": "\t", "\\t": "\t", "tab": "\t"}

_UNITS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800}


@dataclass(frozen=True)
class ContactParameter:
    """One parameter of the check. ``read`` returns the value or raises ValueError with the problem in words."""

    name: str
    default: Any
    rule: str
    doc: str
    read: Callable[[object], Any]

    def normalize(self, value: object) -> Any:
        """Return the value to work with. None, ``''``, blanks and ``'None'`` mean the default."""
        if value is None or (isinstance(value, str) and value.strip(" \r\n") in ("", "None")):
            return self.default
        return self.read(value)

    def violation(self, problem: str) -> Violation:
        """This parameter's rule, broken."""
        return Violation(self.name, problem, self.rule, "this provider")


def _choice(*choices: str) -> tuple[str, Callable[[object], str]]:
    """The rule in words for one of ``choices``, and its reader."""

    def read(value: object) -> str:
        if isinstance(value, str) and value.strip() in choices:
            return value.strip()
        raise ValueError("is no known option" if isinstance(value, str) else f"is a {type(value).__name__}")

    return " or ".join(f"'{choice}'" for choice in choices), read


def _flag(value: object) -> bool:
    known = {"true": True, "1": True, "false": False, "0": False}
    if isinstance(value, bool | int | str) and str(value).strip().lower() in known:
        return known[str(value).strip().lower()]
    raise ValueError("is neither true nor false")


def _delimiter(value: object) -> str:
    if isinstance(value, str) and value in DELIMITERS:
        return DELIMITERS[value]
    raise ValueError("is none of these characters" if isinstance(value, str) else f"is a {type(value).__name__}")


def read_structure(text: str) -> object:
    """Read a JSON text, or the Python text that templating makes of a list or a mapping."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise ValueError("is neither JSON nor a Python literal") from None


def _columns(value: object) -> Mapping[str, str]:
    mapping = read_structure(value.strip()) if isinstance(value, str) else value
    if not isinstance(mapping, Mapping):
        raise ValueError(f"is a {type(mapping).__name__}")
    if not set(mapping) <= set(COLUMNS):
        raise ValueError("has a key that is no column of the vendor's file")
    names = list(mapping.values())
    if not all(isinstance(name, str) and name.strip() for name in names):
        raise ValueError("has a column name that is empty or no text")
    if any(name.strip().isdigit() for name in names):
        raise ValueError("has a column name that is a number")
    if len({name.strip().casefold() for name in names}) < len(names):
        raise ValueError("gives one column of the file two meanings")
    return {key: name.strip() for key, name in mapping.items()}


def _max_rejects(value: object) -> int | str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"is a {type(value).__name__}")
    text = str(value).strip()
    if re.fullmatch(r"[0-9]{1,12}", text):
        return int(text)
    if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,6})?\s*%", text) and Fraction(text.rstrip("% ")) <= 100:
        return text
    raise ValueError("is neither a count nor a percentage")


def _paths(value: object) -> tuple[str | os.PathLike[str], ...]:
    if isinstance(value, str):
        text = value.strip()
        value = read_structure(text) if text[0] in "[(" else [part for part in text.split(",") if part.strip()]
    if isinstance(value, os.PathLike) or hasattr(value, "protocol"):
        value = [value]
    if not isinstance(value, Sequence) or isinstance(value, bytes):
        raise ValueError(f"is a {type(value).__name__}")
    # What has a protocol is an ObjectStoragePath, which is no PathLike; its text is a URL.
    texts = [str(path) if hasattr(path, "protocol") else path for path in value]
    paths = [path.strip() if isinstance(path, str) else path for path in texts]
    if not all(isinstance(path, str | os.PathLike) and path not in ("", "None") for path in paths):
        raise ValueError("has an entry that is no path")
    return tuple(paths)


def _age(value: object) -> timedelta:
    if isinstance(value, int) and not isinstance(value, bool):
        value = f"{value} days"
    if isinstance(value, str):
        value = _duration(value.strip())
    if not isinstance(value, timedelta):
        raise ValueError(f"is a {type(value).__name__}")
    if value <= timedelta(0):
        raise ValueError("is not longer than nothing")
    return value


def _duration(text: str) -> timedelta:
    """Read '31', '31 days', '12 hours' or what ``str(timedelta)`` writes."""
    if simple := re.fullmatch(r"([0-9]{1,6}) *(?:(second|minute|hour|day|week)s?)?", text):
        return timedelta(seconds=int(simple[1]) * _UNITS[simple[2] or "day"])
    if written := re.fullmatch(r"(?:([0-9]{1,6}) days?, )?([0-9]{1,2}):([0-9]{2}):([0-9]{2})(?:\.[0-9]+)?", text):
        days, hours, minutes, seconds = (int(part or 0) for part in written.groups())
        return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    raise ValueError("is not a duration")


def _option(name: str, doc: str, *choices: str) -> ContactParameter:
    rule, read = _choice(*choices)
    return ContactParameter(name, choices[0], rule, doc, read)


#: Every parameter of the check.
#:
#: :meta hide-value:
PARAMETERS: tuple[ContactParameter, ...] = (
    _option("phone_format", "Digits only, as 1 and ten digits; or every spelling the vendor shows.", "nanp", "vendor"),
    ContactParameter("normalize", False, "true or false", "Rewrite common spellings of a number into the one that is sent.", _flag),
    ContactParameter("has_header", False, "true or false", "The first row names the columns, which may come in any order.", _flag),
    ContactParameter(
        "columns", {}, f"a mapping from {', '.join(COLUMNS)} to names in the header line, with has_header=True",
        "What the columns are called in the file.", _columns,
    ),
    ContactParameter("delimiter", ",", "',', ';', '|' or 'tab'", "What separates the cells of the file.", _delimiter),
    _option("quoting", "Whether a cell may be quoted as in RFC 4180.", "refuse", "allow"),
    _option("on_invalid", "Fail where a row is rejected, or send the others.", "fail", "skip"),
    ContactParameter(
        "max_rejects", None, "a count such as 5, or a percentage such as '2%', with on_invalid='skip'",
        "Fail beyond so many rejected rows.", _max_rejects,
    ),
    _option("duplicates", "Fail where a number comes twice, send its first row only, or don't look.", "fail", "drop", "keep"),
    ContactParameter("suppress", (), "a path or a list of paths", "Do-not-call lists: their numbers are left out.", _paths),
    ContactParameter(
        "suppress_max_age", None, "a timedelta, a number of days, or a text such as '31 days' or '12 hours'",
        "Fail where a do-not-call list was last changed longer ago.", _age,
    ),
    _option("on_empty", "Fail where the file has no row, or skip the campaign.", "fail", "skip"),
)  # fmt: skip
BY_NAME: Mapping[str, ContactParameter] = {parameter.name: parameter for parameter in PARAMETERS}


@dataclass(frozen=True, kw_only=True)
class ContactRules:
    """How a contact file is checked and cleaned; see :data:`PARAMETERS` for each parameter's rule.

    Every parameter takes what templating yields and is normalized. Raises :class:`InvalidContactRules` with all
    violations at once, so rules that exist are valid.
    """

    phone_format: str | None = None
    normalize: bool | int | str | None = None
    has_header: bool | int | str | None = None
    columns: Mapping[str, str] | str | None = None
    delimiter: str | None = None
    quoting: str | None = None
    on_invalid: str | None = None
    max_rejects: int | str | None = None
    duplicates: str | None = None
    suppress: Sequence[str | os.PathLike[str]] | str | os.PathLike[str] | None = None
    suppress_max_age: timedelta | int | str | None = None
    on_empty: str | None = None

    def __post_init__(self) -> None:
        violations: dict[str, Violation] = {}
        for parameter in PARAMETERS:
            try:
                value = parameter.normalize(getattr(self, parameter.name))
            except ValueError as problem:
                violations[parameter.name] = parameter.violation(str(problem))
                value = parameter.default
            object.__setattr__(self, parameter.name, value)
        for name, needed, idle in (
            ("columns", "has_header", bool(self.columns) and not self.has_header),
            ("max_rejects", "on_invalid", self.max_rejects is not None and self.on_invalid == "fail"),
        ):
            if idle and needed not in violations:
                violations[name] = BY_NAME[name].violation("is given, but would do nothing")
        if violations:
            raise InvalidContactRules(list(violations.values()))

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names of all rules."""
        return tuple(BY_NAME)

    def for_rows(self) -> ContactRules:
        """The same rules for a file that was written from rows: without a header line, comma-delimited."""
        return replace(self, has_header=False, columns={}, delimiter=",")

    @property
    def lists(self) -> tuple[str | os.PathLike[str], ...]:
        """The paths of the do-not-call lists."""
        return self.suppress if isinstance(self.suppress, tuple) else ()  # always a tuple once normalized

    def allows(self, rejected: int, contacts: int) -> bool:
        """Whether so many rejected rows out of ``contacts`` are within ``max_rejects``."""
        if self.max_rejects is None:
            return True
        if isinstance(self.max_rejects, int):
            return rejected <= self.max_rejects
        return rejected * 100 <= Fraction(self.max_rejects.rstrip("% ")) * contacts
