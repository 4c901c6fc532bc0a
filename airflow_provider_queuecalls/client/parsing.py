"""XML and JSON read as streams: memory is bounded by the depth and the longest token, not by the length.

What is read goes to two places: to :class:`Findings`, which decide the outcome, and to the
:class:`~airflow_provider_queuecalls.client.shown.Outline`, of which something may be shown.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from json.decoder import scanstring  # type: ignore[attr-defined]  # missing in its stubs
from typing import Any

from airflow_provider_queuecalls.client.shown import Outline, is_call_id

LISTED_CALL_IDS = 1_000
#: How many short values are kept that may say what became of the campaign, and how long they may be.
KEPT_VALUES, VALUE_CHARACTERS = 20, 32
MAX_DEPTH = 200
#: The longest tag, string or number; and how many names the JSON objects may have that are open at one time.
TOKEN_BYTES, MOST_NAMES = 2 << 20, 160_000
_TEXT_CHARACTERS, _STATUS_CHARACTERS, _STATUSES = 16 << 10, 32, 8
#: What an error says, in some services, if there is none.
_NO_ERROR = frozenset(
    {"", "false", "n/a", "nil", "no", "no error", "no errors", "none", "null", "ok", "success", "successful"}
)
#: A token of JSON; of a string only the beginning.
_JSON_TOKEN = re.compile(
    r'[ \t\r\n]*([{}\[\],:"]|true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?=[ \t\r\n,\]}]))'
)
_JSON_PORTION = 64 << 10


class Unreadable(ValueError):
    """A response is neither XML nor JSON, or too large for its parser."""


@dataclass
class Findings:
    """What a response says, wherever in it. Depths are kept because the outermost status counts.

    ``queued_values`` are further names with the values that say queued, in lowercase; ``values`` are short values that may
    say so, the outermost first.
    """

    queued_values: Mapping[str, str] = field(default_factory=dict)
    values: list[tuple[int, str, str]] = field(default_factory=list)
    statuses: dict[int, set[str]] = field(default_factory=dict)
    error_depth: int | None = None
    #: Whether any error says something: "none" or a code of zeros proves nothing, and a campaign that is not queued needs proof.
    error_says: bool = False
    call_ids: list[str] = field(default_factory=list)
    call_id_count: int = 0

    def found(self, name: str, value: object, depth: int, *, in_error: bool = False) -> None:
        """Take in one attribute, element or member. ``in_error`` is whether it is a part of an error."""
        if (in_error or name == "error") and _says_something(value):
            self.error_says = True
        text = str(value).strip().lower() if name != "call_id" and isinstance(value, str | int) else ""
        if 0 < len(text) <= VALUE_CHARACTERS and len(self.values) < KEPT_VALUES:
            self.values.append((depth, name, text))
        if name in self.queued_values and str(value).strip().lower() == self.queued_values[name]:
            self.statuses.setdefault(depth, set()).add("queued")
            return
        if value in (None, "", "0", False, [], {}):
            return
        if name == "call_id":
            self.call_id_count += 1
            if len(self.call_ids) < LISTED_CALL_IDS and is_call_id(str(value)):
                self.call_ids.append(str(value))
        elif name == "status" and isinstance(value, str):
            seen = self.statuses.setdefault(depth, set())
            if len(seen) < _STATUSES:
                seen.add(value.strip().lower()[:_STATUS_CHARACTERS])
        elif name == "error":
            self.found_error(depth)

    def found_error(self, depth: int) -> None:
        """Take in that there is an error, which may have parts."""
        self.error_depth = depth if self.error_depth is None else min(depth, self.error_depth)


def _says_something(error: object) -> bool:
    """Whether a value says that there was an error, rather than that there was none."""
    text = str(error).lower().strip(" \t\r\n.!")
    return bool(text.strip("0.+-")) and text not in _NO_ERROR


class XmlParser:
    """Reads XML without a document type. The root's attributes and its children's texts are both at depth 0."""

    def __init__(self, findings: Findings, outline: Outline) -> None:
        from defusedxml.ElementTree import DefusedXMLParser

        self._findings = findings
        self._outline = outline
        self._open: list[str] = []
        self._in_error = 0
        self._text = ""
        self._parser: Any = DefusedXMLParser(target=self, forbid_dtd=True)
        self._fed = 0

    def feed(self, data: bytes) -> None:
        self._fed += len(data)
        self._parser.feed(data)
        if self._fed - self._parser.parser.CurrentByteIndex > TOKEN_BYTES + len(data):
            raise Unreadable("a tag is too long")

    def finish(self) -> None:
        """Raise an error if the document is not complete."""
        self._parser.close()

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """Take in a start tag."""
        if len(self._open) >= MAX_DEPTH:
            raise Unreadable("it is nested too deeply")
        self._end_of_text()
        if self._open and self._open[-1].lower() == "error":
            self._findings.found_error(len(self._open) - 2)
        self._open.append(_local(tag))
        self._in_error += self._open[-1].lower() == "error"
        for name, value in attributes.items():
            self._findings.found(_local(name).lower(), value, len(self._open) - 1, in_error=self._in_error > 0)
        if not self._outline.has_room:
            return
        self._outline.markup("<")
        self._outline.name(_local(tag))
        for name, value in attributes.items():
            self._outline.markup(" ")
            self._outline.name(_local(name))
            self._outline.markup('="')
            self._outline.value(_local(name), value)
            self._outline.markup('"')
        self._outline.markup(">")

    def data(self, text: str) -> None:
        """Take in a part of the text between two tags."""
        if len(self._text) < _TEXT_CHARACTERS:
            self._text += text

    def end(self, _: str) -> None:
        """Take in an end tag."""
        text, name = self._end_of_text(), self._open.pop()
        self._findings.found(name.lower(), text, len(self._open) - 1, in_error=self._in_error > 0)
        self._in_error -= name.lower() == "error"
        if self._outline.has_room:
            self._outline.markup("</")
            self._outline.name(name)
            self._outline.markup(">")

    def close(self) -> None:
        """Return nothing: findings and outline have it all."""

    def _end_of_text(self) -> str:
        text, self._text = self._text.strip(), ""
        if text:
            self._outline.value(self._open[-1], text)
        return text


class TextParser:
    """Reads a response that is neither XML nor JSON as one value, ``text``: the whole of it if that is a few words, else its
    first word."""

    def __init__(self, findings: Findings, outline: Outline) -> None:
        self._findings = findings
        self._outline = outline
        self._text = b""

    def feed(self, data: bytes) -> None:
        self._text += data[: _TEXT_CHARACTERS - len(self._text)]

    def finish(self) -> None:
        """Take in the text."""
        text = self._text.decode(errors="replace").strip()
        words = " ".join(text.split())
        is_short = len(words) <= VALUE_CHARACTERS and not any(map(str.isdigit, words))
        self._findings.found("text", words if is_short else words.partition(" ")[0], 0)
        self._outline.value("text", text)


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


@dataclass
class _Container:
    """A JSON object or array that is open; ``name`` is that of the member it is the value of, ``hashes`` are those of
    an object's own names, which may be long, and ``in_error`` is whether it is an error or a part of one."""

    is_object: bool
    name: str
    depth: int
    in_error: bool
    hashes: set[int] = field(default_factory=set)
    empty: bool = True


class JsonParser:
    """Reads JSON (RFC 8259) in UTF-8. An object that has a name twice contradicts itself and is refused."""

    def __init__(self, findings: Findings, outline: Outline) -> None:
        self._findings = findings
        self._outline = outline
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._wanted = _JSON_PORTION
        self._open: list[_Container] = []
        self._name = ""
        self._expected = "value"
        self._open_names = 0

    def feed(self, data: bytes) -> None:
        self._text += self._decoder.decode(data)
        if len(self._text) >= self._wanted:
            self._read()

    def finish(self) -> None:
        """Raise an error if the text is not complete."""
        self._text += self._decoder.decode(b"", final=True) + " "
        self._read()
        if self._expected != "end" or self._text.strip(" \t\r\n"):
            raise Unreadable("it is not JSON")

    def _read(self) -> None:
        """Take in all tokens but the last if it may go on in the next chunk."""
        position, size = 0, len(self._text)
        while match := _JSON_TOKEN.match(self._text, position):
            token, end, value = match[1], match.end(), ""
            if token == '"':
                try:
                    value, end = scanstring(self._text, end)
                except ValueError:  # it is not complete, or not valid: then it never will be
                    break
            if end == size:
                break
            self._take(token, value)
            position = end
        self._text = self._text[position:]
        if len(self._text) > TOKEN_BYTES:
            raise Unreadable("a string is too long, or it is not JSON")
        self._wanted = max(_JSON_PORTION, 2 * len(self._text))  # so that a long string isn't read again and again

    def _take(self, token: str, text: str) -> None:
        """Take in one token: a step of the grammar. ``text`` is the string that a quotation mark begins."""
        expected = self._expected
        if expected == "colon" and token == ":":
            self._expected = "value"
        elif expected == "comma or end" and token == ",":
            self._outline.markup(", ")
            self._expected = "name" if self._open[-1].is_object else "value"
        elif token in ("}", "]") and expected in ("comma or end", "name or end" if token == "}" else "value or end"):
            self._end(token)
        elif expected in ("name", "name or end") and token == '"':
            self._member(text)
        elif expected in ("value", "value or end") and token not in ("}", "]", ",", ":"):
            self._value(token, text)
        else:
            raise Unreadable("it is not JSON")

    def _value(self, token: str, text: str) -> None:
        container = self._open[-1] if self._open else None
        # The items of an array stand for what the array is called: "call_ids": [1, 2].
        name = self._name if container is None or container.is_object else container.name.removesuffix("s")
        depth, in_error = (container.depth, container.in_error) if container else (-1, False)
        if container and container.empty:
            container.empty = False
            if container.name == "error":
                self._findings.found_error(container.depth - container.is_object)
        if token in ("{", "["):
            if len(self._open) >= MAX_DEPTH:
                raise Unreadable("it is nested too deeply")
            is_object = token == "{"
            self._open.append(_Container(is_object, name, depth + is_object, name == "error" or in_error))
            self._outline.markup(token)
            self._expected = "name or end" if is_object else "value or end"
            return
        self._expected = "comma or end" if self._open else "end"
        value = text if token == '"' else json.loads(token)
        if name != "call_id" or (isinstance(value, str | int) and not isinstance(value, bool)):
            self._findings.found(name, value, depth, in_error=in_error)
        if not self._outline.has_room:
            return
        if isinstance(value, str):
            self._outline.markup('"')
            self._outline.value(name, value)
            self._outline.markup('"')
        elif token in ("true", "false", "null"):
            self._outline.markup(token)
        else:
            self._outline.value(name, token)

    def _member(self, name: str) -> None:
        container = self._open[-1]
        self._name = name.lower()
        self._open_names += 1
        if hash(self._name) in container.hashes or self._open_names > MOST_NAMES:
            raise Unreadable("an object has a name twice, or too many names")
        container.hashes.add(hash(self._name))
        self._expected = "colon"
        self._outline.markup('"')
        self._outline.name(name)
        self._outline.markup('": ')

    def _end(self, token: str) -> None:
        container = self._open.pop()
        if container.is_object != (token == "}"):
            raise Unreadable("it is not JSON")
        self._open_names -= len(container.hashes)
        self._outline.markup(token)
        self._expected = "comma or end" if self._open else "end"
