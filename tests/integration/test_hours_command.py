"""``queuecalls hours`` and the calling hours of ``queuecalls check``, as a person or a script runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_queuecalls.cli import main
from airflow_provider_queuecalls.contacts.hours.calling_hours import CallingHours, named_set

NEW_YORK, LOS_ANGELES, MIAMI, TOLL_FREE = "12125550100", "12135550100", "13055550100", "18005550100"
MORNING = ["--from", "2026-11-27T08:00-05:00"]


@pytest.fixture
def contacts(tmp_path: Path) -> str:
    path = tmp_path / "calls.csv"
    path.write_text(f"{NEW_YORK}\n{LOS_ANGELES}\n{MIAMI}\n{TOLL_FREE}\n")
    return str(path)


def test_check_reports_the_rows_that_are_outside_hours(contacts: str, capsys: pytest.CaptureFixture[str]) -> None:
    span = [*MORNING, "--until", "2026-11-27T12:00-05:00"]
    assert main(["check", contacts, "--json", "--calling-hours", "08:00-21:00", *span]) == 1
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert found["reasons"] == {"outside_hours": 2}
    assert found["examples"] == [{"line": 2, "reason": "outside_hours"}, {"line": 4, "reason": "outside_hours"}]
    assert found["zones"]["America/New_York"] == {"contacts": 2, "outside_hours": 0}
    assert found["span"] == ["2026-11-27T13:00:00+00:00", "2026-11-27T17:00:00+00:00"]
    assert LOS_ANGELES not in printed.out + printed.err
    assert main(["check", contacts, "--calling-hours", "08:00-21:00", *span]) == 1
    assert "America/Los_Angeles" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("span", "problem"),
    [
        (["--from", "tomorrow"], "from is 'tomorrow', which is not a time in ISO 8601"),
        (["--from", "2026-11-27T08:00"], "has no time zone"),
        ([*MORNING, "--until", "2026-11-27T07:00-05:00"], "until is not later than the start"),
    ],
)
def test_a_span_that_is_not_valid_ends_with_2(
    contacts: str, capsys: pytest.CaptureFixture[str], span: list[str], problem: str
) -> None:
    assert main(["check", contacts, "--calling-hours", "08:00-21:00", *span]) == 2
    assert problem in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--from", "--until"])
def test_a_span_without_hours_is_not_ignored(contacts: str, capsys: pytest.CaptureFixture[str], option: str) -> None:
    assert main(["check", contacts, option, "2026-11-27T08:00-05:00"]) == 2
    assert (
        f"{option[2:]} has no effect here; it must be unset, or given together with --calling-hours"
        in capsys.readouterr().err
    )


def test_a_set_is_shown_with_its_sources_and_as_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hours", "us-strict"]) == 0
    shown = capsys.readouterr().out
    assert [word in shown for word in ("not legal advice", "501.616", "2026-11-24")] == [True] * 3
    for name in ("us-federal", "us-strict", "ca-crtc"):
        assert main(["hours", name, "--json"]) == 0
        assert CallingHours.read(capsys.readouterr().out).regions == named_set(name)


def test_the_chart_shows_when_each_zone_may_be_called(
    contacts: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["hours", contacts, *MORNING, "--svg", str(tmp_path / "hours.svg")]) == 0
    rows = {
        line.split("│")[1].strip(): line.split("│")[2:4] for line in capsys.readouterr().out.splitlines() if "│" in line
    }
    assert rows["New_York"] == ["        2 ", f" {'█' * 26}{'·' * 22}  "]
    assert rows["Los_Angeles"][1] == f" {'·' * 6}{'█' * 26}{'·' * 16}  "
    assert rows["unknown"][1] == f" {'·' * 48}  "
    assert rows["all known zones"][0] == "        3 "
    assert rows["all known zones"][1] == f" {'·' * 6}{'█' * 20}{'·' * 22}  "
    assert (tmp_path / "hours.svg").read_text().startswith("<svg")


def test_states_with_hours_of_their_own_have_a_bar_of_their_own(
    contacts: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["hours", contacts, *MORNING, "--calling-hours", "us-strict", "--json"]) == 0
    found = {group["zone"]: group for group in json.loads(capsys.readouterr().out)}
    start = 1_795_784_400  # 8:00 in New York
    assert found["America/New_York (NY)"] == {"zone": "America/New_York (NY)", "contacts": 1, "open": [[start, start + 13 * 3600]]}  # fmt: skip
    assert found["America/New_York (FL)"]["open"] == [[start, start + 12 * 3600]]
    assert found["all known zones"]["open"] == [[start + 3 * 3600, start + 12 * 3600]]


def test_rows_that_cannot_be_read_are_not_passed_over(
    contacts: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(contacts).write_text(f"{NEW_YORK}\nnobody\n")
    assert main(["hours", contacts, *MORNING]) == 0
    assert "1 row without a valid phone number is left out." in capsys.readouterr().err
    for content, problem in (("nobody\n", "did not pass the check"), ("", "is empty")):
        Path(contacts).write_text(content)
        assert main(["hours", contacts, *MORNING]) == 2
        printed = capsys.readouterr()
        assert not printed.out
        assert problem in printed.err


def test_a_name_that_is_neither_a_file_nor_a_set_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hours", "us-fed"]) == 2
    assert "'us-fed' is neither a contact file nor the name of a set: " in capsys.readouterr().err


@pytest.mark.parametrize("svg", ["", "gone/x.svg"])
def test_a_chart_that_cannot_be_written_is_reported(
    svg: str, contacts: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["hours", contacts, *MORNING, "--svg", str(tmp_path / svg)]) == 2
    printed = capsys.readouterr().err
    assert "The chart cannot be written to" in printed
    assert "Choose another file." in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize("option", ["--on-invalid", "--max-rejects", "--on-empty"])
def test_the_chart_has_no_option_without_effect(option: str, contacts: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["hours", contacts, *MORNING, option, "fail"])
    assert f"unrecognized arguments: {option} fail" in capsys.readouterr().err
