"""Files that are written: whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

from airflow_provider_queuecalls.files.writing import keep_first


def test_a_file_that_is_kept_is_never_seen_half_written(tmp_path: Path, mocker: Any) -> None:
    path = tmp_path / "record.json"
    seen: list[bytes | None] = []

    def sync(_: int) -> None:
        seen.append(path.read_bytes() if path.exists() else None)

    mocker.patch("os.fsync", sync)
    assert keep_first(path, b"first") == b"first"
    assert keep_first(path, b"second") == b"first"
    assert seen == [None, b"first"]
    assert os.listdir(tmp_path) == ["record.json"]


def test_a_file_is_kept_without_hard_links_too(tmp_path: Path, mocker: Any) -> None:
    mocker.patch("os.link", side_effect=OSError(errno.EPERM, "no links"))
    assert keep_first(tmp_path / "record.json", b"first") == b"first"
    assert keep_first(tmp_path / "record.json", b"second") == b"first"
