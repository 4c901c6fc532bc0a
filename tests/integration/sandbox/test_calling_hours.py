"""The sandbox shows attempts that are outside calling hours."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone

import pytest

from airflow_provider_queuecalls.sandbox.server import Sandbox, run_sandbox
from tests.support.sandbox import ask, get, post

HONOLULU, NEW_YORK = "18085550102", "12125550102"
#: Noon in New York, six in the morning in Honolulu.
NOON = int(datetime(2099, 7, 14, 16, tzinfo=timezone.utc).timestamp())


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with run_sandbox(speed=0, calling_hours="08:00-21:00") as sandbox:
        yield sandbox


@pytest.mark.parametrize("put_forward", [0, 7])
def test_attempts_outside_hours_are_counted_and_shown(sandbox: Sandbox, put_forward: int) -> None:
    """Neither is answered: at noon, one, two, and three o'clock in New York."""
    sandbox.advance(hours=put_forward)
    post(
        sandbox, f"{HONOLULU}\n{NEW_YORK}\n18005550102\n", scheduled_timestamp=str(NOON), max_retries="3",
        expiration_timestamp=str(NOON + 4 * 3600), retry_interval="3600",
    )  # fmt: skip
    sandbox.advance(seconds=sandbox.campaigns[-1].starts_at - int(sandbox.now.timestamp()))
    page = ask(sandbox, "GET", "/campaigns/1").text
    assert page.count("outside hours</span>") == 2
    sandbox.advance(hours=3)
    # Hawaii's first two attempts, and all four of the number that has no time zone.
    assert get(sandbox, "/api/campaigns/1/attempts-outside-hours") == {"attempts": 6}
    page = ask(sandbox, "GET", "/campaigns/1").text
    assert page.count("outside hours</span>") == 1
    assert "6 attempts outside calling hours, by the clock of the person called." in page
    ask(sandbox, "POST", "/api/reset")
    assert ask(sandbox, "GET", "/api/campaigns/1/attempts-outside-hours").status_code == 404


def test_a_campaign_without_an_expiration_is_compared_by_its_own_time_too(sandbox: Sandbox) -> None:
    sandbox.advance(hours=12)
    post(sandbox, f"{NEW_YORK}\n", scheduled_timestamp=str(NOON))
    sandbox.advance(seconds=sandbox.campaigns[-1].starts_at - int(sandbox.now.timestamp()))
    assert get(sandbox, "/api/campaigns/1/attempts-outside-hours") == {"attempts": 0}
    assert sandbox.calls[0].attempts == 1


def test_without_calling_hours_nothing_is_compared(queuecalls_sandbox: Sandbox) -> None:
    post(queuecalls_sandbox, f"{HONOLULU}\n18005550102\n")
    queuecalls_sandbox.advance(seconds=5)
    assert get(queuecalls_sandbox, "/api/campaigns/1/attempts-outside-hours") == {"attempts": 0}
    assert "outside" not in ask(queuecalls_sandbox, "GET", "/campaigns/1").text
