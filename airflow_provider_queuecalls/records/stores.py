"""Where a record is kept: the protocol of a store, a local file, and no store at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

Entry = Mapping[str, Any]


class Store(Protocol):
    """Keeps one entry, a JSON object. Any error means that it isn't known what is kept."""

    #: Where that is, for messages.
    place: str

    def problem(self, error: Exception) -> str:
        """What an error of this store means, for messages. Its own words may hold credentials."""

    def read(self) -> Entry | None:
        """The entry, or None where there is none."""

    def create(self, entry: Entry) -> bool:
        """Keep the entry if there is none. False, and nothing is changed, where there is one."""

    def replace(self, entry: Entry) -> None:
        """Keep the entry in place of the one that is there."""

    def remove(self) -> None:
        """Keep nothing any more."""


class NoStore:
    """Keeps nothing: for an Airflow that has no place for it."""

    place = "no store"

    def problem(self, error: Exception) -> str:
        return type(error).__name__

    def read(self) -> Entry | None:
        return None

    def create(self, entry: Entry) -> bool:  # noqa: ARG002
        return True

    def replace(self, entry: Entry) -> None:
        """Keep nothing."""

    def remove(self) -> None:
        """There is nothing to remove."""


class LocalStore:
    """One small JSON file in a directory of this machine. Created exclusively, written through to the disk."""

    def __init__(self, path: Path) -> None:
        self.place = str(path)
        self._path = path

    def problem(self, error: Exception) -> str:
        return (isinstance(error, OSError) and error.strerror) or type(error).__name__

    def read(self) -> Entry | None:
        try:
            return decoded(self._path.read_bytes())
        except FileNotFoundError:
            return None

    def create(self, entry: Entry) -> bool:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        written = self._write(entry)
        try:
            os.link(written, self._path)  # unlike a rename, it fails where there is one
        except FileExistsError:
            return False
        finally:
            os.unlink(written)
        self._sync()
        return True

    def replace(self, entry: Entry) -> None:
        os.replace(self._write(entry), self._path)
        self._sync()

    def remove(self) -> None:
        with suppress(FileNotFoundError):
            self._path.unlink()
        self._sync()

    def _write(self, entry: Entry) -> str:
        """Write to another name first, so that nobody ever reads half an entry."""
        descriptor, name = tempfile.mkstemp(prefix=".", suffix=".partial", dir=self._path.parent)
        with open(descriptor, "wb") as file:
            file.write(encoded(entry))
            file.flush()
            os.fsync(file.fileno())
        return name

    def _sync(self) -> None:
        descriptor = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def encoded(entry: Entry) -> bytes:
    """The entry as it is kept."""
    return json.dumps(entry, ensure_ascii=False, indent=1).encode()


def decoded(data: bytes) -> Entry:
    """Read what :func:`encoded` has written. Raises :class:`ValueError` for anything else."""
    entry = json.loads(data)
    if not isinstance(entry, dict) or "intent" not in entry:
        raise ValueError("not an entry of the ledger")
    return entry
