"""A million calls, many campaigns at once, and large uploads."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest
import requests

from airflow_provider_queuecalls.client.campaign import Campaign
from airflow_provider_queuecalls.client.connection import DEFAULT_PATH
from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook
from airflow_provider_queuecalls.sandbox.server import Sandbox
from tests.integration.conftest import write_rows
from tests.support.command import command
from tests.support.memory import peak, untraced
from tests.support.patience import PATIENCE_SECONDS
from tests.support.sandbox import START_URL, post, refused_fields

pytestmark = pytest.mark.long
MILLION = 1_000_000


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the process's memory from /proc")
def test_a_million_calls_need_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contacts = write_rows(tmp_path / "million.csv", MILLION)
    with untraced(), command("sandbox", "--port", "0", "--speed", "0") as (process, printed):
        url = re.findall(r"http://[\d.:]+\d", printed)[0]
        monkeypatch.setenv("AIRFLOW_CONN_QUEUECALLS_DEFAULT", re.findall(r"QUEUECALLS_DEFAULT='(.*)'", printed)[0])

        requests.get(url, timeout=PATIENCE_SECONDS)
        before = peak(process.pid)
        response = QueueCallsHook().queue_calls(contacts, Campaign(start_url=START_URL, campaign_name="million"))

        assert response.call_id_count == MILLION
        last = requests.get(f"{url}/campaigns/1?page=40000&numbers=shown", timeout=PATIENCE_SECONDS).text
        assert str(int(response.call_ids[0]) + MILLION - 1) in last
        advanced = requests.post(f"{url}/api/clock/advance", json={"seconds": 99}, timeout=PATIENCE_SECONDS)
        assert advanced.status_code == 200
        (campaign,) = requests.get(f"{url}/api/campaigns", timeout=PATIENCE_SECONDS).json()
        assert campaign["progress"]["waiting"] == MILLION - 100 * 50
        assert peak(process.pid) - before < 48


def test_fifty_simultaneous_campaigns_are_all_queued_while_the_page_responds(queuecalls_sandbox: Sandbox) -> None:
    rows = "".join(f"1617555{number:04d}\n" for number in range(400))
    responses: list[str] = []

    def queue(number: int) -> None:
        responses.append(post(queuecalls_sandbox, rows, campaign_name=f"campaign {number}").text)

    threads = [threading.Thread(target=queue, args=[number]) for number in range(50)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert requests.get(queuecalls_sandbox.url, timeout=PATIENCE_SECONDS).status_code == 200
    for thread in threads:
        thread.join()

    assert sum('status="queued"' in response for response in responses) == 50
    assert {campaign.name for campaign in queuecalls_sandbox.campaigns} == {f"campaign {n}" for n in range(50)}
    call_ids = {call.call_id for call in queuecalls_sandbox.calls}
    assert call_ids == {int(found) for response in responses for found in re.findall(r'call_id="(\d+)"', response)}
    assert len(call_ids) == 50 * 400
    queuecalls_sandbox.advance(hours=1)
    assert set(queuecalls_sandbox.attempts.values()) == {50}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the process's memory from /proc")
def test_an_upload_is_not_held_in_memory(tmp_path: Path) -> None:
    with command("sandbox", "--port", "0") as (process, printed):
        url = re.findall(r"http://[\d.:]+\d", printed)[0] + DEFAULT_PATH
        requests.head(url, timeout=PATIENCE_SECONDS)
        before = peak(process.pid)
        response = requests.post(
            url, files={"phone_number_list": ("c.csv", b"1" * (64 << 20))}, timeout=PATIENCE_SECONDS
        )

        assert "phone_number_list" in refused_fields(response)
        assert peak(process.pid) - before < 24
