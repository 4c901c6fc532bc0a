"""The sandbox as a web application: the service itself, the admin API, and the page."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from airflow_provider_queuecalls.connection import Endpoint
from airflow_provider_queuecalls.sandbox import api
from airflow_provider_queuecalls.sandbox.guard import Guard
from airflow_provider_queuecalls.sandbox.service import Service
from airflow_provider_queuecalls.sandbox.state import State


def create_app(state: State, account: Endpoint, *, hosts: Collection[str]) -> Starlette:
    """The application. ``account`` is the service as its clients see it, ``hosts`` are names that lead here."""
    service = Service(account, state)
    path = urlsplit(account.url).path
    return Starlette(
        routes=[Route(path, service.answer, methods=["HEAD", "POST"]), *api.routes(state)],
        middleware=[Middleware(Guard, hosts=hosts, service_path=path)],
    )
