"""What is shown of a response: only what is known to be harmless.

The service may repeat everything that it was sent, in spellings that nobody can list. So nothing is cut out of a response.
Instead, the text that is shown is built from the parsed structure, out of:

- documented names, and names that consist of allowed words
- a status, such as ``queued``
- a count, unless it equals something that was sent
- of any other text, the words in :data:`ALLOWED_WORDS` that do not occur in what was sent

Everything else is shown as ``***``. Call ids are not shown here; :class:`Response` has a field for them. Of a response that
cannot be parsed, only the format and the length are shown. Comparisons ignore case, Unicode compatibility forms, invisible
characters, and separators.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from airflow_provider_queuecalls.client.allowed_words import ALLOWED_WORDS
from airflow_provider_queuecalls.client.campaign import PARAMETERS
from airflow_provider_queuecalls.client.multipart import Upload

BODY_CHARACTERS = 2_000
HIDDEN = "***"
QUEUED_STATUSES = frozenset({"queued", "success"})
REFUSED_STATUSES = frozenset({"failed", "failure", "error"})
#: Names of the service's interface. They are public, so they are shown even if a contact holds the same word.
KNOWN_NAMES = {parameter.wire_name for parameter in PARAMETERS} | {
    *("queuecalls", "queuecall", "status", "call_id", "call_ids", "call", "calls", "result", "phone_number"),
    *("error", "errors", "message", "reason", "code"),
}
_ERROR_NAMES = frozenset(
    {"error", "fault", "warning", "message", "msg", "reason", "description", "detail", "text", "info"}
)
_COUNT_NAMES = frozenset(
    {"count", "total", "line", "row", "code", "accepted", "rejected", "queued", "failed", "duplicates"}
    | {"contacts", "calls", "lines", "rows", "valid", "invalid"}
)
#: A service may repeat the form.
_FORM_NAMES = frozenset(parameter.wire_name for parameter in PARAMETERS if parameter.wire_name)
#: Members and attributes that name a field in an error.
_NAMING = frozenset({"field", "fields", "name", "param", "parameter", "missing", "required"})
_IDENTIFIER = re.compile(r"(?<![\w.-])[A-Za-z][A-Za-z0-9]*(?:[_.-][A-Za-z0-9]+)*(?![\w-])")
_MENTIONED = 40
_CALL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_COUNT = re.compile("[0-9]{1,7}")
_TEXT_CHARACTERS, _ERROR_TEXTS = 300, 3
#: A text of at most this length identifies nobody, so it is compared with the credentials only.
_SHORT = 3
#: Fewer digits are not looked up as a phone number with and without its country code.
_PHONE_DIGITS = 7
_WORD = re.compile(r"""["'(\[]*([A-Za-z]+(?:['_-][A-Za-z]+)*)["')\]]*([.,:;!?]?)["')\]]*""")
#: "campaignName" consists of two words, as "campaign_name" does.
_PIECE = re.compile("[A-Z]?[a-z']+|[A-Z]+(?![a-z])")
_BLOCK_BYTES, _OVERLAP_BYTES = 1 << 20, 1 << 10
#: The characters that end a cell. Other punctuation is dropped: 1-202-555-0143 is 12025550143.
_BOUNDARIES = b',;|"\t\r\n'
#: What may precede a number in a cell, after punctuation is dropped: tel:+12025550143;ani=18005550100;postd=9.
_NUMBER_PREFIXES = (b"", b"1", b"tel", b"tel1", b"ani", b"ani1", b"postd")
_ALPHANUMERIC = b"abcdefghijklmnopqrstuvwxyz0123456789"
_FLAT = bytes(b if (b := bytes([c]).lower()[0]) in _ALPHANUMERIC else ord(" ") for c in range(256))
_DROPPED = bytes(c for c in range(256) if bytes([c]).lower()[0] not in _ALPHANUMERIC + _BOUNDARIES)


class Sent:
    """Everything that was sent with one request.

    :param secrets: the credentials
    :param fields: the form's fields: each one's name, and its text or the contact file
    """

    def __init__(self, secrets: Iterable[str], fields: Iterable[tuple[str, str | Upload]] = ()) -> None:
        values = [value for _, value in fields]
        self._secrets = [secret.encode(errors="replace") for secret in secrets]
        self._texts = [value.encode(errors="replace") for value in values if isinstance(value, str)]
        self._files = [value for value in values if isinstance(value, Upload)]

    def harmless(self, call_ids: Collection[str]) -> list[str]:
        """Return the call ids that repeat nothing of what was sent. Reads the contact file once if there are any."""
        repeated = self.repeated((), call_ids)
        return [call_id for call_id in call_ids if call_id not in repeated]

    def repeated(self, words: Collection[str], values: Collection[str]) -> set[str]:
        """Return which of these words occur anywhere in what was sent, and which of these values equal a part of it.

        Reads the contact file once, if there is anything to look for.
        """
        long = {word: _flat(word.encode()) for word in words if len(word) > _SHORT}
        parts = {value: _parts(value) for value in {*values, *words} - long.keys()}
        wanted = frozenset[bytes]().union(*parts.values())
        held = wanted & {cell for secret in self._secrets for cell in _cells(secret)}
        wanted = frozenset(part for part in wanted if len(part) > _SHORT)
        found: set[str] = set()
        try:
            for window in self._windows() if long or wanted else ():
                flat = _flat(window)
                found |= {word for word, needle in long.items() if word not in found and needle in flat}
                held |= wanted.intersection(flat.split()) if wanted else set()
        except OSError:  # the contact file cannot be read any more
            found = {*long, *values}
        return found | {value for value, its_parts in parts.items() if its_parts & held}

    def _windows(self) -> Iterator[bytes]:
        """Everything that was sent, in blocks that overlap."""
        yield b"\n".join(cell for text in (*self._secrets, *self._texts) for cell in _cells(text))
        for upload in self._files:
            upload.file.seek(0)
            left, overlap = upload.size, b""
            while left and (block := upload.file.read(min(left, _BLOCK_BYTES))):
                left -= len(block)
                yield (window := overlap + block)
                overlap = window[-_OVERLAP_BYTES:]


class _Name(NamedTuple):
    text: str


class _Value(NamedTuple):
    name: str
    text: str


class Outline:
    """The beginning of a response's structure, as a parser reports it: markup, names, and values, in their order.

    Only what :meth:`render` returns may be shown.
    """

    def __init__(self) -> None:
        self._pieces: list[str | _Name | _Value] = []
        self._errors: list[_Value] = []
        self._room = BODY_CHARACTERS

    @property
    def has_room(self) -> bool:
        """Whether more of the structure would be shown."""
        return self._room > 0

    def markup(self, text: str) -> None:
        """Add characters of the format itself, such as brackets and quotes."""
        self._add(text, len(text))

    def name(self, name: str) -> None:
        """Add the name of an element, an attribute, or a member."""
        self._add(_Name(name), len(name))

    def value(self, name: str, text: str) -> None:
        """Add the value of a name."""
        if len(text) > _TEXT_CHARACTERS:  # without the word that is cut in two
            text = " ".join(text[:_TEXT_CHARACTERS].split()[:-1]) or HIDDEN
        self._add(_Value(name.lower(), text), max(len(text), len(HIDDEN)))
        if name.lower() in _ERROR_NAMES and text.strip() and len(self._errors) < _ERROR_TEXTS:
            self._errors.append(_Value(name.lower(), text))

    def any_error(self, says: Callable[[str], bool]) -> bool:
        """Whether an error text says something, before anything is hidden."""
        return any(says(error.text) for error in self._errors)

    def render(self, sent: Sent, pairs: Sequence[Sequence[str]] = ()) -> Shown:
        """Return what may be shown of the structure, of the error texts, and of ``pairs`` of names and short values; and the
        names that errors mention."""
        values = [piece for piece in (*self._pieces, *self._errors) if isinstance(piece, _Value)]
        values = [value for value in values if value.name != "call_id" and not _is_status(value)]
        numbers = {value.text for value in values if _is_number(value)}
        texts = [value.text for value in values if not _is_number(value)]
        texts += [piece.text for piece in self._pieces if isinstance(piece, _Name) and not _is_known(piece)]
        texts += [text for pair in pairs for text in pair]
        words = {word for text in texts for _, words in _chunks(text) for word in words}
        mentioned = self._mentioned()
        repeated = sent.repeated(words | {word.lower() for word in mentioned}, numbers)

        def shown(piece: str | _Name | _Value) -> str:
            if isinstance(piece, str):
                return piece
            if isinstance(piece, _Name):
                return piece.text if _is_known(piece) else _harmless(piece.text, repeated)
            if _is_status(piece):
                return piece.text.strip()
            if piece.name == "call_id":
                return HIDDEN
            if _is_number(piece):
                return HIDDEN if piece.text in repeated else piece.text
            return _harmless(piece.text, repeated)

        return Shown(
            "".join(map(shown, self._pieces))[:BODY_CHARACTERS],
            "; ".join(text for text in map(shown, self._errors) if text != HIDDEN),
            [
                (name, value)
                for name, value in pairs
                if name not in _FORM_NAMES | _NAMING and _is_harmless(name, repeated) and _is_harmless(value, repeated)
            ],
            [name for name in mentioned if name.lower() not in repeated],
        )

    def _mentioned(self) -> list[str]:
        """The words of the errors that may be names of form fields, those that look like it first."""
        values = [piece for piece in self._pieces if isinstance(piece, _Value) and piece.name in _NAMING]
        found = [word for value in (*values, *self._errors) for word in _IDENTIFIER.findall(value.text)]
        unique = [word for word in dict.fromkeys(found) if sum(map(str.isdigit, word)) <= _SHORT]
        return sorted(unique, key=lambda word: word.islower() and "_" not in word)[:_MENTIONED]

    def _add(self, piece: str | _Name | _Value, length: int) -> None:
        if self._room > 0:
            self._pieces.append(piece)
            self._room -= length


class Shown(NamedTuple):
    """What may be shown: the structure, the error texts, and short values by their names. ``mentioned`` may not be shown."""

    structure: str
    errors: str
    values: list[tuple[str, str]]
    mentioned: list[str]


def is_call_id(text: str) -> bool:
    """Whether a text has the form of a call id."""
    return bool(_CALL_ID.fullmatch(text))


def _is_known(name: _Name) -> bool:
    return name.text.lower() in KNOWN_NAMES


def _is_status(value: _Value) -> bool:
    return value.name == "status" and value.text.strip().lower() in QUEUED_STATUSES | REFUSED_STATUSES


def _is_number(value: _Value) -> bool:
    return value.name in _COUNT_NAMES and bool(_COUNT.fullmatch(value.text))


def _is_harmless(text: str, repeated: set[str]) -> bool:
    return (text.isdigit() and len(text) <= _SHORT) or HIDDEN not in _harmless(text, repeated)


def _harmless(text: str, repeated: set[str]) -> str:
    """The harmless words of a text, with ``***`` for everything between them."""
    shown: list[str] = []
    for chunk, words in _chunks(text):
        if words and repeated.isdisjoint(words):
            shown.append("".join(filter(None, _WORD.fullmatch(chunk).groups())))  # type: ignore[union-attr]
        elif shown[-1:] != [HIDDEN]:
            shown.append(HIDDEN)
    return " ".join(shown)


def _chunks(text: str) -> list[tuple[str, set[str]]]:
    """Split a text at whitespace. Return each chunk with the words that must not occur in what was sent if it is to be shown.

    Short words may be shown, but not next to each other if they occur there as one word.
    """
    chunks = [(chunk, _words(chunk)) for chunk in text.split()]
    run: list[tuple[str, set[str]]] = []
    for _, words in chunks:
        longest = max(words, key=len, default="")
        run = [*run, (longest, words)] if longest and len(longest) <= _SHORT else []
        while len("".join(word for word, _ in run[1:])) > _SHORT:
            run = run[1:]
        if len(together := "".join(word for word, _ in run)) > _SHORT:
            for _, chunk_words in run:
                chunk_words.add(together)
    return chunks


def _words(chunk: str) -> set[str]:
    """The words in a chunk of text, and all of them as one word. Empty if one of them is not allowed."""
    if not (match := _WORD.fullmatch(chunk)):
        return set()
    words = {word.lower() for word in _PIECE.findall(match[1])}
    return {*words, re.sub("['_-]", "", match[1]).lower()} if words <= ALLOWED_WORDS else set()


def _parts(value: str) -> frozenset[bytes]:
    """The texts that no cell may equal if a value is to be shown: the value, its runs of letters and digits, and its numbers."""
    flat = _flat(value.encode())
    numbers = {number.removeprefix(b"1") for number in re.findall(rb"[0-9]+", flat) if len(number) >= _PHONE_DIGITS}
    runs = re.findall(rb"[a-z0-9]+", value.lower().encode())
    return frozenset({flat, *runs, *(prefix + number for prefix in _NUMBER_PREFIXES for number in numbers)})


def _cells(text: bytes) -> list[bytes]:
    """A text as a whole, and its cells if it has several."""
    cells = _flat(text).split()
    return [b"".join(cells), *cells]


def _flat(data: bytes) -> bytes:
    """Lowercase ASCII letters and digits, with a space for each boundary between cells."""
    if not data.isascii():
        folded = unicodedata.normalize("NFKC", data.decode(errors="replace")).casefold()
        data = folded.encode("ascii", "ignore")
    return data.translate(_FLAT, _DROPPED)
