"""The pages of campaigns in the API server of Airflow 3.1 or later, behind its login and its permissions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import get_user
from airflow.models import Log
from airflow.models.dag import DagModel
from airflow.utils.session import create_session
from fastapi import Depends, FastAPI, HTTPException
from starlette.requests import Request  # noqa: TC002  # FastAPI reads the annotation
from starlette.responses import Response

from airflow_provider_queuecalls._airflow.compat import conf
from airflow_provider_queuecalls._airflow.results import results_database
from airflow_provider_queuecalls._airflow.settings import PAGES_PATH
from airflow_provider_queuecalls.pages.app import Pages

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from airflow_provider_queuecalls.records.database.overview import Summary


#: Stands for campaigns of no DAG. No DAG can have this id, so it is allowed to those who have the permission for all DAGs.
NO_DAG = "(no DAG)"


class UserAccess:
    """What one of Airflow's users may see: the campaigns of the DAGs whose runs they may read, and the phone numbers of those
    that they may trigger."""

    def __init__(self, user: Any) -> None:
        self._user = user

    def readable(self, dag_ids: Sequence[str]) -> frozenset[str]:
        return frozenset(dag_id for dag_id in dag_ids if self._may("GET", dag_id))

    def may_read_contacts(self, dag_id: str) -> bool:
        return self._may("POST", dag_id)

    def may_read_any(self) -> bool:
        """Whether there may be a run that this user may read."""
        return self._is_authorized("GET", None)

    def record(self, action: str, campaign: Summary) -> None:
        name = self._user.get_name()
        extra = json.dumps({"campaign_name": campaign.name})
        with create_session() as session:
            session.add(
                Log(
                    event=f"queuecalls: {action}", owner=name, owner_display_name=name, extra=extra,
                    dag_id=campaign.dag_id or None, run_id=campaign.run_id or None,
                )
            )  # fmt: skip

    def _may(self, method: Any, dag_id: str) -> bool:
        return self._is_authorized(method, DagDetails(id=dag_id or NO_DAG, team_name=_team(dag_id)))

    def _is_authorized(self, method: Any, details: DagDetails | None) -> bool:
        return get_auth_manager().is_authorized_dag(
            method=method, access_entity=DagAccessEntity.RUN, details=details, user=self._user
        )


def _team(dag_id: str) -> str | None:
    """The team of a DAG, where Airflow has teams."""
    if not dag_id or not conf().getboolean("core", "multi_team", fallback=False):
        return None
    team: str | None = DagModel.get_team_name(dag_id)
    return team


def pages_app() -> FastAPI:
    """Return the pages behind Airflow's login. Who is not signed in gets nothing but an error, not even a static file."""

    async def authorize(request: Request) -> UserAccess | None:
        access: UserAccess = request.state.queuecalls_access
        return access

    pages = Pages(results_database, authorize, _run_url).app()

    class Passed(Response):
        """The response of the pages."""

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await pages(scope, receive, send)

    app = FastAPI(openapi_url=None)

    # Airflow's own dependency says who asks, by cookie or token. It ends the request if nobody is signed in.
    @app.get("/{path:path}")
    def respond(request: Request, user: Any = Depends(get_user)) -> Response:  # noqa: B008
        access = UserAccess(user)
        if not access.may_read_any():
            raise HTTPException(403, "You may not read DAG runs.")
        request.state.queuecalls_access = access
        return Passed()

    return app


def _run_url(root: str, dag_id: str, run_id: str) -> str:
    return f"{root.removesuffix(PAGES_PATH)}/dags/{quote(dag_id, safe='')}/runs/{quote(run_id, safe='')}"
