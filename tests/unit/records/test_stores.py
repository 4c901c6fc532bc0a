"""A store in a local folder: created once, whole, and for its owner only."""

from __future__ import annotations

import errno
import multiprocessing
import os
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_queuecalls.records.stores import LocalStore

if TYPE_CHECKING:
    from pytest_mock import MockerFixture

ENTRY = {"state": "intent"}


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "receipts" / "spring")


def files(store: LocalStore) -> list[Path]:
    return sorted(Path(store.location).iterdir())


def test_a_folder_that_does_not_exist_holds_nothing(store: LocalStore) -> None:
    assert store.last() is None


def test_the_last_generation_counts(store: LocalStore) -> None:
    for generation in (1, 2, 10):
        assert store.create(generation, {"state": str(generation)})
    assert store.last() == (10, {"state": "10"})


def test_a_generation_is_created_once(store: LocalStore) -> None:
    assert store.create(1, ENTRY)
    assert not store.create(1, {"state": "another"})
    assert store.last() == (1, ENTRY)
    assert [file.name for file in files(store)] == ["000001.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"\0\0\0\0", b"\xff\xfe", b"null"])
def test_a_file_that_is_not_json_is_nothing_that_could_be_read(content: bytes, store: LocalStore) -> None:
    store.create(1, ENTRY)
    files(store)[0].write_bytes(content)
    assert store.last() == (1, None)


def test_an_entry_is_readable_by_its_owner_only(store: LocalStore) -> None:
    store.create(1, ENTRY)
    assert stat.S_IMODE(files(store)[0].stat().st_mode) == 0o600


def test_a_disk_that_fails_leaves_no_part_of_an_entry(store: LocalStore, mocker: MockerFixture) -> None:
    failing = mocker.patch("os.fsync", side_effect=OSError(errno.ENOSPC, "disk"))
    with pytest.raises(OSError, match="disk"):
        store.create(1, ENTRY)
    failing.assert_called_once()
    assert files(store) == []


def _create(folder: str, start: Any, wins: Any) -> None:
    store = LocalStore(Path(folder))
    start.wait()
    if store.create(1, {"pid": os.getpid()}):
        wins.put(os.getpid())


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_of_many_at_once_one_creates_the_entry(kind: str, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    start, wins = context.Event(), context.Queue()
    make = threading.Thread if kind == "threads" else context.Process
    workers = [make(target=_create, args=(str(tmp_path / "spring"), start, wins)) for _ in range(8)]
    for worker in workers:
        worker.start()
    start.set()
    for worker in workers:
        worker.join()
    assert wins.get(timeout=5)
    assert wins.empty()
