"""The pages of campaigns in a real API server of Airflow 3.1 or later: who may see what."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, expect

from airflow_provider_queuecalls._airflow.results import page_of_campaign
from airflow_provider_queuecalls.pages.app import TIMEZONE
from airflow_provider_queuecalls.records.database.database import CampaignRow, Database
from tests.support.airflow import Airflow, api_server
from tests.support.browser import IN_AIRFLOW, watched_page
from tests.support.campaigns import NOT_REACHED, NUMBERS, REACHED, SEEN_DAG, USERS, add_results
from tests.support.command import REPOSITORY
from tests.support.moved import AIRFLOW
from tests.support.receiver import NEW

pytestmark = pytest.mark.skipif(AIRFLOW < (3, 1), reason="older Airflows have no place for pages")
SPRING = "1111111111111111"
DAG_IDS = {SPRING: SEEN_DAG, "2222222222222222": "hidden", "3333333333333333": ""}
PAGES = "/queuecalls/campaigns/"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, database: None) -> Iterator[Airflow]:
    with serving(tmp_path_factory.mktemp("pages")) as server:
        yield server


@contextmanager
def serving(home: Path, path: str = "") -> Iterator[Airflow]:
    """An API server with three campaigns, one of a DAG that few may see and one of no DAG, and users whose password is their
    name."""
    results, passwords = f"sqlite:///{home}/results.db", home / "passwords.json"
    passwords.write_text(json.dumps({name: name for name in USERS}))
    with closing(Database(results)) as campaigns:
        now = int(time.time())
        for key, dag_id in DAG_IDS.items():
            row = CampaignRow(key, f"campaign{dag_id}", 4, "queued", dag_id, "manual__1", now - 60, now + 3600)
            campaigns.put_campaign(row)
            add_results(campaigns, key)
    variables = {
        "AIRFLOW__CORE__AUTH_MANAGER": "tests.support.auth.ByDag",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in USERS.items()),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__API_AUTH__JWT_SECRET": "for this test only, and 64 bytes long, as signatures want it to be",
        "AIRFLOW__QUEUECALLS__RESULTS_DATABASE": results,
        "AIRFLOW__QUEUECALLS__RESULTS_SECRET": NEW,
        "PYTHONPATH": str(REPOSITORY),
    }
    with api_server(home, variables, path) as server:
        yield server


def signed_in(server: Airflow, name: str) -> requests.Session:
    """A browser, as far as its cookie goes."""
    asked = requests.post(f"{server.url}/auth/token", json={"username": name, "password": name}, timeout=60)
    session = requests.Session()
    session.cookies.set("_token", asked.json()["access_token"])
    return session


@pytest.mark.parametrize("path", ["", SPRING, f"{SPRING}/results.csv", f"{SPRING}/not-reached.csv", "static/theme.css"])
def test_nobody_sees_anything_who_is_not_signed_in_or_may_not_read_dag_runs(server: Airflow, path: str) -> None:
    url = server.url + PAGES + path
    assert requests.get(url, timeout=60).status_code == 401
    assert requests.get(url, headers={"Authorization": "Bearer forged"}, timeout=60).status_code == 403
    refused = signed_in(server, "stranger").get(url, timeout=60)
    assert (refused.status_code, "campaign" in refused.text) == (403, False)
    assert signed_in(server, "planner").get(url, timeout=60).status_code == 200


def test_a_page_has_the_campaigns_of_those_dags_whose_runs_may_be_read(server: Airflow) -> None:
    for name, seen in (("reader", {SEEN_DAG}), ("boss", set(DAG_IDS.values()))):
        session = signed_in(server, name)
        overview = session.get(server.url + PAGES, timeout=60).text
        assert {dag_id for dag_id in DAG_IDS.values() if f">campaign{dag_id}</a>" in overview} == seen
        assert {dag_id for dag_id in DAG_IDS.values() if f"<option>{dag_id}</option>" in overview} == seen - {""}
        for key, dag_id in DAG_IDS.items():
            status = session.get(f"{server.url}{PAGES}{key}", timeout=60).status_code
            assert status == (200 if dag_id in seen else 404)
        assert not [number for number in NUMBERS if number in overview]


def audit_log() -> list[tuple[str, str | None, str | None]]:
    from airflow.models import Log
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        ours = session.scalars(select(Log).where(Log.event.startswith("queuecalls: ")).order_by(Log.id))
        return [(each.event.removeprefix("queuecalls: "), each.owner, each.dag_id) for each in ours]


def test_phone_numbers_are_given_to_those_who_may_trigger_the_dag_and_each_time_is_logged(server: Airflow) -> None:
    page, results, failed = (f"{server.url}{PAGES}{SPRING}{rest}" for rest in ("", "/results.csv", "/not-reached.csv"))
    reader, planner = signed_in(server, "reader"), signed_in(server, "planner")
    shown = reader.get(f"{page}?numbers=shown", timeout=60).text
    assert not [number for number in NUMBERS if number in shown]
    assert "1617•••••50" in shown
    assert [reader.get(url, timeout=60).status_code for url in (results, failed)] == [403, 403]
    before = audit_log()
    assert {owner for _, owner, _ in before} <= {"planner"}

    assert not [number for number in NUMBERS if number in planner.get(page, timeout=60).text]
    assert NOT_REACHED in planner.get(f"{page}?numbers=shown", timeout=60).text
    rows = list(csv.DictReader(io.StringIO(planner.get(results, timeout=60).text)))
    assert {row["phone_number"]: row["result"] for row in rows} == {REACHED: "completed", NOT_REACHED: "failed"}
    assert planner.get(failed, timeout=60).text == f"phone_number,message_reference\n{NOT_REACHED},order-2\n"
    events = ("show numbers", "download results", "download not-reached")
    assert audit_log()[len(before) :] == [(event, "planner", "seen") for event in events]


def test_a_page_that_stays_open_gets_numbers_once(server: Airflow, browser: Browser) -> None:
    with watched_page(browser, server.url, IN_AIRFLOW) as (page, _):
        token = signed_in(server, "planner").cookies["_token"]
        # A first visit finds out the time zone, and loads the page once more.
        cookies = {"_token": token, TIMEZONE: page.evaluate("Intl.DateTimeFormat().resolvedOptions().timeZone")}
        page.context.add_cookies([{"name": name, "value": cookies[name], "url": server.url} for name in cookies])
        before = audit_log()
        with page.expect_response(lambda response: response.request.resource_type == "fetch") as refresh:
            page.goto(f"{PAGES}{SPRING}?numbers=shown")
        assert refresh.value.ok
        assert not [number for number in NUMBERS if number in refresh.value.text()]
        assert audit_log()[len(before) :] == [("show numbers", "planner", "seen")]
        # The numbers stay, and so does the choice to see them.
        page.get_by_role("link", name="reached 1", exact=True).click()
        expect(page.locator("#calls")).to_contain_text(REACHED)


@pytest.mark.skipif(AIRFLOW < (3, 3), reason="the navigation of older Airflows is another")
def test_the_page_is_in_the_navigation_and_looks_like_airflow(
    server: Airflow, browser: Browser, tmp_path: Path
) -> None:
    with watched_page(browser, server.url, IN_AIRFLOW) as (page, _):
        token = signed_in(server, "planner").cookies["_token"]
        page.context.add_cookies([{"name": "_token", "value": token, "url": server.url}])
        page.goto("/")
        page.get_by_role("button", name="Browse").click()
        page.get_by_role("menuitem", name="Calling campaigns").click()
        frame = page.frame_locator("iframe")
        expect(frame.get_by_role("heading", name="Calling campaigns")).to_be_visible()
        for theme in ("dark", "light"):
            page.evaluate("theme => { document.documentElement.className = theme; }", theme)
            expect(frame.locator("html")).to_have_attribute("data-theme", theme)
        frame.get_by_role("link", name="campaignseen").first.click()
        expect(frame.get_by_role("heading", level=1)).to_have_text("campaignseen")
        with page.expect_download() as download:
            frame.get_by_role("link", name="Not reached (CSV)").click()
        download.value.save_as(tmp_path / "next.csv")
        assert NOT_REACHED in (tmp_path / "next.csv").read_text()
        frame.get_by_role("link", name="DAG run").click()
        expect(page).to_have_url(f"{server.url}/dags/seen/runs/manual__1")


def test_a_task_links_to_the_page(server: Airflow, browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    assert page_of_campaign(SPRING) is None
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__RESULTS_DATABASE", "results_db")
    link = page_of_campaign(SPRING)
    assert link is not None
    with watched_page(browser, server.url, IN_AIRFLOW) as (page, _):
        token = signed_in(server, "planner").cookies["_token"]
        page.context.add_cookies([{"name": "_token", "value": token, "url": server.url}])
        page.goto(link)
        shown = page.frame_locator("iframe") if AIRFLOW >= (3, 3) else page
        expect(shown.get_by_role("heading", level=1)).to_have_text("campaignseen")


def test_everything_works_below_a_path(
    tmp_path: Path, database: None, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(tmp_path, "/team/airflow") as server, watched_page(browser, server.url, IN_AIRFLOW) as (page, _):
        monkeypatch.setenv("AIRFLOW__QUEUECALLS__RESULTS_DATABASE", "results_db")
        monkeypatch.setenv("AIRFLOW__API__BASE_URL", f"{server.url}/")
        token = signed_in(server, "planner").cookies["_token"]
        page.context.add_cookies([{"name": "_token", "value": token, "url": server.url}])
        page.goto(page_of_campaign(SPRING) or "")
        shown = page.frame_locator("iframe") if AIRFLOW >= (3, 3) else page
        expect(shown.get_by_role("heading", level=1)).to_have_text("campaignseen")
        shown.get_by_role("link", name="Campaigns", exact=True).click()
        expect(shown.get_by_role("heading", level=1)).to_have_text("Calling campaigns")
        expect(shown.locator("figure.drawn")).to_be_visible()
        shown.get_by_role("link", name="DAG run").click()
        expect(page).to_have_url(f"{server.url}/dags/seen/runs/manual__1")
