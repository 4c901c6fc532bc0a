"""The request's body: multipart/form-data (RFC 7578) of text fields and one file, streamed.

The body knows its exact length beforehand, so the request carries a Content-Length, and reads the file block by
block, so memory doesn't grow with it. Before it returns the file's last block, it makes sure that the file has not
changed. If it has, it raises, and the request ends inside the file. Some servers run the service's script even then, with
the fields that came before the file; a Campaign sends the file first, so there are none. That is why nothing can have
been queued as long as the file is not complete.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from airflow_provider_queuecalls.files.reading import file_stamp
from airflow_provider_queuecalls.progress import Progress, Throttle

#: What a field's name may consist of: needs no escaping, and reads the same in every parser.
FIELD_NAME = re.compile(r"[A-Za-z0-9_.\[\]-]{1,64}")
#: How many bytes are sent at a time.
BLOCK_BYTES = 256 << 10


class UploadBroken(Exception):
    """The file changed or couldn't be read while it was being sent, so the request ended inside it."""


@dataclass(frozen=True)
class Upload:
    """An open file, from its first byte to ``size``. With a ``digest`` (``sha256:…``) it must also match that."""

    file: BinaryIO
    name: str
    size: int
    digest: str | None = None


class MultipartBody:
    """A request body for ``http.client``: it has a length, and is read once, from the start.

    ``fields`` are (name, text or :class:`Upload`) in the order they are sent. ``progress`` is called with (bytes
    handed over, bytes in all) about every five seconds. ``sent`` is what has been handed over so far, so 0 proves
    that no byte of the body has left; ``file_complete`` says whether the end of the file was. ``before_file_end`` is called
    at the last moment before that changes, and may raise to prevent it.
    """

    def __init__(
        self,
        fields: Sequence[tuple[str, str | Upload]],
        progress: Progress | None = None,
        before_file_end: Callable[[], None] | None = None,
    ) -> None:
        self.boundary = secrets.token_hex(16)
        self.sent = 0
        self.file_complete = False
        #: True once the caller has read past the last block, which it does after sending it.
        self.complete = False
        self._progress = progress
        self._before_file_end = before_file_end
        self._file_end = 0
        self._throttle = Throttle()
        self._file: _Watched | None = None
        self._parts: list[io.BytesIO | _Watched] = []
        self._length = 0
        for name, value in fields:
            for part in self._part(name, value):
                self._parts.append(part)
                self._length += _size(part)
                if isinstance(part, _Watched):
                    self._file_end = self._length
        end = f"--{self.boundary}--\r\n".encode()
        self._parts.append(io.BytesIO(end))
        self._length += len(end)

    @property
    def content_type(self) -> str:
        """The request's Content-Type."""
        return f"multipart/form-data; boundary={self.boundary}"

    @property
    def lines(self) -> int:
        """Line feeds in what was sent of the file: the number of its rows, give or take the last.

        Reads the file once more, for after the request: counting on the way would double the time of a fast upload.
        """
        return self._file.count_lines() if self._file else 0

    @property
    def is_short(self) -> bool:
        """Whether the end of the file leaves with the first byte."""
        return self._file_end <= BLOCK_BYTES

    def __len__(self) -> int:
        return self._length

    def read(self, size: int = -1) -> bytes:
        """Return the next block, at most ``size`` bytes; ``b""`` at the end.

        Raises :class:`UploadBroken` if the file is no longer the one that was to be sent.
        """
        wanted = size if size >= 0 else self._length
        block = self._parts[0].read(wanted) if self._parts else b""
        while self._parts and len(block) < wanted:
            self._parts.pop(0)
            if self._parts:
                block += self._parts[0].read(wanted - len(block))
        if not self.file_complete and self.sent + len(block) >= self._file_end:
            if self._before_file_end:
                self._before_file_end()
            self.file_complete = True
        self.sent += len(block)
        self.complete = wanted > 0 and not block
        if self._progress and self._throttle.due():
            self._progress(self.sent, self._length)
        return block

    def _part(self, name: str, value: str | Upload) -> list[io.BytesIO | _Watched]:
        if not FIELD_NAME.fullmatch(name):
            raise ValueError("a field name may contain only letters, digits, and _ . [ ] -")
        head = f'--{self.boundary}\r\nContent-Disposition: form-data; name="{name}"'
        if isinstance(value, str):
            return [io.BytesIO(f"{head}\r\n\r\n{value}\r\n".encode())]
        head += f'; filename="{safe_file_name(value.name)}"\r\nContent-Type: text/csv\r\n\r\n'
        self._file = _Watched(value)
        return [io.BytesIO(head.encode()), self._file, io.BytesIO(b"\r\n")]


class _Watched:
    """Reads an :class:`Upload`, and returns its last block only if the file has not changed."""

    def __init__(self, upload: Upload) -> None:
        self.size = upload.size
        self._upload = upload
        self._left = upload.size
        self._ended = False
        self._digest = hashlib.sha256() if upload.digest else None
        self._stamp = file_stamp(os.fstat(upload.file.fileno()))
        upload.file.seek(0)

    def read(self, size: int) -> bytes:
        wanted = min(size, self._left)
        try:
            block = self._upload.file.read(wanted)
        except OSError as error:
            raise UploadBroken(f"the contact file could not be read any further ({error.strerror})") from None
        self._left -= len(block)
        if self._digest:
            self._digest.update(block)
        # Only before its end is sent: a later change of the file changes nothing about the request.
        if len(block) < wanted or (self._left == 0 and not self._ended and self._changed()):
            raise UploadBroken("the contact file changed after it was checked")
        self._ended = self._left == 0
        return block

    def count_lines(self) -> int:
        file, left, lines = self._upload.file, self.size - self._left, 0
        file.seek(0)
        while left and (block := file.read(min(left, BLOCK_BYTES))):
            left -= len(block)
            lines += block.count(b"\n")
        return lines

    def _changed(self) -> bool:
        if file_stamp(os.fstat(self._upload.file.fileno())) != self._stamp:
            return True
        return self._digest is not None and f"sha256:{self._digest.hexdigest()}" != self._upload.digest


def safe_file_name(name: str) -> str:
    """A name that every multipart parser reads alike: ASCII, no quotes, no path, at most 100 characters."""
    stem, extension = os.path.splitext(re.sub(r"[^A-Za-z0-9._-]", "_", os.path.basename(name)))
    return f"{stem[: 100 - len(extension[:10])]}{extension[:10]}" or "contacts.csv"


def _size(part: io.BytesIO | _Watched) -> int:
    return part.size if isinstance(part, _Watched) else part.getbuffer().nbytes
