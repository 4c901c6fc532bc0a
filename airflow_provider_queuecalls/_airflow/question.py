"""The question that a task asks a person in Airflow's pages if the outcome of its campaign is not known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from airflow_provider_queuecalls.exceptions import InvalidCampaign, OutcomeUnknown, QueueCallsError, Violation
from airflow_provider_queuecalls.parameters import Parameter, ValueType, read_values
from airflow_provider_queuecalls.records.sent.entry import CampaignKey, Entry, State
from airflow_provider_queuecalls.records.sent.ledger import Ledger, OpenLedger
from airflow_provider_queuecalls.records.sent.resolving import resolve
from airflow_provider_queuecalls.value_types import CHOICE, read_duration

if TYPE_CHECKING:
    from airflow_provider_queuecalls._airflow.compat import BaseOperator, Context
    from airflow_provider_queuecalls._airflow.storage import Location
    from airflow_provider_queuecalls.client.client import Client

QUEUED, NOT_QUEUED, LEAVE = "It is there – go on", "It isn't – send it", "Leave it failed"  # noqa: RUF001
#: The task's method that Airflow calls with the answer.
ANSWERED = "execute_answer"
OPTIONS = [QUEUED, NOT_QUEUED, LEAVE]
OnUnknown = Literal["fail", "ask"]
PARAMETERS = (
    Parameter(
        name="on_unknown", type=CHOICE, default="fail",
        doc="What to do if nothing shows whether the campaign was queued.",
        choices={
            "fail": "fail the task", "ask": "ask under *Required Actions* in Airflow 3.1 or later, without a worker, and do "
            "as the person answers",
        },
    ),
    Parameter(
        name="answer_timeout", unit="hours", default_doc="until the run ends",
        type=ValueType("a timedelta, a number of hours, or a string such as '2 days' or 'PT12H'", read_duration),
        doc="How long to wait for the person's answer; the task fails after that. Requires on_unknown='ask'.",
    ),
)  # fmt: skip


def read_parameters(values: Mapping[str, object]) -> dict[str, Any]:
    """Read the values of :data:`PARAMETERS`. Raises :class:`InvalidCampaign`, also where this Airflow cannot ask."""
    read, violations = read_values(PARAMETERS, values)
    if read["on_unknown"] == "ask" and not _can_ask():
        problem = PARAMETERS[0].violation("needs Airflow 3.1 or later", "ask")
        violations["on_unknown"] = replace(problem, rule="'fail' with this version of Airflow")
    if read["on_unknown"] == "fail" and read["answer_timeout"] is not None:
        rule = "unset, or given together with on_unknown='ask'"
        violations["answer_timeout"] = Violation("answer_timeout", "has no effect here", rule)
    if violations:
        raise InvalidCampaign(violations.values())
    return read


def _can_ask() -> bool:
    try:
        import airflow.sdk.execution_time.hitl  # noqa: F401
    except ImportError:
        return False
    return True


@contextmanager
def ask_if_unknown(
    task: BaseOperator,
    context: Context,
    client: Client,
    open_ledger: OpenLedger,
    *,
    parameters: Mapping[str, Any],
    sources: Sequence[Location],
) -> Iterator[None]:
    """If the outcome is unknown, defer the task and ask a person. Airflow calls ``execute_answer`` with the answer, with what
    the check knows and the record does not, and with the sources of the list.

    The error is raised again if on_unknown is 'fail', if the task is being stopped, or if the record has no complete
    request or cannot be read.
    """
    try:
        yield
    except OutcomeUnknown as error:
        asks = parameters["on_unknown"] == "ask" and not client.stop.requested
        key = CampaignKey.of(error.campaign_name or "", client.endpoint.url, client.endpoint.login)
        if asks and (found := _complete_request(open_ledger, key, task.log)):
            ledger, generation, entry = found
            _ask(task, context, entry, ledger.hint(entry), client.endpoint.url_of_campaign(key.campaign_name))
            kwargs = {"key": asdict(key), "generation": generation, "known": error.delivery.result}
            _wait(task, context, parameters["answer_timeout"], {**kwargs, "sources": [str(each) for each in sources]})
        raise


def _complete_request(open_ledger: OpenLedger, key: CampaignKey, log: Any) -> tuple[Ledger, int, Entry] | None:
    """Return the ledger, its last generation, and that entry if the outcome is unknown; else None, also if it cannot be read."""
    try:
        ledger = open_ledger(key)
        generation, entry = ledger.read()
    except QueueCallsError as error:
        log.warning("Did not ask, because the record cannot be read: %s", error)
        return None
    return (ledger, generation, entry) if entry is not None and entry.state is State.COMPLETE else None


def _ask(task: BaseOperator, context: Context, entry: Entry, hint: str, link: str | None) -> None:
    from airflow.sdk.execution_time.hitl import upsert_hitl_detail

    subject, manager = f"Is campaign {entry.campaign_name} at the service?", "the vendor's campaign manager"
    body = (
        f"Try {entry.try_number} on host {entry.host} started to send {entry.contacts:,} contacts to {entry.service} at "
        f"{entry.started_at}. No response shows whether they were queued.{hint}\n\n"
        f"Look for campaign **{entry.campaign_name}** in {f'[{manager}]({link})' if link else manager}, or ask their "
        "support.\n\n"
        f"- **{QUEUED}**: the task succeeds and sends nothing.\n"
        f"- **{NOT_QUEUED}**: the task sends its list once.\n"
        f"- **{LEAVE}**: the task fails.\n\n"
        # Airflow keeps the first text, whatever is asked later.
        "If the task has been cleared and asks again, the end of its log describes the latest request."
    )
    upsert_hitl_detail(ti_id=context["ti"].id, options=OPTIONS, subject=subject, body=body, params={})
    task.log.info("Waiting for an answer under Required Actions: %s\n%s", subject, body)


def _wait(task: BaseOperator, context: Context, timeout: timedelta | None, kwargs: dict[str, Any]) -> NoReturn:
    try:
        from airflow.sdk.exceptions import TaskAwaitingInput
    except ImportError:  # before 3.3, a trigger waits
        from airflow.providers.standard.triggers.hitl import HITLTrigger

        end = None if timeout is None else datetime.now(timezone.utc) + timeout
        trigger = HITLTrigger(ti_id=context["ti"].id, options=OPTIONS, params={}, timeout_datetime=end)
        task.defer(trigger=trigger, method_name=ANSWERED, kwargs=kwargs)
    raise TaskAwaitingInput(method_name=ANSWERED, kwargs=kwargs, timeout=timeout)


def record_answer(event: Mapping[str, Any], ledger: Ledger, generation: int, known: Mapping[str, Any]) -> Entry:
    """Put the answer on record, and return the entry.

    Raises :class:`OutcomeUnknown` if there was none in time, if the task is to be left failed, or if the record has
    changed since the question.
    """
    chosen = event.get("chosen_options") or [LEAVE]
    user = event.get("responded_by_user") or {}
    who = user.get("name") or user.get("id") or "a person"
    if "error" in event or chosen not in ([QUEUED], [NOT_QUEUED]):
        why = "there was no answer in time" if "error" in event else f"{who} chose to leave this task failed"
        name = ledger.campaign_name
        raise OutcomeUnknown(
            f"Cannot tell whether campaign {name!r} was queued, and {why}.\n{ledger.how_to_resolve}", campaign_name=name
        )
    return resolve(ledger, generation, queued=chosen == [QUEUED], by=who, known=known)
