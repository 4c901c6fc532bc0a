"""The list joined with the results of its calls, compared with a join in plain Python, in one part and in many."""

from __future__ import annotations

import csv
import errno
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_queuecalls.contacts import ContactRules, check
from airflow_provider_queuecalls.exceptions import (
    CheckFailed,
    InvalidContacts,
    InvalidNextList,
    NotSent,
    QueueCallsError,
)
from airflow_provider_queuecalls.files.lines import write_row
from airflow_provider_queuecalls.records.results import joined_list
from airflow_provider_queuecalls.records.results.joined_list import OUTPUT_COLUMNS, SELECTIONS, JoinedList
from airflow_provider_queuecalls.records.results.next_list import read_next_list, write_next_list
from airflow_provider_queuecalls.records.sent.entry import CampaignKey
from airflow_provider_queuecalls.stopping import StopRequest
from tests.support.command import REPOSITORY
from tests.unit.contacts.checking import file_size_limit

ANN, BOB, CAY, DAN = "16175550100", "16175550101", "12025550119", "+442071838750"
Contact = tuple[str, str, str]


def call(
    number: str | None, reference: str | None = None, result: str | None = "failed", **more: Any
) -> dict[str, Any]:
    names = ("call_id", "callee_type", "attempts", "last_attempt_timestamp", "duration", "choice", "chosen_at")
    fields = dict.fromkeys(names)
    return {
        "phone_number": number, "message_reference": reference, "result": result, **fields, "received_at": 1_790_000_000,
        "problems": "", "fields": "{}", **more,
    }  # fmt: skip


def join(contacts: list[Contact], results: Iterable[dict[str, Any]], **options: Any) -> JoinedList:
    with tempfile.TemporaryFile() as file:
        file.writelines(write_row(contact) + b"\n" for contact in contacts)
        file.flush()
        return JoinedList(file, results, **options)


def digits(number: str | None) -> str:
    found = re.sub("[^0-9]", "", (number or "").partition(";")[0])
    return found[1:] if re.fullmatch("1[0-9]{10}", found) else found


def order(result: dict[str, Any], place: int) -> tuple[int, ...]:
    state = {"completed": 0, "failed": 2}.get((result["result"] or "").lower(), 1)
    attempts, last = (-1 if result[name] is None else result[name] for name in ("attempts", "last_attempt_timestamp"))
    return state, -attempts, -last, -result["received_at"], place


def plain_join(contacts: list[Contact], results: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    """The result and the choice of each contact, and how many results belong to no contact."""
    found: list[list[tuple[tuple[int, ...], dict[str, Any]]]] = [[] for _ in contacts]
    chosen: list[list[tuple[int, str]]] = [[] for _ in contacts]
    unjoined = 0
    for place, result in enumerate(results):
        number, reference = digits(result["phone_number"]), result["message_reference"] or ""
        with_number = [i for i, contact in enumerate(contacts) if number and digits(contact[0]) == number]
        with_reference = [i for i, contact in enumerate(contacts) if reference and contact[1] == reference]
        same = [i for i in with_number if contacts[i][1] == reference]
        owners = same or with_number or (with_reference if len(with_reference) == 1 else [])
        unjoined += not owners and result["received_at"] is not None
        for owner in owners:
            if result["received_at"] is not None:
                found[owner].append((order(result, place), result))
            if result["choice"] is not None:
                chosen[owner].append((result["chosen_at"], result["choice"]))
    blank = dict.fromkeys(OUTPUT_COLUMNS)
    best = [min(each, key=lambda pair: pair[0])[1] if each else blank for each in found]
    last = [max(each, default=(None, None)) for each in chosen]
    return [{**row, "choice": what, "chosen_at": when} for row, (when, what) in zip(best, last, strict=True)], unjoined


numbers = st.sampled_from([ANN, BOB, CAY, DAN, f"{ANN};ani=12025550119", f"tel:+{BOB}"])
spellings = st.sampled_from([ANN, ANN[1:], f"+1 ({BOB[1:4]}) {BOB[4:]}", "tel:+442071838750", "19995550100", "", None])
references = st.sampled_from(["", "a", "b", "c", "order, 4", 'order "5"', "Märchen"])
small = st.sampled_from([None, 1])
calls = st.builds(
    call, spellings, references | st.just("elsewhere"), st.sampled_from(["completed", "Failed", "failed", "stopped", "", None]),
    attempts=small, last_attempt_timestamp=small, received_at=st.integers(1, 3), callee_type=st.sampled_from(["human", None]),
)  # fmt: skip
#: What was chosen in a call, with and without its result.
chosen = st.builds(
    lambda result, is_open, what, when: {**result, "choice": what, "chosen_at": when, **dict.fromkeys(("result", "received_at") if is_open else ())},
    calls, st.booleans(), st.sampled_from(["confirmed", "canceled"]), st.integers(1, 3),
)  # fmt: skip


@pytest.mark.long
@settings(max_examples=25)
@given(
    st.lists(st.tuples(numbers, references, st.just("text")), min_size=1, max_size=16),
    st.lists(calls | chosen, max_size=30),
    st.sampled_from([1, 5]),
)
def test_every_result_is_joined_as_in_plain_python(
    contacts: list[Contact], results: list[dict[str, Any]], parts: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        rows_at_once = max(1, (len(contacts) + len(results)) // parts)
        patch.setattr(joined_list, "_BYTES_PER_ROW", (256 << 20) // rows_at_once)
        joined = join(contacts, results)
    expected, unjoined = plain_join(contacts, results)
    with closing(joined):
        rows = [dict(zip(OUTPUT_COLUMNS, row, strict=True)) for row in joined.rows("all")]
    assert [tuple(row[name] or "" for name in OUTPUT_COLUMNS[:3]) for row in rows] == contacts
    names = OUTPUT_COLUMNS[3:]
    assert [[row[name] for name in names] for row in rows] == [
        [(result[name] or None) if isinstance(result[name], str) else result[name] for name in names]
        for result in expected
    ]
    repeated = {contact[1] for contact in contacts if contact[1]}
    repeated = {name for name in repeated if sum(contact[1] == name for contact in contacts) > 1}
    counts = joined.counts
    assert (counts.unjoined, counts.repeated_references) == (unjoined, len(repeated))
    assert (counts.contacts, counts.results, counts.missing) == (
        len(contacts),
        sum(result["received_at"] is not None for result in results),
        sum(result["received_at"] is None for result in expected),
    )
    assert counts.completed + counts.failed + counts.other + counts.missing == counts.contacts


def test_a_choice_without_a_result_is_not_a_result_that_belongs_to_no_contact() -> None:
    only_a_choice = call("19995550100", result=None, received_at=None, choice="confirmed", chosen_at=1)
    with closing(join([(ANN, "", "")], [only_a_choice, call("19995550101")])) as joined:
        assert (joined.counts.results, joined.counts.unjoined) == (1, 1)


@pytest.mark.parametrize("posted", ["+4512345678", "4512345678", "tel:+4512345678"])
def test_a_number_of_another_country_is_joined_with_and_without_its_plus(posted: str) -> None:
    with closing(join([("+4512345678", "", "")], [call(posted)])) as joined:
        assert (joined.counts.failed, joined.counts.unjoined) == (1, 0)


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ("all", "ABCDEF"),
        ("completed", "AEF"),
        ("failed", "B"),
        ("not_reached", "B"),
        ("missing", "D"),
        ("human", "AEF"),
        ("Busy", "B"),
        ("machine", ""),
        ("Confirmed", "A"),
        ("do not call", "F"),
    ],
)
def test_a_selection_has_only_contacts_whose_results_say_so(select: str, expected: str) -> None:
    """C's result is neither completed nor failed, D has none, E was reached in one of two calls, and F, who was reached in two,
    has chosen something in the first one."""
    contacts = [(f"1617555010{n}", name, "") for n, name in enumerate("ABCDEF")]
    results = [
        call(contacts[5][0], "F", "completed", callee_type="human", choice="do not call", chosen_at=1),
        call(contacts[5][0], "F", "completed", callee_type="human", attempts=9),
        call(contacts[0][0], "A", "Completed", callee_type="human", choice="confirmed", chosen_at=2),
        call(contacts[1][0], "B", "failed", callee_type="busy"),
        call(contacts[2][0], "C", "stopped"),
        call(contacts[4][0], "E", "completed", callee_type="human"),
        call(contacts[4][0], "E", "failed", attempts=9),
    ]
    with closing(join(contacts, results)) as joined:
        assert "".join(row[1] for row in joined.rows(select)) == expected
        assert joined.count(select) == len(expected)
        assert joined.counts.by_callee_type == {"human": 3, "busy": 1, "(empty)": 1}
        assert joined.counts.by_choice == {"confirmed": 1, "do not call": 1}


@pytest.mark.parametrize("name", ["callee_type", "choice"])
def test_values_that_may_be_a_persons_data_are_counted_without_their_text(name: str) -> None:
    results = [call(number, **{name: value}) for number, value in ((ANN, ANN), (BOB, "x@example.com"), (CAY, "human"))]
    with closing(join([(number, "", "") for number in (ANN, BOB, CAY)], results)) as joined:
        assert getattr(joined.counts, f"by_{name}") == {"human": 1, "(other)": 2}


#: A contact with a formula, and a result that would be a formula, or break the row of a file without quotes.
FORMULA: Contact = (ANN, "=1+1", "Märchen")
EVIL = call(ANN, "=1+1", "failed", call_id="=2+2", callee_type='a,"b"\u2028\x85', attempts=2, received_at=1_790_000_000)


def written(
    tmp_path: Path, name: str, output_format: str, *, select: str = "all", stop: StopRequest | None = None
) -> Path:
    with closing(join([FORMULA, (BOB, "", "")], [EVIL])) as joined:
        write_next_list(joined, select, tmp_path / name, output_format, stop or StopRequest())
    return tmp_path / name


def test_a_csv_file_is_a_contact_file_whatever_the_results_contain(tmp_path: Path) -> None:
    file = written(tmp_path, "next.csv", "csv")
    with check(file, ContactRules(has_header=True)) as checked:
        assert checked.upload.file.read().decode() == f"{ANN},=1+1,Märchen\n{BOB},,\n"
    with file.open(newline="", encoding="utf-8") as rows:
        first, second = csv.DictReader(rows)
    assert {name: value for name, value in first.items() if value} == {
        "phone_number": ANN, "message_reference": "=1+1", "call_parameter": "Märchen", "call_id": "'=2+2", "result": "failed",
        "callee_type": "a\\x2c\\x22b\\x22\\x2028\\x85", "attempts": "2", "received_at": "1790000000",
    }  # fmt: skip
    assert {name for name, value in second.items() if value} == {"phone_number"}
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_cell_that_was_sent_with_a_comma_is_quoted(tmp_path: Path) -> None:
    with closing(join([(ANN, 'say "a, b"', "")], [])) as joined:
        write_next_list(joined, "missing", tmp_path / "next.csv", "csv", StopRequest())
    with check(tmp_path / "next.csv", ContactRules(has_header=True, quoting="allow")) as checked:
        assert checked.upload.file.read() == write_row((ANN, 'say "a, b"', "")) + b"\n"


def test_parquet_and_json_lines_have_the_values_as_they_came(tmp_path: Path) -> None:
    import duckdb

    rows = [json.loads(line) for line in written(tmp_path, "next.jsonl", "jsonl").open(encoding="utf-8")]
    assert {name: value for name, value in rows[0].items() if value is not None} == {
        "phone_number": ANN, "message_reference": "=1+1", "call_parameter": "Märchen", "call_id": "=2+2", "result": "failed",
        "callee_type": 'a,"b"\u2028\x85', "attempts": 2, "received_at": 1_790_000_000,
    }  # fmt: skip
    parquet = duckdb.read_parquet(str(written(tmp_path, "it's.parquet", "parquet")))
    assert parquet.columns == list(OUTPUT_COLUMNS)
    assert parquet.fetchall() == [tuple(row.values()) for row in rows]


def test_a_list_of_nobody_is_written_too(tmp_path: Path) -> None:
    import duckdb

    assert written(tmp_path, "next.csv", "csv", select="completed").read_text().splitlines() == [
        ",".join(OUTPUT_COLUMNS)
    ]
    assert written(tmp_path, "next.jsonl", "jsonl", select="completed").read_bytes() == b""
    parquet = duckdb.read_parquet(str(written(tmp_path, "next.parquet", "parquet", select="completed")))
    assert (parquet.columns, parquet.fetchall()) == (list(OUTPUT_COLUMNS), [])


@pytest.mark.parametrize("output_format", ["csv", "parquet"])
def test_a_stopped_list_is_not_written(tmp_path: Path, output_format: str) -> None:
    stop = StopRequest()
    with closing(join([FORMULA], [], stop=stop)) as joined:
        stop.request()
        with pytest.raises(NotSent):
            write_next_list(joined, "all", tmp_path / "next", output_format, stop)
    assert list(tmp_path.iterdir()) == []


def test_a_stop_ends_the_join_and_leaves_no_file(temporary: Path) -> None:
    stop = StopRequest()

    def results() -> Iterator[dict[str, Any]]:
        stop.request()
        while True:
            yield call(ANN)

    with pytest.raises(NotSent):
        join([FORMULA], results(), stop=stop)
    assert list(temporary.iterdir()) == []


def test_a_full_disk_is_reported_without_a_row() -> None:
    with file_size_limit(1 << 10), pytest.raises(CheckFailed, match="temporary directory") as caught:
        join([("16175550000", "order", "")], [call(f"1617{n}") for n in range(5550000, 5551000)])
    assert "1617555" not in str(caught.value)


@pytest.mark.parametrize(("number", "kind"), [(errno.EIO, CheckFailed), (errno.EACCES, InvalidContacts)])
def test_a_list_that_cannot_be_written_is_tried_again_if_that_may_help(
    tmp_path: Path, mocker: Any, number: int, kind: type[QueueCallsError]
) -> None:
    mocker.patch("os.replace", side_effect=OSError(number, os.strerror(number)))
    with pytest.raises(kind, match=rf"cannot be written: {os.strerror(number)}\. Nothing was written\."):
        written(tmp_path, "next.csv", "csv")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"select": ""}, "select is empty; it must be 'all', 'completed', .* or a callee_type"),
        ({"select": "not-reached"}, "select is 'not-reached', which is probably meant as 'not_reached'"),
        ({"select": 1}, "select is 1, which is a value of type int"),
        ({"output": ""}, "output is missing"),
        ({"output": "next\0.csv"}, "output has a NUL character"),
        ({"output_table": "t", "output_conn_id": "c"}, "output is given together with output_table"),
        ({"output": None, "output_table": "t"}, "output_conn_id is missing"),
        ({"output_conn_id": "c"}, "output_conn_id is given without output_table"),
        ({"output": "next.xlsx"}, "output_format is missing, and output has no extension that is known"),
        (
            {"output_format": "xlsx"},
            "output_format is 'xlsx', which is not valid; it must be 'csv', 'parquet', or 'jsonl'",
        ),
        (
            {"output": None, "output_table": "t", "output_conn_id": "c", "output_format": "csv"},
            "output_format has no effect here; it must be unset, because rows are written to output_table",
        ),
        ({"campaign_name": None}, "campaign_name is missing"),
        (
            {"queued": {"campaign_key": "00d1", "campaign_name": "spring", "contacts": 1}},
            "campaign_name is given together with queued",
        ),
    ],
)
def test_a_wrong_parameter_is_an_error(values: dict[str, Any], said: str) -> None:
    given = {"campaign_name": "spring", "select": "all", "output": "s3://conn@bucket/next.csv", **values}
    with pytest.raises(InvalidNextList, match=said):
        read_next_list(given, lambda name: CampaignKey.of(name, "https://h/queuecalls/", "bob"))


def test_every_selection_is_documented() -> None:
    page = (REPOSITORY / "docs" / "results.md").read_text("utf-8")
    assert [name for name in SELECTIONS if f"| `{name}` |" not in page] == []
