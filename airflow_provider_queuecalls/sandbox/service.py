"""The service itself: receives a campaign, checks it, queues it, and responds; an armed fault interferes."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

# Starlette itself looks for it only when the first form arrives.
import python_multipart  # noqa: F401
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from airflow_provider_queuecalls.client.campaign import BY_NAME, PARAMETERS
from airflow_provider_queuecalls.client.endpoint import Endpoint
from airflow_provider_queuecalls.exceptions import InvalidCampaign, Violation
from airflow_provider_queuecalls.sandbox.faults import Ending, Fault
from airflow_provider_queuecalls.sandbox.form import FormReader, Posted
from airflow_provider_queuecalls.sandbox.journal import RECEIVED, Entry
from airflow_provider_queuecalls.sandbox.responses import FORMATS, beginning, first_of
from airflow_provider_queuecalls.sandbox.state import State
from airflow_provider_queuecalls.sandbox.store import Plan, QueuedCampaign
from airflow_provider_queuecalls.sandbox.wire import BrokenResponse
from airflow_provider_queuecalls.value_types import counted

if TYPE_CHECKING:
    from starlette.datastructures import UploadFile
    from starlette.types import Message

log = logging.getLogger("airflow_provider_queuecalls.sandbox")
#: Room for unknown and repeated fields, so that they can be named; the texts of a form are held in memory.
MOST_FIELDS = 4 * len(PARAMETERS)
#: Campaigns that are written at once. SQLite takes one after the other; the page needs some threads too.
AT_ONCE = 4
_BLOCK_BYTES = 64 << 10
#: With errors as HTTP codes: the code for the first of these fields that is not valid; 422 for any other.
_CODES = {"login": 401, "pin": 401, "campaign_name": 409}


@dataclass
class _Visit:
    """A request, and what is found out about it on the way."""

    request: Request
    fault: Fault | None = None
    campaign_id: int | None = None
    fields: dict[str, str] = field(default_factory=dict)
    note: str = ""


class Service:
    """Responds at the service's path: POST queues a campaign, HEAD only checks the credentials of HTTP Basic."""

    def __init__(self, account: Endpoint, state: State) -> None:
        self._account = account
        self._state = state
        self._reader = FormReader(account, state.settings)
        self._format = FORMATS[state.settings.response_format](state.settings.response_names)
        self._writers = asyncio.Semaphore(AT_ONCE)

    async def respond(self, request: Request) -> Response:
        """Respond to one request. It is in the journal first, so whoever has the response finds it there."""
        visit = _Visit(request)
        response = await self._respond(visit)
        await run_in_threadpool(self._state.journal.add, [self._entry(visit, response)])
        return response

    async def _respond(self, visit: _Visit) -> Response:
        if (refused := self._refuse_unread(visit)) is not None:
            return refused
        visit.fault = await run_in_threadpool(self._state.faults.take)
        try:
            upload = _Upload(visit, self._state.settings.max_upload_bytes)
            form = Request(visit.request.scope, upload).form(max_files=MOST_FIELDS, max_fields=MOST_FIELDS)
            async with form as received, self._writers:
                return await run_in_threadpool(self._receive, visit, received.multi_items())
        except HTTPException as error:
            visit.note = f"Refused: {error.detail}."
            return PlainTextResponse(f"{error.detail}.\n", status_code=error.status_code)
        except ClientDisconnect:
            visit.note = "The client closed the connection before the request was complete; nothing was queued."
            return Response(status_code=400)

    def _refuse_unread(self, visit: _Visit) -> Response | None:
        """The response to a request whose form is not read; None to read it."""
        request = visit.request
        if location := self._redirect(request):
            visit.note = "Redirected."
            return Response(status_code=302, headers={"Location": location})
        if not self._knows(request):
            visit.note = "Refused: the credentials of HTTP Basic are wrong."
            return Response(status_code=401, headers={"WWW-Authenticate": 'Basic realm="queuecalls", charset="UTF-8"'})
        if request.method == "HEAD":
            return Response()
        if not request.headers.get("Content-Type", "").lower().startswith("multipart/form-data"):
            visit.note = "Refused: the content type is not multipart/form-data."
            return PlainTextResponse("queuecalls accepts only multipart/form-data.\n", status_code=415)
        return None

    def _knows(self, request: Request) -> bool:
        """Whether HTTP Basic is right, or left out: a campaign's form contains login and PIN too."""
        settings = self._state.settings
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if not scheme or settings.basic_auth == "refused":
            return settings.basic_auth != "required" and not scheme
        if not settings.checks_pin:
            return True
        return scheme.lower() == "basic" and secrets.compare_digest(
            token.strip().encode(), self._account.basic_credentials.encode()
        )

    def _redirect(self, request: Request) -> str | None:
        target = self._state.settings.redirect
        return str(request.url.replace(scheme="https")) if target == "https" else target

    def _receive(self, visit: _Visit, items: Iterable[tuple[str, str | UploadFile]]) -> Response:
        posted = self._reader.read(items)
        visit.fields = self._reader.fields(posted)
        if posted.contacts:
            visit.fields[self._reader.wire_name("contacts")] = f"the file {posted.contacts.name!r}"
        if visit.fault and not visit.fault.queued:
            visit.note = visit.fault.doc
            return Response(visit.fault.body, visit.fault.status, visit.fault.headers)
        try:
            queued = self._queue(posted)
        except InvalidCampaign as refused:
            return self._refuse(visit, posted, [self._reader.on_the_wire(found) for found in refused.violations])
        visit.campaign_id = queued.id
        visit.note = f"Queued {counted(queued.contacts, 'call')}."
        self._state.dialer.wake()
        return self._confirm(visit.fault, posted, queued)

    def _queue(self, posted: Posted) -> QueuedCampaign:
        campaign, contacts = self._reader.check(posted)
        callbacks = self._state.callbacks
        urls = {"start_url": campaign.start_url, "result_url": campaign.result_url}
        given = {name: url for name, url in urls.items() if url}
        if self._state.settings.check_urls:
            problems = {name: callbacks.problem(url) for name, url in given.items()}
            if violations := [BY_NAME[name].violation(problem) for name, problem in problems.items() if problem]:
                raise InvalidCampaign(violations)
        real_now = time.time()
        now = self._state.clock.now(real_now)
        plan = Plan.of(campaign, now, int(real_now))
        if self._state.settings.expired == "refuse" and campaign.expiration_time and 0 < (plan.expires_at or 0) <= now:
            raise InvalidCampaign([BY_NAME["expiration_time"].violation("has passed")])
        if elsewhere := [name for name, url in given.items() if not callbacks.allows(url)]:
            note = f"Nothing is sent to {' and '.join(elsewhere)} on another machine (--callback-host HOST allows it)."
            plan = plan._replace(notes=(*plan.notes, note))
        return self._state.store.queue(campaign.campaign_name, posted.parameters, contacts, plan, now)

    def _refuse(self, visit: _Visit, posted: Posted, violations: list[Violation]) -> Response:
        names = [violation.parameter for violation in violations]
        visit.note = f"Refused: {', '.join(names)}."
        codes = [code for name, code in _CODES.items() if self._reader.wire_name(name) in names]
        status = (codes or [422])[0] if self._state.settings.errors == "http" else 200
        body = self._format.failed(self._reader.fields(posted), violations)
        return Response(body, status, media_type=self._format.media_type)

    def _confirm(self, fault: Fault | None, posted: Posted, queued: QueuedCampaign) -> Response:
        if fault and fault.body is not None:
            return Response(fault.body, fault.status, fault.headers)
        pages = self._state.store.pages(queued.id)
        if fault:
            pages = first_of(pages, int(queued.contacts * fault.call_ids))
        pieces = self._format.queued(self._reader.fields(posted), pages)
        if fault and fault.ending is not Ending.FINISH:
            return BrokenResponse(*beginning(pieces, fault.sent), fault.ending, self._format.media_type)
        return StreamingResponse(pieces, media_type=self._format.media_type)

    def _entry(self, visit: _Visit, response: Response) -> Entry:
        responded = not isinstance(response, BrokenResponse) or bool(response.body)
        entry = Entry(
            at=self._state.clock.now(), direction=RECEIVED, method=visit.request.method, url=visit.request.url.path,
            headers=dict(visit.request.headers), fields=visit.fields, campaign_id=visit.campaign_id,
            status=response.status_code if responded else None, fault=visit.fault.name if visit.fault else None,
            note=visit.note,
        )  # fmt: skip
        log.info(
            "%s %s%s %s", entry.method, entry.status or "-", f" ({entry.fault})" if entry.fault else "", entry.note
        )
        return entry


class _Upload:
    """Receives the request's body: no more than is allowed, and slowly if the fault has a ``pause``."""

    def __init__(self, visit: _Visit, limit: int) -> None:
        self._visit = visit
        self._limit = limit
        self._received = 0
        self._keep_to_limit(int(visit.request.headers.get("Content-Length", 0)))

    async def __call__(self) -> Message:
        message = await self._visit.request.receive()
        block = message.get("body", b"")
        self._received += len(block)
        self._keep_to_limit(self._received)
        if self._visit.fault and self._visit.fault.pause and block:
            await asyncio.sleep(self._visit.fault.pause * max(1, len(block) / _BLOCK_BYTES))
        return message

    def _keep_to_limit(self, length: int) -> None:
        if length > self._limit:
            raise HTTPException(413, f"The upload is larger than {self._limit} bytes")
