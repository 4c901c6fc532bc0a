"""Where the ledger lies in Airflow: at ``receipts_path``, else in the task's own state, else nowhere."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from airflow_provider_queuecalls._airflow.compat import Context, conf
from airflow_provider_queuecalls._airflow.storage import (
    Location,
    local_path,
    problem_of,
    remote_path,
    shown_url,
    url_of,
)
from airflow_provider_queuecalls.client.campaign import is_unset
from airflow_provider_queuecalls.records.stores import Entry, LocalStore, Store, decoded, encoded

CONFIG_SECTION = "queuecalls"
#: One key for a task instance, whatever its campaign is called: a name that changes from try to try makes no new task.
STATE_KEY = "queuecalls_campaign"


def receipt_store(context: Context, receipts_path: Location | None, campaign_name: str) -> Store | None:
    """The store for one campaign's entry; None where this Airflow has none and no ``receipts_path`` is given."""
    if is_unset(receipts_path):
        receipts_path = conf().get(CONFIG_SECTION, "receipts_path", fallback=None)
    if not is_unset(receipts_path):
        return _at(receipts_path, campaign_name)
    state = context.get("task_state_store")
    return None if state is None else TaskStateStore(state)


def _at(receipts_path: Any, campaign_name: str) -> Store:
    """One file for each campaign name: readable, and different for any two names."""
    digest = hashlib.sha256(campaign_name.encode()).hexdigest()[:16]
    name = f"{re.sub(r'[^A-Za-z0-9._-]', '_', campaign_name)[:100]}-{digest}.json"
    if (url := url_of(receipts_path)) is None:
        return LocalStore(Path(local_path(receipts_path), name))
    return RemoteStore(f"{url.rstrip('/')}/{name}")


class RemoteStore:
    """One small JSON object in any storage of ObjectStoragePath.

    Created exclusively where the storage can: S3 and what speaks its API with conditional writes. Elsewhere two tasks
    at the very same moment may both think that they were first.
    """

    def __init__(self, url: str) -> None:
        self.place = shown_url(url)
        self._url = url

    def problem(self, error: Exception) -> str:
        return problem_of(error)[1]

    def read(self) -> Entry | None:
        path = self._path()
        try:
            # One request: between a look and a read, whoever was faster may have put the receipt in the intent's place.
            return decoded(path.fs.cat_file(path.path))
        except FileNotFoundError:
            return None

    def create(self, entry: Entry) -> bool:
        if self.read() is not None:
            return False
        path = self._path()
        try:
            # Not open("xb"), which older s3fs takes for "wb" where the file is small.
            path.fs.pipe_file(path.path, encoded(entry), mode="create")
        except FileExistsError:
            return False
        return True

    def replace(self, entry: Entry) -> None:
        with self._path().open("wb") as file:
            file.write(encoded(entry))

    def remove(self) -> None:
        self._path().unlink()

    def _path(self) -> Any:
        path = remote_path(self._url)
        path.fs.invalidate_cache()  # another worker may have written meanwhile
        return path


class TaskStateStore:
    """The task instance's own state (Airflow 3.3): survives retries and lost workers, and Clear in 3.3; from 3.4 on Clear
    discards it unless the person keeps it."""

    place = "the task's state"

    def __init__(self, state: Any) -> None:
        self._state = state

    def problem(self, error: Exception) -> str:
        return type(error).__name__

    def read(self) -> Entry | None:
        value = self._state.get(STATE_KEY)
        if value is not None and not (isinstance(value, dict) and "intent" in value):
            raise ValueError("not an entry of the ledger")
        return value

    def create(self, entry: Entry) -> bool:
        # One try of a task instance runs at a time, so there is nobody to be faster.
        if self.read() is not None:
            return False
        self.replace(entry)
        return True

    def replace(self, entry: Entry) -> None:
        from airflow.sdk import NEVER_EXPIRE  # type: ignore[attr-defined]  # missing in its stubs

        self._state.set(STATE_KEY, dict(entry), retention=NEVER_EXPIRE)

    def remove(self) -> None:
        self._state.delete(STATE_KEY)
