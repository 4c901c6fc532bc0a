"""``queuecalls check``, as a person or a script runs it."""

from __future__ import annotations

import json
import os
import pty
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_queuecalls.cli import main
from tests.support.command import PROGRAM

ANN, BOB = "16175550143", "16175550178"


def run(*arguments: str | Path, program: str = PROGRAM, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, "check", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


@pytest.fixture
def contacts(tmp_path: Path) -> Path:
    path = tmp_path / "calls.csv"
    path.write_text(f"\ufeff{ANN},a,b\n\n{ANN}\n617\n{BOB}\n", encoding="utf-8")
    return path


def test_a_clean_file_ends_with_0(tmp_path: Path) -> None:
    path = tmp_path / "calls.csv"
    path.write_text(f"{ANN}\n")
    done = run(path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 contacts in 1 lines: 1 valid.\n", "")


def test_rejects_end_with_1_and_a_table(contacts: Path) -> None:
    done = run(contacts)
    assert done.returncode == 1
    assert [word in done.stdout for word in ("invalid_number", "duplicate", "first line")] == [True] * 3
    assert "did not pass the check: 1 of 4 rows are rejected" in done.stderr
    assert ANN not in done.stdout + done.stderr


def test_rejects_that_are_allowed_still_end_with_1(contacts: Path) -> None:
    assert run(contacts, "--on-invalid", "skip", "--duplicates", "drop").returncode == 1


@pytest.mark.parametrize(("unbuffered", "code"), [("", 1), ("1", 141)])
def test_a_reader_who_has_enough_causes_no_error(contacts: Path, unbuffered: str, code: int) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-c", PROGRAM, "check", str(contacts), "--on-invalid", "skip", "--json"]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with open(writing, "wb") as output:
        done = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, env=environment, check=False)

    assert done.returncode == code
    assert b"BrokenPipeError" not in done.stderr


@pytest.mark.parametrize("option", ["--json", "--help"])
def test_an_output_that_cannot_be_written_ends_with_2(option: str, tmp_path: Path) -> None:
    (path := tmp_path / "calls.csv").write_text(f"{ANN}\n")
    with open("/dev/full", "w") as output:
        command = [sys.executable, "-c", PROGRAM, "check", str(path), option]
        done = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert "No space left on device" in done.stderr


def test_duplicates_that_were_dropped_as_asked_are_clean(tmp_path: Path) -> None:
    path = tmp_path / "calls.csv"
    path.write_text(f"{ANN}\n{ANN}\n")
    assert run(path).returncode == 1
    assert run(path, "--duplicates", "drop").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["/no/such/file.csv"], "does not exist"),
        (["."], "is a directory"),
        (
            [__file__, "--duplicates", "maybe"],
            "duplicates is 'maybe', which is not valid; it must be 'fail', 'drop', or 'keep'",
        ),
        ([__file__, "--suppress", "/no/such/list.csv"], "suppression list '/no/such/list.csv' does not exist"),
        ([__file__, "--rejects", "/no/such/folder/rejects.csv"], "rejects file"),
    ],
)
def test_what_cannot_be_read_or_done_ends_with_2(arguments: list[str], words: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stdout == ""


def test_json_is_one_object_with_everything(contacts: Path) -> None:
    done = run(contacts, "--json", "--on-invalid", "skip", "--duplicates", "drop")
    found = json.loads(done.stdout)
    digest = found.pop("digest")
    assert digest.startswith("sha256:")
    assert found == {
        "lines": 5,
        "blank": 1,
        "contacts": 4,
        "valid": 2,
        "rejected": 1,
        "reasons": {"invalid_number": 1, "duplicate": 1},
        "bom": True,
        "examples": [{"line": 3, "reason": "duplicate"}, {"line": 4, "reason": "invalid_number"}],
    }


def test_json_of_a_list_that_fails_has_no_digest_since_nothing_is_sent(contacts: Path) -> None:
    done = run(contacts, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["digest"] is None


def test_every_rule_is_an_option(tmp_path: Path) -> None:
    contacts, listed, rejects = (tmp_path / name for name in ("calls.csv", "dnc.csv", "rejects.csv"))
    contacts.write_text(f'ref;mobile\n"a;1";(617) 555-0143\nb;{BOB}\nc;nobody\n')
    listed.write_text(f"{BOB}\n")
    done = run(
        contacts, "--json", "--rejects", rejects, "--normalize", "--has-header", "--delimiter", ";", "--quoting", "allow",
        "--columns", '{"phone_number": "mobile", "message_reference": "ref"}', "--on-invalid", "skip", "--max-rejects", "50%",
        "--suppress", listed, "--suppress-max-age", "1 day", "--phone-format", "nanp", "--on-empty", "fail",
    )  # fmt: skip
    assert json.loads(done.stdout)["reasons"] == {"invalid_number": 1, "suppressed": 1}
    assert rejects.read_text() == f"line,reason,ref,mobile\n3,suppressed,b,{BOB}\n4,invalid_number,c,nobody\n"


def test_every_suppression_list_counts_if_the_option_is_repeated(tmp_path: Path) -> None:
    contacts, first, second = (tmp_path / name for name in ("calls.csv", "first.csv", "second.csv"))
    contacts.write_text(f"{ANN}\n{BOB}\n")
    first.write_text(f"{ANN}\n")
    second.write_text(f"{BOB}\n")
    done = run(contacts, "--json", "--suppress", first, "--suppress", second)
    assert json.loads(done.stdout)["reasons"] == {"suppressed": 2}


def test_a_choice_that_is_repeated_is_an_error(contacts: Path) -> None:
    done = run(contacts, "--duplicates", "drop", "--duplicates", "keep")
    assert done.returncode == 2
    assert "duplicates is a value of type list; it must be 'fail', 'drop', or 'keep'" in done.stderr


def test_a_long_file_shows_its_progress_on_a_terminal(tmp_path: Path) -> None:
    path = tmp_path / "calls.csv"
    path.write_text("".join(f"1617{number},{'r' * 60}\n" for number in range(2_000_000, 2_040_000)))
    program = PROGRAM.replace(
        "sys.exit", "from airflow_provider_queuecalls.cli import check; check.LONG_FILES = 0; sys.exit"
    )
    terminal, far_end = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", program, "check", str(path)], stdout=subprocess.DEVNULL, stderr=far_end
    ) as process:
        os.close(far_end)
        shown = b""
        while data := _read(terminal):
            shown += data
    os.close(terminal)
    assert process.returncode == 0
    assert b"Checking" in shown
    assert b"%" in shown


@pytest.mark.parametrize("kibibytes", [200_000, 524_288, 1_000_000])
def test_too_little_memory_ends_with_2_and_a_sentence(tmp_path: Path, kibibytes: int) -> None:
    path = tmp_path / "calls.csv"
    path.write_text("".join(f"1617{number},x\n" for number in range(2_000_000, 2_300_000)))

    def limit_address_space() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (kibibytes << 10, kibibytes << 10))

    done = run(path, preexec_fn=limit_address_space)
    assert done.returncode == 2
    assert f"{str(path)!r} could not be checked: there is not enough memory" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_memory_limit_that_is_too_small_ends_with_2() -> None:
    done = run(__file__, "--memory-limit", "100")
    assert done.returncode == 2
    assert "memory_limit is 100, which is too small; it must be at least 256 (MiB)" in done.stderr


def test_an_error_of_our_own_ends_with_2_too() -> None:
    program = PROGRAM.replace(
        "sys.exit", "from airflow_provider_queuecalls.cli import check; check.check = None; sys.exit"
    )
    done = run(__file__, program=program)
    assert done.returncode == 2
    assert "TypeError" in done.stderr


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # the other end is closed
        return b""


@pytest.mark.parametrize(
    ("arguments", "module", "words"),
    [
        (["demo"], "fastapi", "The command 'demo' needs fastapi, which is not installed: pip install '{}[sandbox]'"),
        (["sandbox"], "uvicorn", "The command 'sandbox' needs uvicorn, which is not installed: pip install '{}[sandbox]'"),
        (["results", "serve"], "uvicorn", "The command 'results' needs uvicorn, which is not installed: pip install '{}[results]'"),
        (["check", __file__, "--max-per-period", "3/24h"], "sqlalchemy", "The command 'check' needs sqlalchemy, which is not installed: pip install '{}[results]'"),
    ],
)  # fmt: skip
def test_a_package_that_is_not_installed_is_named_with_the_command_that_needs_it(
    arguments: list[str], module: str, words: str
) -> None:
    program = PROGRAM.replace("sys.exit", f"sys.modules[{module!r}] = None; sys.exit")
    settings = {"AIRFLOW__QUEUECALLS__RESULTS_DATABASE": "sqlite:////nowhere.db", "AIRFLOW__QUEUECALLS__RESULTS_SECRET": "x" * 16}  # fmt: skip
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **settings})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"queuecalls: {words.format('airflow-provider-queuecalls')}\n"


@pytest.mark.parametrize("command", ["check", "hours", "split", "send"])
def test_help_names_nothing_that_cannot_be_typed(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    words = capsys.readouterr().out.split()
    assert "--calling-hours" in words
    assert {"timedelta,", "datetime"} & set(words) == set()
