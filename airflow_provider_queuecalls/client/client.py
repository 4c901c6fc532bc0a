"""The client: sends one campaign with one POST and returns the response that proves it was queued.

If there is no response, :func:`failure_of` decides which error is raised, and so whether another try may send.
"""

from __future__ import annotations

import http.client
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple, Protocol
from urllib.parse import urljoin, urlsplit

from airflow_provider_queuecalls.client.campaign import Campaign
from airflow_provider_queuecalls.client.endpoint import Endpoint
from airflow_provider_queuecalls.client.multipart import MultipartBody, Upload
from airflow_provider_queuecalls.client.reasons import reason_of
from airflow_provider_queuecalls.client.response import Response, read_response
from airflow_provider_queuecalls.client.shown import Sent
from airflow_provider_queuecalls.client.transport import Transport
from airflow_provider_queuecalls.exceptions import (
    NotAccepted,
    NotSent,
    OutcomeUnknown,
    QueueCallsError,
    Refused,
    attach_campaign_name,
)
from airflow_provider_queuecalls.outcome import Outcome
from airflow_provider_queuecalls.progress import Progress
from airflow_provider_queuecalls.stopping import StopRequest

SHOWN_CHARACTERS = 300
WHAT_TO_DO = (
    "It may have been queued, so it is not sent again. Look for {name} in the vendor's campaign manager, or ask their "
    "support."
)
ENDED_INSIDE_FILE = (
    "The request ended inside the contact file, before start URL, login, PIN and campaign name, so nothing was queued. It "
    "is safe to try again."
)
IF_NAME_TAKEN = (
    "A campaign of this name seems to exist already. If it is yours, its receipt says when it was queued and with how "
    "many contacts: do not send the same contacts again. If it is not, set another campaign_name."
)
TEST_SECONDS = 5.0
LONGEST_WAIT_SECONDS = 86_400.0


class Record(Protocol):
    """Puts on record how far a request has come. What either method raises ends the request and is raised as it is."""

    def record_intent(self, *, complete: bool) -> None:
        """Called when the first byte is about to leave; ``complete``: and the end of the contact file with it."""

    def record_complete(self) -> None:
        """Called when the end of the contact file is about to leave. Until then nothing can be queued."""


class Head(NamedTuple):
    """What the service's head shows: the status code, where it redirects to, and the version of TLS (None for http)."""

    status_code: int
    location: str | None
    tls_version: str | None


class Client:
    """Sends campaigns to one endpoint, each with one request that is never repeated.

    :param endpoint: where to send, as whom
    :param stop: a request to stop, after which nothing is sent and an open request is broken off
    :param log: the logger for progress and outcome
    """

    def __init__(
        self, endpoint: Endpoint, *, stop: StopRequest | None = None, log: logging.Logger | Any | None = None
    ) -> None:
        self.endpoint = endpoint
        self.stop = stop or StopRequest()
        self._log = log or logging.getLogger(__name__)

    def queue_calls(self, upload: Upload, campaign: Campaign, *, record: Record | None = None) -> Response:
        """Send one campaign with one POST, and return the response if it says queued.

        No redirect is followed. Calls ``record.record_intent`` after connecting, and ``record_complete`` before the end of
        the contact file is sent. Raises :class:`InvalidCampaign`, :class:`NotSent`,
        :class:`NotAccepted`, :class:`Refused` or :class:`OutcomeUnknown`.
        """
        return _raise_unless_queued(self.exchange(upload, campaign, record=record))

    def exchange(self, upload: Upload, campaign: Campaign, *, record: Record | None = None) -> Response:
        """Send one campaign with one POST, and return the response whatever it says.

        Otherwise as :meth:`queue_calls`. Raises :class:`InvalidCampaign`, and :class:`NotSent` or :class:`OutcomeUnknown`
        where there is no response.
        """
        name = campaign.campaign_name
        with attach_campaign_name(name):
            campaign.assert_timely()
            fields = self._fields(upload, campaign)
            self.stop.raise_if_requested()

            def before_file_end() -> None:
                self.stop.raise_if_requested()
                if record:
                    record.record_complete()
                    self.stop.raise_if_requested()

            body = MultipartBody(fields, progress=self._log_progress(), before_file_end=before_file_end)
            with Transport(self.endpoint) as transport, self.stop.calling(transport.abort):
                with _translate_request_errors(transport, body, name):
                    transport.connect()
                self.stop.raise_if_requested()
                if record:
                    record.record_intent(complete=body.is_short)
                with _translate_request_errors(transport, body, name):
                    return self._post(transport, body, fields, name)

    def harmless_call_ids(self, response: Response, upload: Upload, campaign: Campaign) -> list[str]:
        """Return the response's call ids without those that repeat something that was sent.

        Reads the contact file once if there is a call id.
        """
        return Sent(self.endpoint.secrets, self._fields(upload, campaign)).harmless(response.call_ids)

    def _fields(self, upload: Upload, campaign: Campaign) -> list[tuple[str, Any]]:
        given = {"login": self.endpoint.login, "pin": self.endpoint.pin, "contacts": upload}
        return campaign.form(given, self.endpoint.field_names)

    def send_head(self) -> Head:
        """Ask for the service's head, which queues nothing.

        Takes about ten seconds at most: five to connect, five for the response.
        """
        with Transport(self.endpoint, connect_timeout=TEST_SECONDS, read_timeout=TEST_SECONDS) as transport:
            try:
                transport.connect()
                tls_version = transport.tls_version  # the connection may be gone after the response
                reply = transport.request("HEAD")
                return Head(reply.status, self._location(reply), tls_version)
            except (OSError, UnicodeError, http.client.HTTPException) as error:
                reason = transport.broken_off or reason_of(error, transport.route)
                raise NotSent(reason or type(error).__name__, sent=False) from None

    def _post(
        self,
        transport: Transport,
        body: MultipartBody,
        fields: Sequence[tuple[str, str | Upload]],
        campaign_name: str | None,
    ) -> Response:
        started = time.monotonic()
        reply = transport.request("POST", body, body.content_type)
        response = read_response(
            reply.status,
            transport.chunks(reply),
            contacts=lambda: body.lines + 1,
            sent=Sent(self.endpoint.secrets, fields),
            complete=body.complete,
            file_complete=body.file_complete,
            campaign_name=campaign_name,
            retry_after=_seconds(reply.headers.get("Retry-After")),
            location=self._location(reply),
            queued_values=self.endpoint.queued_values,
        )
        self._say(
            "The service responded with HTTP %s after %.1f s: %s, %s call ids",
            response.status_code, time.monotonic() - started, response.outcome.value, f"{response.call_id_count:,}",
        )  # fmt: skip
        return response

    def _location(self, reply: http.client.HTTPResponse) -> str | None:
        """Where the service redirects to, without what may repeat a secret."""
        if not (location := reply.headers.get("Location")):
            return None
        try:
            target = urlsplit(urljoin(self.endpoint.url, location))
            netloc = target.netloc.rpartition("@")[2]
        except ValueError:
            return None
        url = f"{target.scheme}://{netloc}{target.path}"
        return None if any(secret and secret in url for secret in self.endpoint.secrets) else url

    def _say(self, message: str, *values: object) -> None:
        """Log what happens to a request. A failing log handler must not lose the response."""
        with suppress(OSError):
            self._log.info(message, *values)

    def _log_progress(self) -> Progress:
        started = time.monotonic()

        def log(sent: int, total: int) -> None:
            rate = sent / 1e6 / max(time.monotonic() - started, 1e-3)
            self._say(
                "Uploaded %.0f of %.0f MB (%.0f %%), %.1f MB/s", sent / 1e6, total / 1e6, 100 * sent / total, rate
            )

        return log


def _raise_unless_queued(response: Response) -> Response:
    """Return the response if it says queued, and raise the error that says what became of the campaign otherwise."""
    if response.outcome is Outcome.QUEUED:
        return response
    name = _named(response.campaign_name)
    said = " ".join((response.error_text or response.body).split())[:SHOWN_CHARACTERS]
    said = f" The service's response: {said}" if said else ""
    details: dict[str, Any] = {"campaign_name": response.campaign_name, "status_code": response.status_code}
    if response.outcome is Outcome.REFUSED:
        advice = f" {IF_NAME_TAKEN}" if response.name_taken else ""
        raise Refused(
            f"The service refused {name} ({response.problem}). Nothing was queued.{advice}{said}",
            name_taken=response.name_taken,
            **details,
        )
    if response.outcome is Outcome.NOT_ACCEPTED:
        wait = "" if response.retry_after is None else f", after {response.retry_after:.0f} s"
        raise NotAccepted(
            f"The service did not accept {name} now ({response.problem}). Nothing was queued; it is safe to try again "
            f"later{wait}.{said}",
            retry_after=response.retry_after,
            **details,
        )
    if response.outcome is Outcome.NOT_SENT:
        raise NotSent(
            f"Could not send all of {name}: the service responded too early ({response.problem}). {ENDED_INSIDE_FILE}{said}",
            **details,
        )
    raise OutcomeUnknown(
        f"Cannot tell whether {name} was queued: {response.problem}. {WHAT_TO_DO.format(name=name)}{said}", **details
    )


@contextmanager
def _translate_request_errors(transport: Transport, body: MultipartBody, campaign_name: str | None) -> Iterator[None]:
    """Translate an error of the request into an error of this package. It stays in the traceback only if it is not known."""
    try:
        yield
    except BaseException as error:
        reason = transport.broken_off or reason_of(error, transport.route)
        failure = failure_of(error, reason, body, campaign_name, str(transport.route))
        if failure is error:
            raise
        raise failure from (None if reason else error)


def failure_of(
    error: BaseException, reason: str | None, body: MultipartBody, campaign_name: str | None, to: str
) -> BaseException:
    """Return what is raised for a request that ended with an error, by how much of its body had been sent.

    ============================ ==================== =================
    error                        the file's end not   the file's end
    ============================ ==================== =================
    an error of this package     the error itself     the error itself
    Ctrl-C, exit                 the error itself     the error itself
    another BaseException        the error itself     OutcomeUnknown
    any other Exception          NotSent              OutcomeUnknown
    ============================ ==================== =================

    The contact file is the first field, so a request that ends inside it has nothing that could be queued. Another
    BaseException is Airflow's own time limit, which Airflow tries again.
    """
    if isinstance(error, NotSent):
        error.sent = bool(body.sent)  # the record and a request to stop don't know
    if isinstance(error, QueueCallsError | KeyboardInterrupt | SystemExit):
        return error
    if not (body.file_complete or isinstance(error, Exception)):
        return error
    name = _named(campaign_name)
    reason = reason or type(error).__name__
    if not body.file_complete:
        what, so = (
            ("all of ", ENDED_INSIDE_FILE) if body.sent else ("", "Nothing was sent, so it is safe to try again.")
        )
        return NotSent(
            f"Could not send {what}{name} to {to}: {reason}. {so}", campaign_name=campaign_name, sent=bool(body.sent)
        )
    how_much = "all of it" if body.complete else f"{body.sent:,} of {len(body):,} bytes"
    return OutcomeUnknown(
        f"Cannot tell whether {name} was queued: {how_much} had been sent to {to}, then: {reason}. "
        + WHAT_TO_DO.format(name=name),
        campaign_name=campaign_name,
    )


def _named(campaign_name: str | None) -> str:
    return f"campaign {campaign_name[:SHOWN_CHARACTERS]!r}" if campaign_name else "the campaign"


def _seconds(retry_after: str | None) -> float | None:
    """Read a Retry-After (RFC 9110): seconds, or a date. A longer wait than a day is one day."""
    if retry_after is None:
        return None
    try:
        if retry_after.strip().isdecimal():
            seconds = float(retry_after)
        else:
            seconds = (parsedate_to_datetime(retry_after) - datetime.now(timezone.utc)).total_seconds()
    except (TypeError, ValueError, OverflowError):
        return None
    return min(max(0.0, seconds), LONGEST_WAIT_SECONDS)
