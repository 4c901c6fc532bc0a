"""The examples whose promise only a scheduler can keep: what an asset starts, and what is done one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from airflow_provider_queuecalls.sandbox.server import Sandbox, run_sandbox
from tests.e2e.conftest import EXAMPLES, calling_tomorrow
from tests.support.airflow import Airflow
from tests.support.moved import AIRFLOW

pytestmark = pytest.mark.skipif(AIRFLOW < (3, 3), reason="providers' examples load from 3.3 on")
EXPORT, CAMPAIGN, IN_PARTS = "queue_calls_export", "queue_calls_on_asset", "queue_calls_in_parts"


@dataclass(frozen=True)
class Live:
    """A running Airflow with the examples, and the sandbox that it leads to."""

    airflow: Airflow
    sandbox: Sandbox

    def results(self, number: int) -> list[dict[str, object]]:
        """What the campaigns of the so many-th run that an update has started have pushed."""
        self.airflow.wait(lambda: len(self.airflow.runs(CAMPAIGN)) >= number, f"run {number} of {CAMPAIGN}")
        tasks = self.airflow.finished(CAMPAIGN, self.airflow.runs(CAMPAIGN)[number - 1])
        assert {task["state"] for task in tasks} == {"success"}, [self.airflow.said(task) for task in tasks]
        return [self.airflow.xcom(task) for task in tasks if task["task_id"] == "queue_calls"]


@pytest.fixture(scope="module")
def live(live_airflow: Airflow, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with run_sandbox(speed=0) as sandbox, live_airflow.connections({"queuecalls_default": sandbox.connection}):
        campaign = calling_tomorrow(CAMPAIGN, tmp_path_factory.mktemp("examples"))
        live_airflow.add_dags([campaign, EXAMPLES / f"{IN_PARTS}.py"], [EXPORT, CAMPAIGN, IN_PARTS])
        yield Live(live_airflow, sandbox)


def test_an_update_of_the_asset_starts_the_campaign_which_is_dry_unless_told_otherwise(live: Live) -> None:
    live.airflow.trigger(EXPORT, "dry")
    (checked,) = live.results(1)
    assert (checked["outcome"], checked["contacts"], checked["dry_run"]) == ("not sent", 20, True)
    assert live.sandbox.journal == []

    live.airflow.trigger(EXPORT, "real", contacts=7, dry_run=False)
    (queued,) = live.results(2)
    assert (queued["outcome"], queued["contacts"]) == ("queued", 7)
    (campaign,) = live.sandbox.campaigns
    start, end = (int(campaign.parameters[name]) for name in ("scheduled_timestamp", "expiration_timestamp"))
    assert end - start == (2 * 60 + 45) * 60, "calls are made from 15:15 to 18:00"
    assert (campaign.name, campaign.contacts) == (queued["campaign_name"], 7)
    assert [call.message_reference for call in live.sandbox.calls] == [f"appointment-{n}" for n in range(7)]

    assert list(live.airflow.home.glob("contacts-*.csv")) == []


def test_the_parts_of_a_list_are_sent_one_at_a_time(live: Live, tmp_path: Path) -> None:
    numbers = [f"1617555{n:04}" for n in range(12)]
    contacts, parts = tmp_path / "calls.csv", tmp_path / "parts"
    contacts.write_text("".join(f"{number}\n" for number in numbers))
    live.airflow.trigger(
        IN_PARTS, "parts", contacts=str(contacts), parts_path=str(parts), contacts_per_campaign=3, dry_run=False
    )
    tasks = live.airflow.finished(IN_PARTS, "parts")
    assert {task["state"] for task in tasks} == {"success"}, [live.airflow.said(task) for task in tasks]

    calls = [task for task in tasks if task["task_id"] == "queue_calls"]
    times = sorted((task["start_date"], task["end_date"]) for task in calls)
    assert len(times) == 4
    assert all(end <= start for (_, end), (start, _) in pairwise(times))
    assert [live.sandbox.numbers[number] for number in numbers] == [1] * 12
