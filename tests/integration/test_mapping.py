"""Many campaigns of one task, in real DAG runs: each with a name and a receipt of its own."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_queuecalls.contacts.split.parameters import RECORD
from airflow_provider_queuecalls.sandbox.server import Sandbox
from tests.support.dag_run import Run, run_dag_file
from tests.support.moved import IS_AIRFLOW_2, dag_bag

START_URL = "https://ivr.example.com/x.vxml"
PARTS = 3
TASKS = """
@task
def lists():
    return {lists!r}

QueueCallsOperator.partial(task_id="queue", start_url={start_url!r}, receipts_path={receipts!r}){expand}
"""


@pytest.fixture
def lists(tmp_path: Path) -> list[Path]:
    """Two contacts in each."""
    paths = [tmp_path / f"list-{part}.csv" for part in range(PARTS)]
    for part, path in enumerate(paths):
        path.write_text(f"1617555014{part},a\n1202555014{part},b\n")
    return paths


@pytest.fixture(params=["folder", "bucket"])
def receipts(request: pytest.FixtureRequest, receipts_folder: Path) -> tuple[str, Callable[[], dict[str, Any]]]:
    """Where receipts go, and what reads them."""
    if request.param == "folder":
        return str(receipts_folder), lambda: receipts_among(
            path.read_bytes() for path in sorted(receipts_folder.rglob("*.json"))
        )
    bucket = request.getfixturevalue("bucket")
    return (
        f"s3://storage@{bucket.name}/receipts",
        lambda: receipts_among(found.get()["Body"].read() for found in bucket.objects.filter(Prefix="receipts/")),
    )


def receipts_among(entries: Iterable[bytes]) -> dict[str, Any]:
    """The results on record by the names of the campaigns, the last one of each."""
    found = map(json.loads, entries)
    return {entry["campaign_name"]: entry["result"] for entry in found if entry["state"] == "receipt"}


@pytest.fixture
def run_dag(run_tasks: Callable[..., Run], receipts: Any) -> Callable[..., Run]:
    """Run a DAG with a mapped task."""

    def run(expand: str, given: list[Any]) -> Run:
        return run_tasks(TASKS.format(lists=given, start_url=START_URL, receipts=receipts[0], expand=expand))

    return run


def test_each_list_of_an_upstream_task_is_a_campaign_with_a_name_and_a_receipt(
    run_dag: Any, lists: list[Path], receipts: Any, queuecalls_sandbox: Sandbox
) -> None:
    run = run_dag(".expand(contacts=lists())", list(map(str, lists)))
    assert run.states == {"lists": "success", **{f"queue{index}": "success" for index in range(PARTS)}}
    names = [result["campaign_name"] for result in run.xcom]
    assert [name.split(".")[-2] for name in names] == ["0", "1", "2"], "the map index"
    assert {campaign.name for campaign in queuecalls_sandbox.campaigns} == set(names)
    for name, path in zip(names, lists, strict=True):
        assert (
            "".join(f"{c.phone_number},{c.message_reference}\n" for c in queuecalls_sandbox.calls_of(name))
            == path.read_text()
        )
    assert receipts[1]() == dict(zip(names, run.xcom, strict=True))


def test_one_that_is_refused_keeps_no_other_from_being_sent_and_another_run_sends_it_alone(
    run_dag: Any, lists: list[Path], receipts: Any, queuecalls_sandbox: Sandbox
) -> None:
    given = [{"contacts": str(path), "campaign_name": f"spring {path.stem}"} for path in lists]
    queuecalls_sandbox.fail_next("http_401")
    run = run_dag(".expand_kwargs(lists())", given)
    assert Counter(state for task, state in run.states.items() if task != "lists") == {"success": 2, "failed": 1}
    assert len(queuecalls_sandbox.campaigns) == len(receipts[1]()) == 2
    again = run_dag(".expand_kwargs(lists())", given)
    assert set(again.states.values()) == {"success"}
    assert "was already queued" in again.printed
    assert sorted(str(campaign.name) for campaign in queuecalls_sandbox.campaigns) == [
        part["campaign_name"] for part in given
    ]
    assert set(queuecalls_sandbox.numbers.values()) == {1}
    assert len(receipts[1]()) == PARTS


@pytest.mark.skipif(IS_AIRFLOW_2, reason="the example DAGs are written for Airflow 3")
@pytest.mark.parametrize("where", ["folder", "bucket"])
def test_the_example_splits_a_list_and_calls_everybody_once(  # noqa: PLR0917
    where: str,
    examples: Path,
    queuecalls_sandbox: Sandbox,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    capfd: pytest.CaptureFixture[str],
) -> None:
    file, dag_id = examples / "queue_calls_in_parts.py", "queue_calls_in_parts"
    assert dag_bag(str(file)).dags[dag_id].get_task("queue_calls").max_active_tis_per_dag == 1
    rows = [f"1617555{number:04},ref-{number}\n" for number in range(100, 125)]
    content = "\n".join(["\ufeff" + "".join(rows[:10]), "".join(rows[10:])]).rstrip("\n")
    if where == "folder":
        folder, left = str(tmp_path), lambda: [path.name for path in (tmp_path / "parts").rglob("*") if path.is_file()]
        (tmp_path / "calls.csv").write_text(content)
    else:
        bucket = request.getfixturevalue("bucket")
        folder, left = (
            f"s3://storage@{bucket.name}",
            lambda: [key.key.rpartition("/")[2] for key in bucket.objects.filter(Prefix="parts/")],
        )
        bucket.put_object(Key="calls.csv", Body=content.encode())
    conf = {"contacts": f"{folder}/calls.csv", "parts_path": f"{folder}/parts", "contacts_per_campaign": 10}
    run = run_dag_file(file, dag_id, capfd, run_conf=conf)
    assert set(run.states.values()) == {"success"}, run.printed
    assert "25 contacts in 3 campaigns would be called (dry run)" in run.printed
    assert queuecalls_sandbox.journal == []
    assert left() == [RECORD]
    run = run_dag_file(file, dag_id, capfd, run_conf={**conf, "dry_run": False})
    assert set(run.states.values()) == {"success"}, run.printed
    assert "25 contacts in 3 campaigns queued" in run.printed
    assert [
        len(queuecalls_sandbox.calls_of(name)) for name in sorted(str(c.name) for c in queuecalls_sandbox.campaigns)
    ] == [10, 10, 5]
    assert queuecalls_sandbox.numbers == dict.fromkeys((row[:11] for row in rows), 1)
    assert left() == [RECORD] * 2


@pytest.mark.skipif(IS_AIRFLOW_2, reason="the example DAGs are written for Airflow 3")
def test_the_example_splits_no_list_in_which_somebody_is_twice(
    examples: Path, queuecalls_sandbox: Sandbox, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "calls.csv").write_text("16175550100\n16175550101\n16175550100\n")
    conf = {"contacts": f"{tmp_path}/calls.csv", "parts_path": f"{tmp_path}/parts", "contacts_per_campaign": 1}
    run = run_dag_file(
        examples / "queue_calls_in_parts.py", "queue_calls_in_parts", capfd, run_conf={**conf, "dry_run": False}
    )
    assert run.states["split"] == "failed"
    assert queuecalls_sandbox.journal == []
