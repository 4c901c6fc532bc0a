"""Every error that a caller can catch::

    QueueCallsError
    ├── InvalidCampaign       a parameter of the campaign is not valid
    ├── InvalidConnection     the Airflow Connection is not valid
    ├── InvalidContactRules   a parameter of the check is not valid
    ├── InvalidWait           a parameter of a wait for results is not valid
    ├── InvalidNextList       a parameter of the next list is not valid
    ├── InvalidContacts       the contact file, or a row of it, is not valid (has a report)
    │   └── EmptyContacts     it has no row, and on_empty is "skip"
    ├── CheckFailed           the check could not be finished             another try is safe
    ├── AlreadySent           the record does not let this try send
    └── WireError             the request did not end with a queued campaign
        ├── NotSent           no complete request reached the service     another try is safe
        │   └── NoRecord      its record could not be read or written     another try is safe
        ├── NotAccepted       the service asked to try later              another try is safe
        ├── Refused           the service refused the campaign
        └── OutcomeUnknown    the campaign may be queued: look it up
            └── DamagedRecord its record is there and cannot be understood

Messages are for the person who reads them: what is wrong, where, what to do. None holds the login, the PIN, a phone
number or a reference.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from airflow_provider_queuecalls.outcome import Outcome

__all__ = [
    "AlreadySent",
    "CheckFailed",
    "DamagedRecord",
    "EmptyContacts",
    "InvalidCampaign",
    "InvalidConnection",
    "InvalidContactRules",
    "InvalidContacts",
    "InvalidNextList",
    "InvalidWait",
    "NoRecord",
    "NotAccepted",
    "NotSent",
    "OutcomeUnknown",
    "QueueCallsError",
    "Refused",
    "Violation",
    "WireError",
]


class QueueCallsError(Exception):
    """Base of all errors here.

    ``campaign_name`` is the campaign, where one is known; ``outcome`` is what became of it in this try; ``delivery`` is
    the :class:`~airflow_provider_queuecalls.delivery.Delivery` that failed, if the contact file had been checked.
    """

    outcome: ClassVar[Outcome] = Outcome.NOT_SENT
    delivery: Any = None

    def __init__(self, message: str, *, campaign_name: str | None = None) -> None:
        super().__init__(message)
        self.campaign_name = campaign_name


@dataclass(frozen=True)
class Violation:
    """One value that breaks one rule. ``value`` is its text if an error may repeat it, ``source`` where the rule is from."""

    parameter: str
    problem: str
    rule: str
    source: str = ""
    value: str = ""

    @property
    def sentence(self) -> str:
        """What is wrong and what is accepted, without the source."""
        found = f"is {self.value}, which {self.problem}" if self.value else self.problem
        return f"{self.parameter} {found}; it must be {self.rule}"

    def __str__(self) -> str:
        return f"{self.sentence} ({self.source})" if self.source else self.sentence


class _Violations(QueueCallsError):
    """Several violations, reported together."""

    subject = ""
    effect = ", nothing was sent"

    def __init__(self, violations: Iterable[Violation], *, campaign_name: str | None = None) -> None:
        self.violations = tuple(violations)
        lines = "".join(f"\n  - {violation}" for violation in self.violations)
        super().__init__(f"{self.subject}{self.effect}:{lines}", campaign_name=campaign_name)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.violations,), self.__dict__


class InvalidCampaign(_Violations):
    """A parameter of the campaign is not valid. Nothing was sent; another try would fail again."""

    subject = "The parameters are not valid"


class InvalidConnection(_Violations):
    """The Airflow connection has values that are wrong, unknown, or missing. Nothing was sent; another try would fail again."""

    subject = "The queuecalls connection is not valid"


class InvalidContacts(QueueCallsError):
    """The contact file cannot be opened or breaks a rule. Nothing was sent. ``report`` says what was found."""

    def __init__(self, message: str, *, report: Any = None) -> None:
        super().__init__(message)
        self.report = report


class EmptyContacts(InvalidContacts):
    """The contact file has no row, and ``on_empty`` is ``"skip"``."""


class InvalidContactRules(_Violations):
    """A parameter of the check is not valid. Another try would fail again."""

    subject = "The rules for the contact file are not valid"
    effect = ""


class InvalidWait(_Violations):
    """A parameter of a wait for results is not valid. Another try would fail again."""

    subject = "The parameters of the wait are not valid"
    effect = ""


class InvalidNextList(_Violations):
    """A parameter of the list that is joined with its results is not valid. Another try would fail again."""

    subject = "The parameters of the next list are not valid"
    effect = ", nothing was written"


class CheckFailed(QueueCallsError):
    """Something could not be finished: a file changed during the check, a disk was full, or a storage or database did not respond.
    Another try may help."""


class WireError(QueueCallsError):
    """Base of the errors around the request. ``status_code`` is None if there was no response; ``sent`` says whether any
    byte of the body may have left this machine; default is True."""

    def __init__(
        self, message: str, *, campaign_name: str | None = None, status_code: int | None = None, sent: bool = True
    ) -> None:
        super().__init__(message, campaign_name=campaign_name)
        self.status_code = status_code
        self.sent = sent


class NotSent(WireError):
    """No complete request can have reached the service. Safe to try again."""


class NoRecord(NotSent):
    """The record of the campaign could not be read or written, so it was not sent. Safe to try again."""


class NotAccepted(WireError):
    """The service asked to try later (408, 425, 429). Safe to try again, after ``retry_after`` seconds if that is set."""

    outcome = Outcome.NOT_ACCEPTED

    def __init__(self, message: str, *, retry_after: float | None = None, **details: Any) -> None:
        super().__init__(message, **details)
        self.retry_after = retry_after


class Refused(WireError):
    """The service refused the campaign. Nothing was queued; another try without changes would fail again.

    ``name_taken`` is whether it says that a campaign of this name exists already.
    """

    outcome = Outcome.REFUSED

    def __init__(self, message: str, *, name_taken: bool = False, **details: Any) -> None:
        super().__init__(message, **details)
        self.name_taken = name_taken


class OutcomeUnknown(WireError):
    """The campaign may have been queued. Sending it again may call everybody twice."""

    outcome = Outcome.UNKNOWN


class DamagedRecord(OutcomeUnknown):
    """The record of the campaign is not valid, so it is not known whether the campaign was sent. Nothing was sent this time."""


class AlreadySent(QueueCallsError):
    """The record does not let this try send: the campaign was sent before with another list or under another name, another task is
    sending it, or a try with ``resend`` was broken off. Nothing was sent by this try."""


@contextmanager
def attach_campaign_name(campaign_name: str | None) -> Iterator[None]:
    """Give every error raised inside the name of the campaign it is about."""
    try:
        yield
    except QueueCallsError as error:
        error.campaign_name = error.campaign_name or campaign_name
        raise


@contextmanager
def clear_locals() -> Iterator[None]:
    """Clear the local variables of the calls that an error has ended. Works as a decorator too.

    They hold the PIN and contacts, and a log on a terminal shows them, as ``airflow tasks test`` does.
    """
    try:
        yield
    except BaseException as error:
        for cause in causes(error):
            traceback.clear_frames(cause.__traceback__)
        raise


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and every error that it wraps: as its cause, its context, its ``reason``, or an argument, as urllib3
    does."""
    todo, seen = [error], set[int]()
    while todo:
        if id(cause := todo.pop(0)) in seen:
            continue
        seen.add(id(cause))
        yield cause
        beneath = (cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args)
        todo += [item for item in beneath if isinstance(item, BaseException)]
