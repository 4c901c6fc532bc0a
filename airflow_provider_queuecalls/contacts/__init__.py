"""The contact file: checked whole, cleaned on request, and handed over as what will be sent::

    with check("calls.csv", ContactRules(duplicates="drop")) as contacts:
        print(contacts.report.summary())
        send(contacts.upload)

A small file is validated line by line in Python, by rules written once in ``rows``. In a large one DuckDB recognizes
the lines that are good as they are, and only the others are validated in Python; both give the same results.
"""

from __future__ import annotations

from airflow_provider_queuecalls.contacts.check import MEMORY_LIMIT, CheckedContacts, Progress, check
from airflow_provider_queuecalls.contacts.report import Example, Report
from airflow_provider_queuecalls.contacts.rows import REASONS
from airflow_provider_queuecalls.contacts.rules import PARAMETERS, ContactRules
from airflow_provider_queuecalls.contacts.source import open_contacts

__all__ = [
    "MEMORY_LIMIT",
    "PARAMETERS",
    "REASONS",
    "CheckedContacts",
    "ContactRules",
    "Example",
    "Progress",
    "Report",
    "check",
    "open_contacts",
]
