"""``collect_results`` and the campaign's row, with a real receiver and the sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from airflow_provider_queuecalls._airflow.compat import AirflowFailException
from airflow_provider_queuecalls.cli import main
from airflow_provider_queuecalls.exceptions import NotSent
from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook
from airflow_provider_queuecalls.records.database import overview
from airflow_provider_queuecalls.records.database.database import Database, ResultCounts
from airflow_provider_queuecalls.records.receiver.urls import results_url
from airflow_provider_queuecalls.records.sent.stores import init_folder
from airflow_provider_queuecalls.sandbox.server import Sandbox
from airflow_provider_queuecalls.sensors.queuecalls import QueueCallsResultsSensor
from tests.support import fault_server as faults
from tests.support.logs import everything_logged
from tests.support.receiver import NEW, receiver
from tests.support.sending import send

if TYPE_CHECKING:
    from pytest_mock import MockerFixture

NAME = "results of spring"
CONTACTS = "16175550100,order-1\n16175550101,order-2\n"


@pytest.fixture
def parameters(tmp_path: Path) -> dict[str, Any]:
    init_folder(tmp_path / "receipts")
    (tmp_path / "calls.csv").write_text(CONTACTS)
    return {
        "contacts": str(tmp_path / "calls.csv"), "receipts_path": str(tmp_path / "receipts"), "campaign_name": f" {NAME}\n",
        "collect_results": "true",
    }  # fmt: skip


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/results.db"


@pytest.fixture
def configured(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow's configuration names a receiver, which is not running, and its database."""
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__RESULTS_URL", "https://results.example.com/")
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__RESULTS_SECRET", f"{NEW},an-older-secret-of-ours\n")
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__RESULTS_DATABASE", url)


@pytest.fixture
def running(configured: None, url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The receiver is running; gives its URL."""
    with receiver(url) as (_, base):
        monkeypatch.setenv("AIRFLOW__QUEUECALLS__RESULTS_URL", f"{base}/")
        yield base


def counts(url: str) -> ResultCounts:
    database = Database(url)
    (found,) = database.counts()
    database.close()
    return found


@pytest.mark.parametrize("named", ["url", "connection"])
def test_results_come_home_and_the_url_is_shown_nowhere(  # noqa: PLR0917
    named: str, running: str, sandbox: Sandbox, url: str, parameters: dict[str, Any], mocker: MockerFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if named == "connection":
        monkeypatch.setenv("AIRFLOW_CONN_RESULTS_DB", url)
        monkeypatch.setenv("AIRFLOW__QUEUECALLS__RESULTS_DATABASE", "results_db")
    opened, closed = (mocker.spy(Database, name) for name in ("__init__", "close"))
    later = sandbox.now + timedelta(hours=1)
    with everything_logged() as logged:
        result = send(**parameters, scheduled_timestamp=later, expiration_timestamp=later + timedelta(days=1))
    assert (opened.call_count, closed.call_count) == (1, 1)
    before = counts(url)
    assert (before.name, before.contacts, before.outcome) == (NAME, 2, "queued")
    assert before.expires_at == result["expiration_timestamp"] == int((later + timedelta(days=1)).timestamp())

    sandbox.advance(hours=2)
    after = counts(url)
    assert (after.name, after.results, after.by_result) == (NAME, 2, {"completed": 1, "failed": 1})
    made = results_url(running, result["campaign_key"], [NEW])
    assert sandbox.campaigns[0].parameters["result_url"] == made
    signature = made.rpartition("/")[2]
    assert signature not in f"{result}{logged}"


def test_accounts_that_send_campaigns_of_one_name_do_not_share_their_results(
    running: str, url: str, parameters: dict[str, Any], connect: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    keys, waits = list[str](), list[dict[str, Any]]()
    with faults.FaultServer(faults.QUEUED) as service:
        for login in ("one", "another"):
            connect(service.url, login=login)
            queued = send(**parameters)
            keys.append(queued["campaign_key"])
            target = results_url(running, keys[-1], [NEW])
            assert target.encode() in service.posts[-1].body
            for call in ("1", "2") if login == "one" else ("1",):
                assert requests.post(target, {"call_id": call}, timeout=30).status_code == 200
            for known in ({"queued": queued}, {"campaign_name": NAME}):
                waits.append(QueueCallsResultsSensor(task_id="wait", min_results=1, **known).execute({}))
    assert [wait["results"] for wait in waits] == [2, 2, 1, 1]
    assert main(["results", "export", NAME, "--database", url]) == 2
    assert ", ".join(sorted(keys)) in capsys.readouterr().err
    assert main(["results", "export", keys[1], "--database", url]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_a_campaign_whose_outcome_is_unknown_is_listed_as_such(
    configured: None, url: str, parameters: dict[str, Any], connect: Any
) -> None:
    with faults.FaultServer(faults.close()) as service:
        connect(service.url)
        with pytest.raises(AirflowFailException):
            send(**parameters)
    assert counts(url).outcome == "unknown"


def calls_of(url: str, key: str) -> int | None:
    """How many calls the campaign's page says the service has queued."""
    with closing(Database(url)) as database, database.reading() as connection:
        found = overview.campaign(connection, key, 0)
    assert found is not None
    return found.calls


def test_the_page_knows_how_many_calls_were_queued_if_the_response_or_a_person_says_so(
    configured: None, url: str, parameters: dict[str, Any], connect: Any
) -> None:
    with faults.FaultServer(faults.QUEUED_WITH_ID, faults.QUEUED, faults.close()) as service:
        connect(service.url)
        listed = send(**{**parameters, "campaign_name": "listed"})
        not_listed = send(**{**parameters, "campaign_name": "not listed"})
        with pytest.raises(AirflowFailException):
            send(**parameters)
    assert calls_of(url, listed["campaign_key"]) == listed["call_id_count"] == 1
    assert calls_of(url, not_listed["campaign_key"]) is None
    resolve = ["records", "resolve", NAME, "--receipts", parameters["receipts_path"], "--queued"]
    assert main([*resolve, "--calls", "2"]) == 0
    assert calls_of(url, QueueCallsHook().key_of(NAME).digest) == 2


@pytest.mark.parametrize(
    ("url", "result_url", "said"),
    [
        ("", None, "collect_results needs .* results_url"),
        ("https://results.example.com", None, r"\[queuecalls\] results_secret is not set"),
        ("https://results.example.com", "https://other.example", "together with result_url"),
    ],
)
def test_a_url_that_cannot_be_made_fails_the_task(
    url: str, result_url: str | None, said: str, parameters: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = '{"conn_type": "queuecalls", "host": "https://outbound.example", "login": "…", "password": "…"}'
    monkeypatch.setenv("AIRFLOW_CONN_QUEUECALLS_DEFAULT", connection)
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__RESULTS_URL", url)
    with pytest.raises(AirflowFailException, match=said):
        send(**parameters, result_url=result_url)


def test_nothing_is_sent_while_the_database_is_lost(
    parameters: dict[str, Any], monkeypatch: pytest.MonkeyPatch, connect: Any
) -> None:
    database = "postgresql://user:s3cret@127.0.0.1:1/results"
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__RESULTS_DATABASE", database)
    with faults.FaultServer(faults.QUEUED) as service:
        connect(service.url)
        with pytest.raises(NotSent, match=r"results database .* cannot be used") as caught:
            send(**{**parameters, "collect_results": False})
        assert "s3cret" not in str(caught.value)
        assert service.posts == []
        monkeypatch.delenv("AIRFLOW__QUEUECALLS__RESULTS_DATABASE")
        assert send(**{**parameters, "collect_results": False})["outcome"] == "queued"
