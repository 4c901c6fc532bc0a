"""The pages "Calling campaigns": all campaigns of a results database, and one. An ASGI app, which knows no Airflow."""

from __future__ import annotations

import csv
import io
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timezone, tzinfo
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from airflow_provider_queuecalls.exceptions import QueueCallsError
from airflow_provider_queuecalls.pages import figures
from airflow_provider_queuecalls.pages.access import FullAccess
from airflow_provider_queuecalls.pages.rendering import Slice, environment, slices, static_files
from airflow_provider_queuecalls.records.call_results import FIELDS
from airflow_provider_queuecalls.records.database import overview
from airflow_provider_queuecalls.records.database.database import Database, opened_once
from airflow_provider_queuecalls.records.database.overview import FAILED_CALLS, GROUPS, STATES, Filter, Summary, Totals
from airflow_provider_queuecalls.records.results.counts import EMPTY, OTHER, by_value
from airflow_provider_queuecalls.records.results.next_list import result_cell

if TYPE_CHECKING:
    from starlette.requests import Request

    from airflow_provider_queuecalls.pages.access import Access, Authorize

PERIODS = {1: "today", 7: "7 days", 14: "14 days", 30: "30 days", 90: "90 days", 365: "a year"}
PERIOD = 14
CAMPAIGNS, CALLS, NEEDING = 25, 25, 10
#: The cookie in which the browser says what time zone its times are shown in.
TIMEZONE = "queuecalls_timezone"
#: The header with which live.js refreshes a page that a person has opened.
REFRESH = "Queuecalls-Refresh"
LINES_AT_ONCE = 1_000
#: Nothing from outside is loaded, no other site shows these pages, and no cache keeps them.
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'self'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
#: The URL of a DAG run, given the path below which the app is mounted, the DAG's id, and the run's; None without one.
RunUrl: TypeAlias = Callable[[str, str, str], "str | None"]


@dataclass(frozen=True)
class Visit:
    """A request for a page: who asks, for what, and when."""

    request: Request
    access: Access
    now: int

    @property
    def root(self) -> str:
        """The path below which the app is mounted."""
        return str(self.request.scope.get("root_path", ""))

    @property
    def zone(self) -> tzinfo:
        """The time zone in which times are shown."""
        try:
            return ZoneInfo(self.request.cookies.get(TIMEZONE, "UTC"))
        except (ValueError, OSError, ZoneInfoNotFoundError):  # a browser may know other names than this machine
            return timezone.utc

    def given(self, name: str) -> str | None:
        """A value of the query; None if there is none."""
        return self.request.query_params.get(name) or None

    def position(self) -> tuple[int, str] | None:
        """Where the page before this one has ended; None for the first page."""
        moment, _, key = (self.given("before") or "").partition("-")
        return (int(moment), key) if key and moment.isascii() and moment.isdigit() and len(moment) <= 18 else None


class Pages:
    """The two pages and the downloads.

    :param open_database: opens the results database, once and when it is needed first
    :param authorize: says what the person behind a request may see; None for nothing
    :param run_url: the URL of a DAG run
    """

    def __init__(self, open_database: Callable[[], Database], authorize: Authorize, run_url: RunUrl) -> None:
        self._database = opened_once(open_database)
        self._authorize = authorize
        self._templates = environment()
        self._templates.globals.update(run_url=run_url, bar=_bar)
        self._templates.filters["kind"] = lambda kind: next(iter(by_value(Counter({kind or "": 1}))))

    def app(self) -> Starlette:
        """The ASGI app."""
        return Starlette(
            routes=[
                Route("/", self._responding(self._overview)),
                Mount("/static", static_files()),
                Route("/{key}", self._responding(self._campaign)),
                Route("/{key}/results.csv", self._responding(self._results)),
                Route("/{key}/not-reached.csv", self._responding(self._not_reached)),
            ]
        )

    def _responding(self, view: Callable[[Visit], Response]) -> Callable[[Request], Any]:
        async def respond(request: Request) -> Response:
            access = await self._authorize(request)
            if access is None:
                return PlainTextResponse("You may not see this page.\n", 403, HEADERS)
            response = await run_in_threadpool(self._view, view, Visit(request, access, int(time.time())))
            response.headers.update(HEADERS)
            return response

        return respond

    def _view(self, view: Callable[[Visit], Response], visit: Visit) -> Response:
        from airflow_provider_queuecalls.records.database.errors import translate_sqlalchemy_errors

        try:
            with translate_sqlalchemy_errors(self._database().url):
                return view(visit)
        except QueueCallsError as problem:
            return self._render(visit, "problem.html", status=503, problem=str(problem))

    def _overview(self, visit: Visit) -> Response:
        length = _length(visit.given("days"))
        since = figures.first_moment(visit.zone, visit.now, length)
        state = visit.given("state")
        with self._database().reading() as connection:
            dag_ids = overview.dag_ids(connection)
            allowed = visit.access.readable(["", *dag_ids])
            chosen = Filter(
                allowed=allowed, dag_id=visit.given("dag"), since=since, state=state if state in STATES else None
            )
            totals = overview.totals_by_quarter(connection, chosen)
            campaigns = overview.campaigns(connection, chosen, visit.now, CAMPAIGNS + 1, visit.position())
            needing = overview.needing_a_person(connection, chosen, visit.now, NEEDING + 1)
            unrecorded: list[Summary] = []
            if (allowed is None or "" in allowed) and not (chosen.dag_id or chosen.state):
                unrecorded = overview.unrecorded(connection, since, visit.now, CAMPAIGNS)
        days, today = figures.days(totals, visit.zone, visit.now, length)
        last = campaigns[CAMPAIGNS - 1] if len(campaigns) > CAMPAIGNS else None
        return self._render(
            visit,
            "overview.html",
            campaigns=campaigns[:CAMPAIGNS],
            older=last and _query(visit, before=f"{last.started_at}-{last.campaign_key}"),
            is_first=visit.position() is None,
            newest=_query(visit, before=None),
            needing=needing,
            most_needing=NEEDING,
            unrecorded=unrecorded,
            days=days,
            today=today,
            length=length,
            periods=PERIODS,
            states=STATES,
            dag_ids=[each for each in dag_ids if each and (allowed is None or each in allowed)],
            chosen=chosen,
        )

    def _campaign(self, visit: Visit) -> Response:
        key = visit.request.path_params["key"]
        with self._database().reading() as connection:
            campaign = self._readable(visit, connection)
            if campaign is None:
                return self._render(visit, "no_campaign.html", status=404)
            counts = overview.breakdown(connection, key)
            groups = {group: counts.results[group].total() for group in GROUPS if group in counts.results}
            given = visit.given("group")
            group = given if given in groups else FAILED_CALLS if FAILED_CALLS in groups else next(iter(groups), None)
            found = (
                overview.calls(connection, key, list(counts.results[group]), CALLS + 1, visit.position())
                if group
                else []
            )
        may_read = visit.access.may_read_contacts(campaign.dag_id)
        # The audit log has one entry for each time that a person looks, not one for every few seconds.
        is_shown = may_read and visit.given("numbers") == "shown" and REFRESH not in visit.request.headers
        if is_shown:
            visit.access.record("show numbers", campaign)
        rows, minutes = figures.quarters(counts.quarters, visit.zone)
        zones = overview.contacts_by_zone(campaign)
        last = found[CALLS - 1] if len(found) > CALLS else None
        return self._render(
            visit,
            "one_campaign.html",
            campaign=campaign,
            quarters=rows,
            minutes=minutes,
            hours=figures.hours(counts.quarters, visit.zone),
            groups_shown=GROUPS,
            slices_of=lambda row, total: slices(zip(GROUPS, row.counts, strict=True), total),
            kinds=figures.named(_safe_names(counts.kinds)),
            attempts=figures.named(
                {f"{n} attempt{'s'[: n != 1]}": counts.attempts[n] for n in sorted(counts.attempts)}
            ),
            zones=figures.named({**{zone: Counter() for zone in zones}, **counts.zones}, zones) if zones else [],
            zone_contacts=zones,
            choices=by_value(counts.choices),
            groups=groups,
            group=group,
            calls=found[:CALLS],
            older=last and _query(visit, before=f"{last['counted_at']}-{last['call_key']}"),
            is_first=visit.position() is None,
            is_shown=is_shown,
            may_read=may_read,
            link=lambda **changes: _query(visit, before=None, **changes),
        )

    def _results(self, visit: Visit) -> Response:
        def rows(campaign: Summary) -> Iterator[Iterable[Any]]:
            names = [*(field.name for field in FIELDS), "received_at", "choice", "chosen_at"]
            yield names
            for row in self._database().rows(campaign.campaign_key):
                yield [row[name] for name in names]

        return self._download(visit, "results", rows)

    def _not_reached(self, visit: Visit) -> Response:
        def rows(campaign: Summary) -> Iterator[Iterable[Any]]:
            yield ("phone_number", "message_reference")
            with self._database().reading() as connection:
                yield from overview.not_reached(connection, campaign.campaign_key)

        return self._download(visit, "not-reached", rows)

    def _download(self, visit: Visit, what: str, rows: Callable[[Summary], Iterator[Iterable[Any]]]) -> Response:
        with self._database().reading() as connection:
            campaign = self._readable(visit, connection)
        if campaign is None:
            return self._render(visit, "no_campaign.html", status=404)
        if not visit.access.may_read_contacts(campaign.dag_id):
            return PlainTextResponse("You may not download phone numbers.\n", 403)
        visit.access.record(f"download {what}", campaign)
        name = quote(f"{campaign.name}-{what}.csv", safe="")
        headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{name}"}
        return StreamingResponse(_lines(rows(campaign)), media_type="text/csv", headers=headers)

    def _readable(self, visit: Visit, connection: Any) -> Summary | None:
        """The campaign of the path, if it may be seen."""
        found = overview.campaign(connection, visit.request.path_params["key"], visit.now)
        if found is None:
            return None
        allowed = visit.access.readable([found.dag_id])
        return found if allowed is None or found.dag_id in allowed else None

    def _render(self, visit: Visit, template: str, status: int = 200, **context: Any) -> Response:
        text = self._templates.get_template(template).render(root=visit.root, now=visit.now, zone=visit.zone, **context)
        return HTMLResponse(text, status)


def local_pages(database: Database) -> Starlette:
    """The pages for whoever uses this machine. Requests with another Host header are refused, so no other site can read
    them."""

    async def authorize(_: Request) -> FullAccess:
        return FullAccess()

    app = Pages(lambda: database, authorize, lambda *_: None).app()
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["localhost", "127.0.0.1", "[::1]"])
    return app


def _length(text: str | None) -> int:
    return next((days for days in PERIODS if str(days) == text), PERIOD)


def _query(visit: Visit, **changes: str | None) -> str:
    """The query of this page with changes; what is None is left out."""
    values = {**visit.request.query_params, **changes}
    return urlencode({name: value for name, value in values.items() if value})


def _safe_names(counts: Mapping[str, Any]) -> dict[str, Any]:
    """The counts by value, without values that might be people's data: what the service posts is not known."""
    totals = {value: of_value.total() for value, of_value in counts.items()}
    shown = by_value(Counter(totals))
    found: dict[str, Any] = {}
    for value, of_value in counts.items():
        name = value or EMPTY
        name = name if name in shown else OTHER
        found[name] = found.get(name, Counter()) + of_value
    return found


def _bar(campaign: Summary | Totals) -> list[Slice]:
    parts = (("reached", campaign.reached), ("not reached", campaign.not_reached))
    return slices(parts, campaign.contacts)


def _lines(rows: Iterator[Iterable[Any]]) -> Iterator[str]:
    """The rows as CSV, many lines at once. What comes from outside is neither quoted nor a formula."""
    while block := list(islice(rows, LINES_AT_ONCE)):
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([result_cell(value) for value in row] for row in block)
        yield file.getvalue()
