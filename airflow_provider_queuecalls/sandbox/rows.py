"""The contact file, as the service reads it.

This reader shares no code with the check in ``contacts``: it is written from the vendor's pages a second time, so that a
row which the check accepts by mistake is refused here.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from airflow_provider_queuecalls.client.campaign import BY_NAME
from airflow_provider_queuecalls.exceptions import InvalidCampaign
from airflow_provider_queuecalls.sandbox.settings import Settings

#: The columns of a contact file after the phone number, in order, with their limits in bytes of UTF-8 (the
#: vendor's page says "characters"; bytes are never fewer).
OPTIONAL_COLUMNS = (("message_reference", 128), ("call_parameter", 255))
#: Every spelling of a number that the vendor's pages show: 19998886666, tel:+16177123000, +1234567890;ani=8001234567.
PHONE_NUMBER = re.compile(r"(?:tel:)?\+?[0-9]{7,15}(?:;(?:ani|postd)=[+0-9*#]{1,32}){0,2}")
#: More bytes than a valid row can have, so that a file without line breaks isn't read into memory.
LONGEST_ROW = 4_096
SHOWN_LINES = 10
_BLOCK_BYTES = 64 << 10
#: Printable ASCII, in which a character is a byte.
_ASCII_ROW = re.compile(
    f"({PHONE_NUMBER.pattern})"
    + "".join(f"(?:,([ !#-+\\-.-~]{{0,{limit}}})" for _, limit in OPTIONAL_COLUMNS)
    + ")?" * len(OPTIONAL_COLUMNS)
)
_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f]")


class Contact(NamedTuple):
    """One row of a contact file. ``line`` counts from 1, blank lines included."""

    line: int
    phone_number: str
    message_reference: str | None = None
    call_parameter: str | None = None


class ContactFile:
    """An uploaded contact file, read row by row, once.

    Iterating yields its contacts, and raises :class:`InvalidCampaign` at the end if any row is not valid. ``digest``
    and ``contacts`` are those of what has been read.
    """

    def __init__(self, name: str, file: BinaryIO, settings: Settings) -> None:
        self.name = name
        self._settings = settings
        self.contacts = 0
        self._file = file
        self._sha256 = hashlib.sha256()

    @property
    def digest(self) -> str:
        """SHA-256 of the file's bytes, as ``sha256:…``."""
        return f"sha256:{self._sha256.hexdigest()}"

    def __iter__(self) -> Iterator[Contact]:
        invalid, examples = 0, list[str]()
        seen = set[str]()
        for line, row in enumerate(self._rows(), start=1):
            try:
                contact = _read_row(line, row, quoted=self._settings.quoting == "read")
                if contact and self._is_repeated(contact, seen):
                    continue
            except ValueError as problem:
                if self._settings.bad_rows == "skip":
                    continue
                invalid += 1
                if len(examples) < SHOWN_LINES:
                    examples.append(f"line {line} {problem}")
            else:
                if contact:
                    self.contacts += 1
                    yield contact
        if invalid > len(examples):
            examples.append(f"{invalid - len(examples)} more")
        if invalid or not self.contacts:
            found = f"is not valid: {', '.join(examples)}" if invalid else "contains no contact"
            raise InvalidCampaign([BY_NAME["contacts"].violation(found)])

    def _is_repeated(self, contact: Contact, seen: set[str]) -> bool:
        """Whether a row is left out since its number was given before. Raises :class:`ValueError` if that is refused."""
        if self._settings.duplicates == "queue":
            return False
        digits = re.sub("[^0-9]", "", contact.phone_number.partition(";")[0])
        if digits not in seen:
            seen.add(digits)
            return False
        if self._settings.duplicates == "refuse":
            raise ValueError("has a phone number that is given twice")
        return True

    def _rows(self) -> Iterator[bytes]:
        rest = b""
        while block := self._file.read(_BLOCK_BYTES):
            self._sha256.update(block)
            *rows, rest = (rest + block).split(b"\n")
            yield from rows
            if len(rest) > LONGEST_ROW:
                break
        yield rest


def _read_row(line: int, row: bytes, *, quoted: bool = False) -> Contact | None:
    """Read one row; None for a blank one. Raises :class:`ValueError` with the problem, which repeats no cell."""
    if line == 1 and row.startswith(codecs.BOM_UTF8):
        raise ValueError("starts with a byte-order mark")
    if len(row) > LONGEST_ROW:
        raise ValueError(f"is longer than {LONGEST_ROW} bytes")
    try:
        text = row.decode().removesuffix("\r")
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
    # A shortcut for most rows: a million of them take seconds.
    if ascii_row := _ASCII_ROW.fullmatch(text):
        phone_number, message_reference, call_parameter = ascii_row.groups()
        return Contact(line, phone_number, message_reference or None, call_parameter or None)
    if not text or text.isspace():
        return None
    if not text.isprintable() and _CONTROL_CHARACTER.search(text):
        raise ValueError("contains a control character")
    if '"' in text and not quoted:
        raise ValueError("contains a quote")
    phone_number, *others = next(csv.reader([text])) if quoted else text.split(",")
    if not PHONE_NUMBER.fullmatch(phone_number):
        raise ValueError("has an invalid phone number" if phone_number.strip() else "has no phone number")
    if len(others) > len(OPTIONAL_COLUMNS):
        raise ValueError(f"has {1 + len(others)} cells")
    for cell, (column, limit) in zip(others, OPTIONAL_COLUMNS, strict=False):
        if len(cell.encode()) > limit:
            raise ValueError(f"has a {column} longer than {limit} bytes")
    return Contact(line, phone_number, *[cell or None for cell in others])
