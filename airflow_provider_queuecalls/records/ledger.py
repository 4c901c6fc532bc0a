"""The ledger: has this campaign been sent?

The service's request has no idempotency key, so whoever sends must remember. Before the first byte leaves, an *intent*
is on record; after the answer, a *receipt*. Whoever comes next finds one of three: nothing, and sends; a receipt, and
returns what it says; an intent without a receipt, and stops, since nobody knows what became of it.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from airflow_provider_queuecalls.exceptions import AlreadySent, NotSent, OutcomeUnknown
from airflow_provider_queuecalls.records.stores import Entry, Store


@dataclass(frozen=True)
class Attempt:
    """One try to send one campaign.

    ``resend_scope`` names what a person decided: to run the task, or to run it again. Automatic retries share it, so that
    ``resend`` sends once for a resend_scope, not once for a try.
    """

    campaign_name: str
    digest: str
    contacts: int
    try_number: int
    resend_scope: str
    resend: bool = False


class Ledger:
    """What is on record of one campaign, and what one attempt to send it does about that.

    Use it in this order: :meth:`settled`; then, with the first byte about to leave, :meth:`record_intent`; then
    either :meth:`record_receipt` or, where the request is known not to have reached the service, :meth:`withdraw`.
    """

    def __init__(self, store: Store, attempt: Attempt) -> None:
        self._store = store
        self._attempt = attempt
        self._before: Entry | None = None
        self._recorded = False

    def settled(self) -> Mapping[str, Any] | None:
        """The result on record, if this campaign was queued with this very list; None if it may be sent.

        Raises :class:`AlreadySent` where another list was sent under the name, and :class:`OutcomeUnknown` where an
        attempt was broken off. ``resend`` overrules both, once for a resend_scope.
        """
        with self._on_record("read"):
            self._before = self._store.read()
        if self._before is None or self._may_resend(self._before):
            return None
        return self._stored_result(self._before)

    def record_intent(self) -> None:
        """Put on record that the first byte is about to leave. Raises where it must not."""
        entry = self._entry({"intent": self._intent()})
        other: Entry | None = None
        with self._on_record("written"):
            if self._before is not None:
                self._store.replace(entry)
            elif not self._store.create(entry):
                other = self._store.read() or {}
        if other is not None:
            self._stop_for(other)
        self._recorded = True

    def record_receipt(self, result: Mapping[str, Any]) -> None:
        """Put the answer on record. Whatever the store raises, the campaign is queued."""
        receipt = {"time": _now(), "result": dict(result), "resend": self._attempt.resend}
        self._store.replace(self._entry({"intent": self._intent(), "receipt": receipt}))

    def withdraw(self) -> None:
        """Take the intent back: the request is known not to have reached the service, or to have been refused."""
        if not self._recorded:
            return
        if self._before is not None:
            self._store.replace(self._before)
        else:
            self._store.remove()

    def _may_resend(self, entry: Entry) -> bool:
        return self._attempt.resend and entry["intent"]["resend_scope"] != self._attempt.resend_scope

    def _entry(self, now: dict[str, Any]) -> Entry:
        """What is to be kept: what is so now, and what a person overruled for it."""
        if self._before is None:
            return now
        return {**now, "before": {key: value for key, value in self._before.items() if key != "before"}}

    def _stop_for(self, other: Entry) -> None:
        """Another attempt was faster. Whatever became of it, this one doesn't send."""
        if other:
            self._stored_result(other)
        raise AlreadySent(
            f"Campaign {self._attempt.campaign_name!r} was sent by another task at the same time; this one sent nothing.",
            campaign_name=self._attempt.campaign_name,
        )

    def _stored_result(self, entry: Entry) -> Mapping[str, Any]:
        intent, receipt = entry["intent"], entry.get("receipt")
        name = intent["campaign_name"]
        who = f"try {intent['try_number']} on {intent['host']}"
        if receipt is None:
            raise OutcomeUnknown(
                f"Whether campaign {name!r} was queued is not known: {who} began to send it at {intent['time']} and left no "
                f"receipt in {self._store.place}. It may have been queued, so it is not sent again. Look for it in the "
                "vendor's campaign manager, or ask their support. If it is there, mark this task as successful; if it "
                "isn't, clear the task and run it with resend=True.",
                campaign_name=name,
            )
        if intent["digest"] != self._attempt.digest:
            raise AlreadySent(
                f"A campaign {name!r} was queued already by {who} at {receipt['time']}, with another contact file. Nothing was "
                "sent. Give this one another campaign_name, or send it all the same with resend=True.",
                campaign_name=name,
            )
        return {**receipt["result"]}

    @contextmanager
    def _on_record(self, done: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001  # each store has errors of its own
            name = self._attempt.campaign_name
            raise NotSent(
                f"Campaign {name!r} was not sent, since the record of what was sent, in {self._store.place}, could not be "
                f"{done} ({self._store.problem(error)}). It is safe to try again.",
                campaign_name=name,
                sent=False,
            ) from None

    def _intent(self) -> dict[str, Any]:
        attempt = self._attempt
        return {
            "campaign_name": attempt.campaign_name,
            "digest": attempt.digest,
            "contacts": attempt.contacts,
            "time": _now(),
            "host": platform.node(),
            "try_number": attempt.try_number,
            "resend_scope": attempt.resend_scope,
            "resend": attempt.resend,
        }


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
