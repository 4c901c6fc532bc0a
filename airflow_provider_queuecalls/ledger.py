"""The ledger: has this campaign been sent?

The service's request has no idempotency key, so whoever sends must remember. Before the first byte leaves, an *intent*
is on record; after the answer, a *receipt*. Whoever comes next finds one of three: nothing, and sends; a receipt, and
returns what it says; an intent without a receipt, and stops, since nobody knows what became of it.
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol

from airflow_provider_queuecalls.exceptions import AlreadySent, NotSent, OutcomeUnknown

Entry = Mapping[str, Any]


class Store(Protocol):
    """Keeps one entry, a JSON object. Any error means that it isn't known what is kept."""

    #: Where that is, for messages.
    place: str

    def problem(self, error: Exception) -> str:
        """What an error of this store means, for messages. Its own words may hold credentials."""

    def read(self) -> Entry | None:
        """The entry, or None where there is none."""

    def create(self, entry: Entry) -> bool:
        """Keep the entry if there is none. False, and nothing is changed, where there is one."""

    def replace(self, entry: Entry) -> None:
        """Keep the entry in place of the one that is there."""

    def remove(self) -> None:
        """Keep nothing any more."""


@dataclass(frozen=True)
class Attempt:
    """One try to send one campaign.

    ``decision`` names what a person decided: to run the task, or to run it again. Automatic retries share it, so that
    ``resend`` sends once for a decision, not once for a try.
    """

    campaign_name: str
    digest: str
    contacts: int
    try_number: int
    decision: str
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
        attempt was broken off. ``resend`` overrules both, once for a decision.
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
        return self._attempt.resend and entry["intent"]["decision"] != self._attempt.decision

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
            "decision": attempt.decision,
            "resend": attempt.resend,
        }


class Nowhere:
    """Keeps nothing: for an Airflow that has no place for it."""

    place = "nowhere"

    def problem(self, error: Exception) -> str:
        return type(error).__name__

    def read(self) -> Entry | None:
        return None

    def create(self, entry: Entry) -> bool:  # noqa: ARG002
        return True

    def replace(self, entry: Entry) -> None:
        """Keep nothing."""

    def remove(self) -> None:
        """There is nothing to remove."""


class LocalStore:
    """One small JSON file in a directory of this machine. Created exclusively, written through to the disk."""

    def __init__(self, path: Path) -> None:
        self.place = str(path)
        self._path = path

    def problem(self, error: Exception) -> str:
        return (isinstance(error, OSError) and error.strerror) or type(error).__name__

    def read(self) -> Entry | None:
        try:
            return decoded(self._path.read_bytes())
        except FileNotFoundError:
            return None

    def create(self, entry: Entry) -> bool:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        written = self._write(entry)
        try:
            os.link(written, self._path)  # unlike a rename, it fails where there is one
        except FileExistsError:
            return False
        finally:
            os.unlink(written)
        self._sync()
        return True

    def replace(self, entry: Entry) -> None:
        os.replace(self._write(entry), self._path)
        self._sync()

    def remove(self) -> None:
        with suppress(FileNotFoundError):
            self._path.unlink()
        self._sync()

    def _write(self, entry: Entry) -> str:
        """Write to another name first, so that nobody ever reads half an entry."""
        descriptor, name = tempfile.mkstemp(prefix=".", suffix=".partial", dir=self._path.parent)
        with open(descriptor, "wb") as file:
            file.write(encoded(entry))
            file.flush()
            os.fsync(file.fileno())
        return name

    def _sync(self) -> None:
        descriptor = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def encoded(entry: Entry) -> bytes:
    """The entry as it is kept."""
    return json.dumps(entry, ensure_ascii=False, indent=1).encode()


def decoded(data: bytes) -> Entry:
    """Read what :func:`encoded` has written. Raises :class:`ValueError` for anything else."""
    entry = json.loads(data)
    if not isinstance(entry, dict) or "intent" not in entry:
        raise ValueError("not an entry of the ledger")
    return entry


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
