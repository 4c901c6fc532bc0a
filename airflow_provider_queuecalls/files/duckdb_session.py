"""DuckDB with a memory limit. It writes no file that has a name, a stop request interrupts it, and no error shows a row."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from airflow_provider_queuecalls.exceptions import CheckFailed, InvalidContactRules, QueueCallsError, Violation
from airflow_provider_queuecalls.files.lines import LONGEST_LINE
from airflow_provider_queuecalls.files.writing import path_of, temporary_file
from airflow_provider_queuecalls.stopping import StopRequest

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

#: The memory that DuckDB and the process around it may use by default, in MiB, and the least that may be given.
MEMORY_LIMIT = 512
LEAST_MEMORY = 256
MOST_THREADS = 4
#: The longest line that DuckDB reads; a longer one is replaced by ``?``. DuckDB keeps a few buffers of twice this size.
MOST_LINE_BYTES = 4 * LONGEST_LINE
_ROWS_AT_ONCE = 10_000
_POLL_SECONDS = 0.1

T = TypeVar("T")


def assert_memory_limit(memory_limit: int) -> None:
    """Raise :class:`InvalidContactRules` for a limit that is too small."""
    if memory_limit < LEAST_MEMORY:
        violation = Violation("memory_limit", "is too small", f"at least {LEAST_MEMORY} (MiB)", value=str(memory_limit))
        raise InvalidContactRules([violation])


class Session:
    """A connection to a DuckDB of its own, and the temporary files that its queries write and read."""

    def __init__(self, memory_mb: int, stop: StopRequest) -> None:
        import duckdb

        self._stop = stop
        self._files: list[BinaryIO] = []
        self.threads = ThreadPoolExecutor(2)  # one for DuckDB, one for whoever uses it
        self._running: Future[Any] | None = None
        self.connection: DuckDBPyConnection = duckdb.connect(
            config={
                "memory_limit": f"{memory_mb}MiB",
                "threads": min(os.cpu_count() or 1, MOST_THREADS),
                "temp_directory": "",  # so DuckDB writes no number to a file that has a name
                "preserve_insertion_order": True,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                # The hash table of a join is then built from its right side: the numbers of one part.
                "disabled_optimizers": "join_order,build_side_probe_side",
            }
        )
        # DuckDB would draw the bar on standard output, where the command line prints its result.
        self.connection.execute("SET enable_progress_bar = false")

    def close(self) -> None:
        """Interrupt what is running, and release memory and disk space."""
        if self._running is not None:
            self.interrupt(self._running)
        self.threads.shutdown()
        self.connection.close()
        for file in self._files:
            file.close()

    def keep(self, file: BinaryIO) -> str:
        """Keep a temporary file until the session is closed. Returns its path."""
        self._files.append(file)
        return path_of(file)

    def new_file(self) -> str:
        """Create a temporary file that is kept until the session is closed. Returns its path."""
        return self.keep(temporary_file())

    def start(self, function: Callable[..., T], *arguments: Any) -> Future[T]:
        """Call a function of DuckDB in a thread, so that this thread can react to a stop request."""
        self._stop.raise_if_requested()
        self._running = running = self.threads.submit(function, *arguments)
        return running

    def finish(self, running: Future[T]) -> T:
        """Wait for what was started. Raises :class:`NotSent` if a stop is requested."""
        while not wait([running], timeout=_POLL_SECONDS).done:
            if self._stop.requested:
                self.interrupt(running)
        self._stop.raise_if_requested()
        return running.result()

    def interrupt(self, running: Future[Any]) -> None:
        """Interrupt DuckDB until it has stopped: it ignores an interrupt before a query begins."""
        while not running.done():
            self.connection.interrupt()
            wait([running], timeout=_POLL_SECONDS)

    def run(self, statement: str, *parameters: Any) -> None:
        """Execute a statement."""
        self.finish(self.start(self.connection.execute, statement, *parameters))

    def value(self, query: str) -> Any:
        """The only value of a query."""
        ((value,),) = self.stream(query)
        return value

    def stream(self, query: str, *parameters: Any) -> Iterator[Any]:
        """Yield the rows of a query, a part of them at a time."""
        self.run(query, *parameters)
        while rows := self.finish(self.start(self.connection.fetchmany, _ROWS_AT_ONCE)):
            yield from rows


def copy_to_parquet(query: str, path: str, **metadata: str) -> str:
    """Return the statement that writes a query's rows to a file, and texts without apostrophes to its metadata."""
    more = "".join(f", KV_METADATA {{{key}: '{text}'}}" for key, text in metadata.items())
    # Version 2 needs half the bytes per number, and takes no longer than a table in memory.
    options = f"FORMAT parquet, PARQUET_VERSION v2, COMPRESSION uncompressed, USE_TMP_FILE false{more}"
    return f"COPY ({query}) TO '{path}' ({options})"


def read_lines(line_end: str = "\n") -> str:
    """Return the table function for the lines of the file ``$path``, each of which ends with ``line_end``.

    A line is read as one cell: the delimiter is a character that no line of ours contains.
    """
    end = {"\n": "\\n", "\r\n": "\\r\\n"}[line_end]
    return (
        f"read_csv($path, columns = {{'line': 'VARCHAR'}}, auto_detect = false, header = false, new_line = '{end}', "
        f"delim = '\x1e', quote = '', escape = '', max_line_size = {MOST_LINE_BYTES}, buffer_size = {2 * MOST_LINE_BYTES})"
    )


@contextmanager
def translate_errors(subject: str, memory_limit: int, done: str = "checked") -> Iterator[None]:
    """Raise :class:`CheckFailed` for errors of the disk, of memory, and of DuckDB, whose texts may contain a row.

    The message begins with ``subject`` and what could not be ``done`` with it.
    """
    try:
        yield
    except QueueCallsError:
        raise
    except Exception as error:
        problem = _problem(error, memory_limit)
        if problem is None:
            raise
        raise CheckFailed(f"{subject} could not be {done}: {problem} It is safe to try again.") from None


def _problem(error: Exception, memory_limit: int) -> str | None:
    duckdb = sys.modules.get("duckdb")
    room = f"This needs room in the temporary directory {tempfile.gettempdir()!r}: up to twice the size of the files that are read."
    if isinstance(error, OSError):
        return f"{error.strerror or type(error).__name__}. {room}"
    out_of_memory = isinstance(error, MemoryError) or (duckdb and isinstance(error, duckdb.OutOfMemoryException))
    cannot_load = isinstance(error, ImportError) and "duckdb" in str(error)
    no_thread = isinstance(error, RuntimeError) and "thread" in str(error)
    if out_of_memory or cannot_load or no_thread:
        return (
            f"there is not enough memory. Up to {memory_limit} MiB are used (memory_limit; in Airflow, [queuecalls] "
            "check_memory_mb). Give the process more memory, or raise the limit if DuckDB ran out of its share."
        )
    if duckdb and isinstance(error, duckdb.Error):
        return f"DuckDB stopped with {type(error).__name__}. {room}"
    return None
