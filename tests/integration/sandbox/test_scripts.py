"""Scripts at start_url: what is said, which keys are pressed, what is submitted, and which scripts fail a call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
import requests

from airflow_provider_queuecalls.sandbox import callbacks
from airflow_provider_queuecalls.sandbox.journal import Entry
from airflow_provider_queuecalls.sandbox.server import Sandbox, run_sandbox
from airflow_provider_queuecalls.sandbox.voice_browser import PATIENCE, ScriptError, read_script
from tests.support.fault_server import Exchange, FaultServer, hang
from tests.support.sandbox import SCRIPT, Listener, listening, number, post

CHOICES = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE vxml PUBLIC "-//W3C//DTD VOICEXML 2.0//EN" "http://www.w3.org/TR/voicexml20/vxml.dtd">
<vxml version="2.0" xmlns="http://www.w3.org/2001/vxml" xml:lang="en-US">
  <!-- what is posted with the choice -->
  <form>
    <var name="call_id" expr="'1'"/><var name="place" expr="&quot;Caf\\u00e9 \\ud83d\\ude00, \\'Main\\x20St\\'&quot;"/>
    <var name="unset"/>
    <field name="choice">
      <prompt>Your <emphasis>appointment</emphasis> is on Tuesday &amp; at 9:30.<break time="500ms"/>Press 1 or 2.</prompt>
      <option dtmf="1" value="confirmed">confirm</option><option dtmf="2">canceled</option><option dtmf="9" value="do not call"/>
      <noinput count="1"><prompt>Nothing.</prompt><reprompt/></noinput>
      <noinput count="2"><prompt>Goodbye.</prompt><exit/></noinput>
      <nomatch><prompt>That is no choice.</prompt></nomatch>
      <filled>
        <prompt>Thank you: <value expr="choice"/>.</prompt>
        <submit next="/choice?of=1#here" method="post" namelist="call_id place unset choice"/>
      </filled>
    </field>
  </form>
</vxml>"""
SENTENCE = "Your appointment is on Tuesday & at 9:30. … Press 1 or 2."


def journal(sandbox: Sandbox) -> list[Entry]:
    return [entry for entry in sandbox.journal if entry.direction == "sent"]


@pytest.mark.parametrize(
    ("ending", "choice", "heard"),
    [
        ("555-0111", "confirmed", [SENTENCE, "[presses 1]", "Thank you: confirmed."]),
        ("555-0112", "canceled", [SENTENCE, "[presses 2]", "Thank you: canceled."]),
        ("555-0119", "do not call", [SENTENCE, "[presses 9]", "Thank you: do not call."]),
        ("555-0120", "confirmed", [SENTENCE, "[presses *]", "That is no choice.", "[presses 1]", "Thank you: confirmed."]),
        *(
            (silent, None, [SENTENCE, "[presses nothing]", "Nothing.", SENTENCE, "[presses nothing]", "Goodbye."])
            for silent in ("555-0100", "555-0105", "555-0107")
        ),
    ],
)  # fmt: skip
def test_keys_are_pressed_by_the_last_digits_and_what_is_chosen_is_submitted(
    queuecalls_sandbox: Sandbox, listener: Listener, ending: str, choice: str | None, heard: list[str]
) -> None:
    listener.scripts = {"/start": CHOICES}
    post(queuecalls_sandbox, f"{number(ending)}\n", start_url=f"{listener.url}/start", result_url=f"{listener.url}/r")
    queuecalls_sandbox.advance(hours=1)

    started, *submitted, result = journal(queuecalls_sandbox)
    assert (started.note, list(started.transcript)) == ("start_url for call 100000001.", heard)
    assert (result.fields["result"], result.transcript) == ("completed", ())
    fields = {"call_id": "1", "place": "Café 😀, 'Main St'", "choice": choice}
    assert [received for received in listener.received if received[0].startswith("/choice")] == (
        [("/choice?of=1", fields)] if choice else []
    )
    assert [(entry.method, entry.fields, entry.transcript) for entry in submitted] == (
        [("POST", fields, ("Hello.",))] if choice else []
    )
    page = requests.get(f"{queuecalls_sandbox.url}/campaigns/1", timeout=30).text
    assert f"<td>{heard[-1]}</td>" in page.replace("<wbr>", "")


def test_other_people_press_one_of_the_keys_or_none_by_chance_and_repeatably(listener: Listener) -> None:
    listener.scripts = {"/start": CHOICES}

    def chosen(seed: int) -> list[str]:
        with run_sandbox(speed=0, seed=seed) as sandbox:
            post(sandbox, "".join(f"1617444{n:04}\n" for n in range(40)), start_url=f"{listener.url}/start")
            sandbox.advance(seconds=1)
            return [entry.transcript[1] for entry in journal(sandbox) if entry.note.startswith("start_url")]

    first = chosen(1)
    assert Counter(first).keys() == {"[presses 1]", "[presses 2]", "[presses 9]", "[presses nothing]"}
    assert chosen(1) == first
    assert chosen(2) != first


BODY = '<?xml version="1.0"?><vxml version="2.0"><form>{}</form></vxml>'
ENDLESS = '<block><submit next="/start"/></block>'


@pytest.mark.parametrize(
    ("status", "script", "problem"),
    [
        (404, SCRIPT, "responds with HTTP 404 instead of 200"),
        (302, SCRIPT, "responds with HTTP 302 instead of 200"),
        (200, "", "is not well-formed XML (line 1)"),
        (200, "ok", "is not well-formed XML (line 1)"),
        (200, BODY.format("<block>\nTom & Jerry</block>"), "is not well-formed XML (line 2)"),
        (200, '<!DOCTYPE vxml [<!ENTITY a "b">]><vxml version="2.0"/>', "is not well-formed XML"),
        (200, "<html><body/></html>", "contains an element that VoiceXML 2.0 does not have"),
        (200, '<vxml version="2.0" xmlns="urn:other"/>', "contains an element that VoiceXML 2.0 does not have"),
        (200, BODY.format("<block><speak>Hi</speak></block>"), "contains an element that VoiceXML 2.0 does not have"),
        (200, "<form/>", "is not VoiceXML: its root element is <form>"),
        (200, "<vxml><form/></vxml>", "has no version='2.0' in its <vxml>"),
        (200, '<vxml version="2.0"/>', "contains no form"),
        (200, BODY.format('<block><submit next="/x" namelist="a"/></block>'), "submits 1 variables that it does not declare"),
        (200, BODY.format('<block><submit next="/x" method="put"/></block>'), "submits with a method that is neither get nor post"),
        (200, BODY.format('<block><submit next="http://["/></block>'), "submits to something that is not a URL"),
        (200, BODY.format(f"<block><prompt>{'<s>' * 9_000}{'</s>' * 9_000}</prompt></block>"), "is nested too deeply"),
        (200, SCRIPT.replace("?>", " encoding='unheard-of'?>"), "is not well-formed XML"),
        (200, BODY.format(ENDLESS), f"submits {callbacks.MOST_DOCUMENTS} times"),
        (200, f"<!--{'x' * callbacks.MOST_SCRIPT_BYTES}-->{SCRIPT}", "does not respond (more than 256 KiB)"),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_a_script_that_cannot_be_read_fails_the_call_and_the_journal_says_why(
    queuecalls_sandbox: Sandbox, status: int, script: str, problem: str
) -> None:
    with listening(status) as listener:
        listener.scripts = {"/start": script}
        post(queuecalls_sandbox, start_url=f"{listener.url}/start", result_url=listener.url, max_retries="3")
        queuecalls_sandbox.advance(hours=1)

    (call,) = queuecalls_sandbox.calls
    assert (call.state, call.last_attempt, call.attempts, call.duration) == ("failed", "script failed", 1, 0)
    *_, failed, result = journal(queuecalls_sandbox)
    assert failed.note.endswith(f" for call 100000001: the call fails, since the script {problem}.")
    assert (result.fields["result"], result.fields["callee_type"]) == ("failed", "human")
    assert queuecalls_sandbox.campaigns[0].progress.failed == 1


def dribble(exchange: Exchange) -> None:
    exchange.send(b"HTTP/1.1 200 OK\r\n\r\n" + SCRIPT.encode(), pause=0.02)


@pytest.mark.parametrize(
    ("act", "limit", "problem"),
    [(hang(), 0.3, "(ReadTimeout)"), (dribble, 2, "(not within 2 seconds)")],  # in which the next byte has to come
    ids=["silent", "slow"],
)
def test_a_script_that_takes_too_long_fails_the_call(
    queuecalls_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, act: Callable[[Exchange], None], limit: float, problem: str
) -> None:  # fmt: skip
    assert callbacks.TIMEOUT_SECONDS == 5
    monkeypatch.setattr(callbacks, "TIMEOUT_SECONDS", limit)
    with FaultServer(act) as server:
        post(queuecalls_sandbox, start_url=server.url)
        queuecalls_sandbox.advance(seconds=1)

    (entry,) = journal(queuecalls_sandbox)
    assert entry.note.endswith(f"the call fails, since the script does not respond {problem}.")


def read(script: str, keys: str = "") -> tuple[tuple[str, ...], object, str | None]:
    pressed = iter(keys)
    return read_script(script.encode(), "http://127.0.0.1/a/b", lambda _: next(pressed, ""))


FIELD = '<field name="f"><option dtmf="1">one</option>{}</field>'
#: After the examples of sections 4.1.6 (tapered prompts), 5.2.4 (handlers), and 5.3.8 of the recommendation.
TAPERED = """<prompt count="1">Welcome. Which?</prompt><prompt count="3">Which one?</prompt>
    <noinput>Sorry?<reprompt/></noinput><catch event="nomatch noinput" count="3"><prompt>Goodbye.</prompt><disconnect/></catch>"""


@pytest.mark.parametrize(
    ("script", "keys", "heard"),
    [
        (BODY.format("<block>One, <audio src='a.wav'>two</audio> three.<audio src='b.wav'/></block>"), "",
         ["One,", "two", "three.", "[plays b.wav]"]),
        (BODY.format(FIELD.format(TAPERED)), "",
         ["Welcome. Which?", "[presses nothing]", "Sorry?", "Welcome. Which?", "[presses nothing]", "Sorry?", "Which one?",
          "[presses nothing]", "Goodbye."]),
        (BODY.format(FIELD.format("<prompt>Which?</prompt>") + "<noinput count='2'><exit/></noinput>"), "7",
         ["Which?", "[presses 7]", "Which?", "[presses nothing]", "Which?", "[presses nothing]"]),
        (BODY.format(FIELD.format("<prompt>Which?</prompt>") + "<filled>Taken.</filled><block>The end.</block>"), "1",
         ["Which?", "[presses 1]", "Taken.", "The end."]),
        (BODY.format("<var name='a' expr=\"'x'\"/><block><assign name='a' expr=\"'y'\"/><log>z</log><value expr='a'/></block>"), "",
         ["y"]),
        (BODY.format("<block>Bye.<disconnect/>Not said.</block><block>Nor this.</block>"), "", ["Bye."]),
        (BODY.format(FIELD.format("")), "", ["[presses nothing]"] * PATIENCE + ["[hangs up]"]),
    ],
)  # fmt: skip
def test_scripts_are_read_as_the_recommendation_says(script: str, keys: str, heard: list[str]) -> None:
    assert read(script, keys) == (tuple(heard), None, None)


@pytest.mark.parametrize(
    ("content", "left_out"),
    [
        ("<block>Said.<goto next='#b'/></block>", "<goto>"),
        ("<block>Said.<if cond='true'/></block>", "<if>"),
        ("<block>Said.</block><transfer name='t'/>", "<transfer>"),
        ("<block>Said.<var name='a' expr='1 + 1'/></block>", "<var> with an expression"),
        ("<block>Said.<prompt cond='a'>Not.</prompt></block>", "<prompt> with a condition"),
        ("<block>Said.</block><field name='f' type='digits'/>", "<field> without an option that has dtmf"),
        ("<block>Said.<submit expr='a'/></block>", "<submit>"),
    ],
)
def test_what_only_the_sandbox_does_not_execute_fails_no_call(
    queuecalls_sandbox: Sandbox, listener: Listener, content: str, left_out: str
) -> None:
    assert read(BODY.format(content)) == (("Said.",), None, left_out)

    listener.scripts = {"/start": BODY.format(content)}
    post(queuecalls_sandbox, start_url=f"{listener.url}/start")
    queuecalls_sandbox.advance(hours=1)
    (entry,) = journal(queuecalls_sandbox)
    assert entry.note == f"start_url for call 100000001: read up to {left_out}, which the sandbox does not execute."
    assert queuecalls_sandbox.calls[0].state == "completed"


def test_a_count_that_is_no_number_is_an_error() -> None:
    with pytest.raises(ScriptError, match="has a count that is not a whole number"):
        read(BODY.format(FIELD.format("<prompt count='x'/>")))


def test_nothing_is_submitted_to_another_machine(queuecalls_sandbox: Sandbox, listener: Listener) -> None:
    listener.scripts = {"/start": BODY.format('<block>Said.<submit next="http://192.0.2.1/"/></block>')}
    post(queuecalls_sandbox, start_url=f"{listener.url}/start")
    queuecalls_sandbox.advance(hours=1)

    (entry,) = journal(queuecalls_sandbox)
    assert "nothing is submitted to another machine (--callback-host HOST allows it)" in entry.note
    assert queuecalls_sandbox.calls[0].state == "completed"
