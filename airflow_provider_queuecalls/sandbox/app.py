"""The sandbox as a web application: the service itself, the admin API, and the page."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from airflow_provider_queuecalls.client.endpoint import Endpoint
from airflow_provider_queuecalls.sandbox import api
from airflow_provider_queuecalls.sandbox.guard import Guard
from airflow_provider_queuecalls.sandbox.page import Page
from airflow_provider_queuecalls.sandbox.service import Service
from airflow_provider_queuecalls.sandbox.state import State


def create_app(state: State, account: Endpoint, *, connection: Mapping[str, Any], hosts: Collection[str]) -> Starlette:
    """The application.

    ``account`` is the service as its clients see it, ``connection`` the Airflow Connection that leads to it, and
    ``hosts`` are names that lead here.
    """
    service = Service(account, state)
    path = urlsplit(account.url).path
    return Starlette(
        routes=[
            Route(path, service.answer, methods=["HEAD", "POST"]),
            *api.routes(state),
            *Page(state, connection).routes(),
        ],
        middleware=[Middleware(Guard, hosts=hosts, service_path=path)],
    )
