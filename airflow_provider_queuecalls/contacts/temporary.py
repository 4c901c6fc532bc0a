"""Temporary files. They hold phone numbers, so nothing of them may stay behind."""

from __future__ import annotations

import errno
import os
import tempfile
from typing import BinaryIO, cast

_BUFFER_BYTES = 4 << 20


def temporary_file(buffering: int = _BUFFER_BYTES) -> BinaryIO:
    """Open a temporary file, which is gone once it is closed.

    On Linux it has no name, so it is gone too when the process is killed. Elsewhere other readers need a name to open
    it by; there a process that is killed leaves it in the temporary directory.
    """
    create = tempfile.TemporaryFile if os.path.exists("/proc/self/fd") else tempfile.NamedTemporaryFile
    return cast("BinaryIO", create(prefix="queuecalls-", buffering=buffering))


def path_of(file: BinaryIO) -> str:
    """The path at which another reader or writer in this process finds a temporary file."""
    return path_without_name(file) or file.name


def path_without_name(file: BinaryIO) -> str | None:
    """A path for an open file, whatever becomes of its name; None where the system has no such paths."""
    path = f"/proc/self/fd/{file.fileno()}"
    return path if os.path.exists(path) else None


def write_all(file: BinaryIO, data: bytes) -> None:
    """Write all of ``data`` to an unbuffered file, which may take less at once."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def no_room(error: OSError) -> bool:
    """Whether an error means that a disk, a quota, or a limit is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class LocalCopy(os.PathLike[str]):
    """A temporary file in place of a file elsewhere, or of rows.

    ``name`` is the file name that is sent with it, ``shown`` is how messages refer to what it was made of.
    """

    def __init__(self, file: BinaryIO, name: str, shown: str) -> None:
        self.name = name
        self.shown = shown
        self._file = file

    def __fspath__(self) -> str:
        return path_of(self._file)

    def __str__(self) -> str:
        return self.shown
