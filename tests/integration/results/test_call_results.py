"""The list joined with the results of its calls: sent, dialed by the sandbox, received, joined, and sent again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_queuecalls.operators.call_results import CallResultsOperator
from airflow_provider_queuecalls.sandbox import DEFAULT_LOGIN, DEFAULT_PIN
from airflow_provider_queuecalls.sandbox.server import Sandbox, run_sandbox
from tests.integration.results.test_receiver import NEW, receiver
from tests.support.logs import everything_logged
from tests.support.sending import send
from tests.support.task import execute

NAME = "next list of autumn"
REACHED, BUSY, MACHINE, SUPPRESSED = (f"1617555{ending}" for ending in ("0100", "0101", "0105", "0199"))
#: As a team has it: a header line, another order of columns, quotes, a reject, a duplicate, and a suppressed number.
CONTACTS = f"""Order,Mobile,Text
order-1,{REACHED},"Tuesday"
order-2,{BUSY},=1+1
order-3,{MACHINE},
order-4,nobody,
order-5,{BUSY},
order-6,{SUPPRESSED},
"""


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of the results database, which Airflow's configuration names, with a receiver that writes to it."""
    url = f"sqlite:///{tmp_path}/results.db"
    with receiver(url) as (_, base):
        monkeypatch.setenv("AIRFLOW__QUEUECALLS__RESULTS_URL", base)
        monkeypatch.setenv("AIRFLOW__QUEUECALLS__RESULTS_SECRET", NEW)
        monkeypatch.setenv("AIRFLOW__QUEUECALLS__RESULTS_DATABASE", url)
        yield url


@pytest.fixture
def sandbox(connect: Any) -> Iterator[Sandbox]:
    with run_sandbox() as sandbox:
        connect(sandbox.url, login=DEFAULT_LOGIN, password=DEFAULT_PIN)
        yield sandbox


def joined(**parameters: Any) -> dict[str, Any]:
    result: dict[str, Any] = execute(CallResultsOperator(task_id="call", **parameters))
    return result


def test_those_not_reached_are_the_next_campaign(results: str, sandbox: Sandbox, tmp_path: Path) -> None:
    contacts, suppressed, output = (tmp_path / name for name in ("calls.csv", "dnc.csv", "next.csv"))
    contacts.write_text(CONTACTS)
    suppressed.write_text(f"{SUPPRESSED}\n")
    rules: dict[str, Any] = {
        "contacts": str(contacts), "suppress": str(suppressed), "has_header": True, "quoting": "allow",
        "columns": {"phone_number": "Mobile", "message_reference": "Order", "call_parameter": "Text"},
        "on_invalid": "skip", "duplicates": "drop",
    }  # fmt: skip
    later = sandbox.now + timedelta(hours=1)
    campaign: dict[str, Any] = {"campaign_name": NAME, "start_url": sandbox.url, "scheduled_timestamp": later}
    queued = send(**rules, **campaign, collect_results=True)
    sandbox.advance(hours=2)

    with everything_logged() as logged:
        result = joined(queued=str(queued), output=str(output), select="not_reached", **rules)
    assert result == {
        "campaign_name": NAME, "select": "not_reached", "output": str(output), "rows": 1, "contacts": 3, "results": 3,
        "completed": 2, "failed": 1, "other": 0, "missing": 0, "unjoined": 0, "repeated_references": 0,
        "by_callee_type": {"human": 1, "machine": 1},
    }  # fmt: skip
    for person in (REACHED, BUSY, MACHINE, "order-2", "1+1"):
        assert person not in f"{result}{logged}"
    assert output.stat().st_mode & 0o777 == 0o600

    again = send(contacts=str(output), has_header=True, **{**campaign, "campaign_name": "second try"})
    assert again["contacts"] == 1
    call = sandbox.calls[-1]
    assert (call.phone_number, call.message_reference, call.call_parameter) == (BUSY, "order-2", "=1+1")
