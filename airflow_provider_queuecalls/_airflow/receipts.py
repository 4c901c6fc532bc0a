"""Where records lie in Airflow: at ``receipts_path``, else in the task's own state."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_provider_queuecalls._airflow import settings
from airflow_provider_queuecalls._airflow.compat import Context
from airflow_provider_queuecalls._airflow.storage import (
    Location,
    local_path,
    problem_of,
    remote_path,
    url_of,
)
from airflow_provider_queuecalls.parameters import is_unset, show_path
from airflow_provider_queuecalls.records.ledger import CampaignKey
from airflow_provider_queuecalls.records.stores import (
    LocalStore,
    Store,
    decoded,
    encoded,
    file_name,
    last_generation,
)

#: One key for a task instance, whatever its campaign is called: a name that changes from try to try makes no new task.
STATE_KEY = "queuecalls_campaign"
#: Schemes of storages whose file systems create an object only where there is none: S3, Google Cloud Storage, and Azure.
EXCLUSIVE_SCHEMES = frozenset({"s3", "s3a", "s3n", "gs", "gcs", "abfs", "abfss", "adl"})


def receipt_store(context: Context, receipts_path: Location | None, key: CampaignKey) -> Store | None:
    """The store for one campaign's record; None where this Airflow has none and no ``receipts_path`` is given."""
    path = settings.receipts_path() if is_unset(receipts_path) else receipts_path
    if path is not None:
        return store_at(path, key)
    state = context.get("task_state_store")
    return None if state is None else TaskStateStore(state, key)


def store_at(receipts_path: Any, key: CampaignKey) -> Store:
    """A folder for each campaign: with a readable name, and different for any two campaigns."""
    name = f"{re.sub(r'[^A-Za-z0-9._-]', '_', key.campaign_name)[:100]}-{key.digest}"
    if (url := url_of(receipts_path)) is None:
        return LocalStore(Path(local_path(receipts_path), name))
    return RemoteStore(f"{url.rstrip('/')}/{name}")


class RemoteStore:
    """One small JSON object for each entry in any storage of ObjectStoragePath.

    Created exclusively where the storage can: S3 and what speaks its API with conditional writes. Elsewhere two tasks
    at the very same moment may both think that they were first.
    """

    def __init__(self, url: str) -> None:
        self.location = show_path(url)
        self.exclusive = url.partition("://")[0].lower() in EXCLUSIVE_SCHEMES
        self._url = url

    def problem(self, error: Exception) -> str:
        return problem_of(error)[1]

    def last(self) -> tuple[int, Any] | None:
        folder = remote_path(self._url)
        folder.fs.invalidate_cache()  # another worker may have written meanwhile
        try:
            paths = folder.fs.ls(folder.path, detail=False)
        except FileNotFoundError:
            return None
        if not (generation := last_generation([path.rpartition("/")[2] for path in paths])):
            return None
        return generation, decoded(folder.fs.cat_file(f"{folder.path}/{file_name(generation)}"))

    def create(self, generation: int, entry: Mapping[str, Any]) -> bool:
        folder = remote_path(self._url)
        try:
            # Not open("xb"), which older s3fs takes for "wb" where the file is small.
            folder.fs.pipe_file(f"{folder.path}/{file_name(generation)}", encoded(entry), mode="create")
        except FileExistsError:
            return False
        return True


class TaskStateStore:
    """The task instance's own state (Airflow 3.3): survives retries and lost workers, and Clear in 3.3; from 3.4 on Clear
    discards it unless the person keeps it. Airflow refuses what an earlier try writes.

    It holds the last entry for each service and account that the task has sent to.
    """

    location = "the task's state"
    exclusive = True

    def __init__(self, state: Any, key: CampaignKey) -> None:
        self._state = state
        self._sender = key.sender_digest

    def problem(self, error: Exception) -> str:
        return type(error).__name__

    def last(self) -> tuple[int, Any] | None:
        record = self._records().get(self._sender)
        if record is None:
            return None
        match record:
            case {"generation": int(generation), "entry": entry}:
                return generation, entry
        return 1, None  # not a record: what reads it says so

    def create(self, generation: int, entry: Mapping[str, Any]) -> bool:
        from airflow.sdk import NEVER_EXPIRE  # type: ignore[attr-defined]  # missing in its stubs

        last = self.last()
        if last is not None and last[0] >= generation:
            return False
        records = {**self._records(), self._sender: {"generation": generation, "entry": dict(entry)}}
        self._state.set(STATE_KEY, records, retention=NEVER_EXPIRE)
        return True

    def _records(self) -> Mapping[str, Any]:
        records = self._state.get(STATE_KEY)
        if records is None:
            return {}
        return records if isinstance(records, Mapping) else {self._sender: records}
