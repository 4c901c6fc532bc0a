"""A store in memory, and the ways in which a store may fail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_queuecalls.records.sent.stores import NoStore, file_name


class MemoryStore(NoStore):
    """Keeps entries as every store does: a generation is created once."""

    location = "memory"
    exclusive = True
    command_arguments = "spring --receipts /memory"

    def __init__(self) -> None:
        self.entries: dict[int, Any] = {}

    def location_of(self, generation: int) -> str:
        return f"memory/{file_name(generation)}"

    def last(self) -> tuple[int, Any] | None:
        return max(self.entries.items()) if self.entries else None

    def create(self, generation: int, entry: Mapping[str, Any]) -> bool:
        if generation in self.entries:
            return False
        self.entries[generation] = dict(entry)
        return True


class ReplacingStore(MemoryStore):
    """Does not compare: whoever writes last is believed. A ledger on it calls people twice."""

    exclusive = False

    def create(self, generation: int, entry: Mapping[str, Any]) -> bool:
        self.entries[generation] = dict(entry)
        return True


class UnsureStore(MemoryStore):
    """Keeps an entry and reports that it could not, as a storage does whose response is lost."""

    def create(self, generation: int, entry: Mapping[str, Any]) -> bool:
        super().create(generation, entry)
        raise ConnectionError("the response was lost")


class InterruptedStore(MemoryStore):
    """Cannot be reached for a while; an entry that is created meanwhile may be kept."""

    def __init__(self, *, kept: bool) -> None:
        super().__init__()
        self.interrupted = False
        self._kept = kept

    def last(self) -> tuple[int, Any] | None:
        if self.interrupted:
            raise ConnectionError("interrupted")
        return super().last()

    def create(self, generation: int, entry: Mapping[str, Any]) -> bool:
        if not self.interrupted:
            return super().create(generation, entry)
        if self._kept:
            super().create(generation, entry)
        raise ConnectionError("interrupted")


class RepeatingStore(MemoryStore):
    """Keeps an entry, loses its own response, repeats the write, and then finds the generation taken."""

    def create(self, generation: int, entry: Mapping[str, Any]) -> bool:
        super().create(generation, entry)
        return super().create(generation, entry)


class FailingStore(MemoryStore):
    """Fails at one of its operations."""

    def __init__(self, operation: str) -> None:
        super().__init__()
        self._fails = operation

    def last(self) -> tuple[int, Any] | None:
        self._fail("last")
        return super().last()

    def create(self, generation: int, entry: Mapping[str, Any]) -> bool:
        self._fail("create")
        return super().create(generation, entry)

    def _fail(self, operation: str) -> None:
        if operation == self._fails:
            raise OSError(5, "the store's own words, which may hold credentials")
