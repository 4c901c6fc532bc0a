"""The parameters of the check in one table, and :class:`ContactRules`, which validates them."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from airflow_provider_queuecalls.exceptions import InvalidContactRules, Violation
from airflow_provider_queuecalls.parameters import Parameter, ValueType, assert_known, is_location, read_values
from airflow_provider_queuecalls.value_types import CHOICE, FLAG, read_duration, read_structure, type_name

if TYPE_CHECKING:
    from airflow_provider_queuecalls.contacts.hours.calling_hours import CallingHours
    from airflow_provider_queuecalls.contacts.hours.check import HoursCheck

#: The columns of the file that is sent, in the service's order.
COLUMNS = ("phone_number", "message_reference", "call_parameter")
#: The column that may name the time zone of a row, by which its calling hours are checked. It is not sent.
TIME_ZONE = "time_zone"
#: The accepted delimiters: none that occurs in phone numbers, in names of columns, or in quoting.
DELIMITERS = {",": ",", ";": ";", "|": "|", "\t": "\t", "\\t": "\t", "tab": "\t"}

# The choices, for signatures. ``Duplicates`` lets mypy find a wrong one; ``Duplicates | str`` also accepts a template, and an
# editor still offers the choices.
PhoneFormat: TypeAlias = Literal["nanp", "vendor"]
Delimiter: TypeAlias = Literal[",", ";", "|", "\t", "tab"]
Quoting: TypeAlias = Literal["refuse", "allow"]
OnInvalid: TypeAlias = Literal["fail", "skip"]
Duplicates: TypeAlias = Literal["fail", "drop", "keep"]
OnEmpty: TypeAlias = Literal["fail", "skip"]
UnknownZone: TypeAlias = Literal["fail", "skip", "strictest"]


def _delimiter(value: object, _: Parameter) -> str:
    if isinstance(value, str) and value in DELIMITERS:
        return DELIMITERS[value]
    raise ValueError("is not valid" if isinstance(value, str) else type_name(value))


def _columns(value: object, _: Parameter) -> Mapping[str, str | None]:
    mapping = read_structure(value.strip()) if isinstance(value, str) else value
    if not isinstance(mapping, Mapping):
        raise ValueError(type_name(mapping))
    assert_known(mapping, (*COLUMNS, TIME_ZONE), "has a key that is not a column of the service's file")
    if mapping.get("phone_number", "") is None:
        raise ValueError("has no name for phone_number")
    names = [name for name in mapping.values() if name is not None]
    if not all(isinstance(name, str) and name.strip() for name in names):
        raise ValueError("has a column name that is empty or not a string")
    if any(name.strip().isdigit() for name in names):
        raise ValueError("has a column name that is a number")
    by_default = [column for column in COLUMNS if column not in mapping]
    folded = [name.strip().casefold() for name in names]
    if len(set(folded)) < len(folded) or not set(folded).isdisjoint(by_default):
        raise ValueError("uses one column of the file twice")
    return {key: name and name.strip() for key, name in mapping.items()}


def _max_rejects(value: object, _: Parameter) -> int | str:
    from fractions import Fraction

    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(type_name(value))
    text = str(value).strip()
    if re.fullmatch(r"[0-9]{1,12}", text):
        return int(text)
    if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,6})?\s*%", text) and Fraction(text.rstrip("% ")) <= 100:
        return text
    raise ValueError("is neither a count nor a percentage")


def _paths(value: object, _: Parameter) -> tuple[str | os.PathLike[str], ...]:
    if isinstance(value, str):
        text = value.strip()
        is_list = text.startswith(("[", "("))
        value = read_structure(text) if is_list else [part for part in text.split(",") if part.strip()]
    if is_location(value):
        value = [value]
    if not isinstance(value, Sequence) or isinstance(value, bytes):
        raise ValueError(type_name(value))
    # A value with a protocol is an ObjectStoragePath, which is not a PathLike. Its text is a URL.
    texts = [str(path) if hasattr(path, "protocol") else path for path in value]
    paths = [path.strip() if isinstance(path, str) else path for path in texts]
    if not all(isinstance(path, str | os.PathLike) and path not in ("", "None") for path in paths):
        raise ValueError("has an entry that is not a path")
    if not paths:  # as where the upstream task has found no list, which must not switch suppression off
        raise ValueError("contains no path")
    return tuple(paths)


def _calling_hours(value: object, _: Parameter) -> CallingHours:
    # Here, so that it is not imported by every process that parses a DAG.
    from airflow_provider_queuecalls.contacts.hours.calling_hours import CallingHours

    return CallingHours.read(value)


def _choice(name: str, doc: str, choices: dict[str, str]) -> Parameter:
    return Parameter(name=name, type=CHOICE, doc=doc, default=next(iter(choices)), choices=choices)


#: Every parameter of the check.
#:
#: :meta hide-value:
PARAMETERS: tuple[Parameter, ...] = (
    _choice(
        "phone_format", "How phone numbers are written in the file.",
        {"nanp": "1 and ten digits of the North American Numbering Plan", "vendor": "every spelling that the service documents"},
    ),
    Parameter(name="normalize", type=FLAG, default=False, doc="Rewrite common spellings of a phone number into the one that is sent."),
    Parameter(name="has_header", type=FLAG, default=False, doc="The first row names the columns, which may come in any order."),
    Parameter(
        name="columns", type=ValueType(f"a mapping such as {{'phone_number': 'Mobile'}}, from {', '.join(COLUMNS)}, or {TIME_ZONE} to names in the header line, or to None for a column that is not sent", _columns, shown=False, form_type="object"),
        default={}, default_doc="their own names",
        doc="The names of the columns in the file. Requires has_header=True. With calling_hours, the column time_zone names the "
        "zone (America/Denver) or the state (CO) of each row, if the file has it.",
    ),
    Parameter(name="delimiter", type=ValueType("',', ';', '|', or 'tab'", _delimiter), default=",", doc="The character that separates the cells of the file."),
    _choice(
        "quoting", "Whether a cell may be quoted as in RFC 4180.",
        {"refuse": "a row with a quote is rejected", "allow": "quotes are read as in RFC 4180, and sent only where a cell needs them"},
    ),
    _choice(
        "on_invalid", "What to do with rows that are rejected.",
        {"fail": "fail the task", "skip": "leave these rows out"},
    ),
    Parameter(
        name="max_rejects", type=ValueType("a count such as 5, or a percentage of the rows such as '2%'", _max_rejects), default_doc="no limit",
        doc="The most rows that may be rejected; with more of them, the task fails. Requires on_invalid='skip'.",
    ),
    _choice(
        "duplicates", "What to do with a phone number that occurs more than once.",
        {"fail": "fail the task", "drop": "keep its first row only", "keep": "keep all of its rows"},
    ),
    Parameter(
        name="suppress", type=ValueType("a path or URL, or a list of them", _paths, shown=False), default_doc="none",
        doc="Suppression lists (do-not-call lists): contacts with these phone numbers are left out. A value that renders to an "
        "empty string is an error, and so is an empty list.",
        empty_is_unset=False,
    ),
    Parameter(
        name="suppress_max_age", unit="days",
        type=ValueType("a timedelta, a number of days, or a string such as '31 days' or 'PT12H'", read_duration), default_doc="no limit",
        doc="The longest time since a suppression list, or the oldest source of a built one, was last changed; with an older one, the task fails. "
        "Requires suppress. A value that renders to an empty string is an error.",
        empty_is_unset=False,
    ),
    _choice(
        "on_empty", "What to do if the contact file has no rows. If all rows are left out, the task fails.",
        {"fail": "fail the task", "skip": "skip the task"},
    ),
    Parameter(
        name="calling_hours",
        type=ValueType(
            "hours such as '08:00-21:00', the name of a set ('us-federal', 'us-strict', or 'ca-crtc'), a mapping from days "
            "or states to hours, or a list of these", _calling_hours, form_type="object",
        ),
        default_doc="not checked",
        doc="The hours in which people may be called, by their own clocks. A row is rejected unless they cover the whole "
        "campaign; without an expiration_timestamp, the campaign gets the latest one that is right for all rows. A value that "
        "renders to an empty string is an error.",
        empty_is_unset=False,
    ),
    _choice(
        "unknown_zone", "What to do with phone numbers whose time zone is not known, if calling_hours is set.",
        {
            "fail": "fail the task", "skip": "reject these rows only",
            "strictest": "call them within the hours of all places in the US and Canada only",
        },
    ),
)  # fmt: skip
BY_NAME: Mapping[str, Parameter] = {parameter.name: parameter for parameter in PARAMETERS}


@dataclass(frozen=True, kw_only=True)
class ContactRules:
    """How a contact file is checked and cleaned.

    Every parameter accepts what a template may render to, and is normalized. Raises :class:`InvalidContactRules` with
    all violations at once, so rules that exist are valid.

    :param phone_format: How phone numbers are written in the file. ``'nanp'``: 1 and ten digits of the North American
        Numbering Plan; ``'vendor'``: every spelling that the service documents. Default: ``'nanp'``.
    :param normalize: Rewrite common spellings of a phone number into the one that is sent. Accepts true or false.
        Default: ``False``.
    :param has_header: The first row names the columns, which may come in any order. Accepts true or false. Default:
        ``False``.
    :param columns: The names of the columns in the file. Requires has_header=True. With calling_hours, the column
        time_zone names the zone (America/Denver) or the state (CO) of each row, if the file has it. Accepts a mapping
        such as {'phone_number': 'Mobile'}, from phone_number, message_reference, call_parameter, or time_zone to names
        in the header line, or to None for a column that is not sent. Default: their own names.
    :param delimiter: The character that separates the cells of the file. Accepts ',', ';', '|', or 'tab'. Default:
        ``','``.
    :param quoting: Whether a cell may be quoted as in RFC 4180. ``'refuse'``: a row with a quote is rejected;
        ``'allow'``: quotes are read as in RFC 4180, and sent only where a cell needs them. Default: ``'refuse'``.
    :param on_invalid: What to do with rows that are rejected. ``'fail'``: fail the task; ``'skip'``: leave these rows
        out. Default: ``'fail'``.
    :param max_rejects: The most rows that may be rejected; with more of them, the task fails. Requires
        on_invalid='skip'. Accepts a count such as 5, or a percentage of the rows such as '2%'. Default: no limit.
    :param duplicates: What to do with a phone number that occurs more than once. ``'fail'``: fail the task; ``'drop'``:
        keep its first row only; ``'keep'``: keep all of its rows. Default: ``'fail'``.
    :param suppress: Suppression lists (do-not-call lists): contacts with these phone numbers are left out. A value that
        renders to an empty string is an error, and so is an empty list. Accepts a path or URL, or a list of them.
        Default: none.
    :param suppress_max_age: The longest time since a suppression list, or the oldest source of a built one, was last
        changed; with an older one, the task fails. Requires suppress. A value that renders to an empty string is an
        error. Accepts a timedelta, a number of days, or a string such as '31 days' or 'PT12H'. Default: no limit.
    :param on_empty: What to do if the contact file has no rows. If all rows are left out, the task fails. ``'fail'``:
        fail the task; ``'skip'``: skip the task. Default: ``'fail'``.
    :param calling_hours: The hours in which people may be called, by their own clocks. A row is rejected unless they
        cover the whole campaign; without an expiration_timestamp, the campaign gets the latest one that is right for
        all rows. A value that renders to an empty string is an error. Accepts hours such as '08:00-21:00', the name of
        a set ('us-federal', 'us-strict', or 'ca-crtc'), a mapping from days or states to hours, or a list of these.
        Default: not checked.
    :param unknown_zone: What to do with phone numbers whose time zone is not known, if calling_hours is set.
        ``'fail'``: fail the task; ``'skip'``: reject these rows only; ``'strictest'``: call them within the hours of
        all places in the US and Canada only. Default: ``'fail'``.
    :param of_rows: The file was written from rows: with calling hours, its fourth cell names the time zone. Default:
        ``False``.
    """

    phone_format: PhoneFormat | None = None
    normalize: bool | int | str | None = None
    has_header: bool | int | str | None = None
    columns: Mapping[str, str | None] | str | None = None
    delimiter: Delimiter | None = None
    quoting: Quoting | None = None
    on_invalid: OnInvalid | None = None
    max_rejects: int | str | None = None
    duplicates: Duplicates | None = None
    suppress: Sequence[str | os.PathLike[str]] | str | os.PathLike[str] | None = None
    suppress_max_age: timedelta | int | str | None = None
    on_empty: OnEmpty | None = None
    calling_hours: Any = None
    unknown_zone: UnknownZone | None = None
    of_rows: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        read, violations = read_values(PARAMETERS, {name: getattr(self, name) for name in BY_NAME})
        for name, value in read.items():
            object.__setattr__(self, name, value)
        for name, needed, has_no_effect in (
            ("columns", "has_header=True", bool(self.columns) and not self.has_header),
            ("max_rejects", "on_invalid='skip'", self.max_rejects is not None and self.on_invalid == "fail"),
            ("suppress_max_age", "suppress", self.suppress_max_age is not None and not self.suppress),
            ("columns", "calling_hours", TIME_ZONE in (self.columns or {}) and self.calling_hours is None),
            ("unknown_zone", "calling_hours", self.unknown_zone != "fail" and self.calling_hours is None),
        ):
            if has_no_effect and needed.partition("=")[0] not in violations:
                violations[name] = Violation(name, "has no effect here", f"unset, or given together with {needed}")
        if violations:
            raise InvalidContactRules(violations.values())

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names of all rules."""
        return tuple(BY_NAME)

    @classmethod
    def of(cls, source: object, **others: Any) -> ContactRules:
        """Return the rules that are attributes of an object, as of an operator, except for ``others``."""
        return cls(**{name: getattr(source, name) for name in cls.names()} | others)

    def for_rows(self) -> ContactRules:
        """The same rules for a file that is written from rows: without a header line, comma-delimited, and with calling
        hours, with the time zone as the fourth cell."""
        return replace(self, has_header=False, columns={}, delimiter=",", of_rows=True)

    def hours_check(self, start: int | None = None, end: int | None = None) -> HoursCheck | None:
        """What decides whether a row is within the calling hours; None without any. The default of the start is now."""
        from airflow_provider_queuecalls.contacts.hours.check import HoursCheck

        if self.calling_hours is None:
            return None
        return HoursCheck(self.calling_hours, str(self.unknown_zone), int(time.time()) if start is None else start, end)

    def without_hours(self) -> ContactRules:
        """The same rules without calling hours."""
        given = self.columns if isinstance(self.columns, Mapping) else {}
        columns = {column: name for column, name in given.items() if column != TIME_ZONE}
        return replace(self, calling_hours=None, unknown_zone=None, columns=columns)

    @property
    def suppression_lists(self) -> tuple[str | os.PathLike[str], ...]:
        """The paths of the suppression lists."""
        return self.suppress if isinstance(self.suppress, tuple) else ()  # a tuple or None once normalized

    def files_read(self, contacts: Any) -> list[tuple[str, Any]]:
        """The locations that a check of the contact file at ``contacts`` reads, each with its role as messages name it."""
        return [("The contact file", contacts), *(("The suppression list", each) for each in self.suppression_lists)]

    def allows(self, rejected: int, contacts: int) -> bool:
        """Whether this many rejected rows out of ``contacts`` are within ``max_rejects``."""
        if self.max_rejects is None:
            return True
        if isinstance(self.max_rejects, int):
            return rejected <= self.max_rejects
        from fractions import Fraction

        return rejected * 100 <= Fraction(self.max_rejects.rstrip("% ")) * contacts
