"""A store in a local folder: made on purpose, created once, whole, and for its owner only unless a group shares it."""

from __future__ import annotations

import errno
import multiprocessing
import os
import resource
import shlex
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_queuecalls.cli import build_parser, main
from airflow_provider_queuecalls.records.sent.stores import (
    MARKER,
    LocalStore,
    UnusableFolder,
    command_arguments_for,
    init_folder,
    ways_to_resolve,
)
from tests.support.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from pytest_mock import MockerFixture

ENTRY = {"state": "intent"}
PARSER = build_parser()
#: A name has no control characters.
NAMES = st.text(st.characters(exclude_categories=["C"]), min_size=1)
FORK = multiprocessing.get_context("fork")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    init_folder(tmp_path / "receipts")
    return tmp_path / "receipts"


@pytest.fixture
def store(root: Path) -> LocalStore:
    return LocalStore(root, "spring")


def files(store: LocalStore) -> list[Path]:
    return sorted(Path(store.location).iterdir())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_campaign_without_a_folder_has_no_record(store: LocalStore) -> None:
    assert store.last() is None


@pytest.mark.parametrize("operation", [LocalStore.last, lambda store: store.create(1, ENTRY)])
def test_a_folder_without_the_marker_is_neither_read_nor_written(
    operation: Callable[[LocalStore], object], store: LocalStore, root: Path
) -> None:
    """As the empty folder below a share that is not mounted."""
    (root / MARKER).unlink()
    with pytest.raises(UnusableFolder) as caught:
        operation(store)
    assert store.problem(caught.value) == str(caught.value)
    assert f"queuecalls records init {root}" in str(caught.value)
    assert list(root.iterdir()) == []


def test_the_command_makes_a_folder_once_and_keeps_what_is_in_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "share" / "calls"
    for _ in range(2):
        assert main(["records", "init", "share/calls"]) == 0
        assert f"RECEIPTS_PATH={folder}\n" in capsys.readouterr().out
        LocalStore(folder, "spring").create(1, ENTRY)
    assert mode(folder) == 0o700
    assert LocalStore(folder, "spring").last() == (1, ENTRY)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("{}", "it has other files in it"),
        ("{}/file", "cannot be used for records: "),
        ("s3://bucket/x", "needs no init"),
    ],
)
def test_the_command_refuses_what_is_no_folder_for_records(
    path: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    try:
        code = main(["records", "init", path.format(tmp_path)])
    except SystemExit as exit_:
        code = int(exit_.code or 0)
    assert code == 2
    assert words in capsys.readouterr().err
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_the_command_tries_the_folder_that_it_has_made(
    tmp_path: Path, mocker: MockerFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    mocker.patch("os.link", side_effect=OSError(errno.EPERM, "Operation not permitted"))  # as on vfat
    assert main(["records", "init", str(tmp_path / "calls")]) == 2
    assert "has no hard links, which records need" in capsys.readouterr().err


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


@pytest.mark.parametrize(
    ("given", "folder", "file"),
    [
        (0o700, 0o700, 0o600),
        (0o755, 0o700, 0o600),
        (0o770, 0o700, 0o600),
        (0o2770, 0o2770, 0o660),
        (0o2750, 0o2750, 0o640),
    ],
)
def test_a_group_may_do_with_records_what_it_may_do_with_their_folder(
    given: int, folder: int, file: int, store: LocalStore, root: Path
) -> None:
    """With the setgid bit only: without it, new files belong to another group."""
    root.chmod(given)
    before = os.umask(0o077)
    store.create(1, ENTRY)
    os.umask(before)
    assert (mode(files(store)[0].parent), [mode(path) for path in files(store)]) == (folder, [file])


def test_the_command_lets_a_group_share_what_is_there(store: LocalStore, root: Path) -> None:
    store.create(1, ENTRY)
    assert main(["records", "init", "--group", str(root)]) == 0
    assert (mode(root), mode(files(store)[0].parent), mode(files(store)[0])) == (0o2770, 0o2770, 0o660)


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that other users can reach."""
    with tempfile.TemporaryDirectory() as above:
        Path(above).chmod(0o755)
        yield Path(above, "receipts")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
@pytest.mark.parametrize("group", [True, False])
def test_a_second_user_shares_the_records_or_gets_to_know_whose_they_are(group: bool, shared: Path) -> None:
    init_folder(shared, group=group)
    store, said = LocalStore(shared, "spring"), FORK.Queue()
    store.create(1, ENTRY)

    def as_nobody_else() -> None:
        os.setgroups([os.getgid()])
        os.setuid(65_534)
        try:
            said.put([store.last(), store.create(2, ENTRY), init_folder(shared, group=True)])
        except OSError as error:
            said.put(store.problem(error))

    child = FORK.Process(target=as_nobody_else)
    child.start()
    heard = said.get(timeout=PATIENCE_SECONDS)
    child.join()
    if group:
        assert heard == [(1, ENTRY), True, None]
        assert store.last() == (2, ENTRY)
        assert files(store)[1].stat().st_gid == os.getgid()
    else:
        assert f"{shared} belongs to root with mode 0700" in heard
        assert f"queuecalls records init --group {shared}" in heard


def test_a_disk_that_fails_leaves_no_part_of_an_entry(store: LocalStore, mocker: MockerFixture) -> None:
    failing = mocker.patch("os.fsync", side_effect=OSError(errno.ENOSPC, "disk"))
    with pytest.raises(OSError, match="disk"):
        store.create(1, ENTRY)
    failing.assert_called_once()
    assert files(store) == []


def test_a_link_that_is_made_twice_is_ones_own(store: LocalStore, mocker: MockerFixture) -> None:
    """NFS repeats a request whose response was lost, and then says that the name is taken."""
    link = os.link

    def link_twice(*names: Any) -> None:
        link(*names)
        link(*names)

    mocker.patch("os.link", link_twice)
    assert store.create(1, ENTRY)
    mocker.stopall()
    assert not store.create(1, {"state": "open"})
    assert store.last() == (1, ENTRY)


@pytest.mark.parametrize("operation", [LocalStore.probe, lambda store: store.create(1, ENTRY)])
def test_a_file_system_without_hard_links_is_named(
    operation: Callable[[LocalStore], object], store: LocalStore, root: Path, mocker: MockerFixture
) -> None:
    mocker.patch("os.link", side_effect=OSError(errno.EPERM, "Operation not permitted"))  # as on vfat
    with pytest.raises(UnusableFolder) as caught:
        operation(store)
    assert f"the file system of {root} has no hard links" in store.problem(caught.value)
    assert [path.name for path in root.rglob("*") if path.is_file()] == [MARKER]


def test_a_disk_that_is_full_leaves_no_part_of_an_entry(store: LocalStore) -> None:
    def create_without_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
        with pytest.raises(OSError, match="File too large"):
            store.create(1, {"state": "x" * 100})

    child = FORK.Process(target=create_without_room)
    child.start()
    child.join()
    assert child.exitcode == 0
    assert files(store) == []


WORKERS = 8


def _create(folder: str, together: Any, results: Any) -> None:
    store = LocalStore(Path(folder), "spring")
    together.wait()
    results.put(store.create(1, {"pid": os.getpid()}))


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_of_many_at_once_one_creates_the_entry(kind: str, root: Path) -> None:
    together, results = FORK.Barrier(WORKERS, timeout=PATIENCE_SECONDS), FORK.Queue()
    make = threading.Thread if kind == "threads" else FORK.Process
    workers = [make(target=_create, args=(str(root), together, results)) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    assert sorted(results.get(timeout=PATIENCE_SECONDS) for _ in workers) == [False] * (WORKERS - 1) + [True]
    for worker in workers:
        worker.join()


@given(name=NAMES, folder=NAMES)
@example(name="-50__today-d8b4d235634d6043", folder="data")
@example(name="--help", folder='it\'s "here"')
def test_the_commands_in_a_message_parse_for_any_name(name: str, folder: str) -> None:
    lines = ways_to_resolve(command_arguments_for(name, f"/{folder}"), "").split("\n")
    for line, queued in zip(lines, (True, False), strict=False):
        options = PARSER.parse_args(shlex.split(line.partition("run: queuecalls ")[2]))
        assert (options.name, options.receipts, options.queued) == (name, f"/{folder}", queued)
