"""The vendor's side of the wire: takes a campaign in, judges it, queues it, answers; and goes wrong as it is told to."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

# Starlette itself looks for it only when the first form comes in.
import python_multipart  # noqa: F401
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from airflow_provider_queuecalls.client.campaign import BY_NAME, PARAMETERS
from airflow_provider_queuecalls.client.endpoint import Endpoint
from airflow_provider_queuecalls.exceptions import InvalidCampaign, Violation
from airflow_provider_queuecalls.sandbox.answers import FORMATS, beginning, first_of
from airflow_provider_queuecalls.sandbox.faults import ArmedFaults, Ending, Fault, names_no_fault
from airflow_provider_queuecalls.sandbox.form import FormReader, Posted
from airflow_provider_queuecalls.sandbox.journal import RECEIVED, Entry
from airflow_provider_queuecalls.sandbox.state import State
from airflow_provider_queuecalls.sandbox.store import Plan, QueuedCampaign
from airflow_provider_queuecalls.sandbox.wire import BrokenResponse

if TYPE_CHECKING:
    from starlette.datastructures import UploadFile
    from starlette.types import Message

log = logging.getLogger("airflow_provider_queuecalls.sandbox")
#: Room for unknown and repeated fields, so that they can be named; the texts of a form are held in memory.
MOST_FIELDS = 4 * len(PARAMETERS)
#: Campaigns that are written at once. SQLite takes one after the other; the page wants some threads too.
AT_ONCE = 4
_BLOCK_BYTES = 64 << 10
#: With errors as HTTP codes: that of the first of these fields that is wrong; 422 for any other.
_CODES = {"login": 401, "pin": 401, "campaign_name": 409}


@dataclass
class _Visit:
    """A request, and what is found out about it on the way."""

    request: Request
    fault: Fault | None = None
    campaign_name: str | None = None
    campaign_id: int | None = None
    fields: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Service:
    """What answers at the service's path: POST queues a campaign, HEAD only looks at the credentials of HTTP Basic."""

    def __init__(self, account: Endpoint, state: State) -> None:
        self._account = account
        self._settings = state.settings
        self._store = state.store
        self._clock = state.clock
        self._dialer = state.dialer
        self._callbacks = state.callbacks
        self._faults = state.faults
        self._journal = state.journal
        self._reader = FormReader(account)
        self._answers = FORMATS[state.settings.answers]
        self._writers = asyncio.Semaphore(AT_ONCE)

    async def answer(self, request: Request) -> Response:
        """Answer one request, and write it into the journal first: whoever has the answer finds it there."""
        visit = _Visit(request)
        response = await self._respond(visit)
        await run_in_threadpool(self._journal.add, [self._entry(visit, response)])
        return response

    async def _respond(self, visit: _Visit) -> Response:
        request = visit.request
        if not self._knows(request):
            visit.notes.append("Refused: the credentials of HTTP Basic are wrong.")
            return Response(status_code=401, headers={"WWW-Authenticate": 'Basic realm="queuecalls", charset="UTF-8"'})
        if request.method == "HEAD":
            return Response()
        if not request.headers.get("Content-Type", "").lower().startswith("multipart/form-data"):
            visit.notes.append("Refused: it is no multipart/form-data.")
            return PlainTextResponse("queuecalls takes multipart/form-data.\n", status_code=415)
        visit.fault = await run_in_threadpool(self._faults.take)
        try:
            return await self._take_in(visit)
        except HTTPException as error:
            visit.notes.append(f"Refused: {error.detail}.")
            return PlainTextResponse(f"{error.detail}.\n", status_code=error.status_code)
        except ClientDisconnect:
            visit.notes.append("The client went away before all of it had come; nothing was queued.")
            return Response(status_code=400)

    async def _take_in(self, visit: _Visit) -> Response:
        intake = _Intake(visit, self._settings.max_upload_bytes, self._reader.wire_name("campaign_name"), self._faults)
        request = Request(visit.request.scope, intake)
        async with request.form(max_files=MOST_FIELDS, max_fields=MOST_FIELDS) as form, self._writers:
            return await run_in_threadpool(self._take, visit, form.multi_items())

    def _knows(self, request: Request) -> bool:
        """Whether HTTP Basic is right, or left out: a campaign's form holds login and PIN too."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if not scheme:
            return True
        return scheme.lower() == "basic" and secrets.compare_digest(
            token.strip().encode(), self._account.basic.encode()
        )

    def _take(self, visit: _Visit, items: Iterable[tuple[str, str | UploadFile]]) -> Response:
        posted = self._reader.read(items)
        visit.fields = self._reader.fields(posted)
        if posted.contacts:
            visit.fields[self._reader.wire_name("contacts")] = f"the file {posted.contacts.name!r}"
        _ask_by_name(visit, posted.texts.get("campaign_name"), self._faults)
        if visit.fault and not visit.fault.queued:
            visit.notes.append(visit.fault.doc)
            return Response(visit.fault.body, visit.fault.status, visit.fault.headers)
        try:
            queued = self._queue(posted)
        except InvalidCampaign as refused:
            return self._refuse(visit, posted, [self._reader.on_the_wire(found) for found in refused.violations])
        visit.campaign_id = queued.id
        visit.notes.append(f"Queued {queued.contacts} calls.")
        self._dialer.wake()
        return self._confirm(visit.fault, posted, queued)

    def _queue(self, posted: Posted) -> QueuedCampaign:
        campaign, contacts = self._reader.check(posted)
        urls = {"start_url": campaign.start_url, "result_url": campaign.result_url}
        given = {name: url for name, url in urls.items() if url}
        if self._settings.check_urls:
            problems = {name: self._callbacks.problem(url) for name, url in given.items()}
            if violations := [BY_NAME[name].violation(problem) for name, problem in problems.items() if problem]:
                raise InvalidCampaign(violations)
        now = self._clock.now()
        plan = Plan.of(campaign, now)
        silent = [name for name, url in given.items() if not self._callbacks.allows(url)]
        if silent:
            note = f"Nothing is sent to {' and '.join(silent)}: that isn't this machine (--callback-host HOST allows others)."
            plan = plan._replace(notes=(*plan.notes, note))
        return self._store.queue(campaign.campaign_name, posted.parameters, contacts, plan, now)

    def _refuse(self, visit: _Visit, posted: Posted, violations: list[Violation]) -> Response:
        names = [violation.parameter for violation in violations]
        visit.notes.append(f"Refused: {', '.join(names)}.")
        codes = [code for name, code in _CODES.items() if self._reader.wire_name(name) in names]
        status = (codes or [422])[0] if self._settings.errors == "http" else 200
        answer = self._answers.failed(self._reader.fields(posted), violations)
        return Response(answer, status, media_type=self._answers.media_type)

    def _confirm(self, fault: Fault | None, posted: Posted, queued: QueuedCampaign) -> Response:
        fields, pages = self._reader.fields(posted), self._store.pages(queued.id)
        if fault is None:
            return StreamingResponse(self._answers.queued(fields, pages), media_type=self._answers.media_type)
        if fault.body is not None:
            return Response(fault.body, fault.status, fault.headers)
        answer = self._answers.queued(fields, first_of(pages, int(queued.contacts * fault.call_ids)))
        if fault.ending is Ending.FINISH:
            return StreamingResponse(answer, media_type=self._answers.media_type)
        return BrokenResponse(*beginning(answer, fault.sent), fault.ending, {"Content-Type": self._answers.media_type})

    def _entry(self, visit: _Visit, response: Response) -> Entry:
        answered = not isinstance(response, BrokenResponse) or bool(response.body)
        if names_no_fault(visit.campaign_name):
            visit.notes.append("The campaign's name begins as if it asked for a fault, but there is none of that name.")
        entry = Entry(
            at=self._clock.now(), direction=RECEIVED, method=visit.request.method, url=visit.request.url.path,
            headers=dict(visit.request.headers), fields=visit.fields, campaign_id=visit.campaign_id,
            status=response.status_code if answered else None, fault=visit.fault.name if visit.fault else None,
            note=" ".join(visit.notes),
        )  # fmt: skip
        log.info(
            "%s %s%s %s", entry.method, entry.status or "-", f" ({entry.fault})" if entry.fault else "", entry.note
        )
        return entry


def _ask_by_name(visit: _Visit, campaign_name: str | None, faults: ArmedFaults) -> None:
    """Let the campaign's name, once it is known, ask for a fault; an armed one goes before it."""
    if campaign_name and visit.campaign_name is None:
        visit.campaign_name = campaign_name
        visit.fault = visit.fault or faults.take_by_name(campaign_name)


class _Intake:
    """Takes the body in: no more than is allowed, and slowly where a fault says so.

    The campaign's name, which may ask for that, comes before the file in most forms, so it is looked for in the first
    block.
    """

    def __init__(self, visit: _Visit, limit: int, name_field: str, faults: ArmedFaults) -> None:
        self._visit = visit
        self._limit = limit
        self._faults = faults
        self._name = re.compile(rb'name="%b"\r\n\r\n([^\r\n]*)\r\n' % re.escape(name_field.encode()))
        self._head = b""
        self._taken = 0
        self._keep_to_limit(int(visit.request.headers.get("Content-Length", 0)))

    async def __call__(self) -> Message:
        message = await self._visit.request.receive()
        block = message.get("body", b"")
        self._taken += len(block)
        self._keep_to_limit(self._taken)
        if len(self._head) < _BLOCK_BYTES:
            self._head += block
            if match := self._name.search(self._head):
                name = match[1].decode(errors="replace")
                await run_in_threadpool(_ask_by_name, self._visit, name, self._faults)
        if self._visit.fault and self._visit.fault.pause and block:
            await asyncio.sleep(self._visit.fault.pause * max(1, len(block) / _BLOCK_BYTES))
        return message

    def _keep_to_limit(self, length: int) -> None:
        if length > self._limit:
            raise HTTPException(413, f"The upload is larger than {self._limit} bytes")
