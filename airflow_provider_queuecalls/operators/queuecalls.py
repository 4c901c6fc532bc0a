"""The operator: check the contact file, queue the campaign once, push the answer."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_queuecalls._compat import AirflowFailException, BaseOperator
from airflow_provider_queuecalls.campaign import Campaign, default_campaign_name, is_unset, parse_flag
from airflow_provider_queuecalls.connection import DEFAULT_CONN_ID
from airflow_provider_queuecalls.contacts import Report, check, open_contacts
from airflow_provider_queuecalls.exceptions import NotAccepted, NotSent, QueueCallsError, about

if TYPE_CHECKING:
    import jinja2

    from airflow_provider_queuecalls._compat import Context
    from airflow_provider_queuecalls.answer import Answer
    from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook


class QueueCallsOperator(BaseOperator):
    """Queue a calling campaign from a contact file.

    Every parameter is templated, and takes what a template may render to: numbers and switches as texts, and
    ``''`` or ``'None'`` where a campaign parameter is not given.

    :param contacts: path of the contact file on the worker: rows of phone number, message_reference and
        call_parameter, without a header line
    :param dry_run: do everything but the request. A template that renders to nothing is an error, not a no.
    :param queuecalls_conn_id: the Connection, of type ``queuecalls``

    The others are the campaign's, with the rules of :data:`airflow_provider_queuecalls.campaign.PARAMETERS`.
    ``campaign_name`` defaults to a name of the task instance that is the same on every try.

    Pushes to XCom a dict of ``outcome``, ``campaign_name``, ``contacts``, ``rejected``, ``duplicates``, ``suppressed``,
    ``call_ids`` (the first 1,000), ``call_id_count``, ``digest``, ``queued_at``, ``dry_run`` and ``response`` (the
    beginning of the answer, without secrets and people's data).

    Fails without a retry where a retry is no use or might call people twice; only
    :class:`~airflow_provider_queuecalls.exceptions.NotSent` and
    :class:`~airflow_provider_queuecalls.exceptions.NotAccepted` are left to Airflow's retries.
    """

    template_fields: Sequence[str] = ("contacts", *Campaign.names(), "dry_run", "queuecalls_conn_id")
    ui_color = "#d9ece6"

    def __init__(
        self,
        *,
        contacts: str | os.PathLike[str],
        start_url: str,
        result_url: str | None = None,
        campaign_name: str | None = None,
        message_reference: str | int | None = None,
        call_parameters: str | int | None = None,
        max_retries: int | str | None = None,
        retry_interval: int | str | None = None,
        scheduled_timestamp: int | str | datetime | None = None,
        expiration_timestamp: int | str | datetime | None = None,
        scheduled_time: str | None = None,
        expiration_time: str | None = None,
        secure: bool | int | str | None = None,
        dry_run: bool | str = False,
        queuecalls_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.contacts = contacts
        self.start_url = start_url
        self.result_url = result_url
        self.campaign_name = campaign_name
        self.message_reference = message_reference
        self.call_parameters = call_parameters
        self.max_retries = max_retries
        self.retry_interval = retry_interval
        self.scheduled_timestamp = scheduled_timestamp
        self.expiration_timestamp = expiration_timestamp
        self.scheduled_time = scheduled_time
        self.expiration_time = expiration_time
        self.secure = secure
        # Hides BaseOperator.dry_run(), which only `airflow tasks test --dry-run` calls.
        self.dry_run = dry_run  # type: ignore[method-assign,assignment]
        self.queuecalls_conn_id = queuecalls_conn_id

    @cached_property
    def hook(self) -> QueueCallsHook:
        """The hook for this operator's Connection."""
        from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook

        return QueueCallsHook(self.queuecalls_conn_id)

    def execute(self, context: Context) -> dict[str, Any]:
        """Check the contact file, queue the campaign, and return what goes to XCom."""
        with self._retried_only_if_safe():
            dry_run = parse_flag("dry_run", self.dry_run)
            campaign = self._campaign(context)
            with about(campaign.campaign_name), open_contacts(self.contacts) as upload:
                report = check(upload)
                self.log.info("Checked %s: %s contacts, %s bytes", upload.name, report.contacts, upload.size)
                answer = None if dry_run else self.hook.queue_calls(replace(upload, digest=report.digest), campaign)
        self._log_outcome(campaign, report, answer)
        return _result(campaign, report, answer)

    def on_kill(self) -> None:
        """Break off a request that is under way; the task then fails, and says that its outcome is not known."""
        self.hook.close()

    def _campaign(self, context: Context) -> Campaign:
        values = {name: _shown(getattr(self, name)) for name in Campaign.names()}
        if is_unset(values["campaign_name"]):
            ti = context["ti"]
            values["campaign_name"] = default_campaign_name(ti.dag_id, ti.task_id, ti.run_id, ti.map_index)
        campaign = Campaign(**values, field_names=self.hook.endpoint.field_names)
        for warning in campaign.warnings():
            self.log.warning(warning)
        return campaign

    def _log_outcome(self, campaign: Campaign, report: Report, answer: Answer | None) -> None:
        if answer is None:
            self.log.info("Dry run: campaign %s with %s contacts was not sent", campaign.campaign_name, report.contacts)
            return
        self.log.info(
            "Queued campaign %s: %s contacts, %s call ids",
            campaign.campaign_name,
            report.contacts,
            answer.call_id_count,
        )
        if answer.call_id_count < report.contacts:
            self.log.warning(
                "The service gave %s call ids for %s contacts. Nothing is sent again: compare the campaign with the list.",
                answer.call_id_count, report.contacts,
            )  # fmt: skip

    @contextmanager
    def _retried_only_if_safe(self) -> Iterator[None]:
        """Leave to Airflow's retries what is known not to have reached the service, and end the task on the rest."""
        try:
            yield
        except NotAccepted as error:
            self._wait_before_retry(error.retry_after)
            raise
        except NotSent:
            raise
        except QueueCallsError as error:
            raise AirflowFailException(str(error)) from error

    def _wait_before_retry(self, seconds: float | None) -> None:
        """Let Airflow wait as long as the service asked for, where it can (3.3) and nobody chose a policy."""
        if seconds is not None and getattr(self, "retry_policy", self) is None:
            from airflow.sdk.definitions.retry_policy import ExceptionRetryPolicy, RetryRule

            rule = RetryRule(NotAccepted, retry_delay=timedelta(seconds=seconds), reason="The service asked to wait")
            self.retry_policy = ExceptionRetryPolicy(rules=[rule])

    def _do_render_template_fields(
        self,
        parent: Any,
        template_fields: Iterable[str],
        context: Context,
        jinja_env: jinja2.Environment,
        seen_oids: set[int],
    ) -> None:
        super()._do_render_template_fields(parent, template_fields, context, jinja_env, seen_oids)
        for name in HIDDEN_FIELDS if parent is self else ():
            if not is_unset(value := getattr(self, name)):
                setattr(self, name, Hidden(value))


#: Rendered, these may name a person: Airflow stores rendered fields and shows them.
HIDDEN_FIELDS = ("message_reference", "call_parameters")


class Hidden:
    """A rendered value that Airflow shows as ``***``."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return "***"


def _shown(value: Any) -> Any:
    return value.value if isinstance(value, Hidden) else value


def _result(campaign: Campaign, report: Report, answer: Answer | None) -> dict[str, Any]:
    return {
        "outcome": answer.outcome.value if answer else "not sent",
        "campaign_name": campaign.campaign_name,
        "contacts": report.contacts,
        "rejected": 0,
        "duplicates": 0,
        "suppressed": 0,
        "call_ids": list(answer.call_ids) if answer else [],
        "call_id_count": answer.call_id_count if answer else 0,
        "digest": report.digest,
        "queued_at": datetime.now(timezone.utc).isoformat(timespec="seconds") if answer else None,
        "dry_run": answer is None,
        "response": answer.body if answer else None,
    }
