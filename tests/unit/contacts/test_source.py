"""Files that cannot be checked, and why."""

from __future__ import annotations

import os
import platform
import socket
from pathlib import Path

import pytest

from tests.unit.contacts.checking import (
    ANN,
    Contacts,
    reasons,
    refused,
    unprivileged,
)

pytestmark = pytest.mark.usefixtures("results_kept")


def test_a_missing_file_names_the_host(tmp_path: Path) -> None:
    error = refused(tmp_path / "gone.csv")
    assert error.report is None
    assert platform.node() in str(error)
    assert "only on the worker" in str(error)


@pytest.mark.parametrize("path", ["", " ", "None", "nul\0byte"])
def test_an_unset_path_is_refused(path: str) -> None:
    assert refused(Path(path) if path.strip("\0") != path else path).report is None  # type: ignore[arg-type]


def test_a_directory_is_refused(tmp_path: Path) -> None:
    assert "is a directory" in str(refused(tmp_path))


def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "is a pipe" in str(refused(tmp_path / "pipe"))


def test_a_socket_is_refused(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(tmp_path / "socket"))
        assert refused(tmp_path / "socket").report is None


def test_a_file_without_read_permission_is_refused(contacts: Contacts) -> None:
    path = contacts(ANN)
    path.chmod(0)
    with unprivileged():
        assert "Permission denied" in str(refused(path))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (ANN.encode("utf-16"), "UTF-16"),
        (b"\xfe\xff" + ANN.encode("utf-16-be"), "UTF-16"),
        (b"PK\x03\x04xl/workbook.xml", "workbook"),
    ],
)
def test_a_file_in_another_format_is_named(contacts: Contacts, content: bytes, said: str) -> None:
    error = refused(contacts(content), on_invalid="skip")
    assert error.report is None
    assert said in str(error)


def test_utf_16_without_a_mark_and_latin_1_are_rejected_by_row(contacts: Contacts) -> None:
    assert reasons(contacts(f"{ANN}\n".encode("utf-16-le"))) == {"control_character": 2}
    assert reasons(contacts(f"{ANN},Müller\n".encode("latin-1"))) == {"not_utf8": 1}
