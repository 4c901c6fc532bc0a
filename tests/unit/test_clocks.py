"""The clocks of time zones, whatever time zone data the system has."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from airflow_provider_queuecalls import clocks
from tests.support.command import REPOSITORY

VANCOUVER = """
from airflow_provider_queuecalls.client.campaign import Campaign
from airflow_provider_queuecalls.clocks import clocks, offset, tzdata
campaign = Campaign(start_url="https://x.example/y", scheduled_timestamp="2027-01-15T00:00 America/Vancouver")
print(tzdata(), [offset(clock, 1800000000) // 3600 for clock in clocks("America/Vancouver")], campaign.scheduled_timestamp)
"""


@pytest.mark.skipif(version("tzdata") < "2026.6", reason="the package is older than the changes in Canada")
@pytest.mark.parametrize(
    ("system", "expected"),
    [
        ("2099a", "('2099a', False) [-7] 1799996400"),
        ("2025b", "[-7] 1799996400"),
        ("unknown", "', True) [-7] 1799996400"),
        (None, "[-7] 1799996400"),
    ],
)
def test_the_newest_time_zone_data_is_used(tmp_path: Path, system: str | None, expected: str) -> None:
    """Even if it is not the system's, which Python prefers."""
    if system:
        (tmp_path / "tzdata.zi").write_text(f"# version {system}\n")
    environment = {**os.environ, "PYTHONTZPATH": str(tmp_path)}
    ran = subprocess.run([sys.executable, "-c", VANCOUVER], capture_output=True, text=True, check=True, cwd=REPOSITORY, env=environment)  # fmt: skip
    assert ran.stdout.strip().endswith(expected)


def test_with_old_time_zone_data_both_clocks_must_be_within_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clocks, "tzdata", lambda: ("2025b", True))
    clocks.clocks.cache_clear()
    try:
        assert len(clocks.clocks("America/Vancouver")) == 2
        assert len(clocks.clocks("America/Los_Angeles")) == 1
    finally:
        clocks.clocks.cache_clear()
