"""The pages of campaigns in a real Chromium, as ``queuecalls results serve --ui`` serves them."""

from __future__ import annotations

import csv
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from airflow_provider_queuecalls.cli import main
from airflow_provider_queuecalls.records.database.database import CampaignRow, Database
from tests.support.browser import serious_problems, watched_page
from tests.support.campaigns import NOT_REACHED, NUMBERS, REACHED, add_results
from tests.support.command import command

SPRING, LOST, NOT_RECORDED = "1111111111111111", "2222222222222222", "3333333333333333"
NAME, LOST_NAME = "reminders.call.spring", "<b>lost</b>"
MANAGER = "https://manager.example/spring"


@contextmanager
def campaigns(folder: Path) -> Iterator[Database]:
    """A campaign with half of its results, one whose outcome is unknown, and one of which only results are known."""
    with closing(Database(f"sqlite:///{folder}/results.db")) as database:
        now = int(time.time())
        zones = '{"America/New_York": 4}'
        database.put_campaign(
            CampaignRow(SPRING, NAME, 4, "queued", "reminders", "r1", now, now + 900, now, 4, True, MANAGER, zones)
        )
        database.put_campaign(CampaignRow(LOST, LOST_NAME, 9, "unknown", "other", "r2", now - 60, campaign_url=MANAGER))
        add_results(database, SPRING)
        add_results(database, NOT_RECORDED)
        yield database


@contextmanager
def pages(database: Database) -> Iterator[str]:
    """The URL of the pages."""
    with command("results", "serve", "--ui", "--port", "0", "--database", str(database.url)) as (_, printed):
        yield re.findall(r"Open (\S+) in", printed)[0]


@contextmanager
def opened(browser: Browser, url: str) -> Iterator[Page]:
    """The page. It may request nothing from another host, and its script may have no errors."""
    noon = f"Etc/GMT{time.gmtime().tm_hour - 12:+}"  # there, no test sees the next day begin
    with watched_page(browser, url, timezone=noon) as (page, wrong):
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.goto("/")
        yield page


@pytest.fixture(scope="module")
def shared_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """For all tests that only look."""
    with campaigns(tmp_path_factory.mktemp("shared")) as database:
        yield database


@pytest.fixture(scope="module")
def shared_url(shared_database: Database) -> Iterator[str]:
    with pages(shared_database) as url:
        yield url


@pytest.fixture
def shared_page(browser: Browser, shared_url: str) -> Iterator[Page]:
    with opened(browser, shared_url) as page:
        yield page


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """For a test that changes it."""
    with campaigns(tmp_path) as database:
        yield database


@pytest.fixture
def url(database: Database) -> Iterator[str]:
    with pages(database) as url:
        yield url


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    with opened(browser, url) as page:
        yield page


def test_the_page_says_how_today_went_which_campaign_needs_somebody_and_whom_to_call_again(
    page: Page, database: Database, tmp_path: Path
) -> None:
    today = page.get_by_role("region", name="Today")
    expect(today).to_contain_text(
        re.compile(r"2\s*campaigns\s*13\s*contacts\s*8%\s*reached\s*1\s*not reached\s*11\s*without a result")
    )
    needing = page.get_by_role("region", name="Campaigns that need attention").get_by_role("listitem")
    expect(needing).to_have_count(1)
    expect(needing).to_contain_text("No result has arrived.")
    expect(needing.get_by_role("link", name="the campaign manager")).to_have_attribute("href", MANAGER)
    expect(page.get_by_role("img", name="Contacts by day")).to_be_visible()
    campaigns = page.get_by_role("region", name="Campaigns", exact=True).get_by_role("row")
    expect(campaigns).to_contain_text(["Campaign", NAME, LOST_NAME])
    expect(page.get_by_role("region", name="not recorded").get_by_role("link", name=NOT_RECORDED)).to_be_visible()
    page.get_by_label("State").select_option("calling")
    expect(campaigns).to_have_count(2)

    # It updates without a reload, also the chart.
    page.evaluate("window.notReloaded = true")
    add_results(database, LOST, result="completed")
    expect(needing).to_contain_text("it was queued")
    database.put_campaign(CampaignRow(LOST, LOST_NAME, 9, "queued", "other", "r2", int(time.time())))
    expect(page.get_by_text("Nothing. Every outcome is known")).to_be_visible()
    assert page.evaluate("window.notReloaded") is True
    assert page.evaluate("charts.values().next().value.data.datasets.map(each => each.data.at(-1))")[:3] == [2, 2, 9]

    campaigns.filter(has_text=NAME).get_by_role("link", name="1 not reached: call results").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(NAME)
    calls = page.locator("#calls").get_by_role("row")
    expect(calls).to_have_count(2)
    expect(calls.last).to_contain_text("1617•••••50")
    assert not [number for number in NUMBERS if number in page.content()]
    page.get_by_role("switch", name="Show numbers").click()
    expect(calls.last).to_contain_text(NOT_REACHED)
    page.get_by_role("link", name="reached 1").click()
    expect(calls.last).to_contain_text(REACHED)
    expect(page.get_by_text("25% of 4")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Not reached (CSV)").click()
    file = tmp_path / "next.csv"
    download.value.save_as(file)
    with file.open(newline="") as rows:
        assert list(csv.reader(rows)) == [["phone_number", "message_reference"], [NOT_REACHED, "order-2"]]
    assert main(["check", str(file), "--has-header"]) == 0


@pytest.mark.parametrize("path", ["/", f"/{SPRING}", f"/{LOST}", f"/{NOT_RECORDED}"])
@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390)])
def test_everybody_can_read_and_use_it(shared_page: Page, path: str, scheme: str, width: int) -> None:
    shared_page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    shared_page.set_viewport_size({"width": width, "height": 844})
    shared_page.goto(path)
    for details in shared_page.locator("details").all():
        details.locator("summary").press("Enter")

    assert serious_problems(shared_page) == []
    assert shared_page.evaluate("document.documentElement.scrollWidth") <= width


def test_it_is_served_to_this_machine_only(
    shared_url: str, shared_database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    assert requests.get(shared_url, headers={"Host": "attacker.example"}, timeout=60).status_code == 400
    assert main(["results", "serve", "--ui", "--host", "0.0.0.0", "--database", str(shared_database.url)]) == 2
    assert "--host is '0.0.0.0'" in capsys.readouterr().err


@pytest.mark.parametrize("zone", ["../etc", "Foo/Bar", "/"])
@pytest.mark.parametrize("path", ["/?days=x&state=%00&dag='&before=1", f"/{SPRING}?group=x&before=9-&numbers=1"])
def test_odd_urls_and_time_zones_show_the_page(shared_url: str, path: str, zone: str) -> None:
    response = requests.get(shared_url + path, cookies={"queuecalls_timezone": zone}, timeout=60)
    assert response.status_code == 200
    assert "<b>lost" not in response.text


def test_a_page_says_that_it_is_not_current_while_the_database_cannot_be_read(
    browser: Browser, url: str, tmp_path: Path
) -> None:
    with watched_page(browser, url) as (page, _), closing(sqlite3.connect(tmp_path / "results.db")) as damaging:
        page.goto("/")
        damaging.execute("ALTER TABLE queuecalls_campaigns RENAME TO elsewhere")
        expect(page.locator("#message")).to_contain_text("The page cannot be refreshed.")
        expect(page.locator("body")).to_have_class("lost")
        damaging.execute("ALTER TABLE elsewhere RENAME TO queuecalls_campaigns")
        expect(page.locator("body")).not_to_have_class("lost")
