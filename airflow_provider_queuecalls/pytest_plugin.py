"""The pytest fixture ``queuecalls_sandbox``. pytest loads this module in every run, so it imports next to nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow_provider_queuecalls.sandbox.server import Sandbox

__all__ = ["queuecalls_sandbox"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a project's tests run against the service as it is."""
    parser.addini(
        "queuecalls_profile",
        "profile of the sandbox: a name, or the path of a report of 'queuecalls probe'",
        default="",
    )


@pytest.fixture
def queuecalls_sandbox(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Sandbox]:
    """A sandbox for this test alone; the connection ``queuecalls_default`` leads to it, and records are in ``tmp_path``.

    No other option of ``[queuecalls]`` is set, so that a test writes to no results database but one that it sets itself.

    Its clock stands still until ``queuecalls_sandbox.advance(hours=2)``. ``.campaigns``, ``.calls``, ``.attempts`` and
    ``.journal`` show what it has received and done, and ``.fail_next("connection_reset")`` arms a fault for the next
    request.
    """
    from airflow_provider_queuecalls.get_provider_info import get_provider_info
    from airflow_provider_queuecalls.records.sent.stores import init_folder
    from airflow_provider_queuecalls.sandbox.server import run_sandbox

    receipts = tmp_path / "queuecalls-receipts"
    init_folder(receipts)
    for option in get_provider_info()["config"]["queuecalls"]["options"]:
        monkeypatch.setenv(f"AIRFLOW__QUEUECALLS__{option.upper()}", str(receipts) if option == "receipts_path" else "")
    profile = request.config.getini("queuecalls_profile")
    if (file := request.config.rootpath / profile).is_file():
        profile = str(file)
    with run_sandbox(speed=0, profile=profile) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_QUEUECALLS_DEFAULT", sandbox.connection)
        yield sandbox
