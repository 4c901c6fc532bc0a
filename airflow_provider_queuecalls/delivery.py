"""Deliver a campaign once: check, intent, one POST, receipt.

Operator, hook, notifier, and ``queuecalls send`` all send through :func:`deliver`, which needs no Airflow.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_queuecalls.client.campaign import Campaign
from airflow_provider_queuecalls.contacts import MEMORY_LIMIT, ContactRules, Report, check
from airflow_provider_queuecalls.contacts.row_results.call_limit import LimitCheck
from airflow_provider_queuecalls.exceptions import (
    CheckFailed,
    InvalidCampaign,
    InvalidContacts,
    NotAccepted,
    NotSent,
    OutcomeUnknown,
    QueueCallsError,
    Refused,
    Violation,
    attach_campaign_name,
)
from airflow_provider_queuecalls.outcome import Outcome
from airflow_provider_queuecalls.parameters import is_unset, show_path
from airflow_provider_queuecalls.progress import Progress
from airflow_provider_queuecalls.records.receiver.urls import script_of
from airflow_provider_queuecalls.records.sent.entry import CampaignKey, utc_now
from airflow_provider_queuecalls.records.sent.ledger import Ledger, OpenLedger
from airflow_provider_queuecalls.value_types import format_moment
from airflow_provider_queuecalls.voice.speech import assert_not_silent

if TYPE_CHECKING:
    # Not needed to parse a DAG, and they take a while to import.
    from airflow_provider_queuecalls.client.client import Client, Record
    from airflow_provider_queuecalls.client.multipart import Upload
    from airflow_provider_queuecalls.client.response import Response
    from airflow_provider_queuecalls.records.database.called_numbers import CalledNumbers

#: The value of ``expected_digest`` that accepts every list.
ANY_DIGEST = "any"


@dataclass(frozen=True)
class Delivery:
    """What became of one delivery.

    An error that :func:`deliver` raises carries one as ``error.delivery`` if the contact file had been checked by then.
    """

    outcome: Outcome
    campaign_name: str
    report: Report
    dry_run: bool = False
    response: Response | None = None
    #: Those of the response that may be shown.
    call_ids: Sequence[str] = ()
    #: The result on record, where this very campaign had been queued before.
    recorded: Mapping[str, Any] | None = None
    queued_at: str | None = None
    #: When the service stops calling, as a UNIX time. With calling hours, it is chosen by them if it is not given.
    expires_at: int | None = None
    #: The key under which the results of its calls are stored.
    campaign_key: str = ""

    @property
    def result(self) -> dict[str, Any]:
        """What the operator pushes to XCom: no secrets and no people's data."""
        response, report = self.response, self.report
        return {
            "outcome": self.outcome.value,
            "campaign_key": self.campaign_key,
            "campaign_name": self.campaign_name,
            "contacts": report.valid,
            "rejected": report.rejected,
            "duplicates": report.duplicates,
            "suppressed": report.suppressed,
            "call_ids": list(self.call_ids),
            "call_id_count": response.call_id_count if response else 0,
            "digest": report.digest,
            "queued_at": self.queued_at,
            "expiration_timestamp": self.expires_at,
            "calls_from": report.span and report.span.start,
            "zones": report.zones,
            "dry_run": self.dry_run,
            "response": response.body if response else None,
            # A result that a person recorded has no counts of the check. This check has read the same list.
            **(self.recorded or {}),
        }


def deliver(
    campaign: Campaign,
    contacts: str | os.PathLike[str],
    client: Client,
    open_ledger: OpenLedger,
    *,
    rules: ContactRules | None = None,
    rejects: AbstractContextManager[str | os.PathLike[str] | None] | None = None,
    expected_digest: str = ANY_DIGEST,
    dry_run: bool = False,
    called: CalledNumbers | None = None,
    script_secrets: Sequence[str] = (),
    memory_limit: int = MEMORY_LIMIT,
    progress: Progress | None = None,
    log: logging.Logger | Any | None = None,
) -> Delivery:
    """Check a contact file and send it as one campaign, unless its record says that it was sent.

    :param campaign: the campaign's settings; ``campaign_name`` is required, since the record is kept by it
    :param contacts: a local contact file
    :param client: where to send
    :param open_ledger: gives the ledger for a campaign; called once the list was checked and is to be sent
    :param rules: how the contact file is checked; default is every rule's default
    :param rejects: gives the path of a local file for the rejects, each with line and reason. The context manager exits
        before anything is sent, also if the check fails.
    :param expected_digest: ``"any"``, or the digest of the only list that may be sent (``sha256:…``)
    :param dry_run: do everything except the request
    :param called: the record of the numbers that earlier campaigns call, which limits how often each is called
    :param script_secrets: the secrets that sign the URLs of scripts that speak call_parameters: a list with which such a
        script would say nothing is refused
    :param memory_limit: the memory that the check may use, in MiB; default is 512
    :param progress: called with (done, total) in bytes while the files are checked
    :param log: the logger for what happens; default is this module's

    Raises :class:`InvalidCampaign`, :class:`InvalidContacts` and :class:`CheckFailed` before anything is on record;
    :class:`AlreadySent` and :class:`OutcomeUnknown` where the record does not let this try send; :class:`NotSent`,
    :class:`NotAccepted`, :class:`Refused` and :class:`OutcomeUnknown` by what became of the request. Another try is safe only
    after :class:`NotSent`, :class:`NotAccepted`, and :class:`CheckFailed`.
    """
    log = log or logging.getLogger(__name__)
    rules = rules or ContactRules()
    name = _required_name(campaign)
    expected_digest = parse_digest(expected_digest)
    with attach_campaign_name(name), ExitStack() as stack:
        given, hours = campaign, None if rules.calling_hours is None else rules.hours_check(*campaign.span())
        if called and hours:
            called.expect_end(hours.last_end)
        limit = stack.enter_context(LimitCheck(called, memory_limit // 2, client.stop)) if called else None
        with rejects or nullcontext() as rejects_path, _nothing_sent():
            checked = stack.enter_context(
                check(
                    contacts,
                    rules,
                    rejects_path=rejects_path,
                    stop=client.stop,
                    memory_limit=memory_limit,
                    progress=progress,
                    hours=hours,
                    limit=limit,
                )
            )
        report, upload = checked.report, checked.upload
        log.info("Checked %s: %s", show_path(upload.name), report.summary())
        if hours:
            campaign = _within_hours(campaign, report, log)
        key = CampaignKey.of(name, client.endpoint.url, client.endpoint.login)
        delivery = Delivery(
            Outcome.NOT_SENT, name, report, dry_run, expires_at=campaign.expires_at, campaign_key=key.digest
        )
        stack.enter_context(_delivery_attached(delivery))
        _assert_expected(report, expected_digest)
        if campaign.call_parameters is None and script_of(campaign.start_url or "", script_secrets):
            with _nothing_sent():
                assert_not_silent(upload)
        if dry_run:
            given.assert_timely()
            _log_warnings(given, called, log)
            log.info("Dry run: did not send campaign %s of %s contacts", name, f"{report.valid:,}")
            return delivery
        client.stop.raise_if_requested()
        ledger = open_ledger(key)
        recorded = ledger.find(report.digest or "", report.valid)
        if recorded is not None:
            log.warning("Campaign %s was already queued at %s. Nothing was sent again.", name, recorded["queued_at"])
            return replace(delivery, outcome=Outcome.QUEUED, recorded=recorded)
        _log_warnings(given, called, log)
        record = _RecordWithinHours(ledger, given, rules, report) if hours else ledger
        if called and limit:
            recorded_numbers = called.recorded(
                limit, report.valid, campaign.expires_at, token=ledger.token, is_retry=ledger.is_retry
            )
            with _nothing_sent():
                stack.enter_context(recorded_numbers)
        return _send(delivery, campaign, upload, client, ledger, record=record, log=log)


@contextmanager
def _nothing_sent() -> Iterator[None]:
    """Append 'Nothing was sent.' to errors of the check."""
    try:
        yield
    except (InvalidContacts, CheckFailed) as error:
        message = str(error)
        error.args = ("\n".join([message, "Nothing was sent."]) if "\n" in message else f"{message} Nothing was sent.",)
        raise


def _send(
    delivery: Delivery,
    campaign: Campaign,
    upload: Upload,
    client: Client,
    ledger: Ledger,
    *,
    record: Record,
    log: logging.Logger,
) -> Delivery:
    """Send the campaign, and put on record what became of it."""
    try:
        response = client.queue_calls(upload, campaign, record=record)
    except (NotSent, NotAccepted, Refused):
        with _record_update(log, "is not queued, but the next try may stop as if it might be"):
            ledger.withdraw()
        raise
    except OutcomeUnknown as error:
        if error.sent:  # otherwise it is what the record says of an earlier try
            error.args = (f"{error}\n{ledger.how_to_resolve}",)
        with _record_update(log, "may be queued: look for it before you let this task run again"):
            ledger.record_unknown()
        raise
    queued = replace(delivery, outcome=Outcome.QUEUED, response=response, queued_at=utc_now())
    with _record_update(log, meaning := "is queued: do not let it be sent again"):
        ledger.record_receipt(queued.result)
    # The whole list is read once more, which takes seconds. A worker that is lost meanwhile has left a receipt.
    if call_ids := client.harmless_call_ids(response, upload, campaign):
        queued = replace(queued, call_ids=call_ids)
        with _record_update(log, meaning):
            ledger.record_receipt(queued.result)
    log.info(
        "Queued campaign %s of %s contacts with %s call ids",
        queued.campaign_name, f"{delivery.report.valid:,}", f"{response.call_id_count:,}",
    )  # fmt: skip
    if response.call_id_count < delivery.report.valid:
        log.warning(
            "The service returned %s call ids for %s contacts. Nothing is sent again: compare the campaign with the list.",
            response.call_id_count, delivery.report.valid,
        )  # fmt: skip
    return queued


def _log_warnings(campaign: Campaign, called: CalledNumbers | None, log: logging.Logger) -> None:
    for warning in campaign.warnings():
        log.warning(warning)
    attempts = 1 + int(campaign.max_retries or 0)
    if called and attempts > called.limit.most:
        log.warning(
            "max_retries lets the service make up to %s attempts to call each contact, and max_per_period is %s.",
            attempts, called.limit,
        )  # fmt: skip


def _within_hours(campaign: Campaign, report: Report, log: logging.Logger) -> Campaign:
    """Return the campaign with the expiration that calling hours give it, unless it has one."""
    if report.span is None:  # a list without a contact fails the check
        return campaign
    log.info("Calling hours by time zone: %s", report.zones)
    if campaign.expires_at is None:
        log.info("Calls end at %s, the latest time that is right for all contacts", format_moment(report.span.end))
        campaign = replace(campaign, expiration_timestamp=report.span.end)
    for warning in campaign.lost_attempts(report.span):
        log.warning(warning)
    return campaign


@dataclass(frozen=True, repr=False)
class _RecordWithinHours:
    """Checks the calling hours again just before the first byte is sent, then records the intent."""

    ledger: Ledger
    given: Campaign
    rules: ContactRules
    report: Report

    def record_intent(self, *, complete: bool) -> None:
        self.given.assert_timely()  # an expiration that the hours have given does not excuse a late start
        start, end = self.report.span or (0, 0)
        now = max(start, int(time.time()))
        hours = self.rules.hours_check(now, end)
        closed = [str(place) for place in self.report.sent_places if hours and not hours.allows(place)]
        if closed:
            problem = f"no longer allow all calls of this campaign. Closed zones: {'; '.join(dict.fromkeys(closed))}"
            rule = "such that they cover the time from now to the end of the campaign"
            raise InvalidCampaign([Violation("calling_hours", problem, rule, "this provider")])
        self.ledger.record_intent(complete=complete)

    def record_complete(self) -> None:
        self.ledger.record_complete()


@contextmanager
def _record_update(log: logging.Logger, meaning: str) -> Iterator[None]:
    """If the record cannot be updated, log what became of the campaign.

    An error of the store is only logged, since it changes nothing about the campaign. Others, such as the task's timeout, are
    raised again.
    """
    try:
        yield
    except BaseException as error:
        # Not the error's own text: each store has errors of its own, which may hold credentials.
        log.error(
            "The record of this campaign could not be updated (%s). The campaign %s.", type(error).__name__, meaning
        )
        if not isinstance(error, Exception):
            raise


@contextmanager
def _delivery_attached(delivery: Delivery) -> Iterator[None]:
    """Attach a copy of the delivery, with the error's outcome, to every error that is raised inside."""
    try:
        yield
    except QueueCallsError as error:
        error.delivery = replace(delivery, outcome=error.outcome)
        raise


def parse_digest(value: object) -> str:
    """Read ``expected_digest`` as templating yields it.

    A value that renders to an empty string is an error: it would let any list pass for the approved one.
    """
    text = value.strip() if isinstance(value, str) else ""
    if text == ANY_DIGEST or re.fullmatch("sha256:[0-9a-f]{64}", text):
        return text
    problem = "is empty" if is_unset(value) else "is not a digest"
    rule = f"{ANY_DIGEST!r}, or the digest of a dry run: sha256: and 64 hexadecimal digits"
    raise InvalidCampaign([Violation("expected_digest", problem, rule, "this provider")])


def _assert_expected(report: Report, expected_digest: str) -> None:
    if expected_digest not in (ANY_DIGEST, report.digest):
        raise InvalidContacts(
            f"The list is not the expected one: its digest is {report.digest}, but expected_digest is "
            f"{expected_digest}. Nothing was sent. The contact file, a suppression list or a rule of the check has "
            "changed since the dry run: run it again, and have the new list approved.",
            report=report,
        )


def _required_name(campaign: Campaign) -> str:
    if campaign.campaign_name is None:
        raise InvalidCampaign(
            [Violation("campaign_name", "is missing, and the record is kept by it", "a string", "this provider")]
        )
    return campaign.campaign_name
