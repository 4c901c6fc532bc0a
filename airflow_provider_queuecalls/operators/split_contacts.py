"""The operator that splits a list into files for several campaigns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_queuecalls._airflow.campaigns import name_of_campaign
from airflow_provider_queuecalls._airflow.compat import BaseOperator
from airflow_provider_queuecalls._airflow.retries import retried_only_if_safe
from airflow_provider_queuecalls._airflow.settings import check_memory_mb
from airflow_provider_queuecalls._airflow.storage import (
    LocalPath,
    Location,
    fetched,
    is_same_location,
    keep_first,
    local_path,
    suppression_lists_fetched,
    url_of,
    writable_copy,
)
from airflow_provider_queuecalls.contacts import ContactRules, check
from airflow_provider_queuecalls.contacts.rules import (
    Delimiter,
    Duplicates,
    OnEmpty,
    OnInvalid,
    PhoneFormat,
    Quoting,
    UnknownZone,
)
from airflow_provider_queuecalls.contacts.split.parameters import CARRY_OVER, Split, SplitBy
from airflow_provider_queuecalls.contacts.split.parts import Files, assert_kept, has_zones, write_parts
from airflow_provider_queuecalls.contacts.split.spans import SpansCheck
from airflow_provider_queuecalls.exceptions import clear_locals
from airflow_provider_queuecalls.parameters import show_path
from airflow_provider_queuecalls.stopping import StopRequest

if TYPE_CHECKING:
    from airflow_provider_queuecalls._airflow.compat import Context

__all__ = ["SplitContactsOperator"]


class SplitContactsOperator(BaseOperator):
    """Split a list into contact files for several campaigns: by the span in which contacts may be called, and by size.

    The whole list is checked first, so that nobody is in two files. Each contact that is valid is in exactly one file. A
    file with a span has contacts who may be called during all of it. Every parameter is templated.

    :param contacts: The contact file. Accepts what QueueCallsOperator accepts. Required.
    :param folder: Where to write the files. Accepts a local folder, which is created, or a URL of ObjectStoragePath.
        Their names follow from the spans, and are the same on every try. A folder holds the files of one split only: if
        another list, campaign_name, max_contacts, or span would change who is in which file, the task fails, so that nobody is
        called twice. Required.
    :param campaign_name: What the campaigns' names begin with. Default: a name of the task instance that is the same on
        every try.
    :param carry_over_path: The file for contacts whose hours do not begin today, by their own calendar. It is always
        replaced, by an empty file if there are none: give the task that reads it ``on_empty='skip'``. Accepts what
        ``contacts`` accepts. Default: they get their next span, within seven days.
    :param rejects_path: Where to write the rejects as CSV, each with line and reason. It must not be one of the other
        files. Accepts what ``contacts`` accepts. Default: not written.
    :param by: How the list is split. ``'calling_hours'``: a file for each span in which contacts may be called, which
        requires calling_hours; ``'size'``: files of at most max_contacts, in the order of the list. Default:
        ``'calling_hours'``.
    :param max_contacts: The most contacts in a file. Accepts a whole number from 1 to 100,000,000. Default: no limit.
    :param stagger: The time between the starts of files that max_contacts divides. Accepts a timedelta, a number of
        minutes, or a string such as '30 minutes' or 'PT30M'. Default: all at once.
    :param start: The earliest start of the calls. Each file starts at this time or when its hours begin, rounded up to
        15, 30, or 45 minutes past the hour. Accepts a datetime with a time zone, an ISO 8601 time with an offset or the
        name of a time zone, a UNIX time in seconds, or 0. Default: the time for which the run was scheduled.
    :param min_window: The shortest span that a file may get; with less left of the hours, its contacts get the next
        span. Accepts a timedelta, a number of minutes, or a string such as '30 minutes' or 'PT30M'. Default: 1 hour.
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
    :param calling_hours: The hours in which people may be called, by their own clocks. Each file gets a span that is
        within them. A value that renders to an empty string is an error. Accepts hours such as '08:00-21:00', the name
        of a set ('us-federal', 'us-strict', or 'ca-crtc'), a mapping from days or states to hours, or a list of these.
        Default: none; required unless by='size'.
    :param unknown_zone: What to do with phone numbers whose time zone is not known, if calling_hours is set.
        ``'fail'``: fail the task; ``'skip'``: reject these rows only; ``'strictest'``: call them within the hours of
        all places in the US and Canada only. Default: ``'fail'``.

    Pushes a list to XCom, with a dict for each file: ``contacts`` (its path or URL), ``campaign_name``,
    ``scheduled_timestamp``, and ``expiration_timestamp`` (UNIX times; by calling hours only), and ``has_header`` if it has a
    column for time zones. Pass it on to ``QueueCallsOperator.partial(…).expand_kwargs(…)``, with the same ``calling_hours``.
    """

    template_fields: Sequence[str] = (
        *("contacts", "folder", *ContactRules.names(), "by", "max_contacts", "stagger", "start", "min_window"),
        *("campaign_name", "carry_over_path", "rejects_path"),
    )
    ui_color = "#d9ece6"

    def __init__(
        self,
        *,
        contacts: Location,
        folder: Location,
        by: SplitBy | str = "calling_hours",
        max_contacts: int | str | None = None,
        stagger: timedelta | int | str | None = None,
        start: datetime | int | str | None = None,
        min_window: timedelta | int | str = "1 hour",
        campaign_name: str | None = None,
        carry_over_path: Location | None = None,
        rejects_path: Location | None = None,
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
        self.stop = StopRequest()
        self.contacts = contacts
        self.folder = folder
        self.by = by
        self.max_contacts = max_contacts
        self.stagger = stagger
        self.start = start
        self.min_window = min_window
        self.campaign_name = campaign_name
        self.carry_over_path = carry_over_path
        self.rejects_path = rejects_path
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

    @clear_locals()
    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Check the list, write the files, and return the parameters of each file's campaign."""
        with retried_only_if_safe(self), ExitStack() as stack:
            rules = ContactRules.of(self)
            split = Split.read({name: getattr(self, name) for name in self.template_fields}, rules, _planned(context))
            name = name_of_campaign(self.campaign_name, context["ti"])
            sources = rules.files_read(self.contacts)
            files = _Files(self.stop)
            assert_kept(split.carry_over_path, [*sources, ("The rejects file", split.rejects_path)], files)
            path = stack.enter_context(self._fetched(self.contacts, "The contact file"))
            rules = stack.enter_context(suppression_lists_fetched(rules, self._fetched))
            hours = SpansCheck.of(rules, split)
            with writable_copy(split.rejects_path, "The rejects file", self.stop) as rejects_path:
                checked = stack.enter_context(
                    check(
                        path,
                        rules,
                        rejects_path=rejects_path,
                        stop=self.stop,
                        memory_limit=check_memory_mb(),
                        hours=hours,
                    )
                )
            self.log.info("Checked %s: %s", show_path(checked.upload.name), checked.report.summary())
            parts = write_parts(
                checked, split, hours, files, campaign_name=str(name), sources=sources, rules=rules, stop=self.stop
            )
            has_header = has_zones(checked)
        for part in parts:
            self.log.info("Wrote %s: %s", show_path(split.location(part.name)), part)
        called = [part for part in parts if part.name != CARRY_OVER]
        if not called:
            self.log.warning("No contact is left to call.")
        return [part.campaign(split.location(part.name), name, has_header=has_header) for part in called]

    def on_kill(self) -> None:
        """Stop: no further file is written."""
        self.stop.request()

    def _fetched(self, location: Location, what: str) -> AbstractContextManager[LocalPath]:
        return fetched(location, what, self.log.info, self.stop, written=("rejects_path", self.rejects_path))


@dataclass(frozen=True)
class _Files(Files):
    """The files of a split, on this machine or in a storage of ObjectStoragePath."""

    stop: StopRequest

    def is_same(self, location: Any, other: Any) -> bool:
        return is_same_location(location, other)

    def write(self, location: str) -> AbstractContextManager[Any]:
        if (url := url_of(location)) is None:
            return super().write(local_path(location))
        return writable_copy(url, "The part", self.stop)

    def keep_first(self, location: str, content: bytes) -> bytes:
        if (url := url_of(location)) is None:
            return super().keep_first(local_path(location), content)
        return keep_first(url, content, "The record of the split")


def _planned(context: Context) -> int:
    """The time for which the run was planned: the same on every try, and after Clear."""
    run: Any = context["dag_run"]
    planned: datetime = getattr(run, "run_after", None) or run.data_interval_end
    return int(planned.timestamp())
