"""Take the documentation's pictures of pages: all campaigns, one campaign, the form that starts an example DAG, and the sandbox.

    python tools/pictures.py

Airflow's API server shows two weeks of campaigns with made-up results. The browser is in a time zone where it is past noon, so
that the morning's results are there at any time of the day.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

sys.path.insert(0, str(Path(__file__).parents[1]))

from playwright.sync_api import Browser, Page, expect

from airflow_provider_queuecalls.pages.app import TIMEZONE
from airflow_provider_queuecalls.records.database.database import Database
from airflow_provider_queuecalls.sandbox.server import run_sandbox
from tests.conftest import HOME  # importing it makes this folder Airflow's home, and deletes it in the end
from tests.support.airflow import airflow_command, api_server
from tests.support.browser import running_browser
from tests.support.command import REPOSITORY
from tests.support.numbers import numbers
from tests.support.sandbox import post
from tools.two_weeks import add_two_weeks

IMAGES = REPOSITORY / "docs" / "images"
HOUR = 3_600
NOON = int(time.time()) // HOUR * HOUR
#: The time zone where it is noon. The sign in such a name is the opposite of the offset's.
ZONE = f"Etc/GMT{time.gmtime(NOON).tm_hour - 12:+}"


def take_airflow(browser: Browser) -> None:
    """Take the pictures of pages in Airflow."""
    results = f"sqlite:///{HOME}/results.db"
    with closing(Database(results)) as database:
        add_two_weeks(database, datetime.fromtimestamp(NOON, ZoneInfo(ZONE)))
    shutil.copy(REPOSITORY / "example_dags" / "queue_calls.py", HOME / "dags")
    os.environ.update(
        AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION="False",
        AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS="True",
        AIRFLOW__QUEUECALLS__RESULTS_DATABASE=results,
    )
    for command in (("db", "migrate"), ("dags", "reserialize")):
        subprocess.run(airflow_command(*command), check=True, capture_output=True)
    with api_server(HOME, {}) as server:
        page = open_page(browser, f"{server.url}/plugin/calling-campaigns", 1500)
        frame = page.frame_locator("iframe")
        expect(page.get_by_test_id("nav-home-link")).to_be_visible()
        expect(frame.locator("figure.drawn")).to_have_count(1)
        page.screenshot(path=IMAGES / "campaigns.png")

        page.emulate_media(color_scheme="dark")
        expect(frame.locator("html")).to_have_attribute("data-theme", "dark")
        frame.locator("#campaigns").get_by_role("link", name="appointment_reminders").first.press("Enter")
        expect(frame.locator("figure.drawn")).to_have_count(2)
        page.screenshot(path=IMAGES / "campaign.png")

        page = open_page(browser, f"{server.url}/dags/queue_calls", 1500)
        page.get_by_role("button", name="Trigger").first.click()
        form = page.get_by_role("dialog")
        expect(form.get_by_text("Appointments per office")).to_be_visible()
        form.screenshot(path=IMAGES / "trigger-form.png")


def take_sandbox(browser: Browser) -> None:
    """Take the picture of the sandbox's page."""
    with run_sandbox(speed=0, seed=0) as sandbox:
        for name, contacts, seconds, form in (
            ("appointment-reminders.north-east", numbers(617, 0, 3_000), 2 * HOUR, {"max_retries": "1"}),
            ("payment-notices.2026-11", numbers(617, 1, 480), 70, {}),
            ("dinner-club", numbers(617, 2, 120), 0, {"scheduled_time": "+3 hours"}),
            ("delivery-windows", ["16175550101", "16175550108"], 1, {}),
        ):
            post(sandbox, "\n".join(contacts), campaign_name=name, file_name="appointments.csv", **form)
            sandbox.advance(seconds=seconds)
        sandbox.fail_next("http_429")
        post(sandbox)
        sandbox.fail_next("connection_reset", 2)
        open_page(browser, sandbox.url, 900).screenshot(path=IMAGES / "sandbox.png")


def open_page(browser: Browser, url: str, height: int) -> Page:
    """Open a page in a window of its own."""
    page = browser.new_page(viewport={"width": 1280, "height": height}, color_scheme="light", timezone_id=ZONE)
    page.context.add_cookies([{"name": TIMEZONE, "value": ZONE, "url": url}])
    page.goto(url)
    return page


if __name__ == "__main__":
    with running_browser() as one_browser:
        take_sandbox(one_browser)
        take_airflow(one_browser)
