"""The page: campaigns, calls, journal, and controls. Rendered here; a small script refreshes it and submits its forms."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route

from airflow_provider_queuecalls.pages.figures import Row
from airflow_provider_queuecalls.pages.rendering import Slice, environment, slices, static_files
from airflow_provider_queuecalls.sandbox import DEFAULT_LOGIN, DEFAULT_PIN
from airflow_provider_queuecalls.sandbox.faults import FAULTS, Fault
from airflow_provider_queuecalls.sandbox.numbers import MAGIC_NUMBERS
from airflow_provider_queuecalls.sandbox.state import State
from airflow_provider_queuecalls.sandbox.store import Progress, QueuedCampaign, Tally

if TYPE_CHECKING:
    from starlette.requests import Request

HERE = Path(__file__).parent
CAMPAIGNS, CALLS, ENTRIES = 25, 25, 12
#: Leads to the newest campaign of a name, ``?name=…``: a name may contain characters that a path may not.
CAMPAIGN_BY_NAME = "/campaigns"
SPEEDS = ((0, "stopped"), (1, "real time"), (60, "a minute per second"), (3600, "an hour per second"))
STEPS = ((60, "+1 min"), (3600, "+1 h"), (86_400, "+1 day"))
STATES = tuple(Progress.__dataclass_fields__)
#: The order of a bar's slices.
BAR = ("completed", "connected", "failed", "expired")


class Page:
    """The page's two views: all campaigns, and one, by its number or its name."""

    def __init__(self, state: State, connection: Mapping[str, Any]) -> None:
        self._state = state
        login, pin = state.settings.login, state.settings.pin
        self._connection_is_whole = (login, pin) == (DEFAULT_LOGIN, DEFAULT_PIN)
        # A PIN of one's own isn't shown to whoever can open the page.
        shown = dict(connection) if self._connection_is_whole else {**connection, "password": "the PIN"}
        self._connection = shlex.quote(json.dumps(shown))
        self._templates = environment(HERE / "templates")
        self._templates.filters.update(described=_described, bar=_bar, stage=_stage, counts=vars)

    def routes(self) -> list[Route | Mount]:
        """The routes of the page and its parts."""
        return [
            Route("/", self._view(self._index)),
            Route(CAMPAIGN_BY_NAME, self._view(self._campaign_by_name)),
            Route("/campaigns/{campaign_id:int}", self._view(self._campaign)),
            Mount("/static", static_files(HERE / "static")),
        ]

    def _view(self, render: Callable[[Request], Response]) -> Callable[[Request], Any]:
        async def respond(request: Request) -> Response:
            return await run_in_threadpool(render, request)

        return respond

    def _index(self, request: Request) -> Response:
        state = self._state
        before = _whole(request, "before", 1 << 62)
        campaigns = state.store.campaigns(newest=CAMPAIGNS + 1, before=before)[::-1]
        older = campaigns[CAMPAIGNS - 1].id if len(campaigns) > CAMPAIGNS else None
        return self._render(
            "index.html",
            campaigns=campaigns[:CAMPAIGNS],
            older=older,
            connection=self._connection,
            connection_is_whole=self._connection_is_whole,
            journal=state.journal.newest(ENTRIES),
            armed=state.faults.armed(),
            faults=_grouped(FAULTS),
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
        at = campaign.progress
        wanted = request.query_params.get("state")
        wanted = wanted if wanted in STATES else None
        shown = request.query_params.get("numbers") == "shown"
        count = getattr(at, wanted) if wanted else campaign.contacts
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
            attempts_outside=self._state.outside_hours.counts[campaign.id],
            is_outside=lambda call: self._state.outside_hours.contains(call, campaign),
            states=STATES,
            chart=_chart(store.tallies(campaign.id)),
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
        text = self._templates.get_template(template).render(root="", now=clock.now(), speed=clock.speed, **context)
        return HTMLResponse(text, status)


def _chart(tallies: list[Tally]) -> list[Row]:
    """A row for each way in which the last attempts ended, with the calls in each state."""
    ends = sorted({tally.last_attempt for tally in tallies if tally.calls})
    calls: dict[tuple[str, str], int] = {(tally.last_attempt, tally.state): tally.calls for tally in tallies}
    return [Row(end or "none yet", tuple(calls.get((end, state), 0) for state in STATES)) for end in ends]


def _bar(campaign: QueuedCampaign) -> list[Slice]:
    return slices(((state, getattr(campaign.progress, state)) for state in BAR), campaign.contacts)


def _grouped(faults: Iterable[Fault]) -> list[tuple[str, list[Fault]]]:
    titles = {True: "The campaign is queued", False: "Nothing is queued"}
    ordered = sorted(faults, key=lambda fault: not fault.queued)
    return [(titles[queued], list(members)) for queued, members in groupby(ordered, lambda fault: fault.queued)]


def _speeds(speed: float) -> list[tuple[str, str, bool]]:
    named = dict(SPEEDS) | ({} if speed in dict(SPEEDS) else {speed: f"{speed:g} times real time"})
    return [(f"{value:g}", label, value == speed) for value, label in sorted(named.items())]


def _stage(campaign: QueuedCampaign, now: int) -> str:
    if campaign.progress.waiting + campaign.progress.connected == 0:
        return "done"
    return "scheduled" if campaign.starts_at > now else "dialing"


def _described(at: Progress) -> str:
    return ", ".join(f"{calls} {state}" for state, calls in vars(at).items() if calls)


def _whole(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else default
