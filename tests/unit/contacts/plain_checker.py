"""A second implementation of the check, which is slow and simple. The tests compare the provider's check with it.

It shares no code with the provider. :func:`check_file` returns for every line of a file why it is rejected ("blank" and
"column_names" for lines that are not rows), or None and the row to send.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Mapping, Sequence

DIGITS = "0123456789"
COLUMNS = ("phone_number", "message_reference", "call_parameter")
LONGEST_LINE = 1 << 20


def check_file(
    data: bytes,
    *,
    phone_format: str = "nanp",
    normalize: bool = False,
    has_header: bool = False,
    columns: Mapping[str, str] | None = None,
    delimiter: str = ",",
    quoting: str = "refuse",
    duplicates: str = "drop",
    suppress: Collection[int] = (),
) -> list[tuple[str | None, bytes]]:
    found: list[tuple[str | None, bytes]] = []
    numbers: set[int] = set()
    is_open = False
    header: list[str] | None = None
    first = True
    for line in split_lines(data.removeprefix(b"\xef\xbb\xbf")):
        was_open, is_open = is_open, quoting == "allow" and open_after(line, delimiter, is_open)
        if len(line) > LONGEST_LINE:
            found.append(("line_too_long", b""))
            first = False
            continue
        if not was_open and all(byte in b" \t" for byte in line):
            found.append(("blank", b""))
            continue
        if first and has_header:
            header = [cell.strip() for cell in cells_of(line.decode(), delimiter, quoting) or []]
            found.append(("column_names", b""))
            first = False
            continue
        reason, number, row = check_row(
            line, first, was_open, is_open, header, columns or {}, phone_format, normalize, delimiter, quoting
        )
        first = False
        if reason is None and number in suppress:
            reason = "suppressed"
        elif reason is None and duplicates != "keep" and number in numbers:
            reason = "duplicate"
        elif reason is None:
            numbers.add(number)
        found.append((reason, row))
    return found


def split_lines(data: bytes) -> list[bytes]:
    lines, line, position = [], bytearray(), 0
    while position < len(data):
        byte = data[position : position + 1]
        position += 1
        if byte in (b"\r", b"\n"):
            position += byte == b"\r" and data[position : position + 1] == b"\n"
            lines.append(bytes(line))
            line = bytearray()
        else:
            line += byte
    return [*lines, bytes(line)] if line else lines


def open_after(line: bytes, delimiter: str, is_open: bool) -> bool:
    """Follow the quotes of one line, byte by byte. Within an unquoted cell they have no meaning."""
    state = "quoted" if is_open else "start"
    for byte in line.decode("latin-1"):
        if state == "quoted":
            state = "closing" if byte == '"' else "quoted"
        elif state == "closing" and byte == '"':
            state = "quoted"
        elif byte == delimiter:
            state = "start"
        elif state == "start" and byte == '"':
            state = "quoted"
        else:
            state = "bare"
    return state == "quoted"


def cells_of(text: str, delimiter: str, quoting: str) -> list[str] | None:
    """The cells of a row as RFC 4180 defines them, or None if the quotes violate it."""
    if quoting == "refuse":
        return None if '"' in text else text.split(delimiter)
    cells, cell, state = [], "", "start"
    for character in text:
        if state == "quoted":
            if character == '"':
                state = "closing"
            else:
                cell += character
        elif character == delimiter:
            cells.append(cell)
            cell, state = "", "start"
        elif state == "closing":
            if character != '"':
                return None
            cell += character
            state = "quoted"
        elif character == '"':
            if state != "start":
                return None
            state = "quoted"
        else:
            cell += character
            state = "bare"
    return None if state == "quoted" else [*cells, cell]


def check_row(  # noqa: PLR0911, PLR0912, PLR0917 - one rule after another
    line: bytes,
    first: bool,
    was_open: bool,
    is_open: bool,
    header: list[str] | None,
    columns: Mapping[str, str],
    phone_format: str,
    normalize: bool,
    delimiter: str,
    quoting: str,
) -> tuple[str | None, int, bytes]:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        return "not_utf8", 0, b""
    for character in text:
        if character != delimiter and (unicodedata.category(character) == "Cc" or character in "\u2028\u2029"):
            return "control_character", 0, b""
    if was_open or is_open:
        return "control_character", 0, b""
    cells = cells_of(text, delimiter, quoting)
    if cells is None:
        return "quoted_cell", 0, b""
    wanted = wanted_cells(cells, header, columns)
    if any("\t" in cell for cell in wanted):
        return "control_character", 0, b""
    if quoting == "refuse" and delimiter != "," and any("," in cell for cell in wanted):
        return "quoted_cell", 0, b""
    if len(cells) > (3 if header is None else len(header)):
        return "too_many_cells", 0, b""
    given = wanted[0]
    is_header = is_name(cells[0]) and not any(holds_number(cell) for cell in cells)
    if first and header is None and is_header:
        return "header", 0, b""
    bare = given.strip(" ")
    if bare == "":
        return "no_number", 0, b""
    if is_spreadsheet_number(bare):
        return "spreadsheet_number", 0, b""
    number = normalized(given, phone_format) if normalize else given
    called = number_of(number, phone_format)
    if called is None:
        return "invalid_number", 0, b""
    if len(wanted) > 1 and len(wanted[1].encode()) > 128:
        return "message_reference_too_long", 0, b""
    if len(wanted) > 2 and len(wanted[2].encode()) > 255:
        return "call_parameter_too_long", 0, b""
    row = ",".join('"' + c.replace('"', '""') + '"' if "," in c or '"' in c else c for c in [number, *wanted[1:]])
    return None, called, row.encode()


def wanted_cells(cells: list[str], header: list[str] | None, columns: Mapping[str, str]) -> list[str]:
    if header is None:
        return cells[:3]
    names = [name.lower() for name in header]
    places = []
    for column in COLUMNS:
        name = columns.get(column, column).lower()
        places.append(names.index(name) if name in names else None)
    while places[-1] is None:
        places.pop()
    return ["" if place is None or place >= len(cells) else cells[place] for place in places]


def is_name(cell: str) -> bool:
    text = cell.strip()
    return text != "" and text[0].isalpha() and ":" not in text


def holds_number(cell: str) -> bool:
    return len([character for character in cell if character.isdigit()]) >= 7


def is_spreadsheet_number(text: str) -> bool:
    if text.count(".") == 1 and only_digits(text.split(".", maxsplit=1)[0]) and set(text.split(".")[1]) <= {"0"}:
        return True
    mantissa, e, exponent = text.replace("E", "e").partition("e")
    if not e:
        return False
    whole, dot, fraction = without_sign(mantissa).replace(",", ".").partition(".")
    return only_digits(without_sign(exponent)) and only_digits(whole) and (not dot or only_digits(fraction))


def without_sign(text: str) -> str:
    return text[1:] if text[:1] in ("+", "-") else text


def only_digits(text: str) -> bool:
    return text != "" and set(text) <= set(DIGITS)


def is_nanp(text: str) -> bool:
    return len(text) == 11 and only_digits(text) and text[0] == "1" and text[1] in "23456789" and text[4] in "23456789"


def number_of(text: str, phone_format: str) -> int | None:
    if phone_format == "nanp":
        return int(text) if is_nanp(text) else None
    if text[:4].lower() == "tel:":
        text = text[4:]
    digits, *options = text.split(";")
    if len(options) > 2 or not all(is_option(option) for option in options):
        return None
    plus = digits.startswith("+")
    digits = digits.removeprefix("+")
    if not is_e164(digits):
        return None
    if len(digits) == 11 and digits[0] == "1" and not is_nanp(digits):
        return None
    if not plus and is_nanp("1" + digits):
        return None
    return int(digits)


def is_e164(digits: str) -> bool:
    return only_digits(digits) and 7 <= len(digits) <= 15 and digits[0] != "0"


def is_option(text: str) -> bool:
    name, _, value = text.partition("=")
    if name == "ani":
        return is_e164(value.removeprefix("+"))
    return name == "postd" and 1 <= len(value) <= 32 and set(value) <= set(DIGITS + "*#,pw")


def normalized(text: str, phone_format: str) -> str:
    bare = text.strip(" ")
    if number_of(bare, phone_format) is not None:
        return bare
    rest = bare[4:] if bare[:4].lower() == "tel:" else bare
    groups = written_groups(rest)
    if groups is not None and is_nanp(groups):
        return groups
    if phone_format == "vendor" and rest.startswith("+") and rest[1:2] in tuple("23456789"):
        gap, digits = 0, ""
        for character in rest[1:]:
            gap = gap + 1 if character in " .-" else 0
            if gap > 3 or character not in " .-" + DIGITS:
                return text
            digits += character if character in DIGITS else ""
        if rest[-1] in DIGITS and 7 <= len(digits) <= 15:
            return "+" + digits
    return text


def written_groups(text: str) -> str | None:
    """Read [+]1, area, exchange, and line, with up to three separators between them. The area may be in parentheses."""
    if text[:1] == "+" and text[1:2] != "1":
        return None
    text = text.removeprefix("+")
    if text[:1] == "1":
        text = without_gap(text[1:])
    area, text = (text[1:4], text[4:]) if text[:1] == "(" else (text[:3], ")" + text[3:])
    if text[:1] != ")" or len(area) != 3:
        return None
    text = without_gap(text[1:])
    exchange, text = text[:3], without_gap(text[3:])
    digits = area + exchange + text
    return "1" + digits if len(exchange) == 3 and len(text) == 4 and only_digits(digits) else None


def without_gap(text: str) -> str:
    for _ in range(3):
        text = text[1:] if text[:1] in tuple(" .-") else text
    return text


def counts(found: Sequence[tuple[str | None, bytes]]) -> dict[str, int]:
    reasons = [reason for reason, _ in found if reason not in (None, "blank", "column_names")]
    return {reason: reasons.count(reason) for reason in reasons if reason is not None}
