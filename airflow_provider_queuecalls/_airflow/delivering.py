"""What Airflow adds to a delivery, whoever sends: the record, the campaign's row, and the limits."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, TypedDict

from airflow_provider_queuecalls._airflow.campaigns import script_secrets
from airflow_provider_queuecalls._airflow.max_per_period import called_numbers
from airflow_provider_queuecalls._airflow.receipts import earlier_try_named, ledger_opener
from airflow_provider_queuecalls._airflow.results import with_campaign_row
from airflow_provider_queuecalls._airflow.settings import check_memory_mb
from airflow_provider_queuecalls.client.campaign import Campaign
from airflow_provider_queuecalls.client.endpoint import Endpoint
from airflow_provider_queuecalls.records.sent.entry import CampaignKey
from airflow_provider_queuecalls.records.sent.ledger import OpenLedger, Try
from airflow_provider_queuecalls.records.sent.stores import OpenStore

if TYPE_CHECKING:
    from airflow_provider_queuecalls.records.database.called_numbers import CalledNumbers


class Configured(TypedDict):
    """The arguments of ``deliver()`` that Airflow's configuration decides."""

    called: CalledNumbers | None
    script_secrets: Sequence[str]
    memory_limit: int
    log: logging.Logger | Any


@contextmanager
def delivering(
    campaign: Campaign,
    endpoint: Endpoint,
    open_store: OpenStore,
    this_try: Try,
    *,
    max_per_period: object,
    log: logging.Logger | Any,
    ti: Any = None,
    collects_results: bool | None = None,
) -> Iterator[tuple[OpenLedger, Configured]]:
    """Give the ``open_ledger`` of this try, and the other arguments that Airflow's configuration decides.

    If ``[queuecalls] results_database`` is set, the campaign's row follows its record. ``ti`` is the task that sends, None for
    a program; ``collects_results`` is a column of the row. Errors of the check end with what an earlier try has sent.
    """
    name = campaign.campaign_name or ""
    key = CampaignKey.of(name, endpoint.url, endpoint.login)
    known = {
        "expires_at": campaign.expires_at,
        "calls_from": campaign.calls_from,
        "campaign_url": endpoint.url_of_campaign(name),
        "collects_results": collects_results,
    }
    with ExitStack() as stack:
        open_store = with_campaign_row(open_store, ti, log, stack, known)
        stack.enter_context(earlier_try_named(open_store, key))
        called = stack.enter_context(called_numbers(max_per_period, campaign, key, log=log))
        yield (
            ledger_opener(open_store, this_try, log),
            Configured(called=called, script_secrets=script_secrets(), memory_limit=check_memory_mb(), log=log),
        )
