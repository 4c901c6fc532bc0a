"""Results of a campaign's calls, as the service posts them."""

from __future__ import annotations

from airflow_provider_queuecalls.records.call_results import read_result
from airflow_provider_queuecalls.records.database.database import Database

#: The users of :class:`~tests.support.auth.ByDag` and their roles, as SimpleAuthManager's configuration names them.
USERS = {"stranger": "viewer", "reader": "viewer", "planner": "user", "boss": "admin"}
SEEN_DAG = "seen"
NUMBERS = REACHED, NOT_REACHED = "16175550147", "16175550150"


def add_results(database: Database, key: str, **fields: str) -> None:
    """One contact was reached at the second attempt, and one was not reached."""
    known = {"attempts": "2", "last_attempt_timestamp": "1790000000", "duration": "30", **fields}
    for number, result, kind, reference in (
        (REACHED, "completed", "human", "order-1"),
        (NOT_REACHED, "failed", "busy", "order-2"),
    ):
        call = {"phone_number": number, "result": result, "callee_type": kind, "message_reference": reference}
        database.add(key, read_result({**known, **call}.items()))
