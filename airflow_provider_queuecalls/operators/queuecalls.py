"""The operator: check the contact file, send the campaign once, push the result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import datetime, timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from airflow_provider_queuecalls._airflow.campaigns import build_campaign, name_of_campaign
from airflow_provider_queuecalls._airflow.compat import BaseOperator
from airflow_provider_queuecalls._airflow.delivering import delivering
from airflow_provider_queuecalls._airflow.hidden_fields import HidesFields, revealed
from airflow_provider_queuecalls._airflow.question import OnUnknown, ask_if_unknown, read_parameters, record_answer
from airflow_provider_queuecalls._airflow.receipts import ledger_opener, records_at, try_of
from airflow_provider_queuecalls._airflow.results import page_of_campaign, update_campaign_row
from airflow_provider_queuecalls._airflow.retries import retried_only_if_safe
from airflow_provider_queuecalls._airflow.storage import (
    ContactFile,
    LocalPath,
    Location,
    fetched,
    suppression_lists_fetched,
    writable_copy,
)
from airflow_provider_queuecalls.client.campaign import Campaign
from airflow_provider_queuecalls.client.endpoint import DEFAULT_CONN_ID
from airflow_provider_queuecalls.contacts import ContactRules
from airflow_provider_queuecalls.contacts.rules import (
    Delimiter,
    Duplicates,
    OnEmpty,
    OnInvalid,
    PhoneFormat,
    Quoting,
    UnknownZone,
)
from airflow_provider_queuecalls.delivery import ANY_DIGEST, deliver, parse_digest
from airflow_provider_queuecalls.exceptions import QueueCallsError, attach_campaign_name, clear_locals
from airflow_provider_queuecalls.links.queuecalls import CampaignLink
from airflow_provider_queuecalls.parameters import is_unset
from airflow_provider_queuecalls.records.sent.entry import OUTCOMES, CampaignKey
from airflow_provider_queuecalls.records.sent.ledger import Ledger, OpenLedger
from airflow_provider_queuecalls.stopping import StopRequest
from airflow_provider_queuecalls.value_types import parse_flag

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_queuecalls._airflow.compat import Context
    from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook

__all__ = ["QueueCallsOperator"]


class QueueCallsOperator(HidesFields, BaseOperator):
    """Queue a calling campaign from a contact file.

    Every parameter is templated, and accepts what a template renders: numbers and switches as text, and ``''`` or
    ``'None'`` for a parameter that is not set, unless it says that this is an error.

    :param contacts: The contact file, with rows of phone number, message_reference, and call_parameter. Accepts a local
        path, a ``file://`` URL, or any path or URL of ObjectStoragePath, such as ``s3://conn@bucket/key``. Required.
    :param rejects_path: Where to write the rejects as CSV, each with line and reason. Accepts what ``contacts`` accepts.
        It is written before anything is sent, also if the check fails. Default: not written.
    :param expected_digest: Send only the list with this digest, which a dry run has returned and a person has approved.
        Accepts ``'any'``, or ``sha256:`` and 64 hexadecimal digits. A value that renders to an empty string is an error.
        Default: ``'any'``.
    :param dry_run: Do everything except the request. Accepts true or false. A value that renders to an empty string is
        an error. Default: ``False``.
    :param resend: Send a campaign that was sent before, or may have been. ``True`` sends once per run, and once more each
        time the task is cleared. Automatic retries never resend. Accepts true or false. A value that renders to an empty
        string is an error. Default: ``False``.
    :param on_unknown: What to do if nothing shows whether the campaign was queued. ``'fail'``: fail the task;
        ``'ask'``: ask under *Required Actions* in Airflow 3.1 or later, without a worker, and do as the person answers.
        Default: ``'fail'``.
    :param answer_timeout: How long to wait for the person's answer; the task fails after that. Requires
        on_unknown='ask'. Accepts a timedelta, a number of hours, or a string such as '2 days' or 'PT12H'. Default:
        until the run ends.
    :param receipts_path: The folder for the records of what was sent. Accepts an absolute path of a folder that
        ``queuecalls records init`` has made, any URL of ObjectStoragePath, ``'database'`` for the results database if it
        is PostgreSQL, or ``'none'`` to keep no record. Default:
        ``[queuecalls] receipts_path`` of Airflow's configuration; without it, the task's own state (Airflow 3.3 and later),
        which Clear discards from 3.4 on. Airflow before 3.3 has none, so the task fails and sends nothing.
    :param collect_results: Make the ``result_url`` of the campaign: that of the receiver at ``[queuecalls] results_url`` of
        Airflow's configuration, signed with ``results_secret``. It appears in no log, rendered template, or XCom. Accepts true or
        false. A value that renders to an empty string is an error. Default: ``False``.
    :param queuecalls_conn_id: The Airflow connection, of type ``queuecalls``. Default: ``'queuecalls_default'``.
    :param start_url: The VoiceXML script that runs when a call connects. Accepts an absolute http(s) URL without
        credentials, whitespace, or control characters, of at most 255 bytes in UTF-8. Default: none; give it or speak.
    :param result_url: Where the service posts the result of each call, after the call or its last failed attempt.
        Accepts an absolute http(s) URL without credentials, whitespace, or control characters, of at most 255 bytes in
        UTF-8. Default: not sent.
    :param campaign_name: The unique name of the new campaign. Accepts a string without control characters. Default: in
        an operator, a name of the task instance that is the same on every try.
    :param message_reference: Text that is posted to start_url with every call. Never shown. Accepts a string of at most
        255 bytes in UTF-8. Default: not sent.
    :param call_parameters: Further text that is posted to start_url with every call. Never shown. Accepts a string of
        at most 255 bytes in UTF-8. Default: not sent.
    :param max_retries: How many further attempts the service makes to call a number that was not reached. Accepts a
        whole number from 0 to 10. Default: not sent.
    :param retry_interval: The time between two attempts to call a number. Accepts a timedelta, a number of seconds, or
        a string such as '15 minutes' or 'PT15M', from 60 to 172,800 seconds. Default: not sent.
    :param scheduled_timestamp: When the calls start; 0 starts them at once. Accepts a datetime with a time zone, an ISO
        8601 time with an offset or the name of a time zone, a UNIX time in seconds, or 0. Default: not sent.
    :param expiration_timestamp: When the service stops calling, whether or not everybody was reached; 0 is never.
        Accepts a datetime with a time zone, an ISO 8601 time with an offset or the name of a time zone, a UNIX time in
        seconds, or 0. Default: not sent.
    :param scheduled_time: An alternative to scheduled_timestamp that the service interprets. Accepts a time expression
        of the service, such as '+3 days' or 'oct 14th, 2026 11:05PM EST', of at most 80 bytes in UTF-8. Default: not
        sent.
    :param expiration_time: An alternative to expiration_timestamp that the service interprets. Accepts a time
        expression of the service, such as '+3 days' or 'oct 14th, 2026 11:05PM EST', of at most 80 bytes in UTF-8.
        Default: not sent.
    :param secure: Run connected calls in the service's HIPAA/PCI environment. The name of its form field is not
        documented: ask the service for it and set field_names in the connection's extra. Accepts true or false.
        Default: not sent.
    :param start_late: How long after scheduled_timestamp the campaign may still be sent; its calls then start at once.
        Later than that it is sent only if it has an expiration_timestamp in the future. Accepts a timedelta, a number
        of minutes, a string such as '2 hours' or 'PT2H', or 'any'. Default: 15 minutes.
    :param phone_format: How phone numbers are written in the file. ``'nanp'``: 1 and ten digits of the North American
        Numbering Plan; ``'vendor'``: every spelling that the service documents. Default: ``'nanp'``.
    :param normalize: Rewrite common spellings of a phone number into the one that is sent. Accepts true or false.
        Default: ``False``.
    :param has_header: The first row names the columns, which may come in any order. Accepts true or false. Default:
        ``False``.
    :param columns: The names of the columns in the file. Requires has_header=True. With calling_hours, the column
        time_zone names the zone (America/Denver) or the state (CO) of each row, if the file has it. Accepts a mapping
        such as {'phone_number': 'Mobile'}, from phone_number, message_reference, call_parameter, or time_zone to names
        in the header line, or to None for a column that is not sent. Default: their own names.
    :param delimiter: The character that separates the cells of the file. Accepts ',', ';', '|', or 'tab'. Default:
        ``','``.
    :param quoting: Whether a cell may be quoted as in RFC 4180. ``'refuse'``: a row with a quote is rejected;
        ``'allow'``: quotes are read as in RFC 4180, and sent only where a cell needs them. Default: ``'refuse'``.
    :param on_invalid: What to do with rows that are rejected. ``'fail'``: fail the task; ``'skip'``: leave these rows
        out. Default: ``'fail'``.
    :param max_rejects: The most rows that may be rejected; with more of them, the task fails. Requires
        on_invalid='skip'. Accepts a count such as 5, or a percentage of the rows such as '2%'. Default: no limit.
    :param duplicates: What to do with a phone number that occurs more than once. ``'fail'``: fail the task; ``'drop'``:
        keep its first row only; ``'keep'``: keep all of its rows. Default: ``'fail'``.
    :param suppress: Suppression lists (do-not-call lists): contacts with these phone numbers are left out. A value that
        renders to an empty string is an error, and so is an empty list. Accepts a path or URL, or a list of them.
        Default: none.
    :param suppress_max_age: The longest time since a suppression list, or the oldest source of a built one, was last
        changed; with an older one, the task fails. Requires suppress. A value that renders to an empty string is an
        error. Accepts a timedelta, a number of days, or a string such as '31 days' or 'PT12H'. Default: no limit.
    :param on_empty: What to do if the contact file has no rows. If all rows are left out, the task fails. ``'fail'``:
        fail the task; ``'skip'``: skip the task. Default: ``'fail'``.
    :param calling_hours: The hours in which people may be called, by their own clocks. A row is rejected unless they
        cover the whole campaign; without an expiration_timestamp, the campaign gets the latest one that is right for
        all rows. A value that renders to an empty string is an error. Accepts hours such as '08:00-21:00', the name of
        a set ('us-federal', 'us-strict', or 'ca-crtc'), a mapping from days or states to hours, or a list of these.
        Default: not checked.
    :param unknown_zone: What to do with phone numbers whose time zone is not known, if calling_hours is set.
        ``'fail'``: fail the task; ``'skip'``: reject these rows only; ``'strictest'``: call them within the hours of
        all places in the US and Canada only. Default: ``'fail'``.
    :param max_per_period: How often a number may be called in a period of time, by all campaigns that have a limit.
        Requires [queuecalls] results_database and results_secret. A contact who would be called more often is rejected.
        A value that renders to an empty string is an error. Accepts a number of calls from 1 to 999,999, '/', and a
        period in hours or days of at most 366 days, such as '3/24h' or '5/7d'. Default: [queuecalls] max_per_period of
        Airflow's configuration; if that is not set, there is no limit.
    :param speak: Let the service speak the call_parameter of each contact, or the call_parameters of the campaign if a
        contact has none, instead of running a script of your own at start_url. The receiver at [queuecalls] results_url
        of Airflow's configuration serves the script. Accepts true or false, or a mapping with any of language, repeat,
        choices, prompts. Default: a script at start_url.

    Pushes a dict to XCom: ``outcome``, ``campaign_key`` (a digest of service, account, and name, under which its results
    are stored), ``campaign_name``, ``contacts`` (how many were sent), ``rejected``, ``duplicates``, ``suppressed``,
    ``call_ids`` (the first 1,000), ``call_id_count``, ``digest``, ``queued_at``, ``expiration_timestamp`` (a UNIX time, or
    None), ``calls_from`` (with calling hours: when calls may start, as a UNIX time), ``zones`` (with calling hours: the
    counts by time zone), ``dry_run``, and ``response`` (what may be shown of the response). The URL of the link to
    the campaign is pushed before the request under the key ``campaign_url``: that of the connection's ``campaign_url``, else
    that of the campaign's page if there is a results database. Without a URL, Airflow 3 stores ``''`` there, and Airflow 2
    nothing.

    Airflow's retries apply to :class:`~airflow_provider_queuecalls.exceptions.NotSent`,
    :class:`~airflow_provider_queuecalls.exceptions.NotAccepted`, and
    :class:`~airflow_provider_queuecalls.exceptions.CheckFailed`. All other errors fail the task without a retry, because
    a retry cannot help or might call people twice.
    """

    template_fields: Sequence[str] = (
        *("contacts", *Campaign.names(), *ContactRules.names()),
        *("rejects_path", "expected_digest", "dry_run", "resend", "on_unknown", "answer_timeout", "receipts_path"),
        *("max_per_period", "collect_results", "speak", "queuecalls_conn_id"),
    )
    operator_extra_links = (CampaignLink(),)
    #: The link's URL, empty until it is known: Airflow 3 asks for the link on the worker when the task has ended.
    campaign_url = ""
    #: Rendered, these may name a person.
    hidden_fields: Sequence[str] = ("message_reference", "call_parameters")
    ui_color = "#d9ece6"
    #: The result and its source files, for OpenLineage, which asks after the task has ended, also if it failed.
    _delivered: tuple[Mapping[str, Any], Sequence[Location]] | None = None

    def __init__(
        self,
        *,
        contacts: Location,
        start_url: str | None = None,
        speak: Mapping[str, Any] | bool | str | None = None,
        result_url: str | None = None,
        campaign_name: str | None = None,
        message_reference: str | int | None = None,
        call_parameters: str | int | None = None,
        max_retries: int | str | None = None,
        retry_interval: timedelta | int | str | None = None,
        scheduled_timestamp: int | str | datetime | None = None,
        expiration_timestamp: int | str | datetime | None = None,
        scheduled_time: str | None = None,
        expiration_time: str | None = None,
        secure: bool | int | str | None = None,
        start_late: timedelta | int | str = "15 minutes",
        phone_format: PhoneFormat | str = "nanp",
        normalize: bool | str = False,
        has_header: bool | str = False,
        columns: Mapping[str, str | None] | str | None = None,
        delimiter: Delimiter | str = ",",
        quoting: Quoting | str = "refuse",
        on_invalid: OnInvalid | str = "fail",
        max_rejects: int | str | None = None,
        duplicates: Duplicates | str = "fail",
        suppress: Sequence[Location] | Location | None = None,
        suppress_max_age: timedelta | int | str | None = None,
        on_empty: OnEmpty | str = "fail",
        calling_hours: Mapping[str, Any] | Sequence[Any] | str | None = None,
        unknown_zone: UnknownZone | str = "fail",
        max_per_period: str | None = None,
        rejects_path: Location | None = None,
        expected_digest: str = ANY_DIGEST,
        dry_run: bool | str = False,
        resend: bool | str = False,
        on_unknown: OnUnknown | str = "fail",
        answer_timeout: timedelta | int | str | None = None,
        receipts_path: Location | None = None,
        collect_results: bool | str = False,
        queuecalls_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.stop = StopRequest()
        self.contacts = contacts
        self.start_url = start_url
        self.speak = speak
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
        self.start_late = start_late
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
        self.calling_hours = calling_hours
        self.unknown_zone = unknown_zone
        self.max_per_period = max_per_period
        self.rejects_path = rejects_path
        self.expected_digest = expected_digest
        # Hides BaseOperator.dry_run(), which only `airflow tasks test --dry-run` calls.
        self.dry_run = dry_run  # type: ignore[method-assign,assignment]
        self.resend = resend
        self.on_unknown = on_unknown
        self.answer_timeout = answer_timeout
        self.receipts_path = receipts_path
        self.collect_results = collect_results
        self.queuecalls_conn_id = queuecalls_conn_id

    @cached_property
    def hook(self) -> QueueCallsHook:
        """The hook for this operator's Connection."""
        from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook

        return QueueCallsHook(self.queuecalls_conn_id, stop=self.stop)

    @clear_locals()
    def execute(self, context: Context) -> dict[str, Any]:
        """Check the contact file, send the campaign, and return what goes to XCom."""
        with retried_only_if_safe(self), ExitStack() as stack:
            dry_run, resend, collect_results = (
                parse_flag(name, getattr(self, name)) for name in ("dry_run", "resend", "collect_results")
            )
            expected_digest = parse_digest(self.expected_digest)
            asking = read_parameters({"on_unknown": self.on_unknown, "answer_timeout": self.answer_timeout})
            campaign = self._campaign(context, collect_results)
            stack.enter_context(attach_campaign_name(campaign.campaign_name))
            this_try = try_of(context["ti"], resend=resend)
            open_store = records_at(self.receipts_path, self.log, dry_run=dry_run, context=context)
            open_ledger, configured = stack.enter_context(
                delivering(
                    campaign,
                    self.hook.endpoint,
                    open_store,
                    this_try,
                    max_per_period=self.max_per_period,
                    log=self.log,
                    ti=context["ti"],
                    collects_results=collect_results,
                )
            )
            contacts = stack.enter_context(self._contact_file(context))
            rules = stack.enter_context(suppression_lists_fetched(contacts.rules, self._fetched))
            open_ledger = partial(self._push_link_and_open, context, open_ledger)
            sources = [*contacts.sources, *contacts.rules.suppression_lists]
            stack.enter_context(
                ask_if_unknown(self, context, self.hook.client, open_ledger, parameters=asking, sources=sources)
            )
            try:
                delivery = deliver(
                    campaign,
                    contacts.path,
                    self.hook.client,
                    open_ledger,
                    rules=rules,
                    rejects=writable_copy(self.rejects_path, "The rejects file", self.stop),
                    expected_digest=expected_digest,
                    dry_run=dry_run,
                    **configured,
                )
            except QueueCallsError as error:
                self._delivered = error.delivery and (error.delivery.result, sources)
                raise
            self._delivered = delivery.result, sources
            return delivery.result

    @clear_locals()
    def execute_answer(
        self,
        context: Context,
        event: Mapping[str, Any],
        *,
        key: Mapping[str, str],
        generation: int,
        known: Mapping[str, Any],
        sources: Sequence[str],
    ) -> dict[str, Any]:
        """Put a person's answer on record, and do as they say. Airflow calls this when they have answered."""
        self._delivered = known, sources
        with retried_only_if_safe(self):
            open_store = records_at(self.receipts_path, self.log, context=context)
            open_ledger = ledger_opener(open_store, try_of(context["ti"], resend=False), self.log)
            ledger = self._push_link_and_open(context, open_ledger, CampaignKey(**key))
            entry = record_answer(event, ledger, generation, known)
        update_campaign_row(entry)
        outcome = OUTCOMES[entry.state]
        self.log.info("%s answered that campaign %s is %s.", entry.resolved_by, entry.campaign_name, outcome)
        if entry.result is not None:
            self._delivered = entry.result, sources
            return dict(entry.result)
        # Do not ask a second time: Airflow would show the first question again.
        self.on_unknown, self.answer_timeout = "fail", None
        return self.execute(context)

    def on_kill(self) -> None:
        """Stop: nothing is sent from now on, and an open request is broken off."""
        self.stop.request()

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:  # noqa: ARG002
        """Report to OpenLineage which files became which campaign, also when the task failed."""
        from airflow_provider_queuecalls._airflow.lineage import campaign_lineage

        if self._delivered is None:
            return None
        result, sources = self._delivered
        written = [] if is_unset(self.rejects_path) else [self.rejects_path]
        return campaign_lineage(result, self.hook.endpoint.url, read=sources, written=written)

    def _campaign(self, context: Context, collect_results: bool) -> Campaign:
        values = {name: revealed(getattr(self, name)) for name in Campaign.names()}
        values["campaign_name"] = name_of_campaign(values["campaign_name"], context["ti"])
        return build_campaign(values, self.hook.endpoint, speak=self.speak, collect_results=collect_results)

    def _push_link_and_open(self, context: Context, open_ledger: OpenLedger, key: CampaignKey) -> Ledger:
        """Push the link to the campaign, and open the record of what was sent as this campaign.

        The link comes before anything is sent: people need it most if the outcome stays unknown.
        """
        url = self.hook.endpoint.url_of_campaign(key.campaign_name) or page_of_campaign(key.digest)
        CampaignLink.push(self, context, url)
        return open_ledger(key)

    @contextmanager
    def _contact_file(self, context: Context) -> Iterator[ContactFile]:  # noqa: ARG002 - subclasses use it
        """The contact file on this machine, wherever it comes from."""
        rules = ContactRules.of(self)
        with self._fetched(self.contacts) as path:
            yield ContactFile(path, rules, [self.contacts])

    def _fetched(self, location: Location, what: str = "The contact file") -> AbstractContextManager[LocalPath]:
        return fetched(location, what, self.log.info, self.stop, written=("rejects_path", self.rejects_path))
