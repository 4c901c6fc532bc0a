"""Write the time zones in the table of area codes, or check that they are current.

    python tools/area_codes.py [--check]

``contacts/hours/area_codes.csv`` has a line for each geographic area code of the North American Numbering Plan, planned ones
included: the code, its regions, and its time zones. Codes and regions are NANPA's: a new one is a new line, without zones.
The zones are those of phonenumbers at the level of area codes, which has one zone for many an area that spans two, and none
for new codes. So they are corrected here, each for a reason. What phonenumbers says in addition is listed, too.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from functools import cache
from pathlib import Path

import phonenumbers
from phonenumbers.tzdata import TIMEZONE_DATA

sys.path.insert(0, str(Path(__file__).parents[1]))

from airflow_provider_queuecalls.clocks import clocks, offset, tzdata

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "airflow_provider_queuecalls" / "contacts" / "hours" / "area_codes.csv"
NANPA = "NANPA's report of area codes of 2025-11-26 (nanpa.com/reports, npa_report.csv): codes and regions"
EASTERN, CENTRAL, MOUNTAIN, PACIFIC = "America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles"
#: Zones with the clock of one of these are written as it. Canada's are not, since its clocks have changed in 2026.
SAME_CLOCK = (EASTERN, CENTRAL, MOUNTAIN, PACIFIC, "America/Puerto_Rico", "Pacific/Guam")
CANADAS = ("America/Edmonton", "America/Toronto", "America/Vancouver", "America/Winnipeg")

#: The zones of area codes for which phonenumbers has none, or not all: zones, area codes, and the reason.
CORRECTIONS: Sequence[tuple[str, str, str]] = (
    (f"{CENTRAL} {EASTERN}", "219 574 812 930", "Indiana: its northwest and southwest are in Central time"),
    (f"{CENTRAL} {EASTERN}", "270 364 606", "Kentucky: the west is in Central time; 606 has counties of both"),
    (f"{CENTRAL} {EASTERN}", "423 729 931", "Tennessee: the border of the zones runs through these areas"),
    (f"{CENTRAL} {EASTERN}", "448 850", "Florida's panhandle: Tallahassee is in Eastern time, Pensacola in Central"),
    (f"{CENTRAL} {EASTERN}", "906", "Michigan: four counties of the Upper Peninsula are in Central time"),
    (f"{CENTRAL} {MOUNTAIN}", "308", "Nebraska: the west is in Mountain time"),
    (f"{CENTRAL} {MOUNTAIN}", "620 785", "Kansas: four counties in the west are in Mountain time"),
    (f"{CENTRAL} {MOUNTAIN}", "915", "Texas: El Paso is in Mountain time, and NANPA lists Central time as well"),
    (f"{MOUNTAIN} {PACIFIC}", "458 541", "Oregon: most of Malheur County is in Mountain time"),
    (f"{MOUNTAIN} America/Phoenix", "928", "Arizona: the Navajo Nation has summer time"),
    ("America/Adak America/Anchorage", "907", "Alaska: the western Aleutians have Hawaii's time, with summer time"),
    (
        "America/Edmonton America/Fort_Nelson America/Vancouver", "236 250 257 672 778",
        "British Columbia: the east has Mountain time, and the northeast kept its clock before 2026; 604 is the Lower Mainland only",
    ),
    ("America/Edmonton America/Regina", "306 474 639", "Saskatchewan: Lloydminster has Alberta's time"),
    ("America/Halifax America/Toronto", "367 418 581", "Quebec: the Magdalen Islands have Atlantic time"),
    ("America/Halifax America/St_Johns", "709 879", "Newfoundland and Labrador: most of Labrador has Atlantic time"),
    ("America/Toronto America/Winnipeg", "807", "Ontario: the west is in Central time"),
    (
        "America/Atikokan America/Cambridge_Bay America/Inuvik America/Iqaluit America/Rankin_Inlet America/Resolute "
        "America/Whitehorse", "867", "the three territories: every zone that tzdata has there",
    ),
    (EASTERN, "436 465 565 624 679 761", "new: overlays of 440, 718, 912, 716, 313, and 502"),
    (CENTRAL, "457 471 483 621 861 924", "new: overlays of 318, 662, 334, 713, 309, and 507"),
    (PACIFIC, "357 837", "new: overlays of 559 and 530"),
    (EASTERN, "689", "Florida: the overlay of 407, Orlando; phonenumbers says Central time"),
)  # fmt: skip
#: What phonenumbers says and the table leaves out: area code, zone, and the reason.
NOISE: Sequence[tuple[str, str, str]] = (
    ("474", "America/Winnipeg", "a new code of Saskatchewan, with the zones of 306"),
    ("689", CENTRAL, "Orlando is in Eastern time"),
    ("867", "America/Fort_Nelson", "no part of the territories; Yukon has the same clock"),
    ("879", "America/Puerto_Rico", "a new code of Newfoundland, with the zones of 709"),
    ("907", "Pacific/Honolulu", "the western Aleutians have summer time: America/Adak"),
)


@cache
def same_clock(zone: str) -> str:
    """The one of these zones that shows the same time in 2025 to 2028, or the zone itself."""
    same = [each for each in SAME_CLOCK if zone not in CANADAS and _shown(each) == _shown(zone)]
    return (same or [zone])[0]


@cache
def _shown(zone: str) -> tuple[int, ...]:
    (clock, *_), start = clocks(zone), datetime(2025, 1, 1, tzinfo=timezone.utc)
    return tuple(offset(clock, int((start + timedelta(days=day)).timestamp())) for day in range(4 * 365))


def phonenumbers_zones(code: str) -> set[str]:
    """What phonenumbers says of an area code: of the code itself, or else of the prefixes just below it."""
    prefix = f"1{code}"
    at = [prefix] if prefix in TIMEZONE_DATA else [p for p in TIMEZONE_DATA if p.startswith(prefix) and len(p) < 7]
    return {same_clock(zone) for each in at for zone in TIMEZONE_DATA[each]}


def zones(code: str) -> list[str]:
    """The zones of an area code."""
    corrected = [given.split() for given, codes, _ in CORRECTIONS if code in codes.split()]
    found = corrected[0] if corrected else sorted(phonenumbers_zones(code))
    if not found:
        raise SystemExit(f"{code}: phonenumbers has no zone, and there is no correction")
    for zone in phonenumbers_zones(code) - set(found) - {zone for other, zone, _ in NOISE if other == code}:
        raise SystemExit(f"{code}: phonenumbers says {zone}: add it to the correction, or to NOISE")
    return found


def main() -> None:
    """Write the table, or with ``--check`` end with status 1 if it isn't current."""
    text = TABLE.read_text(encoding="ascii")
    rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    built = [
        f"# {NANPA}",
        f"# Zones: phonenumbers {phonenumbers.__version__} and the corrections in tools/area_codes.py, tzdata {tzdata()[0]}",
        "area_code,regions,zones",
        *(f"{row['area_code']},{row['regions']},{' '.join(zones(row['area_code']))}" for row in rows),
    ]
    current = "\n".join([*built, ""])
    if "--check" not in sys.argv[1:]:
        TABLE.write_text(current, encoding="ascii")
    elif text.splitlines()[2:] != built[2:]:
        raise SystemExit(f"{TABLE.relative_to(ROOT)}: not current: run tools/area_codes.py")


if __name__ == "__main__":
    main()
