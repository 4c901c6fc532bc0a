"""``queuecalls probe`` against services that differ in each open point, as a person at a terminal or a script runs it."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_queuecalls import cli
from airflow_provider_queuecalls.exceptions import NotSent
from airflow_provider_queuecalls.probe.steps import BY_NAME, NUMBER, STEPS
from airflow_provider_queuecalls.records.receiver.urls import script_of
from airflow_provider_queuecalls.sandbox.journal import RECEIVED
from airflow_provider_queuecalls.sandbox.profiles import PROFILES, read_profile
from airflow_provider_queuecalls.sandbox.server import Sandbox, run_sandbox
from airflow_provider_queuecalls.voice.speech import Speech
from tests.integration.conftest import certificate

if TYPE_CHECKING:
    import trustme
    from pytest_mock import MockerFixture

MINE = "16175550199"
LOGIN, PIN = "probe-login", "probe-pin"
#: With these, some requests are needed to find out how to send, or it is not known which campaigns were refused. So others are
#: left out, and the report says how to do them.
LIMITED = ("renamed", "form_only", "other_words", "terse")
#: In combination: the names, the words, and whether the PIN is checked.
STRANGE: Mapping[str, Any] = {
    "field_names": {"contacts": "recipient_file", "campaign_name": "job_title"},
    "response_format": "json",
    "response_names": {"status": "result_state", "queued": "accepted", "failed": "denied"},
    "checks_pin": False,
    "errors": "http",
}


@dataclass(frozen=True)
class Probed:
    """What a probe has printed and written."""

    code: int
    printed: str
    errors: str
    report: dict[str, Any]

    def answer(self, words: str) -> str:
        (found,) = [point["answer"] for point in self.report["points"] if words in point["question"]]
        return str(found)


Probe = Callable[..., Probed]


@pytest.fixture
def probe(airflow: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Probe:
    """Probe a service; what is ``typed``, is typed on a terminal."""

    def run(url: str, *options: str, typed: list[str] | None = None, **extra: Any) -> Probed:
        connection = {"conn_type": "queuecalls", "host": url, "login": LOGIN, "password": PIN, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_PROBE", json.dumps(connection))
        file = tmp_path / "report.json"
        for earlier in tmp_path.glob("report.*"):
            earlier.unlink()
        ours, theirs = pty.openpty()
        os.write(ours, "".join(f"{line}\n" for line in typed or ()).encode())
        with open(ours, "rb"), open(theirs) as terminal:
            monkeypatch.setattr("sys.stdin", io.StringIO() if typed is None else terminal)
            code = cli.main(["probe", "--conn-id", "probe", "--to", MINE, "--report", str(file), *options])
        printed, errors = capsys.readouterr()
        written = [path.read_text() for path in tmp_path.glob("report.*")]
        personal = (MINE, MINE[1:], LOGIN, PIN, url.partition("://")[2])
        settings = json.loads(file.read_text())["settings"] if file.exists() else {}
        shown = [text.replace(json.dumps(settings.get("host", "nowhere")), "") for text in written]
        assert [each for each in personal for text in shown if each in text] == []
        return Probed(code, printed, errors, json.loads(file.read_text()) if file.exists() else {})

    return run


@contextmanager
def service(**settings: Any) -> Iterator[Sandbox]:
    with run_sandbox(login=LOGIN, pin=PIN, speed=0, **settings) as sandbox:
        yield sandbox
        assert set(sandbox.numbers) <= {MINE}, "another number was sent"
        assert sum(sandbox.numbers.values()) <= 10
        assert len([entry for entry in sandbox.journal if entry.direction == RECEIVED and entry.method == "POST"]) <= 10


@pytest.mark.parametrize("name", [name for name in PROFILES if name != "moved"])
def test_the_probe_finds_what_a_service_differs_in(name: str, probe: Probe, tmp_path: Path) -> None:
    with service(profile=name) as sandbox:
        probed = probe(sandbox.url, "--yes")
    assert probed.code == 0, probed.errors
    # A profile made of the report has every difference.
    wanted = {**PROFILES[name].settings}
    learned = read_profile(str(tmp_path / "report.json"))
    words = wanted.pop("response_names", {})
    assert wanted == {key: learned[key] for key in wanted}
    assert ("--only" in probed.report["text"]) is (name in LIMITED)
    for key in ("status", "queued", "failed"):
        assert key not in words or learned["response_names"][key] == words[key].lower()
    # And a service by it answers the same.
    with service(profile=str(tmp_path / "report.json")) as sandbox:
        again = probe(sandbox.url, "--yes").report["profile"]
    assert {key: again[key] for key in learned} == learned


@pytest.mark.parametrize(
    ("file", "words"),
    [("result.txt", "must be a file whose name ends in .json"), ("nowhere/report.json", "No such file or directory")],
)
def test_nobody_is_called_if_the_report_cannot_be_written(file: str, words: str, probe: Probe, tmp_path: Path) -> None:
    with service() as sandbox:
        probed = probe(sandbox.url, "--yes", "--report", str(tmp_path / file))
        assert (probed.code, sandbox.journal, list(tmp_path.glob("result.*"))) == (2, [], [])
    assert words in probed.errors


@pytest.mark.parametrize("name", ["kept.json", "kept.txt"])
def test_an_existing_report_is_not_replaced(name: str, probe: Probe, tmp_path: Path) -> None:
    (tmp_path / name).write_text("an earlier report")
    with service() as sandbox:
        probed = probe(sandbox.url, "--yes", "--report", str(tmp_path / "kept.json"))
        assert (probed.code, sandbox.journal) == (2, [])
    assert f"kept{Path(name).suffix}': File exists. Nothing was sent. Choose another file" in probed.errors
    assert [path.read_text() for path in tmp_path.glob("kept.*")] == ["an earlier report"]


@pytest.mark.parametrize("option", ["--start-url", "--result-url"])
def test_a_url_that_is_not_valid_is_found_before_the_first_step(option: str, probe: Probe, tmp_path: Path) -> None:
    with service() as sandbox:
        probed = probe(sandbox.url, "--yes", option, "notaurl")
        assert (probed.code, sandbox.journal, list(tmp_path.glob("report.*"))) == (2, [], [])
    assert f"{option[2:].replace('-', '_')} does not start with http" in probed.errors


@pytest.mark.parametrize("error", [LookupError("unforeseen"), NotSent("the disk is full")])
def test_whatever_ends_the_probe_the_report_has_what_was_seen(
    error: Exception, probe: Probe, mocker: MockerFixture
) -> None:
    mocker.patch("airflow_provider_queuecalls.probe.walk.Walk._try_secure", side_effect=error)
    with service() as sandbox:
        probed = probe(sandbox.url, "--yes")
        assert len(sandbox.campaigns) > 1
    assert probed.code == 1
    assert str(error) in probed.errors
    assert "The probe ended here. The report has what was seen until now." in probed.errors
    assert probed.answer("check the PIN").startswith("Yes")


def test_the_settings_of_the_report_let_a_campaign_through(probe: Probe) -> None:
    with service(**STRANGE) as sandbox:
        probed = probe(sandbox.url, "--yes")
        settings = probed.report["settings"]
        assert settings == {"field_names": STRANGE["field_names"], "queued_values": {"result_state": "accepted"}}
        assert probed.answer("check the PIN").startswith("NO: IT ACCEPTS A WRONG PIN")
        assert "Nobody has confirmed" in probed.answer("look like")
    with service(**STRANGE) as sandbox:
        probed = probe(sandbox.url, "--yes", "--only", "campaign", **settings)
        assert "a campaign was queued" in probed.answer("form fields")
        assert len(sandbox.campaigns) == 1


@contextmanager
def tls_in_front(url: str, authority: trustme.CA) -> Iterator[str]:
    """A TLS server that passes everything on to a plain one."""
    host, _, port = url.partition("://")[2].partition(":")
    context = certificate(authority, host)

    def copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while block := source.recv(65536):
                target.sendall(block)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=one, args=(connection,), daemon=True).start()

    def one(connection: socket.socket) -> None:
        with (
            suppress(OSError),
            context.wrap_socket(connection, server_side=True) as outer,
            socket.create_connection((host, int(port))) as inner,
        ):
            back = threading.Thread(target=copy, args=(inner, outer), daemon=True)
            back.start()
            copy(outer, inner)
            back.join()

    with socket.create_server((host, 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"https://{host}:{listener.getsockname()[1]}"
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_a_service_that_redirects_to_https_and_differs_in_everything(
    probe: Probe, authority: trustme.CA, authority_file: str
) -> None:
    with service(**STRANGE) as sandbox, tls_in_front(sandbox.url, authority) as secure:
        target = f"{secure}/webservice/queuecalls.php"
        with service(redirect=target) as plain:
            probed = probe(plain.url, "--yes", verify=authority_file)
        assert probed.report["settings"]["host"] == target
        assert probed.report["settings"]["field_names"] == STRANGE["field_names"]
        assert "redirects plain http (302) to https" in probed.answer("https")
        assert "TLSv1." in probed.answer("https")
        assert "WRONG PIN" in probed.answer("PIN")
        assert probed.report["profile"]["redirect"] == "https"
        assert secure not in probed.report["text"]
        assert sandbox.numbers


def test_a_redirect_to_another_host_is_reported_and_not_followed(probe: Probe) -> None:
    with (
        service() as other,
        service(redirect=other.url.replace("127.0.0.1", "localhost").replace("http", "https")) as sandbox,
    ):
        probed = probe(sandbox.url, "--yes")
        assert other.journal == []
    assert probed.report["settings"] == {}
    assert "not followed" in probed.answer("https")


def test_a_person_confirms_the_number_agrees_to_steps_and_answers(probe: Probe) -> None:
    steps = {step.name: "no" for step in STEPS if step.name != "names"} | {"campaign": "yes"}
    typed = [
        "617-555-0199",
        *[
            answer
            for name in steps
            for answer in ([steps[name]] if name != "campaign" else ["y", "yes", "no", "script"])
        ],
    ]
    with service() as sandbox:
        probed = probe(sandbox.url, typed=typed)
        (campaign,) = sandbox.campaigns
    assert set(campaign.parameters) >= {
        "message_reference",
        "call_parameters",
        "max_retries",
        "retry_interval",
        "scheduled_timestamp",
    }
    assert campaign.parameters["start_url"] == f"{sandbox.url}/"
    assert "max_retry" in probed.answer("max_retries")
    assert "declined" in probed.answer("repeated")
    assert all(
        step.why in probed.printed and step.sends in probed.printed
        for step in STEPS
        if step.name not in ("names", "secure")
    )


def test_without_a_script_the_receivers_speaks_if_there_is_one(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__RESULTS_URL", "https://results.example.com")
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__RESULTS_SECRET", "a-secret-of-the-receiver")
    with service() as sandbox:
        probed = probe(sandbox.url, "--yes", "--only", "campaign")
        (campaign,) = sandbox.campaigns
    script = script_of(campaign.parameters["start_url"], ["a-secret-of-the-receiver"])
    assert script is not None
    assert script[1] == Speech()
    assert "that of the receiver" in probed.printed
    assert "results.example.com" not in probed.printed + json.dumps(probed.report)


@pytest.mark.parametrize("typed", [["16175550100"], [""], None])
def test_without_the_number_typed_again_nothing_is_sent(typed: list[str] | None, probe: Probe) -> None:
    with service() as sandbox:
        probed = probe(sandbox.url, typed=typed)
        assert (probed.code, sandbox.journal, probed.report) == (2, [], {})
    assert "Nothing was sent" in probed.errors


def test_words_that_nobody_knows_count_once_the_phone_has_rung(probe: Probe) -> None:
    only = ["--only", "wrong_pin", "--only", "campaign"]
    for rang, settings in (("yes", {"queued_values": {"state": "pending"}}), ("no", {})):
        with service(
            response_format="json", response_names={"status": "state", "queued": "pending", "failed": "denied"}
        ) as sandbox:
            probed = probe(sandbox.url, *only, typed=[MINE, "yes", "no", "yes", rang, "", ""])
        assert probed.report["settings"] == settings


def test_only_some_steps_and_what_they_need(probe: Probe) -> None:
    with service() as sandbox:
        probed = probe(sandbox.url, "--yes", "--only", "repeat")
        assert [len(sandbox.campaigns), probed.answer("repeated")[:13]] == [1, "It is refused"]


@pytest.mark.parametrize("only", [[], ["--only", "secure"]])
@pytest.mark.parametrize(
    ("settings", "learned", "answer"),
    [
        ({"field_names": {"secure": "is_pci"}}, {"field_names": {"secure": "is_pci"}}, "is_pci: a campaign with it was queued"),
        ({}, {}, "Not known: secure was refused"),
        ({"field_names": {"secure": "is_pci"}, "unknown_fields": "ignore"}, {}, "outside the secure environment. Ask the vendor."),
    ],
)  # fmt: skip
def test_the_name_of_secure_is_proven_only_by_a_service_that_refuses_unknown_fields(
    settings: Any, learned: Any, answer: str, only: list[str], probe: Probe
) -> None:
    with service(**settings) as sandbox:
        probed = probe(sandbox.url, "--yes", *only)
        secure = [campaign for campaign in sandbox.campaigns if "secure" in campaign.parameters]
    assert probed.report["settings"] == learned
    assert answer in probed.answer("secure")
    assert bool(secure) is bool(learned)
    is_refused = settings.get("unknown_fields") != "ignore"
    assert probed.answer("does not know").startswith("Yes" if is_refused else "No, it ignores them")
    if not only:
        assert ("also those of optional fields" in probed.answer("form fields right")) is is_refused


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "nothing", "--to", MINE], "The steps are reach"),
        (["--to", "911"], "--to must be"),
        ([], "--to must be"),
    ],
)
def test_options_that_are_not_valid(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["probe", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_steps_are_listed_and_have_no_number_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["probe", "--list"]) == 0
    printed = capsys.readouterr().out
    assert [step.name for step in STEPS if step.title not in printed] == []
    rows = [row for step in STEPS for row in step.rows]
    assert [row for row in rows if re.search(r"\d", row.replace(NUMBER, ""))] == []
    assert BY_NAME["twice"].calls == 2
