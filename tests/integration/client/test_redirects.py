"""What a redirect and "not now" lead to."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path

import pytest

from airflow_provider_queuecalls.client.response import NOT_ACCEPTED_CODES
from airflow_provider_queuecalls.exceptions import NotAccepted, Refused
from tests.conftest import Connect
from tests.support.fault_server import FaultServer, respond
from tests.support.outcomes import QUEUED_XML, assert_outcome, bounded_memory, queue


def test_another_host_that_a_redirect_names_receives_nothing(connect: Connect, small_list: Path) -> None:
    with FaultServer(respond(200, QUEUED_XML)) as other:
        for code in (301, 302, 303, 307, 308):
            with FaultServer(respond(code, b"", [("Location", f"{other.url}/x")])) as server:
                connect(server.url)
                assert_outcome(queue(small_list), Refused, code)
    assert other.connections == 0


def test_a_redirects_endless_body_is_not_read(connect: Connect, small_list: Path) -> None:
    with FaultServer(respond(302, itertools.repeat(bytes(1 << 20), 300), [("Location", "/x")])) as server:
        connect(server.url)
        with bounded_memory(32):
            assert_outcome(queue(small_list), Refused, 302)
    assert server.posts[0].response_bytes < 30 << 20


@pytest.mark.parametrize("code", sorted(NOT_ACCEPTED_CODES))
def test_retry_after_in_seconds_is_passed_on(code: int, connect: Connect, small_list: Path) -> None:
    with FaultServer(respond(code, b"", [("Retry-After", "120")])) as server:
        connect(server.url)
        result = queue(small_list)
    assert isinstance(result, NotAccepted)
    assert result.retry_after == 120


@pytest.mark.parametrize("value", ["4000000000", "9" * 20, "9" * 400, "Mon, 01 Jan 2150 00:00:00 GMT"])
def test_retry_after_is_at_most_a_day(value: str, connect: Connect, small_list: Path) -> None:
    with FaultServer(respond(429, b"", [("Retry-After", value)])) as server:
        connect(server.url)
        result = queue(small_list)
    assert isinstance(result, NotAccepted)
    assert result.retry_after == timedelta(days=1).total_seconds()


def test_retry_after_as_a_date_is_passed_on_in_seconds(connect: Connect, small_list: Path) -> None:
    date = format_datetime(datetime.now(timezone.utc) + timedelta(hours=1), usegmt=True)
    with FaultServer(respond(429, b"", [("Retry-After", date)])) as server:
        connect(server.url)
        result = queue(small_list)
    assert isinstance(result, NotAccepted)
    assert result.retry_after == pytest.approx(3600, abs=90)
