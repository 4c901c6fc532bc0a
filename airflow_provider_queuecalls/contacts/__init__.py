"""Checks a contact file as a whole, cleans it if the rules allow it, and returns what is to be sent::

    with check("calls.csv", ContactRules(duplicates="drop")) as contacts:
        print(contacts.report.summary())
        send(contacts.upload)

Every rule about a row is in ``rows``. In a small file, every line is checked in Python. In a large one, DuckDB checks the
lines that it cannot misread and whose result it knows, and only the others are checked in Python. The results are the same.
"""

from __future__ import annotations

from airflow_provider_queuecalls.contacts.check import CheckedContacts, check, open_contacts
from airflow_provider_queuecalls.contacts.output.report import Example, Report
from airflow_provider_queuecalls.contacts.rows.validator import REASONS
from airflow_provider_queuecalls.contacts.rules import PARAMETERS, ContactRules
from airflow_provider_queuecalls.files.duckdb_session import MEMORY_LIMIT

__all__ = [
    "MEMORY_LIMIT",
    "PARAMETERS",
    "REASONS",
    "CheckedContacts",
    "ContactRules",
    "Example",
    "Report",
    "check",
    "open_contacts",
]
