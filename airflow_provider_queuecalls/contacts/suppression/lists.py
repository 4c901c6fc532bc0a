"""Suppression lists: the phone numbers of all rows, in any spelling. A row that cannot be parsed is an error.

A list is a text file, or one that :mod:`~airflow_provider_queuecalls.contacts.suppression.built_list` has built of such files.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta

from airflow_provider_queuecalls.contacts.row_results.base import Results
from airflow_provider_queuecalls.contacts.rows.phone_numbers import AREA_CODE, LOCAL_NUMBER, number_called
from airflow_provider_queuecalls.contacts.rows.validator import REASONS, Layout, RowResult, RowValidator
from airflow_provider_queuecalls.contacts.rules import ContactRules
from airflow_provider_queuecalls.contacts.suppression.built_list import is_built, oldest_change
from airflow_provider_queuecalls.exceptions import InvalidContacts
from airflow_provider_queuecalls.files.duckdb_session import translate_errors
from airflow_provider_queuecalls.files.reading import Source, open_source
from airflow_provider_queuecalls.stopping import StopRequest

#: A list may have a header line, any number of columns, quotes, and every spelling of a phone number. Of digits without a
#: ``+``, the vendor's format accepts nearly all: :class:`_ListRowValidator` does so only where the contacts have it too.
_LIST_RULES = ContactRules(phone_format="vendor", normalize=True, quoting="allow")
_LIST_LAYOUT = Layout(positions=(0,), columns=("phone_number",), cells=None)
#: A row of the full list of the US National Do Not Call Registry, a flat text file of area code and number:
#: ``202,5550143``. The registry has numbers that cannot be called. A row of its change list has more cells.
_REGISTRY_ROW = re.compile(f"{AREA_CODE},{LOCAL_NUMBER}")

#: What the reasons mean in a list, which always accepts quotes and common spellings.
_MEANINGS = {
    **REASONS,
    "quoted_cell": "quotes that do more than open and close a cell; quote as in RFC 4180",
    "invalid_number": "the first cell is not a phone number (cells are separated by commas); accepted are 16175551234, (617) 555-1234, +44 20 7183 8750, and "
    "an area code with the number in the next cell, as in 617,5551234; digits without + must be a North American number, "
    "unless phone_format='vendor'",
}


class _ListRowValidator(RowValidator):
    """Checks a row of a suppression list, which is never sent.

    Unless ``phone_format`` is ``'vendor'``, digits without a ``+`` must be a North American number. Otherwise a list with
    customer ids or local numbers in its first column would pass, and suppress nobody.
    """

    def __init__(self, phone_format: str) -> None:
        super().__init__(_LIST_RULES, _LIST_LAYOUT)
        self._needs_plus = phone_format != "vendor"

    def _valid_row(self, line: bytes, cells: Sequence[str]) -> RowResult:
        if len(cells) == 2 and _REGISTRY_ROW.fullmatch(",".join(cells)):
            return RowResult(None, int("1" + "".join(cells)), line)
        result = super()._valid_row(line, cells)
        has_plus = "+" in cells[0].partition(";")[0]
        if self._needs_plus and not has_plus and number_called(str(result.number), "nanp") is None:
            return RowResult("invalid_number")
        return result


@dataclass(frozen=True)
class SuppressionList(Source):
    """An open suppression list. ``changed`` is when it was last changed, as a UNIX time; for a built one, when the oldest
    of its sources was. ``built`` is whether it was built, by ``queuecalls suppression build``."""

    changed: float
    built: bool


def open_suppression_list(
    path: str | os.PathLike[str], rules: ContactRules, stop: StopRequest, memory_limit: int, opened: ExitStack
) -> SuppressionList:
    """Open a suppression list, which ``opened`` closes.

    Raises :class:`InvalidContacts` if it is empty, damaged, or older than the rules allow, and :class:`CheckFailed` if another
    try may help.
    """
    source = open_source(path, "The suppression list", stop)
    opened.callback(source.file.close)
    if not source.size:
        raise InvalidContacts(
            f"{source.shown} is empty, as after a failed export. If no number is to be suppressed, remove the list from "
            "suppress, or write a header line to it."
        )
    with translate_errors(source.shown, memory_limit):
        built = is_built(source)
        changed = oldest_change(source, stop, memory_limit // 2) if built else source.modified
    age = timedelta(seconds=time.time() - changed)
    if isinstance(rules.suppress_max_age, timedelta) and age > rules.suppress_max_age:
        of_a_list, again = ("was built of a list that ", " and build it") if built else ("", "")
        raise InvalidContacts(
            f"{source.shown} {of_a_list}was last changed {age.days} days ago, and suppress_max_age is "
            f"{rules.suppress_max_age}. Fetch the list{again} again."
        )
    return SuppressionList(**vars(source), changed=changed, built=built)


def read_suppression_list(source: Source, results: Results, phone_format: str) -> None:
    """Add the numbers of a suppression list that is text to the results. Every row of it must be valid.

    :param phone_format: that of the contacts
    """
    counts = results.add_suppression_list(source, _ListRowValidator(phone_format))
    invalid = {reason: counts[reason] for reason in REASONS if reason in counts and reason != "header"}
    if invalid:
        reasons = "".join(
            f"\n  - {reason}: {count:,}, first in line {first:,}: {_MEANINGS[reason]}"
            for reason, (count, first) in invalid.items()
        )
        raise InvalidContacts(
            f"{source.shown} has rows that cannot be parsed, and skipping them could call a person who must not "
            f"be called:{reasons}"
        )
