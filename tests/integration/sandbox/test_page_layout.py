"""The layout of the page, and its accessibility, in a real Chromium."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from airflow_provider_queuecalls.sandbox.server import Sandbox
from tests.support.sandbox import ask, post


def test_open_details_and_the_focus_stay_while_the_page_changes(page: Page, queuecalls_sandbox: Sandbox) -> None:
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


NAME = "queue_calls_end_to_end.call_customers.manual__2026-11-25T15_51_30.123.hkanfiqogbpd"
#: Names that are broken between two letters or digits, where they could be broken after punctuation.
BROKEN_INSIDE = """() => [...document.querySelectorAll("h1, h2, th, .what, .crumbs")].filter(element => {
  if (!element.checkVisibility()) return false;
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  const range = document.createRange();
  let last = null;
  for (let node; (node = walker.nextNode());) {
    for (let i = 0; i < node.length; i++) {
      range.setStart(node, i); range.setEnd(node, i + 1);
      const next = { top: range.getBoundingClientRect().top, isWord: /[\\p{L}\\p{N}]/u.test(node.data[i]) };
      if (last && next.top > last.top + 2 && last.isWord && next.isWord) return true;
      last = next;
    }
  }
  return false;
}).map(element => element.textContent.trim())"""


@pytest.mark.parametrize("path", ["/", "/campaigns/1"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_speed_is_shown_and_names_are_broken_after_punctuation(
    page: Page, queuecalls_sandbox: Sandbox, path: str, width: int
) -> None:
    post(queuecalls_sandbox, campaign_name=NAME, message_reference="spring", result_url="https://voice.example/results")
    ask(queuecalls_sandbox, "PUT", "/api/clock", {"speed": 600})
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(path)
    page.locator("#journal summary").first.click()

    expect(page.locator("#top-clock .tag")).to_be_visible()
    expect(page.locator("#top-clock .tag")).to_have_text("\u00d7 600")
    assert page.evaluate(BROKEN_INSIDE) == []


def test_one_call_is_not_called_calls(page: Page, queuecalls_sandbox: Sandbox) -> None:
    post(queuecalls_sandbox, campaign_name="one")
    post(queuecalls_sandbox, "16175550100\n" * 1_234, campaign_name="many")
    page.goto("/")

    expect(page.locator("#campaigns .fine")).to_contain_text(["1,234 calls ·", "1 call ·"])
    expect(page.locator("#journal .what")).to_have_text(["Queued 1,234 calls.", "Queued 1 call."])


@pytest.mark.parametrize("path", ["/", "/campaigns/1"])
def test_a_phone_needs_no_scrolling_to_the_side(page: Page, queuecalls_sandbox: Sandbox, path: str) -> None:
    post(queuecalls_sandbox, campaign_name="x" * 200, message_reference="y" * 200)
    queuecalls_sandbox.fail_next("truncated_response")
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(path)

    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("path", ["/", "/campaigns/1"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_have_contrast_and_controls_have_names(
    page: Page, queuecalls_sandbox: Sandbox, path: str, scheme: str
) -> None:
    post(queuecalls_sandbox, "16175550101\n16175550100\n", campaign_name="first")
    queuecalls_sandbox.fail_next("http_503")
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.goto(path)

    assert page.evaluate(CONTRASTS_BELOW, 4.5) == []
    assert page.evaluate(WITHOUT_A_NAME) == []
    levels = [int(tag[1]) for tag in page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(h => h.tagName)")]
    assert levels[0] == 1
    assert levels.count(1) == 1


#: Texts whose contrast with their background is below a ratio (WCAG 2).
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
  return [...document.querySelectorAll("body *")].filter(element => element.checkVisibility() && !element.closest("svg, .message")
    && [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim())).filter(element => {
      const [a, b] = [light(rgb(getComputedStyle(element).color)), light(ground(element))].sort((x, y) => y - x);
      return (a + .05) / (b + .05) < least;
    }).map(element => element.outerHTML.slice(0, 120));
}"""
#: Controls that a screen reader couldn't name.
WITHOUT_A_NAME = """() => [...document.querySelectorAll("button, select, input:not([type=hidden]), a, [role=img], [role=region]")].filter(
  e => !(e.textContent.trim() && e.tagName !== "SELECT") && !e.ariaLabel && !e.labels?.length && !e.getAttribute("aria-labelledby")
).map(e => e.outerHTML.slice(0, 120))"""
