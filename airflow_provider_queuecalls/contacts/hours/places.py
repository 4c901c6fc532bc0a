"""Where a phone number may be: the regions and time zones of its area code, or those that a row names.

A mobile or ported number may be elsewhere, which no table knows.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

from airflow_provider_queuecalls.clocks import clocks

CANADA = frozenset({"AB", "BC", "MB", "NB", "NL", "NS", "NT", "NU", "ON", "PE", "QC", "SK", "YT"})
#: Territories on the other side of the date line or close to it. No hour of the day suits them and the mainland.
PACIFIC = frozenset({"AS", "GU", "MP"})


class Place(NamedTuple):
    """Where somebody may be called: states, provinces, or countries (ISO 3166: two letters for a state, three for a
    country), and the names of time zones. Without regions, the region is not known."""

    regions: tuple[str, ...]
    zones: tuple[str, ...]

    def __str__(self) -> str:
        return ", ".join(self.zones) or "unknown"


#: The place of a number whose area code is not geographic, or not in the table. It has no zone and is never within hours.
UNKNOWN = Place((), ())


def country(region: str) -> str:
    """The country of a region: ``USA``, ``CAN``, or another country itself."""
    return region if len(region) == 3 else "CAN" if region in CANADA else "USA"


@lru_cache(maxsize=1)
def area_codes() -> Mapping[int, Place]:
    """The place of every geographic area code of the North American Numbering Plan."""
    with files(__package__).joinpath("area_codes.csv").open(encoding="ascii") as file:
        rows = csv.DictReader(line for line in file if not line.startswith("#"))
        return {
            int(row["area_code"]): Place(tuple(row["regions"].split()), tuple(row["zones"].split())) for row in rows
        }


def area_code(number: int) -> int | None:
    """The area code of a number in international digits; None for one of another numbering plan."""
    return number // 10_000_000 - 1_000 if 12_000_000_000 <= number <= 19_999_999_999 else None


def place_of(number: int) -> Place:
    """The place of a number: :data:`UNKNOWN` for toll-free numbers, for example, and those of other numbering plans."""
    return area_codes().get(area_code(number) or 0, UNKNOWN)


@lru_cache(maxsize=4096)
def place_named(name: str) -> Place:
    """The place that a row names: a time zone such as ``America/Denver``, or a state or province such as ``FL`` or
    ``US-FL``. :data:`UNKNOWN` for any other text."""
    text = name.strip()
    code = text.upper()
    region = code[3:] if code[:3] in ("US-", "CA-") else code
    zones = {zone for place in area_codes().values() if region in place.regions for zone in place.zones}
    if len(region) == 2 and zones and (region == code or (code[:2] == "CA") == (region in CANADA)):
        return Place((region,), tuple(sorted(zones)))
    try:
        clocks(text)
    except KeyError:
        return UNKNOWN
    return Place((), (text,))
