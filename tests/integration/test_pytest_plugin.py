"""The pytest fixture ``queuecalls_sandbox``: the documentation's example, and its cost where it isn't used."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import requests

from airflow_provider_queuecalls.client.campaign import Campaign
from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook
from airflow_provider_queuecalls.sandbox.server import Sandbox
from tests.conftest import HOME
from tests.support.command import REPOSITORY, newly_imported
from tests.support.moved import for_this_airflow
from tests.support.sandbox import START_URL, post


def run(*command: str, folder: Path, **environment: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env={**inherited, **environment}, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_documented_example_passes(database: None, tmp_path: Path) -> None:
    text = (REPOSITORY / "docs" / "testing.md").read_text(encoding="utf-8")
    files = dict(re.findall(r"```python\n# (\S+\.py)\n(.*?)```", text, flags=re.DOTALL))
    assert list(files) == ["dags/reminders.py", "tests/conftest.py", "tests/test_reminders.py"]
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(for_this_airflow(content.replace("/tmp/", f"{tmp_path}/")), encoding="utf-8")

    # Its database is a copy, which saves most of the time. Not of the file: closing it would release SQLite's own locks.
    with (
        closing(sqlite3.connect(HOME / "airflow.db")) as ours,
        closing(sqlite3.connect(tmp_path / "airflow.db")) as copy,
    ):
        ours.backup(copy)
    printed = run(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", folder=tmp_path, PYTHONPATH=str(REPOSITORY),
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{tmp_path / 'airflow.db'}",
    )  # fmt: skip

    assert "3 passed" in printed


def test_the_plugin_imports_nothing_but_itself() -> None:
    modules = newly_imported("import airflow_provider_queuecalls.pytest_plugin", after="import pytest")
    assert modules == {"airflow_provider_queuecalls", "airflow_provider_queuecalls.pytest_plugin"}


def test_the_sandbox_is_empty_at_the_start_of_each_test(queuecalls_sandbox: Sandbox) -> None:
    assert (queuecalls_sandbox.campaigns, queuecalls_sandbox.calls, queuecalls_sandbox.attempts) == ([], [], {})
    assert queuecalls_sandbox.journal == []


def test_the_connection_leads_to_it(queuecalls_sandbox: Sandbox, small_list: Path) -> None:
    QueueCallsHook().queue_calls(small_list, Campaign(start_url=START_URL, campaign_name="spring"))

    assert [campaign.name for campaign in queuecalls_sandbox.campaigns] == ["spring"]
    assert len(queuecalls_sandbox.calls) == len(queuecalls_sandbox.calls_of("spring")) == 3


def test_sandbox_and_connection_end_with_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import os
        from pathlib import Path

        def test_uses_it(queuecalls_sandbox):
            assert queuecalls_sandbox.url in os.environ["AIRFLOW_CONN_QUEUECALLS_DEFAULT"]
            Path("url").write_text(queuecalls_sandbox.url)

        def test_comes_after():
            assert "AIRFLOW_CONN_QUEUECALLS_DEFAULT" not in os.environ
        """
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=2)

    with pytest.raises(requests.ConnectionError):
        requests.get((pytester.path / "url").read_text(), timeout=60)


def test_no_option_from_outside_reaches_a_test(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    file = pytester.path / "results.db"
    (pytester.path / "airflow.cfg").write_text(
        f"[queuecalls]\nresults_database = sqlite:///{file}\nresults_url = https://results.example.com\n"
    )
    monkeypatch.setenv("AIRFLOW_HOME", str(pytester.path))
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__RESULTS_SECRET", "a secret of a deployment")
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__MAX_PER_PERIOD", "1/24h")
    pytester.makepyfile(
        """
        from airflow_provider_queuecalls._airflow import settings
        from airflow_provider_queuecalls.client import Campaign
        from airflow_provider_queuecalls.get_provider_info import get_provider_info
        from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook

        OPTIONS = {*get_provider_info()["config"]["queuecalls"]["options"]}

        def test_it_is_set_outside():
            assert {name for name in OPTIONS if settings.option(name)} >= {"results_database", "max_per_period"}

        def test_it_is_not_set_inside(queuecalls_sandbox, tmp_path):
            assert {name for name in OPTIONS if settings.option(name)} == {"receipts_path"}
            (tmp_path / "calls.csv").write_text("16175550100\\n")
            campaign = Campaign(start_url="https://ivr.example.com/x.vxml", campaign_name="spring")
            QueueCallsHook().deliver(tmp_path / "calls.csv", campaign)
            assert len(queuecalls_sandbox.campaigns) == 1

        def test_a_test_sets_it(queuecalls_sandbox, monkeypatch):
            monkeypatch.setenv("AIRFLOW__QUEUECALLS__RESULTS_DATABASE", "sqlite:////tmp/x.db")
            assert settings.option("results_database") == "sqlite:////tmp/x.db"
        """
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=3)
    assert not file.exists()


def test_two_sandboxes_are_independent(queuecalls_sandbox: Sandbox) -> None:
    from airflow_provider_queuecalls.sandbox.server import run_sandbox

    with run_sandbox(speed=0) as another:
        post(another)
        another.fail_next("http_503")
        assert (len(another.campaigns), queuecalls_sandbox.campaigns) == (1, [])
        assert post(queuecalls_sandbox).status_code == 200
