"""Where records lie in Airflow: at ``receipts_path``, else in the task's own state."""

from __future__ import annotations

import os
import platform
import re
import secrets
import shlex
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from packaging.version import Version

from airflow_provider_queuecalls._airflow import settings
from airflow_provider_queuecalls._airflow.compat import Context
from airflow_provider_queuecalls._airflow.storage import local_path, problem_of, remote_path, url_of
from airflow_provider_queuecalls.exceptions import CheckFailed, InvalidCampaign, Violation
from airflow_provider_queuecalls.parameters import is_unset, show, show_path
from airflow_provider_queuecalls.records.entry import CampaignKey, Entry
from airflow_provider_queuecalls.records.stores import (
    MARKER,
    MARKER_TEXT,
    LocalStore,
    NoStore,
    Store,
    arguments_for,
    assert_initialized,
    decoded,
    encoded,
    file_name,
    last_generation,
)

#: One key for a task instance, whatever its campaign is called: a name that changes from try to try makes no new task.
STATE_KEY = "queuecalls_campaign"
#: What ``receipts_path`` is for whoever accepts that there is no record.
NO_RECORD = "none"
NO_RECORD_WARNING = (
    "receipts_path is 'none', so there is no record of what is sent. If the worker is lost or the task is cleared, the whole "
    "list is called again."
)
CHOICES = """one of these:
    a folder that all workers share:
      export AIRFLOW__QUEUECALLS__RECEIPTS_PATH=s3://conn@bucket/queuecalls
    or a local folder, if all tasks run on one machine that keeps its disk:
      queuecalls records init /data/queuecalls && export AIRFLOW__QUEUECALLS__RECEIPTS_PATH=/data/queuecalls
    or no record, if you accept that a lost worker or Clear makes the task call everybody again:
      receipts_path="none\""""
PATHS = "an absolute path, such as /data/queuecalls, or a URL, such as s3://conn@bucket/queuecalls"
#: The limit of one operation on a record, all repeats included: where S3 does not respond, its own add up to minutes.
OPERATION_SECONDS = 60.0
#: The same for a connection's test, for which a person waits.
PROBE_SECONDS = 5.0
#: Storages whose libraries create an object only where there is none, from this version on.
CONDITIONAL_SINCE = Version("2024.12")
CONDITIONAL = {
    **dict.fromkeys(("s3", "s3a", "s3n"), "s3fs"),
    **dict.fromkeys(("gs", "gcs"), "gcsfs"),
    **dict.fromkeys(("abfs", "abfss", "adl"), "adlfs"),
}
#: Not a campaign: its store shows whether records can be written.
PROBE = CampaignKey(campaign_name="queuecalls-connection-test", service="", account="")

OpenStore: TypeAlias = Callable[[CampaignKey], Store]


def records_at(receipts_path: Any, log: Any, *, dry_run: bool = False, context: Context | None = None) -> OpenStore:
    """How to open a campaign's record: at ``receipts_path`` or that of Airflow's configuration, else in the task's state.

    Raises :class:`InvalidCampaign` if no record can be kept there, unless nobody needs one for a dry run.
    """
    path = _given(receipts_path)
    if path is None:
        state = context and context.get("task_state_store")
        if state is None and not dry_run:
            raise _invalid("is not set, so nothing would record what is sent", CHOICES)
        return partial(TaskStateStore, state, context and context["ti"])
    if path == NO_RECORD:
        log.warning(NO_RECORD_WARNING)
        return lambda _: NoStore()
    root = _root(path)
    return lambda key: _store_in(root, key)


def describe_records(log: Any) -> str:
    """Where Airflow's configuration keeps records, and whether this machine can write there, for the connection's test."""
    path, here = settings.receipts_path(), platform.node()
    if path is None and tasks_have_state():
        return "What is sent is recorded in the task's own state."
    try:
        store = records_at(path, log)(PROBE)
    except InvalidCampaign as error:
        return f"{' '.join(error.violations[0].sentence.split())}."
    if not isinstance(store, LocalStore | RemoteStore):
        return NO_RECORD_WARNING
    try:
        exclusive = store.probe()
    except Exception as error:  # noqa: BLE001  # each store has errors of its own
        return f"What is sent cannot be recorded in {show_path(path)} from {here}: {store.problem(error)}."
    race = "" if exclusive else " Two tasks that send one campaign at the same moment might both send it."
    return f"What is sent is recorded in {show_path(path)}, which {here} can write to.{race}"


def tasks_have_state() -> bool:
    """Whether this Airflow has the state of a task (3.3 and later)."""
    try:
        from airflow.sdk import NEVER_EXPIRE  # type: ignore[attr-defined]  # noqa: F401  # missing in its stubs
    except ImportError:
        return False
    return True


def _given(receipts_path: Any) -> Any:
    """The value that counts, without whitespace around it: that of the parameter, else that of Airflow's configuration."""
    path = settings.receipts_path() if is_unset(receipts_path) else receipts_path
    return path.strip() if isinstance(path, str) else path


def _root(receipts_path: Any) -> Path | str:
    """The folder of all records: a path on this machine, or a URL."""
    if (url := url_of(receipts_path)) is not None:
        _assert_conditional(url)
        return url.rstrip("/")
    folder = Path(os.path.expanduser(str(local_path(receipts_path))))
    if not folder.is_absolute():
        raise _invalid("is not an absolute path", PATHS, show(str(folder)))
    return folder


def _store_in(root: Path | str, key: CampaignKey) -> LocalStore | RemoteStore:
    """A folder for each campaign: with a readable name, and different for any two campaigns."""
    return _store_of(root, f"{_readable(key.campaign_name)}-{key.digest}")


def _store_of(root: Path | str, name: str) -> LocalStore | RemoteStore:
    return LocalStore(root, name) if isinstance(root, Path) else RemoteStore(root, name)


def _readable(campaign_name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", campaign_name)[:100]


def stores_at(receipts_path: Any, name: str | None = None) -> list[tuple[str, Store]]:
    """All records in a folder, by the names of their own folders, or only those of the campaign or folder of that name.

    Raises :class:`InvalidCampaign` if there is no folder, and :class:`CheckFailed` if it cannot be read.
    """
    path = _given(receipts_path)
    if path is None or path == NO_RECORD:
        raise _invalid("is not set", f"{PATHS}, or use --task for a task that keeps its record in its own state")
    root = _root(path)
    try:
        if isinstance(root, Path):
            assert_initialized(root)
            names = [each.name for each in root.iterdir() if each.is_dir()]
        else:
            storage, folder, limit = RemoteStore(root, "")._open()
            names = [each.rstrip("/").rpartition("/")[2] for each in storage.ls(folder, detail=False, **limit)]
    except Exception as error:  # noqa: BLE001  # each storage has errors of its own
        raise CheckFailed(
            f"The records in {show_path(path)} cannot be read: {_store_of(root, '').problem(error)}."
        ) from None
    if name is not None:
        mine = re.compile(f"{re.escape(name)}|{re.escape(_readable(name))}-[0-9a-f]{{16}}")
        names = [each for each in names if mine.fullmatch(each)]
    return [(each, _store_of(root, each)) for each in sorted(names) if each != MARKER]


def task_stores(dag_id: str, run_id: str, task_id: str, map_index: str) -> list[tuple[str, Store]]:
    """The records in a task's own state, each by its campaign's name. Runs where Airflow's database can be reached."""
    if not tasks_have_state():
        raise _invalid("is needed: before Airflow 3.3, tasks have no state of their own", PATHS)
    from airflow.state.metastore import MetastoreBackend, TaskScope  # type: ignore[attr-defined]  # which 3.3 does not list

    ti = TaskScope(dag_id=dag_id, run_id=run_id, task_id=task_id, map_index=int(map_index))
    state = StateInDatabase(MetastoreBackend(), ti)
    found = state.get(STATE_KEY)
    keys = [Entry.from_json(record["entry"]).key for record in found.values()] if isinstance(found, Mapping) else []
    return [(key.campaign_name, TaskStateStore(state, ti, key)) for key in keys]


def _assert_conditional(url: str) -> None:
    """Raise :class:`InvalidCampaign` if the storage's library is so old that it replaces a record that is there."""
    if (library := _conditional_library(url)) is None:
        return
    try:
        installed = version(library)
    except PackageNotFoundError:
        return  # what opens the record says so
    if Version(installed) < CONDITIONAL_SINCE:
        raise _invalid(
            f"is in a storage for which {library} {installed} is installed, which replaces a record that another task has "
            "just written",
            f"used with {library} {CONDITIONAL_SINCE} or later: pip install '{library}>={CONDITIONAL_SINCE}'",
        )


def _conditional_library(url: str) -> str | None:
    return CONDITIONAL.get(url.partition("://")[0].lower())


def _invalid(problem: str, rule: str, value: str = "") -> InvalidCampaign:
    return InvalidCampaign([Violation("receipts_path", problem, rule, value=value)])


class RemoteStore:
    """A folder with one small JSON object for each entry, in any storage of ObjectStoragePath, below the URL ``root``."""

    def __init__(self, root: str, name: str) -> None:
        self.location = show_path(f"{root}/{name}")
        url = urlsplit(root)
        self.arguments = arguments_for(name, "RECEIPTS_PATH" if url.password or url.query else root)
        self._root = root
        self._name = name
        self._conditional = _conditional_library(root) is not None

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
        try:
            storage.pipe_file(f"{root}/{name}", content, mode="create", **limit)
        except FileExistsError:
            return False
        return True

    def _open(self, seconds: float | None = None) -> tuple[Any, str, dict[str, float]]:
        """The storage's file system, the root in it, and the time limit of an operation, where the storage takes one."""
        root = remote_path(self._root)
        return root.fs, root.path, {"timeout": seconds or OPERATION_SECONDS} if root.fs.async_impl else {}


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


class TaskStateStore:
    """The task instance's own state (Airflow 3.3): survives retries and lost workers, and Clear in 3.3; from 3.4 on Clear
    discards it unless the person keeps it. Airflow refuses what an earlier try writes.

    It holds the last entry for each service and account that the task has sent to.
    """

    location = "the task's state"
    exclusive = True

    def __init__(self, state: Any, ti: Any, key: CampaignKey) -> None:
        self.arguments = shlex.join(["--task", ti.dag_id, ti.run_id, ti.task_id, str(ti.map_index)])
        self._state = state
        self._sender = key.sender_digest

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
