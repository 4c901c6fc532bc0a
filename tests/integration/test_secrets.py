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
from urllib.parse import quote, quote_plus

import pytest
from rich.console import Console
from rich.traceback import Traceback

from airflow_provider_queuecalls.client.campaign import Campaign
from airflow_provider_queuecalls.exceptions import NotAccepted, NotSent, OutcomeUnknown, Refused
from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook
from tests.conftest import Connect
from tests.support import echo
from tests.support.fault_server import Act, Exchange, FaultServer, answer, close, hang, head, raw, reset
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

#: How services and frameworks write a text.
NAMED: dict[str, str] = {'"': "quot", "&": "amp", "<": "lt", ">": "gt", "ë": "euml", "ü": "uuml", "ä": "auml", "ö": "ouml", "é": "eacute", "ï": "iuml"}  # fmt: skip
SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "escaped as text": lambda text: html.escape(text, quote=False),
    "escaped as an attribute": html.escape,
    "with an apos": lambda text: html.escape(text).replace("&#x27;", "&apos;"),
    "with a decimal apos": lambda text: html.escape(text).replace("&#x27;", "&#039;"),
    "decimal references": lambda text: "".join(f"&#{ord(c)};" if not c.isalnum() or c > "~" else c for c in text),
    "hexadecimal references": lambda text: "".join(
        f"&#x{ord(c):X};" if not c.isalnum() or c > "~" else c for c in text
    ),
    "named entities": lambda text: "".join(f"&{NAMED[c]};" if c in NAMED else c for c in text),
    "json": lambda text: json.dumps(text)[1:-1],
    "json in utf-8": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "json of php": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "json in capitals": lambda text: re.sub(r"\\u(\w{4})", lambda m: "\\u" + m[1].upper(), json.dumps(text)[1:-1]),
    "json safe in html": lambda text: (
        json.dumps(text)[1:-1].replace("&", "\\u0026").replace("<", "\\u003C").replace("'", "\\u0027")
    ),
    "url": lambda text: quote(text, safe=""),
    "url of a form": quote_plus,
    "url in small letters": lambda text: re.sub("%..", lambda m: m[0].lower(), quote(text, safe="")),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "shouted": str.upper,
    "python": lambda text: repr(text)[1:-1],
}
NUMBER_FORMATS = (
    "{0}{1}{2}{3}",
    "+{0}{1}{2}{3}",
    "tel:+{0}{1}{2}{3}",
    "{0}-{1}-{2}-{3}",
    "({1}) {2}-{3}",
    "+{0} ({1}) {2}-{3}",
    *("{1}.{2}.{3}", "{0} {1} {2} {3}", "+{0}{1}{2}{3};ani=8005550100", "{1}/{2}-{3}", "%2B{0}{1}{2}{3}"),
)


def formats(number: str) -> list[str]:
    parts = number[0], number[1:4], number[4:7], number[7:]
    return [pattern.format(*parts) for pattern in NUMBER_FORMATS]


def people() -> str:
    return " and ".join(text for number in NUMBERS for text in formats(number))


#: Bodies that repeat everything, in each of the shapes that the vendor's services use, and in none.
def as_text(spell: Callable[[str], str]) -> str:
    return "We got " + " , ".join(spell(text) for text in SECRETS.values()) + f" for {people()}"


def as_attributes(spell: Callable[[str], str]) -> str:
    attributes = " ".join(f'{name}="{spell(text)}"' for name, text in SECRETS.items())
    calls = "".join(f'<call phone_number="{n}" message_reference="{ROW_REFERENCE}"/>' for n in NUMBERS)
    return f'<queuecall status="STATUS" {attributes}>{calls}{people()}</queuecall>'


def as_elements(spell: Callable[[str], str]) -> str:
    elements = "".join(f"<{name}>{spell(text)}</{name}>" for name, text in SECRETS.items())
    return f'<queuecall status="STATUS">{elements}<message_reference>{ROW_REFERENCE}</message_reference></queuecall>'


def as_json(spell: Callable[[str], str]) -> str:
    members = ",".join(f'"{name}":"{spell(text)}"' for name, text in SECRETS.items())
    note = ",".join(spell(text) for text in SECRETS.values())
    return f'{{"status":"STATUS","note":"{note}",{members},"calls":[{{"message_reference":"{ROW_REFERENCE}"}}],"x":"{people()}"}}'


def as_query(spell: Callable[[str], str]) -> str:
    return "login=" + spell(LOGIN) + "&pin=" + spell(FORM_PIN) + "&message_reference=" + ROW_REFERENCE


SHAPES = (as_text, as_attributes, as_elements, as_json, as_query)


def leaks(shown: str) -> list[str]:
    """What of the secrets is in a text, in any spelling."""
    found = [
        f"{name} {how}: {spell(text)}"
        for name, text in SECRETS.items()
        for how, spell in SPELLINGS.items()
        if spell(text) in shown
    ]
    found += [f"{name} folded" for name, text in SECRETS.items() if text.lower() in html.unescape(shown).lower()]
    digits = re.sub(r"[ .()/+-]", "", shown)
    found += [number for number in NUMBERS if number[1:] in digits]
    return found + ([ROW_REFERENCE] if ROW_REFERENCE in shown else [])


def on_a_terminal(error: BaseException) -> str:
    """The error as Airflow shows it there: with the local variables of all frames, but for the test's own."""
    below = error.__traceback__ and error.__traceback__.tb_next
    text = io.StringIO()
    Console(file=text, width=200).print(Traceback.from_exception(type(error), error, below, show_locals=True))
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


OUTCOMES: dict[str, tuple[int, str, type[Exception]]] = {
    "refused": (401, "failed", Refused),
    "not accepted": (429, "failed", NotAccepted),
    "unknown": (500, "queued", OutcomeUnknown),
    "redirected": (302, "queued", Refused),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_response_that_repeats_everything_shows_nothing(
    spelling: str, shape: Callable[[Callable[[str], str]], str], show: Callable[..., str]
) -> None:
    body = shape(SPELLINGS[spelling]).replace("STATUS", "queued").encode()
    assert leaks(body.decode()), "else this test would show nothing"
    with FaultServer(answer(500, body)) as server:
        shown = show(server.url, OutcomeUnknown)
    assert "***" in shown or re.search(r"(?:text|XML|JSON), [\d,]+ bytes", shown)
    assert leaks(shown) == []


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("shape", SHAPES)
def test_no_outcome_shows_what_the_response_repeats(
    shape: Callable[[Callable[[str], str]], str], outcome: str, show: Callable[..., str]
) -> None:
    code, status, error = OUTCOMES[outcome]
    body = shape(html.escape).replace("STATUS", status).encode()
    with FaultServer(
        answer(code, body, [("Location", f"/?{as_query(quote)}"), ("Set-Cookie", f"a={BASIC}")])
    ) as server:
        shown = show(server.url, error)
    assert leaks(shown) == []


@pytest.mark.parametrize(
    ("shape", "spell"), [(as_attributes, html.escape), (as_elements, html.escape), (as_json, SPELLINGS["json"])]
)
def test_success_shows_nothing_of_what_the_response_repeats(
    shape: Callable[[Callable[[str], str]], str], spell: Callable[[str], str], show: Callable[..., str]
) -> None:
    with FaultServer(answer(200, shape(spell).replace("STATUS", "queued").encode())) as server:
        shown = show(server.url, None)
    assert "Response(" in shown
    assert leaks(shown) == []


@pytest.mark.parametrize("shape", echo.SHAPES)
def test_an_echo_shows_nothing(shape: str, show: Callable[..., str]) -> None:
    values = {**SECRETS, **dict(zip(NUMBERS, (number[1:] for number in NUMBERS), strict=True)), "row": ROW_REFERENCE}
    for encoding in ("utf-8", "latin-1"):
        with FaultServer(echo.echo(shape, encoding)) as server:
            shown = show(server.url, None, any_outcome=True)
        assert re.search(r"outcome=|The service|Cannot tell", shown)
        assert echo.leaks(shown, values) == []


def echo_in_chunks(exchange: Exchange) -> None:
    exchange.receive()
    exchange.send(head(200, [("Transfer-Encoding", "chunked")]) + as_text(str).encode() + b"\r\n")


ECHO = as_attributes(html.escape).encode()
FAULTS: dict[str, Act] = {
    "reset": reset(),
    "closed": close(),
    "hanging": hang(),
    "half a response": answer(200, ECHO, length=len(ECHO) + 100),
    "a response without a head": raw(ECHO),
    "a status line that repeats": raw(b"HTTP/1.1 " + as_query(str).encode() + b"\r\n\r\n"),
    "another protocol": raw(as_text(str).encode() + b"\r\n"),
    "a reason that repeats": raw(b"HTTP/1.1 500 " + as_query(str).encode() + b"\r\n\r\n"),
    "headers that repeat": raw(b"HTTP/1.1 500 No\r\nX-Request: " + as_query(str).encode() + b"\r\n\r\n"),
    "malformed headers that repeat": raw(b"HTTP/1.1 500 No\r\n" + ECHO + b"\r\nX: y\r\n\r\n"),
    "a length that repeats": raw(b"HTTP/1.1 500 No\r\nContent-Length: " + as_query(str).encode() + b"\r\n\r\n"),
    "two lengths that repeat": raw(b"HTTP/1.1 500 No\r\nContent-Length: 1, " + BASIC.encode() + b"\r\n\r\n"),
    "an encoding that repeats": raw(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + ECHO),
    "chunks that repeat": echo_in_chunks,
    "a retry-after that repeats": raw(b"HTTP/1.1 503 No\r\nRetry-After: " + BASIC.encode() + b"\r\n\r\n"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_shows_nothing(fault: str, show: Callable[..., str]) -> None:
    with FaultServer(FAULTS[fault]) as server:
        assert leaks(show(server.url, OutcomeUnknown, read_timeout=0.4)) == []


def test_no_connection_shows_nothing(show: Callable[..., str]) -> None:
    with FaultServer() as server:
        pass
    assert leaks(show(server.url, NotSent)) == []


@pytest.mark.parametrize(
    "proxy", ["http://me:proxy-secret@nowhere.invalid:1", "http://me:proxy-secret@127.0.0.1:1", "SERVER"]
)
def test_a_proxys_password_is_not_shown(proxy: str, show: Callable[..., str]) -> None:
    works = proxy == "SERVER"
    with FaultServer(answer(200, b'<q status="failed">proxy-secret</q>')) as server:
        proxy = proxy.replace("SERVER", server.url.replace("//", "//me:proxy-secret@"))
        extra = {"allow_http": True, "proxies": {"http": proxy}}
        shown = show("http://service.example", Refused if works else NotSent, **extra)
    assert len(server.posts) == works
    assert "proxy-secret" not in shown
    assert leaks(shown) == []
