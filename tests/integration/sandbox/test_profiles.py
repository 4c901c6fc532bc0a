"""Profiles of the sandbox: each can be sent to with its own connection, and tests of users run against one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_queuecalls import cli
from airflow_provider_queuecalls.client.campaign import Campaign
from airflow_provider_queuecalls.exceptions import QueueCallsError, Refused
from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook
from airflow_provider_queuecalls.outcome import Outcome
from airflow_provider_queuecalls.sandbox.profiles import PROFILES, read_profile
from airflow_provider_queuecalls.sandbox.server import run_sandbox
from tests.support.sandbox import START_URL

TESTS = """
import json

def test_the_words_of_the_service(queuecalls_sandbox):
    assert json.loads(queuecalls_sandbox.connection)["extra"]["queued_values"] == {queued_values}
"""


@pytest.fixture
def profile_file(tmp_path: Path) -> Path:
    path = tmp_path / "profile.json"
    path.write_text(
        json.dumps({"profile": {"response_names": {"status": "state", "queued": "accepted"}}, "points": []})
    )
    return path


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_can_be_sent_to_with_the_connection_that_leads_to_it(
    name: str, contacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run_sandbox(profile=name, speed=0) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_QUEUECALLS_DEFAULT", sandbox.connection)
        campaign = Campaign(start_url=START_URL, campaign_name="by profile")
        if name == "moved":
            with pytest.raises(Refused, match=r"a redirect, which is never followed \(to https\)"):
                QueueCallsHook().queue_calls(contacts, campaign)
        else:
            assert QueueCallsHook().queue_calls(contacts, campaign).outcome is Outcome.QUEUED
            assert [each.name for each in sandbox.campaigns] == ["by profile"]


@pytest.mark.parametrize("response_format", ["xml", "json", "text"])
def test_a_profile_with_some_words_can_be_sent_to(
    response_format: str, contacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = tmp_path / "profile.json"
    profile.write_text(json.dumps({"response_format": response_format, "response_names": {"status": "state"}}))
    with run_sandbox(profile=str(profile), speed=0) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_QUEUECALLS_DEFAULT", sandbox.connection)
        campaign = Campaign(start_url=START_URL, campaign_name="by profile")
        assert QueueCallsHook().queue_calls(contacts, campaign).outcome is Outcome.QUEUED


def test_settings_win_over_a_profile(profile_file: Path) -> None:
    with run_sandbox(profile=str(profile_file), response_names={"queued": "fine"}) as sandbox:
        assert json.loads(sandbox.connection)["extra"]["queued_values"] == {"status": "fine"}


@pytest.mark.parametrize(
    ("profile", "queued_values"), [("terse", {"text": "OK"}), ("profile.json", {"state": "accepted"})]
)
def test_the_fixture_runs_the_service_that_pytest_is_configured_with(
    profile: str, queued_values: dict[str, str], profile_file: Path, pytester: pytest.Pytester
) -> None:
    (pytester.path / "profile.json").write_text(profile_file.read_text())
    pytester.makeini(f"[pytest]\nqueuecalls_profile = {profile}")
    pytester.makepyfile(TESTS.replace("{queued_values}", repr(queued_values)))
    pytester.runpytest("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_the_command_lists_profiles(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sandbox", "--profile", "list"]) == 0
    printed = capsys.readouterr().out
    assert [name for name, profile in PROFILES.items() if f"{name} " not in printed or profile.doc not in printed] == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "must be a JSON object"),
        ('{"color": "red"}', "has the key 'color'; a key must be 'field_names', "),
        ('{"duplicates": "maybe"}', "duplicates is 'maybe'; it must be 'queue', 'drop', or 'refuse'."),
        ('{"checks_pin": null}', "checks_pin is None; it must be true or false."),
        (
            '{"response_names": {"color": "red"}}',
            "response_names is a dict of 1; it must be a JSON object of strings, ",
        ),
        ("{", "cannot be read"),
    ],
)
def test_a_profile_that_is_not_valid(content: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "profile.json").write_text(content)
    with pytest.raises(QueueCallsError, match=words):
        read_profile(str(tmp_path / "profile.json"))
    with pytest.raises(QueueCallsError, match="There is no profile"):
        read_profile("nothing")
