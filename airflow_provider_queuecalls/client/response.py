"""The service's response to one campaign: read as a stream, and turned into an outcome.

What the vendor responds to ``queuecalls`` is not documented. The response to a single call is XML with ``status`` and
``call_id``, and repeats login and PIN in clear; sibling products respond with JSON. So the format is read from the
body's first character, any root is accepted, and a campaign counts as queued only if the response says so.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

from airflow_provider_queuecalls.client.parsing import Findings, JsonParser, TextParser, XmlParser
from airflow_provider_queuecalls.client.shown import HIDDEN, QUEUED_STATUSES, REFUSED_STATUSES, Outline, Sent
from airflow_provider_queuecalls.outcome import Outcome

#: The longest response that is read: 1 MiB, and 512 bytes for each contact sent.
RESPONSE_BYTES, RESPONSE_BYTES_PER_CONTACT = 1 << 20, 512
#: What is read of a response whose status code has decided the outcome.
HEAD_BYTES = 16 << 10
REFUSED_CODES = frozenset({400, 401, 403, 404, 405, 409, 411, 413, 414, 415, 422})
NOT_ACCEPTED_CODES = frozenset({408, 425, 429})
_MEANINGS = {
    401: "login or PIN is not right",
    403: "the account may not do this",
    404: "the service is not at this host and path",
    405: "the service is not at this host and path",
    413: "the contact file is too large for the service",
}
_TAKEN = re.compile(
    r"\b(?:already exists|exists already|there is already|already has|already used|in use|taken|duplicated?|not unique|must be unique)\b"
)
#: The words beside these in a clause that says only that a campaign's name is taken.
_BESIDE_TAKEN = frozenset({
    *("a", "already", "an", "another", "been", "by", "called", "campaign", "had", "has", "is", "name", "named", "of"),
    *("same", "that", "the", "this", "was", "with"),
})  # fmt: skip


@dataclass(frozen=True)
class Response:
    """The service's response to one campaign.

    :param outcome: what became of the campaign
    :param campaign_name: the campaign's name, if it has one
    :param status_code: of HTTP
    :param call_ids: the first 1,000 of them, as the service sent them; use ``Client.harmless_call_ids`` before you
        show or store them, since a service may repeat people's data
    :param call_id_count: how many call ids the response has in all
    :param body: the beginning of the response, at most 2,000 characters, with ``***`` for everything that is not known
        to be harmless; the format and length of a response that could not be parsed
    :param problem: why the outcome is not :attr:`Outcome.QUEUED`
    :param error_text: the service's own error message, with ``***`` as in ``body``
    :param name_taken: whether the service says that a campaign of this name exists already
    :param retry_after: how many seconds the service asks to wait; at most a day
    :param format: the format of the body: XML, JSON, HTML, text, or binary data; empty for an empty body
    :param location: where the service redirects to, without a query and credentials. Its path may repeat what was sent,
        so do not show it.
    :param values: short harmless values of the response by their names, such as a status, the outermost first
    :param mentioned: names that its error messages mention, which may be those of form fields. They repeat nothing that
        was sent, but may be any word, so do not show them.
    """

    outcome: Outcome
    campaign_name: str | None
    status_code: int
    call_ids: tuple[str, ...] = field(default=(), repr=False)
    call_id_count: int = 0
    body: str = ""
    problem: str = ""
    error_text: str = ""
    name_taken: bool = False
    retry_after: float | None = None
    format: str = ""
    location: str | None = field(default=None, repr=False)
    values: tuple[tuple[str, str], ...] = ()
    mentioned: tuple[str, ...] = field(default=(), repr=False)


class CutShort(Exception):
    """The response ended before it was complete; the message says how."""


def read_response(
    status_code: int,
    chunks: Iterable[bytes],
    *,
    contacts: Callable[[], int],
    sent: Sent,
    complete: bool = True,
    file_complete: bool = True,
    campaign_name: str | None = None,
    retry_after: float | None = None,
    location: str | None = None,
    queued_values: Mapping[str, str] | None = None,
) -> Response:
    """Read a response and return it with its outcome.

    The status code alone decides unless it is 2xx, so no more than the beginning of such a body is read.

    :param chunks: the body; may raise :class:`CutShort`
    :param contacts: counts the contacts sent, which limit the response's length; it is called only for a long response
    :param sent: everything that was sent, none of which is shown
    :param complete: whether the whole request had been sent, without which no response means queued
    :param file_complete: whether the end of the contact file had been sent, without which nothing can be queued: a
        status code that leaves the outcome open then means that the request was not sent
    :param location: where the service redirects to
    :param queued_values: names with the values that say queued, besides the status that is known here
    """
    body = _Body(contacts, Findings(queued_values or {}))
    accepted = 200 <= status_code < 300
    try:
        for chunk in chunks:
            body.feed(chunk)
            if (body.flaw or not accepted) and body.length >= HEAD_BYTES:
                body.flaw = body.flaw or "the response was not read to its end"
                break
        else:
            body.finish()
    except CutShort as error:
        body.flaw = body.flaw or str(error)
    outcome, problem = _outcome_of_body(body) if accepted else _outcome_of_code(status_code)
    is_open = accepted and outcome is Outcome.UNKNOWN and body.length and not body.flaw and body.format != "HTML"
    if outcome is Outcome.QUEUED and not complete:
        outcome, problem = Outcome.UNKNOWN, "the service responded before it had received the whole request"
    if outcome is Outcome.UNKNOWN and not accepted and not file_complete:
        outcome = Outcome.NOT_SENT
    outline = Outline() if body.flaw or body.format == "HTML" else body.outline
    shown = outline.render(sent, [pair for _, *pair in sorted(body.findings.values, key=lambda value: value[0])])
    if is_open:
        problem += f". {_teach(shown.values)}"
    if location and 300 <= status_code < 400:
        # Not the URL itself: its path may repeat what was sent.
        problem += " (to https)" if location.startswith("https:") else " (to another URL)"
    return Response(
        outcome=outcome,
        campaign_name=campaign_name,
        status_code=status_code,
        call_ids=tuple(body.findings.call_ids) if outcome is Outcome.QUEUED else (),
        call_id_count=body.findings.call_id_count,
        body=body.description
        if body.format == "text" and HIDDEN in shown.structure
        else shown.structure or body.description,
        problem=problem,
        error_text=shown.errors,
        name_taken=outcome is Outcome.REFUSED and outline.any_error(lambda text: _says_name_taken(text, campaign_name)),
        retry_after=retry_after,
        format=body.format if body.length else "",
        location=location,
        values=tuple(shown.values),
        mentioned=tuple(shown.mentioned),
    )


def _teach(values: Iterable[tuple[str, str]]) -> str:
    """How to make a response that says queued in another way known, in a sentence."""
    example = dict(list(values)[:1]) or {"status": "accepted"}
    return (
        "If this response means queued, set queued_values in the connection's extra to what says so, such as "
        f"{json.dumps(example)}"
    )


def _says_name_taken(text: str, campaign_name: str | None) -> bool:
    """Whether a clause of an error text says that the campaign's name is taken, and nothing else.

    "start_url does not exist" does not, and neither does "the file name is already used": such a campaign was never queued.
    """
    if campaign_name:
        text = text.replace(campaign_name, " ")
    for clause in re.split(r"[.,:;!?\n]", text.lower().replace("_", " ")):
        rest, found = _TAKEN.subn(" ", clause)
        words = set(re.findall(r"[^\s\"'()]+", rest))
        if found and words & {"campaign", "name"} and words <= _BESIDE_TAKEN:
            return True
    return False


def _outcome_of_code(status_code: int) -> tuple[Outcome, str]:
    meaning = "a redirect, which is never followed" if 300 <= status_code < 400 else _MEANINGS.get(status_code)
    problem = f"HTTP {status_code}: {meaning}" if meaning else f"HTTP {status_code}"
    if status_code in REFUSED_CODES or 300 <= status_code < 400:
        return Outcome.REFUSED, problem
    return Outcome.NOT_ACCEPTED if status_code in NOT_ACCEPTED_CODES else Outcome.UNKNOWN, problem


def _outcome_of_body(body: _Body) -> tuple[Outcome, str]:
    """The outcome of a 2xx response. One that contradicts itself is unknown: something may have been queued."""
    if body.flaw:
        return Outcome.UNKNOWN, body.flaw
    findings = body.findings
    depth, statuses = min(findings.statuses.items(), default=(None, frozenset[str]()))
    failed = bool(statuses) and statuses <= REFUSED_STATUSES
    error = findings.error_depth is not None and (depth is None or findings.error_depth <= depth)
    if statuses and statuses <= QUEUED_STATUSES and not error:
        return Outcome.QUEUED, ""
    if (failed or (error and findings.error_says and not statuses)) and not findings.call_id_count:
        return Outcome.REFUSED, "the response says that it failed"
    if error and not statuses and not findings.error_says:
        return Outcome.UNKNOWN, "the response has an error that does not say what failed"
    if statuses or error:
        return Outcome.UNKNOWN, "the response contradicts itself or has an unknown status"
    return (
        Outcome.UNKNOWN,
        "the response does not say whether the campaign was queued" if body.length else "the response is empty",
    )


class _Body:
    """Feeds a body to the parser that its first character selects.

    ``flaw`` is why the body, or the rest of it, could not be read.
    """

    def __init__(self, contacts: Callable[[], int], findings: Findings) -> None:
        self.findings = findings
        self.outline = Outline()
        self.length = 0
        self.format = "text"
        self.flaw = ""
        self._contacts = contacts
        self._parser: XmlParser | JsonParser | TextParser | None = None
        self._start: bytes | None = b""
        self._ended = False

    @property
    def description(self) -> str:
        """The format and the length; empty for an empty body."""
        more = "" if self._ended else "more than "
        return f"{self.format}, {more}{self.length:,} bytes" if self.length else ""

    def feed(self, chunk: bytes) -> None:
        self.length += len(chunk)
        if self.length > RESPONSE_BYTES and self.length > self._limit:
            self.flaw = f"the response is longer than {self._limit} bytes, too long for this contact file"
        if self._start is not None:
            # A UTF-8 byte order mark and whitespace can go. The parser needs a UTF-16 mark to know the encoding.
            self._start = chunk = (self._start + chunk).lstrip(codecs.BOM_UTF8 + b" \t\r\n")
            if not (start := chunk.lstrip(codecs.BOM_UTF16_BE + b" \t\r\n\0")):
                return
            self._start = None
            self._choose(start)
        if self._parser and chunk and not self.flaw:
            with self._flaws():
                self._parser.feed(chunk)

    def finish(self) -> None:
        self._ended = True
        if self._parser and not self.flaw:
            with self._flaws():
                self._parser.finish()

    @cached_property
    def _limit(self) -> int:
        return RESPONSE_BYTES + RESPONSE_BYTES_PER_CONTACT * self._contacts()

    def _choose(self, start: bytes) -> None:
        if start[:1] == b"<":
            self.format = "HTML" if re.match(rb"<(?:!doctype\s+)?html\b", start, re.IGNORECASE) else "XML"
            self._parser = XmlParser(self.findings, self.outline)
        elif start[:1] in (b"{", b"["):
            self.format = "JSON"
            self._parser = JsonParser(self.findings, self.outline)
        elif b"\0" in start:
            self.format = "binary data"
        else:
            self._parser = TextParser(self.findings, self.outline)

    @contextmanager
    def _flaws(self) -> Iterator[None]:
        # ElementTree's ParseError is a SyntaxError. Forbidden XML (defusedxml) and invalid UTF-8 are ValueErrors.
        try:
            yield
        except (SyntaxError, ValueError, LookupError) as error:
            self.flaw = f"the response cannot be parsed ({type(error).__name__})"
