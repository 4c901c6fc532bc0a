"""The report of a check."""

from __future__ import annotations

import json
import pickle

import pytest

from tests.unit.contacts.checking import (
    ANN,
    Contacts,
    refused,
    report,
)

pytestmark = pytest.mark.usefixtures("results_kept")


def test_to_dict_is_what_the_command_line_prints(contacts: Contacts) -> None:
    found = report(contacts(f"\ufeff{ANN}\n\nx\n{ANN}\n"))
    assert json.loads(json.dumps(found.to_dict())) == {
        "lines": 4,
        "blank": 1,
        "contacts": 3,
        "valid": 1,
        "rejected": 1,
        "reasons": {"invalid_number": 1, "duplicate": 1},
        "bom": True,
        "digest": None,
        "examples": [{"line": 3, "reason": "invalid_number"}, {"line": 4, "reason": "duplicate"}],
    }


def test_it_has_the_first_ten_examples(contacts: Contacts) -> None:
    assert [line for line, _ in report(contacts("x\n" * 30)).examples] == list(range(1, 11))


def test_it_survives_pickling_with_its_error(contacts: Contacts) -> None:
    error = refused(contacts("x\n"))
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.report) == (str(error), error.report)


def test_its_summary_is_one_line(contacts: Contacts) -> None:
    found = report(contacts(f"{ANN}\nx\n\n"), on_invalid="skip")
    assert found.summary() == "2 contacts in 3 lines: 1 valid, 1 invalid_number, 1 blank line passed over."
