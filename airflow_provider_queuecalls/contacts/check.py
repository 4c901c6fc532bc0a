"""The steps of a check: open the files, read the suppression lists, check each row, compare the numbers, decide by the
policies whether the list is sent, and write the rejects and the cleaned copy."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import islice

from airflow_provider_queuecalls.client.multipart import Upload
from airflow_provider_queuecalls.clocks import tzdata
from airflow_provider_queuecalls.contacts.hours.check import HoursCheck
from airflow_provider_queuecalls.contacts.output.files import write_output
from airflow_provider_queuecalls.contacts.output.policies import broken_policies
from airflow_provider_queuecalls.contacts.output.report import Example, Report
from airflow_provider_queuecalls.contacts.row_results.base import Counts, Results, Survey
from airflow_provider_queuecalls.contacts.row_results.call_limit import NumberCheck
from airflow_provider_queuecalls.contacts.row_results.in_duckdb import ResultsInDuckDB
from airflow_provider_queuecalls.contacts.row_results.in_memory import ResultsInMemory, is_small
from airflow_provider_queuecalls.contacts.rows.columns import find_layout, names_not_sent, show_names
from airflow_provider_queuecalls.contacts.rows.validator import BLANK, COLUMN_NAMES, REASONS, Layout, RowValidator
from airflow_provider_queuecalls.contacts.rules import COLUMNS, ContactRules
from airflow_provider_queuecalls.contacts.suppression.lists import open_suppression_list, read_suppression_list
from airflow_provider_queuecalls.exceptions import InvalidContacts
from airflow_provider_queuecalls.files.duckdb_session import MEMORY_LIMIT, assert_memory_limit, translate_errors
from airflow_provider_queuecalls.files.reading import Source, is_same_file, open_source, show_role
from airflow_provider_queuecalls.progress import Advance, Progress, advance_of
from airflow_provider_queuecalls.stopping import StopRequest

#: The address space that Python, DuckDB, and their threads take besides, in MiB.
PROGRAM_ADDRESS_SPACE = 512

_EXAMPLES = 10


@dataclass
class CheckedContacts:
    """A contact file that passed the check: what to send, and the report. Close it, or use it in a ``with`` statement.

    The file is open at its start. It stays the file that was checked even if another file gets its name.
    """

    report: Report
    upload: Upload
    columns: Sequence[str] = COLUMNS

    def close(self) -> None:
        """Close the file. A cleaned copy is deleted."""
        self.upload.file.close()

    def __enter__(self) -> CheckedContacts:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def check(
    path: str | os.PathLike[str],
    rules: ContactRules | None = None,
    *,
    rejects_path: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
    stop: StopRequest | None = None,
    memory_limit: int = MEMORY_LIMIT,
    hours: HoursCheck | None = None,
    limit: NumberCheck | None = None,
) -> CheckedContacts:
    """Check a local contact file as a whole, and return what is to be sent.

    That is the file itself, byte for byte, if every row is valid, none needs a change, and lines end with LF or CRLF.
    Otherwise it is a cleaned copy: UTF-8, LF, commas, and the service's order of columns, without blank lines, byte-order
    mark, header line, and rejects.

    :param path: The contact file.
    :param rules: How to check it. Default: the default of every rule.
    :param rejects_path: A file to write the rejects to as CSV, whatever the outcome, unless a file cannot be read. Without
        rejects it has a header line only. It must not be the contact file or a suppression list.
    :param progress: Called with (done, total) during the check, in bytes. The total is twice the size of all files.
    :param stop: Ends the check once it is requested: :class:`NotSent` is raised, and temporary files are deleted.
    :param memory_limit: The memory that the check may use, in MiB, at least 256. Default: 512. It is enough for files of
        any size; with more, large files are compared in fewer steps.
    :param hours: Decides whether rows are within hours. Default: by the ``calling_hours`` of the rules, from now on.
    :param limit: Decides whose number was called too often. Default: nobody's.

    Raises :class:`InvalidContacts` if a rule or a policy is violated (with a ``report`` if the rows were checked),
    :class:`EmptyContacts` if there are no rows and ``on_empty`` is ``"skip"``, and :class:`CheckFailed` if the check could
    not be finished and another try may help.
    """
    rules = rules or ContactRules()
    stop = stop or StopRequest()
    assert_memory_limit(memory_limit)
    with ExitStack() as stack, ExitStack() as opened:
        _assert_rejects_elsewhere(rejects_path, path, rules)
        source = open_source(path, "The contact file", stop)
        stack.callback(source.file.close)
        lists = [open_suppression_list(each, rules, stop, memory_limit, opened) for each in rules.suppression_lists]
        built, texts = ([each for each in lists if each.built is is_built] for is_built in (True, False))
        size = source.size + sum(each.size for each in lists)
        total = 2 * size  # comparing the numbers takes about as long as reading the files
        with (
            translate_errors(source.shown, memory_limit),
            _open_results(size, memory_limit, stop, advance_of(progress, total), built=built, limit=limit) as results,
        ):
            for each in texts:
                with translate_errors(each.shown, memory_limit):
                    read_suppression_list(each, results, str(rules.phone_format))
            hours = hours or rules.hours_check()
            layout = find_layout(source, rules)
            validator = RowValidator(rules, layout.with_zone() if hours and hours.keeps_zone else layout, hours)
            read = results.read_contacts(source, validator)
            results.mark_by_number(look_for_duplicates=rules.duplicates != "keep")
            counts = results.counts()
            report = _report(read, counts, results.rejects(), validator.layout)
            if hours:
                sent = results.sent_places()
                report = replace(
                    report, places=results.places(), sent_places=sent, span=hours.span(sent), tzdata=tzdata()[0]
                )
            for read_file in (source, *lists):
                read_file.assert_unchanged()
            broken = broken_policies(rules, report, source, hours.advice if hours else "")
            all_as_they_are = not (read.bom or read.lone_cr or read.quoted or validator.rewrites_all)
            changed = not all_as_they_are or counts.get("valid", (0, 0))[0] < report.lines
            cleaned = write_output(
                source,
                validator,
                results,
                stop,
                rejects_path=rejects_path,
                send=changed and not broken,
                all_safe=read.duckdb_safe,
            )
            if broken:
                raise broken
            if cleaned:
                file, digest = cleaned
                stack.callback(file.close)
            else:
                file, digest = source.file, results.digest(source)
            source.assert_unchanged()
        stop.raise_if_requested()
        stack.pop_all()
        if file is not source.file:
            source.file.close()
    file.seek(0)
    if progress:
        progress(total, total)
    upload = Upload(file, source.name, os.fstat(file.fileno()).st_size, digest)
    return CheckedContacts(replace(report, digest=digest), upload, validator.layout.columns)


@contextmanager
def open_contacts(path: str | os.PathLike[str]) -> Iterator[Upload]:
    """Open a contact file to send it without a check. Raises :class:`InvalidContacts`."""
    source = open_source(path, "The contact file")
    with source.file:
        if not source.size:
            raise InvalidContacts(f"{source.shown} is empty: there is nobody to call. Did the upstream task write it?")
        yield Upload(source.file, source.name, source.size)


def _assert_rejects_elsewhere(
    rejects_path: str | os.PathLike[str] | None, path: str | os.PathLike[str], rules: ContactRules
) -> None:
    for what, read in rules.files_read(path):
        if is_same_file(read, rejects_path):
            raise InvalidContacts(
                f"{show_role(what, read)} and rejects_path are the same file. Nothing was read or written. Write the "
                "rejects to another file."
            )


def _open_results(
    size: int,
    memory_limit: int,
    stop: StopRequest,
    advance: Advance,
    *,
    built: Sequence[Source],
    limit: NumberCheck | None,
) -> AbstractContextManager[Results]:
    """What keeps the results: memory if the files are small, and none of them needs DuckDB."""
    if is_small(size) and not built and limit is None:
        return nullcontext(ResultsInMemory(stop, advance))
    if _address_space_mb() < memory_limit + PROGRAM_ADDRESS_SPACE:
        raise MemoryError  # DuckDB might wait forever for a thread that could not be started
    duckdb_memory = memory_limit // 2  # the other half is for everything else in the process
    return closing(ResultsInDuckDB(duckdb_memory, stop, advance, built=built, limit=limit))


def _address_space_mb() -> float:
    """What the system lets this process address (``ulimit -v``), in MiB."""
    try:
        import resource
    except ImportError:  # not a Unix
        return math.inf
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return math.inf if limit == resource.RLIM_INFINITY else limit / (1 << 20)


def _report(read: Survey, counts: Counts, rejects: Iterator[tuple[int, str]], layout: Layout) -> Report:
    blank, _ = counts.get(BLANK, (0, 0))
    header, _ = counts.get(COLUMN_NAMES, (0, 0))
    reasons = {reason: counts[reason][0] for reason in REASONS if reason in counts}
    duplicates, suppressed = reasons.get("duplicate", 0), reasons.get("suppressed", 0)
    contacts, not_sent = read.lines - blank - header, sum(reasons.values())
    return Report(
        lines=read.lines,
        blank=blank,
        contacts=contacts,
        valid=contacts - not_sent,
        rejected=not_sent - duplicates - suppressed,
        duplicates=duplicates,
        suppressed=suppressed,
        reasons=reasons,
        first_lines={reason: counts[reason][1] for reason in reasons},
        examples=tuple(Example(*example) for example in islice(rejects, _EXAMPLES)),
        normalized=counts.get("normalized", (0, 0))[0],
        bom=read.bom,
        columns_not_sent=show_names(names_not_sent(layout.names, layout.positions)),
    )
