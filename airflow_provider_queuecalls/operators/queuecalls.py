"""The operator: check the contact file, queue the campaign once, push the answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_queuecalls._airflow.compat import AirflowFailException, AirflowSkipException, BaseOperator
from airflow_provider_queuecalls._airflow.receipts import receipt_store
from airflow_provider_queuecalls._airflow.storage import LocalPath, Location, delivered, fetched
from airflow_provider_queuecalls.client.campaign import Campaign, default_campaign_name, is_unset, parse_flag
from airflow_provider_queuecalls.client.endpoint import DEFAULT_CONN_ID
from airflow_provider_queuecalls.contacts import CheckedContacts, ContactRules, Report, check
from airflow_provider_queuecalls.exceptions import (
    CheckFailed,
    EmptyContacts,
    InvalidCampaign,
    InvalidContacts,
    NotAccepted,
    NotSent,
    QueueCallsError,
    Refused,
    Violation,
    attach_campaign_name,
    clear_locals,
)
from airflow_provider_queuecalls.links.queuecalls import CampaignLink
from airflow_provider_queuecalls.outcome import Outcome
from airflow_provider_queuecalls.records.ledger import Attempt, Ledger
from airflow_provider_queuecalls.records.stores import NoStore

if TYPE_CHECKING:
    import jinja2
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_queuecalls._airflow.compat import Context
    from airflow_provider_queuecalls.client.response import Response
    from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook

#: What ``expected_digest`` says where every list will do.
ANY_DIGEST = "any"


class QueueCallsOperator(BaseOperator):
    """Queue a calling campaign from a contact file.

    Every parameter is templated, and takes what a template may render to: numbers and switches as texts, and
    ``''`` or ``'None'`` where a campaign parameter is not given.

    :param contacts: the contact file, rows of phone number, message_reference and call_parameter: a local path, a
        ``file://`` URL, or any URL or path of ObjectStoragePath, such as ``s3://conn@bucket/key``
    :param rejects_path: where to write a CSV of the rows that are left out, each with line and reason; the same
        kinds of paths. It is written before anything is sent, also if the check fails.
    :param expected_digest: the ``digest`` of an earlier dry run, whose counts somebody has approved: a list that differs
        by a byte is not sent, and fails the task. Default ``'any'``; a template that renders to nothing is an error.
    :param dry_run: do everything but the request. A template that renders to nothing is an error, not a no.
    :param resend: a person's decision to send a campaign that may have been sent before, or was; it counts once for
        a run and once more for every time that the task is cleared, not again for automatic retries
    :param receipts_path: a folder, local or at any URL, for one small JSON file per campaign name that says what was
        sent; default is ``[queuecalls] receipts_path`` of Airflow's configuration, else the task's own state
        (Airflow 3.3), which Clear discards from 3.4 on
    :param queuecalls_conn_id: the Connection, of type ``queuecalls``

    The campaign's parameters have the rules of :data:`airflow_provider_queuecalls.client.campaign.PARAMETERS`, those of the
    check the rules of :data:`airflow_provider_queuecalls.contacts.PARAMETERS`. ``campaign_name`` defaults to a name
    of the task instance that is the same on every try.

    Pushes to XCom a dict of ``outcome``, ``campaign_name``, ``contacts`` (the rows sent), ``rejected``,
    ``duplicates``, ``suppressed`` (the rows left out), ``call_ids`` (the first 1,000), ``call_id_count``, ``digest``, ``queued_at``, ``dry_run`` and ``response`` (the
    beginning of the answer, without secrets and people's data); and before the request ``campaign_url``, where the
    connection has one.

    Fails without a retry where a retry is no use or might call people twice; only
    :class:`~airflow_provider_queuecalls.exceptions.NotSent`,
    :class:`~airflow_provider_queuecalls.exceptions.NotAccepted` and
    :class:`~airflow_provider_queuecalls.exceptions.CheckFailed` are left to Airflow's retries. With
    ``on_empty="skip"`` the task is skipped where there is nobody to call.
    """

    template_fields: Sequence[str] = (
        *("contacts", *Campaign.names(), *ContactRules.names()),
        *("rejects_path", "expected_digest", "dry_run", "resend", "receipts_path", "queuecalls_conn_id"),
    )
    operator_extra_links = (CampaignLink(),)
    #: Rendered, these may name a person: Airflow stores rendered fields and shows them.
    hidden_fields: Sequence[str] = ("message_reference", "call_parameters")
    ui_color = "#d9ece6"
    #: The result so far, for OpenLineage; None before the contact file has been checked.
    _known: dict[str, Any] | None = None
    #: The files that were read, for the same.
    _read: Sequence[Location] = ()

    def __init__(
        self,
        *,
        contacts: Location,
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
        phone_format: str = "nanp",
        normalize: bool | str = False,
        has_header: bool | str = False,
        columns: Mapping[str, str] | str | None = None,
        delimiter: str = ",",
        quoting: str = "refuse",
        on_invalid: str = "fail",
        max_rejects: int | str | None = None,
        duplicates: str = "fail",
        suppress: Sequence[Location] | Location | None = None,
        suppress_max_age: timedelta | int | str | None = None,
        on_empty: str = "fail",
        rejects_path: Location | None = None,
        expected_digest: str = ANY_DIGEST,
        dry_run: bool | str = False,
        resend: bool | str = False,
        receipts_path: Location | None = None,
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
        self.phone_format = phone_format
        self.normalize = normalize
        self.has_header = has_header
        self.columns = columns
        self.delimiter = delimiter
        self.quoting = quoting
        self.on_invalid = on_invalid
        self.max_rejects = max_rejects
        self.duplicates = duplicates
        self.suppress = suppress
        self.suppress_max_age = suppress_max_age
        self.on_empty = on_empty
        self.rejects_path = rejects_path
        self.expected_digest = expected_digest
        # Hides BaseOperator.dry_run(), which only `airflow tasks test --dry-run` calls.
        self.dry_run = dry_run  # type: ignore[method-assign,assignment]
        self.resend = resend
        self.receipts_path = receipts_path
        self.queuecalls_conn_id = queuecalls_conn_id

    @cached_property
    def hook(self) -> QueueCallsHook:
        """The hook for this operator's Connection."""
        from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook

        return QueueCallsHook(self.queuecalls_conn_id)

    @clear_locals()
    def execute(self, context: Context) -> dict[str, Any]:
        """Check the contact file, queue the campaign, and return what goes to XCom."""
        with self._retried_only_if_safe(), ExitStack() as stack:
            dry_run, resend = (parse_flag(name, getattr(self, name)) for name in ("dry_run", "resend"))
            expected_digest = _parse_digest(self.expected_digest)
            campaign = self._campaign(context)
            stack.enter_context(attach_campaign_name(campaign.campaign_name))
            checked = stack.enter_context(self._check(context))
            self._known = _result(campaign, checked.report, None)
            _assert_expected(checked.report, expected_digest)
            if dry_run:
                self.log.info(
                    "Dry run: campaign of %s contacts was not sent: %s",
                    f"{checked.report.valid:,}",
                    campaign.campaign_name,
                )
                return self._known
            # Before the request: where its outcome stays unknown, people need the link most.
            CampaignLink.push(context, self.hook.endpoint.url_of_campaign(str(campaign.campaign_name)))
            with self._outcome_noted(self._known):
                self._known = self._send_once(
                    campaign, checked, self._ledger(context, checked, campaign, resend=resend)
                )
            return self._known

    def on_kill(self) -> None:
        """Break off a request that is under way; the task then fails, and says that its outcome is not known."""
        self.hook.close()

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:  # noqa: ARG002
        """Tell OpenLineage which files became which campaign; of a task that failed, too."""
        from airflow_provider_queuecalls._airflow.lineage import campaign_lineage

        if self._known is None:
            return None
        return campaign_lineage(
            self._known,
            self.hook.endpoint.url,
            read=self._read,
            written=[] if is_unset(self.rejects_path) or self.rejects_path is None else [self.rejects_path],
        )

    def _campaign(self, context: Context) -> Campaign:
        values = {name: revealed(getattr(self, name)) for name in Campaign.names()}
        if is_unset(values["campaign_name"]):
            ti = context["ti"]
            values["campaign_name"] = default_campaign_name(ti.dag_id, ti.task_id, ti.run_id, ti.map_index)
        campaign = Campaign(**values, field_names=self.hook.endpoint.field_names)
        for warning in campaign.warnings():
            self.log.warning(warning)
        return campaign

    def _ledger(self, context: Context, checked: CheckedContacts, campaign: Campaign, *, resend: bool) -> Ledger:
        """The record of what was sent under this campaign's name."""
        name = str(campaign.campaign_name)
        if (store := receipt_store(context, self.receipts_path, name)) is None:
            self.log.warning(
                "Nothing remembers what this task has sent: if the worker dies, or somebody clears the task, it sends "
                "again. Set receipts_path, or [queuecalls] receipts_path in Airflow's configuration."
            )
        ti = context["ti"]
        attempt = Attempt(
            campaign_name=name,
            digest=checked.report.digest or "",
            contacts=checked.report.valid,
            try_number=ti.try_number,
            # Clear raises max_tries, a retry doesn't.
            resend_scope=f"{ti.dag_id}/{ti.run_id}/{ti.task_id}/{ti.map_index}/{ti.max_tries}",
            resend=resend,
        )
        return Ledger(store or NoStore(), attempt)

    def _send_once(self, campaign: Campaign, checked: CheckedContacts, ledger: Ledger) -> dict[str, Any]:
        """Send the campaign unless it is on record, and put on record that it was sent."""
        if (stored := ledger.settled()) is not None:
            self.log.warning(
                "Campaign %s was queued already, at %s. Nothing was sent again.",
                stored["campaign_name"],
                stored["queued_at"],
            )
            return dict(stored)
        try:
            answer = self.hook.queue_calls(checked.upload, campaign, before_first_byte=ledger.record_intent)
        except (NotSent, NotAccepted, Refused):
            self._keep_record(ledger.withdraw, "is not queued, so the next try will stop without need")
            raise
        result = _result(campaign, checked.report, answer)
        self._keep_record(
            lambda: ledger.record_receipt(result), "is queued, so don't send it again by clearing this task with resend"
        )
        self._log_outcome(campaign, checked.report, answer)
        return result

    def _keep_record(self, update: Callable[[], None], meaning: str) -> None:
        """Update the ledger. That it fails changes nothing of what became of the campaign, but must be said."""
        try:
            update()
        except Exception as error:  # noqa: BLE001  # each store has errors of its own, whose words may hold credentials
            self.log.error(
                "The record of this campaign could not be updated (%s), and says that its outcome is not known. It %s.",
                type(error).__name__, meaning,
            )  # fmt: skip

    @contextmanager
    def _contact_file(self, context: Context) -> Iterator[tuple[LocalPath, ContactRules]]:  # noqa: ARG002 - for others
        """The contact file on this machine, wherever it comes from, and the rules to check it by."""
        rules = self._rules()
        with self._fetched(self.contacts) as contacts:
            yield contacts, rules

    def _fetched(self, contacts: Location) -> AbstractContextManager[LocalPath]:
        self._read = [contacts]
        return fetched(contacts, "The contact file", self.log.info)

    def _rules(self, **others: Any) -> ContactRules:
        return ContactRules(**{name: getattr(self, name) for name in ContactRules.names()} | others)

    def _check(self, context: Context) -> CheckedContacts:
        """Check the contact file. What is given back is open, so copies may go."""
        self._read = ()
        with ExitStack() as stack:
            contacts, rules = stack.enter_context(self._contact_file(context))
            self._read = [*self._read, *rules.lists]
            lists = [stack.enter_context(fetched(path, "The do-not-call list", self.log.info)) for path in rules.lists]
            rejects = stack.enter_context(delivered(self.rejects_path, "The rejects file"))
            checked = check(contacts, replace(rules, suppress=lists), rejects_path=rejects)
        self.log.info("Checked %s: %s", checked.upload.name, checked.report.summary())
        return checked

    def _log_outcome(self, campaign: Campaign, report: Report, answer: Response) -> None:
        self.log.info(
            "Queued campaign of %s contacts with %s call ids: %s",
            f"{report.valid:,}",
            f"{answer.call_id_count:,}",
            campaign.campaign_name,
        )
        if answer.call_id_count < report.valid:
            self.log.warning(
                "The service gave %s call ids for %s contacts. Nothing is sent again: compare the campaign with the list.",
                answer.call_id_count, report.valid,
            )  # fmt: skip

    @contextmanager
    def _outcome_noted(self, known: dict[str, Any]) -> Iterator[None]:
        """Take the outcome for unknown until an answer or an error tells it."""
        known["outcome"] = Outcome.UNKNOWN.value
        try:
            yield
        except QueueCallsError as error:
            known["outcome"] = error.outcome.value
            raise

    @contextmanager
    def _retried_only_if_safe(self) -> Iterator[None]:
        """Leave to Airflow's retries what is known not to have reached the service, and end the task on the rest."""
        try:
            yield
        except NotAccepted as error:
            self._wait_before_retry(error.retry_after)
            raise
        except (NotSent, CheckFailed):
            raise
        except EmptyContacts as error:
            raise AirflowSkipException(str(error)) from error
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
        for name in self.hidden_fields if parent is self else ():
            if not is_unset(value := getattr(self, name)):
                setattr(self, name, Hidden(value))


class Hidden:
    """A rendered value that Airflow shows as ``***``."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return "***"


def revealed(value: Any) -> Any:
    """The value itself, of a field that is hidden."""
    return value.value if isinstance(value, Hidden) else value


def _parse_digest(value: object) -> str:
    """Read a digest that templating yields. An empty one is an error: it would let any list pass for the approved one."""
    text = value.strip() if isinstance(value, str) else ""
    if text == ANY_DIGEST or re.fullmatch("sha256:[0-9a-f]{64}", text):
        return text
    problem = "is empty" if is_unset(value) else "is no digest"
    rule = f"{ANY_DIGEST!r}, or the digest that a check has found: sha256: and 64 hexadecimal digits"
    raise InvalidCampaign([Violation("expected_digest", problem, rule, "this provider")])


def _assert_expected(report: Report, expected_digest: str) -> None:
    if expected_digest not in (ANY_DIGEST, report.digest):
        raise InvalidContacts(
            f"The list is not the expected one: its digest is {report.digest}, and expected_digest is "
            f"{expected_digest}. Nothing was sent. The contact file, a do-not-call list or a rule of the check has "
            "changed since that check: check again, and have the new list approved.",
            report=report,
        )


def _result(campaign: Campaign, report: Report, answer: Response | None) -> dict[str, Any]:
    return {
        "outcome": (answer.outcome if answer else Outcome.NOT_SENT).value,
        "campaign_name": campaign.campaign_name,
        "contacts": report.valid,
        "rejected": report.rejected,
        "duplicates": report.duplicates,
        "suppressed": report.suppressed,
        "call_ids": list(answer.call_ids) if answer else [],
        "call_id_count": answer.call_id_count if answer else 0,
        "digest": report.digest,
        "queued_at": datetime.now(timezone.utc).isoformat(timespec="seconds") if answer else None,
        "dry_run": answer is None,
        "response": answer.body if answer else None,
    }
