"""The cleaned copy: what is sent where the file cannot be sent as it is."""

from __future__ import annotations

import re
from itertools import compress
from typing import BinaryIO

from airflow_provider_queuecalls.contacts.lines import Block, blocks
from airflow_provider_queuecalls.contacts.results import CODES, Results
from airflow_provider_queuecalls.contacts.rows import RowValidator
from airflow_provider_queuecalls.contacts.source import Source
from airflow_provider_queuecalls.contacts.temporary import temporary_file
from airflow_provider_queuecalls.stopping import StopRequest

_VALID, *_CHANGED = (CODES[result] for result in ("valid", "rewritten", "normalized"))
_IS_CHANGED = re.compile(b"[" + re.escape(bytes(_CHANGED)) + b"]")
#: From a code to 1 if the line is sent, else 0.
_IS_SENT = bytes(code in (_VALID, *_CHANGED) for code in range(256))


def write_cleaned(source: Source, validator: RowValidator, results: Results, stop: StopRequest) -> BinaryIO:
    """Write what is to be sent to a temporary file, which is gone once it is closed.

    UTF-8 without byte-order mark, LF, commas, the vendor's order of columns; no blank lines, no header line.
    """
    file = temporary_file()
    try:
        for block in blocks(source.file, validator.delimiter, stop=stop):
            file.write(_cleaned_block(block, results.codes(block.first, block.count), validator))
        file.flush()
    except BaseException:
        file.close()
        raise
    return file


def _cleaned_block(block: Block, codes: bytes | bytearray, validator: RowValidator) -> bytes:
    data = block.data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if not data.endswith(b"\n"):
        data += b"\n"
    if codes.count(_VALID) == len(codes) and not validator.rewrites_all:
        return data
    lines = data.splitlines(keepends=True)
    rows = [validator.row_of_good_line(line[:-1]) + b"\n" for line in lines] if validator.rewrites_all else lines
    for match in _IS_CHANGED.finditer(codes):
        index = match.start()
        rows[index] = validator(lines[index][:-1]).row + b"\n"
    return b"".join(compress(rows, codes.translate(_IS_SENT)))
