"""Which texts call which number."""

from __future__ import annotations

import re

#: A number of the North American plan as the vendor's page asks for it. Read by Python's ``re`` and by the engine's.
NANP = "1[2-9][0-9]{2}[2-9][0-9]{6}"
_NANP = re.compile(NANP)
_TEN_DIGITS = re.compile(NANP[1:])
_VENDOR = re.compile(
    r"(?:[Tt][Ee][Ll]:)?(?P<plus>\+?)(?P<digits>[1-9][0-9]{6,14})"
    r"(?:;(?:ani=\+?[1-9][0-9]{6,14}|postd=[0-9*#,pw]{1,32})){0,2}"
)
_WRITTEN_NANP = re.compile(
    r"(?:[Tt][Ee][Ll]:)?(?:\+?1[ .-]{0,3})?(?:\(([2-9][0-9]{2})\)|([2-9][0-9]{2}))[ .-]{0,3}([2-9][0-9]{2})[ .-]{0,3}([0-9]{4})"
)
_WRITTEN_INTERNATIONAL = re.compile(r"(?:[Tt][Ee][Ll]:)?\+[2-9](?:[ .-]{0,3}[0-9]){6,14}")
_SPREADSHEET = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)?[Ee][+-]?[0-9]+|[0-9]+\.0*")


def number_called(text: str, phone_format: str) -> int | None:
    """The number that ``text`` calls, as an integer, or None where it is not a number in this format.

    The same number in two spellings gives the same integer, so it is what duplicates and do-not-call lists are
    compared by. Caller ID (``;ani=``) and extension (``;postd=``) do not make another number.

    ``vendor`` takes 7 to 15 digits that don't begin with 0, with or without ``tel:`` and ``+``. Eleven digits that
    begin with 1 must be a North American number. Ten digits without ``+`` that look like one with its 1 forgotten
    are refused, as they would call another country.
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
    """Rewrite a number written for people into the one that is sent; what is none is returned as it is.

    A number in the right format loses the blanks around it and is left alone otherwise. ``(617) 555-1234``,
    ``617.555.1234``, ``+1 617 555 1234`` and ten digits become ``16175551234``; in the vendor's format
    ``+44 20 7183 8750`` becomes ``+442071838750``. Blanks are spaces: no-break and zero-width ones hint at damaged
    text and stay an error. An extension is never cut off.
    """
    stripped = text.strip(" ")
    if number_called(stripped, phone_format) is not None:
        return stripped
    if match := _WRITTEN_NANP.fullmatch(stripped):
        return "1" + "".join(part for part in match.groups() if part)
    if phone_format == "vendor" and _WRITTEN_INTERNATIONAL.fullmatch(stripped):
        return "+" + re.sub("[^0-9]", "", stripped)
    return text


def looks_rewritten(text: str) -> bool:
    """Whether a number has gone through a spreadsheet: with an exponent, or with decimals that are all 0."""
    return _SPREADSHEET.fullmatch(text.strip(" ")) is not None
