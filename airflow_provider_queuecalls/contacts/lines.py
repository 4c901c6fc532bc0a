"""The lines of a file, as an editor shows and numbers them, in bounded memory.

LF, CRLF and a CR of its own end a line; nothing else does (so U+0085 and U+2028 don't). A line end at the end of
the file begins no further line. A byte-order mark at the start belongs to no line.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import BinaryIO, TypeVar

from airflow_provider_queuecalls.contacts.rows import LONGEST_LINE, ControlCharacters
from airflow_provider_queuecalls.stopping import StopRequest

BLOCK_BYTES = 256 << 10
BOM = codecs.BOM_UTF8
_MOST_DELIMITERS = 1 << 16

Mark = TypeVar("Mark")


class Block:
    """Some whole lines. ``first`` is the number of the first of them, ``abridged`` whether there is more of it."""

    def __init__(self, first: int, data: bytes, abridged: bool = False) -> None:
        self.first = first
        self.data = data
        self.abridged = abridged

    @cached_property
    def count(self) -> int:
        """How many lines these are."""
        data = self.data
        ends = data.count(b"\n")
        if b"\r" in data:
            ends += data.count(b"\r") - data.count(b"\r\n")
        return ends + (not data.endswith((b"\n", b"\r")))

    def lines(self) -> list[bytes]:
        """The lines, without their ends."""
        return self.data.splitlines()

    def numbered(self) -> Iterator[tuple[int, bytes]]:
        """The lines with their numbers."""
        return enumerate(self.lines(), self.first)


def blocks(
    file: BinaryIO,
    delimiter: str = ",",
    tap: Callable[[bytes], object] | None = None,
    stop: StopRequest | None = None,
) -> Iterator[Block]:
    """Read a file from its start as blocks of whole lines.

    ``tap`` gets every byte read. A line of more than about a mebibyte comes as a block of its own, abridged so that
    its result stays the same. Raises :class:`NotSent` before it reads on after ``stop`` was requested.
    """

    def read() -> bytes:
        if stop is not None:
            stop.raise_if_requested()
        chunk = file.read(BLOCK_BYTES)
        if tap is not None and chunk:
            tap(chunk)
        return chunk

    file.seek(0)
    first, rest, at_start = 1, b"", True
    while chunk := read():
        data = rest + chunk
        if at_start:
            data, at_start = data.removeprefix(BOM), False
        cut = _after_last_line(data)
        if not cut and len(data) > LONGEST_LINE + 8:
            line, data = _abridged(data, delimiter, read)
            yield Block(first, line, abridged=True)
            first += 1
            cut = _after_last_line(data)
        if cut:
            block = Block(first, data[:cut])
            yield block
            first += block.count
        rest = data[cut:]
    if rest:
        yield Block(first, rest)


def picked(lines: Iterable[Block], marks: Iterator[tuple[int, Mark]]) -> Iterator[tuple[int, bytes, Mark]]:
    """The marked lines alone, as (number, line, mark). Reads hardly further than the last of them."""
    wanted = next(marks, None)
    if wanted is None:
        return
    for block in lines:
        end = block.first + block.count
        if wanted[0] >= end:
            continue
        found = block.lines()
        while wanted[0] < end:
            yield wanted[0], found[wanted[0] - block.first], wanted[1]
            wanted = next(marks, None)
            if wanted is None:
                return


def _after_last_line(data: bytes) -> int:
    """Where the last complete line ends. A CR at the very end may be half of a CRLF, so it doesn't count yet."""
    return data.rfind(b"\n") + 1 or data.rfind(b"\r", 0, max(len(data) - 1, 0)) + 1


def _abridged(head: bytes, delimiter: str, read: Callable[[], bytes]) -> tuple[bytes, bytes]:
    """Read to the end of a line that is too long to keep; return it abridged, and what was read beyond it."""
    cut = LONGEST_LINE + 4
    while head[cut] & 0xC0 == 0x80 and cut > LONGEST_LINE:
        cut -= 1  # not within a character
    kept, piece = head[:cut], head[cut:]
    rest = _Rest(delimiter, kept)
    while piece:
        ends = [at for at in (piece.find(b"\n"), piece.find(b"\r")) if at >= 0]
        if ends:
            end = min(ends)
            rest.add(piece[:end])
            if piece[end:] == b"\r":
                piece += read()
            return kept + rest.telling(), piece[end + (2 if piece.startswith(b"\r\n", end) else 1) :]
        rest.add(piece)
        piece = read()
    return kept + rest.telling(), b""


class _Rest:
    """What decides the result on a line beyond its first mebibyte: a byte that is not UTF-8, a control character,
    the number of delimiters, and quotes, odd or even. (All else is decided: one of the cells is too long by now.)"""

    def __init__(self, delimiter: str, kept: bytes) -> None:
        self._control = ControlCharacters(delimiter)
        self._delimiter = delimiter.encode()
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._invalid = self._controls = False
        self._delimiters = self._quotes = 0
        self._decode(kept)

    def add(self, piece: bytes) -> None:
        """Take in a further part of the line."""
        self._decode(piece)
        self._controls = self._controls or len(piece.translate(None, self._control.ascii)) < len(piece)
        self._delimiters += piece.count(self._delimiter)
        self._quotes += piece.count(b'"')

    def telling(self) -> bytes:
        """A short text with the same effect on the result."""
        self._decode(b"", final=True)
        quotes = b'"' * (2 - self._quotes % 2) if self._quotes else b""
        delimiters = self._delimiter * min(self._delimiters, _MOST_DELIMITERS)
        return delimiters + quotes + b"\x00" * self._controls + b"\xff" * self._invalid

    def _decode(self, piece: bytes, final: bool = False) -> None:
        if self._invalid or (piece.isascii() and not final and self._decoder.getstate()[0] == b""):
            return
        try:
            text = self._decoder.decode(piece, final)
        except UnicodeDecodeError:
            self._invalid = True
        else:
            self._controls = self._controls or bool(self._control.in_text.search(text))
