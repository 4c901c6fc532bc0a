"""Suppression lists that are built once for many checks: sorted, without repeats, in a Parquet file of a byte per number.

The file's metadata says when the oldest source was last changed, so the age of a list does not become less by building.
"""

# ruff: noqa: S608 - a query is built from our own constants, never from a value in a file

from __future__ import annotations

import json
import os
from contextlib import closing
from datetime import datetime, timezone

from airflow_provider_queuecalls.exceptions import InvalidContacts
from airflow_provider_queuecalls.files.duckdb_session import Session
from airflow_provider_queuecalls.files.reading import Source
from airflow_provider_queuecalls.stopping import StopRequest

#: The first bytes of a Parquet file.
_MAGIC = b"PAR1"
#: The key of the file's metadata with a JSON object: ``version`` of this format, ``oldest_change`` and ``built`` as
#: ISO 8601 times in UTC, and ``checksum``, the value of :data:`CHECKSUM`, which begins with the count of the numbers.
KEY = "queuecalls_suppression_list"
VERSION = 1
CHECKSUM = "concat_ws(' ', count(*), sum(number), bit_xor(number))"


def is_built(source: Source) -> bool:
    """Whether a suppression list is a Parquet file, not text."""
    return os.pread(source.file.fileno(), len(_MAGIC), 0) == _MAGIC


def oldest_change(source: Source, stop: StopRequest, memory_mb: int) -> float:
    """Return when the oldest source of a built list was last changed, as a UNIX time.

    Raises :class:`InvalidContacts` for another Parquet file, and for one that is damaged: it could give other numbers. What
    says nothing about the file, such as a lack of memory, is DuckDB's own error.
    """
    import duckdb

    path = {"path": source.address()}
    with closing(Session(memory_mb, stop)) as session:
        try:
            value = dict(session.stream("SELECT key, value FROM parquet_kv_metadata($path)", path)).get(KEY.encode())
            metadata = json.loads(value or "{}")
            if metadata.get("version") != VERSION:
                raise InvalidContacts(
                    f"{source.shown} is a Parquet file, but not of this version of queuecalls suppression build. Export the "
                    "list as CSV, and build it again."
                )
            ((checksum,),) = session.stream(f"SELECT {CHECKSUM} FROM read_parquet($path)", path)
            if checksum == metadata["checksum"]:
                return datetime.fromisoformat(metadata["oldest_change"]).timestamp()
        except (duckdb.OutOfMemoryException, duckdb.IOException):
            raise
        except (duckdb.Error, ValueError, KeyError, TypeError, AttributeError):
            pass  # their texts may show what the file has
    raise InvalidContacts(
        f"{source.shown} is a Parquet file that is incomplete or damaged. Build it again with queuecalls suppression build."
    )


def metadata_of(oldest_change: float, checksum: str) -> str:
    """Return what :func:`oldest_change` reads."""
    times = {"oldest_change": oldest_change, "built": datetime.now(timezone.utc).timestamp()}
    iso = {name: datetime.fromtimestamp(time, timezone.utc).isoformat() for name, time in times.items()}
    return json.dumps({"version": VERSION, **iso, "checksum": checksum})
