"""Suppression lists: the phone numbers of all rows, in any spelling. A row that cannot be parsed is an error."""

from __future__ import annotations

import os
import time
from datetime import timedelta

from airflow_provider_queuecalls.contacts.files import Source, open_source
from airflow_provider_queuecalls.contacts.results import Results
from airflow_provider_queuecalls.contacts.rows import REASONS, Layout, RowValidator
from airflow_provider_queuecalls.contacts.rules import ContactRules
from airflow_provider_queuecalls.exceptions import InvalidContacts
from airflow_provider_queuecalls.stopping import StopRequest

#: A list may have a header line, any number of columns, quotes, and every spelling of a phone number.
_LIST_RULES = ContactRules(phone_format="vendor", normalize=True, quoting="allow")
_LIST_LAYOUT = Layout(positions=(0,), columns=("phone_number",), cells=None)


def open_suppression_list(path: str | os.PathLike[str], rules: ContactRules, stop: StopRequest) -> Source:
    """Open a suppression list. Raises :class:`InvalidContacts` if it is empty or older than the rules allow."""
    source = open_source(path, "The suppression list", stop)
    age = timedelta(seconds=time.time() - source.modified)
    problem = ""
    if isinstance(rules.suppress_max_age, timedelta) and age > rules.suppress_max_age:
        problem = (
            f"was last changed {age.days} days ago, and suppress_max_age is {rules.suppress_max_age}. Nothing was "
            "sent. Fetch the list again."
        )
    elif not source.size:
        problem = (
            "is empty, as after a failed export. Nothing was sent. If no number is to be suppressed, remove the "
            "list from suppress, or write a header line to it."
        )
    if problem:
        source.file.close()
        raise InvalidContacts(f"{source.shown} {problem}")
    return source


def read_suppression_list(source: Source, results: Results) -> None:
    """Add the numbers of a suppression list to the results. Every row of it must be valid."""
    counts = results.add_suppression_list(source, RowValidator(_LIST_RULES, _LIST_LAYOUT))
    invalid = {reason: counts[reason] for reason in REASONS if reason in counts and reason != "header"}
    if invalid:
        reasons = "".join(
            f"\n  - {reason}: {count:,}, first in line {first:,}: {REASONS[reason]}"
            for reason, (count, first) in invalid.items()
        )
        raise InvalidContacts(
            f"{source.shown} has rows that cannot be parsed, and skipping them could call a person who must not "
            f"be called. Nothing was sent.{reasons}"
        )
