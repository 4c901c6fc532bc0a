"""Airflow's own pages, in a browser: what a person sees who sets up the connection and starts a campaign there."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from airflow_provider_queuecalls.client.connection import FIELDS
from airflow_provider_queuecalls.sandbox.server import Sandbox, run_sandbox
from tests.e2e.conftest import EXAMPLES, calling_tomorrow
from tests.support.airflow import Airflow, airflow_command
from tests.support.browser import IN_AIRFLOW, leave, watched_page
from tests.support.moved import AIRFLOW
from tests.support.ports import free_port

pytestmark = pytest.mark.skipif(AIRFLOW < (3, 3), reason="the pages of older Airflows are others")
DAG_ID, CONN_ID = "queue_calls", "queuecalls_default"
STANDARD = {"host": "calls.example", "schema": "https", "port": "8443", "login": "bob", "password": "the-password"}
EXTRA = {
    "path": "/q.php", "pin": "another-pin", "basic_auth": False, "allow_http": True, "field_names": {"secure": "is_pci"},
    "connect_timeout": 2.5, "read_timeout": 600, "verify": "false", "proxies": {"https": "http://proxy.example:3128"},
    "campaign_url": "https://manager.example/{campaign_name}", "queued_values": {"state": "accepted"},
    "notify_numbers": "16175550143, 16175550178",
}  # fmt: skip


@dataclass(frozen=True)
class Live:
    """A running Airflow with the example, and a sandbox that no connection leads to yet."""

    airflow: Airflow
    sandbox: Sandbox

    @property
    def account(self) -> dict[str, Any]:
        """What a person types into the form to get to the sandbox."""
        connection, url = json.loads(self.sandbox.connection), urlsplit(self.sandbox.url)
        secrets = {name: connection[name] for name in ("login", "password")}
        return {"host": url.hostname, "schema": url.scheme, "port": str(url.port), **secrets}


@pytest.fixture(scope="module")
def live(live_airflow: Airflow, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    example = calling_tomorrow(DAG_ID, tmp_path_factory.mktemp("examples"))
    live_airflow.add_dags([EXAMPLES / "data", example], [DAG_ID])
    with run_sandbox(speed=0) as sandbox:
        yield Live(live_airflow, sandbox)


@pytest.fixture
def page(browser: Browser, live: Live) -> Iterator[Page]:
    with watched_page(browser, live.airflow.url, IN_AIRFLOW) as (page, _):
        yield page


def section(form: Locator, name: str) -> None:
    """Open a section of a form; the one that was open closes."""
    form.get_by_role("button", name=name, exact=True).click()


def switch(form: Locator, name: str) -> None:
    form.locator("label").filter(has=form.page.locator(f"[name=element_{name}]")).click()


def write(form: Locator, label: str, value: dict[str, Any]) -> None:
    """Fill the field for an object, which is an editor that comes later than the rest of the form."""
    lines = form.get_by_role("group").filter(has_text=label).locator(".view-lines")
    expect(lines).to_have_text("{}")
    lines.click()
    expect(form.locator(".monaco-editor.focused").filter(has_text="{}")).to_be_visible()
    form.page.keyboard.press("ControlOrMeta+A")
    form.page.keyboard.press("Delete")  # or the brackets would go around what is selected
    expect(lines).to_have_text("")
    form.page.keyboard.insert_text(json.dumps(value))
    # The form has taken it when it shows it in a layout of its own.
    expect(lines).to_have_text(json.dumps(value, indent=2).replace("\n", ""))


def new_connection(page: Page, conn_id: str) -> Locator:
    """The form for a new connection of our type."""
    if not page.url.endswith("/connections"):
        page.goto("/connections")
    page.get_by_role("button", name="Add Connection").click()
    form = page.get_by_role("dialog")
    form.get_by_label("Connection ID").fill(conn_id)
    form.get_by_role("combobox").fill("queuecalls")
    page.get_by_role("option", name="queuecalls", exact=True).click()
    return form


def filled(form: Locator, values: dict[str, Any]) -> None:
    for name, value in values.items():
        form.locator(f"[name={name}]").fill(value)


def save(form: Locator) -> None:
    form.get_by_role("button", name="Save").click()
    expect(form).to_be_hidden()


def stored(airflow: Airflow, conn_id: str) -> Any:
    """The connection as tasks get it, secrets included."""
    export = airflow_command("connections", "export", "-", "--file-format", "json")
    done = subprocess.run(export, env=airflow.environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout[done.stdout.index("{") :])[conn_id]


def test_the_form_shows_labels_placeholders_and_help_and_no_field_that_is_not_ours(page: Page) -> None:
    form = new_connection(page, "calls")

    for field in FIELDS:
        if field.standard:
            expect(form.get_by_label(field.label, exact=True)).to_have_attribute("placeholder", field.example)
    assert form.locator("[name]:visible").evaluate_all("all => all.map(each => each.name)") == [
        "connection_id", "description", "host", "login", "password", "port", "schema",
    ]  # fmt: skip
    expect(form.get_by_label("PIN", exact=True)).to_have_attribute("type", "password")

    section(form, "Extra Fields")
    for field in FIELDS:
        if not field.standard:
            group = form.get_by_role("group").filter(has=page.get_by_text(field.label, exact=True))
            expect(group.filter(has_text=field.doc)).to_be_visible()
    expect(form.locator("[name=element_pin]")).to_have_attribute("type", "password")
    expect(form.locator("[name=element_path]")).to_have_value("/webservice/queuecalls.php")
    expect(form.get_by_role("checkbox", name="HTTP Basic")).to_be_checked()
    expect(form.get_by_role("checkbox", name="Allow plain http")).not_to_be_checked()


def test_what_is_saved_and_reopened_is_kept(page: Page, live: Live) -> None:
    form = new_connection(page, "all")
    filled(form, STANDARD)
    section(form, "Extra Fields")
    for field in FIELDS:
        value = EXTRA.get(field.name)
        if isinstance(value, bool):
            switch(form, field.name)
        elif isinstance(value, dict):
            write(form, field.label, value)
        elif value is not None:
            form.locator(f"[name=element_{field.name}]").fill(str(value))
    save(form)
    page.get_by_role("row").filter(has_text="all").get_by_role("button", name="Edit Connection").click()
    expect(form.get_by_label("Host")).to_have_value("calls.example")
    form.get_by_label("Description").fill("looked at, and saved again")
    section(form, "Extra Fields")
    expect(form.get_by_role("checkbox", name="HTTP Basic")).not_to_be_checked()
    expect(form.get_by_role("checkbox", name="Allow plain http")).to_be_checked()
    expect(form.locator("[name=element_read_timeout]")).to_have_value("600")
    save(form)
    kept = stored(live.airflow, "all")
    assert kept["description"] == "looked at, and saved again"
    assert {name: str(kept[name]) for name in STANDARD} == STANDARD
    assert json.loads(kept["extra"]) == EXTRA


def test_test_says_what_is_right_or_wrong(page: Page, live: Live) -> None:
    refused = {"host": "calls.example", "schema": "http", "port": "80"}
    for name, changed, title, sentence in (
        ("good", {}, "Successful", "responds (HTTP 200) and did not refuse login and PIN as HTTP Basic. Nothing was queued."),
        ("wrong-pin", {"password": "wrong"}, "Failed", "responds (HTTP 401) and refuses login and PIN. Nothing was queued."),
        ("down", {"port": str(free_port())}, "Failed", "the connection was refused; check the connection's host and port. Nothing was queued."),
        ("plain", refused, "Failed", "login, PIN, and contacts would travel unencrypted"),
    ):  # fmt: skip
        form = new_connection(page, name)
        filled(form, {**live.account, **changed})
        save(form)
        row = page.get_by_role("row").filter(has=page.get_by_role("cell", name=name, exact=True))
        row.get_by_role("button", name="Test Connection").click()
        answer = page.get_by_role("status").filter(has_text=f"Test Connection {title}")
        expect(answer).to_contain_text(sentence)
    assert live.sandbox.campaigns == []


@pytest.fixture
def connection(page: Page, live: Live) -> None:
    """The connection that the example uses, made in the form."""
    form = new_connection(page, CONN_ID)
    filled(form, live.account)
    section(form, "Extra Fields")
    form.locator("[name=element_campaign_url]").fill(json.loads(live.sandbox.connection)["extra"]["campaign_url"])
    save(form)


def trigger_form(page: Page) -> tuple[Locator, Callable[[str], Locator]]:
    """The form of the example, and what gives a field of it."""
    page.goto(f"/dags/{DAG_ID}")
    page.get_by_role("button", name="Trigger").first.click()
    form = page.get_by_role("dialog")
    expect(form.get_by_text("Appointments per office")).to_be_visible()
    return form, lambda name: form.locator(f"[name=element_{name}]")


def leave_with(field: Locator, value: str) -> None:
    field.fill(value)
    field.blur()


def test_the_trigger_form_shows_limits_and_refuses_what_breaks_them(page: Page, live: Live) -> None:
    before = live.airflow.runs(DAG_ID)
    form, field = trigger_form(page)
    trigger = form.get_by_role("button", name="Trigger", exact=True)
    expect(form.get_by_text("All regions")).to_be_visible()
    expect(form.get_by_text("at most 255")).to_be_visible()
    expect(form.get_by_role("checkbox", name="Dry run")).to_be_checked()

    leave_with(field("appointments_per_office"), "1000")
    expect(field("appointments_per_office")).to_have_value("100")
    leave_with(field("start_url"), "")
    expect(form.get_by_text("This field is required")).to_be_visible()
    expect(trigger).to_be_disabled()
    leave_with(field("start_url"), "ftp://voice.example/start")
    section(form, "Attempts")
    for name, given, nearest in (("max_retries", "11", "10"), ("retry_interval", "59", "60")):
        leave_with(field(name), given)
        expect(field(name)).to_have_value(nearest)
    for limits in ("0 to 10", "60 to 172,800"):
        expect(form.get_by_text(limits)).to_be_visible()

    trigger.click()
    expect(form.get_by_text("Invalid input for param start_url")).to_be_visible()
    assert live.airflow.runs(DAG_ID) == before


def test_a_run_that_is_started_there_is_followed_to_its_campaign(page: Page, live: Live, connection: None) -> None:
    before = live.airflow.runs(DAG_ID)
    form, field = trigger_form(page)
    leave_with(field("appointments_per_office"), "2")
    switch(form, "dry_run")
    form.get_by_role("button", name="Trigger", exact=True).click()
    expect(form).to_be_hidden()
    leave(page)
    (run_id,) = set(live.airflow.runs(DAG_ID)) - set(before)
    states = {task["task_id"]: task["state"] for task in live.airflow.finished(DAG_ID, run_id)}
    assert set(states.values()) == {"success"}, states
    (campaign,) = live.sandbox.campaigns
    assert campaign.contacts == 60

    page.goto(f"/dags/{DAG_ID}/runs/{run_id}/tasks/queue_calls")
    log = page.locator("code").filter(has_text="Queued campaign").first
    expect(log).to_contain_text("60 contacts in 60 lines: 60 valid.")
    expect(log).to_contain_text("The service responded with HTTP 200")
    expect(log).to_contain_text(f"Queued campaign {campaign.name} of 60 contacts with 60 call ids")
    shown = page.content()
    secrets = (live.account["login"], live.account["password"])
    assert [each for each in (*secrets, *live.sandbox.numbers) if each in shown] == []

    page.get_by_role("link", name="Details", exact=True).click()
    with page.expect_popup() as opened:
        page.get_by_role("link", name="Campaign", exact=True).click()
    expect(opened.value.get_by_role("heading", level=1)).to_have_text(str(campaign.name))
    assert opened.value.url.startswith(live.sandbox.url)
