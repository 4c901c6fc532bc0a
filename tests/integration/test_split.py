"""SplitContactsOperator as a task, and ``queuecalls split`` at a terminal: files for campaigns that queue within hours."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_queuecalls._airflow.compat import AirflowFailException
from airflow_provider_queuecalls.cli import main
from airflow_provider_queuecalls.client import Campaign
from airflow_provider_queuecalls.contacts import ContactRules
from airflow_provider_queuecalls.exceptions import InvalidContacts
from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook
from airflow_provider_queuecalls.operators.split_contacts import SplitContactsOperator
from airflow_provider_queuecalls.outcome import Outcome
from airflow_provider_queuecalls.sandbox.server import Sandbox
from tests.support.dag_run import Run
from tests.support.moved import IS_AIRFLOW_2

pytestmark = pytest.mark.usefixtures("airflow")
NEW_YORK, LOS_ANGELES, TOLL_FREE = "12125550100", "13105550100", "18005550100"
#: 6:00 in New York.
PLANNED = datetime(2099, 1, 15, 11, tzinfo=timezone.utc)
SPAN = "2099-01-15T1315Z_2099-01-16T0155Z_1"
BY_SIZE: dict[str, Any] = {"calling_hours": None, "unknown_zone": "fail", "by": "size"}


@pytest.fixture
def contacts(tmp_path: Path) -> Path:
    path = tmp_path / "calls.csv"
    path.write_text(f"{NEW_YORK},a\n{LOS_ANGELES},b\n{TOLL_FREE},c\n")
    return path


def split(contacts: Path, **parameters: Any) -> list[dict[str, Any]]:
    """Run the task, and return its XCom."""
    given = {"contacts": str(contacts), "folder": f"{contacts.parent}/parts/", "calling_hours": "08:00-21:00"}
    task = SplitContactsOperator(
        task_id="split", **{**given, "on_invalid": "skip", "unknown_zone": "skip", **parameters}
    )
    ti = SimpleNamespace(dag_id="d", task_id="split", run_id="r", map_index=-1, try_number=1, max_tries=0)
    run = SimpleNamespace(run_after=PLANNED)
    parts: list[dict[str, Any]] = task.execute({"ti": ti, "dag_run": run})  # type: ignore[typeddict-item]
    return parts


def test_each_file_is_a_campaign_that_is_queued_within_hours(
    contacts: Path, tmp_path: Path, queuecalls_sandbox: Sandbox
) -> None:
    parts = split(contacts, campaign_name="spring", rejects_path=str(tmp_path / "rejects.csv"))
    start = int(PLANNED.timestamp()) + 8_100
    assert parts == [
        {"contacts": f"{tmp_path}/parts/{SPAN}.csv", "campaign_name": f"spring.{SPAN}", "scheduled_timestamp": start, "expiration_timestamp": start + 45_600},
        {**parts[1], "scheduled_timestamp": start + 10_800, "expiration_timestamp": start + 56_400},
    ]  # fmt: skip
    assert (tmp_path / "rejects.csv").read_text().splitlines()[1:] == [f"3,outside_hours,unknown,{TOLL_FREE},c"]
    assert split(contacts, campaign_name="spring") == parts
    hook, rules = QueueCallsHook(), ContactRules(calling_hours="08:00-21:00")
    for part in parts:
        campaign = Campaign(
            start_url="https://ivr.example.com/x.vxml", **{k: v for k, v in part.items() if k != "contacts"}
        )
        assert hook.deliver(part["contacts"], campaign, rules=rules, receipts_path="none").outcome is Outcome.QUEUED
    assert queuecalls_sandbox.numbers == {NEW_YORK: 1, LOS_ANGELES: 1}


def test_names_default_to_the_task_and_contacts_can_be_carried_over(contacts: Path, tmp_path: Path) -> None:
    late = "2099-01-15T20:30-05:00"
    parts = split(contacts, start=late, carry_over_path=str(tmp_path / "tomorrow.csv"))
    assert [part["contacts"] for part in parts] == [f"{tmp_path}/parts/2099-01-16T0130Z_2099-01-16T0455Z_1.csv"]
    assert parts[0]["campaign_name"].startswith("d.split.r.")
    assert (tmp_path / "tomorrow.csv").read_text() == f"{NEW_YORK},a\n"


TASKS = """
hours = {{"calling_hours": "{{{{ params.hours | tojson }}}}", "unknown_zone": "skip", "on_invalid": "skip"}}
split = SplitContactsOperator(task_id="split", contacts={contacts!r}, folder={folder!r}, **hours)
QueueCallsOperator.partial(
    task_id="queue", start_url="https://ivr.example.com/x.vxml", receipts_path="none", **hours
).expand_kwargs(split.output)
"""


def test_a_run_splits_for_the_time_for_which_it_was_planned(
    run_tasks: Callable[..., Run], contacts: Path, tmp_path: Path, queuecalls_sandbox: Sandbox
) -> None:
    tasks = TASKS.format(contacts=str(contacts), folder=str(tmp_path / "parts"))
    planned = {"execution_date": PLANNED} if IS_AIRFLOW_2 else {"run_after": PLANNED, "logical_date": PLANNED}
    run = run_tasks(tasks, settings="params={'hours': {'USA': '08:00-21:00'}}", **planned)
    assert run.states == {"split": "success", "queue0": "success", "queue1": "success"}
    assert [campaign["calls_from"] for campaign in run.xcom] == [
        int(PLANNED.timestamp()) + 8_100,
        int(PLANNED.timestamp()) + 18_900,
    ]
    assert [campaign["zones"] for campaign in run.xcom] == [
        {zone: {"contacts": 1, "outside_hours": 0}} for zone in ("America/New_York", "America/Los_Angeles")
    ]
    assert queuecalls_sandbox.numbers == {NEW_YORK: 1, LOS_ANGELES: 1}


def test_a_list_that_has_changed_is_not_split_again_so_nobody_is_in_two_campaigns(
    contacts: Path,
    tmp_path: Path,
    receipts_folder: Path,
    queuecalls_sandbox: Sandbox,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def queue(parts: list[dict[str, Any]]) -> None:
        for part in parts:
            campaign = Campaign(start_url="https://ivr.example.com/x.vxml", campaign_name=part["campaign_name"])
            QueueCallsHook().deliver(part["contacts"], campaign, receipts_path=str(receipts_folder))

    numbers = [f"1212555010{digit}" for digit in range(5)]
    two: dict[str, Any] = {**BY_SIZE, "max_contacts": 2}
    contacts.write_text("".join(f"{number}\n" for number in numbers[1:]))
    parts = split(contacts, **two)
    queue(parts)
    contacts.write_text("".join(f"{number}\n" for number in numbers))
    with pytest.raises(AirflowFailException, match=r"has the parts of another split\. What differs: the list"):
        queue(split(contacts, **two))
    for name in ("1", "2"):  # splits that are mapped, and share a folder
        with pytest.raises(AirflowFailException, match="What differs: campaign_name, the list"):
            split(contacts, campaign_name=name, **two)
    command = ["--folder", f"{tmp_path}/parts", "--campaign-name", parts[0]["campaign_name"].rpartition(".")[0]]
    assert main(["split", str(contacts), *command, "--by", "size", "--max-contacts", "2"]) == 2
    assert "What differs: the list" in capsys.readouterr().err
    contacts.write_text("".join(f"{number}\n" for number in numbers[1:]))
    assert split(contacts, **two) == parts
    queue(parts)
    assert queuecalls_sandbox.numbers == dict.fromkeys(numbers[1:], 1)


def test_a_list_that_is_not_valid_is_not_split(contacts: Path, tmp_path: Path) -> None:
    with pytest.raises(AirflowFailException) as caught:
        split(contacts, unknown_zone="fail")
    assert isinstance(caught.value.__context__, InvalidContacts)
    with pytest.raises(AirflowFailException, match=r"The contact file .* would be replaced by one of the files"):
        split(contacts, carry_over_path=str(contacts))
    assert not (tmp_path / "parts").exists()


@pytest.mark.parametrize("folder", ["", "None", " "])
def test_files_are_never_written_to_a_folder_that_renders_to_nothing(
    contacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AirflowFailException, match="folder is missing"):
        split(contacts, folder=folder)
    assert list(tmp_path.iterdir()) == [contacts]


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("calls.csv", "File exists"),
        ("calls.csv/parts", "Not a directory"),
        pytest.param(
            "locked/parts", "Permission denied", marks=pytest.mark.skipif(os.geteuid() == 0, reason="root may")
        ),
    ],
)
def test_a_local_folder_that_cannot_be_made_fails_the_task_without_a_retry(
    folder: str, words: str, contacts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    location = str(tmp_path / folder)
    problem = f"The parts cannot be written to the folder {location!r}: {words}. Choose another folder."
    for given in (location, f"file://{location}"):
        with pytest.raises(AirflowFailException) as caught:
            split(contacts, folder=given, max_contacts=5, **BY_SIZE)
        assert str(caught.value) == problem.replace(location, given)
    assert main(["split", str(contacts), "--by", "size", "--max-contacts", "5", "--folder", location]) == 2
    assert problem in capsys.readouterr().err


def test_a_part_never_replaces_a_file_that_is_read(
    contacts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = contacts.rename(tmp_path / "part_1.csv")
    other, suppressed = tmp_path / "calls.csv", tmp_path / "parts" / "part_1.csv"
    other.write_text(f"{NEW_YORK}\n")
    suppressed.parent.mkdir()
    suppressed.write_text(f"{LOS_ANGELES}\n")
    command = ["--campaign-name", "x", "--by", "size", "--max-contacts", "5", "--folder"]
    for what, path, folder, lists in (
        ("contact file", own, tmp_path, None),
        ("suppression list", other, suppressed.parent, str(suppressed)),
    ):
        before = {file: file.read_text() for file in tmp_path.rglob("*.csv")}
        with pytest.raises(AirflowFailException, match=f"The {what} '.*part_1.csv' would be replaced"):
            split(path, folder=str(folder), suppress=lists, campaign_name="x", max_contacts=5, **BY_SIZE)
        assert main(["split", str(path), *command, str(folder), *(["--suppress", lists] if lists else [])]) == 2
        assert f"The {what} " in capsys.readouterr().err
        assert {file: file.read_text() for file in tmp_path.rglob("*.csv")} == before


@pytest.mark.parametrize(
    ("rejects_path", "carry_over_path", "kept"),
    [
        (f"parts/{SPAN}.csv", None, "rejects file"),
        (f"parts/{SPAN}.csv", "parts/tomorrow.csv", "rejects file"),
        ("same.csv", "./same.csv", "rejects file"),
        (None, f"parts/{SPAN}.csv", "file of those carried over"),
    ],
)
def test_no_file_that_a_split_writes_replaces_another(  # noqa: PLR0917
    rejects_path: str | None,
    carry_over_path: str | None,
    kept: str,
    contacts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parts").mkdir()
    options = ["--calling-hours", "08:00-21:00", "--on-invalid", "skip", "--unknown-zone", "skip", "--folder", "parts"]
    options += ["--start", PLANNED.isoformat(), "--campaign-name", "x"]
    paths = {"rejects_path": rejects_path, "carry_over_path": carry_over_path}
    with pytest.raises(AirflowFailException, match=f"The {kept} .* would be replaced by one of the files"):
        split(contacts, folder="parts", campaign_name="x", **paths)
    for option, path in (("--rejects", rejects_path), ("--carry-over-path", carry_over_path)):
        options += [option, path] if path else []
    assert main(["split", str(contacts), *options]) == 2
    assert f"The {kept} " in capsys.readouterr().err
    if rejects_path and kept == "rejects file" and (tmp_path / rejects_path).exists():
        assert "outside_hours" in (tmp_path / rejects_path).read_text()


def test_the_command_never_replaces_the_list_by_what_is_carried_over(
    contacts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = contacts.read_text()
    options = ["--calling-hours", "08:00-21:00", "--unknown-zone", "strictest", "--start", "2099-01-15T20:30-05:00"]
    where = ["--folder", str(tmp_path / "parts"), "--carry-over-path", str(contacts)]
    assert main(["split", str(contacts), *where, *options]) == 2
    assert "would be replaced by one of the files" in capsys.readouterr().err
    assert contacts.read_text() == text
    assert not (tmp_path / "parts").exists()


@pytest.mark.parametrize("option", ["--folder", "--carry-over-path"])
def test_the_command_makes_no_folder_for_a_url(
    option: str, contacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    where = {"--folder": "parts", option: "s3://storage@bucket/parts"}
    command = ["split", str(contacts), "--by", "size", "--max-contacts", "5"]
    assert main([*command, *(text for pair in where.items() for text in pair)]) == 2
    assert "'s3://storage@bucket/parts', which is a URL; it must be on this machine" in capsys.readouterr().err
    assert not (tmp_path / "parts").exists()
    assert not (tmp_path / "s3:").exists()


def test_the_command_replaces_what_was_carried_over_the_day_before(
    contacts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    carried_over = tmp_path / "tomorrow.csv"
    command = ["split", str(contacts), "--calling-hours", "08:00-21:00", "--unknown-zone", "strictest"]
    command += ["--carry-over-path", str(carried_over)]
    assert main([*command, "--folder", str(tmp_path / "1"), "--start", "2099-01-15T20:30-05:00"]) == 0
    assert NEW_YORK in carried_over.read_text()
    assert main([*command, "--folder", str(tmp_path / "2"), "--start", "2099-01-16T06:00-05:00"]) == 0
    assert carried_over.read_text() == ""
    assert "tomorrow.csv: 0 contacts\n" in capsys.readouterr().out
    command += ["--folder", str(tmp_path / "2"), "--start", "2099-01-16T06:00-05:00", "--json"]
    assert main(command) == 0
    campaigns = json.loads(capsys.readouterr().out)
    assert len(campaigns) == 3
    assert str(carried_over) not in [campaign["contacts"] for campaign in campaigns]


def test_the_command_writes_the_same_files(contacts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(tmp_path / "parts")
    command = [
        "split",
        str(contacts),
        "--folder",
        folder,
        "--calling-hours",
        "08:00-21:00",
        "--start",
        PLANNED.isoformat(),
    ]
    assert main(command) == 1
    assert "no known time zone" in capsys.readouterr().err
    command += ["--on-invalid", "skip", "--unknown-zone", "skip"]
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == split(contacts, campaign_name="calls")
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert f"{SPAN}.csv: 1 contact, called from 2099-01-15 13:15 to 2099-01-16 01:55 UTC" in shown
    assert NEW_YORK not in shown
