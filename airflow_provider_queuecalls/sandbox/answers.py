"""What the service answers, in the shape of the vendor's answer to a single call: XML that repeats what was posted.

Login and PIN are repeated in clear, as the vendor does: a client that logs its answers should find out here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from xml.sax.saxutils import escape, quoteattr

from airflow_provider_queuecalls.exceptions import Violation
from airflow_provider_queuecalls.sandbox.store import Call

MEDIA_TYPE = "text/xml"
_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
#: What XML cannot hold, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ELEMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


def queued(fields: Mapping[str, str], pages: Iterable[Iterable[Call]]) -> Iterator[str]:
    """The answer to a campaign that was queued, piece by piece: the fields, and the id of every call."""
    yield f'{_DECLARATION}<queuecalls status="queued">\n{_repeated(fields)}'
    for page in pages:
        # A phone number that was taken holds nothing that XML would need escaped.
        yield "".join(f'<queuecall call_id="{call.call_id}" phone_number="{call.phone_number}"/>\n' for call in page)
    yield "</queuecalls>\n"


def failed(fields: Mapping[str, str], violations: Iterable[Violation]) -> str:
    """The answer to a campaign that was refused: every violation with its field's name, and the fields."""
    errors = "".join(
        f"<error field={quoteattr(_legal(violation.parameter))}>{_text(str(violation))}</error>\n"
        for violation in violations
    )
    return f'{_DECLARATION}<queuecalls status="failed">\n{errors}{_repeated(fields)}</queuecalls>\n'


def _repeated(fields: Mapping[str, str]) -> str:
    return "".join(
        f"<{name}>{_text(value)}</{name}>\n" for name, value in fields.items() if _ELEMENT_NAME.fullmatch(name)
    )


def _text(text: str) -> str:
    return escape(_legal(text))


def _legal(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
