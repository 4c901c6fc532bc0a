"""The scripts of a real receiver: what is spoken in a call, and the choices that are posted back."""

from __future__ import annotations

import json
import signal
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests
from defusedxml.ElementTree import fromstring

from airflow_provider_queuecalls.records.call_results import read_result
from airflow_provider_queuecalls.records.database.database import Database
from airflow_provider_queuecalls.records.receiver.urls import results_url, script_url
from airflow_provider_queuecalls.voice.speech import Speech
from tests.support.receiver import KEY, NEW, NUMBER, OLD, REFERENCE, RESULT, choices, receiver, stored

TEXT = "Your \"appointment\" is at <9:30> & it's Zoë's 😀"
SPEECH = Speech(choices={"1": "confirmed", "2": "cancelled & gone"})
CALL = {"phone_number": NUMBER, "message_reference": f" {REFERENCE}", "call_parameters": TEXT, "call_id": "7"}


def spoken(response: requests.Response) -> list[str]:
    """What a script says first."""
    assert (response.status_code, response.headers["content-type"]) == (200, "application/voicexml+xml")
    prompt = fromstring(response.content).find(".//prompt")
    return [] if prompt is None else list(prompt.itertext())


def posted_fields(response: requests.Response, choice: str) -> dict[str, str]:
    """What a voice browser posts when somebody makes a choice."""
    root: Any = fromstring(response.content)
    values = {var.get("name"): json.loads(f'"{var.get("expr")[1:-1]}"') for var in root.iter("var")}
    return {name: values.get(name, choice) for name in root.find(".//submit").get("namelist").split()}


def test_a_receiver_without_a_database_speaks_and_refuses_what_it_cannot_store(capfd: Any) -> None:
    with receiver("") as (process, base):
        url = script_url(f"{base}/any/prefix", KEY, Speech(), [OLD])
        assert spoken(requests.get(url, timeout=30)) == []
        assert spoken(requests.get(url, CALL, timeout=30)) == [TEXT, TEXT]
        assert spoken(requests.post(url, CALL, timeout=30)) == [TEXT, TEXT]
        assert (
            spoken(requests.post(url, {**CALL, "call_parameter": "the contact's own"}, timeout=30))[0]
            == "the contact's own"
        )
        assert requests.head(url, timeout=30).headers["content-type"] == "application/voicexml+xml"
        assert requests.put(url, timeout=30).status_code == 405
        for stores in (results_url(base, KEY, [NEW]), script_url(base, KEY, SPEECH, [NEW])):
            for method in ("GET", "POST"):
                response = requests.request(method, stores, data=RESULT, timeout=30)
                assert (response.status_code, response.text) == (503, "this receiver has no database\n")
        assert requests.get(f"{base}/health", timeout=30).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert "results and choices are refused" in process.logged()


def test_a_choice_is_stored_for_its_call_and_the_log_has_nothing_that_was_said(sqlite: str) -> None:
    with receiver(sqlite) as (process, base):
        url = script_url(base, KEY, SPEECH, [NEW])
        signature = url.rpartition("/")[2]
        script = requests.post(url, CALL, timeout=30)
        assert spoken(script)[0] == TEXT
        for choice in SPEECH.choices.values():
            response = requests.post(url, posted_fields(script, choice), timeout=30)
            assert (response.status_code, spoken(response), b"<exit/>" in response.content) == (200, [], True)
        for wrong in ({**CALL, "choice": "1"}, {"choice": "confirmed"}):
            assert requests.post(url, wrong, timeout=30).status_code == 400
        assert (
            requests.post(
                script_url(base, KEY, Speech(), [NEW]), {**CALL, "choice": "confirmed"}, timeout=30
            ).status_code
            == 400
        )
        assert requests.get(url, {**CALL, "choice": "confirmed"}, timeout=30).status_code == 200
        assert requests.post(url, data=b"x" * ((64 << 10) + 1), timeout=30).status_code == 413
        for wrong_url in (
            url[:-1],
            url.replace(KEY, "1"),
            script_url(base, KEY, SPEECH, ["a secret of somebody else"]),
        ):
            assert requests.post(wrong_url, {**CALL, "choice": "confirmed"}, timeout=30).status_code == 404
        assert requests.post(results_url(base, KEY, [NEW]), RESULT, timeout=30).text == "stored\n"
        process.send_signal(signal.SIGTERM)
        errors, (printed, _) = process.logged(), process.communicate()
    (row,) = stored(sqlite)
    call = read_result(json.loads(row["fields"]).items()).result.call_key
    with closing(Database(sqlite)) as database:
        assert choices(database) == [(KEY, call, "cancelled & gone")]
    assert f"POST 200 campaign {KEY}: choice stored" in errors
    for secret in (NUMBER, REFERENCE, signature, "9:30", "confirmed", "cancelled", "Traceback"):
        assert secret not in printed + errors


@pytest.mark.parametrize("speech", [Speech(), SPEECH])
def test_a_script_needs_no_database_and_a_choice_that_is_not_stored_is_not_acknowledged(
    speech: Speech, sqlite: str, tmp_path: Path
) -> None:
    with receiver(sqlite) as (_, base):
        url = script_url(base, KEY, speech, [NEW])
        (tmp_path / "results.db").rename(tmp_path / "moved.db")
        assert spoken(requests.post(url, CALL, timeout=30))[0] == TEXT
        expected = 503 if speech.choices else 400
        assert requests.post(url, {**CALL, "choice": "confirmed"}, timeout=30).status_code == expected
