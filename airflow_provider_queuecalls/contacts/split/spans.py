"""The span in which each contact of a list is called."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timezone

from airflow_provider_queuecalls.clocks import clocks
from airflow_provider_queuecalls.contacts.hours.calling_hours import LONGEST_SPAN, CallingHours, Span, common_spans
from airflow_provider_queuecalls.contacts.hours.check import HoursCheck
from airflow_provider_queuecalls.contacts.hours.places import Place
from airflow_provider_queuecalls.contacts.rules import ContactRules
from airflow_provider_queuecalls.contacts.split.parameters import CARRY_OVER, Split

#: A span that a part gets is not longer, even if the hours have no end.
LONGEST_PART = 86_400
_QUARTER = 900


class SpansCheck(HoursCheck):
    """Decides for each place in which span its contacts are called. A place without one is not allowed.

    With a ``carry_over_path``, contacts whose hours do not begin on the day of the start, by their own calendar, are not
    called.
    """

    keeps_zone = True
    advice = (
        "None of their spans in the next seven days is as long as min_window: make it shorter, or choose other hours."
    )

    def __init__(self, hours: CallingHours, unknown_zone: str, split: Split) -> None:
        super().__init__(hours, unknown_zone, split.start)
        self._split = split
        self._spans: dict[Place, Span | None] = {}

    @classmethod
    def of(cls, rules: ContactRules, split: Split) -> SpansCheck | None:
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
        """None: each part has a span of its own."""

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
