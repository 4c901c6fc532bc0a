"""One entry of a campaign's record, and which campaign it is about. :mod:`~airflow_provider_queuecalls.records.sent.ledger`
says when one is made."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum
from typing import Any

from airflow_provider_queuecalls.outcome import Outcome

#: A younger intent may belong to a request that is still under way: uploads of hundreds of megabytes take minutes.
LONGEST_REQUEST_SECONDS = 3_600


class State(str, Enum):
    """What the last entry of a record says."""

    OPEN = "open"
    INTENT = "intent"
    COMPLETE = "complete"
    RECEIPT = "receipt"


#: What each state means for the campaign.
OUTCOMES = {
    State.OPEN: "not queued",
    State.INTENT: "being sent, or broken off",
    State.COMPLETE: Outcome.UNKNOWN.value,
    State.RECEIPT: Outcome.QUEUED.value,
}


@dataclass(frozen=True, kw_only=True)
class CampaignKey:
    """Which campaign a record is about: another service, account or name is another campaign.

    ``account`` is a keyed hash of the login, so that a record names nobody.
    """

    campaign_name: str
    service: str
    account: str

    @classmethod
    def of(cls, campaign_name: str, service: str, login: str) -> CampaignKey:
        """The key of a campaign that ``login`` sends to the URL ``service``."""
        return cls(
            campaign_name=campaign_name,
            service=service,
            account=hmac.digest(service.encode(), login.encode(), "sha256").hex()[:16],
        )

    @property
    def sender_digest(self) -> str:
        """A short text that differs for any two accounts of any two services."""
        return hmac.digest(self.service.encode(), self.account.encode(), "sha256").hex()[:16]

    @property
    def digest(self) -> str:
        """A short text that differs for any two campaigns."""
        return hmac.digest(self.sender_digest.encode(), self.campaign_name.encode(), "sha256").hex()[:16]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One entry of a record.

    ``token`` is the owner's: a random text that each try has for itself. ``resend_scopes`` are those in which a try
    began to send, over all generations: ``resend`` sends once in each. ``started_at`` is when the request began, and once
    it is complete, when the end of its file was about to leave. ``sent_before`` is whether an earlier request may
    have queued the campaign too: its results cannot be told from those of this one. ``ended_at`` is when its request is
    known to have ended without a response that counts. ``resolved_by`` is the person who found out what became of it.
    """

    state: State
    campaign_name: str
    service: str
    account: str
    digest: str
    contacts: int
    token: str
    try_number: int
    host: str
    started_at: str
    resend_scopes: tuple[str, ...] = ()
    sent_before: bool = False
    ended_at: str | None = None
    queued_at: str | None = None
    result: Mapping[str, Any] | None = None
    resolved_by: str | None = None
    resolved_at: str | None = None

    @property
    def key(self) -> CampaignKey:
        """Which campaign the entry is about."""
        return CampaignKey(campaign_name=self.campaign_name, service=self.service, account=self.account)

    @property
    def sender(self) -> str:
        """Who sent the campaign, for messages."""
        return f"try {self.try_number} on host {self.host}"

    @property
    def may_be_under_way(self) -> bool:
        """Whether its request may not have ended yet."""
        return self.ended_at is None and self._age_seconds < LONGEST_REQUEST_SECONDS

    @property
    def under_way_hint(self) -> str:
        """What a message says about a request that may not have ended yet. It starts with a space."""
        if not self.may_be_under_way:
            return ""
        when = "was less than an hour ago" if self._age_seconds > -60 else "is in the future, since a clock is wrong"
        return f" That {when}, so the request may still be under way: wait until that task has ended."

    @property
    def _age_seconds(self) -> float:
        """How long ago its request began; negative if it began by a clock that was ahead of this machine's."""
        return (datetime.now(timezone.utc) - datetime.fromisoformat(self.started_at)).total_seconds()

    def to_json(self) -> dict[str, Any]:
        """The entry as it is stored."""
        return {**vars(self), "state": self.state.value, "resend_scopes": list(self.resend_scopes)}

    @classmethod
    def from_json(cls, stored: Any) -> Entry:
        """Read what :meth:`to_json` has made. Raises :class:`ValueError` for anything else."""
        if not isinstance(stored, Mapping) or set(stored) != set(cls.__dataclass_fields__):
            raise ValueError("it is not an entry of a record")
        kinds: Mapping[str, type | tuple[type, ...]] = {
            **{"contacts": int, "try_number": int, "resend_scopes": list, "sent_before": bool},
            **dict.fromkeys(("ended_at", "queued_at", "resolved_by", "resolved_at"), (str, type(None))),
            "result": (dict, type(None)),
        }
        for name, value in stored.items():
            if not isinstance(value, kinds.get(name, str)):
                raise ValueError(f"its {name} is a {type(value).__name__}")
        scopes = tuple(map(str, stored["resend_scopes"]))
        entry = cls(**{**stored, "state": State(stored["state"]), "resend_scopes": scopes})
        if (entry.state is State.RECEIPT) != (entry.result is not None and entry.queued_at is not None):
            raise ValueError("it is a receipt without a result, or a result without a receipt")
        return entry


def utc_now() -> str:
    """The current time, as entries have it."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
