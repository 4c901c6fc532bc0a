"""The notifier: call the people who are on call."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_queuecalls._airflow.alarms import PARAMETERS, AlarmNames, OnNoRecord, cut
from airflow_provider_queuecalls._airflow.compat import BaseNotifier
from airflow_provider_queuecalls._airflow.on_call import as_contacts, assert_source, numbers_to_call, recipients_id
from airflow_provider_queuecalls.client.campaign import BY_NAME as CAMPAIGN
from airflow_provider_queuecalls.client.endpoint import DEFAULT_CONN_ID
from airflow_provider_queuecalls.contacts.rules import BY_NAME as RULES
from airflow_provider_queuecalls.contacts.rules import PhoneFormat, UnknownZone
from airflow_provider_queuecalls.exceptions import (
    AlreadySent,
    DamagedRecord,
    InvalidCampaign,
    NoRecord,
    OutcomeUnknown,
    QueueCallsError,
    Refused,
    Violation,
    clear_locals,
)
from airflow_provider_queuecalls.parameters import Parameter, is_unset, read_values
from airflow_provider_queuecalls.stopping import StopRequest
from airflow_provider_queuecalls.value_types import FLAG, parse_flag

if TYPE_CHECKING:
    import jinja2

    from airflow_provider_queuecalls._airflow.compat import Context
    from airflow_provider_queuecalls._airflow.storage import Location
    from airflow_provider_queuecalls.client.endpoint import Endpoint
    from airflow_provider_queuecalls.delivery import Delivery
    from airflow_provider_queuecalls.records.sent.ledger import OpenLedger
    from airflow_provider_queuecalls.records.sent.stores import OpenStore

__all__ = ["QueueCallsNotifier"]

#: After this time a notification is given up, whatever it waits for. A DAG's callbacks have 50 seconds in all.
TOTAL_SECONDS = 20.0
#: What it may wait for: one operation on the record, a connection, and twice the service (to take the request, and to respond). One of
#: each adds up to less. The record takes several operations, so with a slow one the notification may be given up.
RECORD_SECONDS, CONNECT_SECONDS, READ_SECONDS = 2.0, 4.0, 6.0
#: How far ahead the clock of another machine may be. An entry that is further ahead would silence an alarm for as long.
CLOCK_TOLERANCE = timedelta(minutes=5)
#: What failed, in the contexts of tasks, DAG runs, and deadlines.
DAG_ID = "{{ dag.dag_id or dag_run.dag_id }}"

#: The parameters that are those of a campaign, and of the check of its list.
_OF_CAMPAIGN, _OF_CHECK = ("max_retries", "retry_interval"), ("phone_format", "calling_hours", "unknown_zone")
_DRY_RUN = Parameter(name="dry_run", type=FLAG, doc="", required=True)

FAILED = "The notification failed: %s"


class QueueCallsNotifier(BaseNotifier):
    """Call the people who are on call.

    For ``on_failure_callback`` and the other callbacks of tasks and DAGs, and for deadlines (Airflow 3.1 or later). However
    many tasks fail at the same time, people are called once in ``min_interval``.

    A notification takes 20 seconds at most. If it fails, that is logged, and the task and the DAG run stay as they are.

    :param message: What is said: posted to the script as ``call_parameters``, in one line of at most 255 bytes in UTF-8;
        a longer one is cut. Templated; what a context does not have is empty. Default: which DAG failed.
    :param start_url: The VoiceXML script that runs when a call connects. Accepts an absolute http(s) URL without
        credentials, whitespace, or control characters, of at most 255 bytes in UTF-8. Templated. Default: a script that
        speaks the message, at the receiver at ``[queuecalls] results_url`` of Airflow's configuration.
    :param to_variable: The Airflow Variable with the phone numbers to call: one, or several on lines of their own, between
        commas, or as a JSON list. Templated. Default: the numbers in the connection's ``notify_numbers``.
    :param to: A function that gets the context and returns the phone numbers to call, as to_variable has them. Accepts one
        that is defined with ``def`` at the top level of a module, since its name identifies the people. Not for
        deadlines, which store their arguments. Default: not used.
    :param dedup_key: Identifies the failure: notifications with the same key, and the same to_variable, to, or connection
        that the numbers come from, count as one failure. Templated. Must not name a person. Default: the DAG's id.
    :param min_interval: The shortest time between two calls about the same failure. A failure within that time calls
        nobody. Accepts a timedelta, a number of minutes, or a string such as '1 hour' or 'PT30M', from 1 to 44,640
        minutes. Default: 1 hour.
    :param expires_after: When the service stops calling, counted from the notification. Accepts a timedelta, a number
        of minutes, or a string such as '1 hour' or 'PT30M', from 1 to 1,440 minutes. Default: 30 minutes.
    :param on_no_record: What to do if the record of earlier calls cannot be reached or is damaged, or if receipts_path
        is not set or 'none'. ``'call'``: call all the same; then each machine keeps a record of its own in its
        temporary folder, and each of them may call once in min_interval; ``'skip'``: log an error and call nobody.
        Default: ``'call'``.
    :param max_retries: How many further attempts the service makes to call a number that was not reached. Accepts a
        whole number from 0 to 10. Default: 1.
    :param retry_interval: The time between two attempts to call a number. Accepts a timedelta, a number of seconds, or
        a string such as '15 minutes' or 'PT15M', from 60 to 172,800 seconds. Default: 60 seconds.
    :param phone_format: How the phone numbers are written. ``'nanp'``: 1 and ten digits of the North American Numbering
        Plan; ``'vendor'``: every spelling that the service documents. Other common spellings are rewritten. Default:
        ``'nanp'``.
    :param calling_hours: The hours in which people may be called, by their own clocks, as QueueCallsOperator accepts them.
        Numbers that may not be called during all of the time until expires_after are left out. Default: at any hour.
    :param unknown_zone: What to do with phone numbers whose time zone is not known, if calling_hours is set, as
        QueueCallsOperator accepts it. Default: ``'skip'``.
    :param dry_run: Do everything except the request. Accepts true or false. Templated. Default: ``False``.
    :param receipts_path: Where the record of earlier calls is kept, as QueueCallsOperator accepts it. A task's own state
        is never used, since other tasks do not see it. Templated. Default: ``[queuecalls] receipts_path`` of Airflow's
        configuration.
    :param queuecalls_conn_id: The Airflow connection, of type ``queuecalls``. Templated. Default: ``'queuecalls_default'``.
    :param context: The context of a deadline. Airflow sets it.

    A phone number that is not valid, or that calling hours exclude, does not keep the others from being called.
    """

    template_fields: Sequence[str] = (
        *("message", "start_url", "to_variable", "dedup_key", "dry_run", "receipts_path", "queuecalls_conn_id"),
    )

    def __init__(
        self,
        *,
        start_url: str | None = None,
        message: str = f"Airflow: {DAG_ID} failed",
        to_variable: str | None = None,
        to: Callable[[Context], Any] | None = None,
        dedup_key: str = DAG_ID,
        min_interval: timedelta | int | str = timedelta(hours=1),
        expires_after: timedelta | int | str = timedelta(minutes=30),
        on_no_record: OnNoRecord | str = "call",
        max_retries: int | str | None = 1,
        retry_interval: timedelta | int | str | None = 60,
        phone_format: PhoneFormat = "nanp",
        calling_hours: Mapping[str, Any] | Sequence[Any] | str | None = None,
        unknown_zone: UnknownZone = "skip",
        dry_run: bool | str = False,
        receipts_path: Location | None = None,
        queuecalls_conn_id: str = DEFAULT_CONN_ID,
        context: Context | None = None,
    ) -> None:
        # Before 3.1, it accepts no context, and nobody gives one.
        super().__init__(**({} if context is None else {"context": context}))
        self.message = message
        self.start_url = start_url
        self.to_variable = to_variable
        self.to = to
        self.dedup_key = dedup_key
        self.min_interval = min_interval
        self.expires_after = expires_after
        self.on_no_record = on_no_record
        self.max_retries = max_retries
        self.retry_interval = retry_interval
        self.phone_format = phone_format
        self.calling_hours = calling_hours
        self.unknown_zone = unknown_zone
        self.dry_run = dry_run
        self.receipts_path = receipts_path
        self.queuecalls_conn_id = queuecalls_conn_id
        # Here, and not when something has failed: an alarm that cannot work is to be found when the DAG is written.
        assert_source(self.to, self.to_variable)
        self._read_parameters()
        self._assert_rendered_values()
        if is_unset(start_url):
            from airflow_provider_queuecalls._airflow.campaigns import receiver

            receiver("a notifier without start_url")

    def __call__(self, *args: Any) -> None:
        """Notify. Each time with a copy: rendering replaces the templates of an object for good."""
        try:
            BaseNotifier.__call__(copy.copy(self), *args)
        except Exception as error:  # noqa: BLE001  # of a template: Airflow has logged it
            self.log.error(FAILED, type(error).__name__)

    def __await__(self) -> Generator[Any, None, None]:
        """Notify, in a triggerer. Each time with a copy, as :meth:`__call__`."""
        return BaseNotifier.__await__(copy.copy(self))

    def get_template_env(self, dag: Any = None) -> jinja2.Environment:
        """Jinja's environment, in which what a context does not have is empty: an alarm does not fail for a missing ``ti``."""
        import jinja2

        return super().get_template_env(dag).overlay(undefined=jinja2.ChainableUndefined)

    def notify(self, context: Context) -> None:
        """Notify, and give up after 20 seconds."""
        stop, state = StopRequest(), contextvars.copy_context()
        thread = threading.Thread(target=state.run, args=(self._notify, context, stop), daemon=True)
        thread.start()
        thread.join(TOTAL_SECONDS)
        if thread.is_alive():
            self._give_up(stop)

    async def async_notify(self, context: Context) -> None:
        """Notify from a triggerer, and give up after 20 seconds."""
        from asgiref.sync import sync_to_async

        stop = StopRequest()
        # Threads that asgiref does not know cannot ask Airflow for a connection there, and those that it shares may be
        # busy: the time would pass before the notification has begun.
        thread = ThreadPoolExecutor(1)
        notify = sync_to_async(self._notify, thread_sensitive=False, executor=thread)
        task = asyncio.ensure_future(notify(context, stop))
        done, _ = await asyncio.wait([task], timeout=TOTAL_SECONDS)
        thread.shutdown(wait=False)
        if not done:
            self._give_up(stop)

    def _give_up(self, stop: StopRequest) -> None:
        stop.request()
        self.log.error(
            "The notification was stopped after %.0f s. It is not known whether anybody will be called.", TOTAL_SECONDS
        )

    def _notify(self, context: Context, stop: StopRequest) -> None:
        """Call, and log what became of it. Raises nothing: Airflow would go on to other callbacks late or not at all."""
        try:
            delivery = self._deliver(context, stop)
        except (AlreadySent, OutcomeUnknown, Refused) as error:
            if _is_repeat(error):
                # Only what was found: what to do about it is in the log of the notification that has called.
                self.log.info("Nobody is called again about the same thing: %s.", str(error).partition(". ")[0])
            else:
                self.log.error(FAILED, error)
        except QueueCallsError as error:
            self.log.error(FAILED, error)
        except Exception as error:  # noqa: BLE001  # of Airflow or of the function ``to``; its text may have a number
            self.log.error(FAILED, type(error).__name__)
        else:
            if rejected := delivery.report.rejected:
                self.log.error(
                    "%s of the phone numbers to notify cannot be called: %s", rejected, delivery.report.summary()
                )

    @clear_locals()
    def _deliver(self, context: Context, stop: StopRequest) -> Delivery:
        from airflow_provider_queuecalls._airflow.campaigns import build_campaign
        from airflow_provider_queuecalls._airflow.receipts import ledger_opener
        from airflow_provider_queuecalls.client.client import Client
        from airflow_provider_queuecalls.contacts import ContactRules
        from airflow_provider_queuecalls.delivery import deliver
        from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook
        from airflow_provider_queuecalls.records.sent.ledger import Try

        given = self._read_parameters()
        endpoint = QueueCallsHook(self.queuecalls_conn_id).endpoint
        client = Client(_with_short_timeouts(endpoint), stop=stop, log=self.log)
        now = time.time()
        whom = recipients_id(self.to, self.to_variable, self.queuecalls_conn_id)
        names = AlarmNames.of(self._key(context), whom, given["min_interval"], now)
        values = {
            "start_url": self.start_url,
            "campaign_name": names.campaign,
            "call_parameters": cut(str(self.message), CAMPAIGN["call_parameters"].max_length or 0),
            **{name: given[name] for name in _OF_CAMPAIGN},
            "expiration_timestamp": int(now + given["expires_after"].total_seconds()),
        }
        campaign = build_campaign(values, endpoint, speak=is_unset(self.start_url))
        rules = ContactRules(
            phone_format=given["phone_format"], normalize=True, on_invalid="skip", duplicates="drop",
            calling_hours=given["calling_hours"], unknown_zone=given["calling_hours"] and given["unknown_zone"],
        )  # fmt: skip
        moment = datetime.fromtimestamp(now, timezone.utc)
        this_try = Try(
            1, "alarm",
            forgets_before=(moment - given["min_interval"]).isoformat(timespec="seconds"),
            forgets_after=(moment + CLOCK_TOLERANCE).isoformat(timespec="seconds"),
        )  # fmt: skip
        dry_run = parse_flag("dry_run", self.dry_run)

        def open_ledger(open_store: OpenStore) -> OpenLedger:
            opened = ledger_opener(open_store, this_try, self.log)
            return lambda key: opened(replace(key, campaign_name=names.record))

        with as_contacts(numbers_to_call(self.to, self.to_variable, context, endpoint)) as contacts:
            problem: QueueCallsError | None = None
            for open_store in self._records(given["on_no_record"]):
                try:
                    return deliver(
                        campaign, contacts, client, open_ledger(open_store), rules=rules, dry_run=dry_run, log=self.log
                    )
                except NoRecord as error:
                    problem = error
                    self.log.warning("%s", error)
                except DamagedRecord as error:
                    problem = error
                    # What the error advises is for a campaign, which must not be sent twice.
                    self.log.warning(
                        "%s. Until somebody removes that entry, each machine calls by a record of its own.",
                        str(error).partition(". ")[0],
                    )
            assert problem is not None  # noqa: S101  # there is one record at least
            raise problem

    def _key(self, context: Context) -> str:
        """What failed. A template that renders to nothing must not make all failures one."""
        # Airflow 2 keeps a template that renders to nothing as it is.
        if not is_unset(self.dedup_key) and not _has_template(self.dedup_key):
            return str(self.dedup_key)
        self.log.warning("dedup_key is empty, so the DAG's id is used: failures of one DAG count as one.")
        known: Any = context.get("dag") or context.get("dag_run") or {}
        return str(known.get("dag_id", "") if isinstance(known, Mapping) else known.dag_id)

    def _records(self, on_no_record: str) -> Iterator[OpenStore]:
        """Where the record is, and then what replaces one that cannot be reached."""
        from airflow_provider_queuecalls._airflow.receipts import alarm_records_at, machine_records
        from airflow_provider_queuecalls.records.sent.stores import NoStore

        try:
            yield alarm_records_at(self.receipts_path, RECORD_SECONDS)
        except InvalidCampaign as error:
            if on_no_record == "skip":
                raise
            self.log.warning("No record of calls is shared by all machines: %s", error)
        if on_no_record == "call":
            yield machine_records(Path(tempfile.gettempdir()))
            yield lambda _: NoStore()

    def _read_parameters(self) -> dict[str, Any]:
        """Read all that is not templated, except ``to`` and ``context``. Raises :class:`InvalidCampaign`."""
        declared = [*PARAMETERS, *(CAMPAIGN[name] for name in _OF_CAMPAIGN), *(RULES[name] for name in _OF_CHECK)]
        values = {parameter.name: getattr(self, parameter.name) for parameter in declared}
        given, violations = read_values(declared, values)
        if is_unset(self.calling_hours) and not is_unset(self.unknown_zone) and given["unknown_zone"] != "skip":
            rule = "unset, or given together with calling_hours"
            violations.setdefault("unknown_zone", Violation("unknown_zone", "has no effect here", rule))
        if violations:
            raise InvalidCampaign(violations.values())
        return given

    def _assert_rendered_values(self) -> None:
        """Raise :class:`InvalidCampaign` for a value without a template that would be wrong when something has failed."""
        declared = {"start_url": CAMPAIGN["start_url"], "dry_run": _DRY_RUN}
        values = {name: getattr(self, name) for name in declared}
        rendered = {name: value for name, value in values.items() if not _has_template(value)}
        if is_unset(self.start_url):
            del rendered["start_url"]
        _, violations = read_values([declared[name] for name in rendered], rendered)
        if is_unset(self.message):
            violations["message"] = Violation("message", "is missing", "what the person hears")
        if violations:
            raise InvalidCampaign(violations.values())


def _has_template(value: object) -> bool:
    return isinstance(value, str) and ("{{" in value or "{%" in value)


def _is_repeat(error: QueueCallsError) -> bool:
    """Whether an error is about an earlier notification: the record has one, or the service has a campaign of this slot."""
    if isinstance(error, Refused):
        return error.name_taken
    if isinstance(error, DamagedRecord):
        return False
    return not (isinstance(error, OutcomeUnknown) and error.sent)


def _with_short_timeouts(endpoint: Endpoint) -> Endpoint:
    return replace(
        endpoint,
        connect_timeout=min(endpoint.connect_timeout, CONNECT_SECONDS),
        read_timeout=min(endpoint.read_timeout, READ_SECONDS),
    )
