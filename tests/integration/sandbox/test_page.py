"""The page in a real Chromium."""

from __future__ import annotations

import re

import pytest
import requests
from playwright.sync_api import Page, expect

from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook
from airflow_provider_queuecalls.sandbox.server import Sandbox, run_sandbox
from tests.support.sandbox import post

MARKUP = "<img src=x onerror=\"document.title='harmed'\"><script>document.title='harmed'</script>&amp;\"'"


def test_the_page_follows_a_campaign_from_its_request_to_the_reset(page: Page, queuecalls_sandbox: Sandbox) -> None:
    expect(page.get_by_role("heading", name="No campaign yet")).to_be_visible()
    # It appears without a reload, and so does its progress.
    rows = "16175550100,order-1,Tuesday\n16175550103,order-2\n16175550101,order-3\n"
    post(queuecalls_sandbox, rows, campaign_name="spring reminders", file_name="appointments.csv", max_retries="1")
    queuecalls_sandbox.advance(seconds=0)
    campaign = page.get_by_role("listitem").filter(has=page.get_by_role("link", name="spring reminders"))
    expect(campaign).to_contain_text("3 calls · appointments.csv")
    expect(campaign.get_by_role("img")).to_have_attribute("aria-label", "2 waiting, 1 connected")
    page.get_by_role("button", name="+1 h").click()
    expect(campaign).to_contain_text("1 completed")

    # The page hides numbers until they are shown on request.
    campaign.get_by_role("link").click()
    expect(page.get_by_role("heading", name="spring reminders")).to_be_visible()
    calls = page.get_by_role("region", name="Calls").get_by_role("row")
    expect(calls).to_have_count(4)
    expect(calls.nth(1)).to_contain_text("1617•••••00")
    assert [text for text in ("16175550100", "order-1", "Tuesday") if text in page.content()] == []
    page.get_by_role("switch", name="Show numbers").click()
    expect(page.get_by_role("switch", name="Show numbers")).to_be_checked()
    expect(calls.nth(1)).to_contain_text(re.compile("16175550100.*order-1.*Tuesday", re.DOTALL))
    expect(page.get_by_role("img", name="1 completed, 2 failed")).to_be_visible()
    page.get_by_role("link", name="failed 2").click()
    expect(calls).to_have_count(3)
    expect(calls.nth(1)).to_contain_text("16175550103")

    # An armed fault happens once.
    page.get_by_role("link", name="Campaigns").click()
    page.get_by_label("Fault for the next requests").select_option("http_429")
    page.get_by_role("button", name="Arm").click()
    expect(page.locator("#armed")).to_contain_text("http_429 once")
    assert post(queuecalls_sandbox).status_code == 429
    expect(page.locator("#armed")).to_contain_text("No fault is armed")
    expect(page.locator("#journal")).to_contain_text("http_429")

    # A reset asks for confirmation.
    page.get_by_role("button", name="Reset …").click()
    page.get_by_role("button", name="Cancel").click()
    assert len(queuecalls_sandbox.campaigns) == 1
    page.get_by_role("button", name="Reset …").click()
    page.get_by_role("button", name="Delete everything").click()
    expect(page.get_by_role("heading", name="No campaign yet")).to_be_visible()
    assert queuecalls_sandbox.campaigns == []


def test_a_button_works_before_the_charts_are_loaded(page: Page, queuecalls_sandbox: Sandbox) -> None:
    with page.expect_request("**/chart.umd.min.js"):
        page.route("**/chart.umd.min.js", lambda route: None)
        page.goto("/", wait_until="commit")

    page.get_by_label("Fault for the next requests").select_option("http_429")
    page.get_by_role("button", name="Arm").click()
    expect(page.locator("#armed")).to_contain_text("http_429 once")
    assert page.url == f"{queuecalls_sandbox.url}/"


def test_posted_markup_is_shown_as_text(page: Page, queuecalls_sandbox: Sandbox) -> None:
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
def test_odd_urls_show_the_page(queuecalls_sandbox: Sandbox, path: str) -> None:
    post(queuecalls_sandbox)

    response = requests.get(queuecalls_sandbox.url + path, timeout=30)
    assert response.status_code == 200
    assert "<script>" not in response.text


NAMES = [
    "spring", "a/b/../c?d=e#f&g;h", "100 % + {campaign_name}", 'Zoë\'s "密" 📞', "..", MARKUP, "two  blanks", "x" * 2000,
]  # fmt: skip


def campaign_url(sandbox: Sandbox, name: str) -> str:
    """What the hook makes of the sandbox's connection, by that alone."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AIRFLOW_CONN_QUEUECALLS_DEFAULT", sandbox.connection)
        return str(QueueCallsHook().endpoint.url_of_campaign(name))


def test_campaign_url_leads_to_the_campaign_whatever_its_name(page: Page, queuecalls_sandbox: Sandbox) -> None:
    for name in NAMES:
        assert post(queuecalls_sandbox, campaign_name=name).status_code == 200
    for number, name in enumerate(NAMES, start=1):
        page.goto(campaign_url(queuecalls_sandbox, name))
        assert page.url == f"{queuecalls_sandbox.url}/campaigns/{number}"
        expect(page.get_by_role("heading", level=1)).to_have_text(" ".join(name.split()))


def test_campaign_url_leads_to_the_newest_campaign_of_a_name() -> None:
    with run_sandbox(unique_names=False, speed=0) as sandbox:
        for _ in range(3):
            post(sandbox, campaign_name="spring")
        post(sandbox, campaign_name="summer")
        assert requests.get(campaign_url(sandbox, "spring"), timeout=30).url == f"{sandbox.url}/campaigns/3"


@pytest.mark.parametrize(
    "path", ["campaigns/7", "campaigns", "campaigns?name=", "campaigns?name=winter", "campaigns?name=%ff%00"]
)
def test_an_unknown_campaign_is_a_404_with_a_link_back(queuecalls_sandbox: Sandbox, path: str) -> None:
    missing = requests.get(f"{queuecalls_sandbox.url}/{path}", timeout=30)

    assert missing.status_code == 404
    assert 'href="/"' in missing.text


def test_only_the_default_pin_is_shown() -> None:
    with run_sandbox(pin="my-own-pin") as sandbox:
        text = requests.get(sandbox.url, timeout=30).text
        assert "my-own-pin" not in text
        assert "with the PIN in its place" in text
    with run_sandbox() as sandbox:
        assert re.search("sandbox-pin", requests.get(sandbox.url, timeout=30).text)
