"""Login, PIN and people's data show up nowhere, whatever the service repeats of them and however it fails."""

from __future__ import annotations

import base64
import html
import io
import json
import logging
import re
import traceback
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from rich.console import Console
from rich.traceback import Traceback

from airflow_provider_queuecalls.client.campaign import Campaign
from airflow_provider_queuecalls.exceptions import NotAccepted, NotSent, OutcomeUnknown, Refused
from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook
from tests.conftest import Connect
from tests.support.echo import SHAPES, Got, echo, leaks
from tests.support.fault_server import Act, Exchange, FaultServer, close, hang, head, raw, reset, respond
from tests.support.logs import everything_logged

LOGIN = "zoë.müller&<\"sons'"
PASSWORD = 'pä&<s"/wörd'
FORM_PIN = "q&7<é>/1\"'"
REFERENCE = 'spring & "summer" <zürich>'
PARAMETERS = "account=88-77-66&naïve='yes'"
BASIC = base64.b64encode(f"{LOGIN}:{PASSWORD}".encode()).decode()
NUMBERS = ("12025550143", "16175550178", "14155550119")
ROW_REFERENCE = "row-reference-zebra"
SECRETS = {"login": LOGIN, "pin": FORM_PIN, "password": PASSWORD, "message_reference": REFERENCE}
SECRETS |= {"call_parameters": PARAMETERS, "authorization": BASIC}
CAMPAIGN = Campaign(
    start_url="https://ivr.example/", campaign_name="spring", message_reference=REFERENCE, call_parameters=PARAMETERS
)

VALUES = {**SECRETS, **{number: number[1:] for number in NUMBERS}, "row": ROW_REFERENCE}
#: All of it at once, and in XML.
REPEATED = " , ".join(VALUES.values()).encode()
XML = f'<queuecall status="queued" note="{html.escape(REPEATED.decode())}"/>'.encode()


def on_a_terminal(error: BaseException) -> str:
    """The error as Airflow shows it there: with the local variables of all frames, but for the test's own."""
    below = error.__traceback__ and error.__traceback__.tb_next
    trace = Traceback.extract(type(error), error, below, show_locals=True)
    for frame in (frame for stack in trace.stacks for frame in stack.frames):
        frame.filename = f"<{frame.filename}>"  # without the lines of code, which take most of the time to print
    text = io.StringIO()
    Console(file=text, width=200).print(Traceback(trace))
    return text.getvalue()


class Shown:
    """Everything that somebody could get to see."""

    def __init__(self) -> None:
        self.parts: list[str] = []

    @property
    def text(self) -> str:
        return "\n".join(self.parts)

    def add_error(self, error: BaseException | None) -> None:
        if error:
            self.parts += traceback.format_exception(error)
            self.parts.append(on_a_terminal(error))
        while error:
            self.parts += [str(error), repr(error), repr(getattr(error, "__notes__", ""))]
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


@pytest.fixture
def contacts(tmp_path: Path) -> Path:
    path = tmp_path / "calls.csv"
    path.write_text("".join(f"{number},{ROW_REFERENCE},{ROW_REFERENCE}\n" for number in NUMBERS))
    return path


@pytest.fixture
def show(
    connect: Connect, contacts: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """Queue a campaign at a server, and return all that is to be seen of it."""
    monkeypatch.setattr("airflow_provider_queuecalls.client.client.TEST_SECONDS", 0.4)

    def queue(url: str, expected: type[Exception] | None, *, any_outcome: bool = False, **extra: object) -> str:
        connect(url, login=LOGIN, password=PASSWORD, pin=FORM_PIN, **{"read_timeout": 20, **extra})
        shown, error = Shown(), None
        with everything_logged() as logged:
            logging.getLogger("tests.canary").debug("a canary sings")
            hook = QueueCallsHook()
            try:
                result = hook.queue_calls(contacts, CAMPAIGN)
                shown.parts += [repr(result), str(result)]
            except Exception as raised:  # noqa: BLE001  what it is, is asserted below
                error = raised
            shown.parts += [repr(hook), repr(hook.endpoint), *map(str, hook.test_connection())]
        shown.parts += [part for entry in logged for part in (entry.message, *entry.parts)]
        shown.add_error(error)
        shown.parts += capfd.readouterr()
        assert any_outcome or type(error) is (expected or type(None)), shown.text
        assert "a canary sings" in shown.text, "the capture of logs is blind"
        return shown.text

    return queue


OUTCOMES = {
    "refused": (401, Refused), "not accepted": (429, NotAccepted), "unknown": (500, OutcomeUnknown), "redirected": (302, Refused),
}  # fmt: skip


@pytest.mark.parametrize("shape", ["free text", "attributes", "elements", "json", "query"])
@pytest.mark.parametrize("outcome", OUTCOMES)
def test_no_outcome_shows_what_the_response_repeats(shape: str, outcome: str, show: Callable[..., str]) -> None:
    code, error = OUTCOMES[outcome]
    headers = [("Location", f"/?{quote(REPEATED)}"), ("Set-Cookie", f"a={BASIC}")]
    with FaultServer(echo(shape, code=code, headers=headers)) as server:
        shown = show(server.url, error)
    assert leaks(shown, VALUES) == []


def test_every_shape_repeats_something() -> None:
    got = Got({**SECRETS, "basic": BASIC}, tuple((number, ROW_REFERENCE, ROW_REFERENCE) for number in NUMBERS))
    for shape, write in SHAPES.items():
        _, text = write(got)
        decoded = " ".join(json.loads(text).values()) if shape.startswith("json, ") else html.unescape(text)
        assert leaks(decoded, VALUES), shape


@pytest.mark.parametrize("shape", SHAPES)
def test_a_response_that_repeats_everything_shows_nothing(shape: str, show: Callable[..., str]) -> None:
    for encoding in ("utf-8", "latin-1"):
        with FaultServer(echo(shape, encoding)) as server:
            shown = show(server.url, None, any_outcome=True)
        assert re.search(r"outcome=|The service|Cannot tell", shown)
        assert leaks(shown, VALUES) == []


def chunks_that_repeat(exchange: Exchange) -> None:
    exchange.receive()
    exchange.send(head(200, [("Transfer-Encoding", "chunked")]) + REPEATED + b"\r\n")


FAULTS: dict[str, Act] = {
    "reset": reset(),
    "closed": close(),
    "hanging": hang(),
    "half a response": respond(200, XML, length=len(XML) + 100),
    "a response without a head": raw(XML),
    "a status line that repeats": raw(b"HTTP/1.1 " + REPEATED + b"\r\n\r\n"),
    "another protocol": raw(REPEATED + b"\r\n"),
    "a reason that repeats": raw(b"HTTP/1.1 500 " + REPEATED + b"\r\n\r\n"),
    "headers that repeat": raw(b"HTTP/1.1 500 No\r\nX-Request: " + REPEATED + b"\r\n\r\n"),
    "malformed headers that repeat": raw(b"HTTP/1.1 500 No\r\n" + XML + b"\r\nX: y\r\n\r\n"),
    "a length that repeats": raw(b"HTTP/1.1 500 No\r\nContent-Length: " + REPEATED + b"\r\n\r\n"),
    "two lengths that repeat": raw(b"HTTP/1.1 500 No\r\nContent-Length: 1, " + BASIC.encode() + b"\r\n\r\n"),
    "an encoding that repeats": raw(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + XML),
    "chunks that repeat": chunks_that_repeat,
    "a retry-after that repeats": raw(b"HTTP/1.1 503 No\r\nRetry-After: " + BASIC.encode() + b"\r\n\r\n"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_shows_nothing(fault: str, show: Callable[..., str]) -> None:
    with FaultServer(FAULTS[fault]) as server:
        assert leaks(show(server.url, OutcomeUnknown, read_timeout=0.4), VALUES) == []


def test_no_connection_shows_nothing(show: Callable[..., str]) -> None:
    with FaultServer() as server:
        pass
    assert leaks(show(server.url, NotSent), VALUES) == []


@pytest.mark.parametrize(
    "proxy", ["http://me:proxy-secret@nowhere.invalid:1", "http://me:proxy-secret@127.0.0.1:1", "SERVER"]
)
def test_a_proxys_password_is_not_shown(proxy: str, show: Callable[..., str]) -> None:
    works = proxy == "SERVER"
    with FaultServer(respond(200, b'<q status="failed">proxy-secret</q>')) as server:
        proxy = proxy.replace("SERVER", server.url.replace("//", "//me:proxy-secret@"))
        extra = {"allow_http": True, "proxies": {"http": proxy}}
        shown = show("http://service.example", Refused if works else NotSent, **extra)
    assert len(server.posts) == works
    assert "proxy-secret" not in shown
    assert leaks(shown, VALUES) == []
