"""The sandbox as a web application: the service itself, what is read of it as JSON, and a page that says what it is.

* ``POST /webservice/queuecalls.php`` queues a campaign, ``HEAD`` only looks at the credentials of HTTP Basic.
* ``GET /api/campaigns`` (``?name=``), ``GET /api/campaigns/{id}/calls`` (``?limit=100&after=<call_id>``) and
  ``GET /api/rings`` (``?limit=100``): phone numbers are shown in full and nobody is asked who they are, since all of
  it stays on this machine unless it is told to listen elsewhere.
* ``GET /`` lists the campaigns as a text.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

# Starlette itself looks for it only when the first form comes in.
import python_multipart  # noqa: F401
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from airflow_provider_queuecalls.campaign import PARAMETERS
from airflow_provider_queuecalls.connection import Endpoint
from airflow_provider_queuecalls.exceptions import InvalidCampaign
from airflow_provider_queuecalls.sandbox import answers
from airflow_provider_queuecalls.sandbox.form import FormReader
from airflow_provider_queuecalls.sandbox.store import Store

if TYPE_CHECKING:
    from starlette.datastructures import UploadFile

log = logging.getLogger("airflow_provider_queuecalls.sandbox")
#: Room for unknown and repeated fields, so that they can be named; the texts of a form are held in memory.
MOST_FIELDS = 4 * len(PARAMETERS)
API_LIMIT = 100


def create_app(store: Store, account: Endpoint) -> Starlette:
    """The application. ``account`` is the service as its clients see it: path, login, PIN and field names."""
    service = _Service(store, account)
    reads = _Reads(store)
    return Starlette(
        routes=[
            Route(urlsplit(account.url).path, service.answer, methods=["HEAD", "POST"]),
            Route("/api/campaigns", reads.campaigns),
            Route("/api/campaigns/{campaign_id:int}/calls", reads.calls),
            Route("/api/rings", reads.rings),
            Route("/", reads.page),
        ]
    )


class _Service:
    """The vendor's side of the wire."""

    def __init__(self, store: Store, account: Endpoint) -> None:
        self._store = store
        self._account = account
        self._reader = FormReader(account)

    async def answer(self, request: Request) -> Response:
        if not self._knows(request):
            log.info("refused: the credentials of HTTP Basic")
            return Response(status_code=401, headers={"WWW-Authenticate": 'Basic realm="queuecalls", charset="UTF-8"'})
        if request.method == "HEAD":
            return Response()
        if not request.headers.get("Content-Type", "").lower().startswith("multipart/form-data"):
            return PlainTextResponse("queuecalls takes multipart/form-data.\n", status_code=415)
        try:
            async with request.form(max_files=MOST_FIELDS, max_fields=MOST_FIELDS) as form:
                return await run_in_threadpool(self._queue, form.multi_items())
        except ClientDisconnect:
            log.info("the client went away before all of it had come; nothing was queued")
            return Response(status_code=400)

    def _knows(self, request: Request) -> bool:
        """Whether HTTP Basic is right, or left out: a campaign's form holds login and PIN too."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if not scheme:
            return True
        return scheme.lower() == "basic" and secrets.compare_digest(
            token.strip().encode(), self._account.basic.encode()
        )

    def _queue(self, items: Iterable[tuple[str, str | UploadFile]]) -> Response:
        posted = self._reader.read(items)
        fields = self._reader.fields(posted)
        try:
            campaign, contacts = self._reader.check(posted)
            queued = self._store.queue(campaign.campaign_name, posted.parameters, contacts)
        except InvalidCampaign as refused:
            violations = [self._reader.on_the_wire(violation) for violation in refused.violations]
            log.info("refused: %s", ", ".join(violation.parameter for violation in violations))
            return Response(answers.failed(fields, violations), media_type=answers.MEDIA_TYPE)
        log.info("queued campaign %r: %s calls", queued.name, queued.contacts)
        return StreamingResponse(answers.queued(fields, self._store.pages(queued.id)), media_type=answers.MEDIA_TYPE)


class _Reads:
    """What can be read of the sandbox. Nothing here changes anything."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def campaigns(self, request: Request) -> Response:
        campaigns = self._store.campaigns(request.query_params.get("name"))
        return JSONResponse([campaign._asdict() for campaign in campaigns])

    def calls(self, request: Request) -> Response:
        calls = self._store.calls(
            request.path_params["campaign_id"],
            after=_number(request, "after", 0),
            limit=_number(request, "limit", API_LIMIT),
        )
        return JSONResponse([call._asdict() for call in calls])

    def rings(self, request: Request) -> Response:
        return JSONResponse(self._store.rings(_number(request, "limit", API_LIMIT)))

    def page(self, _: Request) -> Response:
        campaigns = [
            f"{campaign.received_at}  {campaign.contacts:>9,} calls  {campaign.name or '(no name)'}\n"
            for campaign in self._store.campaigns()
        ]
        return PlainTextResponse(
            "The queuecalls sandbox. It takes campaigns as the service would, and phones nobody.\n\n"
            + ("".join(campaigns) or "No campaign yet. Queue one with the connection that the sandbox printed.\n")
        )


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else default
