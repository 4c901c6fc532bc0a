"""Lists with which a script would say nothing."""

from __future__ import annotations

import mmap
import re

from airflow_provider_queuecalls.client.multipart import Upload
from airflow_provider_queuecalls.exceptions import InvalidContacts

#: A row with a third cell. A comma in a quoted cell counts as one between cells: such a list is sent.
_WITH_TEXT = re.compile(rb"^[^,\r\n]*,[^,\r\n]*,[^\r\n]", re.MULTILINE)


def assert_not_silent(upload: Upload) -> None:
    """Raise :class:`InvalidContacts` if no contact of a checked list has a call_parameter. Usually, one row is read."""
    with mmap.mmap(upload.file.fileno(), upload.size, access=mmap.ACCESS_READ) as content:
        if _WITH_TEXT.search(content):
            return
    raise InvalidContacts(
        "The calls would say nothing: no contact has a call_parameter, and call_parameters is not set. Give the contacts a "
        "call_parameter, or set call_parameters to a text for all of them."
    )
