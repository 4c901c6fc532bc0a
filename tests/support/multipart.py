"""Reads a request's body with python-multipart, which shares no code with ours."""

from __future__ import annotations

from dataclasses import dataclass, field

from python_multipart import MultipartParser
from python_multipart.multipart import parse_options_header


@dataclass
class Part:
    """One part of a body: its headers, and its content."""

    headers: dict[bytes, bytes] = field(default_factory=dict)
    content: bytes = b""

    @property
    def disposition(self) -> bytes:
        return self.headers[b"Content-Disposition"]

    @property
    def name(self) -> str:
        return parse_options_header(self.disposition)[1][b"name"].decode()

    @property
    def file_name(self) -> str | None:
        name = parse_options_header(self.disposition)[1].get(b"filename")
        return None if name is None else name.decode()


def parse(content_type: str, data: bytes) -> list[Part]:
    """Every part of a whole body, in its order."""
    parts: list[Part] = []
    header: dict[str, bytes] = {}

    def gather(kind: str, chunk: bytes, start: int, end: int) -> None:
        header[kind] = header.get(kind, b"") + chunk[start:end]

    def on_header_end() -> None:
        parts[-1].headers[header.pop("field")] = header.pop("value")

    def on_part_data(chunk: bytes, start: int, end: int) -> None:
        parts[-1].content += chunk[start:end]

    parser = MultipartParser(
        parse_options_header(content_type)[1][b"boundary"],
        {
            "on_part_begin": lambda: parts.append(Part()),
            "on_header_field": lambda *at: gather("field", *at),
            "on_header_value": lambda *at: gather("value", *at),
            "on_header_end": on_header_end,
            "on_part_data": on_part_data,
        },
    )
    parser.write(data)
    parser.finalize()
    return parts
