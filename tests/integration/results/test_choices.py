"""What people have chosen by pressing a key: how it is counted, and where it is shown, on SQLite and on PostgreSQL."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import requests

from airflow_provider_queuecalls.cli import main
from airflow_provider_queuecalls.records.call_results import CallResult, read_result
from airflow_provider_queuecalls.records.database import overview
from airflow_provider_queuecalls.records.database.database import CampaignRow, Database
from airflow_provider_queuecalls.records.database.pruning import prune
from tests.support.command import command

if TYPE_CHECKING:
    import pytest

KEY, NAME = "c401ce", "reminders"


def add(database: Database, call_id: int, *choices: str, has_result: bool = True) -> None:
    """Add a call's result, and what was chosen in it, one choice a second."""
    posted = read_result(
        {"phone_number": f"1617555{call_id:04}", "call_id": str(call_id), "result": "completed"}.items()
    )
    for second, choice in enumerate(choices):
        database.add_choice(KEY, posted.result, choice, 1_790_000_000 + second)
    if has_result:
        database.add(KEY, posted)


def test_each_call_counts_once_by_its_last_choice_also_before_its_result(database: Database) -> None:
    add(database, 1, "confirmed", "confirmed")
    add(database, 2, "confirmed", "canceled", "do not call", "canceled")
    add(database, 3, "confirmed", has_result=False)
    add(database, 4)
    database.add_choice("another", CallResult(call_id="1"), "confirmed", 1)

    (counts,) = database.counts(KEY)
    assert (counts.results, counts.by_choice) == (3, {"confirmed": 2, "canceled": 1})
    assert {each.key: each.by_choice.total() for each in database.counts()} == {KEY: 3, "another": 1}
    with database.reading() as connection:
        found = overview.breakdown(connection, KEY)
    assert (found.choices, sum(found.attempts[0].values())) == (counts.by_choice, 3)
    assert {row["call_id"]: (row["choice"], row["chosen_at"]) for row in database.rows(KEY)} == {
        "1": ("confirmed", 1_790_000_001), "2": ("canceled", 1_790_000_003), "4": (None, None),
        "3": ("confirmed", 1_790_000_000),
    }  # fmt: skip
    (without_result,) = [row for row in database.rows(KEY) if row["received_at"] is None]
    assert (without_result["phone_number"], without_result["result"]) == ("16175550003", None)
    assert len(list(database.rows(KEY, every_post=True))) == 3


def test_a_choice_that_several_receivers_store_at_once_counts_once(url: str) -> None:
    with closing(Database(url)) as database:  # which makes the schema
        databases = [database, *(Database(url) for _ in range(3))]
        choices = [("confirmed", 1), ("canceled", 3), ("confirmed", 2), ("canceled", 3)] * 10

        def store(number: int) -> None:
            databases[number % 4].add_choice(KEY, CallResult(call_id=str(number // 4 % 2)), *choices[number])

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(store, range(len(choices))))
        (counts,) = database.counts(KEY)
        assert counts.by_choice == {"canceled": 2}
        for other in databases[1:]:
            other.close()


def test_counts_of_choices_stay_as_long_as_the_campaign(database: Database) -> None:
    database.put_campaign(CampaignRow(KEY, NAME, 1, "queued", started_at=1_789_000_000))
    add(database, 1, "confirmed", has_result=False)
    prune(database, 1_789_999_999)
    (counts,) = database.counts()
    assert (counts.name, counts.by_choice) == (NAME, {"confirmed": 1})
    prune(database, 1_791_000_000)
    assert database.counts() == []


def test_choices_are_listed_exported_and_shown_on_the_page(
    database: Database, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    database.put_campaign(CampaignRow(KEY, NAME, 5, "queued"))
    add(database, 1, "confirmed")
    add(database, 2, "do not call")
    add(database, 3, "do not call")
    add(database, 4)
    add(database, 5, "16175550105")

    assert main(["results", "list", "--database", url]) == 0
    assert re.search(r"by choice: +\(other\) 1, confirmed 1, do not call 2\n", capsys.readouterr().out)
    assert main(["results", "export", NAME, "--database", url]) == 0
    exported = csv.DictReader(io.StringIO(capsys.readouterr().out))
    expected = Counter({"confirmed": 1, "do not call": 2, "": 1, "16175550105": 1})
    assert Counter(row["choice"] for row in exported) == expected

    with command("results", "serve", "--ui", "--port", "0", "--database", url) as (_, printed):
        page = re.findall(r"Open (\S+) in", printed)[0] + f"/{KEY}"
        shown = requests.get(page, timeout=60).text.replace("<wbr>", "")
        table = re.findall(r">Choices</h2>.*?</table>", shown, re.DOTALL)[0]
        downloaded = csv.DictReader(io.StringIO(requests.get(f"{page}/results.csv", timeout=60).text))
        assert Counter(row["choice"] for row in downloaded) == expected
    counts = dict(re.findall(r'<th scope="row">(.*?)</th><td>(.*?)</td>', table))
    assert counts == {"do not call": "2", "confirmed": "1", "(other)": "1"}
