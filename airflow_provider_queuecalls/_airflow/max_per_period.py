"""``max_per_period`` in Airflow: the limit, and the record in the results database that it needs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

from airflow_provider_queuecalls._airflow import settings
from airflow_provider_queuecalls._airflow.compat import mask
from airflow_provider_queuecalls._airflow.results import results_database
from airflow_provider_queuecalls._airflow.retries import safe_to_retry
from airflow_provider_queuecalls.client.campaign import Campaign
from airflow_provider_queuecalls.contacts.row_results.call_limit import PARAMETERS
from airflow_provider_queuecalls.exceptions import (
    CheckFailed,
    InvalidCampaign,
    InvalidContactRules,
    QueueCallsError,
    Violation,
)
from airflow_provider_queuecalls.parameters import read_or_raise
from airflow_provider_queuecalls.records.sent.entry import CampaignKey
from airflow_provider_queuecalls.signed_url import read_secrets

if TYPE_CHECKING:
    from airflow_provider_queuecalls.records.database.called_numbers import CalledNumbers, OwnNumbers

(LIMIT,) = PARAMETERS


@contextmanager
def called_numbers(
    max_per_period: object, campaign: Campaign, key: CampaignKey, *, log: logging.Logger | Any
) -> Iterator[CalledNumbers | None]:
    """The record of called numbers for a campaign; None without a limit.

    Raises :class:`InvalidContactRules` for a limit that is not valid or whose needs are not configured,
    :class:`InvalidCampaign` if nobody knows when the campaign's calls start, and :class:`CheckFailed` if the database cannot
    be reached.
    """
    given = settings.option(LIMIT.name) if max_per_period is None else max_per_period
    limit = read_or_raise(PARAMETERS, {LIMIT.name: given}, InvalidContactRules)[LIMIT.name]
    if limit is None:
        yield None
        return
    if campaign.scheduled_time is not None:
        problem = "is interpreted by the service only, and max_per_period needs to know when calls start"
        raise InvalidCampaign([Violation("scheduled_time", problem, "given as scheduled_timestamp", "this provider")])
    from airflow_provider_queuecalls.records.database.called_numbers import CalledNumbers

    secrets = _secrets()
    try:
        database = results_database()
    except QueueCallsError as error:
        raise CheckFailed(f"max_per_period cannot be checked: {str(error).rstrip('.')}. Nothing was sent.") from None
    times = {"start": campaign.calls_from, "end": campaign.expires_at}
    with closing(CalledNumbers(database, limit, secrets, campaign_key=key.digest, **times, log=log)) as called:
        yield called


@contextmanager
def sent_numbers(campaign_key: str) -> Iterator[OwnNumbers | None]:
    """The numbers to which a campaign was sent; None if it is not on record, as without a limit.

    Raises :class:`QueueCallsError` if the secret in Airflow's configuration is not valid, and :class:`CheckFailed` if the
    database cannot be used, or a key is missing.
    """
    if settings.option("results_secret") is None:
        yield None
        return
    from airflow_provider_queuecalls.records.database.called_numbers import OwnNumbers

    secrets = _masked_secrets()
    with ExitStack() as stack:
        with safe_to_retry():
            numbers = stack.enter_context(closing(OwnNumbers(results_database(), secrets, campaign_key)))
            is_on_record = bool(numbers.key_names())
        yield numbers if is_on_record else None


def _secrets() -> tuple[str, ...]:
    """The secrets for a limit. Raises :class:`InvalidContactRules` if an option is missing or not valid."""
    missing = [name for name in ("results_database", "results_secret") if settings.option(name) is None]
    if missing:
        raise _unusable(f"needs [queuecalls] {' and '.join(missing)}, which {'are' if missing[1:] else 'is'} not set")
    try:
        return _masked_secrets()
    except QueueCallsError as error:
        raise _unusable(f"needs a secret: {error}") from None


def _unusable(problem: str) -> InvalidContactRules:
    rule = "unset, or given with both options set in Airflow's configuration"
    return InvalidContactRules([Violation(LIMIT.name, problem, rule, "this provider")])


def _masked_secrets() -> tuple[str, ...]:
    """The secrets of Airflow's configuration, which Airflow's logs show as ``***``."""
    secrets = read_secrets(settings.option("results_secret") or "")
    for secret in secrets:
        mask(secret)
    return secrets
