"""A person's answer to an unknown outcome, as the task reads it; that Airflow asks and answers, a running Airflow shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_queuecalls._airflow.question import NOT_QUEUED, QUEUED
from airflow_provider_queuecalls.operators.call_results import CallResultsOperator
from airflow_provider_queuecalls.operators.queuecalls import QueueCallsOperator
from airflow_provider_queuecalls.records.database import overview
from airflow_provider_queuecalls.records.database.database import Database
from tests.support import fault_server as faults
from tests.support.moved import AIRFLOW, first_of
from tests.support.task import execute

if TYPE_CHECKING:
    from pytest_mock import MockerFixture

pytestmark = pytest.mark.skipif(AIRFLOW < (3, 1), reason="Airflow asks nobody before 3.1")
#: Noon in New York.
NOON = int(datetime(2099, 7, 14, 16, tzinfo=timezone.utc).timestamp())
WAITS: Any = first_of("airflow.sdk.exceptions:TaskAwaitingInput", "airflow.exceptions:TaskDeferred")
RULES = {"calling_hours": "08:00-21:00"}


@pytest.fixture
def results(results_database: str) -> Iterator[Database]:
    with closing(Database(results_database)) as database:
        yield database


@pytest.fixture
def contacts(tmp_path: Path) -> Path:
    path = tmp_path / "calls.csv"
    path.write_text("12125550102,order-1,\n12125550103,order-2,\n")
    return path


@pytest.fixture
def task(contacts: Path, receipts_folder: Path, results: Database, connect: Any) -> Iterator[QueueCallsOperator]:
    """A task whose first response is lost."""
    with faults.FaultServer(faults.close(), faults.QUEUED_WITH_ID) as server:
        connect(server.url)
        yield QueueCallsOperator(
            task_id="call", contacts=str(contacts), start_url="https://ivr.example.com/x.vxml", campaign_name="spring",
            scheduled_timestamp=NOON, on_unknown="ask", answer_timeout="2 days", receipts_path=str(receipts_folder),
            **RULES,
        )  # fmt: skip


def after_answer(option: str, task: QueueCallsOperator, mocker: MockerFixture) -> dict[str, Any]:
    """What the task returns after this answer."""
    mocker.patch("airflow.sdk.execution_time.hitl.upsert_hitl_detail")  # there is no API server
    context: Any = {"ti": SimpleNamespace(
        id="1", dag_id="reminders", task_id="call", run_id="manual__1", map_index=-1, try_number=1, max_tries=0,
        xcom_push=lambda **_: None,
    )}  # fmt: skip
    with pytest.raises(WAITS) as waiting:
        task.execute(context)
    kwargs = json.loads(json.dumps(waiting.value.kwargs))
    answer = {"chosen_options": [option], "responded_by_user": {"id": "1", "name": "Ada"}}
    return task.execute_answer(context, answer, **kwargs)


@pytest.fixture
def answered(task: QueueCallsOperator, mocker: MockerFixture) -> dict[str, Any]:
    """What the task returns after the answer that its campaign is queued."""
    return after_answer(QUEUED, task, mocker)


def test_the_campaign_is_sent_after_the_answer_that_it_is_not_queued(
    task: QueueCallsOperator, mocker: MockerFixture
) -> None:
    sent = after_answer(NOT_QUEUED, task, mocker)
    assert (sent["outcome"], sent["contacts"]) == ("queued", 2)
    assert "resolved_by" not in sent


def test_the_result_after_an_answer_says_when_calls_are_made(
    answered: dict[str, Any], contacts: Path, tmp_path: Path
) -> None:
    assert (answered["outcome"], answered["resolved_by"], answered["calls_from"]) == ("queued", "Ada", NOON)
    assert [counts["contacts"] for counts in answered["zones"].values()] == [2]
    following = CallResultsOperator(
        task_id="next", contacts=str(contacts), queued=answered, select="missing", output=str(tmp_path / "next.csv"), **RULES
    )  # fmt: skip
    assert execute(following)["rows"] == 2


def test_the_page_claims_no_number_of_calls_after_an_answer(answered: dict[str, Any], results: Database) -> None:
    with results.reading() as connection:
        found = overview.campaign(connection, answered["campaign_key"], NOON)
    assert found is not None
    assert (found.outcome, found.calls, found.calls_from, found.has_fewer) == ("queued", None, NOON, 0)


def test_the_lineage_of_a_task_knows_the_answer(
    answered: dict[str, Any], task: QueueCallsOperator, contacts: Path
) -> None:
    found = task.get_openlineage_facets_on_complete(None)
    assert found is not None
    assert [dataset.name for dataset in found.inputs] == [str(contacts)]
    assert [dataset.name for dataset in found.outputs] == [answered["campaign_name"]]
    assert found.run_facets["queuecalls_campaign"].outcome == "queued"
