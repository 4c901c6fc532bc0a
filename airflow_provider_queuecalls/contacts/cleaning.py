"""The cleaned copy: what is sent where the file cannot be sent as it is."""

from __future__ import annotations

import tempfile
from typing import BinaryIO, cast

from airflow_provider_queuecalls.contacts.lines import Block, blocks, marked
from airflow_provider_queuecalls.contacts.rows import Judge
from airflow_provider_queuecalls.contacts.source import Source
from airflow_provider_queuecalls.contacts.verdicts import Verdicts

_BUFFER_BYTES = 4 << 20


def write_cleaned(source: Source, judge: Judge, verdicts: Verdicts) -> BinaryIO:
    """Write what is to be sent to a temporary file that has no name, so it is gone once it is closed.

    UTF-8 without byte-order mark, LF, commas, the vendor's order of columns; no blank lines, no header line.
    """
    file = cast("BinaryIO", tempfile.TemporaryFile(prefix="queuecalls-", buffering=_BUFFER_BYTES))  # noqa: SIM115 - the caller closes it
    try:
        for block, here in marked(blocks(source.file, judge.delimiter), verdicts.changes()):
            file.write(_cleaned_block(block, here, judge))
        file.flush()
    except BaseException:
        file.close()
        raise
    return file


def _cleaned_block(block: Block, changes: dict[int, str | None], judge: Judge) -> bytes:
    data = block.data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if not data.endswith(b"\n"):
        data += b"\n"
    if not changes and not judge.rewrites_all:
        return data
    lines = data.splitlines(keepends=True)
    rows = [judge.row_of_plain(line[:-1]) + b"\n" for line in lines] if judge.rewrites_all else lines
    for number, reason in changes.items():
        index = number - block.first
        rows[index] = judge(lines[index][:-1]).row + b"\n" if reason is None else b""
    return b"".join(rows)
