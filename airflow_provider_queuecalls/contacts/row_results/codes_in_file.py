"""The codes of the results of a large file, in a temporary file of which only the pages in use are in memory."""

from __future__ import annotations

import mmap
import os
from typing import overload

from airflow_provider_queuecalls.files.writing import temporary_file

_MOST_PAGES = 10_000
#: How many codes are written at once.
_CODES_AT_ONCE = 1 << 20
#: Maps a binary digit to the byte that selects a code.
_MASK = bytes.maketrans(b"01", b"\0\xff")


class CodesInFile:
    """One byte per line; line 1 is at index 0. All are 0 at first."""

    def __init__(self, lines: int) -> None:
        self.file = temporary_file()
        self._lines = lines
        self._pages = 0
        # Every page now: if the disk were full when one is needed, the system would kill this process.
        for start in range(0, lines, _CODES_AT_ONCE):
            self.file.write(bytes(min(_CODES_AT_ONCE, lines - start)))
        self.file.flush()
        self._map = mmap.mmap(self.file.fileno(), lines) if lines else bytearray()

    def __len__(self) -> int:
        return self._lines

    @overload
    def __getitem__(self, index: int, /) -> int: ...

    @overload
    def __getitem__(self, index: slice, /) -> bytes: ...

    def __getitem__(self, index: int | slice, /) -> int | bytes:
        if isinstance(index, int):
            return self._map[index]
        return os.pread(self.file.fileno(), index.stop - index.start, index.start)

    def __setitem__(self, index: int, code: int, /) -> None:
        self._map[index] = code
        self._pages += 1
        if self._pages > _MOST_PAGES and isinstance(self._map, mmap.mmap):
            self._map.madvise(mmap.MADV_DONTNEED)
            self._pages = 0

    def put(self, start: int, bits: bytes, code: int, *, keep: bytes = bytes(256)) -> None:
        """Change the codes of the lines after line ``start`` whose bit is set. ``keep`` has 0xff for each code that stays."""
        for at in range(0, len(bits), _CODES_AT_ONCE // 8):
            part = bits[at : at + _CODES_AT_ONCE // 8]
            first = start + 8 * at
            old = self[first : min(first + 8 * len(part), self._lines)]
            digits = f"{int.from_bytes(part, 'big'):0{8 * len(part)}b}"[: len(old)].encode()
            chosen, kept, before, after = (
                int.from_bytes(each, "big")
                for each in (digits.translate(_MASK), old.translate(keep), old, bytes((code,)) * len(old))
            )
            chosen &= ~kept
            os.pwrite(self.file.fileno(), (before & ~chosen | after & chosen).to_bytes(len(old), "big"), first)
