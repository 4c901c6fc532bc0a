"""The contact file: opened once, checked, and handed over as what will be sent."""

from __future__ import annotations

import codecs
import hashlib
import os
import platform
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from airflow_provider_queuecalls.campaign import is_unset
from airflow_provider_queuecalls.exceptions import InvalidContacts
from airflow_provider_queuecalls.multipart import Upload

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Report:
    """What a check found: the number of contacts (rows that aren't blank), and the digest of what will be sent."""

    contacts: int
    digest: str


@contextmanager
def open_contacts(path: str | os.PathLike[str]) -> Iterator[Upload]:
    """Open a local contact file, once. Raises :class:`InvalidContacts` where that isn't possible."""
    if not isinstance(path, str | os.PathLike) or is_unset(name := os.fspath(path)):
        raise InvalidContacts("contacts names no file: give the path of the contact file.")
    shown = f"The contact file {name[:200]!r}"
    try:
        # Not blocking, so that a pipe is refused instead of waited for.
        descriptor = os.open(name, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:
        raise InvalidContacts(
            f"{shown} doesn't exist on {platform.node()}, where this task runs. A local path exists only on the worker "
            "that wrote it: with several workers, hand the file over in storage that all of them share."
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        raise InvalidContacts(f"{shown} cannot be opened on {platform.node()}: {reason}.") from None
    with open(descriptor, "rb", buffering=0) as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise InvalidContacts(f"{shown} is a directory or a device; give the path of one CSV file.")
        if status.st_size == 0:
            raise InvalidContacts(f"{shown} is empty: there is nobody to call. Did the upstream task write it?")
        yield Upload(file=file, name=os.path.basename(name), size=status.st_size)


def check(upload: Upload) -> Report:
    """Read the whole file once. Raises :class:`InvalidContacts` where it isn't UTF-8 or holds no contact."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    digest = hashlib.sha256()
    contacts = lines = 0
    line = ""
    upload.file.seek(0)
    block = b"-"
    while block:
        block = upload.file.read(_BLOCK_BYTES)
        digest.update(block)
        try:
            *ended, line = (line + decoder.decode(block, final=not block)).split("\n")
        except UnicodeDecodeError as error:
            number = lines + 1 + error.object.count(b"\n", 0, error.start)
            raise InvalidContacts(
                f"The contact file {upload.name!r} is not UTF-8, in line {number}. "
                "Write it as UTF-8, without a byte-order mark."
            ) from None
        lines += len(ended)
        contacts += sum(1 for text in ended if text.strip())
    contacts += bool(line.strip())
    if not contacts:
        raise InvalidContacts(f"The contact file {upload.name!r} holds only blank lines: there is nobody to call.")
    return Report(contacts=contacts, digest=f"sha256:{digest.hexdigest()}")
