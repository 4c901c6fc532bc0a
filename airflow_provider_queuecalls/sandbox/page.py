"""The page: what the sandbox holds, for people. Rendered here; a small script keeps it current and carries out its forms."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from airflow_provider_queuecalls.sandbox import DEFAULT_LOGIN, DEFAULT_PIN
from airflow_provider_queuecalls.sandbox.api import Progress, progress
from airflow_provider_queuecalls.sandbox.faults import FAULTS, Fault
from airflow_provider_queuecalls.sandbox.numbers import BUSY, MAGIC_NUMBERS, NO_ANSWER, OUT_OF_SERVICE, masked
from airflow_provider_queuecalls.sandbox.state import State
from airflow_provider_queuecalls.sandbox.store import (
    COMPLETED,
    EXPIRED,
    FAILED,
    STATES,
    TALKING,
    WAITING,
    QueuedCampaign,
    Tally,
)

if TYPE_CHECKING:
    from starlette.requests import Request

HERE = Path(__file__).parent
CAMPAIGNS, CALLS, ENTRIES = 25, 25, 12
#: Leads to the newest campaign of a name, ``?name=…``: a name may hold anything, which a path may not.
CAMPAIGN_BY_NAME = "/campaigns"
SPEEDS = ((0, "stands still"), (1, "as the world's"), (60, "a minute a second"), (3600, "an hour a second"))
STEPS = ((60, "+1 min"), (3600, "+1 h"), (86_400, "+1 day"))
#: The chart's slices, by state and how the last attempt ended; the first that fits counts.
SLICES: tuple[tuple[str, str, str | None, str], ...] = (
    ("completed", COMPLETED, None, "completed"),
    ("talking", TALKING, None, "talking"),
    ("busy", FAILED, BUSY, "busy"),
    ("no answer", FAILED, NO_ANSWER, "noanswer"),
    ("out of service", FAILED, OUT_OF_SERVICE, "outofservice"),
    ("expired", EXPIRED, None, "expired"),
    ("waiting", WAITING, None, "waiting"),
)


class Slice(NamedTuple):
    """A part of a chart, in percent."""

    name: str
    css: str
    calls: int
    start: float
    size: float


class Page:
    """The page's two views: all campaigns, and one, by its number or its name."""

    def __init__(self, state: State, connection: Mapping[str, Any]) -> None:
        self._state = state
        login, pin = state.settings.login, state.settings.pin
        self._connection_is_whole = (login, pin) == (DEFAULT_LOGIN, DEFAULT_PIN)
        # A PIN of one's own is shown to nobody who can open the page.
        shown = dict(connection) if self._connection_is_whole else {**connection, "password": "the PIN"}
        self._connection = shlex.quote(json.dumps(shown))
        self._templates = Environment(
            loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        self._templates.filters.update(
            moment=_moment, clock=_clock, number=_number, masked=masked, said=_said, slices=_slices, stage=_stage
        )

    def routes(self) -> list[Route | Mount]:
        """Where the page and its parts lie."""
        return [
            Route("/", self._view(self._index)),
            Route(CAMPAIGN_BY_NAME, self._view(self._campaign_by_name)),
            Route("/campaigns/{campaign_id:int}", self._view(self._campaign)),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ]

    def _view(self, render: Callable[[Request], Response]) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            return await run_in_threadpool(render, request)

        return answer

    def _index(self, request: Request) -> Response:
        state = self._state
        before = _whole(request, "before", 1 << 62)
        campaigns = state.store.campaigns(newest=CAMPAIGNS + 1, before=before)[::-1]
        older = campaigns[CAMPAIGNS - 1].id if len(campaigns) > CAMPAIGNS else None
        tallies = state.store.tallies(campaign.id for campaign in campaigns)
        return self._render(
            "index.html",
            campaigns=campaigns[:CAMPAIGNS],
            older=older,
            progress={campaign_id: progress(found) for campaign_id, found in tallies.items()},
            connection=self._connection,
            connection_is_whole=self._connection_is_whole,
            journal=state.journal.newest(ENTRIES),
            armed=state.faults.armed(),
            faults=_grouped(FAULTS),
            first_fault=FAULTS[0].name,
            numbers=MAGIC_NUMBERS,
            speeds=_speeds(state.clock.speed),
            steps=STEPS,
        )

    def _campaign_by_name(self, request: Request) -> Response:
        named = self._state.store.campaigns(request.query_params.get("name", ""), newest=1)
        if not named:
            return self._render("missing.html", status=404)
        return RedirectResponse(f"/campaigns/{named[0].id}")

    def _campaign(self, request: Request) -> Response:
        store = self._state.store
        campaign = store.campaign(request.path_params["campaign_id"])
        if campaign is None:
            return self._render("missing.html", status=404)
        tallies = store.tallies([campaign.id])[campaign.id]
        at = progress(tallies)
        wanted = request.query_params.get("state")
        wanted = wanted if wanted in STATES else None
        shown = request.query_params.get("numbers") == "shown"
        count = at._asdict()[wanted] if wanted else campaign.contacts
        pages = max(1, -(-count // CALLS))
        page = min(max(1, _whole(request, "page", 1)), pages)
        first = 0 if wanted else campaign.first_call_id + (page - 1) * CALLS - 1
        calls = store.calls(
            campaign.id, after=first, limit=CALLS, state=wanted, skip=(page - 1) * CALLS if wanted else 0
        )
        given = {"state": wanted, "page": page if page > 1 else None, "numbers": "shown" if shown else None}
        return self._render(
            "campaign.html",
            campaign=campaign,
            progress=at,
            parts_of_it=_chart(tallies, campaign.contacts),
            done_share=100 * (at.completed + at.failed + at.expired) // campaign.contacts,
            calls=calls,
            state=wanted,
            shown=shown,
            page=page,
            pages=pages,
            link=lambda **changes: urlencode({k: v for k, v in {**given, **changes}.items() if v is not None}),
            journal=self._state.journal.newest(ENTRIES, campaign_id=campaign.id),
        )

    def _render(self, template: str, status: int = 200, **context: Any) -> Response:
        clock = self._state.clock
        text = self._templates.get_template(template).render(now=clock.now(), speed=clock.speed, **context)
        return HTMLResponse(text, status)


def _chart(tallies: Iterable[Tally], total: int) -> list[Slice]:
    tallies = list(tallies)
    slices: list[Slice] = []
    start = 0.0
    for name, state, last_attempt, css in SLICES:
        calls = sum(t.calls for t in tallies if t.state == state and last_attempt in (None, t.last_attempt))
        if calls:
            slices.append(Slice(name, css, calls, round(start, 3), round(100 * calls / total, 3)))
            start += 100 * calls / total
    return slices


def _slices(at: Progress, total: int) -> list[Slice]:
    tallies = [Tally(state, "", calls) for state, calls in at._asdict().items() if state != WAITING]
    order = {state: place for place, state in enumerate((COMPLETED, TALKING, FAILED, EXPIRED))}
    slices: list[Slice] = []
    start = 0.0
    for tally in sorted(tallies, key=lambda tally: order[tally.state]):
        if tally.calls:
            size = 100 * tally.calls / total
            slices.append(Slice(tally.state, tally.state, tally.calls, round(start, 3), round(size, 3)))
            start += size
    return slices


def _grouped(faults: Iterable[Fault]) -> list[tuple[str, list[Fault]]]:
    titles = {True: "The campaign is queued", False: "Nothing is queued"}
    ordered = sorted(faults, key=lambda fault: not fault.queued)
    return [(titles[queued], list(members)) for queued, members in groupby(ordered, lambda fault: fault.queued)]


def _speeds(speed: float) -> list[tuple[str, str, bool]]:
    named = dict(SPEEDS) | ({} if speed in dict(SPEEDS) else {speed: f"{speed:g} times as fast"})
    return [(f"{value:g}", label, value == speed) for value, label in sorted(named.items())]


def _stage(campaign: QueuedCampaign, at: Progress, now: int) -> str:
    if at.waiting + at.talking == 0:
        return "done"
    return "scheduled" if campaign.starts_at > now else "dialling"


def _said(at: Progress) -> str:
    return ", ".join(f"{calls} {state}" for state, calls in at._asdict().items() if calls)


def _moment(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%-d %b %Y, %H:%M:%S}"


def _clock(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%H:%M:%S}"


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _whole(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else default
