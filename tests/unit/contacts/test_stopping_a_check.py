"""A check that is stopped or killed ends at once, and leaves no file in the temporary directory."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_queuecalls.contacts import ContactRules, check
from airflow_provider_queuecalls.exceptions import NotSent
from airflow_provider_queuecalls.files.duckdb_session import Session
from airflow_provider_queuecalls.files.lines import BLOCK_BYTES
from airflow_provider_queuecalls.stopping import StopRequest
from tests.support.command import Program

RULES: dict[str, Any] = {"on_invalid": "skip", "duplicates": "drop"}


@pytest.fixture(scope="module", params=[2_000, 30_000], ids=["in memory", "in DuckDB"])
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A contact file that makes every step do something, and a suppression list."""
    directory = tmp_path_factory.mktemp("files")
    contacts, suppressed = directory / "calls.csv", directory / "suppressed.csv"
    with contacts.open("w") as file:
        for number in range(2_000_000, 2_000_000 + request.param):
            control = chr(127) * (number % 100 == 0)  # so DuckDB cannot read the file itself
            file.write(f"1617{number - number % 10 // 9},{'x' * 60}{control}\n")
    suppressed.write_text("".join(f"1617{number}\n" for number in range(2_001_000, 2_002_000)))
    return contacts, suppressed


class StopAtLook(StopRequest):
    """Is requested when the check asks for the nth time whether to stop."""

    def __init__(self, nth: int) -> None:
        super().__init__()
        self.nth = nth
        self.looks = 0

    def raise_if_requested(self) -> None:
        self.looks += 1
        if self.looks == self.nth:
            self.request()
        super().raise_if_requested()


def run_check(files: tuple[Path, Path], stop: StopRequest, rejects: Path) -> None:
    contacts, suppressed = files
    check(contacts, ContactRules(suppress=[suppressed], **RULES), stop=stop, rejects_path=rejects).close()


def test_a_stop_request_ends_the_check_the_next_time_it_asks(
    files: tuple[Path, Path], tmp_path: Path, workspace: Path
) -> None:
    rejects, open_files = tmp_path / "rejects.csv", len(os.listdir("/proc/self/fd"))
    threads = threading.active_count()  # other tests of this process may have left some
    whole = StopAtLook(0)
    run_check(files, whole, rejects)
    rejects.unlink()
    looks = range(1, whole.looks + 1)
    for nth in {1, 2, whole.looks, *random.sample(looks, min(8, whole.looks))}:
        stop = StopAtLook(nth)
        with pytest.raises(NotSent) as raised:
            run_check(files, stop, rejects)
        assert not raised.value.sent
        assert stop.looks <= nth + 1
        assert list(workspace.iterdir()) == []
        assert threading.active_count() <= threads
        assert len(os.listdir("/proc/self/fd")) <= open_files + 1
        rejects.unlink(missing_ok=True)


def test_every_step_asks_for_every_block_whether_to_stop(files: tuple[Path, Path], tmp_path: Path) -> None:
    blocks = files[0].stat().st_size // BLOCK_BYTES
    whole = StopAtLook(0)
    run_check(files, whole, tmp_path / "rejects.csv")
    assert whole.looks > 4 * blocks  # survey, results, rejects, cleaned copy


def request_from_a_thread(stop: StopRequest) -> Iterator[None]:
    timer = threading.Timer(0.1, stop.request)
    timer.start()
    yield
    timer.join()


def request_from_a_signal_handler(stop: StopRequest) -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, lambda *_: stop.request())
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    yield
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("request_later", [request_from_a_thread, request_from_a_signal_handler])
@pytest.mark.parametrize(
    "query",
    ["SELECT max(i * i % 7) FROM range(1000000000000000) t(i)", "FROM range(1000000000000000) t(i) WHERE i < 0"],
)
def test_a_stop_request_interrupts_duckdb(request_later: Callable[[StopRequest], Iterator[None]], query: str) -> None:
    stop = StopRequest()
    with closing(Session(256, stop)) as session:
        requesting = request_later(stop)
        next(requesting)
        with pytest.raises(NotSent):
            list(session.stream(query))
        next(requesting, None)


def test_closing_the_session_ends_a_query_that_is_running() -> None:
    with closing(Session(256, StopRequest())) as session:
        running = session.start(session.connection.execute, "SELECT max(i * i % 7) FROM range(1000000000000000) t(i)")
        assert not running.done()
    assert running.done()


KILLED_AT_LOOK = f"""
import os, signal, sys
from airflow_provider_queuecalls.contacts import ContactRules, check
from airflow_provider_queuecalls.stopping import StopRequest

class KilledAtLook(StopRequest):
    looks = int(sys.argv[4])

    def raise_if_requested(self):
        self.looks -= 1
        if self.looks == 0:
            os.kill(os.getpid(), signal.SIGKILL)

rules = ContactRules(suppress=[sys.argv[2]], **{RULES!r})
check(sys.argv[1], rules, stop=KilledAtLook(), rejects_path=sys.argv[3])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere temporary files have a name")
@pytest.mark.parametrize("share", [0.2, 0.6, 1])
def test_a_check_that_is_killed_leaves_no_file(
    files: tuple[Path, Path], tmp_path: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    whole, rejects = StopAtLook(0), tmp_path / "rejects.csv"
    run_check(files, whole, rejects)
    monkeypatch.setenv("TMPDIR", str(workspace))
    with Program(KILLED_AT_LOOK, *map(str, files), str(rejects), str(int(whole.looks * share))) as process:
        _, errors = process.communicate()
    assert process.returncode == -signal.SIGKILL, errors
    assert list(workspace.iterdir()) == []
