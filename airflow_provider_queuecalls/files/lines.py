"""The lines of a file and the cells of a line: blocks of whole lines in bounded memory, and quoting by RFC 4180.

Lines are numbered as in an editor. LF, CRLF, and a single CR end a line; nothing else does (not U+0085 or U+2028). A line
end at the end of the file does not start another line. A byte-order mark at the start is not part of a line.
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache, cached_property
from typing import BinaryIO

from airflow_provider_queuecalls.stopping import StopRequest

BLOCK_BYTES = 256 << 10
BOM = codecs.BOM_UTF8
#: A longer line is rejected, and only its beginning is kept.
LONGEST_LINE = 1 << 20

#: The characters of Unicode's category Cc, and two others that some programs take for a line end.
_CONTROL = frozenset(chr(code) for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029))
_C1 = re.compile(rb"\xc2[\x80-\x9f]")
_TO_CLOSING_QUOTE = re.compile(rb'[^"]*(?:""[^"]*)*"(?!")')


class Block:
    """Some whole lines. ``first`` is the number of the first one, ``end`` is the position after them in the file.

    ``abridged`` means that ``data`` is the beginning of one line.
    """

    def __init__(self, first: int, data: bytes, end: int, abridged: bool = False) -> None:
        self.first = first
        self.data = data
        self.end = end
        self.abridged = abridged

    @cached_property
    def count(self) -> int:
        """The number of lines."""
        if "lines" in vars(self):
            return len(self.lines)
        data = self.data
        ends = data.count(b"\n")
        if b"\r" in data:
            ends += data.count(b"\r") - data.count(b"\r\n")
        return ends + (not data.endswith((b"\n", b"\r")))

    @cached_property
    def lines(self) -> list[bytes]:
        """The lines, without their ends."""
        return self.data.splitlines()

    def numbered(self) -> Iterator[tuple[int, bytes]]:
        """The lines with their numbers."""
        return enumerate(self.lines, self.first)


def blocks(file: BinaryIO, delimiter: str = ",", stop: StopRequest | None = None) -> Iterator[Block]:
    """Read a file from its start as blocks of whole lines. It does not move the file's position.

    A line that is too long to keep is a block of its own. Raises :class:`NotSent` instead of reading on once ``stop`` is
    requested.
    """

    def read(size: int, position: int) -> bytes:
        if stop is not None:
            stop.raise_if_requested()
        return read_at(file, size, position)

    position, first, size = len(BOM) if read_at(file, len(BOM), 0) == BOM else 0, 1, BLOCK_BYTES
    while data := read(size, position):
        if cut := _after_last_line(data):
            block = Block(first, data[:cut], position + cut)
        elif len(data) > LONGEST_LINE + 1:
            line, length = _abridged(data, delimiter, position, read)
            block = Block(first, line, position + length, abridged=True)
        elif len(data) == size:
            size *= 2  # the line is longer
            continue
        else:
            block = Block(first, data, position + len(data))
        yield block
        position, first, size = block.end, first + block.count, BLOCK_BYTES


def read_at(file: BinaryIO, size: int, position: int) -> bytes:
    """Read bytes of a file: fewer than ``size`` only at its end. It does not move the file's position."""
    data = os.pread(file.fileno(), size, position)
    while 0 < len(data) < size and (more := os.pread(file.fileno(), size - len(data), position + len(data))):
        data += more
    return data


def pick_lines(lines: Iterable[Block], numbers: Iterator[int]) -> Iterator[tuple[int, bytes]]:
    """Yield the lines with these numbers, which are in ascending order. Stops reading at the end of the block that has the
    last one."""
    wanted = next(numbers, None)
    if wanted is None:
        return
    for block in lines:
        end = block.first + block.count
        if wanted >= end:
            continue
        found = block.lines
        while wanted < end:
            yield wanted, found[wanted - block.first]
            wanted = next(numbers, None)
            if wanted is None:
                return


def _after_last_line(data: bytes) -> int:
    """Where the last complete line ends. A CR at the very end may be half of a CRLF, so it does not count yet."""
    return data.rfind(b"\n") + 1 or data.rfind(b"\r", 0, max(len(data) - 1, 0)) + 1


def _abridged(head: bytes, delimiter: str, position: int, read: Callable[[int, int], bytes]) -> tuple[bytes, int]:
    """Read to the end of a line that is too long to keep. Returns its beginning, and the length of all of it.

    If the rest has an odd number of quotes, one is kept: the next line may be within a cell that this one opens.
    """
    length, quotes = LONGEST_LINE + 1, 0
    while piece := read(BLOCK_BYTES, position + length):
        end = min((at for at in (piece.find(b"\n"), piece.find(b"\r")) if at >= 0), default=len(piece))
        quotes += piece.count(b'"', 0, end)
        length += end
        if end < len(piece):
            length += 2 if read(2, position + length) == b"\r\n" else 1
            break
    return head[: LONGEST_LINE + 1] + f'{delimiter}"'.encode() * (quotes % 2), length


class ControlCharacters:
    """The characters that ``control_character`` rejects: a pattern for text, and faster ones for bytes.

    A tab that separates cells is not one of them.
    """

    def __init__(self, delimiter: str) -> None:
        characters = _CONTROL - {delimiter}
        self.in_text = re.compile(f"[{re.escape(''.join(sorted(characters)))}]")
        self.ascii = "".join(filter(str.isascii, characters)).encode()

    def beyond_ascii(self, data: bytes) -> bool:
        """Whether UTF-8 has one of them that is not ASCII. A search for single bytes first, which is 30 times as fast."""
        is_c1 = b"\xc2" in data and _C1.search(data) is not None
        return is_c1 or (b"\xe2" in data and (b"\xe2\x80\xa8" in data or b"\xe2\x80\xa9" in data))


def is_blank(line: bytes) -> bool:
    """Whether a line is empty or has only spaces and tabs. A row of empty cells is not blank."""
    return not line.strip(b" \t")


@cache
def _cell_pattern(delimiter: str) -> re.Pattern[str]:
    return re.compile(rf'(?:"([^"]*(?:""[^"]*)*)"|([^"{delimiter}]*))([{delimiter}]|\Z)')


def split_quoted(text: str, delimiter: str) -> list[str] | None:
    """Split a row as RFC 4180 defines it, where a quote may only open and close a cell. Returns None if it is violated."""
    cells, position, more, match_cell = [], 0, True, _cell_pattern(delimiter).match
    while more:
        match = match_cell(text, position)
        if match is None:
            return None
        quoted, bare, end = match.groups()
        cells.append(bare if quoted is None else quoted.replace('""', '"'))
        position, more = match.end(), end != ""
    return cells


def write_cell(cell: str) -> str:
    """Write a cell without line breaks as RFC 4180 defines it, with quotes only where they are needed."""
    return '"' + cell.replace('"', '""') + '"' if '"' in cell or "," in cell else cell


def quote_where_needed(parts: list[bytes], columns: int) -> None:
    """Quote the cells that have a comma. ``parts`` is the text of some rows, split at its quotes: every second part is a cell
    that was quoted.

    ``columns`` is the number of quoted cells in most rows: a column without commas is then left out at once.
    """
    step = 2 * max(1, columns)
    for start in range(1, step, 2):
        quoted = parts[start::step]
        if b"," in b"".join(quoted):
            parts[start::step] = [b'"' + cell + b'"' if b"," in cell else cell for cell in quoted]


def write_row(cells: Iterable[str]) -> bytes:
    """Write cells without line breaks as a row, without a line end."""
    # The check reports a lone surrogate: its bytes are not UTF-8.
    return ",".join(map(write_cell, cells)).encode(errors="surrogatepass")


def leaves_cell_open(line: bytes, delimiter: bytes, is_open: bool = False) -> bool:
    """Whether a quoted cell continues in the next line. ``is_open``: whether one continues from the line before."""
    position = 0
    while True:
        if is_open or line[position : position + 1] == b'"':
            closing = _TO_CLOSING_QUOTE.match(line, position + (not is_open))
            if closing is None:
                return True
            position = closing.end()
        is_open = False
        position = line.find(delimiter, position) + 1
        if not position:
            return False
