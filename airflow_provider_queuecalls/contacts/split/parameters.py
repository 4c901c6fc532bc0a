"""The parameters of a split: by the span in which contacts may be called, or by size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, TypeAlias

from airflow_provider_queuecalls.contacts.rules import ContactRules
from airflow_provider_queuecalls.exceptions import InvalidContactRules, Violation
from airflow_provider_queuecalls.parameters import Parameter, ValueType, is_location, is_unset, read_values
from airflow_provider_queuecalls.value_types import CHOICE, INTEGER, TIMESTAMP, read_duration, type_name

SplitBy: TypeAlias = Literal["calling_hours", "size"]
#: The name of the part that no campaign calls today.
CARRY_OVER = "carry_over"
#: The name of the file in the folder that records which list was split, and how.
RECORD = "queuecalls-split.json"


def _location(value: object, _: Parameter) -> str:
    if not is_location(value):
        raise ValueError(type_name(value))
    if not (text := str(value).strip()):
        raise ValueError("is empty")
    if "\0" in text:
        raise ValueError("has a NUL character")
    return text


_LOCATION = ValueType("a path or URL", _location, shown=False)
_DURATION = ValueType("a timedelta, a number of {unit}, or a string such as '30 minutes' or 'PT30M'", read_duration)

#: The parameters of a split.
#:
#: :meta hide-value:
PARAMETERS: tuple[Parameter, ...] = (
    Parameter(
        name="by", type=CHOICE, default="calling_hours",
        choices={
            "calling_hours": "a file for each span in which contacts may be called, which requires calling_hours",
            "size": "files of at most max_contacts, in the order of the list",
        },
        doc="How the list is split.",
    ),
    Parameter(
        name="max_contacts", type=INTEGER, minimum=1, maximum=100_000_000, default_doc="no limit",
        doc="The most contacts in a file.",
    ),
    Parameter(
        name="stagger", type=_DURATION, unit="minutes", minimum=0, default=timedelta(0), default_doc="all at once",
        doc="The time between the starts of files that max_contacts divides.",
    ),
    Parameter(
        name="start", type=TIMESTAMP, default_doc="the time for which the run was scheduled",
        doc="The earliest start of the calls. Each file starts at this time or when its hours begin, rounded up to 15, 30, or 45 "
        "minutes past the hour.",
    ),
    Parameter(
        name="min_window", type=_DURATION, unit="minutes", default=timedelta(hours=1), default_doc="1 hour",
        doc="The shortest span that a file may get; with less left of the hours, its contacts get the next span.",
    ),
)  # fmt: skip

#: Where the parts, the carried-over contacts, and the rejects are written.
_WHERE = (
    Parameter(name="folder", type=_LOCATION, required=True, doc=""),
    Parameter(name="carry_over_path", type=_LOCATION, doc=""),
    Parameter(name="rejects_path", type=_LOCATION, doc=""),
)


@dataclass(frozen=True, kw_only=True)
class Split:
    """How a list is split: the values of :data:`PARAMETERS`, with times in seconds, and where files are written to."""

    folder: str
    carry_over_path: str | None
    rejects_path: str | None
    by: str
    max_contacts: int | None
    stagger: int
    start: int
    min_window: int

    @classmethod
    def read(cls, values: Mapping[str, object], rules: ContactRules, start: int) -> Split:
        """Read the values as templating yields them. Raises :class:`InvalidContactRules` with all violations.

        ``start`` is the default of the parameter of this name.
        """
        read, violations = read_values((*PARAMETERS, *_WHERE), values)
        hours = rules.calling_hours is not None
        if hours != (read["by"] == "calling_hours"):
            problem = "has no effect here" if hours else "is missing"
            violations["calling_hours"] = Violation(
                "calling_hours", problem, "set if by is 'calling_hours', else unset"
            )
        if read["by"] == "size" and read["max_contacts"] is None and "max_contacts" not in violations:
            violations["max_contacts"] = Violation("max_contacts", "is missing", "given with by='size'")
        if read["by"] == "size" and not is_unset(values.get("start")):
            violations["start"] = Violation("start", "has no effect here", "unset, or given with by='calling_hours'")
        if read["stagger"] and not (hours and read["max_contacts"]):
            rule = "unset, or given with calling_hours and max_contacts"
            violations["stagger"] = Violation("stagger", "has no effect here", rule)
        if violations:
            raise InvalidContactRules(violations.values())
        seconds = {name: int(read[name].total_seconds()) for name in ("stagger", "min_window")}
        return cls(**{**read, **seconds, "start": read["start"] or start})

    @property
    def record(self) -> str:
        """The path or URL of the record of this split."""
        return f"{self.folder.rstrip('/')}/{RECORD}"

    def location(self, part: str) -> str:
        """The path or URL of the part with this name."""
        if part == CARRY_OVER and self.carry_over_path is not None:
            return self.carry_over_path
        return f"{self.folder.rstrip('/')}/{part}.csv"
