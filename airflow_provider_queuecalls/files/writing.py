"""The files that are written: temporary ones, and those that get their name when they are complete.

They contain phone numbers, so no temporary file may be left behind.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, cast

from airflow_provider_queuecalls.exceptions import CheckFailed, InvalidContacts, QueueCallsError

#: What ``link`` reports where a file system has no hard links, which differs from one to the next; vfat's is EPERM.
NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
#: What keeps a file from being written, if another try would find the same.
_LASTING = (FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError, ValueError)
_BUFFER_BYTES = 4 << 20


def temporary_file(buffering: int = _BUFFER_BYTES) -> BinaryIO:
    """Open a temporary file, which is deleted when it is closed.

    On Linux it has no name, so it is deleted even when the process is killed. Elsewhere other readers need a name to
    open it by, and a process that is killed leaves the file in the temporary directory.
    """
    create = tempfile.TemporaryFile if os.path.exists("/proc/self/fd") else tempfile.NamedTemporaryFile
    return cast("BinaryIO", create(prefix="queuecalls-", buffering=buffering))


@contextmanager
def complete_file(path: str | os.PathLike[str]) -> Iterator[str]:
    """Give the path of a file to write, which only its owner can read. It gets its name when it is complete."""
    directory, name = os.path.split(os.fspath(path))
    descriptor, partial = tempfile.mkstemp(prefix=f".{name[:100]}.", dir=directory or ".")
    os.close(descriptor)
    try:
        yield partial
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(partial)
        raise


def keep_first(path: str | os.PathLike[str], content: bytes) -> bytes:
    """Create a file with this content unless there is one, and return what it contains then.

    It gets its name when it is complete, if the file system has hard links: unlike a rename, a link fails if there is a file.
    """
    directory, name = os.path.split(os.fspath(path))
    with (
        tempfile.NamedTemporaryFile(prefix=f".{name[:100]}.", dir=directory or ".") as partial,
        suppress(FileExistsError),
    ):
        partial.write(content)
        partial.flush()
        os.fsync(partial.fileno())
        try:
            os.link(partial.name, path)
        except OSError as error:
            if error.errno not in NO_HARD_LINKS:
                raise
            with open(path, "xb") as file:
                file.write(content)
    with open(path, "rb") as file:
        return file.read()


def path_of(file: BinaryIO) -> str:
    """Return the path at which another reader or writer in this process finds a temporary file."""
    return path_without_name(file) or file.name


def path_without_name(file: BinaryIO) -> str | None:
    """Return a path that leads to an open file even if it is renamed or deleted; None if the system has no such paths."""
    path = f"/proc/self/fd/{file.fileno()}"
    return path if os.path.exists(path) else None


def write_all(file: BinaryIO, data: bytes) -> None:
    """Write all of ``data`` to an unbuffered file, which may accept less at once."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def no_room(error: OSError) -> bool:
    """Whether an error means that a disk, a quota, or a limit is exhausted."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def unwritable(problem: str, error: OSError | ValueError, remedy: str) -> QueueCallsError:
    """The error to raise if a local file cannot be written: one that is retried only if another try may help.

    ``problem`` is what its message begins with, and ``remedy`` what helps if another try would find the same.
    """
    if isinstance(error, _LASTING):
        return InvalidContacts(f"{problem}{remedy}")
    room = " Make room there." if isinstance(error, OSError) and no_room(error) else ""
    return CheckFailed(f"{problem}{room} It is safe to try again.")


class LocalCopy(os.PathLike[str]):
    """The path of a temporary file that stands for a remote file or for rows.

    ``name`` is the file name that is sent with it, ``shown`` is how messages refer to its origin.
    """

    def __init__(self, file: BinaryIO, name: str, shown: str) -> None:
        self.name = name
        self.shown = shown
        self._file = file

    def __fspath__(self) -> str:
        return path_of(self._file)

    def __str__(self) -> str:
        return self.shown
