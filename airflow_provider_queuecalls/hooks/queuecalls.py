"""The hook: an Airflow Connection, one POST, an Answer."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any

from requests import RequestException
from urllib3.exceptions import HTTPError

from airflow_provider_queuecalls._compat import BaseHook, mask_secret
from airflow_provider_queuecalls.answer import Answer, Redaction, read_answer
from airflow_provider_queuecalls.campaign import Campaign
from airflow_provider_queuecalls.connection import CONN_TYPE, DEFAULT_CONN_ID, Endpoint
from airflow_provider_queuecalls.connection_form import form_field
from airflow_provider_queuecalls.contacts import open_contacts
from airflow_provider_queuecalls.exceptions import (
    InvalidConnection,
    NotAccepted,
    NotSent,
    OutcomeUnknown,
    QueueCallsError,
    Refused,
    WireError,
    about,
    causes,
    locals_forgotten,
)
from airflow_provider_queuecalls.get_provider_info import conn_fields, ui_field_behaviour
from airflow_provider_queuecalls.multipart import MultipartBody, Progress, Upload, UploadBroken
from airflow_provider_queuecalls.outcome import Outcome
from airflow_provider_queuecalls.transport import Line

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
#: Airflow masks no shorter secrets, and warns about them. Nothing here relies on its mask.
SHORTEST_MASKED = 5


class QueueCallsHook(BaseHook):
    """Queues campaigns at the ``queuecalls`` web service.

    :param queuecalls_conn_id: the Connection, of type ``queuecalls``
    """

    conn_name_attr = "queuecalls_conn_id"
    default_conn_name = DEFAULT_CONN_ID
    conn_type = CONN_TYPE
    hook_name = "queuecalls"

    def __init__(self, queuecalls_conn_id: str = DEFAULT_CONN_ID, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.queuecalls_conn_id = queuecalls_conn_id
        self._line: Line | None = None

    @cached_property
    @locals_forgotten()
    def endpoint(self) -> Endpoint:
        """The Connection, read and checked. Raises :class:`InvalidConnection`."""
        endpoint = Endpoint.from_connection(self.get_connection(self.queuecalls_conn_id))
        for secret in endpoint.secrets:
            if len(secret) >= SHORTEST_MASKED:
                mask_secret(secret)
        if endpoint.verify is False:
            self.log.warning(
                "The connection says verify: false. Anybody between here and the service can read the PIN and the contacts."
            )
        return endpoint

    def get_conn(self) -> Endpoint:
        """Return what a request needs to know. There is no lasting connection: every campaign is one request."""
        return self.endpoint

    @locals_forgotten()
    def queue_calls(
        self,
        contacts: str | os.PathLike[str] | Upload,
        campaign: Campaign,
        *,
        before_first_byte: Callable[[], None] | None = None,
    ) -> Answer:
        """Queue one campaign with one POST, and return the answer that says so.

        ``contacts`` is a local path, or a file that is open already. Nothing is ever sent twice here, and no
        redirect is followed. ``before_first_byte`` is called when the connection stands and nothing is left to do but
        send; what it raises is raised here, and nothing was sent. Raises, by what is known of the request (contract: the outcome table):

        * :class:`InvalidContacts`, :class:`InvalidCampaign`, :class:`InvalidConnection`: nothing was sent
        * :class:`NotSent`: no complete request has left; safe to try again
        * :class:`NotAccepted`: HTTP 408, 425 or 429; safe to try again after ``retry_after`` seconds
        * :class:`Refused`: the service said no
        * :class:`OutcomeUnknown`: it may have been queued; sending it again may call everybody twice
        """
        endpoint = self.endpoint
        with about(campaign.campaign_name), ExitStack() as stack:
            upload = contacts if isinstance(contacts, Upload) else stack.enter_context(open_contacts(contacts))
            given = {"login": endpoint.login, "pin": endpoint.pin, "contacts": upload}
            body = MultipartBody(
                campaign.form(given, endpoint.field_names),
                progress=self._log_progress(),
                before_first_byte=before_first_byte,
            )
            self._line = line = stack.enter_context(Line(endpoint))
            try:
                answer = self._post(line, body, campaign)
            except QueueCallsError:
                raise
            except BaseException as error:
                # Airflow's own time limit is a BaseException, and would be tried again. Ctrl-C stays what it is.
                if isinstance(error, Exception) or (
                    body.sent and not isinstance(error, KeyboardInterrupt | SystemExit)
                ):
                    ended = _no_answer(error, body, line, campaign.campaign_name, endpoint.url)
                    # http.client's errors quote what the service said, which may be the PIN.
                    quotes = any(isinstance(cause, http.client.HTTPException) for cause in causes(error))
                    raise ended from None if quotes else error
                raise
            finally:
                self._line = None
        return _proven(answer)

    def close(self) -> None:
        """Break off the request that is under way, if there is one. What it was about stays unknown."""
        if self._line is not None:
            self._line.close()

    def test_connection(self) -> tuple[bool, str]:
        """Ask for the service's head, which queues nothing, and say what that proves and what it doesn't.

        Takes about ten seconds at most: five to connect, five for the answer.
        """
        try:
            endpoint = self.endpoint
            with Line(endpoint, connect_timeout=TEST_SECONDS, read_timeout=TEST_SECONDS) as line:
                code = line.request("HEAD").status_code
        except InvalidConnection as error:
            # Without the connection's id: Airflow makes one up for the test.
            wrong = ". ".join(f"{each.parameter} {each.problem}; it takes {each.rule}" for each in error.violations)
            return False, f"{error.subject}: {wrong}. Nothing was queued."
        except (RequestException, HTTPError) as error:  # urllib3 has one of its own for a host name too long
            return (
                False,
                f"No answer from {self.endpoint.url}: {_reason(error, timed_out=line.timed_out)}. Nothing was queued.",
            )
        reached = f"{endpoint.url} answers (HTTP {code})"
        if code in (401, 403):
            return False, f"{reached} and refuses login and PIN. Nothing was queued."
        if code == 404 or 300 <= code < 400 or code >= 500:
            return False, f"{reached}, but not as the service would: check host, port and path. Nothing was queued."
        asked = (
            "didn't refuse login and PIN as HTTP Basic" if endpoint.basic_auth else "was not asked about login and PIN"
        )
        return True, (
            f"{reached} and {asked}. Nothing was queued. Not proven: that it accepts login and PIN in the form, and that "
            "the account may queue calls; only a campaign shows that."
        )

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """The connection form's labels and placeholders, for Airflow before 3.2."""
        behaviour = ui_field_behaviour()
        return {key.replace("-", "_"): value for key, value in behaviour.items()}

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """The connection form's fields for what lies in the extra, for Airflow before 3.2."""
        return {name: form_field(declared) for name, declared in conn_fields().items()}

    def _post(self, line: Line, body: MultipartBody, campaign: Campaign) -> Answer:
        started = time.monotonic()
        response = line.request("POST", body, body.content_type)
        endpoint = self.endpoint
        answer = read_answer(
            response.status_code,
            line.chunks(response),
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
            retry_after=_seconds(response.headers.get("Retry-After")),
        )
        self._say(
            "The service answered HTTP %s in %.1f s: %s, %s call ids",
            answer.status_code, time.monotonic() - started, answer.outcome.value, f"{answer.call_id_count:,}",
        )  # fmt: skip
        return answer

    def _say(self, message: str, *values: object) -> None:
        """Log what happens to a request. If the worker has been killed, its log is gone: no reason to lose the answer."""
        with suppress(OSError):
            self.log.info(message, *values)

    def _log_progress(self) -> Progress:
        started = time.monotonic()

        def log(sent: int, total: int) -> None:
            rate = sent / 1e6 / max(time.monotonic() - started, 1e-3)
            self._say(
                "Uploaded %.0f of %.0f MB (%.0f %%), %.1f MB/s", sent / 1e6, total / 1e6, 100 * sent / total, rate
            )

        return log


def _proven(answer: Answer) -> Answer:
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


def _no_answer(error: BaseException, body: MultipartBody, line: Line, campaign_name: str | None, url: str) -> WireError:
    """Tell what it means that a request ended without an answer."""
    name = _named(campaign_name)
    if isinstance(error, UploadBroken):
        return NotSent(
            f"{name} was not sent: {error}. The request was cut short, so the service cannot have taken it; it is safe to try again.",
            campaign_name=campaign_name,
            sent=bool(body.sent),
        )
    reason = _reason(error, timed_out=line.timed_out)
    if not body.sent:
        return NotSent(
            f"{name} was not sent to {url}: {reason}. Nothing has left, so it is safe to try again.",
            campaign_name=campaign_name,
            sent=False,
        )
    how_much = "all" if body.complete else f"{body.sent} of {len(body)} bytes"
    return OutcomeUnknown(
        f"Whether {name} was queued is not known: {how_much} of it had been sent to {url}, then: {reason}. "
        + WHAT_TO_DO.format(name=name),
        campaign_name=campaign_name,
    )


def _reason(error: BaseException, *, timed_out: bool) -> str:
    """Say in words why a request ended, by the first cause that is known."""
    if timed_out:
        return "no answer in time"
    for cause in causes(error):
        for kind, words in _REASONS.items():
            if isinstance(cause, kind):
                return words
    return type(error).__name__


_REASONS: dict[type[BaseException] | tuple[type[BaseException], ...], str] = {
    socket.gaierror: "the host's name cannot be resolved",
    ConnectionRefusedError: "the connection was refused",
    ssl.SSLCertVerificationError: "the service's TLS certificate is not valid for it, or its CA is not known here",
    ssl.SSLError: "the TLS connection failed",
    (TimeoutError, socket.timeout): "a time limit ran out",
    ConnectionAbortedError: "it was broken off here",
    http.client.RemoteDisconnected: "the service closed the connection without an answer",
    (ConnectionResetError, BrokenPipeError): "the connection was reset",
    http.client.HTTPException: "the service's answer was not HTTP",
}


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
