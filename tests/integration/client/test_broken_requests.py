"""A request that ends without a complete response: the outcome is unknown once the end of the list was sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_queuecalls.exceptions import NotSent, OutcomeUnknown
from tests.conftest import Connect
from tests.support.fault_server import Exchange, FaultServer, answer, close, hang, head, raw, reset
from tests.support.outcomes import MIDWAY, QUEUED_XML, Case, assert_outcome, dripping_body, queue

SHORT = {"read_timeout": 1.0}


def half_in_chunks(exchange: Exchange) -> None:
    exchange.receive()
    exchange.answer(200, iter([QUEUED_XML[:40]]), length=0)


CASES: dict[str, Case] = {
    "reset_after_the_request": Case(reset(), OutcomeUnknown, None),
    "reset_midway": Case(reset(MIDWAY), NotSent, None, large=True),
    "closed_after_the_request": Case(close(), OutcomeUnknown, None),
    "closed_midway": Case(close(MIDWAY), NotSent, None, large=True),
    "hanging_after_the_request": Case(hang(), OutcomeUnknown, None, extra=SHORT),
    "hanging_midway": Case(hang(MIDWAY), NotSent, None, large=True, extra=SHORT),
    "half_an_answer": Case(answer(200, QUEUED_XML[:40], length=len(QUEUED_XML)), OutcomeUnknown),
    "a_whole_element_of_a_longer_answer": Case(answer(200, QUEUED_XML, length=len(QUEUED_XML) + 9), OutcomeUnknown),
    "half_an_answer_in_chunks": Case(half_in_chunks, OutcomeUnknown),
    "half_an_answer_of_no_stated_length": Case(raw(head(200) + QUEUED_XML[:40]), OutcomeUnknown),
    "half_a_head": Case(raw(head(200)[:-4]), OutcomeUnknown),
    "dripping_headers": Case(raw(head(200, [("X", "y" * 60_000)]), pause=0.02), OutcomeUnknown, None, extra=SHORT),
    "a_dripping_body": Case(dripping_body(200), OutcomeUnknown, extra=SHORT),
    "something_else_than_http": Case(raw(b"220 mail.example ESMTP\r\n"), OutcomeUnknown, None),
    "an_answer_without_a_head": Case(raw(QUEUED_XML), OutcomeUnknown, None),
}  # fmt: skip


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_no_complete_response_is_unknown_once_the_whole_list_was_sent(
    case: Case, connect: Connect, small_list: Path, large_list: Path
) -> None:
    with FaultServer(case.act) as server:
        connect(server.url, **case.extra)
        result = queue(large_list if case.large else small_list)
    assert_outcome(result, case.error, case.status_code)
    assert (server.connections, len(server.posts)) == (1, 1)


def test_a_refused_connection_is_not_sent(connect: Connect, small_list: Path) -> None:
    with FaultServer() as server:
        pass
    connect(server.url)
    result = queue(small_list)
    assert_outcome(result, NotSent, None, sent=False)
    assert "refused" in str(result)


def test_an_unknown_host_is_not_sent(connect: Connect, small_list: Path) -> None:
    connect("https://nowhere.invalid")
    result = queue(small_list)
    assert_outcome(result, NotSent, None, sent=False)
    assert "the host's name cannot be resolved" in str(result)
