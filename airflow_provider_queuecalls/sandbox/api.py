"""The sandbox's HTTP API. FastAPI writes its OpenAPI document.

It shows phone numbers in full and asks for no login, since the sandbox listens on this machine only, unless another address is given.
"""
# FastAPI reads the annotations at run time, so they are not postponed here.

from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi import Path as InPath
from pydantic import BaseModel, ConfigDict, Field

from airflow_provider_queuecalls.sandbox.faults import FAULTS, Armed, Fault
from airflow_provider_queuecalls.sandbox.journal import Entry
from airflow_provider_queuecalls.sandbox.numbers import MAGIC_NUMBERS, MagicNumber
from airflow_provider_queuecalls.sandbox.state import State
from airflow_provider_queuecalls.sandbox.store import Call, CallState, DialedNumber, QueuedCampaign

#: The largest id, well within SQLite's integers.
_LAST_ID = 1 << 62


class Problem(BaseModel):
    """Why a request was refused."""

    detail: str


class Clock(BaseModel):
    """The sandbox's clock: its time in UNIX seconds, and how many of its seconds pass in one real second."""

    now: int
    speed: float


class OutsideHours(BaseModel):
    """How many attempts were outside calling hours."""

    attempts: int


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ArmFault(_Body):
    """The fault to arm, and for how many requests: null is for all."""

    name: str = Field(json_schema_extra={"enum": [fault.name for fault in FAULTS]})
    times: int | None = Field(1, ge=1, le=_LAST_ID)


class SetSpeed(_Body):
    """The clock's new speed; 0 stops it."""

    speed: float = Field(ge=0, le=1e6)


class Advance(_Body):
    """By how many seconds to put the clock forward."""

    seconds: float = Field(ge=0, le=1e9)


def _state(request: Request) -> State:
    state: State = request.app.state.sandbox
    return state


CurrentState = Annotated[State, Depends(_state)]
Id = Annotated[int, InPath(ge=0, le=_LAST_ID)]
Limit = Annotated[int, Query(ge=0, le=10_000, description="Return at most this many.")]
Before = Annotated[int, Query(ge=0, le=_LAST_ID, description="Return only those with a smaller id.")]
After = Annotated[int, Query(ge=0, le=_LAST_ID, description="Return only calls with a greater id.")]

router = APIRouter(
    prefix="/api",
    responses={
        403: {"model": Problem, "description": "The request comes from a page of another site."},
        404: {"model": Problem, "description": "There is nothing with this id."},
        422: {"model": Problem, "description": "A value is not valid."},
    },
)


@router.get("/campaigns")
def campaigns(
    sandbox: CurrentState, name: str | None = None, limit: Limit = 100, before: Before = _LAST_ID
) -> list[QueuedCampaign]:
    """The newest campaigns, in the order they were queued."""
    return sandbox.store.campaigns(name, newest=limit, before=before)


@router.get("/campaigns/{campaign_id}")
def campaign(sandbox: CurrentState, campaign_id: Id) -> QueuedCampaign:
    """One campaign."""
    return _found(sandbox.store.campaign(campaign_id), "campaign", campaign_id)


@router.get("/campaigns/{campaign_id}/calls")
def calls(
    sandbox: CurrentState, campaign_id: Id, after: After = 0, limit: Limit = 100, state: CallState | None = None
) -> list[Call]:
    """A campaign's calls, in the contact file's order."""
    _found(sandbox.store.campaign(campaign_id), "campaign", campaign_id)
    return sandbox.store.calls(campaign_id, after=after, limit=limit, state=state)


@router.get("/calls/{call_id}")
def call(sandbox: CurrentState, call_id: Id) -> Call:
    """One call."""
    return _found(sandbox.store.call(call_id), "call", call_id)


@router.get("/attempts")
def attempts(sandbox: CurrentState, limit: Limit = 100) -> list[DialedNumber]:
    """The calls and attempts of each phone number, most calls first."""
    return sandbox.store.dialed_numbers(limit)


@router.get("/campaigns/{campaign_id}/attempts-outside-hours")
def attempts_outside_hours(sandbox: CurrentState, campaign_id: Id) -> OutsideHours:
    """How many attempts of a campaign were outside the calling hours that the sandbox was started with, since its start."""
    _found(sandbox.store.campaign(campaign_id), "campaign", campaign_id)
    return OutsideHours(attempts=sandbox.outside_hours.counts[campaign_id])


@router.get("/journal")
def journal(
    sandbox: CurrentState, before: Before = _LAST_ID, limit: Limit = 100, campaign_id: int | None = None
) -> list[Entry]:
    """Requests to the service and callbacks, newest first, without secrets."""
    return sandbox.journal.newest(limit, before=before, campaign_id=campaign_id)


@router.get("/numbers")
def numbers() -> list[MagicNumber]:
    """The phone numbers whose calls end as documented."""
    return list(MAGIC_NUMBERS)


@router.get("/faults")
def faults() -> list[Fault]:
    """All faults that can be armed."""
    return list(FAULTS)


@router.get("/faults/armed")
def armed(sandbox: CurrentState) -> list[Armed]:
    """The faults that wait for the next requests."""
    return sandbox.faults.armed()


@router.post("/faults/armed")
def arm(sandbox: CurrentState, fault: ArmFault) -> Armed:
    """Arm a fault for the next requests."""
    try:
        return sandbox.faults.arm(fault.name, fault.times)
    except KeyError as unknown:
        raise HTTPException(422, unknown.args[0]) from None


@router.delete("/faults/armed")
def disarm_all(sandbox: CurrentState) -> list[Armed]:
    """Disarm all faults."""
    sandbox.faults.disarm()
    return sandbox.faults.armed()


@router.delete("/faults/armed/{armed_id}")
def disarm(sandbox: CurrentState, armed_id: Id) -> list[Armed]:
    """Disarm one fault."""
    _found(sandbox.faults.disarm(armed_id) or None, "armed fault", armed_id)
    return sandbox.faults.armed()


@router.get("/clock")
def clock(sandbox: CurrentState) -> Clock:
    """The sandbox's clock."""
    return Clock(now=sandbox.clock.now(), speed=sandbox.clock.speed)


@router.put("/clock")
def set_speed(sandbox: CurrentState, wanted: SetSpeed) -> Clock:
    """Change the clock's speed."""
    sandbox.set_speed(wanted.speed)
    return clock(sandbox)


@router.post("/clock/advance")
def advance(sandbox: CurrentState, wanted: Advance) -> Clock:
    """Put the clock forward. Responds when everything due by then has happened."""
    sandbox.advance(wanted.seconds)
    return clock(sandbox)


@router.post("/reset")
def reset(sandbox: CurrentState) -> Clock:
    """Delete everything, and set the clock to the real time."""
    sandbox.reset()
    return clock(sandbox)


_Found = TypeVar("_Found")


def _found(found: _Found | None, kind: str, number: int) -> _Found:
    if found is None:
        raise HTTPException(404, f"There is no {kind} {number}.")
    return found
