"""The stores of records that take Airflow: a folder in a remote storage, and a task's own state."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Mapping
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_queuecalls._airflow.storage import create_object, problem_of, remote_path
from airflow_provider_queuecalls.parameters import show_path
from airflow_provider_queuecalls.records.sent.stores import (
    MARKER,
    MARKER_TEXT,
    SharedStore,
    Store,
    command_arguments_for,
    decoded,
    encoded,
    file_name,
    last_generation,
)

#: One key for a task instance, whatever its campaign is called: a name that changes from try to try makes no new task.
STATE_KEY = "queuecalls_campaign"
#: The limit of one operation on a record, all repeats included: where S3 does not respond, its own add up to minutes.
OPERATION_SECONDS = 60.0
#: The same for a connection's test, for which a person waits.
PROBE_SECONDS = 5.0
#: Storages whose libraries can create an object only where there is none.
CONDITIONAL = {
    **dict.fromkeys(("s3", "s3a", "s3n"), "s3fs"),
    **dict.fromkeys(("gs", "gcs"), "gcsfs"),
    **dict.fromkeys(("abfs", "abfss", "adl"), "adlfs"),
}


def conditional_library(url: str) -> str | None:
    """The library that opens this URL, if it can create an object only where there is none."""
    return CONDITIONAL.get(url.partition("://")[0].lower())


class RemoteStore(SharedStore):
    """A folder with one small JSON object for each entry, in any storage of ObjectStoragePath, below the URL ``root``."""

    def __init__(self, root: str, name: str, operation_seconds: float | None = None) -> None:
        self.location = show_path(f"{root}/{name}")
        url = urlsplit(root)
        self.command_arguments = command_arguments_for(name, "RECEIPTS_PATH" if url.password or url.query else root)
        self._root = root
        self._name = name
        self._operation_seconds = operation_seconds
        self._conditional = conditional_library(root) is not None

    @cached_property
    def exclusive(self) -> bool:
        """Tried out with the marker in the root. Libraries of other storages send no condition, and some servers that speak
        S3's API ignore it: there, two tasks at the very same moment may both think that they were first."""
        return self._conditional and self._creates_once(MARKER)

    def location_of(self, generation: int) -> str:
        return show_path(f"{self._root}/{self._name}/{file_name(generation)}")

    def problem(self, error: Exception) -> str:
        return problem_of(error)[1]

    def probe(self) -> bool:
        name = secrets.token_hex(8)
        creates_once = self._creates_once(name, PROBE_SECONDS)
        storage, root, limit = self._open(PROBE_SECONDS)
        storage.rm_file(f"{root}/{name}", **limit)
        return self._conditional and creates_once

    def names(self) -> list[str]:
        storage, root, limit = self._open()
        paths = storage.ls(root, detail=False, **limit)
        return [name for path in paths if (name := path.rstrip("/").rpartition("/")[2]) != MARKER]

    def last(self) -> tuple[int, Any] | None:
        storage, root, limit = self._open()
        storage.invalidate_cache()  # another worker may have written meanwhile
        try:
            paths = storage.ls(f"{root}/{self._name}", detail=False, **limit)
        except FileNotFoundError:
            return None
        if not (generation := last_generation([path.rpartition("/")[2] for path in paths])):
            return None
        return generation, decoded(storage.cat_file(f"{root}/{self._name}/{file_name(generation)}", **limit))

    def create(self, generation: int, entry: Mapping[str, Any]) -> bool:
        return self._create(f"{self._name}/{file_name(generation)}", encoded(entry))

    def _creates_once(self, name: str, seconds: float | None = None) -> bool:
        return not all(self._create(name, MARKER_TEXT.encode(), seconds) for _ in range(2))

    def _create(self, name: str, content: bytes, seconds: float | None = None) -> bool:
        storage, root, limit = self._open(seconds)
        return create_object(storage, f"{root}/{name}", content, **limit)

    def _open(self, seconds: float | None = None) -> tuple[Any, str, dict[str, float]]:
        """The storage's file system, the root in it, and the time limit of an operation, where the storage takes one."""
        root = remote_path(self._root)
        timeout = seconds or self._operation_seconds or OPERATION_SECONDS
        return root.fs, root.path, {"timeout": timeout} if root.fs.async_impl else {}


class StateInDatabase:
    """A task's state outside of the task, with the methods that the task's own has."""

    def __init__(self, backend: Any, scope: Any) -> None:
        self._backend = backend
        self._scope = scope

    def get(self, key: str) -> Any:
        value = self._backend.get(self._scope, key)
        return None if value is None else decoded(value)

    def set(self, key: str, value: Any, *, retention: Any) -> None:  # noqa: ARG002  # kept until Clear
        self._backend.set(self._scope, key, encoded(value).decode())


class TaskStateStore(Store):
    """The task instance's own state (Airflow 3.3): survives retries and lost workers, and Clear in 3.3; from 3.4 on Clear
    discards it unless the person keeps it. Airflow refuses what an earlier try writes.

    It holds the last entry for each service and account that the task has sent to, by a campaign key's ``sender_digest``.
    """

    location = "the task's state"
    clear_note = " and keep its state (Airflow asks about that from 3.4 on)"
    other_names_count = True
    exclusive = True

    def __init__(self, state: Any, ti: Any, sender: str) -> None:
        self.command_arguments = shlex.join(["--task", ti.dag_id, ti.run_id, ti.task_id, str(ti.map_index)])
        self._state = state
        self._sender = sender

    def location_of(self, generation: int) -> str:  # noqa: ARG002
        return f"{self.location} {STATE_KEY!r}"

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
