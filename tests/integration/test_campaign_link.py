"""The link from a task's page to its campaign: real DAG runs, and the URL as the server gives it to the page."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest
import requests

from airflow_provider_queuecalls._airflow.results import page_of_campaign
from airflow_provider_queuecalls.links.queuecalls import CampaignLink
from airflow_provider_queuecalls.records.database import overview
from airflow_provider_queuecalls.records.database.database import Database
from airflow_provider_queuecalls.sandbox.server import Sandbox
from tests.conftest import HOME, Connect
from tests.support import fault_server as faults
from tests.support.dag_run import Run
from tests.support.moved import AIRFLOW
from tests.support.patience import PATIENCE_SECONDS
from tests.support.sandbox import START_URL

DAG_ID, NAME = "campaign_link", 'Frühling: 50 % off/"now" & then?'
RunOperator = Callable[..., Run]


@pytest.fixture
def run(run_tasks: Callable[..., Run], small_list: Path) -> RunOperator:
    """Run a DAG of one task, which has these parameters."""

    def run_operator(operator: str = "(task_id='queue', {parameters})", **parameters: object) -> Run:
        given = {"contacts": str(small_list), "start_url": START_URL, **parameters}
        call = operator.format(parameters=", ".join(f"{name}={value!r}" for name, value in given.items()))
        return run_tasks(f"QueueCallsOperator{call}", dag_id=DAG_ID)

    return run_operator


def campaign_behind(link: str) -> str:
    """The heading of the page that the link leads to."""
    page = requests.get(link, timeout=30)
    assert page.status_code == 200
    return page.text.partition("<title>")[2].partition(" · ")[0]


def test_the_link_leads_to_the_campaign_in_the_sandbox(run: RunOperator, queuecalls_sandbox: Sandbox) -> None:
    done = run()

    assert done.states == {"queue": "success"}
    (link,) = done.links
    assert campaign_behind(link) == done.xcom["campaign_name"]
    assert "Failed to push an xcom" not in done.printed


def test_a_name_of_any_characters_is_percent_encoded(run: RunOperator, queuecalls_sandbox: Sandbox) -> None:
    done = run(campaign_name=NAME)

    assert done.links == [f"{queuecalls_sandbox.url}/campaigns?name={quote(NAME, safe='')}"]
    assert requests.get(done.links[0], timeout=30).url == f"{queuecalls_sandbox.url}/campaigns/1"


@pytest.mark.parametrize("fault", ["connection_reset", "http_503"])
def test_a_task_whose_outcome_is_unknown_has_its_link(
    run: RunOperator, queuecalls_sandbox: Sandbox, fault: str
) -> None:
    queuecalls_sandbox.fail_next(fault)
    done = run(campaign_name="spring", retries=2)

    assert done.states == {"queue": "failed"}
    assert "Cannot tell whether" in done.printed
    assert done.links == [f"{queuecalls_sandbox.url}/campaigns?name=spring"]
    assert requests.get(done.links[0], timeout=30).status_code == (200 if queuecalls_sandbox.campaigns else 404)


def test_what_was_queued_before_has_its_link_too(
    run: RunOperator, queuecalls_sandbox: Sandbox, receipts_folder: Path
) -> None:
    first, again = (run(campaign_name="spring", receipts_path=str(receipts_folder)) for _ in range(2))

    assert "was already queued" in again.printed
    assert len(queuecalls_sandbox.campaigns) == 1
    assert first.links == again.links == [f"{queuecalls_sandbox.url}/campaigns?name=spring"]


def test_an_intent_without_a_receipt_has_its_link(
    run: RunOperator, queuecalls_sandbox: Sandbox, receipts_folder: Path
) -> None:
    receipts = {"receipts_path": str(receipts_folder)}
    queuecalls_sandbox.fail_next("connection_reset")
    run(campaign_name="spring", **receipts)
    done = run(campaign_name="spring", **receipts)

    assert "recorded no response" in done.printed
    assert done.links == [f"{queuecalls_sandbox.url}/campaigns?name=spring"]


def test_the_link_is_there_before_the_first_byte_so_a_lost_worker_leaves_it(run: RunOperator, connect: Connect) -> None:
    found: list[str] = []

    def look(exchange: faults.Exchange) -> None:
        with closing(sqlite3.connect(HOME / "airflow.db", timeout=PATIENCE_SECONDS)) as database:
            newest = "SELECT value FROM xcom WHERE dag_id = ? AND key = ? ORDER BY timestamp DESC LIMIT 1"
            found.extend(map(json.loads, *database.execute(newest, (DAG_ID, CampaignLink.xcom_key))))

    with faults.FaultServer(look) as server:
        connect(server.url, campaign_url="https://manager.example/#/{campaign_name}")
        done = run(campaign_name="lost in between")

    assert found == done.links == ["https://manager.example/#/lost%20in%20between"]


def test_each_map_index_has_its_own(run: RunOperator, queuecalls_sandbox: Sandbox) -> None:
    done = run(".partial(task_id='queue', {parameters}).expand(campaign_name=['north', 'south'])")

    assert [campaign_behind(link) for link in done.links] == ["north", "south"]


def test_a_dry_run_and_a_failed_check_have_none(
    run: RunOperator, queuecalls_sandbox: Sandbox, small_list: Path
) -> None:
    assert run(dry_run=True).links == [""]
    small_list.write_text("nobody\n")
    done = run()

    assert (done.states, done.links) == ({"queue": "failed"}, [""])
    assert "XCom not found" not in done.printed, "Airflow looked for a link that is not there"


def test_without_campaign_url_there_is_none(run: RunOperator, queuecalls_sandbox: Sandbox, connect: Connect) -> None:
    connect(queuecalls_sandbox.url, login="sandbox-login", password="sandbox-pin")
    done = run()

    assert (done.states, done.links) == ({"queue": "success"}, [""])


def test_a_wrong_campaign_url_is_refused_before_anything_is_sent(
    run: RunOperator, queuecalls_sandbox: Sandbox, connect: Connect
) -> None:
    connect(queuecalls_sandbox.url, campaign_url="https://manager.example/campaigns")
    done = run(retries=2)

    assert (done.states, done.tries) == ({"queue": "failed"}, 1)
    assert "campaign_url" in done.printed
    assert "{campaign_name}" in done.printed
    assert queuecalls_sandbox.journal == []


def test_the_results_database_has_what_the_page_shows_of_a_campaign(
    run: RunOperator, queuecalls_sandbox: Sandbox, results_database: str
) -> None:
    start = int(time.time()) + 3600
    done = run(scheduled_timestamp=start, expiration_timestamp=start + 3600)
    with closing(Database(results_database)) as database, database.reading() as connection:
        (found,) = overview.campaigns(connection, overview.Filter(dag_id=DAG_ID), start - 60, 2)
    assert found.campaign_key == done.xcom["campaign_key"]
    assert (found.state, found.calls, found.calls_from, found.expires_at) == ("scheduled", 3, start, start + 3600)
    assert (found.collects_results, found.campaign_url) == (False, done.links[0])


@pytest.mark.usefixtures("results_database")
def test_without_a_campaign_url_the_link_leads_to_the_page(run: RunOperator, service: faults.FaultServer) -> None:
    done = run()
    expected = page_of_campaign(done.xcom["campaign_key"]) if AIRFLOW >= (3, 1) else ""
    assert done.links == [expected]
