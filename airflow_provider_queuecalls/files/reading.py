"""The files that a check reads: opened once and kept open, and unpacked where they are compressed."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import platform
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any, BinaryIO, NamedTuple

from airflow_provider_queuecalls.exceptions import CheckFailed, InvalidContacts
from airflow_provider_queuecalls.files.writing import LocalCopy, no_room, path_without_name, temporary_file, write_all
from airflow_provider_queuecalls.parameters import describe, is_unset, path_to_show, show_path
from airflow_provider_queuecalls.stopping import StopRequest

#: The first bytes of files that are not UTF-8 text, whatever their name is.
_NOT_TEXT = {
    b"PK\x03\x04": "is a workbook or a zip archive: export its sheet as CSV",
    b"\xff\xfe": "is UTF-16: write it as UTF-8",
    b"\xfe\xff": "is UTF-16: write it as UTF-8",
}
#: Bounds on the unpacked size. A contact file with the same 255 characters in every row unpacks to 157 times its size.
MAX_RATIO = 500
MAX_BYTES = 16 << 30
#: A file may always unpack to this size, whatever its ratio.
_SMALL_BYTES = 64 << 20
#: Disk space that is left free.
SPARE_BYTES = 64 << 20
_BLOCK_BYTES = 1 << 20
_DIGEST_BYTES = 4 << 20


@dataclass(frozen=True)
class Source:
    """An open file. What is checked is what is sent, since the file is not opened again.

    ``name`` is the file's name without directories, ``shown`` is how messages refer to the file.
    """

    file: BinaryIO
    name: str
    shown: str
    stamp: tuple[int, ...]
    #: The path that was opened. For a compressed file, ``file`` is the unpacked copy.
    path: str
    is_copy: bool

    @property
    def size(self) -> int:
        """The size in bytes when the file was opened."""
        return self.stamp[0]

    @property
    def modified(self) -> float:
        """When the file was last changed, as a UNIX time in seconds."""
        return self.stamp[1] / 1e9

    def address(self) -> str:
        """Return a path at which another reader finds this very file.

        Where the system has no path for an open file, this is the file's own path, provided that it still leads to this
        file. Call :meth:`assert_unchanged` after reading to make sure that it did so all the time.
        """
        if (path := path_without_name(self.file)) is not None:
            return path
        self.assert_unchanged(path_too=True)
        return str(self.file.name) if self.is_copy else self.path

    def assert_unchanged(self, *, path_too: bool = False) -> None:
        """Raise :class:`CheckFailed` if the file has changed since it was opened."""
        unchanged = file_stamp(os.fstat(self.file.fileno())) == self.stamp
        if unchanged and not self.is_copy and (path_too or path_without_name(self.file) is None):
            try:
                unchanged = file_stamp(os.stat(self.path)) == self.stamp
            except OSError:
                unchanged = False
        if not unchanged:
            raise CheckFailed(
                f"{self.shown} changed while it was being checked. Another process is still writing it: let the upstream "
                "task finish first, or write to another name and rename the file."
            )


def open_source(path: str | os.PathLike[str], what: str, stop: StopRequest | None = None) -> Source:
    """Open a regular file, and unpack it if it is compressed with gzip or Zstandard.

    ``what`` is the file's role, written as the beginning of a message. Raises :class:`InvalidContacts` if the file does
    not exist or is not text, and :class:`CheckFailed` if another try may help.
    """
    if is_unset(path):
        raise InvalidContacts(f"{what} has no path: the value is empty. Did the upstream task return one?")
    if not isinstance(path, str | os.PathLike):
        raise InvalidContacts(
            f"{what} is given as {describe(path)}, not as a path. Give the path or URL of a CSV file. Rows that are not in a "
            "file are sent by @task.queuecalls, which takes lists, generators, and DataFrames."
        )
    shown = show_role(what, path)
    if isinstance(path, str) and "://" in path:
        raise InvalidContacts(
            f"{shown} is a URL, and only operators read URLs. Download it, and give the path of the file."
        )
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
    if (compression := _compression_of(beginning)) is None:
        return source
    try:
        return _unpacked_source(source, compression, stop or StopRequest())
    finally:
        file.close()


def _open(path: str, shown: str, *, looks_like_path: bool) -> int:
    try:
        # With O_NONBLOCK, opening a pipe does not wait for its writer.
        return os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:
        hint = (
            "A local path exists only on the worker that wrote it: with several workers, hand the file over in storage "
            "that all of them share."
            if looks_like_path
            else "The value does not look like a path, so it is not shown. Give the path or URL of a CSV file. "
            "Rows that are not in a file are sent by @task.queuecalls."
        )
        raise InvalidContacts(f"{shown} does not exist on {platform.node()}, where this task runs. {hint}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        raise InvalidContacts(f"{shown} cannot be opened on {platform.node()}: {reason}.") from None


def file_stamp(status: os.stat_result) -> tuple[int, ...]:
    """What changes when a file is changed or replaced: its size, its time of last change, and where it is on disk."""
    return status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev


def file_digest(file: BinaryIO, stop: StopRequest) -> str:
    """Return the SHA-256 digest of a whole file. It does not move the file's position, so others may read it meanwhile."""
    sha256, position = hashlib.sha256(), 0
    while data := os.pread(file.fileno(), _DIGEST_BYTES, position):
        stop.raise_if_requested()
        sha256.update(data)
        position += len(data)
    return f"sha256:{sha256.hexdigest()}"


def show_role(what: str, path: str | os.PathLike[str]) -> str:
    """Return how messages refer to a file: its role, and its path where that may be shown."""
    return f"{what} {path.shown if isinstance(path, LocalCopy) else show_path(path)}"


def is_same_file(path: object, other: object) -> bool:
    """Whether two values are paths that lead to the same file, which need not exist."""
    if not isinstance(path, str | os.PathLike) or not isinstance(other, str | os.PathLike):
        return False  # an integer would be a file descriptor
    with suppress(OSError, ValueError):
        try:
            return os.path.samefile(path, other)
        except FileNotFoundError:
            return os.path.realpath(path) == os.path.realpath(other)
    return False


# Compressed files.


class _Compression(NamedTuple):
    """A format: its name, the extensions of its files, and the function that opens a compressed file for reading."""

    name: str
    extensions: tuple[str, ...]
    open: Callable[[BinaryIO], Any]


def _compression_of(beginning: bytes) -> _Compression | None:
    """Recognize the format of a file by its first bytes. Returns None for a file that is not compressed."""
    return next((known for magic, known in _FORMATS.items() if beginning.startswith(magic)), None)


def _unpacked_source(source: Source, compression: _Compression, stop: StopRequest) -> Source:
    """Return the unpacked copy of a compressed file, named without the extension of the compression."""
    try:
        copy = _unpack(source.file, compression, source.shown, stop)
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


def _unpack(packed: BinaryIO, compression: _Compression, shown: str, stop: StopRequest) -> BinaryIO:
    """Unpack a file into a temporary file that has the same time of last change.

    ``shown`` is how messages refer to the file. Raises :class:`InvalidContacts` if the data is incomplete or damaged,
    if it exceeds the bounds on the unpacked size, or if the format's library is not installed, and
    :class:`CheckFailed` if the disk is full.
    """
    status = os.fstat(packed.fileno())
    limit = min(MAX_BYTES, max(_SMALL_BYTES, MAX_RATIO * status.st_size))
    size, copy = 0, temporary_file(buffering=0)
    try:
        for block in _unpacked_blocks(packed, compression, shown):
            stop.raise_if_requested()
            size += len(block)
            if size > limit:
                raise InvalidContacts(
                    f"{shown} unpacks to more than {limit:,} bytes, from {status.st_size:,}. At most {MAX_RATIO} times the "
                    f"size of the file and {MAX_BYTES >> 30} GiB are unpacked: unpack it upstream if it is a contact file."
                )
            if shutil.disk_usage(tempfile.gettempdir()).free < SPARE_BYTES + len(block):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            write_all(copy, block)
        os.utime(copy.fileno(), ns=(status.st_mtime_ns, status.st_mtime_ns))
        copy.seek(0)
    except BaseException as error:
        copy.close()
        if not isinstance(error, OSError):
            raise
        room = f" Make room in {tempfile.gettempdir()!r}, or set TMPDIR to a larger disk." if no_room(error) else ""
        raise CheckFailed(
            f"{shown} cannot be unpacked on {platform.node()}: {error.strerror}.{room} It is safe to try again."
        ) from None
    return copy


def _unpacked_blocks(packed: BinaryIO, compression: _Compression, shown: str) -> Iterator[bytes]:
    packed.seek(0)
    try:
        # pyarrow closes the file that it is given.
        with open(os.dup(packed.fileno()), "rb") as duplicate, compression.open(duplicate) as reader:
            while block := reader.read(_BLOCK_BYTES):
                yield block
    except ImportError:
        raise InvalidContacts(
            f"{shown} is compressed with {compression.name}, and no library to read it is installed. Install backports.zstd "
            "(part of Python 3.14 and later as compression.zstd) or pyarrow, or use gzip."
        ) from None
    except OSError as error:
        if error.errno is not None:  # an error of the disk, not of the data
            raise
        raise _damaged(error, compression, shown) from None
    except Exception as error:  # noqa: BLE001  # each library has errors of its own
        raise _damaged(error, compression, shown) from None


def _damaged(error: Exception, compression: _Compression, shown: str) -> InvalidContacts:
    incomplete = isinstance(error, EOFError) or "Truncated" in str(error)  # pyarrow has no class of its own for it
    return InvalidContacts(
        f"{shown} cannot be unpacked: its {compression.name} data is {'incomplete' if incomplete else 'damaged'}. "
        "Let the upstream task write it again."
    )


def _open_zstd(packed: BinaryIO) -> Any:
    for library in ("compression.zstd", "backports.zstd"):
        with suppress(ImportError):
            return import_module(library).ZstdFile(packed)
    return import_module("pyarrow").CompressedInputStream(packed, "zstd")


_FORMATS = {
    b"\x1f\x8b": _Compression("gzip", (".gz", ".gzip"), lambda packed: gzip.GzipFile(fileobj=packed)),
    b"\x28\xb5\x2f\xfd": _Compression("zstd", (".zst", ".zstd"), _open_zstd),
}
