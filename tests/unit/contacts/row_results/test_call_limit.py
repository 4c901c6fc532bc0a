"""How often a number may be called: the values of ``max_per_period``, and contacts against a record of earlier campaigns."""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_queuecalls.contacts import ContactRules, check
from airflow_provider_queuecalls.contacts.row_results import in_duckdb
from airflow_provider_queuecalls.contacts.row_results.call_limit import PARAMETERS, CallLimit, LimitCheck, NumberKey
from airflow_provider_queuecalls.exceptions import InvalidContacts, NotSent
from airflow_provider_queuecalls.files.duckdb_session import Session
from airflow_provider_queuecalls.parameters import read_values
from airflow_provider_queuecalls.stopping import StopRequest
from tests.unit.contacts.checking import Contacts

OLD, NEW = (NumberKey.of(secret) for secret in ("an-old-secret-of-ours", "a-new-secret-of-ours"))
DAY = 86_400
FIRST = 16175550100


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [
        ("3/24h", CallLimit(3, DAY), "3/24h"),
        (" 5 / 7d ", CallLimit(5, 7 * DAY), "5/7d"),
        ("1/1d", CallLimit(1, DAY), "1/24h"),
        ("10/366d", CallLimit(10, 366 * DAY), "10/366d"),
        ("2/36h", CallLimit(2, 36 * 3600), "2/36h"),
    ],
)
def test_a_limit_is_a_number_of_calls_and_a_period(text: str, limit: CallLimit, shown: str) -> None:
    read, violations = read_values(PARAMETERS, {"max_per_period": text})
    assert (read["max_per_period"], str(read["max_per_period"]), violations) == (limit, shown, {})


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("", "max_per_period is an empty text"),
        ("None", "max_per_period is an empty text"),
        (" \n", "max_per_period is an empty text"),
        (3, "max_per_period is 3, which is a value of type int"),
        (3.5, "max_per_period is 3.5, which is a value of type float"),
        (["3/24h"], "is a value of type list"),
        ("3", "is '3', which is not a number of calls and a period"),
        ("0/24h", "is '0/24h', which is not"),
        ("-1/24h", "is '-1/24h', which is not"),
        ("3.5/24h", "is '3.5/24h', which is not"),
        ("3/24", "is '3/24', which is not"),
        ("3/0h", "is '3/0h', which is not"),
        ("3/1y", "is '3/1y', which is not"),
        ("3/367d", "is '3/367d', which has a period that is too long"),
        ("1/16175550100h", "max_per_period is not a number of calls and a period"),
    ],
)
def test_other_values_are_named_with_what_is_accepted(value: object, problem: str) -> None:
    _, violations = read_values(PARAMETERS, {"max_per_period": value})
    message = str(violations["max_per_period"])
    assert problem in message
    assert "'3/24h' or '5/7d'" in message
    assert "16175550100" not in message


def hash_of(number: int, key: NumberKey) -> bytes:
    return hmac.digest(key.key, str(number).encode(), "sha256")[:8]


@dataclass
class Record:
    """A record in memory: the calls by number that were hashed with each key, those of this campaign, and attempts."""

    limit: CallLimit
    key: NumberKey = NEW
    called: dict[NumberKey, Counter[int]] = field(default_factory=dict)
    mine: set[int] = field(default_factory=set)
    results: Sequence[tuple[str, int]] = ()

    def earlier(self) -> Iterable[tuple[NumberKey, Iterator[bytes]]]:
        return [(key, self._hashes(key, calls.elements())) for key, calls in self.called.items()]

    def own(self) -> Iterable[tuple[NumberKey, Iterator[bytes]]]:
        return [(self.key, self._hashes(self.key, self.mine))]

    def attempts(self) -> Iterator[Sequence[tuple[str, int]]]:
        yield self.results

    def _hashes(self, key: NumberKey, numbers: Iterable[int]) -> Iterator[bytes]:
        return (hash_of(number, key) for number in numbers)


Checked = tuple[list[int], list[bytes]]
Check = Callable[..., Checked]


@pytest.fixture
def lines_too_often(contacts: Contacts) -> Check:
    """Checks numbers against a record. Returns the lines that were called too often, and what is put on record."""

    def run(numbers: Iterable[int], record: Record, **rules: Any) -> Checked:
        path = contacts("".join(f"{number}\n" for number in numbers))
        rejects = path.with_name("rejects.csv")
        with LimitCheck(record, 128, StopRequest()) as limit, closing(Session(128, StopRequest())) as session:
            given = {"on_invalid": "skip", "duplicates": "drop", **rules}
            with suppress(InvalidContacts):  # if no valid row is left
                check(path, ContactRules(**given), rejects_path=rejects, limit=limit).close()
            hashes = b"".join(limit.hashes(session))
        rows = [line.split(",") for line in rejects.read_text().splitlines()]
        lines = [int(line) for line, reason, *_ in rows if reason == "called_too_often"]
        return lines, [hashes[at : at + 8] for at in range(0, len(hashes), 8)]

    return run


def test_contacts_are_rejected_and_the_others_are_put_on_record(lines_too_often: Check) -> None:
    record = Record(
        CallLimit(2, DAY), called={NEW: Counter({FIRST: 2, FIRST + 1: 1}), OLD: Counter({FIRST + 2: 2, FIRST + 1: 1})}
    )
    lines, hashes = lines_too_often(range(FIRST, FIRST + 5), record)
    assert lines == [1, 2, 3]
    assert hashes == sorted(hash_of(number, NEW) for number in (FIRST + 3, FIRST + 4))


def test_the_attempts_of_a_result_count_instead_of_the_contact(lines_too_often: Check) -> None:
    spellings = (
        str(FIRST),
        "+1 617 555 0101",
        "(617) 555-0102",
        "tel:+16175550103;postd=1",
        '617,555\n0104"',
        "anybody",
    )
    record = Record(
        CallLimit(3, DAY),
        called={NEW: Counter(range(FIRST, FIRST + 6))},
        results=[(each, 3) for each in spellings] + [("16175550109", 3)],
    )
    assert lines_too_often(range(FIRST, FIRST + 10), record)[0] == [1, 2, 3, 4, 5]
    record = Record(CallLimit(1, DAY), called={NEW: Counter([FIRST, FIRST + 1])}, results=[(str(FIRST), 0)])
    assert lines_too_often([FIRST, FIRST + 1], record)[0] == [2]


def test_numbers_that_the_campaign_has_on_record_keep_their_place(lines_too_often: Check) -> None:
    record = Record(CallLimit(1, DAY), called={NEW: Counter([FIRST, FIRST + 1])}, mine={FIRST})
    assert lines_too_often([FIRST, FIRST + 1], record)[0] == [2]


def test_a_suppressed_number_is_suppressed_whatever_the_record(lines_too_often: Check, contacts: Contacts) -> None:
    path = contacts(f"{FIRST}\n")
    suppressed = path.rename(path.with_name("suppressed.csv"))
    record = Record(CallLimit(1, DAY), called={NEW: Counter([FIRST, FIRST + 1])})
    assert lines_too_often([FIRST, FIRST + 1], record, suppress=str(suppressed)) == ([2], [])


def test_a_stop_ends_the_reading_of_the_record(contacts: Contacts) -> None:
    stop, read = StopRequest(), []

    class Endless(Record):
        def earlier(self) -> Iterable[tuple[NumberKey, Iterator[bytes]]]:
            def parts() -> Iterator[bytes]:
                for number in range(FIRST, FIRST + 100):
                    stop.request()
                    read.append(number)
                    yield hash_of(number, NEW)

            return [(NEW, parts())]

    path = contacts(f"{FIRST}\n")
    with LimitCheck(Endless(CallLimit(1, DAY)), 128, stop) as limit, pytest.raises(NotSent):
        check(path, limit=limit, stop=stop)
    assert read == [FIRST]


@pytest.mark.long
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    numbers=st.lists(st.integers(FIRST, FIRST + 9), min_size=1, max_size=30),
    calls=st.lists(st.integers(FIRST, FIRST + 9), max_size=30),
    old_calls=st.lists(st.integers(FIRST, FIRST + 9), max_size=10),
    most=st.integers(1, 5),
    keep=st.booleans(),
    at_once=st.sampled_from([3, 1000]),
)
def test_the_lines_are_those_of_a_plain_loop(  # noqa: PLR0917
    lines_too_often: Check,
    numbers: list[int],
    calls: list[int],
    old_calls: list[int],
    most: int,
    keep: bool,
    at_once: int,
) -> None:
    counted, expected, sent = Counter(calls + old_calls), [], Counter[int]()
    for line, number in enumerate(numbers, 1):
        if counted[number] + (sent[number] if keep else 0) >= most:
            expected.append(line)
        else:
            sent[number] += 1
    record = Record(CallLimit(most, DAY), called={NEW: Counter(calls), OLD: Counter(old_calls)})
    with pytest.MonkeyPatch.context() as small:
        small.setattr(in_duckdb, "_BYTES_PER_CONTACT", (256 << 20) // at_once)
        lines, hashes = lines_too_often(numbers, record, duplicates="keep" if keep else "drop")
    assert lines == expected
    on_record = sent if keep else Counter(set(sent))
    assert sorted(hashes) == sorted(hash_of(number, NEW) for number in on_record.elements())
