"""Nobody is called twice by accident: a real scheduler, a service that goes wrong, and processes that are killed.

All runs are triggered at once; each test then looks at what became of its own. What was
called is counted at the service.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from airflow_provider_queuecalls.records.sent.stores import init_folder
from tests.conftest import LOGIN, PIN
from tests.support import fault_server as faults
from tests.support.airflow import Airflow, Task
from tests.support.moved import AIRFLOW
from tests.support.multipart import parse

pytestmark = pytest.mark.skipif(AIRFLOW[:2] in {(2, 11), (3, 0), (3, 2)}, reason="one with and one without task state")
DAG_FILE = Path(__file__).parent / "dags" / "reliability.py"
FAULTS: Mapping[str, tuple[faults.Act, str]] = {
    "hang": (faults.hang(), r"was not complete within 2 s \(read_timeout\)"),
    "reset": (faults.reset(), "the connection was reset"),
    "close": (faults.close(), "the connection was closed without a response"),
    "http_502": (faults.respond(502, b"Bad Gateway"), "HTTP 502"),
}
#: What a task leaves at the service that is killed once something may have left.
KILLED_TOO_LATE: dict[str, set[int]] = {
    "task_killed_before_the_first_byte": {0},
    "task_killed_before_the_response": {1},
    "task_killed_before_the_receipt": {1},
    "machine_lost_before_the_response": {1},
}
KILLED_IN_TIME = ("task_killed_before_the_intent", "task_killed_in_mid_body", "worker_killed_before_the_intent")
#: Frozen for so long that Airflow takes the machine for lost and starts the next try; then it goes on.
FROZEN = {
    "machine_frozen_before_the_intent": "success",
    "machine_frozen_before_the_first_byte": "failed",
    "machine_frozen_in_mid_body": "success",
    "machine_frozen_before_the_response": "failed",
    "machine_frozen_before_the_receipt": "failed",
    "machine_frozen_after_the_receipt": "success",
}
KILLED_AFTER_THE_RECEIPT: tuple[str, ...] = (
    "task_killed_after_the_receipt",
    "machine_lost_after_the_receipt",
    "worker_killed_with_receipts",  # the task runs on alone, and keeps its receipt itself
)
#: The task runs on alone; nobody keeps its receipt where that is the task's state.
if AIRFLOW >= (3, 3):
    KILLED_TOO_LATE["worker_killed_before_the_first_byte"] = {1}
else:
    KILLED_AFTER_THE_RECEIPT += ("worker_killed_before_the_first_byte",)
CLEARED = ("cleared_with_receipts", "cleared_without_receipts", "resent_with_receipts", "resent_and_unknown")
TWINS = ("twin_a", "twin_b")
#: One is to end by it. The other one still waits when its test clears it, and its test is among the last.
READ_TIMEOUTS = {"hang": 2, "cleared_while_it_waits": 1_800}
DAG_IDS = (
    *(*FAULTS, *KILLED_TOO_LATE, *KILLED_IN_TIME, *KILLED_AFTER_THE_RECEIPT, *FROZEN, *CLEARED, *TWINS),
    *("http_429", "cleared_while_it_waits", "marked_failed"),
)


class Service(faults.FaultServer):
    """The service, as a scenario needs it. It queues a repeated campaign name, so only the record keeps a list from being called
    twice."""

    def __init__(self, *acts: faults.Act, turned_away: int = 0) -> None:
        super().__init__(*acts)
        self._turned_away = turned_away

    def calls(self) -> Counter[str]:
        """How many calls each number gets by the complete uploads, except those that were turned away."""
        lists = [
            part.content.decode()
            for post in self.uploads[self._turned_away :]
            for part in parse(post.headers["content-type"], bytes(post.body))
            if part.file_name
        ]
        return Counter(row.split(",")[0] for contacts in lists for row in contacts.splitlines())


@dataclass(frozen=True)
class Live:
    """A running Airflow and its folder; and for each scenario the service that it talks to, and the numbers on its list."""

    airflow: Airflow
    home: Path
    services: Mapping[str, Service]
    numbers: Mapping[str, list[str]]

    def calls(self, name: str) -> set[int]:
        """How often the numbers of a list are called."""
        calls = self.services[name].calls()
        return {calls[number] for number in self.numbers[name]}


@pytest.fixture(scope="module")
def live(live_airflow: Airflow) -> Iterator[Live]:
    """Every scenario under way."""
    home = live_airflow.home
    names = [name for name in DAG_IDS if name not in TWINS] + ["twins"]
    numbers = {name: _write_list(home / f"{name}.csv", index) for index, name in enumerate(names)}
    for folder in ("receipts", "receipts of marked_failed"):
        init_folder(home / folder)
    with ExitStack() as stack:
        services = {name: stack.enter_context(_service(name)) for name in names}
        connections = {
            name: _connection(service.url, READ_TIMEOUTS.get(name, 60)) for name, service in services.items()
        }
        stack.enter_context(live_airflow.connections(connections))
        live_airflow.add_dags([DAG_FILE], DAG_IDS)
        for dag_id in DAG_IDS:
            live_airflow.trigger(dag_id)
        yield Live(live_airflow, home, services, numbers)


@pytest.fixture(scope="module")
def cleared(live: Live) -> Mapping[str, Task]:
    """The tasks of :data:`CLEARED`, which have all succeeded, after somebody pressed Clear."""
    for name in CLEARED:
        assert live.airflow.task(name).state == "success"
        assert live.calls(name) == {1}
    live.airflow.set_variable("resend", "true")
    for name in CLEARED:
        live.airflow.clear(name)
    return {name: live.airflow.task(name, after_try=1) for name in CLEARED}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_the_service_may_have_taken_is_sent_once(fault: str, live: Live) -> None:
    task = live.airflow.task(fault)
    assert len(live.services[fault].posts) == 1
    assert live.calls(fault) == {1}
    assert (task.state, task.tries) == ("failed", 1), f"{task.said}\n{live.airflow.logs()}"
    assert re.search(FAULTS[fault][1], task.said[1])
    assert_it_says_what_to_look_up(task.said[1], fault)


def test_what_the_service_turned_away_is_sent_by_a_retry(live: Live) -> None:
    task = live.airflow.task("http_429")
    assert live.calls("http_429") == {1}
    assert (task.state, task.tries) == ("success", 2), task.said
    assert "Nothing was queued; it is safe to try again later" in task.said[1]


@pytest.mark.parametrize("name", KILLED_IN_TIME)
def test_a_task_that_dies_before_the_end_of_its_list_was_sent_is_made_up_for(name: str, live: Live) -> None:
    task = live.airflow.task(name)
    assert live.calls(name) == {1}
    assert (task.state, task.tries) == ("success", 2), task.said
    assert task.xcom["outcome"] == "queued"


@pytest.mark.parametrize("name", KILLED_TOO_LATE)
def test_a_task_that_dies_once_something_may_have_left_is_not_repeated(name: str, live: Live) -> None:
    task = live.airflow.task(name)
    assert len(live.services[name].posts) == (name != "task_killed_before_the_first_byte")
    assert live.calls(name) == KILLED_TOO_LATE[name]
    assert (task.state, task.tries) == ("failed", 2), task.said
    assert "try 1 on " in task.said[2]
    assert "recorded no response (" in task.said[2]
    assert_it_says_what_to_look_up(task.said[2], name)


@pytest.mark.parametrize("name", FROZEN)
def test_a_frozen_try_that_goes_on_after_the_next_one_sends_nothing(name: str, live: Live) -> None:
    task = live.airflow.task(name)
    assert (task.state, task.tries) == (FROZEN[name], 2), task.said
    frozen = [psutil.Process(int(process)) for process in (live.home / f"{name}.victims").read_text().split()]
    assert {process.status() for process in frozen} == {psutil.STATUS_STOPPED}
    for process in frozen:
        process.resume()
    live.airflow.wait((live.home / f"{name}.woken").exists, "the frozen try")
    live.airflow.wait(lambda: not frozen[-1].is_running(), "the end of the frozen try")
    # One that is about to send its first byte does so, unless Airflow stops it first.
    assert live.calls(name) in ([{0}, {1}] if name == "machine_frozen_before_the_first_byte" else [{1}])
    assert live.airflow.task(name).state == FROZEN[name]


@pytest.mark.parametrize("name", KILLED_AFTER_THE_RECEIPT)
def test_a_task_that_dies_with_a_receipt_has_succeeded(name: str, live: Live) -> None:
    task = live.airflow.task(name)
    assert len(live.services[name].posts) == 1
    assert live.calls(name) == {1}
    assert (task.state, task.tries) == ("success", 2), task.said
    assert "already queued" in task.said[2]
    assert (task.xcom["outcome"], task.xcom["contacts"]) == ("queued", len(live.numbers[name]))


def test_a_task_cleared_while_it_waits_for_the_response_is_not_repeated(live: Live) -> None:
    name = "cleared_while_it_waits"
    live.airflow.wait(lambda: live.calls(name) == {1}, "the upload")
    (waiting,) = live.airflow.instances(name)
    assert (waiting["state"], waiting["try_number"]) == ("running", 1)
    live.airflow.clear(name)
    task = live.airflow.task(name, after_try=1)
    assert len(live.services[name].posts) == 1
    assert (task.state, task.tries) == ("failed", 2), task.said
    assert "try 1 on " in task.said[2]
    assert_it_says_what_to_look_up(task.said[2], name)


def test_a_cleared_task_with_receipts_succeeds_without_another_campaign(
    live: Live, cleared: Mapping[str, Task]
) -> None:
    name = "cleared_with_receipts"
    assert len(live.services[name].posts) == 1
    assert cleared[name].state == "success", cleared[name].said
    assert "already queued" in cleared[name].said[2]
    assert cleared[name].xcom["outcome"] == "queued"


def test_a_cleared_task_without_receipts_remembers_what_clear_leaves_it(
    live: Live, cleared: Mapping[str, Task]
) -> None:
    """Clear keeps the task's state in Airflow 3.3, and discards it from 3.4 on, unless the person keeps it."""
    from airflow.api_fastapi.core_api.datamodels.task_instances import ClearTaskInstancesBody

    name = "cleared_without_receipts"
    discarded = "keep_task_state" in ClearTaskInstancesBody.model_fields
    assert live.calls(name) == ({2} if discarded else {1})
    assert cleared[name].state == "success", cleared[name].said
    assert ("already queued" in cleared[name].said[2]) is not discarded


def test_a_person_may_resend_once_and_retries_do_not_repeat_it(live: Live, cleared: Mapping[str, Task]) -> None:
    name = "resent_with_receipts"
    assert live.calls(name) == {2}
    assert (cleared[name].state, cleared[name].tries) == ("success", 3), cleared[name].said
    assert "already queued" in cleared[name].said[3]


def test_a_resent_campaign_that_got_lost_is_not_repeated_either(live: Live, cleared: Mapping[str, Task]) -> None:
    name = "resent_and_unknown"
    assert live.calls(name) == {2}
    assert (cleared[name].state, cleared[name].tries) == ("failed", 3), cleared[name].said
    assert "try 2 on " in cleared[name].said[3]
    assert_it_says_what_to_look_up(cleared[name].said[3], name)


def test_of_two_runs_with_one_campaign_name_one_sends(live: Live) -> None:
    tasks = [live.airflow.task(name) for name in TWINS]
    assert all((live.home / f"{name}.is-here").exists() for name in TWINS), "they did not meet"
    assert live.calls("twins") == {1}
    assert sorted(task.state for task in tasks) == ["failed", "success"]
    (loser,) = [task for task in tasks if task.state == "failed"]
    assert loser.tries == 1
    # What the loser reads of the other one's record depends on which of them goes on first.
    found = (
        "Campaign 'spring-recall' is being sent by another task at the same time. This task sent nothing.",
        "Campaign 'spring-recall' was queued by another task at ",
        "Cannot tell whether campaign 'spring-recall' was queued",
    )
    assert any(message in loser.said[1] for message in found), loser.said[1]


def test_a_task_that_is_marked_failed_sends_nothing_and_leaves_no_copy_of_its_list(live: Live) -> None:
    name = "marked_failed"
    here = live.home / f"{name}.is-here"
    live.airflow.wait(here.exists, "the check")
    live.airflow.mark_failed(name)
    process = Path("/proc", here.read_text())
    live.airflow.wait(lambda: not process.exists(), "the end of the task's process")
    assert live.airflow.task(name).state == "failed"
    assert live.services[name].posts == []
    assert not list((live.home / "receipts of marked_failed").rglob("*.json"))
    number = live.numbers[name][0].encode()
    copies = [path for path in live.home.glob("queuecalls-*") if path.is_file()]
    assert not [path for path in copies if number in path.read_bytes()]


def assert_it_says_what_to_look_up(said: str, name: str) -> None:
    assert re.search(f"Cannot tell whether campaign '{name[:27]}", said)
    assert re.search("not sent again|not be sent again", said)
    assert "in the vendor's campaign manager" in said
    assert re.search(r"If it is there, run: queuecalls records resolve --queued .*\n", said)
    assert re.search(r"If it is not there, run: queuecalls records resolve --not-queued .*\n", said)


def _service(name: str) -> Service:
    if name == "http_429":
        return Service(faults.respond(429, headers=[("Retry-After", "0")]), faults.QUEUED_WITH_ID, turned_away=1)
    if name == "cleared_while_it_waits":
        return Service(faults.hang())
    return Service(FAULTS[name][0] if name in FAULTS else faults.QUEUED_WITH_ID)


def _connection(url: str, read_timeout: int) -> str:
    extra = {"read_timeout": read_timeout}
    return json.dumps({"conn_type": "queuecalls", "host": url, "login": LOGIN, "password": PIN, "extra": extra})


def _write_list(path: Path, index: int) -> list[str]:
    """A list with numbers of its own; of several blocks where one has to be cut."""
    rows = 2_000 if "mid_body" in path.name else 3
    numbers = [f"1617{200 + index}{row:04}" for row in range(rows)]
    path.write_text("".join(f"{number},{'r' * 100},{'p' * 250}\n" for number in numbers))
    return numbers
