"""The responses of the service, in the shapes of the vendor's other services: XML for a single call, JSON for siblings.

Both repeat the posted form with login and PIN in clear, as the vendor does: a client that logs responses should find
out here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol
from xml.sax.saxutils import escape, quoteattr

from airflow_provider_queuecalls.exceptions import Violation
from airflow_provider_queuecalls.sandbox.store import Call

_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
#: Characters that XML cannot contain, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ELEMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, kw_only=True)
class Names:
    """The names and words in a response: what says what became of the campaign, and what holds errors and call ids."""

    status: str = "status"
    queued: str = "queued"
    failed: str = "failed"
    error: str = "error"
    call_id: str = "call_id"


class ResponseFormat(Protocol):
    """One format of responses."""

    media_type: str
    names: Names

    def __init__(self, names: Mapping[str, str]) -> None: ...

    def queued(self, fields: Mapping[str, str], pages: Iterable[Iterable[Call]]) -> Iterator[str]:
        """The response to a queued campaign, piece by piece: the form's fields, and the id of every call."""
        ...

    def failed(self, fields: Mapping[str, str], violations: Iterable[Violation]) -> str:
        """The response to a refused campaign: each violation with its field's name, and the form's fields."""
        ...


class XmlResponses:
    """The format of the vendor's single call."""

    media_type = "text/xml"

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = Names(**names)

    def queued(self, fields: Mapping[str, str], pages: Iterable[Iterable[Call]]) -> Iterator[str]:
        names = self.names
        yield f"{_DECLARATION}<queuecalls {names.status}={quoteattr(names.queued)}>\n{_repeated(fields)}"
        for page in pages:
            # A valid phone number contains nothing that XML would need escaped.
            yield "".join(
                f'<queuecall {names.call_id}="{call.call_id}" phone_number="{call.phone_number}"/>\n' for call in page
            )
        yield "</queuecalls>\n"

    def failed(self, fields: Mapping[str, str], violations: Iterable[Violation]) -> str:
        names = self.names
        errors = "".join(
            f"<{names.error} field={quoteattr(_legal(violation.parameter))}>{_text(str(violation))}</{names.error}>\n"
            for violation in violations
        )
        head = f"{_DECLARATION}<queuecalls {names.status}={quoteattr(names.failed)}>"
        return f"{head}\n{errors}{_repeated(fields)}</queuecalls>\n"


class JsonResponses:
    """The format of the vendor's sibling products: status, error, result."""

    media_type = "application/json"

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = Names(**{"queued": "success", "failed": "failure", **names})

    def queued(self, fields: Mapping[str, str], pages: Iterable[Iterable[Call]]) -> Iterator[str]:
        names = self.names
        head = json.dumps({names.status: names.queued, names.error: None})[:-1]
        yield f'{head}, "result": {{"fields": {json.dumps(fields)}, "{names.call_id}s": ['
        separator = ""
        for page in pages:
            yield separator + ", ".join(f'"{call.call_id}"' for call in page)
            separator = ", "
        yield "]}}\n"

    def failed(self, fields: Mapping[str, str], violations: Iterable[Violation]) -> str:
        names = self.names
        errors = [{"field": violation.parameter, "message": str(violation)} for violation in violations]
        said = {names.status: names.failed, names.error: errors, "result": {"fields": dict(fields)}}
        return json.dumps(said) + "\n"


class TextResponses:
    """One word, as a script may print it that was written for a person."""

    media_type = "text/plain"

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = Names(**names)

    def queued(self, fields: Mapping[str, str], pages: Iterable[Iterable[Call]]) -> Iterator[str]:  # noqa: ARG002
        yield f"{self.names.queued}\n"

    def failed(self, fields: Mapping[str, str], violations: Iterable[Violation]) -> str:  # noqa: ARG002
        return "".join([f"{self.names.failed}\n", *(f"{violation}\n" for violation in violations)])


FORMATS: Mapping[str, type[ResponseFormat]] = {"xml": XmlResponses, "json": JsonResponses, "text": TextResponses}


def first_of(pages: Iterable[list[Call]], calls: int) -> Iterator[list[Call]]:
    """The first ``calls`` calls."""
    for page in pages:
        if calls <= 0:
            return
        yield page[:calls]
        calls -= len(page)


def beginning(pieces: Iterable[str], share: float) -> tuple[bytes, int]:
    """The first share of a response, and the length of the whole."""
    if not share:
        return b"", 0
    whole = "".join(pieces).encode()
    return whole[: int(len(whole) * share)], len(whole)


def _repeated(fields: Mapping[str, str]) -> str:
    return "".join(
        f"<{name}>{_text(value)}</{name}>\n" for name, value in fields.items() if _ELEMENT_NAME.fullmatch(name)
    )


def _text(text: str) -> str:
    return escape(_legal(text))


def _legal(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
