"""``@task.queuecalls``: what functions give becomes a campaign, in real DAG runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_queuecalls.decorators.queuecalls import DecoratedQueueCallsOperator
from airflow_provider_queuecalls.sandbox.server import Sandbox
from tests.support.dag_run import noon_tomorrow, run_dag_file
from tests.support.decorated import called, decorated
from tests.support.memory import growth
from tests.support.moved import IS_AIRFLOW_2, for_this_airflow, serialized_dag

ANN, BOB, CAY = "16175550143", "16175550178", "12025550119"
ROWS, GROWTH_MB = 200_000, 32


def test_what_a_function_yields_is_called_in_its_order(run_tasks: Any, sandbox: Sandbox, temporary: Path) -> None:
    run = run_tasks("""
@task
def language():
    return "de"

@task.queuecalls(start_url="https://ivr.example.com/{{ dag.dag_id }}", campaign_name="{{ dag.dag_id }} of {{ ds }}")
def queue(lang, prefix, ti=None, params=None):
    assert ti.task_id == "queue" and params is not None
    yield CAY, prefix + "3", f"lang={lang}"
    yield {"message_reference": prefix + "1", "phone_number": int(ANN), "age": 5.5}
    yield [BOB]

@task
def report(result):
    return result["outcome"]

report(queue(language(), prefix="{{ 'order' ~ '-' }}"))
""")
    assert run.states == {"language": "success", "queue": "success", "report": "success"}
    assert called(sandbox) == [(CAY, "order-3", "lang=de"), (ANN, "order-1", None), (BOB, None, None)]
    (campaign,) = sandbox.campaigns
    assert campaign.name == run.xcom["campaign_name"]
    assert re.fullmatch(r"dag_\w+ of 20\d\d-\d\d-\d\d", str(campaign.name))
    assert campaign.parameters["start_url"].startswith("https://ivr.example.com/dag_")
    assert "Wrote 3 rows of the function 'queue' to a contact file" in run.printed
    assert "Columns of the function 'queue' that are not sent: 'age'" in run.printed
    for number in (ANN, BOB, CAY):
        assert number not in run.kept + run.printed
    assert list(temporary.iterdir()) == []


def test_each_map_index_calls_its_own(run_tasks: Any, sandbox: Sandbox) -> None:
    run = run_tasks("""
@task.queuecalls(start_url="https://ivr.example.com/x", max_active_tis_per_dag=1)
def queue(number, suffix):
    return [(number, suffix)]

queue.partial(suffix="ref").expand(number=[ANN, BOB])
""")
    assert run.states == {"queue0": "success", "queue1": "success"}
    assert sorted(called(sandbox)) == [(ANN, "ref", None), (BOB, "ref", None)]
    assert len({result["campaign_name"] for result in run.xcom}) == 2


def test_parameters_can_be_overridden(run_tasks: Any, sandbox: Sandbox) -> None:
    run = run_tasks("""
@task.queuecalls(start_url="https://ivr.example.com/x", dry_run=True)
def call():
    yield (ANN,)

call()
call.override(task_id="queue", dry_run=False, start_url="https://ivr.example.com/y")()
""")
    assert run.states == {"call": "success", "queue": "success"}
    (campaign,) = sandbox.campaigns
    assert campaign.parameters["start_url"] == "https://ivr.example.com/y"
    assert "Dry run: did not send campaign" in run.printed


def test_an_error_of_the_function_is_retried_and_nothing_is_sent(
    run_tasks: Any, sandbox: Sandbox, temporary: Path
) -> None:
    run = run_tasks("""
@task.queuecalls(start_url="https://ivr.example.com/x", retries=2, retry_delay=timedelta(0))
def queue(ti=None):
    yield ANN, "ref"
    if ti.try_number < 3:
        raise RuntimeError("the warehouse is closed")
    yield BOB, "ref"

queue()
""")
    assert (run.states["queue"], run.tries) == ("success", 3)
    assert run.printed.count("the warehouse is closed") >= 2
    assert len(sandbox.journal) == 1
    assert sandbox.numbers == {ANN: 1, BOB: 1}
    assert list(temporary.iterdir()) == []


def test_a_function_may_skip_its_task(run_tasks: Any, sandbox: Sandbox) -> None:
    run = run_tasks("""
@task.queuecalls(start_url="https://ivr.example.com/x")
def queue():
    from airflow_provider_queuecalls._airflow.compat import AirflowSkipException
    raise AirflowSkipException("a holiday")
    yield

@task.queuecalls(start_url="https://ivr.example.com/x", on_empty="skip")
def nobody():
    return iter(())

queue()
nobody()
""")
    assert run.states == {"queue": "skipped", "nobody": "skipped"}
    assert sandbox.journal == []


MEASURE = """
import sys
from airflow_provider_queuecalls.decorators.queuecalls import DecoratedQueueCallsOperator

def lines_of(count):
    def contacts():
        for number in range(16172000000, 16172000000 + count):
            yield {"phone_number": number, "message_reference": f"reference-{number}", "call_parameter": "x" * 100}
    task = DecoratedQueueCallsOperator(task_id="call", python_callable=contacts, start_url="https://x.example/")
    with task._contact_file({}) as contacts, open(contacts.path, "rb") as file:
        return sum(1 for _ in file)

assert lines_of(1000) == 1000
before = peak()
assert lines_of(int(sys.argv[1])) == int(sys.argv[1])
print("grown", peak() - before)
"""


@pytest.mark.long
def test_memory_does_not_grow_with_what_is_yielded(airflow: Any) -> None:
    assert growth(MEASURE, str(ROWS)) <= GROWTH_MB


def test_it_survives_serialisation(airflow: Any) -> None:
    from datetime import datetime, timezone

    from airflow import DAG

    namespace: dict[str, Any] = {}
    exec(for_this_airflow("from airflow.sdk import DAG, task"), namespace)
    with DAG("reminders", start_date=datetime(2026, 1, 1, tzinfo=timezone.utc), schedule=None) as dag:

        @namespace["task"].queuecalls(start_url="https://ivr.example.com/x")  # type: ignore[untyped-decorator]
        def call(number: str) -> dict[str, str]:
            """Call one."""
            return {"phone_number": number}

        call(ANN)
        call.override(task_id="mapped").expand(number=[ANN, BOB])
    task: Any = dag.get_task("call")
    assert (task.doc_md, task.multiple_outputs) == ("Call one.", False)
    again = serialized_dag().from_dict(serialized_dag().to_dict(dag))
    assert again.get_task("call").start_url == "https://ivr.example.com/x"
    assert set(again.task_ids) == {"call", "mapped"}


def test_it_has_no_parameter_contacts(airflow: Any) -> None:
    assert "contacts" not in DecoratedQueueCallsOperator.template_fields
    with pytest.raises(TypeError, match="contacts"):
        decorated(lambda: None, contacts="x.csv")


@pytest.mark.skipif(IS_AIRFLOW_2, reason="the example DAGs are written for Airflow 3")
def test_the_examples_function_calls_nobody_unless_told_to(
    examples: Path, sandbox: Sandbox, capfd: pytest.CaptureFixture[str]
) -> None:
    example = (examples / "queue_calls_from_function.py", "queue_calls_from_function", capfd)
    run = run_dag_file(*example, run_after=noon_tomorrow())
    assert set(run.states.values()) == {"success"}
    assert "1000 contacts would be called (dry run)" in run.printed
    assert sandbox.journal == []
    run = run_dag_file(*example, run_after=noon_tomorrow(), run_conf={"region": "midwest", "dry_run": False})
    assert set(run.states.values()) == {"success"}
    assert "1000 contacts queued as 1000 calls" in run.printed
    assert len(sandbox.numbers) == 1000


def test_arguments_of_the_function_are_not_shown(run_tasks: Any, sandbox: Sandbox) -> None:
    """Contacts that come from an upstream task are arguments."""
    run = run_tasks("""
@task.queuecalls(start_url="https://ivr.example.com/x")
def queue(number, reference):
    return [(number, reference)]

queue("{{ '1617' ~ '5550143' }}", reference="{{ 'order' ~ '-1' }}")
""")
    assert called(sandbox) == [(ANN, "order-1", None)]
    assert "op_kwargs" in run.kept
    for value in (ANN, "order-1"):
        assert value not in run.kept + run.printed
