"""Temporary files of a check. They hold phone numbers, so nothing of them may stay behind."""

from __future__ import annotations

import os
import tempfile
from typing import BinaryIO, cast

_BUFFER_BYTES = 4 << 20


def temporary_file() -> BinaryIO:
    """Open a temporary file, which is gone once it is closed.

    On Linux it has no name, so it is gone too when the process is killed. Elsewhere other readers need a name to open
    it by; there a process that is killed leaves it in the temporary directory.
    """
    if os.path.exists("/proc/self/fd"):
        file = tempfile.TemporaryFile(prefix="queuecalls-", buffering=_BUFFER_BYTES)  # noqa: SIM115 - the caller closes it
    else:
        file = tempfile.NamedTemporaryFile(prefix="queuecalls-", buffering=_BUFFER_BYTES)  # noqa: SIM115
    return cast("BinaryIO", file)


def path_of(file: BinaryIO) -> str:
    """The path at which another reader or writer in this process finds a temporary file."""
    held = f"/proc/self/fd/{file.fileno()}"
    return held if os.path.exists(held) else file.name
