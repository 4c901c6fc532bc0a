"""Whether the contacts of a campaign may be called during its whole span, each by the clocks where it may be."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from airflow_provider_queuecalls.contacts.hours.calling_hours import CallingHours, Span, common_places
from airflow_provider_queuecalls.contacts.hours.places import UNKNOWN, Place, area_codes, place_named, place_of


class HoursCheck:
    """Decides for each place whether it is within hours from ``start`` to ``end``.

    Without an end, a place is allowed if calls may start there; :meth:`latest_end` is then the end of the campaign.

    :param unknown_zone: The rule for numbers without a known zone. ``"strictest"``: they are allowed if all places in the
        US and Canada are that have hours. Otherwise they are not allowed.
    """

    #: Whether the cleaned copy has the column that names the time zone as its fourth.
    keeps_zone = False
    #: What helps if contacts are outside hours.
    advice = "Choose another time, or split the list by calling hours."

    def __init__(self, hours: CallingHours, unknown_zone: str, start: int, end: int | None = None) -> None:
        self.start = start
        self.end = end
        self._hours = hours
        self._strictest = unknown_zone == "strictest"
        self._latest: dict[Place, int | None] = {}

    def place(self, number: int, named: str = "") -> Place:
        """The place of a number, or the one that its row names. A zone that is named replaces the clock, a state the hours
        as well."""
        of_number = place_of(number)
        if not named.strip(" "):
            return of_number
        given = place_named(named)
        return given if given.regions or not given.zones else Place(of_number.regions, given.zones)

    def allows(self, place: Place) -> bool:
        """Whether somebody at a place may be called during the whole span."""
        latest = self._latest_end(place)
        return latest is not None and (self.end is None or self.start < self.end <= latest)

    def latest_end(self, places: Iterable[Place]) -> int | None:
        """The latest end that is right for all places; None if there is none."""
        ends = [self._latest_end(place) for place in places]
        return None if None in ends else min((end for end in ends if end is not None), default=None)

    @property
    def last_end(self) -> int | None:
        """The end of the campaign, or the latest one that a list of North American numbers may give it."""
        ends = map(self._latest_end, dict.fromkeys(area_codes().values()))
        return self.end or max((end for end in ends if end is not None), default=None)

    def span(self, places: Iterable[Place]) -> Span | None:
        """The span of a campaign to these places, up to the latest end unless one is given. None if there is none."""
        end = self.end or self.latest_end(places)
        return None if end is None else Span(self.start, end)

    @cached_property
    def area_codes(self) -> frozenset[int]:
        """The area codes that are allowed. If numbers without a known zone are, that includes all codes that the table lacks."""
        codes = range(200, 1000) if self.allows(UNKNOWN) else area_codes()
        return frozenset(code for code in codes if self.allows(area_codes().get(code, UNKNOWN)))

    @cached_property
    def area_codes_without_hours(self) -> frozenset[int]:
        """The area codes of regions without hours. Nobody there may be called, whatever zone the row names."""
        return frozenset(code for code, place in area_codes().items() if not all(map(self._hours.hours, place.regions)))

    @cached_property
    def names(self) -> list[str]:
        """Zones and states that rows may name and that are allowed whatever the number, unless its area code is one of
        those without hours. The list may be incomplete."""
        known = {name for place in area_codes().values() for name in (*place.zones, *place.regions)}
        return sorted(name for name in known if self.allows(place_named(name)))

    def _latest_end(self, place: Place) -> int | None:
        if place not in self._latest:
            if place.zones:
                self._latest[place] = self._hours.latest_end(place, self.start)
            else:
                self._latest[place] = self.latest_end(self._known_places())
        return self._latest[place]

    def _known_places(self) -> list[Place]:
        """The places whose hours all hold for somebody whose place is not known; nobody is called without any."""
        known = common_places() if self._strictest else []
        return [place for place in known if all(map(self._hours.hours, place.regions))]
