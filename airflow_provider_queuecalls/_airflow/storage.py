"""Files that are not on this machine: fetched before the check, delivered after it.

The check works on local files. This is the way between them and the storages of Airflow's ObjectStoragePath.
"""

from __future__ import annotations

import logging
import os
import platform
import posixpath
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, cast
from urllib.parse import unquote, urlsplit

from airflow_provider_queuecalls._airflow.compat import BaseHook, has_storage, object_storage_path
from airflow_provider_queuecalls.contacts import ContactRules
from airflow_provider_queuecalls.exceptions import CheckFailed, InvalidContacts, QueueCallsError
from airflow_provider_queuecalls.files.reading import SPARE_BYTES, is_same_file
from airflow_provider_queuecalls.files.writing import LocalCopy, no_room, temporary_file, write_all
from airflow_provider_queuecalls.parameters import describe, is_location, is_unset, show_path
from airflow_provider_queuecalls.progress import Throttle
from airflow_provider_queuecalls.stopping import NOTHING_SENT, StopRequest

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

logger = logging.getLogger(__name__)
_BLOCK_BYTES = 4 << 20

#: Takes a message and its arguments, as a logger's methods do.
Log = Callable[..., object]
LocalPath: TypeAlias = "str | os.PathLike[str]"
Location: TypeAlias = "LocalPath | ObjectStoragePath"


class NoStorage(Exception):
    """Airflow has no storage for the scheme of a URL."""


@dataclass(frozen=True)
class ContactFile:
    """A contact file on this machine, the rules to check it by, and where it came from."""

    path: LocalPath
    rules: ContactRules
    sources: Sequence[Location]


@contextmanager
def fetched(
    location: Location, what: str, log: Log, stop: StopRequest, *, written: tuple[str, Location | None] = ("", None)
) -> Iterator[LocalPath]:
    """Give a local path to a file, wherever it is. A copy is gone at the end, also if the process is killed.

    ``location`` is a local path, a ``file://`` URL, or a URL or path of Airflow's ObjectStoragePath. ``what`` is the
    file's role, as a message begins. A copy has the time of the original's last change, or 1970 if the storage does not report
    it. Raises :class:`InvalidContacts` if there is no such file or it may not be read, :class:`CheckFailed` if another try may
    help, and :class:`NotSent` if a stop is requested.

    ``written`` is the parameter that names a file to write, and its value, which must not lead to the file that is read.
    """
    url, (parameter, other) = url_of(location), written
    if is_same_location(location, other):
        raise InvalidContacts(
            f"{what} {show_path(url or location)} and {parameter} are the same file. {stop.effect}. Set {parameter} to another "
            "file."
        )
    if url is None:
        yield local_path(location)
    else:
        subject = f"{what} {show_path(url)}"
        with temporary_file(buffering=0) as copy:
            with translate_storage_errors(subject, "read", stop.effect):
                _fetch(url, copy, subject, log, stop)
            yield LocalCopy(copy, os.path.basename(urlsplit(url).path) or "contacts.csv", show_path(url))


@contextmanager
def suppression_lists_fetched(
    rules: ContactRules, fetch: Callable[[Location, str], AbstractContextManager[LocalPath]]
) -> Iterator[ContactRules]:
    """Give the same rules, with the suppression lists on this machine. ``fetch`` gets each of them and its role."""
    with ExitStack() as stack:
        lists = [stack.enter_context(fetch(path, "The suppression list")) for path in rules.suppression_lists]
        yield replace(rules, suppress=lists or None)


@contextmanager
def writable_copy(location: Location | None, what: str, stop: StopRequest) -> Iterator[LocalPath | None]:
    """Give a local path to write a file to, or None for no location.

    If it was written, it is uploaded at the end, unless a stop is requested, which raises :class:`NotSent`. After an error it
    is uploaded too; if that fails, it is only logged, and the first error goes on. Raises :class:`InvalidContacts` for a value
    that is neither a path nor a URL.
    """
    if is_unset(location):
        yield None
    elif not is_location(location):
        raise InvalidContacts(
            f"{what} is given as {describe(location)}, not as a path. {stop.effect}. Give a local path, a file:// URL, or a URL of "
            "ObjectStoragePath, such as s3://conn@bucket/key."
        )
    elif (url := url_of(location)) is None:
        yield local_path(location)
    else:
        with tempfile.TemporaryDirectory(prefix="queuecalls-") as directory:
            file = Path(directory, os.path.basename(urlsplit(url).path) or "rejects.csv")
            try:
                yield file
            except BaseException:
                try:
                    _upload(file, url, what, stop)
                except QueueCallsError as error:
                    logger.error("%s", error)
                raise
            _upload(file, url, what, stop)


def keep_first(url: str, content: bytes, what: str) -> bytes:
    """Create an object with this content unless there is one, and return what it contains then. ``what`` is its role."""
    with translate_storage_errors(f"{what} {show_path(url)}", "written"):
        path = remote_path(url)
        path.fs.invalidate_cache()  # another worker may have written meanwhile
        if not path.exists():  # some libraries replace a file, whatever they are asked for
            create_object(path.fs, path.path, content)
        return cast("bytes", path.fs.cat_file(path.path))


def create_object(storage: Any, path: str, content: bytes, **limits: float) -> bool:
    """Create an object in one step. False, and nothing is changed, where there is one, if the storage's library can."""
    try:
        storage.pipe_file(path, content, mode="create", **limits)
    except FileExistsError:
        return False
    return True


def is_same_location(location: Location, other: Location | None) -> bool:
    """Whether two locations lead to the same file, or are the same object of a storage; neither need exist."""
    url, other_url = url_of(location), url_of(other)
    if url is None or other_url is None:
        return url is None and other_url is None and is_same_file(local_path(location), local_path(other))
    return _object_of(url) == _object_of(other_url)


def _object_of(url: str) -> tuple[str, str]:
    """Return bucket and key. Neither the scheme nor the connection tells two objects apart: s3://, s3a://, and two
    connections may lead to one bucket."""
    store, _, key = url.partition("://")[2].partition("/")
    return store.rpartition("@")[2].lower(), posixpath.normpath(f"/{key.lstrip('/')}")


def remote_path(url: str) -> Any:
    """Airflow's path for a URL. Raises :class:`NoStorage`, and Airflow's own errors, also if the connection in the URL is not
    defined."""
    parts = urlsplit(url)
    if connection := parts.username:
        # Some providers would go on without the connection, with the worker's own credentials.
        BaseHook.get_connection(connection)
    try:
        path = object_storage_path(url)
        _ = path.fs  # before Airflow 3.2, only this raises an error for an unknown scheme
    except ValueError:
        if has_storage(parts.scheme):
            raise
        raise NoStorage("Airflow has no storage for this scheme") from None
    return path


def _upload(file: Path, url: str, what: str, stop: StopRequest) -> None:
    """Copy the file to the URL, if it was written. An upload that has begun is completed: a part would replace the whole."""
    if not file.exists():
        return
    stop.raise_if_requested()
    with (
        translate_storage_errors(f"{what} {show_path(url)}", "written", stop.effect),
        file.open("rb") as here,
        remote_path(url).open("wb") as there,
    ):
        shutil.copyfileobj(here, there, _BLOCK_BYTES)


def url_of(location: object) -> str | None:
    """The URL of a file that is not in this machine's file system; None for a local one."""
    text = str(location).strip() if is_location(location) else ""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        return None if text.lower().startswith("file://") else text
    return None


def local_path(location: Any) -> LocalPath:
    """The path of a ``file://`` URL; anything else is returned as it is, and the check reports what is wrong with it."""
    text = str(location).strip() if is_location(location) else ""
    if not text.lower().startswith("file://"):
        return cast("LocalPath", location)
    parts = urlsplit(text)
    if parts.netloc not in ("", "localhost"):
        raise InvalidContacts(
            f"{show_path(text)} names another machine. A file:// URL has three slashes, as in file:///data/calls.csv."
        )
    return unquote(parts.path)


def _fetch(url: str, copy: BinaryIO, subject: str, log: Log, stop: StopRequest) -> None:
    source = remote_path(url)
    status = source.stat()
    size, changed = status.st_size, getattr(status, "st_mtime", None) or 0
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < size + SPARE_BYTES:
        raise CheckFailed(
            f"{subject} has {size / 1e6:,.0f} MB, and {tempfile.gettempdir()!r} on {platform.node()} has room for "
            f"{free / 1e6:,.0f} MB. {stop.effect}. Make room there, or set TMPDIR to a larger disk."
        )
    done, throttle = 0, Throttle()
    with source.open("rb") as there:
        while block := there.read(_BLOCK_BYTES):
            stop.raise_if_requested()
            write_all(copy, block)
            done += len(block)
            if throttle.due():
                log(
                    "Fetched %.0f of %.0f MB (%.0f %%) of %s",
                    done / 1e6,
                    size / 1e6,
                    100 * done / max(size, 1),
                    show_path(url),
                )
    if done != size:
        raise CheckFailed(f"{subject} changed while it was fetched, from {size:,} to {done:,} bytes. {stop.effect}.")
    os.utime(copy.fileno(), (changed, changed))
    log("Fetched %s: %s bytes", show_path(url), f"{size:,}")


@contextmanager
def translate_storage_errors(subject: str, done: str, effect: str = NOTHING_SENT) -> Iterator[None]:
    """Raise errors of a storage as ours: :class:`CheckFailed` if another try may help, else :class:`InvalidContacts`."""
    try:
        yield
    except QueueCallsError:
        raise
    except Exception as error:  # noqa: BLE001  # each storage has errors of its own
        lasting, problem = problem_of(error)
        if lasting:
            raise InvalidContacts(f"{subject} cannot be {done}: {problem}. {effect}.") from None
        raise CheckFailed(f"{subject} could not be {done} ({problem}). {effect}. It is safe to try again.") from None


def problem_of(error: Exception) -> tuple[bool, str]:
    """Return whether an error of a storage is lasting, and what it means.

    Never the error's own text, which may contain credentials.
    """
    kind = type(error).__name__
    if isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError):
        return True, "it does not exist; check bucket and key"
    if isinstance(error, ImportError | NoStorage):
        missing = str(error) if isinstance(error, NoStorage) else f"{error.name or 'a library'} is not installed"
        return True, f"{missing}; install the storage's provider, for s3:// apache-airflow-providers-amazon[s3fs]"
    if isinstance(error, PermissionError) or "Credentials" in kind:
        return True, f"the credentials of its connection do not allow it ({kind})"
    if isinstance(error, ValueError):
        return True, f"its URL or connection is not accepted ({kind}); check bucket, key, and connection"
    if kind == "AirflowNotFoundException":
        return True, "the connection in its URL is not defined"
    late = f"it did not respond in time ({kind})" if "Timeout" in kind else ""
    room = f"; make room in {tempfile.gettempdir()!r}" if isinstance(error, OSError) and no_room(error) else ""
    return False, f"{late or (isinstance(error, OSError) and error.strerror) or kind}{room}"
