"""Contact files and suppression lists that are compressed with gzip or Zstandard."""

from __future__ import annotations

import errno
import gzip
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from typing import Any, BinaryIO, NamedTuple

from airflow_provider_queuecalls.contacts.temporary import no_room, temporary_file, write_all
from airflow_provider_queuecalls.exceptions import CheckFailed, InvalidContacts
from airflow_provider_queuecalls.stopping import StopRequest

#: Bounds on the unpacked size. A contact file with the same 255 characters in every row unpacks to 157 times its size.
MAX_RATIO = 500
MAX_BYTES = 16 << 30
#: A file may always unpack to this size, whatever its ratio.
_SMALL_BYTES = 64 << 20
#: Disk space that is left free.
SPARE_BYTES = 64 << 20
_BLOCK_BYTES = 1 << 20


class Compression(NamedTuple):
    """A format: its name, the extensions of its files, and the function that opens a packed file for reading."""

    name: str
    extensions: tuple[str, ...]
    open: Callable[[BinaryIO], Any]


def compression_of(beginning: bytes) -> Compression | None:
    """Recognize the format of a file by its first bytes; None for a file that is not compressed."""
    return next((known for magic, known in _FORMATS.items() if beginning.startswith(magic)), None)


def unpacked(packed: BinaryIO, compression: Compression, shown: str, stop: StopRequest) -> BinaryIO:
    """Unpack a file into a temporary file, which has the same time of last change.

    ``shown`` is the file as a message refers to it. Raises :class:`InvalidContacts` if the data is incomplete or
    damaged, if it exceeds the bounds on the unpacked size, or if the format's library is not installed, and
    :class:`CheckFailed` if there is no room.
    """
    status = os.fstat(packed.fileno())
    limit = min(MAX_BYTES, max(_SMALL_BYTES, MAX_RATIO * status.st_size))
    size, copy = 0, temporary_file(buffering=0)
    try:
        for block in _blocks(packed, compression, shown):
            stop.raise_if_requested()
            size += len(block)
            if size > limit:
                raise InvalidContacts(
                    f"{shown} unpacks to more than {limit:,} bytes, from {status.st_size:,}. Nothing was sent. At most "
                    f"{MAX_RATIO} times the size of the file and {MAX_BYTES >> 30} GiB are unpacked: unpack it upstream "
                    "if it is a contact file."
                )
            if shutil.disk_usage(tempfile.gettempdir()).free < SPARE_BYTES + len(block):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            write_all(copy, block)
        os.utime(copy.fileno(), ns=(status.st_mtime_ns, status.st_mtime_ns))
        copy.seek(0)
    except BaseException as error:
        copy.close()
        if not isinstance(error, OSError):
            raise
        room = f" Make room in {tempfile.gettempdir()!r}, or set TMPDIR to a larger disk." if no_room(error) else ""
        raise CheckFailed(
            f"{shown} cannot be unpacked on {platform.node()}: {error.strerror}. Nothing was sent.{room}"
        ) from None
    return copy


def _blocks(packed: BinaryIO, compression: Compression, shown: str) -> Iterator[bytes]:
    packed.seek(0)
    try:
        # pyarrow closes the file that it is given.
        with open(os.dup(packed.fileno()), "rb") as duplicate, compression.open(duplicate) as reader:
            while block := reader.read(_BLOCK_BYTES):
                yield block
    except ImportError:
        raise InvalidContacts(
            f"{shown} is compressed with {compression.name}, and no library to read it is installed. Nothing was sent. "
            "Install backports.zstd (part of Python from 3.14 on, as compression.zstd) or pyarrow, or use gzip."
        ) from None
    except OSError as error:
        if error.errno is not None:  # of the disk, not of the data
            raise
        raise _damaged(error, compression, shown) from None
    except Exception as error:  # noqa: BLE001  # each library has errors of its own
        raise _damaged(error, compression, shown) from None


def _damaged(error: Exception, compression: Compression, shown: str) -> InvalidContacts:
    incomplete = isinstance(error, EOFError) or "Truncated" in str(error)  # pyarrow has no class of its own for it
    return InvalidContacts(
        f"{shown} cannot be unpacked: its {compression.name} data is {'incomplete' if incomplete else 'damaged'}. "
        "Nothing was sent. Let the upstream task write it again."
    )


def _open_zstd(packed: BinaryIO) -> Any:
    for library in ("compression.zstd", "backports.zstd"):
        with suppress(ImportError):
            return import_module(library).ZstdFile(packed)
    return import_module("pyarrow").CompressedInputStream(packed, "zstd")


_FORMATS = {
    b"\x1f\x8b": Compression("gzip", (".gz", ".gzip"), lambda packed: gzip.GzipFile(fileobj=packed)),
    b"\x28\xb5\x2f\xfd": Compression("zstd", (".zst", ".zstd"), _open_zstd),
}
