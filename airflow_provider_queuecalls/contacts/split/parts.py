"""Writes the parts of a list, as :mod:`~airflow_provider_queuecalls.contacts.split.parameters` describes, each to a file of its own.

The whole list is checked first, so that nobody is in two parts. Contacts keep their order within a part.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from typing import Any, BinaryIO, TypeAlias

from airflow_provider_queuecalls.contacts.check import CheckedContacts
from airflow_provider_queuecalls.contacts.hours.calling_hours import Span
from airflow_provider_queuecalls.contacts.output.report import show_span
from airflow_provider_queuecalls.contacts.rows.phone_numbers import number_called
from airflow_provider_queuecalls.contacts.rules import TIME_ZONE, ContactRules
from airflow_provider_queuecalls.contacts.split.parameters import CARRY_OVER, RECORD, Split
from airflow_provider_queuecalls.contacts.split.spans import SpansCheck, quarter, span_name
from airflow_provider_queuecalls.exceptions import InvalidContacts
from airflow_provider_queuecalls.files.lines import blocks
from airflow_provider_queuecalls.files.reading import is_same_file, show_role
from airflow_provider_queuecalls.files.writing import complete_file, keep_first, unwritable
from airflow_provider_queuecalls.parameters import show_path
from airflow_provider_queuecalls.stopping import StopRequest
from airflow_provider_queuecalls.value_types import counted

#: Files as messages refer to them: each by its role, as a message begins, and its path or URL, or None if there is none.
Sources: TypeAlias = "Sequence[tuple[str, Any]]"
#: What decides which contacts are in which campaign, by its key in the record, with the words of messages.
_DECIDES = {
    "campaign_name": "campaign_name",
    "digest": "the list (the contact file, a suppression list, or a rule of the check)",
    "max_contacts": "max_contacts",
    "spans": "the spans (by, start, calling_hours, unknown_zone, min_window, carry_over_path, or the time zone data)",
}


@dataclass
class Part:
    """One file: its name, how many contacts it has, and when they are called (None: by size only, or not today)."""

    name: str
    span: Span | None
    contacts: int = 0

    def __str__(self) -> str:
        times = f", called from {show_span(self.span)}" if self.span else ""
        return f"{counted(self.contacts, 'contact')}{times}"

    def campaign(self, location: str, campaign_name: str, *, has_header: bool) -> dict[str, Any]:
        """The parameters of QueueCallsOperator for this part."""
        times = {"scheduled_timestamp": self.span.start, "expiration_timestamp": self.span.end} if self.span else {}
        header = {"has_header": True} if has_header else {}
        return {"contacts": location, "campaign_name": f"{campaign_name}.{self.name}", **times, **header}


@dataclass
class _Group:
    """The contacts that are called in one span, in files of at most ``max_contacts``."""

    span: Span | None
    name: str
    split: Split
    parts: list[Part] = field(default_factory=list)
    files: ExitStack = field(default_factory=ExitStack)
    _file: BinaryIO | None = None

    @property
    def is_full(self) -> bool:
        """Whether the next contact needs another file."""
        if self._file is None:
            return True
        return self.name != CARRY_OVER and self.parts[-1].contacts == self.split.max_contacts

    def begin_part(self, open_part: Callable[[str], AbstractContextManager[Any]], header: bytes) -> None:
        """Complete the file, and begin another one."""
        self.files.close()
        path = self.files.enter_context(open_part(self._next_part().name))
        partial = self.files.enter_context(complete_file(path))
        self._file = self.files.enter_context(open(partial, "wb"))  # noqa: SIM115
        self._file.write(header)

    def write(self, line: bytes) -> None:
        """Add a contact to the last part."""
        self._file.write(line)  # type: ignore[union-attr]
        self.parts[-1].contacts += 1

    def _next_part(self) -> Part:
        number = len(self.parts)
        span = self.span
        if span and number and self.split.stagger:
            latest = span.end - self.split.min_window
            later = quarter(span.start + number * self.split.stagger)
            span = Span(later if later <= latest else self.parts[-1].span.start, span.end)  # type: ignore[union-attr]
        name = CARRY_OVER if self.name == CARRY_OVER else f"{self.name}_{number + 1}"
        self.parts.append(Part(name, span))
        return self.parts[-1]


class Files:
    """How the files of a split are reached: these on this machine."""

    def is_same(self, location: Any, other: Any) -> bool:
        """Whether two locations are those of one file, which need not exist."""
        return is_same_file(location, other)

    def write(self, location: Any) -> AbstractContextManager[Any]:
        """Give a local path for a file, which is at its location once it is left without an error. Makes its folder."""
        _make_folder(location)
        return nullcontext(location)

    def keep_first(self, location: Any, content: bytes) -> bytes:
        """Create a file unless it exists, and return what it contains then. Makes its folder."""
        _make_folder(location)
        return keep_first(location, content)


def _make_folder(location: str) -> None:
    os.makedirs(os.path.dirname(location) or ".", exist_ok=True)


def write_parts(
    checked: CheckedContacts,
    split: Split,
    hours: SpansCheck | None,
    files: Files,
    *,
    campaign_name: str,
    sources: Sources,
    rules: ContactRules,
    stop: StopRequest,
) -> list[Part]:
    """Write each contact of a checked list to the file of its part. Returns the parts in the order of their spans.

    With a ``carry_over_path``, the last of them may have no contact: that file is always replaced. Raises
    :class:`InvalidContacts` if the folder has the parts of another split, before anything is written, or if a part would
    replace one of the ``sources``, the rejects, or what is carried over.
    """

    def open_part(name: str) -> AbstractContextManager[Any]:
        carried = None if name == CARRY_OVER else split.carry_over_path
        others = (*sources, ("The rejects file", split.rejects_path), ("The file of those carried over", carried))
        assert_kept(split.location(name), others, files)
        return files.write(split.location(name))

    named = has_zones(checked)
    header = b"phone_number,message_reference,call_parameter,time_zone\n" if named else b""
    groups: dict[Span | None, _Group] = {}
    by_key: dict[object, _Group] = {}
    is_nanp = rules.phone_format == "nanp"
    try:
        record = _record_of(checked, split, hours, campaign_name)
        _assert_same_split(record, files.keep_first(split.record, record), split.folder)
        with ExitStack() as stack:
            for line in (line for block in blocks(checked.upload.file, stop=stop) for line in block.lines):
                key = line[:4] if is_nanp else line.partition(b",")[0]
                zone = line.rpartition(b",")[2] if named else b""
                if (group := by_key.get((key, zone))) is None:
                    if len(by_key) > 100_000:
                        by_key.clear()  # the spellings of other countries' numbers have no end
                    span = _span(key, zone, hours) if hours else None
                    if span not in groups:
                        groups[span] = _Group(span, span_name(span) if hours else "part", split)
                        stack.push(groups[span].files)
                    group = by_key[key, zone] = groups[span]
                if group.is_full:
                    group.begin_part(open_part, header)
                group.write(line + b"\n")
            ordered = sorted(groups.values(), key=lambda group: group.span or Span(0, 0))
            if split.carry_over_path is not None and CARRY_OVER not in {group.name for group in ordered}:
                # Otherwise those that an earlier split has carried over would be called once more.
                ordered.append(_Group(None, CARRY_OVER, split))
                stack.push(ordered[-1].files)
                ordered[-1].begin_part(open_part, header)
    except OSError as error:
        carried = "" if split.carry_over_path is None else f" or to {show_path(split.carry_over_path)}"
        problem = f"The parts cannot be written to the folder {show_path(split.folder)}{carried}: {error.strerror or type(error).__name__}."
        raise unwritable(problem, error, " Choose another folder.") from None
    return [part for group in ordered for part in group.parts]


def assert_kept(location: str | None, others: Sources, files: Files) -> None:
    """Raise :class:`InvalidContacts` if a file that the split writes would replace one of the others."""
    for what, other in others:
        if location is not None and other is not None and files.is_same(other, location):
            raise InvalidContacts(
                f"{show_role(what, other)} would be replaced by one of the files into which the list is split. It is "
                "unchanged. Choose another folder, or other files for rejects_path and carry_over_path."
            )


def has_zones(checked: CheckedContacts) -> bool:
    """Whether the rows of a checked list have a fourth cell, which names their time zone."""
    return checked.columns[-1] == TIME_ZONE


def _span(key: bytes, zone: bytes, hours: SpansCheck) -> Span | None:
    text = key.decode()
    number = int(f"{text}0000000") if len(key) == 4 else number_called(text, "vendor") or 0
    return hours.part_of(hours.place(number, zone.decode()))


# The record of a split: a file in its folder, so that a folder has the parts of one split only. It has no phone number.
#
# If a list has changed, contacts move to other parts. The parts that were queued are not queued again, but the others would
# be, and would call some people a second time. So the first split of a folder writes its record, and every later one must
# be the same.


def _record_of(checked: CheckedContacts, split: Split, hours: SpansCheck | None, campaign_name: str) -> bytes:
    """The record of a split, as it is written."""
    spans = hours and {
        " ".join((*place.regions, str(place))): span_name(hours.part_of(place)) for place in checked.report.sent_places
    }
    values = (campaign_name, checked.upload.digest, split.max_contacts, spans)
    return json.dumps(dict(zip(_DECIDES, values, strict=True)), indent=1, sort_keys=True).encode()


def _assert_same_split(record: bytes, kept: bytes, folder: str) -> None:
    """Raise :class:`InvalidContacts` if the record that a folder has is not that of this split."""
    now, before = json.loads(record), _read_record(kept)
    changed = [words for key, words in _DECIDES.items() if before.get(key) != now[key]]
    if not changed:
        return
    raise InvalidContacts(
        f"The folder {show_path(folder)} has the parts of another split. What differs: {', '.join(changed)}. No part was "
        "written: contacts would move to other parts, and some of them would be called twice. Queue the parts that are there, "
        "or split the list in a new run, with another folder and another campaign_name. If no part was queued, delete the files "
        f"in the folder, also {RECORD}, and try again."
    )


def _read_record(kept: bytes) -> dict[str, Any]:
    try:
        read = json.loads(kept)
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}
