"""The receiver of call results in the API server of Airflow 3, at ``/queuecalls/results``.

Every Airflow process imports this module, so it imports nothing until the API server receives the first request.
"""

from __future__ import annotations

import logging
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.plugins_manager import AirflowPlugin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_queuecalls.records.call_results import PostedResult
    from airflow_provider_queuecalls.records.database import Database
    from airflow_provider_queuecalls.records.receiver import Receiver

__all__ = ["QueueCallsPlugin"]

log = logging.getLogger(__name__)
URL_PREFIX = "/queuecalls/results"


class QueueCallsPlugin(AirflowPlugin):
    """Mounts the receiver if ``[queuecalls] results_database`` is set. Airflow 2.11 has no place for it."""

    name = "queuecalls"

    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The receiver, which Airflow serves without asking for a login: its URLs are secrets."""
        from airflow_provider_queuecalls._airflow import settings

        if settings.option("results_database") is None:
            return []
        return [{"app": ConfiguredReceiver(), "url_prefix": URL_PREFIX, "name": "queuecalls results"}]


class ConfiguredReceiver:
    """An ASGI app: the receiver that Airflow's configuration describes, made at the first request."""

    async def __call__(self, *request: Any) -> None:
        await self._receiver(*request)

    @cached_property
    def _receiver(self) -> Receiver:
        from airflow_provider_queuecalls._airflow import settings
        from airflow_provider_queuecalls.exceptions import QueueCallsError
        from airflow_provider_queuecalls.records.receiver import Receiver
        from airflow_provider_queuecalls.records.results_url import read_secrets

        secrets: tuple[str, ...] = ()
        try:
            secrets = read_secrets(settings.option("results_secret") or "")
        except QueueCallsError as problem:
            log.error("[queuecalls] results_secret: no result is received at %s. %s", URL_PREFIX, problem)
        return Receiver(_ConfiguredDatabase(), secrets)


class _ConfiguredDatabase:
    """The results database, opened in the receiver's thread: it may take as long as the database lets it wait."""

    def ping(self) -> None:
        self._database.ping()

    def add_all(self, posts: Sequence[tuple[str, PostedResult]]) -> list[bool]:
        return self._database.add_all(posts)

    @cached_property
    def _database(self) -> Database:
        from airflow_provider_queuecalls._airflow.results import results_database

        database = results_database()
        if not database.is_shared:
            log.warning(
                "The results database is a SQLite file. It takes the results that this machine's API server receives, and "
                "tasks on other machines cannot read them. Use PostgreSQL if there are several machines."
            )
        return database
