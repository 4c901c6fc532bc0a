"""The contact file: checked whole, cleaned on request, and handed over as what will be sent::

    with check("calls.csv", ContactRules(duplicates="drop")) as contacts:
        print(contacts.report.summary())
        send(contacts.upload)

Where to look: what is asked for is in ``rules``, which texts are numbers in ``phone_numbers``, what makes a row good
in ``rows``, the columns in ``header``, do-not-call lists in ``lists``, the steps of a check in ``check``, what fails it
in ``policies``. ``source``, ``lines`` and ``reading`` are how the file is read: held open, in blocks of lines, with a
verdict on each. ``verdicts`` says what is asked about all of them, ``memory`` and ``engine`` are the two places where
they are kept. ``writing`` and ``frames`` are for rows that are no file yet. ``report``, ``rejects`` and ``cleaning`` are
what comes out.

A small file is judged line by line in Python, by rules written once in ``rows``. In a large one DuckDB recognizes the
plain lines, which are good as they are, and only what it leaves is judged so; both come to the same verdicts.
"""

from __future__ import annotations

from airflow_provider_queuecalls.contacts.check import CheckedContacts, check
from airflow_provider_queuecalls.contacts.report import Example, Report
from airflow_provider_queuecalls.contacts.rows import REASONS
from airflow_provider_queuecalls.contacts.rules import PARAMETERS, ContactParameter, ContactRules
from airflow_provider_queuecalls.contacts.source import open_contacts

__all__ = [
    "PARAMETERS",
    "REASONS",
    "CheckedContacts",
    "ContactParameter",
    "ContactRules",
    "Example",
    "Report",
    "check",
    "open_contacts",
]
