"""Requests to a campaign's own URLs: before it is queued, when a call connects, and after a call.

Only this machine is called back, unless another host is allowed: a trial campaign must not reach real systems.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from airflow_provider_queuecalls.client.hosts import is_loopback
from airflow_provider_queuecalls.sandbox.journal import SENT, Entry, Journal
from airflow_provider_queuecalls.sandbox.numbers import Callee
from airflow_provider_queuecalls.sandbox.voice_browser import Request, ScriptError, read_script

AT_ONCE = 8
TIMEOUT_SECONDS = 5.0
ANY_HOST = "*"
MOST_SCRIPT_BYTES = 256 << 10
#: The documents of one call: a script that submits again and again ends here.
MOST_DOCUMENTS = 10
_BLOCK_BYTES = 16 << 10


@dataclass(frozen=True)
class Callback:
    """One POST about one call, to the URL that the parameter ``name`` contains. The script of a ``callee`` is read."""

    name: str
    url: str
    fields: Mapping[str, str]
    at: int
    campaign_id: int
    callee: Callee | None = None


class _Response(NamedTuple):
    """What came of a request: the code and the body of the response, or why there is none."""

    status: int | None
    body: bytes = b""
    problem: str | None = None


@dataclass
class _Sent:
    """What was requested for one callback, and whether a script in it could not be read."""

    entries: list[Entry] = field(default_factory=list)
    has_failed: bool = False


class Callbacks:
    """Sends callbacks to this machine and to the allowed hosts (``*`` is any), once each, and records them in the journal."""

    def __init__(self, journal: Journal, allowed_hosts: Collection[str] = ()) -> None:
        self._journal = journal
        self._allowed = {host.lower() for host in allowed_hosts}
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="queuecalls-callback")

    def allows(self, url: str) -> bool:
        """Whether the host of a URL may be called back."""
        host = urlsplit(url).hostname or ""
        return is_loopback(host) or bool(self._allowed & {host, ANY_HOST})

    def problem(self, url: str) -> str | None:
        """Why a URL does not respond with 200 to a GET request; None if it does."""
        if not self.allows(url):
            return "is on another machine, which the sandbox does not call unless --callback-host names it"
        return _problem(_respond(Request("GET", url, {}), 0))

    def send(self, callbacks: Sequence[Callback]) -> set[int]:
        """Send callbacks, several at once, and wait for all of them. Returns the ids of calls whose script cannot be read."""
        all_sent = list(self._pool.map(self._send, callbacks))
        self._journal.add(entry for sent in all_sent for entry in sent.entries)
        return {
            int(callback.fields["call_id"])
            for callback, sent in zip(callbacks, all_sent, strict=True)
            if sent.has_failed
        }

    def close(self) -> None:
        """Send nothing more."""
        self._pool.shutdown(cancel_futures=True)

    def _send(self, callback: Callback) -> _Sent:
        about, request = f"for call {callback.fields['call_id']}", Request("POST", callback.url, callback.fields)
        if callback.callee is not None:
            return self._follow(callback, callback.callee, request, about)
        response = _respond(request, 0)
        problem = response.problem and f": not delivered ({response.problem}), and not sent again"
        note = f"{callback.name} {about}{problem or ''}."
        return _Sent([_entry(callback, request, response.status, note)])

    def _follow(self, callback: Callback, callee: Callee, first: Request, about: str) -> _Sent:
        """Read the script, and those that its choices lead to."""
        sent, request, name = _Sent(), first, callback.name
        while True:
            response = _respond(request, MOST_SCRIPT_BYTES)
            reading, submit, note = None, None, ""
            try:
                if problem := _problem(response):
                    raise ScriptError(problem)
                reading = read_script(response.body, request.url, callee.press)
                submit = reading.submit
                if reading.left_out:
                    note = f": read up to {reading.left_out}, which the sandbox does not execute"
                if submit and not self.allows(submit.url):
                    submit, note = None, ": nothing is submitted to another machine (--callback-host HOST allows it)"
                if submit and len(sent.entries) == MOST_DOCUMENTS - 1:
                    raise ScriptError(f"submits {MOST_DOCUMENTS} times")
            except ScriptError as error:
                submit, note, sent.has_failed = None, f": the call fails, since the script {error}", True
            said = reading.transcript if reading else ()
            sent.entries.append(_entry(callback, request, response.status, f"{name} {about}{note}.", said))
            if submit is None:
                return sent
            request, name = submit, "submit"


def _entry(
    callback: Callback, request: Request, status: int | None, note: str, transcript: tuple[str, ...] = ()
) -> Entry:
    return Entry(
        at=callback.at, direction=SENT, method=request.method, url=request.url, fields=request.fields,
        campaign_id=callback.campaign_id, status=status, note=note, transcript=transcript,
    )  # fmt: skip


def _problem(response: _Response) -> str | None:
    """Why a response is not a 200; None if it is."""
    if response.problem:
        return f"does not respond ({response.problem})"
    return None if response.status == 200 else f"responds with HTTP {response.status} instead of 200"


def _respond(request: Request, most_bytes: int) -> _Response:
    """Make a request, and read the body unless ``most_bytes`` is 0. Redirects aren't followed: they might lead to another host."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    query, form = (request.fields, None) if request.method == "GET" else (None, request.fields)
    with requests.Session() as session:
        session.trust_env = False
        try:
            with session.request(
                request.method, request.url, params=query, data=form, timeout=TIMEOUT_SECONDS, allow_redirects=False, stream=True,
            ) as response:  # fmt: skip
                body = b""
                while most_bytes and (block := response.raw.read1(_BLOCK_BYTES, decode_content=True)):
                    body += block
                    if len(body) > most_bytes:
                        return _Response(None, problem=f"more than {most_bytes >> 10} KiB")
                    if time.monotonic() > deadline:
                        return _Response(None, problem=f"not within {TIMEOUT_SECONDS:g} seconds")
                return _Response(response.status_code, body)
        except (requests.RequestException, HTTPError) as error:
            return _Response(None, problem=type(error).__name__)
        except ValueError:  # not a host name
            return _Response(None, problem="InvalidURL")
