"""What was posted, judged by the documented rules.

The fields' rules are the package's own: the table of parameters and :class:`Campaign`. Here is only what a client
never has to know: fields that are unknown, repeated or of the wrong sort, the account, and the contact file's rows.
"""

from __future__ import annotations

import codecs
import hashlib
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO, NamedTuple

from starlette.datastructures import UploadFile

from airflow_provider_queuecalls.client.campaign import ANY_DELAY, BY_NAME, PARAMETERS, Campaign
from airflow_provider_queuecalls.client.endpoint import Endpoint
from airflow_provider_queuecalls.exceptions import InvalidCampaign, Violation
from airflow_provider_queuecalls.kinds import FILE, FLAG, INTEGER, SECRET, TIMESTAMP, WHOLE_SECONDS

#: The columns of a contact file after the phone number, in order, with their limits in bytes of UTF-8 (the
#: vendor's says "characters"; bytes are never fewer).
OPTIONAL_COLUMNS = (("message_reference", 128), ("call_parameter", 255))
#: Every spelling of a number that the vendor's pages show: 19998886666, tel:+16177123000, +1234567890;ani=8001234567.
PHONE_NUMBER = re.compile(r"(?:tel:)?\+?[0-9]{7,15}(?:;(?:ani|postd)=[+0-9*#]{1,32}){0,2}")
#: More bytes than a row can have that keeps the limits, so a file without line breaks isn't read into memory.
LONGEST_ROW = 4_096
SHOWN_LINES = 10
_BLOCK_BYTES = 64 << 10
#: Printable ASCII, whose characters are bytes.
_PLAIN_ROW = re.compile(
    f"({PHONE_NUMBER.pattern})"
    + "".join(f"(?:,([ !#-+\\-.-~]{{0,{limit}}})" for _, limit in OPTIONAL_COLUMNS)
    + ")?" * len(OPTIONAL_COLUMNS)
)
_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f]")
_NUMBERS = (INTEGER, WHOLE_SECONDS, TIMESTAMP, FLAG)


class Contact(NamedTuple):
    """One row of a contact file. ``line`` counts from 1, blank lines included."""

    line: int
    phone_number: str
    message_reference: str | None = None
    call_parameter: str | None = None


class ContactFile:
    """An uploaded contact file, read row by row, once.

    Iterating yields its contacts, and raises :class:`InvalidCampaign` at the end if any row was wrong. ``digest``
    and ``contacts`` are those of what has been read.
    """

    def __init__(self, name: str, file: BinaryIO) -> None:
        self.name = name
        self.contacts = 0
        self._file = file
        self._sha256 = hashlib.sha256()

    @property
    def digest(self) -> str:
        """SHA-256 of the file's bytes, as ``sha256:…``."""
        return f"sha256:{self._sha256.hexdigest()}"

    def __iter__(self) -> Iterator[Contact]:
        wrong, examples = 0, list[str]()
        for line, row in enumerate(self._rows(), start=1):
            try:
                contact = _read_row(line, row)
            except ValueError as problem:
                wrong += 1
                if len(examples) < SHOWN_LINES:
                    examples.append(f"line {line} {problem}")
            else:
                if contact:
                    self.contacts += 1
                    yield contact
        if wrong > len(examples):
            examples.append(f"{wrong - len(examples)} more")
        if wrong or not self.contacts:
            found = f"is wrong: {', '.join(examples)}" if wrong else "holds no contact"
            raise InvalidCampaign([BY_NAME["contacts"].violation(found)])

    def _rows(self) -> Iterator[bytes]:
        rest = b""
        while block := self._file.read(_BLOCK_BYTES):
            self._sha256.update(block)
            *rows, rest = (rest + block).split(b"\n")
            yield from rows
            if len(rest) > LONGEST_ROW:
                break
        yield rest


def _read_row(line: int, row: bytes) -> Contact | None:
    """Read one row; None for a blank one. Raises :class:`ValueError` with the problem, which repeats no cell."""
    if line == 1 and row.startswith(codecs.BOM_UTF8):
        raise ValueError("starts with a byte-order mark")
    if len(row) > LONGEST_ROW:
        raise ValueError("is longer than any row can be")
    try:
        text = row.decode().removesuffix("\r")
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
    # A million rows are to be read in seconds: what needs no second look is done.
    if plain := _PLAIN_ROW.fullmatch(text):
        phone_number, message_reference, call_parameter = plain.groups()
        return Contact(line, phone_number, message_reference or None, call_parameter or None)
    if not text or text.isspace():
        return None
    if not text.isprintable() and _CONTROL_CHARACTER.search(text):
        raise ValueError("holds a control character")
    if '"' in text:
        raise ValueError("holds a quote")
    phone_number, *others = text.split(",")
    if not PHONE_NUMBER.fullmatch(phone_number):
        raise ValueError("has a phone number that is none" if phone_number.strip() else "has no phone number")
    if len(others) > len(OPTIONAL_COLUMNS):
        raise ValueError(f"has {1 + len(others)} cells")
    for cell, (column, limit) in zip(others, OPTIONAL_COLUMNS, strict=False):
        if len(cell.encode()) > limit:
            raise ValueError(f"has a {column} longer than {limit}")
    return Contact(line, phone_number, *[cell or None for cell in others])


class UnknownField(Violation):
    """A field that is in no table. Its ``parameter`` is the name it was posted by."""


@dataclass(frozen=True)
class Posted:
    """A form as it was posted: its texts, word for word, by their parameters' names, and the contact file.

    ``strays`` are what has no place there: unknown and repeated fields, a file for a text and a text for a file.
    """

    texts: Mapping[str, str]
    contacts: ContactFile | None
    strays: Sequence[Violation]

    @property
    def parameters(self) -> dict[str, str]:
        """The campaign's own texts: all but the account's."""
        return {name: text for name, text in self.texts.items() if BY_NAME[name].kind is not SECRET}


class FormReader:
    """Reads the forms that are meant for one account. ``account.field_names`` renames fields, as for the client."""

    def __init__(self, account: Endpoint) -> None:
        self._account = account
        self._wire_names = {
            parameter.name: wire_name
            for parameter in PARAMETERS
            if (wire_name := account.field_names.get(parameter.name, parameter.wire_name))
        }
        self._by_wire_name = {wire_name: BY_NAME[name] for name, wire_name in self._wire_names.items()}

    def read(self, items: Iterable[tuple[str, str | UploadFile]]) -> Posted:
        """Sort what was posted."""
        texts: dict[str, str] = {}
        contacts: ContactFile | None = None
        strays: list[Violation] = []
        for wire_name, value in items:
            parameter = self._by_wire_name.get(wire_name)
            if parameter is None:
                rule = "one of " + ", ".join(self._by_wire_name)
                strays.append(UnknownField(wire_name[:64], "is not a documented field", rule, "the vendor's page"))
            elif parameter.name in texts or (parameter.kind is FILE and contacts):
                strays.append(parameter.violation("is given more than once"))
            elif isinstance(value, UploadFile) and parameter.kind is FILE:
                contacts = ContactFile(value.filename or "", value.file)
            elif isinstance(value, str) and parameter.kind is not FILE:
                texts[parameter.name] = value
            else:
                strays.append(parameter.violation("is a text" if isinstance(value, str) else "is a file"))
        return Posted(texts, contacts, strays)

    def check(self, posted: Posted) -> tuple[Campaign, ContactFile]:
        """Return the campaign and its contact file, whose rows are still to be read.

        Raises :class:`InvalidCampaign` with all that is wrong, the contact file's rows included.
        """
        violations = list(self._account_violations(posted.texts))
        campaign: Campaign | None = None
        try:
            texts = {name: posted.texts.get(name) for name in Campaign.names()}
            campaign = Campaign(**texts | {"start_late": ANY_DELAY}, field_names=self._account.field_names)
            campaign.assert_timely()
        except InvalidCampaign as wrong:
            violations += wrong.violations
        else:
            violations += _spelling_violations(posted.texts)
        if posted.contacts is None:
            violations.append(BY_NAME["contacts"].violation("is missing"))
        if campaign and posted.contacts and not violations and not posted.strays:
            return campaign, posted.contacts
        try:
            deque(posted.contacts or (), maxlen=0)
        except InvalidCampaign as wrong:
            violations += wrong.violations
        # What was posted in a wrong way isn't missing too.
        said = {stray.parameter for stray in posted.strays if not isinstance(stray, UnknownField)}
        raise InvalidCampaign([*posted.strays, *(found for found in violations if found.parameter not in said)])

    def wire_name(self, name: str) -> str:
        """The name of the field that a parameter is posted in."""
        return self._wire_names[name]

    def fields(self, posted: Posted) -> dict[str, str]:
        """The texts by the names of the fields they were posted in."""
        return {self._wire_names[name]: text for name, text in posted.texts.items()}

    def on_the_wire(self, violation: Violation) -> Violation:
        """The violation by the name of the field that it is about."""
        if isinstance(violation, UnknownField):
            return violation
        return replace(violation, parameter=self._wire_names.get(violation.parameter, violation.parameter))

    def _account_violations(self, texts: Mapping[str, str]) -> Iterator[Violation]:
        for name, expected in (("login", self._account.login), ("pin", self._account.pin)):
            try:
                if BY_NAME[name].read(texts.get(name)) != expected:
                    yield BY_NAME[name].violation("is not this account's")
            except ValueError as problem:
                yield BY_NAME[name].violation(str(problem))


def _spelling_violations(texts: Mapping[str, str]) -> Iterator[Violation]:
    # A Campaign reads what people write ('true', ISO 8601, blanks around); what it sends are digits.
    for name, text in texts.items():
        if BY_NAME[name].kind in _NUMBERS and not re.fullmatch(r"[0-9]*", text):
            yield BY_NAME[name].violation("is not in plain digits")
