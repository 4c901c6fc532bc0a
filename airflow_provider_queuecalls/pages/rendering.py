"""What all pages share: templates, how values are written, and the parts of bars. The sandbox's page uses it too."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timezone, tzinfo
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.staticfiles import StaticFiles

from airflow_provider_queuecalls.contacts.rows.phone_numbers import masked
from airflow_provider_queuecalls.value_types import counted

HERE = Path(__file__).parent


class Slice(NamedTuple):
    """A part of a bar or a ring, in percent."""

    name: str
    css: str
    calls: int
    start: float
    size: float


def environment(*folders: Path) -> Environment:
    """Return the templates in these folders, which may use those that all pages share."""
    made = Environment(
        loader=FileSystemLoader([*folders, HERE / "templates"]), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.filters.update(
        moment=moment, minute=minute, clock=clock, number=number, share=share, masked=masked, counted=counted,
        breakable=breakable,
    )  # fmt: skip
    return made


def static_files(*folders: Path) -> StaticFiles:
    """Return an app that serves the static files in these folders, and those that all pages share."""
    files = StaticFiles(directory=HERE / "static")
    files.all_directories = [*folders, HERE / "static"]
    return files


def slices(counts: Iterable[tuple[str, int]], total: int) -> list[Slice]:
    """The parts of a bar for these counts, without those of size 0."""
    found: list[Slice] = []
    start = 0.0
    for name, calls in counts:
        size = 100 * calls / total if total else 0.0
        if calls:
            found.append(Slice(name, name.replace(" ", ""), calls, round(start, 3), round(size, 3)))
        start += size
    return found


def breakable(text: str) -> Markup:
    """The text, which may be broken after punctuation: long names contain no blanks."""
    return Markup("<wbr>").join(re.split(r"(?<=[\W_])(?=[^\W_])", text))


def moment(seconds: int, zone: tzinfo = timezone.utc) -> str:
    """A time with its date and its seconds."""
    return f"{datetime.fromtimestamp(seconds, zone):%-d %b %Y, %H:%M:%S}"


def minute(seconds: int, zone: tzinfo = timezone.utc) -> str:
    """A time with its day, to the minute; with the year unless it is this year."""
    then = datetime.fromtimestamp(seconds, zone)
    year = "" if then.year == datetime.now(zone).year else " %Y"
    return f"{then:%-d %b{year}, %H:%M}"


def clock(seconds: int, zone: tzinfo = timezone.utc) -> str:
    """The time of the day."""
    return f"{datetime.fromtimestamp(seconds, zone):%H:%M:%S}"


def number(value: float) -> str:
    """A number with separators."""
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def share(value: float) -> str:
    """A share in percent. It is 0% or 100% only if nothing or nobody is missing."""
    percent = 100 * value
    return f"{percent:.1f}%" if 0 < percent < 1 or 99 < percent < 100 else f"{percent:.0f}%"
