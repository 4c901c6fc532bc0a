"""Do-not-call lists: every number on them, in whatever spelling, and nothing overlooked."""

from __future__ import annotations

import os
import time
from datetime import timedelta

from airflow_provider_queuecalls.contacts.results import Results
from airflow_provider_queuecalls.contacts.rows import REASONS, Layout, RowValidator
from airflow_provider_queuecalls.contacts.rules import ContactRules
from airflow_provider_queuecalls.contacts.source import open_source
from airflow_provider_queuecalls.exceptions import InvalidContacts

#: A list may have a header line, any further columns and quotes, and every spelling of a number.
_LIST_RULES = ContactRules(phone_format="vendor", normalize=True, quoting="allow")
_LIST_LAYOUT = Layout(positions=(0,), columns=("phone_number",), cells=None)


def read_suppression_list(path: str | os.PathLike[str], rules: ContactRules, results: Results) -> None:
    """Add the numbers of a do-not-call list to the results. Every row of it must be understood."""
    source = open_source(path, "The do-not-call list")
    with source.file:
        age = timedelta(seconds=time.time() - source.modified)
        if isinstance(rules.suppress_max_age, timedelta) and age > rules.suppress_max_age:
            raise InvalidContacts(
                f"{source.shown} was last changed {age.days} days ago, and suppress_max_age allows "
                f"{rules.suppress_max_age}. Nothing was sent. Fetch the list anew."
            )
        if not source.size:
            raise InvalidContacts(
                f"{source.shown} is empty, as after a failed export. Nothing was sent. "
                "Leave it out if it is not needed; a list with a header line only is fine."
            )
        counts = results.add_suppression_list(source, RowValidator(_LIST_RULES, _LIST_LAYOUT))
        wrong = {reason: counts[reason] for reason in REASONS if reason in counts and reason != "header"}
        if wrong:
            reasons = "".join(
                f"\n  - {reason}: {count:,}, first in line {first:,}: {REASONS[reason]}"
                for reason, (count, first) in wrong.items()
            )
            raise InvalidContacts(
                f"{source.shown} has rows that cannot be parsed, and skipping them could call a person who must not "
                f"be called. Nothing was sent.{reasons}"
            )
