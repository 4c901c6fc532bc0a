"""What a declared parameter is, and how the values that templates render to are read.

Every table of parameters is made of :class:`Parameter`: the campaign's, the contact rules', the connection's. Validation,
the connection form, the docstrings and the tables of the documentation are all derived from it. Every Airflow process
imports this module, so it imports next to nothing.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_queuecalls.exceptions import Violation

if TYPE_CHECKING:
    from typing_extensions import TypeIs


@dataclass(frozen=True)
class ValueType:
    """What the value of a parameter is.

    ``rule`` completes "it must be …". ``read`` takes a value that is set and returns the normalized one, or raises
    :class:`ValueError` with what is wrong, which never repeats the value. ``shown`` says whether an error may repeat
    the value: never for secrets, free texts and URLs, which may hold a token. ``form_type`` is JSON Schema's name.
    """

    rule: str
    read: Callable[[Any, Parameter], Any]
    shown: bool = True
    form_type: str = "string"


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One parameter: the type of its value, its limits and meaning, and where the rule comes from.

    ``default`` is what an unset value means; ``default_doc`` says so where the value alone doesn't. ``choices`` are the
    accepted values with their meanings. ``minimum``, ``maximum`` and a number without a unit are in ``unit``;
    ``max_length`` is in bytes of UTF-8. ``source`` is empty for a rule of our own. With ``empty_is_unset=False``, an empty
    text is an error: what protects people must not disappear because a template has rendered to nothing.
    """

    name: str
    type: ValueType
    doc: str
    default: Any = None
    default_doc: str = ""
    required: bool = False
    choices: Mapping[str, str] = field(default_factory=dict)
    unit: str = ""
    minimum: int | None = None
    maximum: int | None = None
    max_length: int | None = None
    source: str = ""
    empty_is_unset: bool = True

    @property
    def rule(self) -> str:
        """What is accepted, with all limits. It completes "it must be …"."""
        if self.choices:
            return any_of(self.choices)
        limits, unit = "", f" {self.unit}" if self.unit else ""
        if self.maximum is not None:
            above = "above 0 and at most" if self.minimum is None else f"from {self.minimum:,} to"
            limits = f"{above} {self.maximum:,}{unit}"
        elif self.max_length is not None:
            limits = f"of at most {self.max_length} bytes in UTF-8"
        rule = self.type.rule.replace("{unit}", self.unit)
        return f"{rule}{',' if ',' in rule and limits else ''} {limits}".rstrip()

    @property
    def default_text(self) -> str:
        """What an unset value means, as text; empty for a required parameter."""
        if self.default_doc or self.default is None:
            return self.default_doc
        if isinstance(self.default, bool):
            return str(self.default).lower()
        return f"{self.default}{f' {self.unit}' if self.unit else ''}"

    def read(self, value: object) -> Any:
        """Return the normalized value, or the default for an unset one. Raises :class:`ValueError` with the problem."""
        if is_unset(value):
            if self.required:
                raise ValueError("is missing")
            if value is not None and not self.empty_is_unset:
                raise ValueError("is an empty text (or the text 'None')")
            return self.default
        return self.type.read(value, self)

    def violation(self, problem: str, value: object = None) -> Violation:
        """Return the broken rule. The value is part of it only where it can be neither personal nor secret."""
        shown = show(value) if self.type.shown and not is_unset(value) else ""
        return Violation(self.name, problem, self.rule, self.source, shown)


def read_values(
    table: Iterable[Parameter], values: Mapping[str, object]
) -> tuple[dict[str, Any], dict[str, Violation]]:
    """Read the values of all parameters of a table. Return them, and what is wrong by the parameter's name.

    A parameter whose value is wrong has its default.
    """
    read: dict[str, Any] = {}
    violations: dict[str, Violation] = {}
    for parameter in table:
        value = values.get(parameter.name)
        try:
            read[parameter.name] = parameter.read(value)
        except ValueError as problem:
            violations[parameter.name] = parameter.violation(str(problem), value)
            read[parameter.name] = parameter.default
    return read, violations


def read_or_raise(
    table: Iterable[Parameter], values: Mapping[str, object], error: Callable[[Iterable[Violation]], Exception]
) -> dict[str, Any]:
    """Read the values of all parameters of a table. Raises the error with everything that is wrong."""
    read, violations = read_values(table, values)
    if violations:
        raise error(violations.values())
    return read


def is_unset(value: object) -> TypeIs[None]:
    """Whether a value, as a template renders it, means that the parameter is not given. A tab counts as set: it may be a
    delimiter.

    To a type checker, any other value is not None.
    """
    return value is None or (isinstance(value, str) and value.strip(" \r\n") in ("", "None"))


def is_location(value: object) -> bool:
    """Whether a value is a path or URL: a text, a PathLike, or an ObjectStoragePath, which is not a PathLike in every version."""
    return isinstance(value, str | os.PathLike) or hasattr(type(value), "protocol")


def any_of(choices: Iterable[str]) -> str:
    """Return the quoted choices as a list in English."""
    *others, last = [repr(choice) for choice in choices]
    return f"{', '.join(others)}{',' if len(others) > 1 else ''} or {last}" if others else last


# What an error may repeat

#: A text is taken for a path if it begins as one, or ends as the name of a file of rows.
_PATH = re.compile(
    r"(?:/|~|\.{1,2}/|[A-Za-z]:[\\/]).*|.*\.(?:csv|tsv|psv|txt|dat|gz|gzip|zst|zstd|zip|xlsx?|json|jsonl|ndjson|parquet|qc)",
    re.I,
)
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)")
#: Characters that separate or quote cells.
_OF_ROWS = frozenset(',;|"')
#: A phone number has seven or more.
MOST_DIGITS = 6
_DATE = re.compile(
    r"(?<!\d)(?:19|20)\d\d([-_.]?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12]\d|3[01])"
    r"(?:[T ]\d\d:?\d\d(?::?\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:?\d\d)?)?(?!\d)"
)
_LONGEST_SHOWN = 200
_LONGEST_NAME = 64


def show(value: object) -> str:
    """Return the text by which an error may repeat a value, or ``''`` where it may be people's data or a secret.

    That holds whatever the parameter is: a phone number may be given as any of them by mistake.
    """
    if isinstance(value, datetime | timedelta):
        return str(value)
    if not isinstance(value, str | int | float):
        return ""
    text = unicodedata.normalize("NFKC", str(value))
    return "" if "@" in text or _without_numbers(text) != text else repr(value)[:_LONGEST_SHOWN]


def show_conn_id(conn_id: object) -> str:
    """Return how messages refer to a connection: by its id, unless that must not be shown."""
    return conn_id_to_show(conn_id) or "(not shown)"


def conn_id_to_show(conn_id: object) -> str:
    """Return the text by which an error may repeat a connection's id, or ``''`` where it is something else by mistake, such as a
    URL, which may have a password anywhere."""
    return "" if "://" in str(conn_id) else show(conn_id)


def is_plain_name(name: object) -> bool:
    """Whether an error may repeat the name of a column or a key: an identifier that cannot be a phone number."""
    is_short = isinstance(name, str) and name.isidentifier() and len(name) <= _LONGEST_NAME
    return is_short and sum(map(str.isnumeric, str(name))) <= MOST_DIGITS


def assert_known(keys: Iterable[object], known: Collection[str], problem: str) -> None:
    """Raise :class:`ValueError` with the problem if there is another key, and name it if an error may repeat it."""
    for key in keys:
        if key not in known:
            raise ValueError(f"{problem}: {key!r}" if is_plain_name(key) else problem)


def show_path(location: object) -> str:
    """Return how messages refer to a path: quoted, or by its type and length where it must not be shown."""
    path = path_to_show(location)
    return f"({describe(location)})" if path is None else repr(path)


def path_to_show(location: object) -> str | None:
    """Return a path or URL as a message may show it; None for a value that must not be shown.

    Data that is given as a path by mistake must not be repeated. So a value is shown only if it begins or ends as a
    path does, and has no line break and no character that separates cells. Where a part of it has more than six digits
    outside of a date, it may be a phone number, and its digits are shown as ``#``. A URL is shown without its password
    and query.
    """
    text = str(location) if is_location(location) else ""
    if not text or not text.isprintable() or _OF_ROWS & set(unicodedata.normalize("NFKC", text)):
        return None
    text = text.strip()
    if url := _URL.fullmatch(text):
        text = f"{url[1]}://{_without_secrets(url[2])}"
    elif not _PATH.fullmatch(text):
        return None
    masked = "/".join(map(_without_numbers, text.split("/")))
    return masked if len(masked) <= _LONGEST_SHOWN else f"{masked[:_LONGEST_SHOWN]}…"


def describe(value: object) -> str:
    """Describe a value by its type and size, such as ``a list of 2``."""
    if value is None:
        return "None"
    if isinstance(value, str):
        return f"a string of {len(value)} characters"
    name = type(value).__name__
    article = "an" if name[:1].lower() in "aeiou" else "a"
    try:
        return f"{article} {name} of {len(value)}"  # type: ignore[arg-type]
    except TypeError:
        return f"{article} {name}"


def _without_secrets(rest: str) -> str:
    """Return what follows ``://``, without password and query. The user name is that of a connection."""
    before, _, query = rest.partition("?")
    if "@" in query:
        return "…"  # a password may contain a question mark
    user, at, address = before.rpartition("@")
    name, colon, _ = user.partition(":")
    return f"{name}:***@{address}" if colon else f"{user}{at}{address}"


def _without_numbers(part: str) -> str:
    if sum(map(str.isnumeric, _DATE.sub("", part))) <= MOST_DIGITS:
        return part
    return "".join("#" if character.isnumeric() else character for character in part)
