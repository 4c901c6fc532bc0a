"""The check and ``plain_checker`` agree on every line of generated files, in memory and with DuckDB, and the file that is sent
passes the check again.

Every run tries a few other files. For many of them: ``AGREEMENT_EXAMPLES=1500 python -m pytest tests/unit/contacts/test_agreement.py``
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from airflow_provider_queuecalls.contacts import ContactRules, Report, check
from airflow_provider_queuecalls.contacts.row_results import in_memory
from airflow_provider_queuecalls.contacts.rows import in_duckdb, validator
from airflow_provider_queuecalls.contacts.rows.validator import RowValidator
from airflow_provider_queuecalls.exceptions import InvalidContacts
from airflow_provider_queuecalls.files import lines
from tests.unit.contacts import plain_checker
from tests.unit.contacts.checking import EXAMPLES

VALID = ["16175551234", "16175551235", "19998886666", "12002000000"]
SPELLINGS = [
    "(617) 555-1234", "617.555.1234", "+1 617 555 1234", "6175551234", " 16175551234 ", "tel:+16175551234", "1-617-555-1234",
    "tel:16175551234", "+16175551234", "+1234567890;ani=8001234567", "16175551234;postd=12", "+44 20 7183 8750", "442071838750",
    "+6175551234", "1 (617)555.1234", "(617 555-1234", "617--- 5551234", "16175551234;ani=1;ani=2", "TEL:+4790123456",
]  # fmt: skip
#: Digits to ``str.isdigit``, not to a telephone.
FULLWIDTH = "".join(chr(ord(digit) + 0xFEE0) for digit in VALID[0])
BAD = [
    "", " ", "1.61756E+10", "16175551234.0", "16175551234.", "1,5e3", "06175551234", "11175551234", "16171551234", "161755512345",
    "phone_number", "Téléphone 1", "電話", FULLWIDTH, "١٦١٧٥٥٥١٢٣٤", "16175551234\u200b", "\u00a016175551234", "16175551234 x12",
    "=1+1", "@x", "\ufeff16175551234", "1_6175551234", "\t16175551234", "\x0016175551234", "1e10", "+16175551234\u2028", "\u0085",
]  # fmt: skip
TEXTS = [
    "", "ref", "r" * 128, "r" * 129, "é" * 64, "é" * 65, "p" * 255, "p" * 256, " x ", "=x", "\x7f", "\u0085",
    "\u2029", "😀", "a;b", "a|b",
]  # fmt: skip
QUOTED = [
    '"', '""', '"a,b"', '"a""b"', 'a"b', '"a"b', '"16175551234"', '"open', 'close"', '"a\nb"', '"\n16175559999\n"', '","', '", "', '";"',
]  # fmt: skip

numbers = st.one_of(st.sampled_from(VALID), st.sampled_from(VALID), st.sampled_from(SPELLINGS), st.sampled_from(BAD))
texts = st.one_of(st.sampled_from(TEXTS), st.text(max_size=5))
cells = st.one_of(texts, texts, st.sampled_from(QUOTED))
rows = st.one_of(
    st.builds(lambda number, others: [number, *others], numbers, st.lists(cells, max_size=3)),
    st.builds(lambda number: [number], st.one_of(numbers, st.sampled_from(QUOTED))),
    st.lists(cells, max_size=5),
    st.builds(lambda number, others: [f'"{cell}"' for cell in (number, *others)], numbers, st.lists(texts, max_size=3)),
)
ends = st.sampled_from([b"\n", b"\n", b"\n", b"\r\n", b"\r"])
nasty = st.one_of(
    st.binary(max_size=4), st.sampled_from([b"\xff", b"\xc3", b"\xed\xa0\x80", b"\x00", b"\xef\xbb\xbf", b"\x1a", b'"'])
)


@st.composite
def files(draw: st.DrawFn, delimiter: str) -> bytes:
    one_end = draw(st.one_of(st.none(), ends))
    parts = [draw(st.sampled_from([b"", b"", b"\xef\xbb\xbf"]))]
    for row in draw(st.lists(st.one_of(rows, rows, st.just([" \t"]), st.just([])), max_size=25)):
        parts += [delimiter.join(row).encode(errors="ignore"), one_end or draw(ends)]
        if draw(st.integers(0, 9)) == 0:
            parts.insert(draw(st.integers(1, len(parts))), draw(nasty))
    return b"".join(parts[: draw(st.sampled_from([len(parts), -1]))])


rules = st.fixed_dictionaries(
    {
        "phone_format": st.sampled_from(["nanp", "vendor"]),
        "normalize": st.booleans(),
        "quoting": st.sampled_from(["refuse", "allow"]),
        "duplicates": st.sampled_from(["drop", "keep"]),
        "delimiter": st.sampled_from([",", ",", ";", "|", "\t"]),
    }
)
#: By these rules, a cell may begin with a tab.
TABS_AND_QUOTES = {
    "phone_format": "nanp", "normalize": False, "quoting": "allow", "duplicates": "drop", "delimiter": "\t",
}  # fmt: skip


def run(path: Path, options: Mapping[str, Any]) -> tuple[Report, str, bytes]:
    """Check a file. Returns the report, the text of the rejects file, and what would be sent."""
    rejects = path.with_name("rejects.csv")
    sent = b""
    try:
        with check(path, ContactRules(on_invalid="skip", **options), rejects_path=rejects) as checked:
            report, sent = checked.report, checked.upload.file.read()
    except InvalidContacts as error:
        report = error.report
    return report, rejects.read_bytes().decode(), sent


def assert_agreement(
    path: Path, data: bytes, options: Mapping[str, Any], suppress: frozenset[int] = frozenset()
) -> None:
    if data.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"\xff\xfe", b"\xfe\xff")):
        return  # a file that is compressed, or in another encoding, whatever its lines are
    path.write_bytes(data)
    expected = plain_checker.check_file(
        data, suppress=suppress, **{k: v for k, v in options.items() if k != "suppress"}
    )
    with mock.patch.object(in_memory, "SMALL_BYTES", -1):
        found = run(path, options)
    assert found == run(path, options)
    report, written, sent = found
    _, *rejects = csv.reader(io.StringIO(written, newline=""))
    assert [(int(line), reason) for line, reason, *_ in rejects] == [
        (line, reason) for line, (reason, _) in enumerate(expected, 1) if reason not in (None, "blank", "column_names")
    ]
    assert_cells_of_rejects(written, rejects, data, options)
    assert report.reasons == plain_checker.counts(expected)
    valid = [row for reason, row in expected if reason is None]
    assert sent.replace(b"\r\n", b"\n").split(b"\n") == ([*valid, b""] if sent.endswith(b"\n") else valid or [b""])
    header = sum(reason == "column_names" for reason, _ in expected)
    assert report.lines == len(expected)
    assert (
        report.valid + report.rejected + report.duplicates + report.suppressed + report.blank + header == report.lines
    )
    assert report.contacts == report.lines - report.blank - header
    assert report.valid == len(valid)
    if valid:
        assert_clean(path.with_name("sent.csv"), sent, options)


def assert_cells_of_rejects(written: str, rejects: list[list[str]], data: bytes, options: Mapping[str, Any]) -> None:
    """The cells are those of the line, without formulas, and have quotes only where they are needed."""
    given = plain_checker.split_lines(data.removeprefix(b"\xef\xbb\xbf"))
    for line, reason, *found in rejects:
        if reason not in ("line_too_long", "not_utf8", "control_character", "quoted_cell"):
            text = given[int(line) - 1].decode()
            cells = plain_checker.cells_of(text, options["delimiter"], options["quoting"]) or []
            assert found == [f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t")) else cell for cell in cells]
    again = io.StringIO()
    csv.writer(again, lineterminator="\n").writerows(rejects)
    assert written.partition("\n")[2] == again.getvalue()


def assert_clean(path: Path, sent: bytes, options: Mapping[str, Any]) -> None:
    path.write_bytes(sent)
    again = {
        "phone_format": options["phone_format"],
        "quoting": options["quoting"],
        "duplicates": options["duplicates"],
    }
    with check(path, ContactRules(**again)) as checked:
        assert checked.report.valid == checked.report.lines
        assert checked.upload.file.read() == sent


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.csv"


several = settings(
    max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@settings(several, max_examples=20 * EXAMPLES)
@given(row=rows, first=st.booleans(), options=rules)
def test_both_checkers_agree_on_a_row(row: list[str], first: bool, options: dict[str, Any]) -> None:
    line = options["delimiter"].join(row).replace("\r", "").replace("\n", "").encode(errors="ignore")
    filler = b" \n" if first else b"?\n"
    *_, (reason, sent) = plain_checker.check_file(filler + line + b"\n", **options)
    result = RowValidator(ContactRules(**options))(line, first=first)
    assert result.reason == reason
    assert result.row == (sent if reason is None else b"")


@settings(several, max_examples=2 * EXAMPLES)
@given(data=st.data(), options=rules, block_bytes=st.sampled_from([1 << 20, 13]))
def test_both_checkers_agree_on_every_line(
    path: Path, data: st.DataObject, options: dict[str, Any], block_bytes: int
) -> None:
    with mock.patch.object(lines, "BLOCK_BYTES", block_bytes):  # the smaller end within characters and line ends
        assert_agreement(path, data.draw(files(options["delimiter"])), options)


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_both_checkers_agree_on_all_short_rows_with_quotes(path: Path, delimiter: str) -> None:
    parts = ('"', delimiter, "16175551234", "a")
    rows = ("".join(row) for length in range(1, 7) for row in product(parts, repeat=length))
    # One that leaves a cell open would also reject the next.
    closed = [row for row in rows if row.count('"') % 2 == 0]
    options = {"phone_format": "nanp", "normalize": False, "quoting": "allow", "duplicates": "keep"}
    # Every line up to the first row is checked in Python.
    data = "\n".join(["12125550100", *closed, ""]).encode()
    assert_agreement(path, data, {**options, "delimiter": delimiter})


@several
@given(data=st.binary(max_size=60), options=rules)
@example(data=b'\t\t\t"\t"\n', options=TABS_AND_QUOTES)
def test_both_checkers_agree_on_any_bytes(path: Path, data: bytes, options: dict[str, Any]) -> None:
    assert_agreement(path, data, options)


@several
@given(data=st.data(), options=rules)
def test_both_checkers_agree_on_suppressed_numbers(path: Path, data: st.DataObject, options: dict[str, Any]) -> None:
    suppression_list = path.with_name("suppression_list.csv")
    suppression_list.write_text("number,name\n(617) 555-1234,x\n\ntel:+19998886666\n+44 20 7183 8750\n")
    suppress = frozenset({16175551234, 19998886666, 442071838750})
    assert_agreement(
        path, data.draw(files(options["delimiter"])), {**options, "suppress": [str(suppression_list)]}, suppress
    )


@several
@given(
    data=st.data(),
    options=rules,
    names=st.permutations(["phone_number", "Message_Reference", "extra", "mobile"]),
    columns=st.sampled_from(
        [{}, {"call_parameter": "extra"}, {"phone_number": "mobile", "call_parameter": "phone_number"}]
    ),
)
def test_both_checkers_agree_on_files_with_a_header(
    path: Path, data: st.DataObject, options: dict[str, Any], names: list[str], columns: dict[str, str]
) -> None:
    delimiter = options["delimiter"]
    rest = data.draw(files(delimiter)).removeprefix(b"\xef\xbb\xbf")
    head = data.draw(st.sampled_from([b"", b"\n", b" \r\n\xef\xbb\xbf"[:3]])) + delimiter.join(names).encode() + b"\n"
    assert_agreement(path, head + rest, {**options, "has_header": True, "columns": columns})


@several
@given(data=st.data(), options=rules.filter(lambda options: options["quoting"] == "refuse"))
def test_both_checkers_agree_on_a_line_that_is_too_long_to_keep(
    path: Path, monkeypatch: pytest.MonkeyPatch, data: st.DataObject, options: dict[str, Any]
) -> None:
    for module in (lines, validator, in_duckdb, plain_checker):
        monkeypatch.setattr(module, "LONGEST_LINE", 600)
    monkeypatch.setattr(lines, "BLOCK_BYTES", 100)
    long = data.draw(
        st.lists(
            st.sampled_from(["x" * 700, "é" * 350, "16175551234", options["delimiter"], "\x00", "\u0085", '"', "😀"])
        )
    )
    before, after = data.draw(files(options["delimiter"])), data.draw(files(options["delimiter"]))
    assert_agreement(path, b"\n".join([before, "".join(long).encode() + data.draw(nasty), after]), options)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_both_checkers_agree_on_quoted_cells_without_text(path: Path, delimiter: str) -> None:
    lines = [
        VALID[0],
        f'"{delimiter}"',
        '""',
        '" "',
        f'""{delimiter}" "',
        f" {delimiter}",
        f'"{VALID[1]}"{delimiter}"{delimiter}"',
    ]
    options = {"phone_format": "nanp", "quoting": "allow", "delimiter": delimiter, "duplicates": "drop"}
    assert_agreement(path, "\n".join([*lines, ""]).encode(), options)
