"""The sensor and its trigger, with a real results database, in each mode."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async

from airflow_provider_queuecalls._airflow.compat import AirflowFailException, AirflowSkipException
from airflow_provider_queuecalls._airflow.results import read_counts
from airflow_provider_queuecalls.exceptions import CheckFailed, QueueCallsError
from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook
from airflow_provider_queuecalls.records.call_results import read_result
from airflow_provider_queuecalls.records.database.database import CampaignRow, Database
from tests.support.moved import first_of

if TYPE_CHECKING:
    from pytest_mock import MockerFixture

NUMBERS, REFERENCES = ("16175550181", "16175550182"), ("order-8111", "order-8112")
NAME = "results of summer"
COMPLETE = {
    "campaign_name": NAME, "contacts": 2, "results": 2, "by_result": {"completed": 1, "failed": 1},
    "by_callee_type": {"human": 2}, "by_choice": {}, "attempts": 4, "missing": 0, "reached_share": 0.5, "complete": True,
    "ended_by": "complete",
}  # fmt: skip
#: Who reads the counts.
READERS = tuple(f"airflow_provider_queuecalls.{module}.queuecalls.read_counts" for module in ("sensors", "triggers"))


def key() -> str:
    """The key of the campaign, which the account of the connection sends."""
    return QueueCallsHook().key_of(NAME).digest


@pytest.fixture
def results(results_database: str, connect: Any) -> Iterator[Database]:
    """The results database of Airflow's configuration, with a campaign and one of its two results."""
    connect("https://service.example/")
    with closing(Database(results_database)) as database:
        database.put_campaign(CampaignRow(key(), NAME, 2, "unknown"))
        add(database, 0)
        yield database


def add(database: Database, contact: int, **fields: str) -> None:
    values = {
        "phone_number": NUMBERS[contact], "message_reference": REFERENCES[contact], "call_id": str(contact),
        "result": "completed", "callee_type": "human", "attempts": "2", **fields,
    }  # fmt: skip
    database.add(key(), read_result(values.items()))


@pytest.fixture
def at_look(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], object]], None]:
    """Do something right before the counts are read the n-th time."""

    def do(number: int, something: Callable[[], object]) -> None:
        looks = iter(range(1, 1000))

        def read(url: str, key: str, name: str) -> Any:
            if next(looks) == number:
                something()
            return read_counts(url, key, name)

        for reader in READERS:
            monkeypatch.setattr(reader, read)

    return do


def sensor(**parameters: Any) -> Any:
    from airflow_provider_queuecalls.sensors.queuecalls import QueueCallsResultsSensor

    return QueueCallsResultsSensor(task_id="wait", poke_interval=0.01, **{"campaign_name": NAME, **parameters})


def deferred(**parameters: Any) -> Any:
    """The trigger for which the sensor leaves its worker, as a triggerer makes it anew."""
    with pytest.raises(first_of("airflow.sdk.exceptions:TaskDeferred", "airflow.exceptions:TaskDeferred")) as caught:
        sensor(**parameters).execute({})
    path, kwargs = caught.value.trigger.serialize()
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)(**json.loads(json.dumps(kwargs)))


async def event_of(trigger: Any) -> Any:
    (event,) = [event async for event in trigger.run()]
    return event.payload


@pytest.mark.parametrize("mode", [{}, {"deferrable": False}, {"deferrable": False, "mode": "reschedule"}])
def test_the_sensor_waits_for_the_last_result_and_returns_counts(
    mode: dict[str, Any], results: Database, at_look: Any, run_tasks: Any
) -> None:
    at_look(2, lambda: add(results, 1, result="failed"))
    ran = run_tasks(f'QueueCallsResultsSensor(task_id="queue", campaign_name={NAME!r}, poke_interval=0.1, **{mode})')
    assert (ran.states, ran.xcom) == ({"queue": "success"}, COMPLETE)
    said = (
        "outcome is unknown, but its results prove that it was queued",
        "has 1 of 2 results: completed 1",
        "(complete): {",
    )
    assert [each for each in said if each not in ran.printed] == []
    assert [each for each in (*NUMBERS, *REFERENCES) if each in ran.kept + ran.printed] == []


def test_limits_are_absolute_in_the_trigger_and_nothing_else_is(results: Database) -> None:
    soon = int(time.time()) + 600
    queued = {
        "campaign_key": key(),
        "campaign_name": NAME,
        "contacts": 3,
        "dry_run": False,
        "expiration_timestamp": soon,
        "call_ids": ["7"],
    }
    trigger = deferred(queued=str(queued), campaign_name=None, grace="30 minutes", deadline=soon + 900, min_share="90%")
    assert trigger.serialize()[1] == {
        "campaign_key": key(), "campaign_name": NAME, "contacts": 3, "expires_at": soon, "grace": 1800, "deadline": soon + 900,
        "min_results": None, "min_share": 0.9, "poke_interval": 0.01,
    }  # fmt: skip


def test_a_wait_ends_when_no_result_can_come_any_more(results: Database, at_look: Any) -> None:
    trigger = deferred()
    # It expires while the trigger waits, as it turns out.
    at_look(2, lambda: results.put_campaign(CampaignRow(key(), NAME, 2, "queued", expires_at=int(time.time()) - 3600)))
    event = asyncio.run(event_of(trigger))
    assert (
        event["result"] | {"ended_by": "expiration", "results": 1, "missing": 1, "complete": False} == event["result"]
    )
    assert sensor().execute({"outlet_events": {}}) == event["result"]


def test_a_loss_of_the_database_is_waited_out(
    results: Database, at_look: Any, tmp_path: Path, mocker: MockerFixture
) -> None:
    file, lost = tmp_path / "results.db", tmp_path / "lost.db"
    trigger = deferred()
    log = mocker.patch.object(type(trigger), "log")
    results.close()
    file.rename(lost)

    def recover() -> None:
        lost.rename(file)
        with closing(Database(f"sqlite:///{file}")) as recovered:
            add(recovered, 1, result="failed")

    at_look(4, recover)
    assert asyncio.run(event_of(trigger)) == {"result": COMPLETE}
    ((_, message),) = (call.args for call in log.warning.call_args_list)
    assert "There is no results database" in message


def test_a_database_that_is_lost_at_the_end_fails_the_try(results: Database, tmp_path: Path) -> None:
    (_, kwargs) = deferred().serialize()
    results.close()
    (tmp_path / "results.db").rename(tmp_path / "lost.db")
    from airflow_provider_queuecalls.triggers.queuecalls import QueueCallsResultsTrigger

    event = asyncio.run(event_of(QueueCallsResultsTrigger(**kwargs | {"deadline": int(time.time())})))
    with pytest.raises(QueueCallsError, match="There is no results database"):
        sensor().execute_complete({}, event)


def test_a_database_that_hangs_holds_up_nobody_else(results: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    trigger, looks = deferred(), list[str]()

    def read(url: str, key: str, name: str) -> Any:
        try:
            return read_counts(url, key, name)
        finally:
            looks.append(name)

    monkeypatch.setattr(READERS[1], read)

    async def wait_with_others(server: socket.socket) -> None:
        waits = [asyncio.create_task(event_of(trigger)) for _ in range(50)]
        connection, _ = await asyncio.get_running_loop().sock_accept(server)
        await sync_to_async(str)()  # as Airflow itself calls what may not run in the loop
        assert looks == []  # no look at the database has ended
        for wait in waits:
            wait.cancel()
        connection.close()
        server.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        url = f"postgresql://user:s3cret@127.0.0.1:{server.getsockname()[1]}/results"
        monkeypatch.setenv("AIRFLOW__QUEUECALLS__RESULTS_DATABASE", url)
        asyncio.run(wait_with_others(server))


@pytest.mark.parametrize("deferrable", [True, False])
@pytest.mark.parametrize(
    ("parameters", "database", "error", "said"),
    [
        ({"campaign_name": "another"}, None, CheckFailed, r"'another' is not in the results database sqlite:.*same \[queue"),
        ({}, "", AirflowFailException, r"\[queuecalls\] results_database is not set"),
        ({}, "nowhere", AirflowFailException, "names the connection 'nowhere', which is not defined"),
        ({}, "etl:S3cretPw@db", AirflowFailException, r"names the connection \(not shown\), which is not defined"),
        ({}, "a_website", AirflowFailException, r"names the connection 'a_website' of type 'http', .* It must be a URL, or a PostgreSQL"),
        ({"min_results": "many"}, None, AirflowFailException, "min_results is 'many', which is not a whole number"),
        ({"queued": {"campaign_key": "00d1", "campaign_name": NAME, "contacts": 2, "dry_run": True}, "campaign_name": None}, None, AirflowSkipException, "dry"),
    ],
)  # fmt: skip
def test_only_what_may_heal_is_left_to_retries(  # noqa: PLR0917
    parameters: dict[str, Any], database: str | None, error: type[Exception], said: str, deferrable: bool, results: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("AIRFLOW_CONN_A_WEBSITE", "http://website.example")
    if database is not None:
        monkeypatch.setenv("AIRFLOW__QUEUECALLS__RESULTS_DATABASE", database)
    with pytest.raises(error, match=said):
        sensor(**parameters, deferrable=deferrable).execute({})
