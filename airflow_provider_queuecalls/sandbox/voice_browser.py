"""Reads VoiceXML scripts as a voice browser does, as far as announcements and choices by key need it: no audio, no speech.

It follows VoiceXML 2.0 (https://www.w3.org/TR/voicexml20/), whose sections are given below. A document that no voice browser
accepts is an error. An element that is only missing here ends the reading, and :attr:`Reading.left_out` names it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias
from urllib.parse import urldefrag, urljoin

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

NAMESPACE = "{http://www.w3.org/2001/vxml}"
VERSIONS = ("2.0", "2.1")
#: Section 1.4, and the elements of speech (4.1.1) and of grammars (3.1) that may be in a document.
ELEMENTS = frozenset((
    "assign", "audio", "block", "break", "catch", "choice", "clear", "disconnect", "else", "elseif", "enumerate",
    "error", "exit", "field", "filled", "form", "goto", "grammar", "help", "if", "initial", "link", "log", "menu",
    "meta", "metadata", "noinput", "nomatch", "object", "option", "param", "prompt", "property", "record",
    "reprompt", "return", "script", "subdialog", "submit", "throw", "transfer", "value", "var", "vxml", "desc",
    "emphasis", "lexicon", "mark", "p", "paragraph", "phoneme", "prosody", "s", "say-as", "sentence", "sub",
    "voice", "example", "item", "one-of", "rule", "ruleref", "tag", "token",
))  # fmt: skip
#: They say nothing and do nothing here.
_SILENT = frozenset(
    {"log", "meta", "metadata", "property", "option", "grammar", "noinput", "nomatch", "catch", "help", "error"}
)
#: Inside a prompt, they change how a text sounds, and not the text.
_SPEECH = frozenset(
    {"emphasis", "p", "paragraph", "phoneme", "prosody", "s", "say-as", "sentence", "voice", "audio", "prompt"}
)
_FORM = "application/x-www-form-urlencoded"
#: How often somebody waits for the end of a script that asks for a key again and again.
PATIENCE = 10
PAUSE = "…"
_LITERAL = re.compile(r"""\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\s*""", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "v": "\v", "0": "\0"}
#: The key that is pressed when a script offers keys, and "" for none.
Press: TypeAlias = Callable[[Sequence[str]], str]


class ScriptError(Exception):
    """A voice browser cannot read a script. The message says why, and repeats nothing of its texts."""


@dataclass(frozen=True)
class Request:
    """A request for a document, with the fields of a form."""

    method: str
    url: str
    fields: Mapping[str, str]


class Reading(NamedTuple):
    """What came of a document: what was said and which keys were pressed, line by line, and the request that it ends with.

    ``left_out`` is the element that ended the reading, since it is not executed here.
    """

    transcript: tuple[str, ...]
    submit: Request | None
    left_out: str | None


def read_script(document: bytes, url: str, press: Press) -> Reading:
    """Read the document that a URL has responded with. Raises :class:`ScriptError`."""
    caller = _Caller(url, press)
    submit = left_out = None
    try:
        caller.run(_root(document))
    except _Submitted as submitted:
        submit = submitted.request
    except _LeftOut as found:
        left_out = str(found)
    except _Ended:
        pass
    except RecursionError:
        raise ScriptError("is nested too deeply") from None
    return Reading(tuple(caller.transcript), submit, left_out)


class _Ended(Exception):
    """The script has ended the call."""


class _Submitted(_Ended):
    def __init__(self, request: Request) -> None:
        self.request = request


class _LeftOut(Exception):
    """An element that is not executed here, and what keeps it from being executed, if others of its name are."""

    def __init__(self, tag: str, why: str = "") -> None:
        super().__init__(f"<{tag}>{why}")


def _root(document: bytes) -> Element:
    from xml.etree.ElementTree import ParseError

    from defusedxml.ElementTree import fromstring

    try:
        root: Element = fromstring(document)
    # ValueError is defusedxml's, and LookupError that of an unknown encoding.
    except (ParseError, ValueError, LookupError) as error:
        line = f" (line {error.position[0]})" if isinstance(error, ParseError) else ""
        raise ScriptError(f"is not well-formed XML{line}") from None
    for element in root.iter():
        element.tag = element.tag.removeprefix(NAMESPACE)
        if element.tag not in ELEMENTS:
            raise ScriptError("contains an element that VoiceXML 2.0 does not have")
    if root.tag != "vxml":
        raise ScriptError(f"is not VoiceXML: its root element is <{root.tag}>")
    if root.get("version") not in VERSIONS:
        raise ScriptError("has no version='2.0' in its <vxml>")
    return root


class _Caller:
    """Goes through one document: the form interpretation algorithm (appendix C), without what would go back."""

    def __init__(self, url: str, press: Press) -> None:
        self._url = url
        self._press = press
        self._variables: dict[str, str | None] = {}
        self._fields: list[str] = []
        self._reprompts = False
        self.transcript: list[str] = []

    def run(self, root: Element) -> None:
        dialog = next((element for element in root if element.tag in ("form", "menu")), None)
        if dialog is None:
            raise ScriptError("contains no form")
        if dialog.tag == "menu":
            raise _LeftOut("menu")
        for element in (*root.iterfind("var"), *dialog.iterfind("var")):
            self._declare(element)
        self._fields = [element.get("name", "") for element in dialog.iterfind("field")]
        for item in dialog:
            if {"cond", "expr"} & set(item.keys()) and item.tag != "var":
                raise _LeftOut(item.tag)
            if item.tag == "block":
                self._execute(item)
            elif item.tag == "field":
                self._collect(item, dialog, root)
            elif item.tag not in _SILENT | {"var", "filled"}:
                raise _LeftOut(item.tag)

    def _collect(self, field: Element, form: Element, root: Element) -> None:
        """Ask for a key until one of the options is chosen (2.3.1)."""
        options = {
            option.get("dtmf", "").strip(): option.get("value")
            or "".join(option.itertext()).strip()
            or option.get("dtmf")
            for option in field.iterfind("option")
            if option.get("dtmf")
        }
        if not options:
            raise _LeftOut("field", " without an option that has dtmf")
        prompted, events, self._reprompts = 0, Counter[str](), True
        for _ in range(PATIENCE):
            if self._reprompts:
                prompted += 1
                for prompt in _of_count(field.iterfind("prompt"), prompted):
                    self._say(prompt)
            key = self._press(tuple(options))
            self.transcript.append(f"[presses {key}]" if key else "[presses nothing]")
            if key in options:
                self._variables[field.get("name", "")] = options[key]
                for filled in field.iterfind("filled"):
                    self._execute(filled)
                if all(self._variables.get(name) is not None for name in self._fields):
                    for filled in form.iterfind("filled"):
                        self._execute(filled)
                return
            event = "nomatch" if key else "noinput"
            events[event] += 1
            self._handle(event, events[event], (field, form, root))
        self.transcript.append("[hangs up]")
        raise _Ended

    def _handle(self, event: str, count: int, scopes: Sequence[Element]) -> None:
        """Execute the handler of an event: the first one of the highest count that is reached (5.2.4)."""
        handlers = (
            handler
            for scope in scopes
            for handler in scope
            if handler.tag == event or (handler.tag == "catch" and event in handler.get("event", event).split())
        )
        chosen = _of_count(handlers, count)
        self._reprompts = not chosen  # what the handler of the platform does
        for handler in chosen[:1]:
            self._execute(handler)

    def _execute(self, element: Element) -> None:
        """Execute the contents of a block or a handler, in their order (5.3)."""
        self._line(element.text)
        for child in element:
            if child.tag in ("prompt", "audio", "value", "break"):
                self._say(child)
            elif child.tag == "var":
                self._declare(child)
            elif child.tag == "assign":
                self._variables[child.get("name", "")] = self._value(child)
            elif child.tag == "reprompt":
                self._reprompts = True
            elif child.tag in ("exit", "disconnect"):
                raise _Ended
            elif child.tag == "submit":
                raise _Submitted(self._request(child))
            elif child.tag not in _SILENT:
                raise _LeftOut(child.tag)
            self._line(child.tail)

    def _request(self, submit: Element) -> Request:
        """The request of a submit (5.3.8)."""
        if submit.get("expr") or submit.get("enctype", _FORM) != _FORM:
            raise _LeftOut("submit")
        names = submit.get("namelist", " ".join(self._fields)).split()
        if unknown := [name for name in names if name not in self._variables]:
            raise ScriptError(f"submits {len(unknown)} variables that it does not declare")
        fields = {name: value for name in names if (value := self._variables[name]) is not None}
        method = submit.get("method", "get").upper()
        if method not in ("GET", "POST"):
            raise ScriptError("submits with a method that is neither get nor post")
        try:
            url = urldefrag(urljoin(self._url, submit.get("next", "").strip())).url
        except ValueError:
            raise ScriptError("submits to something that is not a URL") from None
        return Request(method, url, fields)

    def _declare(self, var: Element) -> None:
        self._variables[var.get("name", "")] = self._value(var) if var.get("expr") else None

    def _value(self, element: Element) -> str | None:
        """The value of an expression: a string, or the name of a variable."""
        expression = element.get("expr", "")
        if match := _LITERAL.fullmatch(expression):
            text = _ESCAPE.sub(_unescape, match[1] if match[2] is None else match[2])
            return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if expression.strip() not in self._variables:
            raise _LeftOut(element.tag, " with an expression")
        return self._variables[expression.strip()]

    def _say(self, element: Element) -> None:
        if element.get("cond"):
            raise _LeftOut(element.tag, " with a condition")
        self._line("".join(self._spoken(element)))

    def _spoken(self, element: Element) -> Iterator[str]:
        """The texts of a prompt (4.1). A recording is shown by its address, unless it has a text."""
        if element.tag == "break":
            yield f" {PAUSE} "
        elif element.tag == "value":
            yield self._value(element) or ""
        elif element.tag == "sub":
            yield element.get("alias", "")
        elif element.tag == "audio" and not "".join(element.itertext()).strip():
            yield f"[plays {element.get('src', 'a recording')}]"
        elif element.tag in _SPEECH:
            yield element.text or ""
            for child in element:
                yield from self._spoken(child)
                yield child.tail or ""
        elif element.tag not in ("desc", "mark", "metadata", "lexicon"):
            raise _LeftOut(element.tag)

    def _line(self, text: str | None) -> None:
        if line := " ".join((text or "").split()):
            self.transcript.append(line)


def _of_count(elements: Iterator[Element], reached: int) -> list[Element]:
    """The elements of the highest ``count`` that is reached (4.1.6, 5.2.4)."""
    try:
        counted = [(int(element.get("count", "1")), element) for element in elements]
    except ValueError:
        raise ScriptError("has a count that is not a whole number") from None
    highest = max((count for count, _ in counted if count <= reached), default=None)
    return [element for count, element in counted if count == highest]


def _unescape(match: re.Match[str]) -> str:
    code = match[1] or match[2]
    return chr(int(code, 16)) if code else _ESCAPED.get(match[3], match[3])
