"""The results database in Airflow: the row of a campaign, its page, and the results of its calls."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from datetime import datetime, timezone
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from airflow_provider_queuecalls._airflow import settings
from airflow_provider_queuecalls._airflow.compat import AirflowNotFoundException, Asset, BaseHook, Context, conf
from airflow_provider_queuecalls.exceptions import QueueCallsError
from airflow_provider_queuecalls.parameters import show_conn_id
from airflow_provider_queuecalls.records.database.engine import parse_url
from airflow_provider_queuecalls.records.sent.entry import OUTCOMES, CampaignKey, Entry, State
from airflow_provider_queuecalls.records.sent.stores import OpenStore, Store

if TYPE_CHECKING:
    from airflow_provider_queuecalls.records.database.database import Database, ResultCounts

log = logging.getLogger(__name__)


def results_database(**options: Any) -> Database:
    """Open the database of campaigns and results that Airflow's configuration names. The caller closes it.

    ``options`` are those of :class:`~airflow_provider_queuecalls.records.database.database.Database`. Raises :class:`QueueCallsError`
    if none is configured, or if it cannot be used.
    """
    from airflow_provider_queuecalls.records.database.database import Database

    return Database(results_database_url(), **options)


def results_database_url() -> str:
    """The URL of that database, with its password. Raises :class:`QueueCallsError` if none is configured.

    In a trigger, call this with asgiref's ``sync_to_async``: it may read a connection.
    """
    database = settings.option("results_database")
    if database is None:
        raise QueueCallsError(
            "The results database is not known: [queuecalls] results_database is not set in Airflow's configuration. Set it "
            "to the URL of the database that the results receiver writes to, or to the id of an Airflow connection to it."
        )
    if "://" in database:
        return database
    try:
        connection = BaseHook.get_connection(database)
    except AirflowNotFoundException:
        raise QueueCallsError(
            f"[queuecalls] results_database names the connection {show_conn_id(database)}, which is not defined."
        ) from None
    try:
        hook: Any = connection.get_hook()  # type: ignore[no-untyped-call]
        return str(hook.get_uri())
    except Exception as error:  # noqa: BLE001  # each version of Airflow has errors of its own
        raise QueueCallsError(
            f"[queuecalls] results_database names the connection {show_conn_id(database)} of type {connection.conn_type!r}, which cannot be "
            f"used ({type(error).__name__}). It must be a URL, or a PostgreSQL or SQLite connection whose provider is installed."
        ) from None


def dataset_of(url: str) -> tuple[str, str]:
    """The namespace and the name that OpenLineage's conventions give to the results in a database, without its password.

    Raises :class:`QueueCallsError` for a URL that is not valid.
    """
    database = parse_url(url)
    if database.drivername.startswith("sqlite"):
        return "file", os.path.abspath(str(database.database))
    return f"postgres://{database.host}:{database.port or 5432}", f"{database.database}.public.queuecalls_results"


def page_of_campaign(campaign_key: str) -> str | None:
    """The URL of a campaign's page in Airflow; None where there is none: without a results database, or before Airflow 3.1."""
    from airflow import __version__

    version = tuple(int(part) for part in __version__.split(".")[:2])
    if version < (3, 1) or settings.option("results_database") is None:
        return None
    base = str(conf().get("api", "base_url", fallback=None) or "").rstrip("/")
    # From Airflow 3.3, the page opens within Airflow's, whose URL ends with the whole path of what it shows.
    frame = f"/plugin/calling-campaigns{urlsplit(base).path}" if version >= (3, 3) else ""
    return f"{base}{frame}{settings.PAGES_PATH}/{campaign_key}"


def read_counts(url: str, campaign_key: str, campaign_name: str) -> ResultCounts:
    """The counts of a campaign's results. The database is opened for this only: a wait is long.

    Raises :class:`QueueCallsError` if the database cannot be used, or does not know the campaign.
    """
    from airflow_provider_queuecalls.records.database.database import Database

    with Database(url, create=False).closing() as database:
        found = database.counts(campaign_key)
    if not found:
        raise QueueCallsError(
            f"Campaign {campaign_name!r} is not in the results database {database.url!r}: it has neither a row nor a result "
            "there. Compare the name and the connection with those of the task that sends it. That task needs the same "
            "[queuecalls] results_database, which the results receiver writes to.",
            campaign_name=campaign_name,
        )
    return found[0]


def read_rows(url: str, campaign_key: str) -> Iterator[dict[str, Any]]:
    """Yield the result of each call of a campaign. Raises :class:`QueueCallsError` if the database cannot be used."""
    from airflow_provider_queuecalls.records.database.database import Database

    with Database(url, create=False).closing() as database:
        yield from database.rows(campaign_key)


def set_event_extra(outlets: Iterable[Any], context: Context, counts: Mapping[str, Any]) -> None:
    """Set the counts as the ``extra`` of the events of all assets among a task's outlets."""
    for outlet in outlets:
        if isinstance(outlet, Asset):
            context["outlet_events"][outlet].extra = dict(counts)


def first_result(entry: Entry) -> str | None:
    """When the first result of a campaign arrived after its request had begun. None where none is known.

    A campaign that was sent before may still have results then, which cannot be told from those of this request.
    """
    if settings.option("results_database") is None:
        return None
    try:
        with results_database(create=False).closing() as database:
            arrived = database.first_result(entry.key.digest, _seconds(entry.started_at))
    except QueueCallsError as error:
        log.warning("Whether results of campaign %s have arrived is not known: %s", entry.campaign_name, error)
        return None
    return None if arrived is None else datetime.fromtimestamp(arrived, timezone.utc).isoformat()


def update_campaign_row(entry: Entry) -> None:
    """Let the campaign's row, if there is one, say what a person has put on record. An error is only logged.

    :param entry: the person's answer, with the token of the request that it is about
    """
    if settings.option("results_database") is None:
        return
    try:
        with results_database().closing() as database:
            database.resolve_campaign(entry.key.digest, _row_values_from_record(entry.to_json()), entry.token)
    except QueueCallsError as error:
        log.warning("The outcome of campaign %s is missing in the results database: %s", entry.campaign_name, error)


def _row_values_from_record(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a campaign's row that its record knows. Calling hours may have chosen the times since the intent."""
    result = entry["result"] or {}
    zones = {zone: counts["contacts"] - counts["outside_hours"] for zone, counts in (result.get("zones") or {}).items()}
    columns = {
        "outcome": OUTCOMES[State(entry["state"])],
        "calls": result.get("call_id_count") or None,  # without call ids, how many calls were queued is not known
        "expires_at": result.get("expiration_timestamp"),
        "calls_from": result.get("calls_from"),
        "zones": json.dumps(zones) if zones else None,
    }
    return {name: value for name, value in columns.items() if value is not None}


def with_campaign_row(
    open_store: OpenStore, ti: Any, log: Any, stack: ExitStack, known: Mapping[str, Any]
) -> OpenStore:
    """Return what opens the same store; if ``[queuecalls] results_database`` is set, the campaign's row follows its record.

    ``ti`` is the task that sends the campaign; None for a program. ``known`` are columns of the row that the record does not
    have. The database is opened when it is needed first, and closed with ``stack``.
    """
    if settings.option("results_database") is None:
        return open_store
    return lambda key: cast("Store", _StoreWithRow(open_store(key), ti, log, stack, known))


class _StoreWithRow:
    """A store of a campaign's record that also keeps the campaign's row in the results database current."""

    def __init__(self, store: Store, ti: Any, log: logging.Logger, stack: ExitStack, known: Mapping[str, Any]) -> None:
        self._store = store
        self._ti = ti
        self._log = log
        self._stack = stack
        self._known = known
        self._has_begun = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def problem(self, error: Exception) -> str:
        """What an error means; those of the database explain themselves."""
        return str(error).rstrip(".") if isinstance(error, QueueCallsError) else self._store.problem(error)

    def create(self, generation: int, entry: Mapping[str, Any]) -> bool:
        """Keep an entry. The row is written before this try's intent, so that no campaign is sent without one."""
        begins = not self._has_begun and State(entry["state"]) in (State.INTENT, State.COMPLETE)
        if begins:
            self._put(entry)
            self._has_begun = True
        created = self._store.create(generation, entry)
        if created and not begins:
            self._put_or_warn(entry)
        elif not created and (last := self._store.last()):
            self._put_or_warn(last[1])
        return created

    def _put_or_warn(self, entry: Mapping[str, Any]) -> None:
        """Update the row. The record decides, so an error is only logged."""
        try:
            self._put(entry)
        except QueueCallsError as error:
            self._log.warning("The campaign's outcome is missing in the results database: %s", error)

    def _put(self, entry: Mapping[str, Any]) -> None:
        from airflow_provider_queuecalls.records.database.database import CampaignRow
        from airflow_provider_queuecalls.records.database.errors import translate_sqlalchemy_errors

        key = CampaignKey(**{name: entry[name] for name in CampaignKey.__dataclass_fields__})
        row = CampaignRow(
            campaign_key=key.digest,
            name=entry["campaign_name"],
            contacts=entry["contacts"],
            dag_id=self._ti.dag_id if self._ti else "",
            run_id=self._ti.run_id if self._ti else "",
            started_at=_seconds(entry["started_at"]),
            **{**self._known, **_row_values_from_record(entry)},
        )
        with translate_sqlalchemy_errors(self._database.url):
            self._database.put_campaign(row)

    @cached_property
    def _database(self) -> Database:
        return self._stack.enter_context(closing(results_database()))


def _seconds(time: str) -> int:
    return int(datetime.fromisoformat(time).timestamp())
