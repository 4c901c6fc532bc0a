"""Many campaigns on a real cluster, and what is left of them when a worker is killed, Redis restarts and the service
resets connections. Calls are counted at the sandbox, which queues a repeated campaign name: only the record keeps a list from
being called twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_queuecalls.client.campaign import default_campaign_name
from airflow_provider_queuecalls.sandbox.server import Sandbox, run_sandbox
from tests.support.airflow import RUN_ID, Airflow, Instance
from tests.support.cluster import SLOTS, Cluster, celery_cluster
from tests.support.numbers import numbers

CAMPAIGNS, CONTACTS = 20, 10_000
FAILING_TASKS, ON_CALL = 200, "13125550199"
DAGS = Path(__file__).parent / "dags"
WORKERS = ("worker-1", "worker-2")
RESETS = 3
#: Generous: the machine may be busy.
SECONDS = 900


@dataclass(frozen=True)
class Live:
    """A running cluster, and the service that it talks to."""

    cluster: Cluster
    sandbox: Sandbox

    @property
    def airflow(self) -> Airflow:
        return self.cluster.airflow

    def queued(self, dag_id: str) -> dict[str, list[str]]:
        """The numbers of each campaign that a DAG has queued."""
        names = [name for name in (str(each.name) for each in self.sandbox.campaigns) if name.startswith(f"{dag_id}.")]
        assert len(set(names)) == len(names), "a campaign was queued twice"
        return {name: [call.phone_number for call in self.sandbox.calls_of(name)] for name in names}


@dataclass(frozen=True)
class Campaign:
    """One of the mapped campaigns: its name, its numbers, the task that was to queue it, and what each try logged."""

    name: str
    numbers: list[str]
    task: Instance
    said: Mapping[int, str]


@pytest.fixture(scope="module")
def live(airflow: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    home = tmp_path_factory.mktemp("cluster")
    with run_sandbox(speed=0, unique_names=False) as sandbox:
        connection = {"AIRFLOW_CONN_QUEUECALLS_DEFAULT": sandbox.connection}
        with celery_cluster(home, DAGS, WORKERS, connection) as cluster:
            cluster.airflow.wait_for(["outreach", "outreach_held", "local_file", "storm"])
            yield Live(cluster, sandbox)


def test_every_contact_is_in_exactly_one_campaign(live: Live) -> None:
    live.airflow.trigger("outreach")
    tasks = live.airflow.finished("outreach", seconds=SECONDS)

    assert {task["state"] for task in tasks} == {"success"}, live.airflow.logs()
    (report,) = [task for task in tasks if task["task_id"] == "report"]
    assert live.airflow.xcom(report) == {"campaigns": CAMPAIGNS, "contacts": CAMPAIGNS * CONTACTS}
    assert live.queued("outreach") == {
        campaign_name("outreach", index): numbers(617, index, CONTACTS) for index in range(CAMPAIGNS)
    }
    for worker in WORKERS:
        assert executed(live.airflow, worker)


def test_a_local_path_leads_nowhere_on_another_worker(live: Live) -> None:
    if not live.cluster.has_own_machines:
        pytest.skip("the workers see the same files: that takes root, and unshare")
    live.airflow.trigger("local_file")
    (task,) = [task for task in live.airflow.finished("local_file") if task["task_id"] == "call"]

    assert (task["state"], task["try_number"], task["hostname"]) == ("failed", 1, "worker-2")
    said = live.airflow.said(task)[1]
    assert "does not exist on worker-2" in said
    assert "A local path exists only on the worker that wrote it" in said
    assert live.queued("local_file") == {}


def test_when_200_tasks_fail_at_once_people_are_called_once(live: Live) -> None:
    live.airflow.set_variable("oncall", ON_CALL)
    live.airflow.trigger("storm", tasks=FAILING_TASKS)
    tasks = live.airflow.finished("storm", seconds=SECONDS)

    failed = [task for task in tasks if task["state"] == "failed"]
    assert [task["task_id"] for task in failed] == ["load"] * FAILING_TASKS
    if live.cluster.has_own_machines:
        assert {task["hostname"] for task in failed} == set(WORKERS)

    def said() -> list[str]:
        return sorted(str(each.parameters.get("call_parameters")) for each in live.sandbox.campaigns)

    live.airflow.wait(lambda: f"{RUN_ID} failed" in said(), "the call about the run")
    assert [text for text in said() if "failed" in text] == ["load of storm failed", f"{RUN_ID} failed"]
    assert live.sandbox.attempts[ON_CALL] == 2


@pytest.fixture(scope="module")
def after_faults(live: Live) -> list[Campaign]:
    """The campaigns, after all that could go wrong has."""
    airflow, bucket = live.airflow, live.cluster.bucket
    held = len(WORKERS) * SLOTS  # both workers stand still

    def standing() -> bool:
        return len(list(bucket.objects.filter(Prefix="held/"))) == held

    def redelivered() -> bool:
        """Whether a task that still runs on a worker was given to another one too, which let it be."""
        ignored = re.findall(r"\[([0-9a-f-]{36})\] Task already running elsewhere", airflow.log("worker-3"))
        return not executed(airflow, "worker-2").isdisjoint(ignored)

    airflow.trigger("outreach_held", area=212, held=held)
    airflow.wait(standing, "the middle of the uploads", SECONDS)
    airflow.kill("worker-1")
    live.sandbox.fail_next("connection_reset", RESETS)
    live.cluster.redis.restart()
    live.cluster.start_worker("worker-3")
    airflow.wait(redelivered, "a task that is delivered once more", SECONDS)
    bucket.put_object(Key="go")
    tasks = airflow.finished("outreach_held", seconds=SECONDS)
    live.sandbox.advance(hours=1)
    return [
        Campaign(
            campaign_name("outreach_held", task["map_index"]), numbers(212, task["map_index"], CONTACTS), task,
            airflow.said(task),
        )
        for task in tasks if task["task_id"] == "call"
    ]  # fmt: skip


def test_whatever_goes_wrong_every_number_is_rung_at_most_once(live: Live, after_faults: list[Campaign]) -> None:
    rings, queued = live.sandbox.attempts, live.queued("outreach_held")

    assert len(after_faults) == CAMPAIGNS
    for campaign in after_faults:
        was_queued = campaign.name in queued
        assert {rings.get(number, 0) for number in campaign.numbers} == {int(was_queued)}, campaign.said


def test_whatever_goes_wrong_every_campaign_that_is_not_queued_is_named(
    live: Live, after_faults: list[Campaign]
) -> None:
    queued = live.queued("outreach_held")

    for campaign in after_faults:
        last = campaign.said[max(campaign.said)]
        if campaign.name not in queued:
            assert campaign.task["state"] == "failed"
        if campaign.task["state"] == "failed":
            assert re.search(f"(Whether|Cannot tell whether) campaign '{campaign.name}' was queued", last)
            assert "in the vendor's campaign manager" in last
        else:
            assert campaign.task["state"] == "success"
            assert "Queued campaign" in last


def test_each_fault_did_its_harm(live: Live, after_faults: list[Campaign]) -> None:
    """What the other tests are about has really happened."""
    queued = live.queued("outreach_held")
    notes = live.cluster.bucket.objects.filter(Prefix="held/")
    held = {int(note.key.rpartition("/")[2]): note.get()["Body"].read().decode() for note in notes}
    failed = [campaign for campaign in after_faults if campaign.task["state"] == "failed"]
    lost = [campaign for campaign in after_faults if campaign.task["try_number"] == 2]
    unknown = [campaign for campaign in lost if campaign in failed]
    reset = [campaign for campaign in failed if "the connection was reset" in campaign.said[1]]

    assert len(lost) == SLOTS
    assert {held[campaign.task["map_index"]]: campaign.task["state"] for campaign in lost} == {
        "in mid-body": "success", "before the response": "failed",
    }  # fmt: skip
    assert all(campaign.name in queued for campaign in lost)
    assert len(reset) == RESETS
    assert all(campaign.name in queued for campaign in reset)
    assert all(campaign.task["try_number"] == 1 for campaign in reset)
    assert len(failed) == len(unknown) + RESETS
    assert "Connection to broker lost" in live.airflow.log("worker-2")
    if live.cluster.has_own_machines:
        assert all("try 1 on host worker-1 started" in campaign.said[2] for campaign in unknown)


def campaign_name(dag_id: str, index: int) -> str:
    return default_campaign_name(dag_id, "call", RUN_ID, index)


def executed(airflow: Airflow, worker: str) -> set[str]:
    """Celery's ids of what a worker was given to do."""
    return set(re.findall(r"\[([0-9a-f-]{36})\] Executing workload", airflow.log(worker)))
