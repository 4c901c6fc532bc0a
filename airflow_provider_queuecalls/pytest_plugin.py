"""The pytest fixture ``queuecalls_sandbox``. pytest loads this module in every run, so it imports next to nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow_provider_queuecalls.sandbox.server import Sandbox

__all__ = ["queuecalls_sandbox"]


@pytest.fixture
def queuecalls_sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox for this test alone; the connection ``queuecalls_default`` leads to it.

    Its clock stands still until ``queuecalls_sandbox.advance(hours=2)``. ``.campaigns``, ``.calls``, ``.attempts`` and
    ``.journal`` show what it has received and done, and ``.fail_next("connection_reset")`` arms a fault for the next
    request.
    """
    from airflow_provider_queuecalls.sandbox.server import run_sandbox

    with run_sandbox(speed=0) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_QUEUECALLS_DEFAULT", sandbox.connection)
        yield sandbox
