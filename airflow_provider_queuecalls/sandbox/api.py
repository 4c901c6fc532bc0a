"""The admin API: JSON over HTTP, described by the OpenAPI document that it serves.

One table of operations feeds the routes, the reading of what is given, and the document. Phone numbers are shown in full
and nobody is asked who they are, since all of it stays on this machine unless it is told to listen elsewhere.
"""

from __future__ import annotations

import json
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from airflow_provider_queuecalls import __version__
from airflow_provider_queuecalls.sandbox.faults import FAULTS, Armed
from airflow_provider_queuecalls.sandbox.journal import Entry
from airflow_provider_queuecalls.sandbox.numbers import MAGIC_NUMBERS
from airflow_provider_queuecalls.sandbox.state import State
from airflow_provider_queuecalls.sandbox.store import STATES, Call, QueuedCampaign, Rings

if typing.TYPE_CHECKING:
    from starlette.requests import Request

LIMIT, MOST = 100, 10_000
LONGEST_BODY = 64 << 10
_ANY_ID = 1 << 62


class Progress(NamedTuple):
    """How many calls of a campaign are in which state."""

    waiting: int = 0
    talking: int = 0
    completed: int = 0
    failed: int = 0
    expired: int = 0


class KnownFault(NamedTuple):
    """A fault that there is. ``outcome`` is what a client has to make of it, ``queued`` whether the campaign is queued."""

    name: str
    doc: str
    outcome: str
    queued: bool


class KnownNumber(NamedTuple):
    """A number whose calls end as its last digits say."""

    ending: str
    doc: str


class Time(NamedTuple):
    """The sandbox's clock: UNIX seconds, and how many of its seconds pass in one of the world's."""

    now: int
    speed: float


class NotThere(Exception):
    """What was asked for isn't there; the message says what."""


@dataclass(frozen=True)
class Given:
    """One value that an operation takes, from the path, the query or the JSON body."""

    name: str
    type: str
    doc: str
    default: Any = None
    required: bool = False
    minimum: float = 0
    maximum: float = _ANY_ID
    nullable: bool = False
    choices: Sequence[str] = ()

    @property
    def schema(self) -> dict[str, Any]:
        """The value's JSON Schema."""
        schema: dict[str, Any] = {"type": [self.type, "null"] if self.nullable else self.type, "description": self.doc}
        if self.type != "string":
            schema["minimum"] = self.minimum
            schema |= {"maximum": self.maximum} if self.maximum < _ANY_ID else {}
        if self.choices:
            schema["enum"] = list(self.choices)
        return schema | ({"default": self.default} if self.default is not None else {})

    def read(self, value: Any) -> Any:
        """Check a value of JSON. Raises :class:`ValueError` with the rule that it breaks."""
        kinds: dict[str, tuple[type, ...]] = {"integer": (int,), "number": (int, float), "string": (str,)}
        if value is None and self.nullable:
            return None
        if isinstance(value, bool) or not isinstance(value, kinds[self.type]):
            raise ValueError(f"{self.name} takes a JSON {self.type}{' or null' if self.nullable else ''}")
        if isinstance(value, int | float) and not (math.isfinite(value) and self.minimum <= value <= self.maximum):
            raise ValueError(f"{self.name} takes a number from {self.minimum:g} to {self.maximum:g}")
        if self.choices and value not in self.choices:
            raise ValueError(f"{self.name} takes one of {', '.join(self.choices)}")
        return value

    def read_text(self, text: str) -> Any:
        """Check a value of the query."""
        if self.type == "string":
            return self.read(text)
        if not (text.isascii() and text.isdigit() and len(text) <= 18):
            raise ValueError(f"{self.name} takes a whole number")
        return self.read(int(text))


@dataclass(frozen=True)
class Operation:
    """One thing that can be asked. ``does`` gets the state and what is given, and returns what ``gives`` describes."""

    method: str
    path: str
    summary: str
    does: Callable[..., Any]
    gives: Any = None
    query: tuple[Given, ...] = ()
    body: tuple[Given, ...] = ()


def _campaigns(state: State, name: str | None, limit: int, before: int) -> list[dict[str, Any]]:
    campaigns = state.store.campaigns(name, newest=limit, before=before)
    tallies = state.store.tallies(campaign.id for campaign in campaigns)
    return [{**campaign._asdict(), "progress": progress(tallies[campaign.id])._asdict()} for campaign in campaigns]


def _campaign(state: State, campaign_id: int) -> dict[str, Any]:
    campaign = _there(state.store.campaign(campaign_id), "campaign", campaign_id)
    return {**campaign._asdict(), "progress": progress(state.store.tallies([campaign.id])[campaign.id])._asdict()}


def _calls(state: State, campaign_id: int, after: int, limit: int, call_state: str | None = None) -> list[Call]:
    _there(state.store.campaign(campaign_id), "campaign", campaign_id)
    return state.store.calls(campaign_id, after=after, limit=limit, state=call_state)


def _call(state: State, call_id: int) -> Call:
    return _there(state.store.call(call_id), "call", call_id)


def _rings(state: State, limit: int) -> list[Rings]:
    return state.store.rings(limit)


def _journal(state: State, before: int, limit: int, campaign_id: int | None) -> list[Entry]:
    return state.journal.newest(limit, before=before, campaign_id=campaign_id)


def _faults(_: State) -> list[KnownFault]:
    return [KnownFault(fault.name, fault.doc, fault.outcome.value, fault.queued) for fault in FAULTS]


def _numbers(_: State) -> list[KnownNumber]:
    return [KnownNumber(magic.ending, magic.doc) for magic in MAGIC_NUMBERS]


def _armed(state: State) -> list[Armed]:
    return state.faults.armed()


def _arm(state: State, name: str, times: int | None) -> Armed:
    return state.faults.arm(name, times)


def _disarm(state: State, armed_id: int | None = None) -> list[Armed]:
    state.faults.disarm(armed_id)
    return state.faults.armed()


def _clock(state: State) -> Time:
    return Time(state.clock.now(), state.clock.speed)


def _set_speed(state: State, speed: float) -> Time:
    state.set_speed(speed)
    return _clock(state)


def _advance(state: State, seconds: float) -> Time:
    state.advance(seconds)
    return _clock(state)


def _reset(state: State) -> Time:
    state.reset()
    return _clock(state)


def progress(tallies: Sequence[Any]) -> Progress:
    """Add tallies up by state."""
    return Progress(**{name: sum(tally.calls for tally in tallies if tally.state == name) for name in STATES})


_LIMIT = Given("limit", "integer", "At most so many.", LIMIT, maximum=MOST)
_AFTER = Given("after", "integer", "Only calls with a greater id.", 0)
_BEFORE = Given("before", "integer", "Only those with a smaller id.", _ANY_ID)
_STATE = Given("state", "string", "Only calls in this state.", choices=STATES)

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "GET", "/api/campaigns", "The newest campaigns, in the order they were queued, with their progress.", _campaigns, list[QueuedCampaign],
        query=(Given("name", "string", "Only those of this name."), _LIMIT, _BEFORE),
    ),
    Operation("GET", "/api/campaigns/{campaign_id}", "One campaign, with its progress.", _campaign, QueuedCampaign),
    Operation("GET", "/api/campaigns/{campaign_id}/calls", "A campaign's calls, in the contact file's order.", _calls, list[Call], query=(_AFTER, _LIMIT, _STATE)),
    Operation("GET", "/api/calls/{call_id}", "One call.", _call, Call),
    Operation("GET", "/api/rings", "How many calls each phone number is to get and how often it rang, the most called first.", _rings, list[Rings], query=(_LIMIT,)),
    Operation(
        "GET", "/api/journal", "Requests to the service and callbacks, the newest first, without secrets.", _journal, list[Entry],
        query=(_BEFORE, _LIMIT, Given("campaign_id", "integer", "Only those about this campaign.")),
    ),
    Operation("GET", "/api/numbers", "The phone numbers whose calls end as documented.", _numbers, list[KnownNumber]),
    Operation("GET", "/api/faults", "What can go wrong on purpose.", _faults, list[KnownFault]),
    Operation("GET", "/api/faults/armed", "The faults that wait for the next requests.", _armed, list[Armed]),
    Operation(
        "POST", "/api/faults/armed", "Let the next requests go wrong.", _arm, Armed,
        body=(
            Given("name", "string", "The fault.", required=True, choices=[fault.name for fault in FAULTS]),
            Given("times", "integer", "For how many requests; null is for all.", 1, minimum=1, nullable=True),
        ),
    ),
    Operation("DELETE", "/api/faults/armed", "Let nothing go wrong any more.", _disarm, list[Armed]),
    Operation("DELETE", "/api/faults/armed/{armed_id}", "Take back one fault.", _disarm, list[Armed]),
    Operation("GET", "/api/clock", "The sandbox's clock.", _clock, Time),
    Operation("PUT", "/api/clock", "Let the clock go on at another speed.", _set_speed, Time, body=(Given("speed", "number", "How fast; 0 stands still.", required=True, maximum=1e6),)),
    Operation(
        "POST", "/api/clock/advance", "Put the clock forward; answers when all that is due by then has happened.", _advance, Time,
        body=(Given("seconds", "number", "By how many seconds.", required=True, maximum=1e9),),
    ),
    Operation("POST", "/api/reset", "Forget everything, and show the world's time.", _reset, Time),
)  # fmt: skip


def routes(state: State) -> list[Route]:
    """The API's routes, and its document's."""
    document = openapi()

    async def describe(_: Request) -> Response:
        return JSONResponse(document)

    return [
        *(
            Route(_starlette_path(operation.path), _endpoint(operation, state), methods=[operation.method])
            for operation in OPERATIONS
        ),
        Route("/openapi.json", describe),
    ]


def _endpoint(operation: Operation, state: State) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        try:
            given = {name: int(value) for name, value in request.path_params.items()}
            given |= _from_query(operation, request) | await _from_body(operation, request)
            if "state" in given:
                given["call_state"] = given.pop("state")
            return JSONResponse(_plain(await run_in_threadpool(operation.does, state, **given)))
        except ValueError as problem:
            return JSONResponse({"error": f"{problem}."}, status_code=422)
        except NotThere as problem:
            return JSONResponse({"error": f"{problem}."}, status_code=404)

    return answer


def _from_query(operation: Operation, request: Request) -> dict[str, Any]:
    known = {given.name: given for given in operation.query}
    if unknown := sorted(set(request.query_params) - set(known)):
        raise ValueError(f"{', '.join(unknown)[:100]} is not known; there are {', '.join(known) or 'none'}")
    return {
        name: given.read_text(request.query_params[name]) if name in request.query_params else given.default
        for name, given in known.items()
    }


async def _from_body(operation: Operation, request: Request) -> dict[str, Any]:
    if not operation.body:
        return {}
    text = b""
    async for block in request.stream():
        text += block
        if len(text) > LONGEST_BODY:
            raise ValueError("the body is too long")
    try:
        members = json.loads(text or b"{}")
    except ValueError:
        raise ValueError("the body is not JSON") from None
    if not isinstance(members, dict):
        raise ValueError("the body is not a JSON object")
    known = {given.name: given for given in operation.body}
    if unknown := sorted(set(members) - set(known)):
        raise ValueError(f"{', '.join(unknown)[:100]} is not known; there are {', '.join(known)}")
    if missing := [name for name, given in known.items() if given.required and name not in members]:
        raise ValueError(f"{', '.join(missing)} is missing")
    return {name: given.read(members[name]) if name in members else given.default for name, given in known.items()}


Found = typing.TypeVar("Found")


def _there(found: Found | None, kind: str, number: int) -> Found:
    if found is None:
        raise NotThere(f"the sandbox holds no {kind} {number}")
    return found


def _plain(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        return value._asdict()
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _starlette_path(path: str) -> str:
    return path.replace("_id}", "_id:int}")


# The document


def openapi() -> dict[str, Any]:
    """The API's description, OpenAPI 3.1."""
    shapes: dict[str, Any] = {
        "Error": {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
    }
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation, shapes)
    progress_schema = _schema(Progress, shapes)
    for member in ("properties", "required"):
        shape = shapes["QueuedCampaign"][member]
        shape.update(progress=progress_schema) if isinstance(shape, dict) else shape.append("progress")
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "The queuecalls sandbox",
            "version": __version__,
            "description": (__doc__ or "").partition("\n")[0],
        },
        "paths": paths,
        "components": {"schemas": shapes},
    }


def _described(operation: Operation, shapes: dict[str, Any]) -> dict[str, Any]:
    name = operation.does.__name__.strip("_")
    suffix = "_one" if operation.path.endswith("{armed_id}") else ""
    in_path = [part[1:-1] for part in operation.path.split("/") if part.startswith("{")]
    described: dict[str, Any] = {
        "operationId": f"{name}{suffix}",
        "summary": operation.summary,
        "parameters": [
            *({"name": name, "in": "path", "required": True, "schema": {"type": "integer"}} for name in in_path),
            *(
                {"name": given.name, "in": "query", "required": False, "schema": given.schema}
                for given in operation.query
            ),
        ],
        "responses": {
            "200": {"description": "Done.", "content": _json(_schema(operation.gives, shapes))},
            **_error("403", "It comes from another site's page."),
            **(_error("404", "It is not there.") if in_path else {}),
            **(_error("422", "What is given breaks a rule.") if operation.query or operation.body else {}),
        },
    }
    if operation.body:
        described["requestBody"] = {
            "required": True,
            "content": _json(
                {
                    "type": "object",
                    "properties": {given.name: given.schema for given in operation.body},
                    "required": [given.name for given in operation.body if given.required],
                    "additionalProperties": False,
                }
            ),
        }
    return described


def _error(code: str, description: str) -> dict[str, Any]:
    return {code: {"description": description, "content": _json({"$ref": "#/components/schemas/Error"})}}


def _json(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _schema(shape: Any, shapes: dict[str, Any]) -> dict[str, Any]:
    """The JSON Schema of a type; named tuples become objects, which are kept in ``shapes``."""
    simple = {int: "integer", float: "number", str: "string", bool: "boolean"}
    if shape in simple:
        return {"type": simple[shape]}
    origin, arguments = typing.get_origin(shape), typing.get_args(shape)
    if origin in (typing.Union, types.UnionType):
        (present,) = (argument for argument in arguments if argument is not type(None))
        return {"type": [simple[present], "null"]}
    if origin and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _schema(arguments[1], shapes)}
    if origin and issubclass(origin, Sequence):
        return {"type": "array", "items": _schema(arguments[0], shapes)}
    if shape.__name__ not in shapes:
        members = typing.get_type_hints(shape)
        shapes[shape.__name__] = {
            "type": "object",
            "description": (shape.__doc__ or "").replace("``", "`"),
            "properties": {name: _schema(member, shapes) for name, member in members.items()},
            "required": list(members),
        }
    return {"$ref": f"#/components/schemas/{shape.__name__}"}
