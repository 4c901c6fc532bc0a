"""What a user may see. The app that serves the pages identifies the user."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from starlette.requests import Request

    from airflow_provider_queuecalls.records.database.overview import Summary


class Access(Protocol):
    """What one person may see."""

    def readable(self, dag_ids: Sequence[str]) -> frozenset[str] | None:
        """Those of the DAGs whose runs may be read; None if all campaigns may be seen. "" stands for campaigns of no DAG."""
        ...

    def may_read_contacts(self, dag_id: str) -> bool:
        """Whether phone numbers of this DAG's campaigns may be shown and downloaded."""
        ...

    def record(self, action: str, campaign: Summary) -> None:
        """Put on record that phone numbers of a campaign are given out. If that fails, they are not."""
        ...


#: Says what the person behind a request may see; None for somebody who may not see anything.
Authorize: TypeAlias = "Callable[[Request], Awaitable[Access | None]]"


class FullAccess:
    """Everything may be seen: by whoever can read the database's file or knows its password anyway."""

    def readable(self, dag_ids: Sequence[str]) -> None:  # noqa: ARG002
        return None

    def may_read_contacts(self, dag_id: str) -> bool:  # noqa: ARG002
        return True

    def record(self, action: str, campaign: Summary) -> None:
        pass
