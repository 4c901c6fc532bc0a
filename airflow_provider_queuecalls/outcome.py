"""What became of a campaign."""

from __future__ import annotations

from enum import Enum

__all__ = ["Outcome"]


class Outcome(str, Enum):
    """What became of a campaign."""

    QUEUED = "queued"
    REFUSED = "refused"
    NOT_ACCEPTED = "not accepted"
    NOT_SENT = "not sent"
    UNKNOWN = "unknown"
