"""The sandbox's page in a real Chromium."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook
from airflow_provider_queuecalls.sandbox.server import Sandbox, run_sandbox
from tests.conftest import HOME
from tests.support.browser import watched_page
from tests.support.sandbox import post

MARKUP = "<img src=x onerror=\"document.title='harmed'\"><script>document.title='harmed'</script>&amp;\"'"
DAG_FILE = """
from datetime import datetime, timezone
from airflow import DAG
from airflow_provider_queuecalls.operators.queuecalls import QueueCallsOperator

with DAG("page_test", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc)):
    QueueCallsOperator(task_id="queue", contacts={contacts!r}, start_url="https://voice.example/start",
                       campaign_name="reminders through a DAG", max_retries=1)
"""


@pytest.fixture
def page(browser: Browser, queuecalls_sandbox: Sandbox) -> Iterator[Page]:
    """The sandbox's page. Nothing may be asked of another host, and nothing may go wrong in the script."""
    with watched_page(browser, queuecalls_sandbox.url) as (page, wrong):
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.goto("/")
        yield page


def run_dag(contacts: Path) -> None:
    """Run a DAG with our operator, in an Airflow process of its own."""
    file = HOME / "dags" / "page_test.py"
    file.write_text(DAG_FILE.format(contacts=str(contacts)))
    try:
        subprocess.run([sys.executable, "-m", "airflow", "dags", "test", "page_test"], check=True, capture_output=True)
    finally:
        file.unlink()


@pytest.mark.patience(240)
def test_a_campaign_is_watched_from_its_dag_to_the_reset(
    database: None, page: Page, queuecalls_sandbox: Sandbox, tmp_path: Path
) -> None:
    expect(page.get_by_role("heading", name="No campaign yet")).to_be_visible()
    contacts = tmp_path / "appointments.csv"
    contacts.write_text("16175550100,order-1,Tuesday\n16175550103,order-2\n16175550101,order-3\n")

    # It appears by itself, and its progress too.
    run_dag(contacts)
    campaign = page.get_by_role("listitem").filter(has=page.get_by_role("link", name="reminders through a DAG"))
    expect(campaign).to_contain_text("3 calls · appointments.csv")
    expect(campaign.get_by_role("img")).to_have_attribute("aria-label", "2 waiting, 1 talking")
    page.get_by_role("button", name="+1 h").click()
    expect(campaign).to_contain_text("1 completed")

    # Opened, it hides the numbers until they are asked for.
    campaign.get_by_role("link").click()
    expect(page.get_by_role("heading", name="reminders through a DAG")).to_be_visible()
    calls = page.get_by_role("region", name="Calls").get_by_role("row")
    expect(calls).to_have_count(4)
    expect(calls.nth(1)).to_contain_text("1617•••••00")
    assert "16175550100" not in page.content()
    page.get_by_role("switch", name="Show numbers").click()
    expect(page.get_by_role("switch", name="Show numbers")).to_be_checked()
    expect(calls.nth(1)).to_contain_text("16175550100")
    expect(page.get_by_role("img", name="1 completed, 2 failed")).to_be_visible()
    page.get_by_role("link", name="failed 2").click()
    expect(calls).to_have_count(3)
    expect(calls.nth(1)).to_contain_text("16175550103")

    # A fault is armed, strikes once, and is gone.
    page.get_by_role("link", name="Campaigns").click()
    page.get_by_label("Let it go wrong").select_option("refuse_429")
    page.get_by_role("button", name="Arm").click()
    expect(page.locator("#armed")).to_contain_text("refuse_429 once")
    assert post(queuecalls_sandbox).status_code == 429
    expect(page.locator("#armed")).to_contain_text("Nothing goes wrong")
    expect(page.locator("#journal")).to_contain_text("refuse_429")

    # A reset asks first.
    page.get_by_role("button", name="Reset …").click()
    page.get_by_role("button", name="Keep it").click()
    assert len(queuecalls_sandbox.campaigns) == 1
    page.get_by_role("button", name="Reset …").click()
    page.get_by_role("button", name="Forget everything").click()
    expect(page.get_by_role("heading", name="No campaign yet")).to_be_visible()
    assert queuecalls_sandbox.campaigns == []


def test_markup_in_anything_that_is_posted_is_shown_and_does_nothing(page: Page, queuecalls_sandbox: Sandbox) -> None:
    post(
        queuecalls_sandbox, f"16175550100,{MARKUP.replace(chr(34), '')},{MARKUP.replace(chr(34), '')}\n", campaign_name=MARKUP,
        message_reference=MARKUP, call_parameters=MARKUP, file_name=MARKUP.replace('"', ""), headers={"X-Note": MARKUP},
    )  # fmt: skip
    post(queuecalls_sandbox, **{MARKUP: "an unknown field", "campaign_name": MARKUP})

    expect(page.get_by_role("link", name=MARKUP, exact=True)).to_be_visible()
    for summary in page.locator("#journal summary").all():
        summary.click()
    page.goto("/campaigns/1?numbers=shown")
    page.locator("#journal summary").click()
    expect(page.get_by_role("heading", name=MARKUP, exact=True)).to_be_visible()
    assert page.locator("main img").count() == 0
    assert page.locator("script:not([src])").count() == 0
    assert "harmed" not in page.evaluate("document.title").replace(MARKUP, "")


@pytest.mark.parametrize("path", ["/campaigns/1?state=<script>", "/campaigns/1?page=99&numbers=x", "/?before=x"])
def test_addresses_that_nobody_would_write_are_read_as_well_as_they_can_be(
    queuecalls_sandbox: Sandbox, path: str
) -> None:
    post(queuecalls_sandbox)

    answer = requests.get(queuecalls_sandbox.url + path, timeout=30)
    assert answer.status_code == 200
    assert "<script>" not in answer.text


NAMES = [
    "spring", "a/b/../c?d=e#f&g;h", "100 % + {campaign_name}", 'Zoë\'s "密" 📞', "..", MARKUP, "two  blanks", "x" * 2000,
]  # fmt: skip


def campaign_url(sandbox: Sandbox, name: str) -> str:
    """What the hook makes of the sandbox's connection, by that alone."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AIRFLOW_CONN_QUEUECALLS_DEFAULT", sandbox.connection)
        return str(QueueCallsHook().endpoint.url_of_campaign(name))


def test_the_connections_campaign_url_leads_to_the_campaign_whatever_its_name(
    page: Page, queuecalls_sandbox: Sandbox
) -> None:
    for name in NAMES:
        assert post(queuecalls_sandbox, campaign_name=name).status_code == 200
    for number, name in enumerate(NAMES, start=1):
        page.goto(campaign_url(queuecalls_sandbox, name))
        assert page.url == f"{queuecalls_sandbox.url}/campaigns/{number}"
        expect(page.get_by_role("heading", level=1)).to_have_text(" ".join(name.split()))


def test_of_campaigns_with_one_name_the_newest_is_found() -> None:
    with run_sandbox(unique_names=False, speed=0) as sandbox:
        for _ in range(3):
            post(sandbox, campaign_name="spring")
        post(sandbox, campaign_name="summer")
        assert requests.get(campaign_url(sandbox, "spring"), timeout=30).url == f"{sandbox.url}/campaigns/3"


@pytest.mark.parametrize(
    "path", ["campaigns/7", "campaigns", "campaigns?name=", "campaigns?name=winter", "campaigns?name=%ff%00"]
)
def test_a_campaign_that_is_not_there_is_said_with_a_way_back(page: Page, path: str) -> None:
    missing = requests.get(page.url + path, timeout=30)

    assert missing.status_code == 404
    assert 'href="/"' in missing.text


def test_what_is_open_and_has_the_focus_stays_so_while_the_page_changes(
    page: Page, queuecalls_sandbox: Sandbox
) -> None:
    post(queuecalls_sandbox, campaign_name="first")
    page.get_by_role("link", name="first").wait_for()
    page.locator("#journal summary").first.press("Enter")
    expect(page.locator("#journal").get_by_text("phone_number_list")).to_be_visible()
    page.get_by_role("link", name="first").focus()
    queuecalls_sandbox.advance(hours=1)

    expect(page.locator("#campaigns")).to_contain_text("done")
    expect(page.locator("#journal").get_by_text("phone_number_list")).to_be_visible()
    expect(page.get_by_role("link", name="first")).to_be_focused()


def test_the_keyboard_reaches_everything_in_order(page: Page, queuecalls_sandbox: Sandbox) -> None:
    post(queuecalls_sandbox, campaign_name="first")
    page.get_by_role("link", name="first").wait_for()
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.textContent.trim().split(/\\s+/).slice(0, 2).join(' ')"))

    assert reached[:3] == ["Skip to", "queuecalls sandbox", "first"]
    assert {"Set", "+1 min", "+1 h", "+1 day", "Arm"} <= set(reached)


@pytest.mark.parametrize("path", ["/", "/campaigns/1"])
def test_a_phone_needs_no_scrolling_to_the_side(page: Page, queuecalls_sandbox: Sandbox, path: str) -> None:
    post(queuecalls_sandbox, campaign_name="x" * 200, message_reference="y" * 200)
    queuecalls_sandbox.fail_next("accept_then_reset")
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(path)

    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("path", ["/", "/campaigns/1"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_told_from_its_ground_and_every_control_has_a_name(
    page: Page, queuecalls_sandbox: Sandbox, path: str, scheme: str
) -> None:
    post(queuecalls_sandbox, "16175550101\n16175550100\n", campaign_name="first")
    queuecalls_sandbox.fail_next("refuse_503")
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.goto(path)

    assert page.evaluate(CONTRASTS_BELOW, 4.5) == []
    assert page.evaluate(WITHOUT_A_NAME) == []
    levels = [int(tag[1]) for tag in page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(h => h.tagName)")]
    assert levels[0] == 1
    assert levels.count(1) == 1


#: Texts whose contrast with what lies behind them is below a ratio (WCAG 2).
CONTRASTS_BELOW = """least => {
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(c => c / 255).map(c => c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
  const ground = element => {
    for (; element; element = element.parentElement) {
      const color = rgb(getComputedStyle(element).backgroundColor);
      if (color[3] !== 0) return color;
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll("body *")].filter(element => element.checkVisibility() && !element.closest("svg, .said")
    && [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim())).filter(element => {
      const [a, b] = [light(rgb(getComputedStyle(element).color)), light(ground(element))].sort((x, y) => y - x);
      return (a + .05) / (b + .05) < least;
    }).map(element => element.outerHTML.slice(0, 120));
}"""
#: Controls that a screen reader couldn't name.
WITHOUT_A_NAME = """() => [...document.querySelectorAll("button, select, input:not([type=hidden]), a, [role=img], [role=region]")].filter(
  e => !(e.textContent.trim() && e.tagName !== "SELECT") && !e.ariaLabel && !e.labels?.length && !e.getAttribute("aria-labelledby")
).map(e => e.outerHTML.slice(0, 120))"""


def test_the_pin_is_shown_only_where_it_is_everybodys() -> None:
    with run_sandbox(pin="my-own-pin") as sandbox:
        text = requests.get(sandbox.url, timeout=30).text
        assert "my-own-pin" not in text
        assert "with the PIN in its place" in text
    with run_sandbox() as sandbox:
        assert re.search("sandbox-pin", requests.get(sandbox.url, timeout=30).text)
