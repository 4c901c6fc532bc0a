"""The record of one campaign: a small state machine that lets it be sent once.

The service's request has no idempotency key, so the sender keeps a record. The record of a campaign is a sequence of
entries, numbered by *generation*; the last one counts, and none is ever changed:

    nothing ──► intent ──► complete ──► receipt
       ▲           │           │
       └── open ◄──┴───────────┘   the request is known not to have been queued

An *intent* is on record before the first byte leaves, *complete* before the end of the contact file does, and the
*receipt* after the response, and once more when it is known which call ids may be shown. Each entry is created exclusively
as the next generation after the one that this try has read or written. A try that was overtaken, because it was frozen or
slow, finds that generation taken, and stops without any effect.

A person's answer to an unknown outcome is one more entry, a receipt or *open*: see
:mod:`~airflow_provider_queuecalls.records.sent.resolving`. If the response comes after it, and says queued, the receipt follows the
*open* entry, or the intent of a try that relies on it.
"""

from __future__ import annotations

import logging
import platform
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from airflow_provider_queuecalls.exceptions import AlreadySent, DamagedRecord, NoRecord, OutcomeUnknown
from airflow_provider_queuecalls.records.sent.entry import CampaignKey, Entry, State, utc_now
from airflow_provider_queuecalls.records.sent.stores import Store, ways_to_resolve


@dataclass(frozen=True)
class Try:
    """One try to send a campaign.

    ``resend_scope`` names the permission to send: to run the task, or to run it again after Clear. Automatic retries
    share it, so that ``resend`` sends once in a scope, not once in a try. An entry that started before ``forgets_before``
    or after ``forgets_after``, times as entries have them, does not keep the try from sending.
    """

    try_number: int
    resend_scope: str
    resend: bool = False
    forgets_before: str = ""
    forgets_after: str = ""
    token: str = field(default_factory=lambda: secrets.token_hex(16))


class Ledger:
    """What is on record of one campaign, and what one try to send it may do about that.

    Call :meth:`find` first. Then, if that returned nothing: :meth:`record_intent` when the first byte is about to
    leave, :meth:`record_complete` when the end of the contact file is, and then one of :meth:`record_receipt`,
    :meth:`withdraw` where the campaign is known not to be queued, and :meth:`record_unknown`.
    """

    def __init__(
        self,
        store: Store,
        key: CampaignKey,
        this_try: Try,
        *,
        first_result: Callable[[Entry], str | None] = lambda _: None,
        log: logging.Logger | Any | None = None,
    ) -> None:
        self._log = log or logging.getLogger(__name__)
        #: When the first result of the campaign arrived since an entry's request began; None where none is known.
        self._first_result = first_result
        self._store = store
        #: Where the last entry was read from.
        self._source = store
        self._key = key
        self._try = this_try
        self._generation = 0
        self._found: Entry | None = None
        self._own: Entry | None = None
        #: Whether an entry of this try is on record.
        self._recorded = False
        #: Whether the last write failed, and so did reading it back: the entry may be on record all the same.
        self._in_doubt = False

    def find(self, digest: str, contacts: int) -> Mapping[str, Any] | None:
        """The result on record, if this campaign was queued with this very list; None if it may be sent.

        If the last entry is an intent, this try may send. The earlier request ended before the end of the contact file, so
        nothing was queued; if that request had a permission to resend, only this permission goes on. Raises
        :class:`AlreadySent` where another list was sent, and :class:`OutcomeUnknown` where a complete request has no receipt.
        ``resend`` overrules both, once in a scope.
        """
        with self._translate_store_errors("read"):
            self._generation, self._found = self._last()
        found, this_try = self._found, self._try
        scopes = found.resend_scopes if found else ()
        self._own = Entry(
            state=State.INTENT,
            **vars(self._key),
            digest=digest,
            contacts=contacts,
            token=this_try.token,
            try_number=this_try.try_number,
            host=platform.node(),
            started_at=utc_now(),
            resend_scopes=tuple(dict.fromkeys((*scopes, this_try.resend_scope))),
            sent_before=found is not None
            and found.key == self._key
            and (found.sent_before or found.state in (State.COMPLETE, State.RECEIPT)),
        )
        if found is None or found.state is State.OPEN or found.started_at < this_try.forgets_before:
            return None
        if this_try.forgets_after and found.started_at > this_try.forgets_after:
            self._log.warning(
                "According to the record in %s, %s sent at %s, which is in the future: a clock is wrong. That entry does not "
                "count.",
                self._store.location, found.sender, found.started_at,
            )  # fmt: skip
            return None
        is_same_permission = this_try.resend_scope in scopes
        if found.state is State.INTENT and (is_same_permission or not found.sent_before):
            return None
        if this_try.resend and not is_same_permission:
            return None
        if this_try.resend and found.state is State.RECEIPT:
            self._log.warning(
                "resend sends the campaign once each time the task is cleared, and according to the record it has done so. To "
                "send it once more, clear the task again."
            )
        return self._result_of(found)

    def record_intent(self, *, complete: bool = False) -> None:
        """Put on record that the first byte is about to leave. Raises where it must not.

        ``complete`` means that the end of the contact file leaves with the first byte, so one entry records both. A store
        that is not exclusive also gets a complete entry: two tries could take over an intent in it.
        """
        with self._translate_store_errors("written"):
            state = State.INTENT if not complete and self._store.exclusive else State.COMPLETE
        self._own = replace(self._written(), state=state, started_at=utc_now())
        self._record(self._own)

    def record_complete(self) -> None:
        """Put on record that the end of the contact file is about to leave. Raises where it must not.

        Does nothing where this try has no intent on record, or a complete one.
        """
        if self._recorded and self._written().state is State.INTENT:
            self._own = replace(self._written(), state=State.COMPLETE, started_at=utc_now())
            self._record(self._own)

    def record_unknown(self) -> None:
        """Put on record that the request has ended, and that nothing shows what became of the campaign.

        Does nothing where this try has no intent on record. Raises as :meth:`record_receipt`.
        """
        if self._recorded:
            self._create_or_raise(replace(self._written(), state=State.COMPLETE, ended_at=utc_now()))

    def record_receipt(self, result: Mapping[str, Any]) -> None:
        """Put on record that the campaign is queued, whatever a person has answered meanwhile: the response proves it.

        The result says when the response arrived (``queued_at``). A try that relies on that answer finds the receipt before the end of its file leaves, and stops. Raises what the
        store raises, or :class:`Overtaken`.
        """
        receipt = replace(self._written(), state=State.RECEIPT, queued_at=result["queued_at"], result=dict(result))
        while not self._create(receipt):
            self._generation, last = self._last()
            if last is None or not self._yields_to_receipt(last):
                raise Overtaken
            receipt = replace(receipt, resend_scopes=last.resend_scopes)

    def _yields_to_receipt(self, entry: Entry) -> bool:
        """Whether nothing but this try's request may have been queued, and nobody has asked to send the campaign once more."""
        return (
            entry.state is State.OPEN
            or (entry.state is State.INTENT and not entry.sent_before)
            or (entry.state is State.COMPLETE and entry.token == self.token)
        )

    def withdraw(self) -> None:
        """Take the intent back: the campaign is known not to be queued by this try. Raises as :meth:`record_receipt`."""
        if self._in_doubt and self._last() == (self._generation + 1, self._own):
            self._generation += 1
            self._recorded = True
        if self._own is None or not self._recorded:
            return
        self._create_or_raise(self._found or replace(self._own, state=State.OPEN, resend_scopes=()))

    def read(self) -> tuple[int, Entry | None]:
        """The last generation and its entry; 0 and None where nothing is on record."""
        with self._translate_store_errors("read", sending=False):
            return self._last()

    def append(self, generation: int, entry: Entry) -> bool:
        """Create an entry after that generation, with this try's token; False where another one has come after it."""
        self._generation = generation
        with self._translate_store_errors("written", sending=False):
            return self._create(replace(entry, token=self._try.token))

    @property
    def how_to_resolve(self) -> str:
        """What a person can do about an unknown outcome, once they have looked the campaign up."""
        return ways_to_resolve(self._source.command_arguments, self._source.clear_note)

    def proven_at(self, entry: Entry) -> str | None:
        """When a result arrived that proves that a request without a response was queued; None without one."""
        return None if entry.sent_before else self._first_result(entry)

    def hint(self, entry: Entry) -> str:
        """What else is known of a request without a response, for messages. It starts with a space."""
        if not (arrived := self._first_result(entry)):
            return entry.under_way_hint
        if entry.sent_before:
            return f"{entry.under_way_hint} A result arrived at {arrived}, but an earlier request may have queued its call."
        return f" But the first result of its calls arrived at {arrived}, so it was queued."

    def describe_earlier_try(self) -> str:
        """What the record says of a request that has queued the campaign, or may have; nothing where there is none.

        For errors of a try that sends nothing. Raises as :meth:`read`.
        """
        entry = self.read()[1]
        if entry is None or entry.state is State.OPEN or (entry.state is State.INTENT and not entry.sent_before):
            return ""
        if entry.state is State.INTENT:
            return _broken_off(entry)
        if entry.result is not None:
            return (
                f"Campaign {entry.campaign_name!r} was already queued by {entry.sender} at {entry.queued_at}. If this is a retry, "
                "leave the task as it is."
            )
        return (
            f"Campaign {entry.campaign_name!r} may be queued: {entry.sender} started to send it at {entry.started_at} and recorded "
            f"no response.{self.hint(entry)} Look for it in the vendor's campaign manager before you send its list again."
        )

    @property
    def is_retry(self) -> bool:
        """Whether the record holds only requests of this permission that queued nothing."""
        found = self._found
        if found is None or found.state not in (State.OPEN, State.INTENT):
            return False
        return {*found.resend_scopes} <= {self._try.resend_scope}

    @property
    def token(self) -> str:
        """This try's token, which its entries have. It names its request in the results database too."""
        return self._try.token

    @property
    def campaign_name(self) -> str:
        """The campaign that the record is about."""
        return self._key.campaign_name

    def _written(self) -> Entry:
        if self._own is None:
            raise RuntimeError("find() comes first")
        return self._own

    def _record(self, entry: Entry) -> None:
        self._in_doubt = True
        with self._translate_store_errors("written"):
            created = self._create(entry)
            last = None if created else self._last()[1]
        self._recorded, self._in_doubt = created, False
        if not created:
            self._stop_for(last)
        if not entry.may_be_under_way:
            raise NoRecord(
                f"Campaign {entry.campaign_name!r} was not sent: this process stood still for more than an hour while it put the "
                "request on record, and another task may have sent it meanwhile. It is safe to try again.",
                campaign_name=entry.campaign_name,
                sent=False,
            )

    def _create(self, entry: Entry) -> bool:
        """Create the next generation; False where somebody else has."""
        self._source = self._store
        generation = self._generation + 1
        try:
            created = self._store.create(generation, entry.to_json())
        except Exception:
            # A storage may keep an entry although it reports an error.
            if self._last() != (generation, entry):
                raise
            created = True
        # It may also report the error, repeat the write by itself, and then meet this very entry.
        if not created and self._last() != (generation, entry):
            return False
        self._generation = generation
        return True

    def _create_or_raise(self, entry: Entry) -> None:
        if not self._create(entry):
            raise Overtaken

    def _last(self) -> tuple[int, Entry | None]:
        self._source = self._store
        last = self._store.last()
        if last is None and self._store.before is not None:
            self._source = self._store.before
            earlier = self._source.last()
            last = earlier and (0, earlier[1])
        if last is None:
            return 0, None
        generation, stored = last
        try:
            entry = Entry.from_json(stored)
            about = entry.key
            counts = self._source.other_names_count and about.sender_digest == self._key.sender_digest
            if about != self._key and not counts:
                raise ValueError(f"it is about campaign {about.campaign_name[:100]!r} at {about.service[:100]}")
        except ValueError as problem:
            raise self._damaged(generation, problem) from None
        return generation, entry

    def _damaged(self, generation: int, problem: object) -> DamagedRecord:
        return DamagedRecord(
            f"Cannot tell whether campaign {self._key.campaign_name!r} was queued: its record in "
            f"{self._source.location_of(generation)} is not valid ({problem}). Nothing was sent. Look for the campaign in the "
            "vendor's campaign manager. If it is not there, remove that entry and clear this task: the entry before it "
            "counts, and without one the campaign is sent. If it is there, keep it and leave this task failed.",
            campaign_name=self._key.campaign_name,
            sent=False,
        )

    def _stop_for(self, last: Entry | None) -> None:
        """Another try was faster. Whatever became of it, this one doesn't send."""
        what, when = "is being sent by another task at the same time", "when the other one has ended "
        if last is not None and last.state in (State.COMPLETE, State.RECEIPT):
            self._result_of(last)  # which raises, unless this very list is queued
            what, when = f"was queued by another task at {last.queued_at}", ""
        raise AlreadySent(
            f"Campaign {self._key.campaign_name!r} {what}. This task sent nothing. Clear it {when}to get its result.",
            campaign_name=self._key.campaign_name,
        )

    def _result_of(self, entry: Entry) -> Mapping[str, Any]:
        name = entry.campaign_name
        if entry.state is State.INTENT:
            again = "If it is to be sent again, run the task with resend."
            raise AlreadySent(f"{_broken_off(entry)} Nothing was sent. {again}", campaign_name=name)
        if entry.result is None:
            raise OutcomeUnknown(
                f"Cannot tell whether campaign {name!r} was queued at {entry.service}: {entry.sender} started to send "
                f"it at {entry.started_at} and recorded no response ({self._source.location}).{self.hint(entry)} It will not be sent again "
                f"automatically. Look for it in the vendor's campaign manager, or ask their support.\n{self.how_to_resolve}",
                campaign_name=name,
                sent=False,
            )
        if entry.key != self._key:
            raise AlreadySent(
                f"This task has queued campaign {name!r}, by {entry.sender} at {entry.queued_at}, and its campaign_name is now "
                f"{self._key.campaign_name!r}. Nothing was sent. If this is a retry, set a campaign_name that is the same on every try. "
                "If the list is to be sent again under the new name, run the task with resend.",
                campaign_name=name,
            )
        if entry.digest != self._written().digest:
            raise AlreadySent(
                f"Campaign {name!r} was already queued by {entry.sender} at {entry.queued_at}, with a list that differs from this one: the "
                "contact file, a suppression list, or a rule of the check has changed. Nothing was sent. If this is a retry, "
                "leave the task as it is: the first list is queued. If this is a new list, set another campaign_name; contacts "
                "who are on both lists are then called twice.",
                campaign_name=name,
            )
        return {**entry.result}

    @contextmanager
    def _translate_store_errors(self, done: str, *, sending: bool = True) -> Iterator[None]:
        try:
            yield
        except OutcomeUnknown:
            raise
        except Exception as error:  # noqa: BLE001  # each store has errors of its own
            name, at = self._key.campaign_name, self._source.location
            problem = f"could not be {done} ({self._source.problem(error)})"
            raise NoRecord(
                f"Campaign {name!r} was not sent: its record in {at} {problem}. It is safe to try again."
                if sending
                else f"The record of campaign {name!r} in {at} {problem}.",
                campaign_name=name,
                sent=False,
            ) from None


#: How the ledger of a campaign is opened.
OpenLedger: TypeAlias = Callable[[CampaignKey], Ledger]


def _broken_off(entry: Entry) -> str:
    return (
        f"Campaign {entry.campaign_name!r} has been sent, or may have been, before {entry.sender} began to send it again at "
        f"{entry.started_at}. That request was broken off before the end of the list."
    )


class Overtaken(Exception):
    """The record has changed since this try has read or written it."""
