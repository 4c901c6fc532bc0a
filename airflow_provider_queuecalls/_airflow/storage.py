"""Files that don't lie on this machine: fetched before the check, delivered after it.

The check works on local files. Here is the way between them and whatever Airflow's ObjectStoragePath reaches.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, cast
from urllib.parse import unquote, urlsplit

from airflow_provider_queuecalls._airflow.compat import BaseHook, object_storage_path
from airflow_provider_queuecalls.client.multipart import PROGRESS_INTERVAL
from airflow_provider_queuecalls.contacts.source import LocalCopy
from airflow_provider_queuecalls.exceptions import CheckFailed, QueueCallsError, UnreadableContacts
from airflow_provider_queuecalls.parameters import is_unset

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

_BLOCK_BYTES = 4 << 20
#: Room that is left free beside what is fetched: the check may need as much again.
_SPARE_BYTES = 64 << 20

#: Takes a message and what to put into it, as a logger's methods do.
Log = Callable[..., object]
LocalPath: TypeAlias = "str | os.PathLike[str]"
Location: TypeAlias = "LocalPath | ObjectStoragePath"


@contextmanager
def fetched(location: Location, what: str, log: Log) -> Iterator[LocalPath]:
    """Give a local path to a file, wherever it lies; a copy is removed at the end.

    ``location`` is a local path, a ``file://`` URL, or a URL or path of Airflow's ObjectStoragePath. A copy has the
    time of the original's last change, or 1970 where the storage doesn't tell. Raises :class:`UnreadableContacts`
    where there is no such file or it may not be read, and :class:`CheckFailed` where another try may help.
    """
    if (url := url_of(location)) is None:
        yield local_path(location)
    else:
        with tempfile.TemporaryDirectory(prefix="queuecalls-") as directory:
            with _in_words(f"{what} {shown_url(url)!r}", "read"):
                copy = _fetch(url, Path(directory), f"{what} {shown_url(url)!r}", log)
            yield LocalCopy(copy, shown_url(url))


@contextmanager
def delivered(location: Location | None, what: str) -> Iterator[LocalPath | None]:
    """Give a local path to write a file to, or None for no location. What was written there is delivered at the end,
    whatever the end is."""
    if is_unset(location) or location is None:
        yield None
    elif (url := url_of(location)) is None:
        yield local_path(location)
    else:
        with tempfile.TemporaryDirectory(prefix="queuecalls-") as directory:
            file = Path(directory, os.path.basename(urlsplit(url).path) or "rejects.csv")
            try:
                yield file
            finally:
                if file.exists():
                    with _in_words(f"{what} {shown_url(url)!r}", "written"), file.open("rb") as here:
                        _deliver(here, url)


def remote_path(url: str) -> Any:
    """Airflow's path to what lies at a URL. Raises its own errors, and where the URL names an undefined connection."""
    if connection := urlsplit(url).username:
        # Some providers would go on without it, as whoever the worker is.
        BaseHook.get_connection(connection)
    return object_storage_path(url)


def _deliver(file: BinaryIO, url: str) -> None:
    with remote_path(url).open("wb") as there:
        shutil.copyfileobj(file, there, _BLOCK_BYTES)


def url_of(location: object) -> str | None:
    """The URL of what doesn't lie in this machine's file system; None for what does."""
    is_path = isinstance(location, os.PathLike) or hasattr(location, "protocol")  # as ObjectStoragePath has
    text = str(location) if is_path else location
    if isinstance(text, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text.strip()):
        return None if text.strip().lower().startswith("file://") else text.strip()
    return None


def local_path(location: Any) -> LocalPath:
    """The path that a ``file://`` URL leads to; anything else is one already."""
    text = str(location).strip()
    if text.lower().startswith("file://"):
        parts = urlsplit(text)
        if parts.netloc not in ("", "localhost"):
            raise UnreadableContacts(
                f"{text[:200]!r} names another machine: a file:// URL has three slashes, file:///data/calls.csv."
            )
        return unquote(parts.path)
    return cast("LocalPath", location)  # whatever it is: the check says what is wrong with it


def shown_url(url: str) -> str:
    """The URL without a password. What stands before the @ alone is the name of a connection."""
    return re.sub(r"(//[^/@:]*):[^/@]*@", r"\1:***@", url.partition("?")[0])[:200]


def _fetch(url: str, directory: Path, subject: str, log: Log) -> Path:
    source = remote_path(url)
    status = source.stat()
    size, changed = status.st_size, getattr(status, "st_mtime", None) or 0
    free = shutil.disk_usage(directory).free
    if free < size + _SPARE_BYTES:
        raise CheckFailed(
            f"{subject} has {size / 1e6:,.0f} MB, and {tempfile.gettempdir()!r} on {platform.node()} has room for "
            f"{free / 1e6:,.0f} MB. Nothing was sent. Make room there, or set TMPDIR to a larger disk."
        )
    copy = directory / (os.path.basename(urlsplit(url).path) or "contacts.csv")
    done, told = 0, time.monotonic()
    with source.open("rb") as there, copy.open("wb") as here:
        while block := there.read(_BLOCK_BYTES):
            here.write(block)
            done += len(block)
            if time.monotonic() - told >= PROGRESS_INTERVAL:
                told = time.monotonic()
                log(
                    "Fetched %.0f of %.0f MB (%.0f %%) of %s",
                    done / 1e6,
                    size / 1e6,
                    100 * done / max(size, 1),
                    shown_url(url),
                )
    if done != size:
        raise CheckFailed(f"{subject} changed while it was fetched, from {size:,} to {done:,} bytes. Nothing was sent.")
    os.utime(copy, (changed, changed))
    log("Fetched %s: %s bytes", shown_url(url), f"{size:,}")
    return copy


@contextmanager
def _in_words(subject: str, done: str) -> Iterator[None]:
    """Say what went wrong with a storage, and whether another try may help."""
    try:
        yield
    except QueueCallsError:
        raise
    except Exception as error:  # noqa: BLE001  # each storage has errors of its own
        lasting, problem = problem_of(error)
        if lasting:
            raise UnreadableContacts(f"{subject} cannot be {done}: {problem}. Nothing was sent.") from None
        raise CheckFailed(
            f"{subject} could not be {done} ({problem}). Nothing was sent; it may be tried again."
        ) from None


def problem_of(error: Exception) -> tuple[bool, str]:
    """Say whether an error of a storage will last, and what it means. Not in its own words: they may hold credentials."""
    kind = type(error).__name__
    provider = "install the storage's provider, for s3:// apache-airflow-providers-amazon[s3fs]"
    if isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError):
        return True, "it does not exist, look at bucket and key"
    if isinstance(error, ImportError):
        return True, f"{error.name or 'a library'} is not installed, {provider}"
    if isinstance(error, PermissionError) or "Credentials" in kind:
        return True, f"the credentials of its connection don't allow it ({kind})"
    if isinstance(error, ValueError):
        return True, f"Airflow knows no storage for it, {provider}"
    if kind == "AirflowNotFoundException":
        return True, "it names a connection that is not defined"
    return False, (isinstance(error, OSError) and error.strerror) or kind
