"""The steps of a check: open, prove readable, validator, decide, write the rejects, refuse or hand over."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from types import TracebackType

from airflow_provider_queuecalls.client.multipart import Upload
from airflow_provider_queuecalls.contacts.cleaning import write_cleaned
from airflow_provider_queuecalls.contacts.header import find_layout
from airflow_provider_queuecalls.contacts.policies import enforce
from airflow_provider_queuecalls.contacts.reading import Progress, Reading, file_digest
from airflow_provider_queuecalls.contacts.rejects import write_rejects
from airflow_provider_queuecalls.contacts.report import Example, Report
from airflow_provider_queuecalls.contacts.results import Results, open_results
from airflow_provider_queuecalls.contacts.rows import BLANK, COLUMN_NAMES, REASONS, RowValidator
from airflow_provider_queuecalls.contacts.rules import ContactRules
from airflow_provider_queuecalls.contacts.source import Source, open_source
from airflow_provider_queuecalls.contacts.suppression import read_suppression_list
from airflow_provider_queuecalls.exceptions import CheckFailed, InvalidContacts

EXAMPLES = 10


@dataclass
class CheckedContacts:
    """A contact file that passed: what to send, and what the check found. Close it, or use it in a ``with``.

    The file is open, at its start, and stays what was checked even if the path is given to another file.
    """

    report: Report
    upload: Upload

    def close(self) -> None:
        """Close the file; a cleaned temporary one vanishes with that."""
        self.upload.file.close()

    def __enter__(self) -> CheckedContacts:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def check(
    path: str | os.PathLike[str],
    rules: ContactRules | None = None,
    *,
    rejects_path: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> CheckedContacts:
    """Check a local contact file as a whole, and return what is to be sent.

    That is the file itself, byte for byte, where every row is good and none needs a change, with LF or CRLF as line
    ends. Otherwise it is a cleaned copy: UTF-8, LF, commas, the vendor's order of columns, without blank lines,
    byte-order mark, header line and rows that are left out.

    ``rejects_path`` gets a CSV of the rows left out, on every outcome except an unreadable file; without any such
    row it has its header line only. ``progress`` is called with (bytes, bytes in all) while the file is read.

    Raises :class:`InvalidContacts` where a rule or a policy is broken (with a ``report`` if the rows were judged),
    among them :class:`UnreadableContacts` and :class:`EmptyContacts`, and :class:`CheckFailed` where the check could
    not be done and another try may help.
    """
    rules = rules or ContactRules()
    with ExitStack() as stack:
        source = open_source(path, "The contact file")
        stack.callback(source.file.close)
        if rejects_path is not None and source.is_at(rejects_path):
            raise InvalidContacts(f"{source.shown} is what rejects_path names, too: write the rejects to another file.")
        with _translate_disk_errors(source), open_results(source, rules.lists) as results:
            for listed in rules.lists:
                read_suppression_list(listed, rules, results)
            validator = RowValidator(rules, find_layout(source, rules))
            read = results.read(source, validator, progress)
            results.decide(look_for_duplicates=rules.duplicates != "keep")
            report = _report(results, read)
            source.assert_unchanged()
            if rejects_path is not None:
                write_rejects(rejects_path, source, validator, results.rejects())
            enforce(rules, report, source.shown)
            file, size, digest = source.file, source.size, read.digest
            changed = read.bom or read.lone_cr or validator.rewrites_all or results.any_changed()
            if changed or report.valid < report.lines:
                file = write_cleaned(source, validator, results)
                stack.callback(file.close)
                size, digest = os.fstat(file.fileno()).st_size, file_digest(file)
            source.assert_unchanged()
        stack.pop_all()
        if file is not source.file:
            source.file.close()
    file.seek(0)
    if progress:
        progress(source.size, source.size)
    return CheckedContacts(replace(report, digest=digest), Upload(file, source.name, size, digest))


@contextmanager
def _translate_disk_errors(source: Source) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CheckFailed(
            f"{source.shown} could not be checked: {error.strerror or type(error).__name__}. Nothing was sent. "
            f"The check needs room in {tempfile.gettempdir()!r}, up to twice the size of the file."
        ) from None


def _report(results: Results, read: Reading) -> Report:
    counts = results.counts()
    blank, _ = counts.get(BLANK, (0, 0))
    header, _ = counts.get(COLUMN_NAMES, (0, 0))
    reasons = {reason: counts[reason][0] for reason in REASONS if reason in counts}
    duplicates, suppressed = reasons.get("duplicate", 0), reasons.get("suppressed", 0)
    left_out = sum(reasons.values())
    contacts = read.lines - blank - header
    return Report(
        lines=read.lines,
        blank=blank,
        contacts=contacts,
        valid=contacts - left_out,
        rejected=left_out - duplicates - suppressed,
        duplicates=duplicates,
        suppressed=suppressed,
        reasons=reasons,
        first_lines={reason: counts[reason][1] for reason in reasons},
        examples=tuple(Example(*example) for example in islice(results.rejects(), EXAMPLES)),
        normalized=results.normalized(),
        bom=read.bom,
    )
