"""The client: sends one campaign with one POST and returns the response that proves it was queued."""

from __future__ import annotations

import http.client
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

from airflow_provider_queuecalls.client.campaign import Campaign
from airflow_provider_queuecalls.client.endpoint import Endpoint
from airflow_provider_queuecalls.client.multipart import MultipartBody, Progress, Upload, UploadBroken
from airflow_provider_queuecalls.client.reasons import reason_of
from airflow_provider_queuecalls.client.response import Redaction, Response, read_response
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
from airflow_provider_queuecalls.stopping import StopRequest

#: What is never repeated of an answer, whatever its value; renamed fields come on top.
PERSONAL_FIELDS = frozenset(
    {"login", "pin", "password", "phone_number", "phone_number_list", "destination", "ani"}
    | {"message_reference", "call_parameter", "call_parameters"}
)
SHOWN_CHARACTERS = 300
WHAT_TO_DO = (
    "It may have been queued, so it is not sent again. Look for {name} in the vendor's campaign manager, or ask their "
    "support. If it is there, mark this task as successful; if it isn't, clear the task and run it with resend=True."
)
TEST_SECONDS = 5.0


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

    def queue_calls(
        self, upload: Upload, campaign: Campaign, *, before_first_byte: Callable[[], None] | None = None
    ) -> Response:
        """Send one campaign with one POST, and return the response if it says queued.

        No redirect is followed. ``before_first_byte`` is called when the connection stands and nothing is left to do
        but send; what it raises is raised here, and nothing was sent. Raises :class:`InvalidCampaign`,
        :class:`NotSent`, :class:`NotAccepted`, :class:`Refused` or :class:`OutcomeUnknown`.
        """
        endpoint, name = self.endpoint, campaign.campaign_name
        given = {"login": endpoint.login, "pin": endpoint.pin, "contacts": upload}
        with attach_campaign_name(name):
            campaign.assert_timely()
            self.stop.raise_if_requested()
            body = MultipartBody(campaign.form(given, endpoint.field_names), progress=self._log_progress())
            with Transport(endpoint) as transport, self.stop.calling(transport.close):
                with _translate_errors(transport, body, name):
                    transport.connect()
                self.stop.raise_if_requested()
                if before_first_byte:
                    before_first_byte()
                    self.stop.raise_if_requested()
                with _translate_errors(transport, body, name):
                    response = self._post(transport, body, campaign)
        return _proven(response)

    def head(self) -> int:
        """Ask for the service's head, which queues nothing, and return the status code.

        Takes about ten seconds at most: five to connect, five for the response.
        """
        with Transport(self.endpoint, connect_timeout=TEST_SECONDS, read_timeout=TEST_SECONDS) as transport:
            try:
                transport.connect()
                return transport.request("HEAD").status
            except (OSError, UnicodeError, http.client.HTTPException) as error:
                reason = transport.broken_off or reason_of(error, transport.route)
                raise NotSent(reason or type(error).__name__, sent=False) from None

    def _post(self, transport: Transport, body: MultipartBody, campaign: Campaign) -> Response:
        started = time.monotonic()
        reply = transport.request("POST", body, body.content_type)
        endpoint = self.endpoint
        response = read_response(
            reply.status,
            transport.chunks(reply),
            contacts=lambda: body.lines + 1,
            complete=body.complete,
            redaction=Redaction(
                [
                    *endpoint.secrets,
                    *(str(value) for value in (campaign.message_reference, campaign.call_parameters) if value),
                ],
                PERSONAL_FIELDS | {endpoint.field_names[name] for name in PERSONAL_FIELDS & set(endpoint.field_names)},
            ),
            campaign_name=campaign.campaign_name,
            sent_bytes=body.sent,
            retry_after=_seconds(reply.headers.get("Retry-After")),
        )
        self._say(
            "The service answered HTTP %s in %.1f s: %s, %s call ids",
            response.status_code, time.monotonic() - started, response.outcome.value, f"{response.call_id_count:,}",
        )  # fmt: skip
        return response

    def _say(self, message: str, *values: object) -> None:
        """Log what happens to a request. If the worker has been killed, its log is gone: no reason to lose the response."""
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


def _proven(answer: Response) -> Response:
    """Return the answer if it says queued, and raise what it says otherwise."""
    if answer.outcome is Outcome.QUEUED:
        return answer
    name = _named(answer.campaign_name)
    said = f" It said: {' '.join(answer.body.split())[:SHOWN_CHARACTERS]}" if answer.body.strip() else ""
    details: dict[str, Any] = {"campaign_name": answer.campaign_name, "status_code": answer.status_code}
    if answer.outcome is Outcome.REFUSED:
        raise Refused(f"The service refused {name} ({answer.problem}); nothing was queued.{said}", **details)
    if answer.outcome is Outcome.NOT_ACCEPTED:
        wait = f" It asks to wait {answer.retry_after:.0f} s." if answer.retry_after is not None else ""
        raise NotAccepted(
            f"The service didn't take {name} now ({answer.problem}); nothing was queued, and it may be tried again later.{wait}{said}",
            retry_after=answer.retry_after,
            **details,
        )
    raise OutcomeUnknown(
        f"Whether {name} was queued is not known: {answer.problem}. {WHAT_TO_DO.format(name=name)}{said}", **details
    )


@contextmanager
def _translate_errors(transport: Transport, body: MultipartBody, campaign_name: str | None) -> Iterator[None]:
    """Raise what an error around the request means. The error itself stays in the traceback only if it is not known."""
    try:
        yield
    except BaseException as error:
        reason = transport.broken_off or reason_of(error, transport.route)
        failure = failure_of(error, reason, body, campaign_name, str(transport.route))
        if failure is error:
            raise
        raise failure from (None if reason or isinstance(error, UploadBroken) else error)


def failure_of(
    error: BaseException, reason: str | None, body: MultipartBody, campaign_name: str | None, to: str
) -> BaseException:
    """Return what is raised for a request that ended with an error, by what has been sent of its body.

    ============================ ================= =================
    error                        nothing was sent  a part was sent
    ============================ ================= =================
    an error of this package     the error itself  the error itself
    Ctrl-C, exit                 the error itself  the error itself
    another BaseException        the error itself  OutcomeUnknown
    UploadBroken                 NotSent           NotSent
    any other Exception          NotSent           OutcomeUnknown
    ============================ ================= =================

    Only NotSent is safe to try again. Another BaseException is Airflow's own time limit, which Airflow would try again.
    UploadBroken ends the request inside the contact file, the first of its fields.
    """
    if isinstance(error, QueueCallsError | KeyboardInterrupt | SystemExit):
        return error
    if not (body.sent or isinstance(error, Exception)):
        return error
    name = _named(campaign_name)
    reason = reason or type(error).__name__
    if isinstance(error, UploadBroken):
        return NotSent(
            f"Could not send all of {name}: {error}. The request ended inside the file, before start URL, login, PIN and "
            "campaign name, so there is nothing that could have been queued. It is safe to try again.",
            campaign_name=campaign_name,
            sent=bool(body.sent),
        )
    if not body.sent:
        return NotSent(
            f"Could not send {name} to {to}: {reason}. Nothing was sent, so it is safe to try again.",
            campaign_name=campaign_name,
            sent=False,
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
    """Read a Retry-After (RFC 9110): seconds, or a date."""
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        return max(0.0, (parsedate_to_datetime(retry_after) - datetime.now(timezone.utc)).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return None
