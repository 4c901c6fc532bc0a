"""A file opened once and held, so that what is checked is what is sent."""

from __future__ import annotations

import errno
import os
import platform
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from airflow_provider_queuecalls.client.multipart import Upload
from airflow_provider_queuecalls.exceptions import CheckFailed, UnreadableContacts
from airflow_provider_queuecalls.parameters import is_unset

#: How files begin that are no UTF-8 text, whatever their name says.
_NO_TEXT = {
    b"\x1f\x8b": "is compressed with gzip: unpack it",
    b"PK\x03\x04": "is a workbook or a zip archive: export its sheet as CSV",
    b"\xff\xfe": "is UTF-16: write it as UTF-8",
    b"\xfe\xff": "is UTF-16: write it as UTF-8",
}


class LocalCopy(os.PathLike[str]):
    """A file on this machine, made of what lies elsewhere. Opened by its path, shown by where it came from."""

    def __init__(self, path: Path, origin: str) -> None:
        self._path = path
        self._origin = origin

    def __fspath__(self) -> str:
        return str(self._path)

    def __str__(self) -> str:
        return self._origin


@dataclass(frozen=True)
class Source:
    """An open file. ``shown`` is what messages call it."""

    file: BinaryIO
    path: str
    shown: str
    stamp: tuple[int, ...]

    @property
    def name(self) -> str:
        """The file's name without its directories."""
        return os.path.basename(self.path)

    @property
    def size(self) -> int:
        """Its size in bytes when it was opened."""
        return self.stamp[0]

    @property
    def modified(self) -> float:
        """When it was last changed, as a UNIX time in seconds."""
        return self.stamp[1] / 1e9

    def is_at(self, path: str | os.PathLike[str]) -> bool:
        """Whether a path leads to this file."""
        try:
            return os.path.samestat(os.stat(path), os.fstat(self.file.fileno()))
        except (OSError, ValueError):
            return False

    def address(self) -> str:
        """A path at which another reader finds this very file.

        Linux has one for an open file, whatever has become of its name. Elsewhere it is the path, if that still
        leads to this file; :meth:`assert_unchanged` after reading makes sure that it did all the time.
        """
        held = f"/proc/self/fd/{self.file.fileno()}"
        if os.path.exists(held):
            return held
        self.assert_unchanged(path_too=True)
        return self.path

    def assert_unchanged(self, *, path_too: bool = False) -> None:
        """Raise :class:`CheckFailed` where the file isn't any more what it was when it was opened."""
        unchanged = _stamp(os.fstat(self.file.fileno())) == self.stamp
        if unchanged and (path_too or not os.path.exists("/proc/self/fd")):
            try:
                unchanged = _stamp(os.stat(self.path)) == self.stamp
            except OSError:
                unchanged = False
        if not unchanged:
            raise CheckFailed(
                f"{self.shown} changed while it was being checked. Nothing was sent. Something is still writing it: "
                "let the upstream task finish first, or write to another name and rename."
            )


def open_source(path: str | os.PathLike[str], what: str) -> Source:
    """Open a regular file. ``what`` is the file's role, as a message begins. Raises :class:`UnreadableContacts`.

    A path that is no text is shown as its ``str()``, which may be where a copy came from.
    """
    if not isinstance(path, str | os.PathLike) or is_unset(path):
        raise UnreadableContacts(f"{what} has no path. Did the upstream task return one?")
    name = os.fspath(path)
    shown = f"{what} {str(path)[:200]!r}"
    try:
        # Not blocking, so that a pipe is refused instead of waited for.
        descriptor = os.open(name, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:
        raise UnreadableContacts(
            f"{shown} does not exist on {platform.node()}, where this runs. A local path exists only on the worker that "
            "wrote it: with several workers, hand the file over in storage that all of them share."
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        raise UnreadableContacts(f"{shown} cannot be opened on {platform.node()}: {reason}.") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            kind = "directory" if stat.S_ISDIR(status.st_mode) else "pipe or a device"
            raise UnreadableContacts(f"{shown} is a {kind}: give the path of one CSV file.")
        beginning = os.pread(descriptor, 4, 0)
        for magic, problem in _NO_TEXT.items():
            if beginning.startswith(magic):
                raise UnreadableContacts(f"{shown} {problem}.")
        return Source(open(descriptor, "rb", buffering=0), name, shown, _stamp(status))
    except BaseException:
        os.close(descriptor)
        raise


@contextmanager
def open_contacts(path: str | os.PathLike[str]) -> Iterator[Upload]:
    """Open a contact file to send it unchecked, as it is. Raises :class:`UnreadableContacts`."""
    source = open_source(path, "The contact file")
    with source.file:
        if not source.size:
            raise UnreadableContacts(
                f"{source.shown} is empty: there is nobody to call. Did the upstream task write it?"
            )
        yield Upload(source.file, source.name, source.size)


def no_room(error: OSError) -> bool:
    """Whether an error says that a disk, a quota or a limit is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev
