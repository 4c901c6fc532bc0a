"""A campaign whose start has passed calls people at once, so it is sent only within limits."""

from __future__ import annotations

import io
import time
from datetime import timedelta
from unittest.mock import patch

import pytest

from airflow_provider_queuecalls.client.campaign import Campaign
from airflow_provider_queuecalls.client.client import Client
from airflow_provider_queuecalls.client.endpoint import Endpoint
from airflow_provider_queuecalls.client.multipart import Upload
from airflow_provider_queuecalls.exceptions import InvalidCampaign
from airflow_provider_queuecalls.value_types import EARLIEST_TIMESTAMP

START_URL = "https://ivr.example.com/start.vxml"
NOW = 1_764_082_980  # 2025-11-25 15:03 UTC
MINUTE = 60


def untimely(**values: object) -> str:
    """Why a campaign may not be sent at NOW; empty where it may."""
    try:
        campaign = Campaign(**{"start_url": START_URL, **values})  # type: ignore[arg-type]
        with patch("time.time", return_value=NOW):
            campaign.assert_timely()
    except InvalidCampaign as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"scheduled_timestamp": 0},
        {"scheduled_timestamp": NOW + MINUTE},
        {"scheduled_timestamp": NOW - 15 * MINUTE},
        {"scheduled_timestamp": NOW - 12 * 60 * MINUTE, "expiration_timestamp": NOW + MINUTE},
        {"scheduled_timestamp": NOW - 60 * MINUTE, "start_late": "1 hour"},
        {"scheduled_timestamp": NOW - 60 * MINUTE, "start_late": 60},
        {"scheduled_timestamp": NOW - 60 * MINUTE, "start_late": timedelta(hours=1)},
        {"scheduled_timestamp": EARLIEST_TIMESTAMP, "start_late": " any\n"},
        {"scheduled_time": "now"},
    ],
    ids=str,
)
def test_a_start_that_is_hardly_late_or_bounded_may_be_sent(values: dict[str, object]) -> None:
    assert untimely(**values) == ""


@pytest.mark.parametrize(
    "values",
    [
        {"scheduled_timestamp": NOW - 15 * MINUTE - 1},
        {"scheduled_timestamp": NOW - 60 * MINUTE - 1, "start_late": "1 hour"},
        {"scheduled_timestamp": NOW - 1, "start_late": 0},
        {"scheduled_timestamp": NOW - 16 * MINUTE, "expiration_timestamp": 0},
        {"scheduled_timestamp": NOW - 16 * MINUTE, "expiration_time": "+3 days"},
    ],
    ids=str,
)
def test_a_start_that_is_late_is_refused(values: dict[str, object]) -> None:
    assert "scheduled_timestamp" in untimely(**values)


def test_a_late_start_says_what_passed_by_how_much_and_what_to_do() -> None:
    assert untimely(scheduled_timestamp=NOW - 11 * 60 * MINUTE - 20 * MINUTE).splitlines()[1] == (
        "  - scheduled_timestamp is 2025-11-25 03:43 UTC, which passed 11 hours 20 minutes ago, so the calls would start "
        "at once; it must be at most 15 minutes in the past (start_late). Set expiration_timestamp to the time after "
        "which nobody may be called, or start_late='any' to call at whatever time it is"
    )


@pytest.mark.parametrize("start_late", ["any", None])
def test_an_expiration_that_has_passed_is_refused(start_late: str | None) -> None:
    found = untimely(expiration_timestamp=NOW - 5 * MINUTE, start_late=start_late)
    assert "expiration_timestamp is 2025-11-25 14:58 UTC, which passed 5 minutes ago; it must be in the future" in found


@pytest.mark.parametrize("value", ["soon", -1, "-1 hours", "whenever"])
def test_a_grace_time_that_is_not_a_duration_is_refused(value: object) -> None:
    assert "start_late" in untimely(start_late=value)


def test_start_late_has_no_field_in_the_form() -> None:
    fields = Campaign(start_url=START_URL, start_late="1 hour").form({"login": "", "pin": "", "contacts": ""}, {})
    assert {name for name, _ in fields} == {"login", "pin", "phone_number_list", "start_url"}


def test_a_late_campaign_is_refused_before_the_service_is_asked_for() -> None:
    endpoint = Endpoint(url="http://127.0.0.1:1/", login="bob", password="4711", pin="4711")
    campaign = Campaign(start_url=START_URL, scheduled_timestamp=int(time.time()) - 86_400, campaign_name="spring")
    with pytest.raises(InvalidCampaign, match="start_late") as caught:
        Client(endpoint).queue_calls(Upload(io.BytesIO(b"16175550100\n"), "calls.csv", 12), campaign)
    assert caught.value.campaign_name == "spring"
