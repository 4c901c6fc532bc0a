"""The names and values of a request to the receiver, read in bounded time and memory."""

from __future__ import annotations

import asyncio
import email
import email.message
from collections.abc import Awaitable, Callable, MutableMapping
from email.utils import collapse_rfc2231_value
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
MOST_BYTES = 64 << 10
#: How long a client may take to send a request's head, and its body.
CLIENT_SECONDS = 20


class InvalidRequest(Exception):
    """A request that cannot be read, with the response to it."""


async def pairs_of(scope: Scope, receive: Receive) -> list[tuple[str, str]]:
    """Return the names and values of a request. Raises :class:`InvalidRequest` if it cannot be read."""
    content_type, body = "", b""
    if scope["method"] == "POST":
        content_type = dict(scope["headers"]).get(b"content-type", b"").decode("latin-1")
        try:
            body = await asyncio.wait_for(_body(receive), CLIENT_SECONDS)
        except asyncio.TimeoutError:
            raise InvalidRequest(408, "the body did not arrive in time") from None
        except ConnectionError:
            raise InvalidRequest(400, "the client has disconnected") from None  # which only the log shows
    elif scope["method"] not in ("GET", "HEAD"):
        raise InvalidRequest(405, "method not allowed")
    return read_pairs(content_type, body, scope["query_string"].decode("latin-1"))


async def _body(receive: Receive) -> bytes:
    """The body. Raises :class:`InvalidRequest` if it is too large, and :class:`ConnectionError` if the client has gone."""
    body, more = b"", True
    while more and len(body) <= MOST_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if len(body) > MOST_BYTES:
        raise InvalidRequest(413, f"the body has more than {MOST_BYTES} bytes")
    return body


def read_pairs(content_type: str, body: bytes, query: str) -> list[tuple[str, str]]:
    """Return the names and values in the URL's query and the body, which is a form, multipart or not.

    Nothing is lost: what is neither is a name without a value, and a byte that is not UTF-8 is escaped.
    """
    pairs = _form(query)
    if content_type.strip().lower().startswith("multipart/form-data"):
        head = b"Content-Type: " + content_type.encode("latin-1") + b"\n\n"
        message: Any = email.message_from_bytes(head + body, _Form)
        if message.is_multipart():
            return pairs + [_part(part) for part in message.get_payload()]
        return [*pairs, (_text(body), "")]
    return pairs + _form(_text(body))


class _Form(email.message.Message):
    """A form or one of its parts, which is text whatever its type: not a message of its own, nor a form in the form."""

    def get_content_type(self) -> str:
        return "text/plain" if "content-disposition" in self else super().get_content_type()


def _form(text: str) -> list[tuple[str, str]]:
    return parse_qsl(text, keep_blank_values=True, errors="surrogateescape")


def _part(part: Any) -> tuple[str, str]:
    name = part.get_param("name", "", header="content-disposition")
    return collapse_rfc2231_value(name), _text(part.get_payload(decode=True) or b"")


def _text(value: bytes) -> str:
    return value.decode(errors="surrogateescape")
