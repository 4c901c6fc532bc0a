"""The campaign that Airflow sends: its name, and the URLs at the receiver that are made for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_queuecalls._airflow import settings
from airflow_provider_queuecalls._airflow.compat import mask
from airflow_provider_queuecalls.client.campaign import Campaign, default_campaign_name
from airflow_provider_queuecalls.exceptions import InvalidCampaign, QueueCallsError, Violation
from airflow_provider_queuecalls.parameters import is_unset, show
from airflow_provider_queuecalls.records.receiver.urls import results_url, script_url
from airflow_provider_queuecalls.records.sent.entry import CampaignKey
from airflow_provider_queuecalls.signed_url import read_secrets
from airflow_provider_queuecalls.voice.speech import SPEAK, Speech, read_speech

if TYPE_CHECKING:
    from airflow_provider_queuecalls.client.endpoint import Endpoint


def name_of_campaign(given: str | None, ti: Any) -> str:
    """The name that a task was given for its campaign; without one, that of the task instance, the same on every try."""
    return default_campaign_name(ti.dag_id, ti.task_id, ti.run_id, ti.map_index) if is_unset(given) else given


def build_campaign(
    values: Mapping[str, Any], endpoint: Endpoint, *, speak: object = None, collect_results: bool = False
) -> Campaign:
    """Return a campaign, with the URLs that are made for it: ``speak`` makes its start_url, ``collect_results`` its result_url.

    Raises :class:`InvalidCampaign` if a value is not valid, and :class:`QueueCallsError` if a URL cannot be made.
    """
    speech, start_url = read_speech(speak), values["start_url"]
    if (speech is None) is is_unset(start_url):
        problem = "is given together with speak" if speech else "is missing, and speak is not set"
        rule = "the URL of a VoiceXML script, or left out with speak=True, which lets the service speak the call_parameters"
        raise InvalidCampaign([Violation("start_url", problem, rule, "this provider")])
    if speech:  # until the campaign's name is known as it is sent
        start_url, _ = receiver(SPEAK.name)
    campaign = Campaign(**{**values, "start_url": start_url}, field_names=endpoint.field_names)
    # Signed for the name as it is sent, which may differ from the one that was given by whitespace or type.
    key = CampaignKey.of(campaign.campaign_name or "", endpoint.url, endpoint.login)
    if speech:
        campaign = replace(campaign, start_url=build_start_url(key, speech))
    if collect_results:
        campaign = replace(campaign, result_url=build_result_url(key, campaign.result_url))
    return campaign


def build_start_url(key: CampaignKey, speech: Speech) -> str:
    """Return the URL at the receiver of the script of a campaign, signed with the secret of Airflow's configuration.

    Raises :class:`QueueCallsError` if it cannot be made. Airflow's logs show it as ``***``.
    """
    from airflow_provider_queuecalls.records.results.joined_list import SELECTIONS
    from airflow_provider_queuecalls.records.results.next_list import can_select

    base, secrets = receiver(SPEAK.name)
    problem = rule = ""
    if speech.choices and settings.option("results_database") is None:
        problem = "needs [queuecalls] results_database, in which choices are stored"
        rule = "used with a results database in Airflow's configuration"
    elif taken := [choice for choice in speech.choices.values() if not can_select(choice)]:
        problem = f"has a choice that CallResultsOperator could not select: {show(taken[0]) or 'not shown'}"
        rule = f"a mapping to other choices than {', '.join(SELECTIONS)}, and what is similar to them"
    if problem:
        raise InvalidCampaign([Violation("speak['choices']", problem, rule, "this provider")])
    return _masked(script_url(base, key.digest, speech, secrets), secrets)


def script_secrets() -> tuple[str, ...]:
    """The secrets with which :func:`build_start_url` signs; none if it could not make a URL."""
    try:
        return receiver(SPEAK.name)[1]
    except QueueCallsError:
        return ()


def build_result_url(key: CampaignKey, result_url: object) -> str:
    """Return the URL at the receiver of the results of a campaign, as :func:`build_start_url` returns that of its script."""
    if not is_unset(result_url):
        problem, rule = "is given together with result_url", "given without one: it makes the result_url"
        raise InvalidCampaign([Violation("collect_results", problem, rule, "this provider")])
    base, secrets = receiver("collect_results")
    return _masked(results_url(base, key.digest, secrets), secrets)


def receiver(what: str) -> tuple[str, tuple[str, ...]]:
    """The public URL of the receiver, and the secrets that sign the URLs below it. Raises :class:`QueueCallsError`."""
    base = settings.option("results_url")
    if base is None:
        rule = "used with the public URL of a results receiver in Airflow's configuration"
        raise InvalidCampaign([Violation(what, "needs [queuecalls] results_url", rule, "this provider")])
    return base, read_secrets(settings.option("results_secret") or "")


def _masked(url: str, secrets: Sequence[str]) -> str:
    for secret in (*secrets, url.rpartition("/")[2]):
        mask(secret)
    return url
