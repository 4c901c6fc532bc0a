"""A person's answer to an unknown outcome: one more entry of the record, created exclusively as all others are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from airflow_provider_queuecalls.exceptions import NoRecord, OutcomeUnknown
from airflow_provider_queuecalls.outcome import Outcome
from airflow_provider_queuecalls.records.sent.entry import CampaignKey, Entry, State, utc_now
from airflow_provider_queuecalls.records.sent.ledger import Ledger, Try
from airflow_provider_queuecalls.records.sent.stores import Store


def ledger_of(store: Store, name: str, first_result: Callable[[Entry], str | None]) -> Ledger:
    """The ledger of whichever campaign the store has a record of; that of a campaign called ``name`` if none can be read."""
    key = CampaignKey(campaign_name=name, service="", account="")
    with suppress(Exception):  # reading the ledger raises what is wrong
        last = store.last()
        key = Entry.from_json(last and last[1]).key
    return Ledger(store, key, Try(0, "a person"), first_result=first_result)


def resolve(
    ledger: Ledger,
    generation: int,
    *,
    queued: bool,
    by: str,
    calls: int = 0,
    known: Mapping[str, Any] | None = None,
    force: bool = False,
) -> Entry:
    """Put on record whether a campaign whose request has no receipt is queued, and return that entry, with the request's token.

    :param generation: that of the entry the person was asked about; if another one counts by now, their answer is refused
    :param queued: whether the campaign is at the service. If it is, the next try returns its result; if it is not, the
        next try sends it
    :param by: who says so
    :param calls: how many calls the campaign has, if that is known
    :param known: what is known of the check, for the result
    :param force: accept that it is not queued although the request may still be under way

    Raises :class:`OutcomeUnknown` where the answer is refused, also if a result of its calls contradicts it or it cannot be
    put on record.
    """
    last, asked = ledger.read()
    if asked is None or asked.state is not State.COMPLETE or last != generation:
        raise _refused(ledger.campaign_name)
    name = asked.campaign_name
    lost = f"The answer of {by} was not put on record, and nothing was sent."
    if not queued and (arrived := ledger.proven_at(asked)):
        raise _unknown(
            name,
            f"Campaign {name!r} was queued: the first result of its calls arrived at {arrived}. {lost}\n{ledger.how_to_resolve}",
        )
    if not queued and asked.may_be_under_way and not force:
        raise _unknown(
            name,
            f"The request for campaign {name!r} was under way at {asked.started_at}.{asked.under_way_hint} {lost}\n"
            f"{ledger.how_to_resolve}\nIf you know that its process has ended, add --force.",
        )
    answer = replace(asked, state=State.OPEN, resolved_by=by, resolved_at=utc_now())
    if queued:
        # The service queued it after that time, and nobody knows it better.
        answer = replace(answer, state=State.RECEIPT, queued_at=asked.started_at)
        answer = replace(answer, result={**(known or {}), **_result(answer, calls)})
    try:
        kept = ledger.append(generation, answer)
    except NoRecord as error:
        raise _unknown(
            name, f"{error} {lost} Clear the task to be asked again, or answer here:\n{ledger.how_to_resolve}"
        ) from None
    if not kept:
        raise _refused(name)
    return answer


def _result(answer: Entry, calls: int) -> dict[str, Any]:
    """What the record knows of the result that the task returns."""
    return {
        "outcome": Outcome.QUEUED.value,
        "campaign_key": answer.key.digest,
        "campaign_name": answer.campaign_name,
        "contacts": answer.contacts,
        "call_ids": [],
        "call_id_count": calls,
        "digest": answer.digest,
        "queued_at": answer.queued_at,
        "dry_run": False,
        "response": None,
        "resolved_by": answer.resolved_by,
    }


def _refused(name: str) -> OutcomeUnknown:
    return _unknown(
        name,
        f"The record of campaign {name!r} has changed since it was shown: another task or person was faster. This answer "
        "was not put on record, and nothing was sent. Clear the task: it continues from the current record.",
    )


def _unknown(name: str, message: str) -> OutcomeUnknown:
    return OutcomeUnknown(message, campaign_name=name, sent=False)
