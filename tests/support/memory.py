"""How much memory processes have used. Linux only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.command import Program


def peak(process: int | str = "self") -> int:
    """The most that a process has used at once, in MiB."""
    (kilobytes,) = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    return int(kilobytes) >> 10


@contextmanager
def untraced() -> Iterator[None]:
    """Let no process that is started be traced for coverage, which makes a long loop twice as long."""
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        yield


def growth(program: str, *arguments: str) -> int:
    """Run a program that calls ``peak()`` and prints ``grown`` with the difference; return that."""
    with untraced(), Program(f"from tests.support.memory import peak\n{program}", *arguments) as process:
        printed, errors = process.communicate()
    found = re.search(r"^grown (\d+)$", printed, re.MULTILINE)
    assert found, errors
    return int(found[1])
