"""The cleaned copy: what is sent where the file cannot be sent as it is."""

from __future__ import annotations

import tempfile
from typing import BinaryIO, cast

from airflow_provider_queuecalls.contacts.lines import Block, blocks, marked
from airflow_provider_queuecalls.contacts.results import Results
from airflow_provider_queuecalls.contacts.rows import RowValidator
from airflow_provider_queuecalls.contacts.source import Source

_BUFFER_BYTES = 4 << 20


def write_cleaned(source: Source, validator: RowValidator, results: Results) -> BinaryIO:
    """Write what is to be sent to a temporary file that has no name, so it is gone once it is closed.

    UTF-8 without byte-order mark, LF, commas, the vendor's order of columns; no blank lines, no header line.
    """
    file = cast("BinaryIO", tempfile.TemporaryFile(prefix="queuecalls-", buffering=_BUFFER_BYTES))  # noqa: SIM115 - the caller closes it
    try:
        for block, here in marked(blocks(source.file, validator.delimiter), results.changes()):
            file.write(_cleaned_block(block, here, validator))
        file.flush()
    except BaseException:
        file.close()
        raise
    return file


def _cleaned_block(block: Block, changes: dict[int, str | None], validator: RowValidator) -> bytes:
    data = block.data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if not data.endswith(b"\n"):
        data += b"\n"
    if not changes and not validator.rewrites_all:
        return data
    lines = data.splitlines(keepends=True)
    rows = [validator.row_of_good_line(line[:-1]) + b"\n" for line in lines] if validator.rewrites_all else lines
    for number, reason in changes.items():
        index = number - block.first
        rows[index] = validator(lines[index][:-1]).row + b"\n" if reason is None else b""
    return b"".join(rows)
