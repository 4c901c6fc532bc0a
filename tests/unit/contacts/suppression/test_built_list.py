"""Suppression lists that are built once: the same numbers, the age of their oldest source, or an error and no file."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_queuecalls.cli import main
from airflow_provider_queuecalls.contacts import ContactRules, check
from airflow_provider_queuecalls.contacts.row_results import in_duckdb
from airflow_provider_queuecalls.contacts.suppression import built_list
from airflow_provider_queuecalls.contacts.suppression.building import build_suppression_list
from airflow_provider_queuecalls.contacts.suppression.lists import _ListRowValidator
from airflow_provider_queuecalls.exceptions import CheckFailed, InvalidContacts, NotSent
from airflow_provider_queuecalls.files.duckdb_session import Session
from tests.support.command import PROGRAM
from tests.unit.contacts.checking import ANN, BOB, CAT, EXAMPLES, NOT_A_NUMBER, Contacts, reasons, refused, sent
from tests.unit.contacts.test_stopping_a_check import StopAtLook

DAY = 86_400
DAN, EVE = "12025550143", "442071838750"
Lists = Callable[..., list[Path]]


@pytest.fixture
def lists(tmp_path: Path) -> Lists:
    """Writes suppression lists of these texts, each changed a day before the next."""

    def write(*texts: str) -> list[Path]:
        paths = [tmp_path / f"list's {number}.csv" for number in range(len(texts))]
        for days, (path, text) in enumerate(zip(paths, texts, strict=True)):
            path.write_text(text)
            os.utime(path, (time.time() - (len(texts) - days) * DAY,) * 2)
        return paths

    return write


def numbers_in(path: Path) -> list[int]:
    import duckdb

    return [number for (number,) in duckdb.execute("FROM read_parquet($1)", [str(path)]).fetchall()]


@pytest.mark.usefixtures("results_kept")
def test_a_built_list_suppresses_what_its_sources_do(contacts: Contacts, lists: Lists, tmp_path: Path) -> None:
    built, all_in_one = tmp_path / "it's built", tmp_path / "all"
    company, registry = lists(
        f"number,name\n({ANN[1:4]}) {ANN[4:7]}-{ANN[7:]},Ann\n+{EVE}\n", "202,5550143\n999,8886666\n202,5550143\n"
    )
    assert build_suppression_list(built, [company]).numbers == 2
    assert build_suppression_list(all_in_one, [registry, built, company]).numbers == 4
    path = contacts(f"{ANN}\n{BOB}\n+{EVE}\n{CAT}\n{DAN}\n")
    for suppress in ([company, registry], [built, registry], [all_in_one]):
        assert sent(path, phone_format="vendor", suppress=suppress) == f"{BOB}\n".encode()
        assert reasons(path, phone_format="vendor", suppress=suppress) == {"suppressed": 4}
    assert (built.stat().st_mode & 0o777, all_in_one.stat().st_mode & 0o777) == (0o600, 0o600)


def test_a_built_list_has_digits_without_a_plus_only_for_contacts_in_the_vendors_format(
    contacts: Contacts, lists: Lists, tmp_path: Path
) -> None:
    path, built = contacts(f"+{EVE}\n{BOB}\n"), tmp_path / "built"
    sources = lists(f"{EVE}\n")
    with pytest.raises(InvalidContacts, match="digits without \\+ must be a North American number"):
        build_suppression_list(built, sources)
    assert build_suppression_list(built, sources, phone_format="vendor").numbers == 1
    assert sent(path, phone_format="vendor", suppress=[built]) == f"{BOB}\n".encode()


def test_the_age_of_a_built_list_is_that_of_its_oldest_source(contacts: Contacts, lists: Lists, tmp_path: Path) -> None:
    path, built, again = contacts(BOB), tmp_path / "built", tmp_path / "again"
    sources = lists(ANN, CAT, DAN)
    oldest = build_suppression_list(built, sources[::-1]).oldest_change
    assert oldest.timestamp() == pytest.approx(sources[0].stat().st_mtime)
    assert build_suppression_list(again, [sources[2], built]).oldest_change == oldest
    for suppress in (built, again):
        assert sent(path, suppress=[suppress], suppress_max_age=4) == BOB.encode()
        message = str(refused(path, suppress=[suppress], suppress_max_age="2 days"))
        assert "was built of a list that was last changed 3 days ago, and suppress_max_age is 2 days" in message
        assert "Fetch the list and build it again" in message


def test_numbers_are_sorted_and_compared_in_parts(
    contacts: Contacts, lists: Lists, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = [16172000000 + 7 * number for number in range(3000)] + [16172000000] * 3000
    random.Random(1).shuffle(numbers)
    one, other = lists(*("".join(f"{number}\n" for number in part) for part in (numbers[:2000], numbers[1000:])))
    path = contacts("".join(f"{16172000000 + number},{'x' * 90}\n" for number in range(22_000)))
    expected = reasons(path, suppress=[one, other])
    assert expected == {"suppressed": 3000}
    monkeypatch.setattr(in_duckdb, "_BYTES_PER_CONTACT", (256 << 20) // 700)
    assert build_suppression_list(tmp_path / "built", [one, other]).numbers == 3000
    assert numbers_in(tmp_path / "built") == sorted(set(numbers))
    assert reasons(path, suppress=[tmp_path / "built"]) == expected


PIECES = st.sampled_from([
    "1", "+1 ", "(617)", "617", " ", "555", "5551234", "-", ",", ".", "0", "abc", "+44", "2", "tel:", '"', '","', "16175551234", ";postd=1",
])  # fmt: skip
LINES = st.lists(PIECES, max_size=5).map("".join) | st.from_regex(r"\A[0-9]{2,4},[0-9]{6,8}(,x)?\Z")


@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(st.lists(LINES, min_size=1, max_size=12))
def test_duckdb_reads_the_rows_of_a_list_as_the_validator_does(lines: list[str]) -> None:
    import tempfile

    validator = _ListRowValidator("nanp")
    rows = [validator(line.encode(), first=False) for line in [ANN, *lines]]
    expected = sorted({row.number for row in rows if row.number is not None})
    with tempfile.TemporaryDirectory() as directory:
        source, built = Path(directory, "list"), Path(directory, "built")
        source.write_text("\n".join([ANN, *lines]) + "\n")
        if any(row.reason not in (None, "blank") for row in rows):
            with pytest.raises(InvalidContacts, match="rows that cannot be parsed"):
                build_suppression_list(built, [source])
        else:
            build_suppression_list(built, [source])
            assert numbers_in(built) == expected


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (NOT_A_NUMBER, "invalid_number"),
        ("202,555014", "invalid_number"),
        ("202,5550143,A", "invalid_number"),
        (",Ann", "no_number"),
    ],
)
def test_a_row_that_cannot_be_parsed_is_an_error_and_leaves_the_file_of_before(
    row: str, reason: str, lists: Lists, tmp_path: Path
) -> None:
    built = tmp_path / "built"
    good, bad = lists(ANN, f"{BOB}\n{row}\n")
    build_suppression_list(built, [good])
    before = built.read_bytes()
    with pytest.raises(InvalidContacts) as caught:
        build_suppression_list(built, [good, bad])
    assert f"{reason}: 1, first in line 2" in str(caught.value)
    assert "SECRET" not in str(caught.value)
    assert built.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == sorted([built, good, bad])


@pytest.mark.parametrize(
    ("out", "source", "words"),
    [
        ("built", "gone.csv", "does not exist"),
        ("built", "empty", "is empty, as after a failed export"),
        ("built", "other", "is a Parquet file, but not of this version of queuecalls suppression build"),
        ("built", "torn", "is a Parquet file that is incomplete or damaged"),
        ("list", "list", "is to be read and written"),
        ("gone/built", "list", "cannot be written"),
        (".", "list", "cannot be written"),
    ],
)
def test_a_list_that_cannot_be_built_is_an_error_and_no_file(out: str, source: str, words: str, tmp_path: Path) -> None:
    import duckdb

    (tmp_path / "list").write_text(ANN)
    (tmp_path / "empty").touch()
    build_suppression_list(tmp_path / "whole", [tmp_path / "list"])
    (tmp_path / "torn").write_bytes((tmp_path / "whole").read_bytes()[:-9])
    duckdb.execute(f"COPY (SELECT {ANN} AS number) TO '{tmp_path / 'other'}' (FORMAT parquet)")
    before = sorted(tmp_path.iterdir())
    with pytest.raises((InvalidContacts, CheckFailed)) as caught:
        build_suppression_list(tmp_path / out, [tmp_path / source])
    assert words in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before


def test_a_damaged_list_is_an_error_though_its_metadata_is_whole(
    contacts: Contacts, lists: Lists, tmp_path: Path
) -> None:
    (source,) = lists("".join(f"{16172000000 + number}\n" for number in range(5000)))
    build_suppression_list(tmp_path / "built", [source])
    content = (tmp_path / "built").read_bytes()
    (tmp_path / "built").write_bytes(content[:1000] + bytes(500) + content[1500:])
    assert "is incomplete or damaged" in str(refused(contacts(BOB), suppress=[tmp_path / "built"]))


@pytest.mark.parametrize(
    "metadata", ["{", "[]", '{"version": 1}', '{"version": 1, "checksum": "1 16175551234 16175551234"}']
)
def test_a_list_with_damaged_metadata_is_an_error(contacts: Contacts, tmp_path: Path, metadata: str) -> None:
    import duckdb

    options = f"FORMAT parquet, KV_METADATA {{{built_list.KEY}: '{metadata}'}}"
    duckdb.execute(f"COPY (SELECT CAST({ANN} AS BIGINT) AS number) TO '{tmp_path / 'built'}' ({options})")
    assert "is incomplete or damaged" in str(refused(contacts(BOB), suppress=[tmp_path / "built"]))


@pytest.mark.parametrize("name", ["OutOfMemoryException", "IOException"])
def test_a_lack_of_memory_is_not_taken_for_damage(
    contacts: Contacts, lists: Lists, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    import duckdb

    def fail(*_: object) -> None:
        raise getattr(duckdb, name)("SECRET")

    build_suppression_list(tmp_path / "built", lists(ANN))
    monkeypatch.setattr(Session, "run", fail)
    with pytest.raises(CheckFailed, match=r"could not be checked: .* It is safe to try again") as caught:
        check(contacts(BOB), ContactRules(suppress=tmp_path / "built"))
    assert "SECRET" not in str(caught.value)


def test_a_building_that_is_stopped_leaves_nothing(
    lists: Lists, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_duckdb, "_BYTES_PER_CONTACT", (256 << 20) // 700)
    sources = lists("".join(f"{16172000000 + number}\n" for number in range(2000)), ANN)
    looks = StopAtLook(0)
    build_suppression_list(tmp_path / "whole", sources, stop=looks)
    (tmp_path / "whole").unlink()
    for nth in range(1, looks.looks + 1, 6):
        with pytest.raises(NotSent):
            build_suppression_list(tmp_path / "built", sources, stop=StopAtLook(nth))
        assert sorted(tmp_path.iterdir()) == sorted(sources)


SIGNALED = f"""
import os, signal
from airflow_provider_queuecalls.contacts.suppression import building
read = building.read_suppression_list
building.read_suppression_list = lambda *given: (read(*given), os.kill(os.getpid(), signal.SIGTERM))
{PROGRAM}
"""


def test_the_command_builds_a_list_and_stops_at_a_signal(
    contacts: Contacts, lists: Lists, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = lists(f"{ANN}\n", "202,5550143\n")

    def run(*arguments: object) -> tuple[int, str, str]:
        return main([*map(str, arguments)]), *capsys.readouterr()

    command = [sys.executable, "-c", SIGNALED, "suppression", "build", str(tmp_path / "built"), *map(str, sources)]
    stopped = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (stopped.returncode, stopped.stderr) == (2, "queuecalls: The build was stopped. Nothing was written.\n")
    assert sorted(tmp_path.iterdir()) == sorted(sources)
    abroad = contacts(EVE)
    assert run("suppression", "build", tmp_path / "abroad", abroad)[0] == 2
    assert run("suppression", "build", tmp_path / "abroad", abroad, "--phone-format", "vendor")[0] == 0
    code, output, errors = run("suppression", "build", tmp_path / "built", *sources)
    assert code == 0, errors
    assert "Wrote 2 numbers of 2 lists. suppress_max_age counts from " in output
    code, output, _ = run(
        "check", contacts(f"{ANN}\n{BOB}\n"), "--suppress", tmp_path / "built", "--suppress-max-age", "3"
    )
    assert (code, "1 valid" in output) == (0, True)
    code, output, errors = run("suppression", "build", tmp_path / "other", contacts(f"{ANN}\n{NOT_A_NUMBER}\n"))
    assert (code, output, "SECRET" in errors) == (2, "", False)
