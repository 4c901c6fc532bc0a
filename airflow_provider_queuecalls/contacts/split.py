"""How a list is split into contact files for several campaigns: by the span in which contacts may be called, and by size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Literal, TypeAlias

from airflow_provider_queuecalls.clocks import clocks
from airflow_provider_queuecalls.contacts.calling_hours import LONGEST_SPAN, CallingHours, Span, common_spans
from airflow_provider_queuecalls.contacts.hours_check import HoursCheck
from airflow_provider_queuecalls.contacts.places import Place
from airflow_provider_queuecalls.contacts.rules import ContactRules
from airflow_provider_queuecalls.exceptions import InvalidContactRules, Violation
from airflow_provider_queuecalls.parameters import Parameter, ValueType, is_location, read_values
from airflow_provider_queuecalls.value_types import CHOICE, INTEGER, TIMESTAMP, read_duration, type_name

SplitBy: TypeAlias = Literal["calling_hours", "size"]
#: The name of the part that no campaign calls today.
CARRY_OVER = "carry_over"
#: The name of the file in the folder that records which list was split, and how.
RECORD = "queuecalls-split.json"
#: A span that a part gets is not longer, even if the hours have no end.
LONGEST_PART = 86_400
_QUARTER = 900


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


class SpansCheck(HoursCheck):
    """Decides for each place in which span its contacts are called. A place without one is not allowed.

    With a ``carry_over_path``, contacts whose hours do not begin on the day of the start, by their own calendar, are not
    called.
    """

    keeps_zone = True

    def __init__(self, hours: CallingHours, unknown_zone: str, split: Split) -> None:
        super().__init__(hours, unknown_zone, split.start)
        self._split = split
        self._spans: dict[Place, Span | None] = {}

    @classmethod
    def of_split(cls, rules: ContactRules, split: Split) -> SpansCheck | None:
        """The spans by the ``calling_hours`` of the rules; None if they have none."""
        if rules.calling_hours is None:
            return None
        return cls(rules.calling_hours, str(rules.unknown_zone), split)

    def span_of(self, place: Place) -> Span | None:
        """The span of a place: the first that is long enough. None if there is none in seven days."""
        if place not in self._spans:
            self._spans[place] = next(self._long_enough(place), None)
        return self._spans[place]

    def span(self, places: Iterable[Place]) -> None:
        """None: there is one for each part."""

    def part_of(self, place: Place) -> Span | None:
        """The span in which contacts at a place are called; None if they are carried over."""
        span = self.span_of(place)
        is_today = span is None or not place.zones or _day(place, span.start) == _day(place, self.start)
        return span if is_today or self._split.carry_over_path is None else None

    def _long_enough(self, place: Place) -> Iterator[Span]:
        margin = int(self._hours.margin.total_seconds())
        for opening in self._openings(place):
            start = quarter(opening.start)
            end = min(opening.end - margin, start + LONGEST_PART)
            if end - start >= max(self._split.min_window, 1):
                yield Span(start, end)

    def _openings(self, place: Place) -> list[Span]:
        end = self.start + LONGEST_SPAN
        places = [place] if place.zones else self._known_places()
        common = [Span(self.start, end)] if places else []
        for each in places:
            common = common_spans(common, self._hours.openings(each, self.start, end))
        return common

    def _latest_end(self, place: Place) -> int | None:
        span = self.span_of(place)
        return span and span.end


def _day(place: Place, moment: int) -> object:
    (clock, *_) = clocks(place.zones[0])
    return datetime.fromtimestamp(moment, timezone.utc).astimezone(clock).date()


def quarter(moment: int) -> int:
    """The next moment that is 15, 30, or 45 minutes past the hour, at which the vendor wants campaigns to start."""
    later = -(-moment // _QUARTER) * _QUARTER
    return later + _QUARTER if later % 3_600 == 0 else later


def span_name(span: Span | None) -> str:
    """What the names of the parts with this span begin with."""
    return "_".join(f"{datetime.fromtimestamp(at, timezone.utc):%Y-%m-%dT%H%MZ}" for at in span or ()) or CARRY_OVER
