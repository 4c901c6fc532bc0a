"""The operator that joins a list with the results of its calls, and writes the next list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_queuecalls._airflow.compat import AirflowSkipException, BaseOperator
from airflow_provider_queuecalls._airflow.max_per_period import sent_numbers
from airflow_provider_queuecalls._airflow.results import (
    dataset_of,
    read_counts,
    read_rows,
    results_database_url,
    set_event_extra,
)
from airflow_provider_queuecalls._airflow.retries import retried_only_if_safe, safe_to_retry
from airflow_provider_queuecalls._airflow.settings import check_memory_mb
from airflow_provider_queuecalls._airflow.storage import (
    LocalPath,
    Location,
    fetched,
    suppression_lists_fetched,
    writable_copy,
)
from airflow_provider_queuecalls.client.endpoint import DEFAULT_CONN_ID
from airflow_provider_queuecalls.contacts import CheckedContacts, ContactRules, Report, check
from airflow_provider_queuecalls.contacts.row_results.call_limit import SentCheck
from airflow_provider_queuecalls.contacts.rules import (
    Delimiter,
    Duplicates,
    OnEmpty,
    OnInvalid,
    PhoneFormat,
    Quoting,
    UnknownZone,
)
from airflow_provider_queuecalls.exceptions import InvalidContacts, clear_locals
from airflow_provider_queuecalls.records.results.joined_list import MISSING, OUTPUT_COLUMNS, SELECTIONS, JoinedList
from airflow_provider_queuecalls.records.results.next_list import (
    NextList,
    OutputFormat,
    Select,
    read_next_list,
    write_next_list,
)
from airflow_provider_queuecalls.stopping import NOTHING_WRITTEN, StopRequest

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_queuecalls._airflow.compat import Context

__all__ = ["CallResultsOperator"]


class CallResultsOperator(BaseOperator):
    """Join the list that was sent with the results of its calls, and write who was reached or who was not.

    The list is checked again with the same rules, so that exactly the contacts that were sent are joined: give ``contacts``
    and the rules of the check as they were given to QueueCallsOperator. ``calling_hours`` needs ``queued``. If the digest of
    the list is not the one in ``queued``, the task fails. With ``campaign_name``, only the number of contacts can be
    compared: if it differs, a warning is logged, and ``select='missing'`` fails.

    A CSV file is a contact file for the next campaign, which accepts it with ``has_header=True``. Every parameter is
    templated, and accepts what a template renders.

    :param contacts: The list that was sent: the ``contacts`` of the task that sent it. Accepts a local path, a ``file://``
        URL, or any path or URL of ObjectStoragePath. Required.
    :param output: The file to write, which must not be a file that is read. Accepts what ``contacts`` accepts. It replaces
        a file of this name when it is complete. Give this, or output_conn_id and output_table. Default: none.
    :param output_conn_id: The connection to a database that Airflow has a DbApiHook for. Default: none.
    :param output_table: The table in which the campaign's rows are replaced, in one transaction. It has the columns
        campaign_key, campaign_name, phone_number, message_reference, call_parameter, call_id, result, callee_type,
        attempts, last_attempt_timestamp, duration, received_at, choice, and chosen_at. Accepts the name of a table, with
        its schema where it is needed.
        Default: none.
    :param queued: The result of the task that sent the campaign. After a dry run, the task is skipped. Give this or
        campaign_name. Accepts the result of a QueueCallsOperator, as a mapping or text. Default: none.
    :param campaign_name: The name of the campaign. Give this or queued. Accepts a string without control characters.
        Default: none.
    :param queuecalls_conn_id: The Airflow connection that sent the campaign called campaign_name: other accounts may have
        campaigns of that name. Default: ``'queuecalls_default'``.
    :param select: Which contacts to write, by their results. A value that renders to an empty string is an error.
        Accepts 'all', 'completed', 'failed', 'not_reached', 'missing', a choice, or a callee_type. Default: ``'all'``.
    :param output_format: How the file is written. ``'csv'``: a contact file with a header line; ``'parquet'``: Apache
        Parquet; ``'jsonl'``: one JSON object per line. Default: by the extension of ``output``.
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
    :param suppress_max_age: Has no effect: the suppression lists were new enough when the list was sent. A value that
        renders to an empty string is an error. Accepts a timedelta, a number of days, or a string such as '31 days' or
        'PT12H'. Default: no limit.
    :param on_empty: What to do if the contact file has no rows. If all rows are left out, the task fails. ``'fail'``:
        fail the task; ``'skip'``: skip the task. Default: ``'fail'``.
    :param calling_hours: The same hours as in the task that sent the list: contacts who were outside them are left out.
        A value that renders to an empty string is an error. Accepts hours such as '08:00-21:00', the name of a set
        ('us-federal', 'us-strict', or 'ca-crtc'), a mapping from days or states to hours, or a list of these. Default:
        not checked.
    :param unknown_zone: What to do with phone numbers whose time zone is not known, if calling_hours is set.
        ``'fail'``: fail the task; ``'skip'``: reject these rows only; ``'strictest'``: call them within the hours of
        all places in the US and Canada only. Default: ``'fail'``.

    Pushes a dict of counts to XCom, and sets it as the ``extra`` of the events of all assets in ``outlets``:
    ``campaign_name``, ``select``, ``output`` (the path or table), ``rows`` (how many were written), ``contacts``,
    ``results``, ``completed``, ``failed``, ``other`` (another result), ``missing`` (no result), ``unjoined`` (results that
    belong to no contact), ``repeated_references`` (references of several contacts), ``by_callee_type``, and
    ``by_choice``.

    Airflow's retries apply if the results database or the storage cannot be used.
    """

    template_fields: Sequence[str] = (
        *("contacts", "queued", "campaign_name", *ContactRules.names()),
        *("select", "output_path", "output_format", "output_conn_id", "output_table"),
        "queuecalls_conn_id",
    )
    ui_color = "#d9ece6"

    def __init__(
        self,
        *,
        contacts: Location,
        queued: Mapping[str, Any] | str | None = None,
        campaign_name: str | None = None,
        select: Select | str = "all",
        output: Location | None = None,
        output_format: OutputFormat | str | None = None,
        output_conn_id: str | None = None,
        output_table: str | None = None,
        queuecalls_conn_id: str = DEFAULT_CONN_ID,
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
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.stop = StopRequest(NOTHING_WRITTEN)
        self.contacts = contacts
        self.queued = queued
        self.campaign_name = campaign_name
        self.select = select
        # Of Airflow's own, ``output`` is the reference to what the task returns.
        self.output_path = output
        self.output_format = output_format
        self.output_conn_id = output_conn_id
        self.output_table = output_table
        self.queuecalls_conn_id = queuecalls_conn_id
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
        # For OpenLineage: the files and the database that were read, and whether a file was written.
        self._read: tuple[Sequence[Location], tuple[str, str]] | None = None
        self._has_written = False

    @clear_locals()
    def execute(self, context: Context) -> dict[str, Any]:
        """Join the list with the results, write the selected contacts, and return the counts."""
        from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook

        with retried_only_if_safe(self), ExitStack() as stack:
            values = {name: getattr(self, name) for name in self.template_fields}
            key_of = QueueCallsHook(self.queuecalls_conn_id).key_of
            wanted = read_next_list({**values, "output": self.output_path}, key_of)
            if wanted is None:
                raise AirflowSkipException("Nothing was sent: queued is the result of a dry run.")
            url = results_database_url()
            self._read = [self.contacts, *ContactRules.of(self).suppression_lists], dataset_of(url)
            checked = self._checked(stack, wanted)
            with safe_to_retry():
                self._assert_sent(
                    wanted, checked.report, read_counts(url, wanted.campaign_key, wanted.campaign_name).contacts
                )
                joined = JoinedList(
                    checked.upload.file,
                    read_rows(url, wanted.campaign_key),
                    stop=self.stop,
                    memory_limit=check_memory_mb(),
                )
            stack.enter_context(closing(joined))
            output = self._write(joined, wanted)
            self._has_written = wanted.output_format is not None
            result = {
                "campaign_name": wanted.campaign_name,
                "select": wanted.select,
                "output": output,
                "rows": joined.count(wanted.select),
                **asdict(joined.counts),
            }
        self._report(result)
        set_event_extra(self.outlets, context, result)
        return result

    def on_kill(self) -> None:
        """Stop: the join ends, and nothing is written, unless the upload to a URL has begun."""
        self.stop.request()

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:  # noqa: ARG002
        """Report to OpenLineage what was read, also when the task failed, and the file that was written."""
        from airflow_provider_queuecalls._airflow.lineage import next_list_lineage

        if self._read is None:
            return None
        files, database = self._read
        written = [self.output_path] if self._has_written and self.output_path is not None else []
        return next_list_lineage(files, database, written=written)

    def _checked(self, stack: ExitStack, wanted: NextList) -> CheckedContacts:
        """The list as it was sent."""
        rules = ContactRules.of(self)
        path = stack.enter_context(self._fetched(self.contacts, "The contact file"))
        rules = replace(rules, suppress_max_age=None)  # it was new enough when the list was sent
        if wanted.span is None:  # when it was sent is not known, and by now the hours are others
            rules = rules.without_hours()
        rules = stack.enter_context(suppression_lists_fetched(rules, self._fetched))
        with ExitStack() as record:
            numbers = record.enter_context(sent_numbers(wanted.campaign_key))
            limit = record.enter_context(SentCheck(numbers, self.stop)) if numbers else None
            return stack.enter_context(
                check(
                    path,
                    rules,
                    stop=self.stop,
                    memory_limit=check_memory_mb(),
                    hours=rules.hours_check(*(wanted.span or ())),
                    limit=limit,
                )
            )

    def _fetched(self, location: Location, what: str) -> AbstractContextManager[LocalPath]:
        return fetched(location, what, self.log.info, self.stop, written=("output", self.output_path))

    def _assert_sent(self, wanted: NextList, report: Report, contacts: int | None) -> None:
        """Raise :class:`InvalidContacts` if the list is not the one that was sent."""
        if wanted.digest is not None:
            differs = wanted.digest != report.digest
            found = f"its digest is {report.digest}, and {wanted.digest} was sent"
        else:
            differs = contacts not in (None, report.valid)
            found = f"it has {report.valid:,} contacts, and {contacts} were sent"
        if not differs:
            return
        problem = f"The list is not the one that was sent as campaign {wanted.campaign_name}: {found}."
        if wanted.digest is None and wanted.select != MISSING:
            self.log.warning("%s Contacts that were not sent count as missing.", problem)
            return
        raise InvalidContacts(
            f"{problem} Nothing was written. The contact file, a suppression list, or a rule of the check has changed since "
            "then, or the campaign had max_per_period, and its record of called numbers has been pruned. Keep all of them until "
            "the results are there, and give the same rules. 'queuecalls results export' writes the results without the list.",
            report=report,
        )

    def _write(self, joined: JoinedList, wanted: NextList) -> str:
        """Write the selected contacts. Returns where to."""
        if wanted.output_format is None:
            from airflow_provider_queuecalls._airflow.table import replace_rows

            conn_id, table = str(self.output_conn_id).strip(), str(self.output_table).strip()
            rows = joined.rows(wanted.select)
            campaign = wanted.campaign_key, wanted.campaign_name
            replace_rows(conn_id, table, campaign, rows, columns=OUTPUT_COLUMNS, stop=self.stop)
            return table
        with writable_copy(self.output_path, "The list", self.stop) as path:
            write_next_list(joined, wanted.select, path or "", wanted.output_format, self.stop)
        return str(self.output_path).strip()

    def _report(self, result: Mapping[str, Any]) -> None:
        self.log.info("Wrote %s of %s contacts: %s", f"{result['rows']:,}", f"{result['contacts']:,}", result)
        if result["unjoined"]:
            self.log.warning("%s results belong to no contact of the list.", f"{result['unjoined']:,}")
        if not result["rows"] and result["select"] not in SELECTIONS:
            found = ", ".join(repr(name) for name in (*result["by_choice"], *result["by_callee_type"])) or "none"
            self.log.warning(
                "No result has the choice or callee_type %r. The results have these: %s.", result["select"], found
            )
