"""The sandbox as a web application: the service itself, the API, and the page."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.responses import JSONResponse

from airflow_provider_queuecalls import __version__
from airflow_provider_queuecalls.client.endpoint import Endpoint
from airflow_provider_queuecalls.sandbox import api
from airflow_provider_queuecalls.sandbox.guard import Guard
from airflow_provider_queuecalls.sandbox.page import Page
from airflow_provider_queuecalls.sandbox.service import Service
from airflow_provider_queuecalls.sandbox.state import State

if TYPE_CHECKING:
    from starlette.requests import Request


def create_app(state: State, account: Endpoint, *, connection: Mapping[str, Any], hosts: Collection[str]) -> FastAPI:
    """Create the application.

    :param account: The service as its clients see it.
    :param connection: The Airflow Connection that leads to it.
    :param hosts: Host names by which this machine is reached.
    """
    # FastAPI's own pages of documentation load scripts from another host.
    app = FastAPI(title="queuecalls sandbox", version=__version__, docs_url=None, redoc_url=None)
    app.state.sandbox = state
    path = urlsplit(account.url).path
    app.add_route(path, Service(account, state).respond, methods=["HEAD", "POST"], include_in_schema=False)
    # include_router() would build the API's routes again, which takes more time than all else here; tests start many.
    app.router.routes.extend([*api.router.routes, *Page(state, connection).routes()])
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_middleware(Guard, hosts=hosts, service_path=path)
    return app


def _not_valid(_: Request, error: Exception) -> JSONResponse:
    """Name each value that is not valid, without repeating it: JSON's NaN could not be repeated in JSON."""
    assert isinstance(error, RequestValidationError)  # noqa: S101  # which is what it is registered for
    problems = [f"{'.'.join(map(str, found['loc']))}: {found['msg']}" for found in error.errors()]
    return JSONResponse({"detail": "; ".join(problems)}, 422)
