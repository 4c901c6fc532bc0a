"""What an alarm is called and how often it is repeated: calls to whoever is on call about something that failed."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Literal, NamedTuple, TypeAlias

from airflow_provider_queuecalls.client.campaign import letters_of
from airflow_provider_queuecalls.parameters import Parameter, ValueType, show
from airflow_provider_queuecalls.value_types import CHOICE, read_duration

OnNoRecord: TypeAlias = Literal["call", "skip"]
#: How much of what failed is readable in a name.
READABLE_CHARACTERS = 60
_MINUTES = ValueType("a timedelta, a number of minutes, or a string such as '1 hour' or 'PT30M'", read_duration)
#: The parameters that only an alarm has.
#:
#: :meta hide-value:
PARAMETERS = (
    Parameter(
        name="min_interval", type=_MINUTES, unit="minutes", minimum=1, maximum=44_640,
        default=timedelta(hours=1), default_doc="1 hour",
        doc="The shortest time between two calls about the same failure. A failure within that time calls nobody.",
    ),
    Parameter(
        name="expires_after", type=_MINUTES, unit="minutes", minimum=1, maximum=1_440,
        default=timedelta(minutes=30), default_doc="30 minutes",
        doc="When the service stops calling, counted from the notification.",
    ),
    Parameter(
        name="on_no_record", type=CHOICE, default="call",
        doc="What to do if the record of earlier calls cannot be reached or is damaged, or if receipts_path is not set or 'none'.",
        choices={
            "call": "call all the same; then each machine keeps a record of its own in its temporary folder, and each of them "
            "may call once in min_interval",
            "skip": "log an error and call nobody",
        },
    ),
)  # fmt: skip


class AlarmNames(NamedTuple):
    """The name of an alarm's record, the same for every call about the same thing; and the name of one campaign."""

    record: str
    campaign: str

    @classmethod
    def of(cls, what: str, whom: str, min_interval: timedelta, now: float) -> AlarmNames:
        """The names at a moment. The campaign's has a slot of time of the length ``min_interval`` in it.

        The record lets only one campaign be sent in ``min_interval``. Where it cannot be reached, campaigns of one slot still
        have one name, and the service asks for unique names.

        :param what: what failed; two alarms about the same thing are one
        :param whom: who is called: alarms for different people do not replace each other
        """
        readable = re.sub(r"[^A-Za-z0-9_-]", "_", what)[:READABLE_CHARACTERS] if show(what) else "hidden"
        record = f"alarm.{readable}.{letters_of(what, whom)}"
        seconds = min_interval.total_seconds()
        slot = datetime.fromtimestamp(now // seconds * seconds, timezone.utc)
        return cls(record, f"{record}.{slot:%Y%m%dT%H%M%SZ}")


def cut(text: str, size: int) -> str:
    """A text in one line, of at most so many bytes in UTF-8. One that is cut ends with an ellipsis."""
    line = " ".join(text.split())
    if len(line.encode()) <= size:
        return line
    return f"{line.encode()[: size - len('…'.encode())].decode(errors='ignore')}…"
