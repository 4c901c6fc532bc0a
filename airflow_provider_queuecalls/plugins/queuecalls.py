"""What this provider adds to the API server of Airflow 3: the receiver of call results at ``/queuecalls/results``, and from
Airflow 3.1 the page "Calling campaigns" at ``/queuecalls/campaigns``.

Every Airflow process imports this module, so it imports nothing until the API server receives the first request.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.plugins_manager import AirflowPlugin

if TYPE_CHECKING:
    from airflow_provider_queuecalls.records.database.database import Database

__all__ = ["QueueCallsPlugin"]

log = logging.getLogger(__name__)
URL_PREFIX = "/queuecalls/results"


class QueueCallsPlugin(AirflowPlugin):
    """Mounts the receiver and the page if ``[queuecalls] results_database`` is set. Airflow 2.11 has no place for them, and
    Airflow 3.0 none for the page."""

    name = "queuecalls"

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The receiver, which Airflow serves without asking for a login: its URLs are secrets. The page asks for one itself."""
        from airflow_provider_queuecalls._airflow import settings

        if settings.option("results_database") is None:
            return []
        apps = [{"app": LazyApp(_receiver), "url_prefix": URL_PREFIX, "name": "queuecalls results"}]
        if self.external_views:
            apps.append({"app": LazyApp(_pages), "url_prefix": settings.PAGES_PATH, "name": "queuecalls campaigns"})
        return apps

    @cached_property
    def external_views(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The page's entry in the navigation. Its path is relative to that of Airflow, wherever that is."""
        from airflow_provider_queuecalls._airflow import settings

        if not hasattr(AirflowPlugin, "external_views") or settings.option("results_database") is None:
            return []
        href = f"{settings.PAGES_PATH.removeprefix('/')}/"
        return [{"name": "Calling campaigns", "href": href, "url_route": "calling-campaigns", "category": "browse"}]


class LazyApp:
    """An ASGI app that is made at the first request, in the API server only."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    async def __call__(self, *request: Any) -> None:
        await self._app(*request)

    @cached_property
    def _app(self) -> Any:
        return self._make()


def _pages() -> Any:
    from airflow_provider_queuecalls._airflow.pages import pages_app

    return pages_app()


def _receiver() -> Any:
    """The receiver that Airflow's configuration describes."""
    from airflow_provider_queuecalls._airflow import settings
    from airflow_provider_queuecalls.exceptions import QueueCallsError
    from airflow_provider_queuecalls.records.receiver.app import Receiver
    from airflow_provider_queuecalls.signed_url import read_secrets

    secrets: tuple[str, ...] = ()
    try:
        secrets = read_secrets(settings.option("results_secret") or "")
    except QueueCallsError as problem:
        log.error("[queuecalls] results_secret: no result is received at %s. %s", URL_PREFIX, problem)
    return Receiver(_results_database, secrets)


def _results_database() -> Database:
    from airflow_provider_queuecalls._airflow.results import results_database

    database = results_database()
    if not database.is_shared:
        log.warning(
            "The results database is a SQLite file. It takes the results that this machine's API server receives, and tasks on "
            "other machines cannot read them. Use PostgreSQL if there are several machines."
        )
    return database
