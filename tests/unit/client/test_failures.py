"""What an error around the request means: the truth table, read from the docstring that shows it."""

from __future__ import annotations

import http.client
import ssl
import tempfile
import traceback
from typing import Any

import pytest

from airflow_provider_queuecalls import exceptions
from airflow_provider_queuecalls.client.campaign import Campaign
from airflow_provider_queuecalls.client.client import Client, failure_of
from airflow_provider_queuecalls.client.endpoint import Endpoint
from airflow_provider_queuecalls.client.multipart import MultipartBody, Upload, UploadBroken
from airflow_provider_queuecalls.exceptions import NoRecord, NotSent, OutcomeUnknown, QueueCallsError
from airflow_provider_queuecalls.outcome import Outcome


class TimeLimit(BaseException):
    """Like Airflow's own."""


ERRORS: dict[str, list[BaseException]] = {
    "an error of this package": [
        NotSent("stopped", sent=False),
        NoRecord("the disk is full", sent=False),
        QueueCallsError("any"),
    ],
    "Ctrl-C, exit": [KeyboardInterrupt(), SystemExit(1)],
    "another BaseException": [TimeLimit()],
    "any other Exception": [
        UploadBroken("the contact file changed after it was checked"),
        ConnectionResetError(104, "Connection reset by peer"),
        ssl.SSLError(1, "x"),
        http.client.BadStatusLine("4711"),
        TimeoutError(),
        TypeError("a mistake of ours"),
    ],
}
TABLE = [
    [cell.strip() for cell in (row[:29], row[29:50], row[50:])]
    for row in (failure_of.__doc__ or "").partition("the file's end\n")[2].replace("\n    ", "\n").split("\n")[1:5]
]
SENT = {"nothing": (0, False), "a part": (100, False), "the file's end": (149, True)}


def body(sent: int, *, file_complete: bool = False, complete: bool = False) -> MultipartBody:
    body = MultipartBody([("start_url", "https://ivr.example/x")])
    body.sent, body.file_complete, body.complete = sent, file_complete, complete
    return body


def test_the_table_has_every_kind_of_error() -> None:
    assert [kind for kind, *_ in TABLE] == list(ERRORS)


@pytest.mark.parametrize(
    ("sent", "expected", "error"),
    [
        pytest.param(sent, cells[SENT[sent][1]], error, id=f"{type(error).__name__}-{sent}")
        for kind, *cells in TABLE
        for sent in SENT
        for error in ERRORS[kind]
    ],
)
def test_an_error_means_what_the_table_says(sent: str, expected: str, error: BaseException) -> None:
    size, file_complete = SENT[sent]
    cut = body(size, file_complete=file_complete)
    failure: Any = failure_of(error, "the connection was reset", cut, "spring", "https://service.example/x")
    if expected == "the error itself":
        assert failure is error
        if isinstance(error, NotSent):
            assert error.sent is bool(size)
        return
    assert type(failure) is getattr(exceptions, expected)
    assert failure.campaign_name == "spring"
    assert failure.sent is bool(size)
    assert ("safe to try again" in str(failure)) is (failure.outcome is Outcome.NOT_SENT)
    assert ("It may have been queued" in str(failure)) is (failure.outcome is Outcome.UNKNOWN)


@pytest.mark.parametrize(
    ("sent", "complete", "words"),
    [(100, False, "100 of 149 bytes had been sent"), (149, True, "all of it had been sent")],
)
def test_an_unknown_outcome_says_how_much_was_sent(sent: int, complete: bool, words: str) -> None:
    cut = body(sent, file_complete=True, complete=complete)
    failure = failure_of(OSError(), "it broke", cut, "spring", "https://service.example/x")
    assert isinstance(failure, OutcomeUnknown)
    assert f"{words} to https://service.example/x, then: it broke." in str(failure)


@pytest.mark.parametrize(
    ("error", "known"),
    [
        (ConnectionRefusedError(111, "Connection refused"), True),
        (OSError(113, "No route to host"), True),
        (http.client.BadStatusLine("HTTP/1.1 4711"), True),
        (RuntimeError("a mistake of ours"), False),
    ],
    ids=["refused", "no route", "not HTTP", "unknown"],
)
def test_the_traceback_shows_what_is_beneath_only_if_it_is_not_known(
    error: Exception, known: bool, mocker: Any
) -> None:
    mocker.patch("airflow_provider_queuecalls.client.transport.Transport.connect", side_effect=error)
    client = Client(Endpoint("https://service.example/x", "bob", "4711", "4711"))
    campaign = Campaign(start_url="https://ivr.example/x", campaign_name="spring")
    with tempfile.TemporaryFile() as file, pytest.raises(NotSent) as caught:
        client.queue_calls(Upload(file, "calls.csv", 0), campaign)
    lines = "".join(traceback.format_exception(caught.value)).splitlines()
    assert (sum(line.startswith("Traceback") for line in lines) == 1) is known
    assert lines[-1].startswith("airflow_provider_queuecalls.exceptions.NotSent: Could not send campaign 'spring'")
    assert not any("4711" in line for line in lines)
