"""Where the record of a campaign is kept: the protocol of a store, a local folder, and no store at all."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

_FILE_NAME = re.compile(r"([0-9]{6,})\.json")


class Store(Protocol):
    """Keeps the entries of one campaign's record, each a JSON object with a number, its generation.

    An entry is created once and never changed. Any error means that it isn't known what is kept.
    """

    #: Where that is, for messages.
    location: str
    #: Whether :meth:`create` compares and sets in one step, so that of two tries at the same moment one is stopped.
    exclusive: bool

    def problem(self, error: Exception) -> str:
        """What an error of this store means, for messages. Its own text may hold credentials."""

    def last(self) -> tuple[int, Any] | None:
        """The last generation and its entry; None where there is no entry."""

    def create(self, generation: int, entry: Mapping[str, Any]) -> bool:
        """Keep an entry. False, and nothing is changed, where this generation exists already."""


class NoStore:
    """Keeps nothing, for whoever accepts that a campaign may be sent again."""

    location = "no store"
    exclusive = False

    def problem(self, error: Exception) -> str:
        return type(error).__name__

    def last(self) -> tuple[int, Any] | None:
        return None

    def create(self, generation: int, entry: Mapping[str, Any]) -> bool:  # noqa: ARG002
        return True


class LocalStore:
    """A folder of this machine with one small JSON file for each entry, created exclusively and written through to
    the disk."""

    exclusive = True

    def __init__(self, folder: Path) -> None:
        self.location = str(folder)
        self._folder = folder

    def problem(self, error: Exception) -> str:
        return (isinstance(error, OSError) and error.strerror) or type(error).__name__

    def last(self) -> tuple[int, Any] | None:
        try:
            names = os.listdir(self._folder)
        except FileNotFoundError:
            return None
        if not (generation := last_generation(names)):
            return None
        return generation, decoded((self._folder / file_name(generation)).read_bytes())

    def create(self, generation: int, entry: Mapping[str, Any]) -> bool:
        self._folder.mkdir(parents=True, exist_ok=True)
        # Written to another name first, so that nobody ever reads half an entry.
        descriptor, partial = tempfile.mkstemp(prefix=".", suffix=".partial", dir=self._folder)
        try:
            with open(descriptor, "wb") as file:
                file.write(encoded(entry))
                file.flush()
                os.fsync(file.fileno())
            os.link(partial, self._folder / file_name(generation))  # unlike a rename, it fails where there is one
        except FileExistsError:
            return False
        finally:
            with suppress(FileNotFoundError):
                os.unlink(partial)
        _sync(self._folder)
        _sync(self._folder.parent)
        return True


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_name(generation: int) -> str:
    """The name of the file with one entry."""
    return f"{generation:06}.json"


def last_generation(names: list[str]) -> int:
    """The last generation among the names of files; 0 where there is none."""
    return max((int(match[1]) for name in names if (match := _FILE_NAME.fullmatch(name))), default=0)


def encoded(entry: Mapping[str, Any]) -> bytes:
    """The entry as it is kept in a file."""
    return json.dumps(entry, ensure_ascii=False, indent=1).encode()


def decoded(data: bytes) -> Any:
    """What is kept in a file; None where that is not JSON."""
    try:
        return json.loads(data)
    except ValueError:
        return None
