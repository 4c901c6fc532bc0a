"""The clocks of time zones, by the newer of the system's time zone data and that of the package ``tzdata``.

Python prefers the system's data, which may be years old. Parts of Canada changed their clocks in 2026, so an old release is
an hour wrong there.
"""

from __future__ import annotations

import re
import zoneinfo
from datetime import datetime, timezone, tzinfo
from functools import lru_cache
from importlib import import_module
from importlib.resources import files
from pathlib import Path

#: The zones that stopped changing their clocks in November 2026, with the clock that they keep, and the release by which
#: the data is known to have it. With older data, the old clock and the new one must both be within hours.
_CHANGED = {
    **dict.fromkeys(("America/Vancouver", "Canada/Pacific"), "Etc/GMT+7"),
    **dict.fromkeys(("America/Edmonton", "America/Inuvik", "America/Yellowknife", "Canada/Mountain"), "Etc/GMT+6"),
    **dict.fromkeys(("America/Winnipeg", "America/Rainy_River", "Canada/Central"), "Etc/GMT+5"),
}
_HAS_CHANGES = "2026f"
#: Two changes of a clock are further apart.
_STEP = 12 * 3_600


@lru_cache(maxsize=1)
def tzdata() -> tuple[str, bool]:
    """The release of the time zone data that is used, such as ``2026f``, and whether it is the package's.

    The release is empty if the system does not say which one it has.
    """
    system = ""
    for path in (Path(directory, "tzdata.zi") for directory in zoneinfo.TZPATH):
        if path.is_file():
            with path.open(encoding="ascii") as file:
                found = re.match(r"# version (\d{4}[a-z]+)$", file.readline())
                system = found[1] if found else ""
            break
    try:
        package = str(import_module("tzdata").IANA_VERSION)
    except ImportError:
        return system, False
    return (package, True) if package > system else (system, False)


@lru_cache(maxsize=256)
def clocks(name: str) -> tuple[tzinfo, ...]:
    """The clocks of a zone such as ``America/Denver``, all of which must be within hours. Raises KeyError for other names.

    Names without a slash are not accepted: people write ``EST`` for a zone that has summer time, and it has none.
    """
    if not re.fullmatch(r"[A-Za-z_]+(/[A-Za-z0-9_+-]+){1,2}", name):
        raise KeyError(name)
    version, _ = tzdata()
    changed = [_CHANGED[name]] if name in _CHANGED and version < _HAS_CHANGES else []
    return tuple(map(_clock, [name, *changed]))


def _clock(name: str) -> tzinfo:
    _, in_package = tzdata()
    if not in_package:
        try:
            return zoneinfo.ZoneInfo(name)
        except (OSError, ValueError):
            raise KeyError(name) from None
    try:
        with files("tzdata.zoneinfo").joinpath(name).open("rb") as file:
            return zoneinfo.ZoneInfo.from_file(file, key=name)
    except (OSError, ValueError):
        raise KeyError(name) from None


def offset(clock: tzinfo, moment: int) -> int:
    """How many seconds a clock is ahead of UTC at a moment in UNIX seconds."""
    ahead = datetime.fromtimestamp(moment, timezone.utc).astimezone(clock).utcoffset()
    return int(ahead.total_seconds()) if ahead is not None else 0


def offsets(clock: tzinfo, start: int, end: int) -> list[tuple[int, int, int]]:
    """Divide a span into parts during which the clock is not changed: (start, end, offset) in seconds."""
    parts = []
    while start < end:
        ahead, until = offset(clock, start), min(start + _STEP, end)
        if offset(clock, until) != ahead:
            before = start
            while until - before > 1:
                middle = (before + until) // 2
                before, until = (middle, until) if offset(clock, middle) == ahead else (before, middle)
        parts.append((start, until, ahead))
        start = until
    return parts
