"""An auth manager of Airflow 3 with permissions for each DAG: nobody but admins may read the runs of most DAGs."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

from tests.support.campaigns import SEEN_DAG


class ByDag(SimpleAuthManager):
    """``stranger`` may read no run at all, and ``reader`` and ``planner`` only those of :data:`~tests.support.campaigns.SEEN_DAG`."""

    def is_authorized_dag(self, *, method: Any, user: Any, access_entity: Any = None, details: Any = None) -> bool:
        name = user.get_name()
        is_run = access_entity is not None and access_entity.name == "RUN"
        if is_run and (name == "stranger" or (name != "boss" and details is not None and details.id != SEEN_DAG)):
            return False
        return super().is_authorized_dag(method=method, user=user, access_entity=access_entity, details=details)
