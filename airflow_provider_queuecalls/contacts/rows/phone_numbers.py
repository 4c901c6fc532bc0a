"""Phone numbers: which are accepted, and the spellings that are rewritten."""

from __future__ import annotations

import re

#: A number of the North American Numbering Plan, as the service documents it. For Python's ``re`` and for DuckDB.
AREA_CODE = "[2-9][0-9]{2}"
LOCAL_NUMBER = "[0-9]{7}"
NANP = f"1{AREA_CODE}[2-9][0-9]{{6}}"
_NANP = re.compile(NANP)
_TEN_DIGITS = re.compile(NANP[1:])
_VENDOR = re.compile(
    r"(?:[Tt][Ee][Ll]:)?(?P<plus>\+?)(?P<digits>[1-9][0-9]{6,14})"
    r"(?:;(?:ani=\+?[1-9][0-9]{6,14}|postd=[0-9*#,pw]{1,32})){0,2}"
)
WRITTEN_NANP = re.compile(
    r"(?:[Tt][Ee][Ll]:)?(?:\+?1[ .-]{0,3})?(?:\(([2-9][0-9]{2})\)|([2-9][0-9]{2}))[ .-]{0,3}([2-9][0-9]{2})[ .-]{0,3}([0-9]{4})"
)
_WRITTEN_INTERNATIONAL = re.compile(r"(?:[Tt][Ee][Ll]:)?\+[2-9](?:[ .-]{0,3}[0-9]){6,14}")
SPREADSHEET = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)?[Ee][+-]?[0-9]+|[0-9]+\.0*")
_MOST_DIGITS = 15
_LEAST, _WITHOUT_ONE = 2_000_000_000, 10_000_000_000
_SUBSCRIBER = "split_part(phone_number, ';', 1)"
_POSTED = f"TRY_CAST(regexp_replace({_SUBSCRIBER}, '[^0-9]', '', 'g') AS BIGINT)"
#: The number of the column ``phone_number``, in DuckDB's SQL, to compare contacts with call results: one of the two may have a
#: ``+`` that the other one does not have.
NUMBER_COMPARED = (
    f"CASE WHEN {_POSTED} >= {_LEAST} AND {_POSTED} < {_WITHOUT_ONE} THEN {_WITHOUT_ONE} + {_POSTED} "
    f"WHEN {_POSTED} > 0 AND {_POSTED} < {10**_MOST_DIGITS} THEN {_POSTED} END"
)
#: The number of the column ``phone_number`` of call results, in DuckDB's SQL. See :func:`number_posted`.
NUMBER_POSTED = f"CASE WHEN contains({_SUBSCRIBER}, '+') AND {_POSTED} < {_WITHOUT_ONE} THEN nullif({_POSTED}, 0) ELSE {NUMBER_COMPARED} END"


def number_called(text: str, phone_format: str) -> int | None:
    """Return the number that ``text`` calls as an integer, or None if it is not a phone number in this format.

    Two spellings of a number give the same integer, so duplicates and suppressed numbers are found by it. A caller ID
    (``;ani=``) or an extension (``;postd=``) does not make it a different number.

    ``vendor`` accepts 7 to 15 digits that do not begin with 0, with or without ``tel:`` and ``+``. Eleven digits that
    begin with 1 must be a North American number. Ten digits without ``+`` that look like a North American number
    without its 1 are rejected, because they would call another country.
    """
    if phone_format == "nanp":
        return int(text) if _NANP.fullmatch(text) else None
    if not (match := _VENDOR.fullmatch(text)):
        return None
    digits = match["digits"]
    if len(digits) == 11 and digits[0] == "1" and not _NANP.fullmatch(digits):
        return None
    if not match["plus"] and _TEN_DIGITS.fullmatch(digits):
        return None
    return int(digits)


def normalized_number(text: str, phone_format: str) -> str:
    """Rewrite a common spelling of a phone number into the one that is sent. Returns any other text unchanged.

    A number in the right format only loses the spaces around it. ``(617) 555-1234``, ``617.555.1234``,
    ``+1 617 555 1234``, and ten digits become ``16175551234``; in the vendor's format ``+44 20 7183 8750`` becomes
    ``+442071838750``. No-break and zero-width spaces are not accepted: they are a sign of damaged text. An extension is
    never cut off.
    """
    stripped = text.strip(" ")
    if number_called(stripped, phone_format) is not None:
        return stripped
    if match := WRITTEN_NANP.fullmatch(stripped):
        return "1" + "".join(part for part in match.groups() if part)
    if phone_format == "vendor" and _WRITTEN_INTERNATIONAL.fullmatch(stripped):
        return "+" + re.sub("[^0-9]", "", stripped)
    return text


def looks_rewritten(text: str) -> bool:
    """Whether a spreadsheet has rewritten a number: it has an exponent, or a fraction of zeros only."""
    return SPREADSHEET.fullmatch(text.strip(" ")) is not None


def digits(phone_number: str) -> str:
    """The digits of a number, however the contact file spells it: ``tel:+16175550100;ani=8001234567`` → 16175550100."""
    return re.sub("[^0-9]", "", phone_number.partition(";")[0])


def number_posted(phone_number: str) -> int | None:
    """Return the number of a call result as an integer, or None if it has none. Its spelling is not documented: ten digits that
    begin with 2 to 9 are taken for a North American number without its 1, unless they have a ``+``. :data:`NUMBER_POSTED` is the
    same in SQL."""
    text = digits(phone_number).lstrip("0")
    if not 0 < len(text) <= _MOST_DIGITS:
        return None
    number = int(text)
    is_international = "+" in phone_number.partition(";")[0]
    return _WITHOUT_ONE + number if _LEAST <= number < _WITHOUT_ONE and not is_international else number


def masked(phone_number: str) -> str:
    """The number with all but its first four and its last two digits hidden."""
    number = digits(phone_number)
    return f"{number[:4]}{'•' * (len(number) - 6)}{number[-2:]}" if len(number) > 6 else "•" * len(number)
