"""The service's answer: XML, JSON or neither, read as a stream, redacted, and turned into an outcome.

What the vendor answers to ``queuecalls`` is not documented. The single call's answer is XML with ``status`` and
``call_id``, and repeats login and PIN in clear; sibling products answer JSON. So the body is sniffed, any root is
accepted, and success is only what says so.
"""

from __future__ import annotations

import base64
import codecs
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from html.entities import codepoint2name
from typing import Any, Protocol

from airflow_provider_queuecalls.outcome import Outcome

LISTED_CALL_IDS = 1_000
#: The longest answer that is believed: 1 MiB, and 512 bytes for each contact sent.
RESPONSE_BYTES, RESPONSE_BYTES_PER_CONTACT = 1 << 20, 512
#: JSON is read in one piece, so memory bounds it too.
JSON_BYTES = 64 << 20
BODY_CHARACTERS = 2_000
_HEAD_BYTES = 16 << 10
_REDACTED = "***"
#: Ten digits or more, or seven behind a plus, with or without separators.
_PHONE_NUMBER = re.compile(r"\d(?:[ .()/-]{0,2}\d){9,}|\+\d(?:[ .()/-]{0,2}\d){6,}")
#: A text without any of these holds every character as it is; see :func:`_any_escape`.
_ESCAPING = frozenset("\\&%+")

QUEUED_WORDS = frozenset({"queued", "success"})
REFUSED_WORDS = frozenset({"failed", "failure", "error"})
REFUSED_CODES = frozenset({400, 401, 403, 404, 405, 409, 411, 413, 414, 415, 422})
NOT_ACCEPTED_CODES = frozenset({408, 425, 429})
_MEANINGS = {
    401: "login or PIN is not right",
    403: "the account may not do this",
    404: "the service is not at this host and path",
    405: "the service is not at this host and path",
    413: "the list is too long for the service",
}


@dataclass(frozen=True)
class Response:
    """The service's answer to one campaign.

    ``call_ids`` lists the first 1,000, ``call_id_count`` counts all. ``body`` is the beginning of the answer's text
    (at most 2,000 characters) without login, PIN, phone numbers and references. ``problem`` says in words why the
    outcome isn't :attr:`Outcome.QUEUED`. ``sent_bytes`` is the length of the request's body; ``retry_after`` is in
    seconds.
    """

    outcome: Outcome
    campaign_name: str | None
    status_code: int
    call_ids: tuple[str, ...] = ()
    call_id_count: int = 0
    body: str = ""
    problem: str = ""
    sent_bytes: int = 0
    retry_after: float | None = None


class Redaction:
    """Removes secrets and people's data from an answer's text, by value and by name.

    ``secrets`` are the values to remove, however an answer escapes them and in capitals too; ``names`` are the
    elements, attributes or members whose content goes, whatever it is.
    """

    def __init__(self, secrets: Iterable[str], names: Iterable[str]) -> None:
        texts = {text for secret in secrets if secret for text in (secret, base64.b64encode(secret.encode()).decode())}
        self._longest_first = sorted(texts, key=lambda text: (-len(text), text))
        name = "|".join(sorted(map(re.escape, names)))
        self._patterns = [
            re.compile(pattern, re.IGNORECASE)
            for pattern in (
                rf"(<(?:\w+:)?(?:{name})\b[^<>]*>)[^<]*",
                rf"(\b(?:{name})\s*=\s*\")[^\"]*",
                rf"(\b(?:{name})\s*=\s*')[^']*",
                rf"(\b(?:{name})\s*=\s*)[^\s&<>\"',;]+",
                rf"(\"(?:{name})\"\s*:\s*\")(?:[^\"\\]|\\.)*",
                rf"(\"(?:{name})\"\s*:\s*)(?:\[[^\]]*\]?|[^\s,}}\]\"]+)",
            )
        ]

    def __call__(self, text: str) -> str:
        for pattern in self._patterns:
            text = pattern.sub(rf"\1{_REDACTED}", text)
        if self._longest_first:
            # The pattern for every spelling takes long to compile, and most answers escape nothing.
            spelling = _any_spelling if _ESCAPING & set(text) else re.escape
            text = re.sub("|".join(map(spelling, self._longest_first)), _REDACTED, text, flags=re.IGNORECASE)
        return _PHONE_NUMBER.sub(_REDACTED, text)


def _any_spelling(text: str) -> str:
    """A pattern for a text in which each character may be escaped in its own way, as XML, JSON, URLs and PHP do."""
    return "".join(map(_any_escape, text))


def _any_escape(character: str) -> str:
    # All repetitions are bounded: an answer of backslashes must not take minutes.
    code = ord(character)
    names = [
        f"#0{{0,8}}{code}",
        f"#x0{{0,8}}{code:x}",
        codepoint2name.get(code, ""),
        "apos" if character == "'" else "",
    ]
    utf_16 = character.encode("utf-16-be").hex()
    escapes = [
        rf"\\{{0,3}}{re.escape(character)}",
        f"&(?:amp;){{0,3}}(?:{'|'.join(filter(None, names))});",
        "".join(rf"\\{{1,3}}u{utf_16[i : i + 4]}" for i in range(0, len(utf_16), 4)),
        rf"\\{{1,3}}x{code:02x}",
        re.sub("(..)", r"%(?:25){0,3}\1", character.encode().hex()),
        *([r"\+"] if character == " " else []),
    ]
    return f"(?:{'|'.join(escapes)})"


class CutShort(Exception):
    """The answer ended before it was complete; the message says how."""


def read_response(
    status_code: int,
    chunks: Iterable[bytes],
    *,
    contacts: int | Callable[[], int],
    redaction: Redaction,
    complete: bool = True,
    campaign_name: str | None = None,
    sent_bytes: int = 0,
    retry_after: float | None = None,
) -> Response:
    """Read an answer to its end, or to what may be believed of it, and tell the outcome.

    ``chunks`` may raise :class:`CutShort`. ``contacts`` is the number of rows sent, which bounds the answer's
    length, or counts them, once an answer is longer than it might be without any. ``complete`` says whether the whole
    request had been sent, without which no answer can mean queued. The status code alone decides unless it is 2xx,
    so no more than the beginning of such a body is read.
    """
    findings = _Findings()
    body = _Body(findings, contacts)
    accepted = 200 <= status_code < 300
    flaw = ""
    try:
        for chunk in chunks:
            body.feed(chunk)
            if not accepted and len(body.head) >= _HEAD_BYTES:
                break
        body.close()
    except (CutShort, _Unreadable) as error:
        flaw = str(error)
    outcome, problem = _judge(findings, flaw) if accepted else _judge_code(status_code)
    if outcome is Outcome.QUEUED and not complete:
        outcome, problem = Outcome.UNKNOWN, "the service answered before it had the whole list"
    return Response(
        outcome=outcome,
        campaign_name=campaign_name,
        status_code=status_code,
        call_ids=tuple(findings.call_ids),
        call_id_count=findings.call_id_count,
        body=redaction(body.text())[:BODY_CHARACTERS],
        problem=problem,
        sent_bytes=sent_bytes,
        retry_after=retry_after,
    )


def _judge_code(status_code: int) -> tuple[Outcome, str]:
    meaning = "a redirect, which is never followed" if 300 <= status_code < 400 else _MEANINGS.get(status_code)
    problem = f"HTTP {status_code}: {meaning}" if meaning else f"HTTP {status_code}"
    if status_code in REFUSED_CODES or 300 <= status_code < 400:
        return Outcome.REFUSED, problem
    return Outcome.NOT_ACCEPTED if status_code in NOT_ACCEPTED_CODES else Outcome.UNKNOWN, problem


def _judge(findings: _Findings, flaw: str) -> tuple[Outcome, str]:
    """Tell the outcome of a 2xx answer. What contradicts itself is unknown: something may have been queued."""
    if flaw:
        return Outcome.UNKNOWN, flaw
    depth, words = min(findings.statuses.items(), default=(None, frozenset[str]()))
    failed = bool(words) and words <= REFUSED_WORDS
    error = findings.error_depth is not None and (depth is None or findings.error_depth <= depth)
    if words and words <= QUEUED_WORDS and not error:
        return Outcome.QUEUED, ""
    if (failed or (error and not words)) and not findings.call_id_count:
        return Outcome.REFUSED, "the answer says that it failed"
    if words or error:
        return Outcome.UNKNOWN, "the answer contradicts itself or has a status that isn't known"
    return Outcome.UNKNOWN, "the answer doesn't say whether the campaign was queued"


@dataclass
class _Findings:
    """What an answer says, wherever in it. Depths are kept since the outermost status counts."""

    statuses: dict[int, set[str]] = field(default_factory=dict)
    error_depth: int | None = None
    call_ids: list[str] = field(default_factory=list)
    call_id_count: int = 0

    def found(self, name: str, value: object, depth: int) -> None:
        """Take in one attribute, element or member."""
        if value in (None, "", "0", False, [], {}):
            return
        if name == "call_id":
            self.call_id_count += 1
            if len(self.call_ids) < LISTED_CALL_IDS and re.fullmatch(r"[\w.:-]{1,64}", str(value)):
                self.call_ids.append(str(value))
        elif name == "status" and isinstance(value, str):
            words = self.statuses.setdefault(depth, set())
            if len(words) < len(QUEUED_WORDS | REFUSED_WORDS) + 1:
                words.add(value.strip().lower()[:32])
        elif name == "error":
            self.error_depth = depth if self.error_depth is None else min(depth, self.error_depth)


class _Unreadable(Exception):
    """The body cannot be understood; the message says why."""


class _Parser(Protocol):
    def feed(self, data: bytes, /) -> None: ...
    def close(self) -> object: ...


class _Body:
    """Feeds a body to the parser that its first character calls for, and keeps its beginning."""

    def __init__(self, findings: _Findings, contacts: int | Callable[[], int]) -> None:
        self.head = bytearray()
        self._findings = findings
        self._contacts = contacts
        self._length = 0
        self._start = b""
        self._parser: _Parser | None = None
        self._other = False

    def feed(self, chunk: bytes) -> None:
        self._length += len(chunk)
        self.head += chunk[: _HEAD_BYTES - len(self.head)]
        if self._length > RESPONSE_BYTES and self._length > self._limit:
            raise _Unreadable(f"the answer is longer than {self._limit} bytes, too long for this list")
        if self._parser is None and not self._other:
            # A UTF-8 mark and blanks may go; a UTF-16 mark is what tells the parser the encoding.
            self._start = chunk = (self._start + chunk).lstrip(codecs.BOM_UTF8 + b" \t\r\n")
            if start := chunk.lstrip(codecs.BOM_UTF16_BE + b" \t\r\n\0")[:1]:
                self._choose(start)
        if self._parser and chunk:
            with _unreadable():
                self._parser.feed(chunk)

    def close(self) -> None:
        if self._parser:
            with _unreadable():
                self._parser.close()

    def text(self) -> str:
        """The body's beginning, without control characters and without a word that was cut in two."""
        encoding = "utf-16" if self.head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8"
        text = "".join(c for c in self.head.decode(encoding, "replace") if c.isprintable() or c in "\n\t")
        return text if self._length <= len(self.head) else re.sub(r"[^\s<>,;\"']*$", "", text)

    @property
    def _limit(self) -> int:
        limit = RESPONSE_BYTES + RESPONSE_BYTES_PER_CONTACT * self._contact_count
        return min(limit, JSON_BYTES) if isinstance(self._parser, _Json) else limit

    @cached_property
    def _contact_count(self) -> int:
        return self._contacts() if callable(self._contacts) else self._contacts

    def _choose(self, start: bytes) -> None:
        if start == b"<":
            from defusedxml.ElementTree import DefusedXMLParser

            self._parser = DefusedXMLParser(target=_XmlTarget(self._findings), forbid_dtd=True)
        elif start in b"{[":
            self._parser = _Json(self._findings)
        else:
            self._other = True


@contextmanager
def _unreadable() -> Iterator[None]:
    # SyntaxError is ElementTree's ParseError; what defusedxml forbids and what isn't UTF-8 are ValueErrors.
    try:
        yield
    except (SyntaxError, ValueError, LookupError, RecursionError) as error:
        raise _Unreadable(f"the answer cannot be read ({type(error).__name__})") from None


class _Json:
    """Collects a JSON text and walks it at the end."""

    def __init__(self, findings: _Findings) -> None:
        self._findings = findings
        self._data = bytearray()

    def feed(self, data: bytes, /) -> None:
        self._data += data

    def close(self) -> None:
        todo: list[tuple[str, Any, int]] = [("", json.loads(self._data.decode()), -1)]
        while todo:
            name, value, depth = todo.pop()
            if isinstance(value, dict):
                todo += [(key.lower(), member, depth + 1) for key, member in reversed(value.items())]
            elif isinstance(value, list):
                # The items of a list stand for what the list is called: "call_ids": [1, 2].
                todo += [(name.removesuffix("s"), item, depth) for item in reversed(value)]
            if name != "call_id" or isinstance(value, str | int):
                self._findings.found(name, value, depth)


class _XmlTarget:
    """Takes the parser's events. The root's attributes and its children's texts are both at depth 0."""

    def __init__(self, findings: _Findings) -> None:
        self._findings = findings
        self._open: list[str] = []
        self._text = ""

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if self._open and self._open[-1] == "error":
            self._findings.found("error", True, len(self._open) - 2)
        for name, value in attributes.items():
            self._findings.found(_local(name), value, len(self._open))
        self._open.append(_local(tag))
        self._text = ""

    def data(self, text: str) -> None:
        if len(self._text) < _HEAD_BYTES:
            self._text += text

    def end(self, _: str) -> None:
        name = self._open.pop()
        self._findings.found(name, self._text.strip(), len(self._open) - 1)
        self._text = ""

    def close(self) -> None:
        """Nothing to give back: the findings have it all."""


def _local(tag: str) -> str:
    return tag.rpartition("}")[2].lower()
