"""Fixtures for the tests of the check."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.contacts.checking import Contacts


@pytest.fixture
def contacts(tmp_path: Path) -> Contacts:
    """A function that writes a contact file and returns its path."""

    def write(content: bytes | str) -> Path:
        path = tmp_path / "calls.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


@pytest.fixture(autouse=True)
def workspace(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The directory for temporary files. It must be empty after every test."""
    directory = tmp_path_factory.mktemp("workspace")
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    yield directory
    assert list(directory.iterdir()) == []
