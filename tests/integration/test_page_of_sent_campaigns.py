"""The page of a campaign that an operator, a hook, or a command has sent, with the results that the service has posted."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from airflow_provider_queuecalls.cli import main
from airflow_provider_queuecalls.client import Campaign
from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook
from airflow_provider_queuecalls.pages.app import local_pages
from airflow_provider_queuecalls.records.database.database import Database
from airflow_provider_queuecalls.sandbox.server import Sandbox
from tests.integration.conftest import ResultsReceiver
from tests.support.dag_run import Run
from tests.support.sandbox import START_URL
from tests.support.sending import send

DAG_ID = "sends_with_the_hook"
TASKS = """
@task
def queue():
    campaign = Campaign(start_url={start_url!r}, campaign_name="by the hook in a task")
    QueueCallsHook().deliver({contacts!r}, campaign, receipts_path="none")

queue()
"""


@pytest.fixture
def pages(queuecalls_sandbox: Sandbox, results_receiver: ResultsReceiver) -> Iterator[TestClient]:
    """The pages over the database of Airflow's configuration, which a receiver writes to. The sandbox comes first: it empties
    that configuration."""
    with closing(Database(results_receiver.database)) as database:
        yield TestClient(local_pages(database), base_url="http://localhost")


def test_each_time_zone_has_its_results_and_its_contacts(
    pages: TestClient, queuecalls_sandbox: Sandbox, tmp_path: Path
) -> None:
    contacts = tmp_path / "calls.csv"
    # Two zones, an area code that has both of them, and a zone whose only call has no result yet.
    contacts.write_text("16175550100\n16175550101\n13125550100\n18505550100\n13035550101\n")
    start = queuecalls_sandbox.now + timedelta(minutes=5)
    queued = send(
        contacts=str(contacts), start_url=START_URL, collect_results=True, calling_hours="00:00-24:00",
        max_retries=4, retry_interval=43_200, scheduled_timestamp=start, expiration_timestamp=start + timedelta(hours=20),
    )  # fmt: skip
    queuecalls_sandbox.advance(hours=1)
    section = pages.get(f"/{queued['campaign_key']}").text.partition('id="zones"')[2].partition("</ul>")[0]
    assert dict(re.findall(r"<li><span>(.+?)</span>.+?right\">(.+?) reached</span>", section, re.DOTALL)) == {
        "America/New_York": "50% of 2", "America/Chicago": "100% of 1", "America/Denver": "0% of 1",
        "America/Chicago, America/New_York": "100% of 1",
    }  # fmt: skip


def test_what_the_hook_and_the_command_send_is_listed(
    pages: TestClient, queuecalls_sandbox: Sandbox, small_list: Path, run_tasks: Callable[..., Run]
) -> None:
    campaign = Campaign(start_url=START_URL, campaign_name="by the hook")
    QueueCallsHook().deliver(small_list, campaign, receipts_path="none")
    options = ["--start-url", START_URL, "--campaign-name", "by the command", "--receipts", "none", "--yes"]
    assert main(["send", str(small_list), *options]) == 0
    tasks = TASKS.format(start_url=START_URL, contacts=str(small_list))
    assert run_tasks(tasks, dag_id=DAG_ID).states == {"queue": "success"}

    shown = pages.get("/").text.replace("<wbr>", "")
    assert all(f"by the {name}</a>" in shown for name in ("hook", "command", "hook in a task"))
    assert f"<option>{DAG_ID}</option>" in shown
    assert shown.count("DAG run") == 0, "outside of Airflow, runs have no link"
    assert shown.count(f'<span class="fine">{DAG_ID}') == 1
