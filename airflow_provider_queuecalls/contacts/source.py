"""A file that is opened once and stays open, so that what is checked is what is sent."""

from __future__ import annotations

import os
import platform
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from airflow_provider_queuecalls.client.multipart import Upload, file_stamp
from airflow_provider_queuecalls.contacts.compression import Compression, compression_of, unpacked
from airflow_provider_queuecalls.contacts.temporary import LocalCopy, path_without_name
from airflow_provider_queuecalls.exceptions import CheckFailed, InvalidContacts
from airflow_provider_queuecalls.parameters import describe, is_unset, path_to_show, show_path
from airflow_provider_queuecalls.stopping import StopRequest

#: The first bytes of files that are not UTF-8 text, whatever their name says.
_NOT_TEXT = {
    b"PK\x03\x04": "is a workbook or a zip archive: export its sheet as CSV",
    b"\xff\xfe": "is UTF-16: write it as UTF-8",
    b"\xfe\xff": "is UTF-16: write it as UTF-8",
}


@dataclass(frozen=True)
class Source:
    """An open file. ``name`` is its name without directories, ``shown`` is what messages call it."""

    file: BinaryIO
    name: str
    shown: str
    stamp: tuple[int, ...]
    #: The path that was opened. Of a compressed file, ``file`` is the unpacked copy.
    path: str
    is_copy: bool

    @property
    def size(self) -> int:
        """Its size in bytes when it was opened."""
        return self.stamp[0]

    @property
    def modified(self) -> float:
        """When it was last changed, as a UNIX time in seconds."""
        return self.stamp[1] / 1e9

    def is_at(self, path: str | os.PathLike[str]) -> bool:
        """Whether a path leads to the file that was opened."""
        try:
            return os.path.samefile(path, self.path)
        except (OSError, ValueError):
            return False

    def address(self) -> str:
        """Return a path at which another reader finds this very file.

        Where the system has no path for an open file, it is the file's own, if that still leads to this file;
        :meth:`assert_unchanged` after reading makes sure that it did all the time.
        """
        if (path := path_without_name(self.file)) is not None:
            return path
        self.assert_unchanged(path_too=True)
        return str(self.file.name) if self.is_copy else self.path

    def assert_unchanged(self, *, path_too: bool = False) -> None:
        """Raise :class:`CheckFailed` if the file is no longer what it was when it was opened."""
        unchanged = file_stamp(os.fstat(self.file.fileno())) == self.stamp
        if unchanged and not self.is_copy and (path_too or path_without_name(self.file) is None):
            try:
                unchanged = file_stamp(os.stat(self.path)) == self.stamp
            except OSError:
                unchanged = False
        if not unchanged:
            raise CheckFailed(
                f"{self.shown} changed while it was being checked. Nothing was sent. Something is still writing it: "
                "let the upstream task finish first, or write to another name and rename."
            )


def open_source(path: str | os.PathLike[str], what: str, stop: StopRequest | None = None) -> Source:
    """Open a regular file, and unpack it if it is compressed with gzip or Zstandard.

    ``what`` is the file's role, as a message begins. Raises :class:`InvalidContacts` if there is no such file or if it
    is not text, and :class:`CheckFailed` if another try may help.
    """
    if is_unset(path):
        raise InvalidContacts(f"{what} has no path: the value is empty. Did the upstream task return one?")
    if not isinstance(path, str | os.PathLike):
        raise InvalidContacts(
            f"{what} is given as {describe(path)}, not as a path. Nothing was sent. Give the path or URL of a CSV file. "
            "Rows that are not in a file are sent by @task.queuecalls, which takes lists, generators, and DataFrames."
        )
    shown = f"{what} {path.shown if isinstance(path, LocalCopy) else show_path(path)}"
    descriptor = _open(os.fspath(path), shown, looks_like_path=path_to_show(path) is not None)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            kind = "directory" if stat.S_ISDIR(status.st_mode) else "pipe or a device"
            raise InvalidContacts(f"{shown} is a {kind}: give the path of one CSV file.")
        beginning = os.pread(descriptor, 4, 0)
        for magic, problem in _NOT_TEXT.items():
            if beginning.startswith(magic):
                raise InvalidContacts(f"{shown} {problem}.")
        file = open(descriptor, "rb", buffering=0)  # noqa: SIM115
    except BaseException:
        os.close(descriptor)
        raise
    name = path.name if isinstance(path, LocalCopy) else os.path.basename(os.fspath(path))
    source = Source(file, name, shown, file_stamp(status), os.fspath(path), is_copy=False)
    if (compression := compression_of(beginning)) is None:
        return source
    try:
        return _unpacked(source, compression, stop or StopRequest())
    finally:
        file.close()


def _open(path: str, shown: str, *, looks_like_path: bool) -> int:
    try:
        # Not blocking, so that a pipe is refused instead of waited for.
        return os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:
        hint = (
            "A local path exists only on the worker that wrote it: with several workers, hand the file over in storage "
            "that all of them share."
            if looks_like_path
            else "It does not look like a path, so it is not shown. Give the path or URL of a CSV file; "
            "rows that are not in a file are sent by @task.queuecalls."
        )
        raise InvalidContacts(f"{shown} does not exist on {platform.node()}, where this task runs. {hint}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        raise InvalidContacts(f"{shown} cannot be opened on {platform.node()}: {reason}.") from None


def _unpacked(source: Source, compression: Compression, stop: StopRequest) -> Source:
    """The unpacked copy of a compressed file, which has the name without the extension of the compression."""
    try:
        copy = unpacked(source.file, compression, source.shown, stop)
    except InvalidContacts:
        source.assert_unchanged()  # a file that is still being written is incomplete
        raise
    try:
        source.assert_unchanged()
    except CheckFailed:
        copy.close()
        raise
    name, extension = os.path.splitext(source.name)
    if extension.lower() not in compression.extensions:
        name = source.name
    return Source(copy, name, source.shown, file_stamp(os.fstat(copy.fileno())), source.path, is_copy=True)


@contextmanager
def open_contacts(path: str | os.PathLike[str]) -> Iterator[Upload]:
    """Open a contact file to send it without a check. Raises :class:`InvalidContacts`."""
    source = open_source(path, "The contact file")
    with source.file:
        if not source.size:
            raise InvalidContacts(f"{source.shown} is empty: there is nobody to call. Did the upstream task write it?")
        yield Upload(source.file, source.name, source.size)
