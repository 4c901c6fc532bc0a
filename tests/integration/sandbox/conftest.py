"""Fixtures of the sandbox's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook
from airflow_provider_queuecalls.sandbox.server import Sandbox, run_sandbox
from tests.support.browser import watched_page
from tests.support.sandbox import CONTACTS, LOGIN, PIN, Listener, listening

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A sandbox in real time, with a login and a PIN of its own."""
    with run_sandbox(login=LOGIN, pin=PIN) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def strict() -> Iterator[Sandbox]:
    """A sandbox for requests that it must refuse."""
    with run_sandbox(login=LOGIN, pin=PIN) as sandbox:
        yield sandbox


@pytest.fixture
def hook(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> QueueCallsHook:
    monkeypatch.setenv("AIRFLOW_CONN_QUEUECALLS_DEFAULT", sandbox.connection)
    return QueueCallsHook()


@pytest.fixture
def contacts(tmp_path: Path) -> Path:
    path = tmp_path / "contacts.csv"
    path.write_bytes(CONTACTS)
    return path


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as listener:
        yield listener


@pytest.fixture
def page(browser: Browser, queuecalls_sandbox: Sandbox) -> Iterator[Page]:
    """The sandbox's page. It may request nothing from another host, and its script may have no errors."""
    with watched_page(browser, queuecalls_sandbox.url) as (page, wrong):
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.goto("/")
        yield page
