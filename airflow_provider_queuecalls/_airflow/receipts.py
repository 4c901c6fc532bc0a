"""Where records are kept in Airflow: at ``receipts_path``, else in the task's own state."""

from __future__ import annotations

import errno
import os
import platform
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from packaging.version import Version

from airflow_provider_queuecalls._airflow import settings
from airflow_provider_queuecalls._airflow.compat import Context
from airflow_provider_queuecalls._airflow.results import first_result, results_database
from airflow_provider_queuecalls._airflow.storage import local_path, url_of
from airflow_provider_queuecalls._airflow.stores import (
    STATE_KEY,
    RemoteStore,
    StateInDatabase,
    TaskStateStore,
    conditional_library,
)
from airflow_provider_queuecalls.exceptions import (
    CheckFailed,
    InvalidCampaign,
    InvalidContactRules,
    InvalidContacts,
    NoRecord,
    QueueCallsError,
    Violation,
)
from airflow_provider_queuecalls.parameters import is_unset, show, show_path
from airflow_provider_queuecalls.records.database.engine import PATIENCE_SECONDS
from airflow_provider_queuecalls.records.database.ledger_store import DATABASE, DatabaseStore
from airflow_provider_queuecalls.records.sent.entry import CampaignKey
from airflow_provider_queuecalls.records.sent.ledger import Ledger, OpenLedger, Try
from airflow_provider_queuecalls.records.sent.stores import (
    LocalStore,
    NoStore,
    OpenStore,
    SharedStore,
    Store,
    init_folder,
)

#: The value of ``receipts_path`` that turns the record off.
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
    or the results database, if it is PostgreSQL:
      export AIRFLOW__QUEUECALLS__RECEIPTS_PATH=database
    or no record, if you accept that a lost worker or Clear makes the task call everybody again:
      receipts_path="none\""""
NOT_SET = "is not set, so nothing would record what is sent", CHOICES
PATHS = "an absolute path, such as /data/queuecalls, a URL, such as s3://conn@bucket/queuecalls, or 'database'"
#: The libraries of :func:`conditional_library` create an object only where there is none, from this version on.
CONDITIONAL_SINCE = Version("2024.12")
#: Not a campaign: its store shows whether records can be written.
PROBE = "queuecalls-connection-test"


def records_at(receipts_path: Any, log: Any, *, dry_run: bool = False, context: Context | None = None) -> OpenStore:
    """How to open a campaign's record: at ``receipts_path`` or that of Airflow's configuration, else in the task's state.

    What the task's state has counts as well, since a path may have been set after the task has sent its campaign. Raises
    :class:`InvalidCampaign` if no record can be kept there. A dry run needs no record.
    """
    path, open_state = _given(receipts_path), _state_opener(context)
    if path == NO_RECORD:
        log.warning(NO_RECORD_WARNING)
        return lambda _: NoStore()
    if path is not None:
        return _records_in(path, before=open_state)
    if open_state is not None:
        return open_state
    if dry_run:
        return lambda _: NoStore()
    raise _invalid(*NOT_SET)


def _state_opener(context: Context | None) -> OpenStore | None:
    """How to open a record in the state of the task that runs; None if it has no state."""
    if context is None or (state := context.get("task_state_store")) is None:
        return None
    return lambda key: TaskStateStore(state, context["ti"], key.sender_digest)


def alarm_records_at(receipts_path: Any, operation_seconds: float) -> OpenStore:
    """How to open the record of an alarm, which all machines share: at ``receipts_path`` or that of Airflow's configuration.

    ``operation_seconds`` is the limit of one operation in a storage, and of a connection to the database. Raises
    :class:`InvalidCampaign` if there is no such place, also for ``'none'``: without a record, each failure would call.
    """
    path = _given(receipts_path)
    if path is None or path == NO_RECORD:
        raise _invalid("is not set" if path is None else "keeps no record of calls", PATHS, show(path))
    return _records_in(path, operation_seconds=operation_seconds)


def _records_in(path: Any, *, before: OpenStore | None = None, operation_seconds: float | None = None) -> OpenStore:
    """How to open a campaign's record in the place of all records, after the one that ``before`` opens."""
    open_named = _store_opener(path, operation_seconds)

    def open_store(key: CampaignKey) -> Store:
        store = open_named(_record_name(key))
        store.before = before and before(key)
        return store

    return open_store


def machine_records(folder: Path) -> OpenStore:
    """How to open a record that only this machine has, in a folder of this user's own that is made in ``folder``.

    Raises :class:`NoRecord` if that folder cannot be made.
    """
    root = folder / f"queuecalls-alarms-{os.getuid()}"

    def open_store(key: CampaignKey) -> Store:
        try:
            root.mkdir(mode=0o700, exist_ok=True)
            if root.is_symlink() or root.stat().st_uid != os.getuid():
                raise PermissionError(errno.EPERM, "it belongs to another user")
            init_folder(root)
        except OSError as error:
            raise NoRecord(
                f"This machine cannot keep a record in {str(root)!r}: {error.strerror}.", sent=False
            ) from None
        return LocalStore(root, _record_name(key))

    return open_store


def try_of(ti: Any, *, resend: bool) -> Try:
    """This try of a task, or of a program if ``ti`` is None: each call of a program may resend once."""
    if ti is None:
        return Try(1, f"program/{secrets.token_hex(8)}", resend)
    # Clear raises max_tries, a retry does not.
    return Try(ti.try_number, f"{ti.dag_id}/{ti.run_id}/{ti.task_id}/{ti.map_index}/{ti.max_tries}", resend)


def ledger_opener(open_store: OpenStore, this_try: Try, log: Any) -> OpenLedger:
    """How a try opens the record of any campaign."""
    return lambda key: Ledger(open_store(key), key, this_try, first_result=first_result, log=log)


@contextmanager
def earlier_try_named(open_store: OpenStore, key: CampaignKey) -> Iterator[None]:
    """Add to errors of the check what an earlier try has sent: what fails now, and sends nothing, may follow a success.

    Nobody should send the list under another name because a contact file is gone that was sent an hour ago.
    """
    try:
        yield
    except (InvalidCampaign, InvalidContactRules, InvalidContacts, CheckFailed) as error:
        try:
            earlier = ledger_opener(open_store, Try(0, ""), log=None)(key).describe_earlier_try()
        except QueueCallsError as unread:
            earlier = str(unread)
        error.args = ("\n".join([str(error), *earlier.splitlines()]),)
        raise


def describe_records() -> str:
    """Where Airflow's configuration keeps records, and whether this machine can write there, for the connection's test."""
    path, here = settings.option("receipts_path"), platform.node()
    if path is None:
        return (
            "What is sent is recorded in the task's own state." if tasks_have_state() else _sentence(_invalid(*NOT_SET))
        )
    if path == NO_RECORD:
        return NO_RECORD_WARNING
    try:
        store = _store_opener(path)(PROBE)
    except InvalidCampaign as error:
        return _sentence(error)
    try:
        exclusive = store.probe()
    except Exception as error:  # noqa: BLE001  # each store has errors of its own
        return f"What is sent cannot be recorded in {_shown(path)} from {here}: {store.problem(error)}."
    race = "" if exclusive else " Two tasks that send one campaign at the same moment might both send it."
    return f"What is sent is recorded in {_shown(path)}, which {here} can write to.{race}"


def tasks_have_state() -> bool:
    """Whether this Airflow has the state of a task (3.3 and later)."""
    try:
        from airflow.sdk import NEVER_EXPIRE  # type: ignore[attr-defined]  # noqa: F401  # missing in its stubs
    except ImportError:
        return False
    return True


def _given(receipts_path: Any) -> Any:
    """The value that counts, without whitespace around it: that of the parameter, else that of Airflow's configuration."""
    path = settings.option("receipts_path") if is_unset(receipts_path) else receipts_path
    return path.strip() if isinstance(path, str) else path


def _store_opener(receipts_path: Any, operation_seconds: float | None = None) -> Callable[[str], SharedStore]:
    """How to open the record of any name in the place of all records: a folder, a URL, or the results database."""
    if receipts_path == DATABASE:
        return partial(DatabaseStore, partial(results_database, patience=operation_seconds or PATIENCE_SECONDS))
    if (url := url_of(receipts_path)) is not None:
        _assert_conditional(url)
        return partial(RemoteStore, url.rstrip("/"), operation_seconds=operation_seconds)
    folder = Path(os.path.expanduser(str(local_path(receipts_path))))
    if not folder.is_absolute():
        raise _invalid("is not an absolute path", PATHS, show(str(folder)))
    return partial(LocalStore, folder)


def _shown(receipts_path: Any) -> str:
    return repr(DATABASE) if receipts_path == DATABASE else show_path(receipts_path)


def _record_name(key: CampaignKey) -> str:
    """A readable name, and a different one for any two campaigns."""
    return f"{_readable(key.campaign_name)}-{key.digest}"


def _readable(campaign_name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", campaign_name)[:100]


def stores_at(receipts_path: Any, name: str | None = None) -> list[tuple[str, Store]]:
    """All records in one place, by their names there, or only those of the campaign or record of that name.

    Raises :class:`QueueCallsError` if no place is set or it has no record of that name, and :class:`CheckFailed` if it cannot
    be read.
    """
    path = _given(receipts_path)
    if path is None or path == NO_RECORD:
        raise QueueCallsError(
            f"There are no records to list: receipts_path is {'not set' if path is None else repr(path)}. Name a folder with "
            "--receipts, or a task with --task."
        )
    open_named = _store_opener(path)
    try:
        names = open_named("").names()
    except Exception as error:  # noqa: BLE001  # each storage has errors of its own
        raise CheckFailed(f"The records in {_shown(path)} cannot be read: {open_named('').problem(error)}.") from None
    if name is not None:
        mine = re.compile(f"{re.escape(name)}|{re.escape(_readable(name))}-[0-9a-f]{{16}}")
        names = [each for each in names if mine.fullmatch(each)]
        if not names:
            raise QueueCallsError(
                f"There is no record of {name!r} in {_shown(path)}. 'queuecalls records list', with the same --receipts, lists all."
            )
    return [(each, open_named(each)) for each in sorted(names)]


def task_stores(dag_id: str, run_id: str, task_id: str, map_index: int) -> list[tuple[str, Store]]:
    """The records in a task's own state, each by the task's name. Runs where Airflow's database can be reached."""
    if not tasks_have_state():
        raise _invalid("is needed: before Airflow 3.3, tasks have no state of their own", PATHS)
    from airflow.state.metastore import MetastoreBackend, TaskScope  # type: ignore[attr-defined]  # which 3.3 does not list

    ti = TaskScope(dag_id=dag_id, run_id=run_id, task_id=task_id, map_index=map_index)
    state = StateInDatabase(MetastoreBackend(), ti)
    found = state.get(STATE_KEY)
    if found is None:
        return []
    senders = found if isinstance(found, Mapping) else [""]  # what reads anything else says that it is no record
    return [(task_id, TaskStateStore(state, ti, sender)) for sender in senders]


def _assert_conditional(url: str) -> None:
    """Raise :class:`InvalidCampaign` if the storage's library is so old that it replaces a record that is there."""
    if (library := conditional_library(url)) is None:
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


def _sentence(error: InvalidCampaign) -> str:
    """What is wrong, in one line."""
    return f"{' '.join(error.violations[0].sentence.split())}."


def _invalid(problem: str, rule: str, value: str = "") -> InvalidCampaign:
    return InvalidCampaign([Violation("receipts_path", problem, rule, value=value)])
