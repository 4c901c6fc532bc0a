"""A service that repeats what it got, in one of many shapes; and what of it is found in a text."""

from __future__ import annotations

import base64
import functools
import html
import json
import quopri
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html.entities import codepoint2name
from urllib.parse import quote, quote_plus

from tests.support.fault_server import Act, Exchange, Headers
from tests.support.multipart import parse

Spelling = Callable[[str], str]


@dataclass(frozen=True)
class Got:
    """What came in: the form's texts, HTTP Basic's value, and the contact file's cells."""

    fields: Mapping[str, str]
    rows: tuple[tuple[str, ...], ...]

    @property
    def texts(self) -> dict[str, str]:
        """Everything by name."""
        cells = {f"row{i}.{j}": cell for i, row in enumerate(self.rows) for j, cell in enumerate(row)}
        return {**self.fields, **cells}

    @property
    def line(self) -> str:
        return ",".join(self.rows[0])

    def all(self, spell: Spelling = str, between: str = " , ") -> str:
        return between.join(map(spell, self.texts.values()))


#: How services and frameworks write a text.
SPELLINGS: dict[str, Spelling] = {
    "as it is": str,
    "upper case": str.upper,
    "escaped": html.escape,
    "escaped but for quotes": lambda text: html.escape(text, quote=False),
    "named": lambda text: "".join(f"&{codepoint2name[ord(c)]};" if ord(c) in codepoint2name else c for c in text),
    "apos": lambda text: html.escape(text).replace("&#x27;", "&apos;"),
    "decimal": lambda text: "".join(f"&#{ord(c)};" for c in text),
    "hexadecimal": lambda text: "".join(f"&#x{ord(c):X};" for c in text),
    "twice": lambda text: html.escape(html.escape(text)),
    "json": lambda text: json.dumps(text)[1:-1],
    "json in utf-8": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "json safe in html": lambda text: json.dumps(text)[1:-1].replace("&", "\\u0026").replace("<", "\\u003C"),
    "json in json": lambda text: json.dumps(json.dumps(text))[1:-1],
    "json of php": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "eight backslashes": lambda text: text.replace('"', "\\" * 8 + '"').replace("/", "\\" * 8 + "/"),
    "url": lambda text: quote(text, safe=""),
    "url of a form": quote_plus,
    "percent": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "quoted-printable": lambda text: quopri.encodestring(text.encode()).decode(),
    "mojibake": lambda text: text.encode().decode("latin-1"),
    "nfd": lambda text: unicodedata.normalize("NFD", text),
    "full width": lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),
    "python": lambda text: repr(text)[1:-1],
    "reversed": lambda text: text[::-1],
    "split by spaces": " ".join,
    "split by dashes": "-".join,
    "split by no-break spaces": "\u00a0".join,
    "split by joiners": "\u200d".join,
    "split by marks": "\ufeff".join,
    "split by lines": "\r\n".join,
}


def _xml(inside: str, status: str = "failed") -> str:
    return f'<?xml version="1.0"?><queuecalls status="{status}">{inside}</queuecalls>'


def _legal(text: str) -> str:
    """Without what XML cannot hold."""
    return re.sub("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd]", "", text)


def _print_r(got: Got) -> str:
    return "Array\n(\n" + "".join(f"    [{name}] => {text}\n" for name, text in got.texts.items()) + ")\n"


def _elements(got: Got, spell: Spelling = html.escape) -> str:
    return "".join(f"<{name}>{spell(text)}</{name}>" for name, text in got.texts.items())


def _written(number: str) -> list[str]:
    country, area, exchange, line = number[0], number[1:4], number[4:7], number[7:]
    return [
        *(f"+{number}", f"tel:+{number}", f"%2B{number}", f"{number};ani=8005550100", f"({area}) {exchange}-{line}"),
        *(f"{country}-{area}-{exchange}-{line}", f"{area}.{exchange}.{line}", f"{area}/{exchange}-{line}"),
    ]


def _calls(ids: object) -> str:
    return json.dumps({"status": "queued", "call_ids": ids})


#: The shapes: each gives status code and body.
SHAPES: dict[str, Callable[[Got], tuple[int, str]]] = {
    "free text": lambda got: (200, f"Line 1 is not valid: ***,{got.line}"),
    "free text in xml": lambda got: (200, _xml(f"<error>Line 1 is not valid: {html.escape(got.line)}</error>")),
    "free text in json": lambda got: (200, json.dumps({"error": f"Line 1 is not valid: ***,{got.line}"})),
    "print_r": lambda got: (200, _print_r(got)),
    "print_r in xml": lambda got: (200, _xml(f"<pre>{html.escape(_print_r(got))}</pre>")),
    "html": lambda got: (500, f"<!DOCTYPE html><html><body><p>{got.all(html.escape)}</body></html>"),
    "xhtml": lambda got: (400, f"<html><body><p>{got.all(html.escape)}</p></body></html>"),
    "elements": lambda got: (200, _xml(_elements(got))),
    "queued elements": lambda got: (200, _xml(_elements(got), "queued")),
    "fields by name": lambda got: (
        200,
        _xml("".join(f"<field name='{name}'>{html.escape(text)}</field>" for name, text in got.texts.items())),
    ),
    "cdata": lambda got: (200, _xml(f"<message><![CDATA[{got.all()}]]></message>")),
    "comment": lambda got: (200, _xml(f"<!-- {got.all().replace('--', '')} --><?x {got.all()}?>")),
    "attributes": lambda got: (
        200,
        f'<queuecall status="queued" {" ".join(f"{n}={chr(34)}{html.escape(t)}{chr(34)}" for n, t in got.texts.items())}/>',
    ),
    "element names": lambda got: (
        200,
        _xml("".join(f"<_{re.sub(r'[^A-Za-z]', '', text)}/>" for text in got.texts.values())),
    ),
    "json": lambda got: (200, json.dumps({"status": "queued", **got.texts})),
    "json in utf-8": lambda got: (200, json.dumps({"status": "failed", **got.texts}, ensure_ascii=False)),
    "json names": lambda got: (
        200,
        json.dumps({"status": "queued", "rows": dict.fromkeys(got.texts.values(), "not valid")}),
    ),
    "nested json": lambda got: (200, json.dumps({"status": "queued", "result": json.dumps(got.texts)})),
    "json in xml": lambda got: (200, _xml(f"<message>{html.escape(json.dumps(got.texts))}</message>", "queued")),
    "json lists": lambda got: (200, json.dumps({"status": "failed", "errors": list(got.texts.values())})),
    "cut short": lambda got: (200, _xml(_elements(got))[:-20]),
    "query": lambda got: (401, "&".join(f"{name}={quote_plus(text)}" for name, text in got.texts.items())),
    "ids that are numbers": lambda got: (200, _calls([row[0] for row in got.rows])),
    "ids that are numbers without 1": lambda got: (200, _calls([int(row[0][1:]) for row in got.rows])),
    "ids that are credentials": lambda got: (200, _calls([got.fields[n] for n in ("login", "pin", "basic")])),
    "ids that are references": lambda got: (200, _calls([text for row in got.rows for text in row[1:]])),
    "ids that are numbers in xml": lambda got: (
        200,
        _xml("".join(f'<queuecall call_id="{row[0]}"/>' for row in got.rows), "queued"),
    ),
    "numbers as people write them": lambda got: (
        200,
        " and ".join(written for row in got.rows for written in _written(row[0])),
    ),
    "counts": lambda got: (
        200,
        json.dumps({"status": "queued", "count": got.fields["pin"], "total": int(got.rows[0][0]), "line": got.line}),
    ),
    "status": lambda got: (200, json.dumps({"status": got.line, "code": got.fields["pin"]})),
}


def _spelled(name: str, spell: Callable[[str], str]) -> dict[str, Callable[[Got], tuple[int, str]]]:
    """The shapes that repeat everything in one spelling."""

    def in_json(got: Got) -> str:
        parts = {"message": got.all(spell, " is not valid "), "pin": spell(got.fields["pin"])}
        return json.dumps({"status": "queued", **parts})

    return {
        f"xml, {name}": lambda got: (200, _xml(f"<error>{html.escape(_legal(got.all(spell)))}</error>")),
        f"raw xml, {name}": lambda got: (200, _xml(f"<error>{_legal(got.all(spell))}</error>")),
        f"json, {name}": lambda got: (200, in_json(got)),
        f"raw json, {name}": lambda got: (200, f'{{"status": "queued", "note": "{got.all(spell)}"}}'),
        f"text, {name}": lambda got: (500, got.all(spell)),
    }


for _name, _spell in SPELLINGS.items():
    SHAPES |= _spelled(_name, _spell)


def echo(shape: str | None = None, encoding: str = "utf-8", code: int | None = None, headers: Headers = ()) -> Act:
    """Repeat what comes in: in that shape, or in the one that the campaign is named after."""

    def act(exchange: Exchange) -> None:
        exchange.receive()
        request = exchange.request
        if request.method != "POST":
            exchange.respond(405)
            return
        parts = parse(request.headers["content-type"], bytes(request.body))
        fields = {part.name: part.content.decode() for part in parts if part.file_name is None}
        rows = next(part.content for part in parts if part.file_name is not None).decode().splitlines()
        campaign_name = fields.pop("campaign_name", "")
        personal = {name: text for name, text in fields.items() if name not in ("start_url", "result_url")}
        basic = request.headers["authorization"].removeprefix("Basic ")
        got = Got({**personal, "basic": basic}, tuple(tuple(row.split(",")) for row in rows))
        usual_code, body = SHAPES[shape or campaign_name](got)
        exchange.respond(code or usual_code, body.encode(encoding, "replace"), headers)

    return act


def folded(text: str) -> str:
    """Letters and digits only, as all compatible spellings have them."""
    return re.sub(r"[\W_]", "", unicodedata.normalize("NFKC", text).casefold())


def leaks(text: str, values: Mapping[str, str]) -> list[str]:
    """Which of the values are in a text, in any spelling."""
    seen = folded(text)
    spelled = ((name, how, each) for name, value in values.items() for how, each in _all_spellings(value))
    return [f"{name}, {how}" for name, how, each in spelled if each in seen]


@functools.cache
def _all_spellings(value: str) -> list[tuple[str, str]]:
    return [(how, folded(spell(value))) for how, spell in SPELLINGS.items()]
