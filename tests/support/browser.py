"""A real Chromium, in which nothing leaves this machine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support.patience import PATIENCE_SECONDS

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
#: The suggestions of the address bar would be two more pages for each of ours. The last list counts, so Playwright's is here, too.
DISABLED = (
    *("WebUIOmniboxPopup", "WebUIOmniboxAimPopup"),
    *("AvoidUnnecessaryBeforeUnloadCheckSync", "DestroyProfileOnBrowserClose", "HttpsUpgrades", "HttpsFirstBalancedModeAutoEnable"),
    *("LensOverlay", "MediaRouter", "PaintHolding", "ThirdPartyStoragePartitioning", "AvoidCorsURLLoaderRestartOnRedirect"),
    *("OptimizationHints", "NetworkTimeServiceQuerying", "AimEnabled", "PreconnectToSearch"),
)  # fmt: skip
OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run", f"--disable-features={','.join(DISABLED)}")  # fmt: skip


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Start a browser, and close it."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert path, f"pages are tested in a browser, and none of {', '.join(BROWSERS)} is installed: make test does it"
    expect.set_options(timeout=PATIENCE_SECONDS * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=OPTIONS, timeout=PATIENCE_SECONDS * 1000)
        yield browser
        browser.close()


#: In the URLs of all our scripts in Airflow, and in none of Airflow's own, whose errors are not ours.
IN_AIRFLOW = "/queuecalls/"


@contextmanager
def watched_page(
    browser: Browser, url: str, scripts: str = "", timezone: str | None = None
) -> Iterator[tuple[Page, list[str]]]:
    """A page of the site at the URL, and what must stay empty: requests to other sites, and errors of its scripts.

    ``scripts`` is a part of the URLs of the scripts that are ours. Default: all are. ``timezone`` is that of the person who looks
    at the page.
    """
    page = browser.new_page(base_url=url, viewport={"width": 1280, "height": 900}, timezone_id=timezone)
    page.set_default_timeout(PATIENCE_SECONDS * 1000)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(error.stack or str(error)) if scripts in (error.stack or "") else None)  # fmt: skip
    page.on("request", lambda request: None if request.url.startswith((url, "data:", "blob:")) else wrong.append(request.url))  # fmt: skip
    yield page, wrong
    page.close()
    assert not wrong, wrong


def leave(page: Page) -> None:
    """Leave Airflow's page while a run is under way: its animations and its polling take more CPU time than the run."""
    page.goto("about:blank")


def serious_problems(page: Page) -> list[str]:
    """What axe finds on a page that keeps somebody from using it."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {node['html'][:200]}"
        for each in found if each["impact"] in ("serious", "critical") for node in each["nodes"]
    ]  # fmt: skip
