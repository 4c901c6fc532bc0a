"""The probable cause where most rows are rejected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_queuecalls.cli import main
from airflow_provider_queuecalls.contacts import ContactRules, check
from airflow_provider_queuecalls.exceptions import InvalidContacts

NUMBERS = [f"1617555{number:04}" for number in range(100, 130)]
ROWS = "".join(f"{number},ref\n" for number in NUMBERS)


def cause(tmp_path: Path, content: str | bytes, **rules: Any) -> str:
    """The sentences in front of the counts; empty if there are none."""
    path = tmp_path / "calls.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InvalidContacts) as caught:
        check(path, ContactRules(**rules))
    message = str(caught.value)
    assert not any(number in message for number in NUMBERS)
    first = message.partition("\n")[0]
    assert first.startswith(f"The contact file '{path}' was not sent")
    return first.partition(" was not sent. ")[2].rpartition(f"{caught.value.report.rejected} of ")[0].strip()


@pytest.mark.parametrize(
    ("content", "fact", "advice"),
    [
        (ROWS.replace(",", ";"), "its cells are separated by semicolons", "Set delimiter=';'."),
        (ROWS.replace(",", "\t"), "its cells are separated by tabs", "Set delimiter='\\t'."),
        (ROWS.replace(",", "|"), "its cells are separated by '|'", "Set delimiter='|'."),
        ("".join(f"id,{n}\n" for n in ["phone_number", *NUMBERS]), "its first row names the columns",
         "Set has_header=True."),
        ("".join(f'"{n}","a, b"\n' for n in NUMBERS), "its cells are quoted", "Set quoting='allow'."),
        ("".join(f"{n[1:]}\n" for n in NUMBERS), "its numbers lack the leading 1, or have spaces or other signs",
         "Set normalize=True."),
        ("".join(f" {n} \n" for n in NUMBERS), "or have spaces", "Set normalize=True."),
        ("".join(f"+{n}\n" for n in NUMBERS), "or have spaces or other signs", "Set normalize=True."),
        ("".join(f"+442071838{n[-3:]}\n" for n in NUMBERS), "those of other countries", "Set phone_format='vendor'."),
        ("Ref;Mobile\n" + "".join(f"x;{n[1:]}\n" for n in NUMBERS),
         "separated by semicolons and its first row names the columns and its numbers lack the leading 1",
         "Set delimiter=';' and has_header=True and normalize=True and columns={'message_reference': 'Ref', 'phone_number': 'Mobile'}."),
        ("Ref;Mobile No.\n" + "".join(f"x;{n}\n" for n in NUMBERS), "its first row names the columns",
         "Set delimiter=';' and has_header=True and columns={…}."),
        (ROWS.encode("utf-16-le"), "it is UTF-16, little-endian", "Write it as UTF-8"),
        (ROWS.encode("utf-16-be"), "it is UTF-16, big-endian", "Write it as UTF-8"),
        (ROWS.replace("ref", "Müller").encode("latin-1"), "it is Windows-1252 or Latin-1", "Write it as UTF-8"),
        (ROWS.replace("ref", "Müller").replace(",", ";").encode("latin-1"),
         "it is Windows-1252 or Latin-1 and its cells are separated by semicolons",
         "Write it as UTF-8 with at most one byte-order mark and set delimiter=';'."),
        (b"\xef\xbb\xbf" * 2 + f"{NUMBERS[0]}\n".encode(), "it begins with two byte-order marks", "Write it as UTF-8"),
    ],
)  # fmt: skip
def test_a_cause_that_can_be_seen_is_named_with_what_helps(
    content: str | bytes, fact: str, advice: str, tmp_path: Path
) -> None:
    sentences = cause(tmp_path, content)
    assert fact in sentences
    assert sentences.startswith("Probable cause: ")
    assert advice in sentences


def test_the_cause_is_right(tmp_path: Path) -> None:
    sentences = cause(tmp_path, "Ref;Mobile\n" + "".join(f"x;{n[1:]}\n" for n in NUMBERS))
    settings = dict(eval(f"dict({sentences.partition('Set ')[2].rstrip('.').replace(' and ', ', ')})"))
    with check(tmp_path / "calls.csv", ContactRules(**settings)) as found:
        assert found.report.valid == len(NUMBERS)


@pytest.mark.parametrize(
    "content",
    [
        "nobody\n" * 30,
        ROWS + "nobody\n" * 100,
        ROWS + "nobody\n",
        "1.6E+10\n" * 30,
        "x" * 100_000,
        "\x00" * 100,
    ],
)
def test_without_a_cause_none_is_named(content: str, tmp_path: Path) -> None:
    assert not cause(tmp_path, content)


def test_the_command_prints_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "calls.csv"
    path.write_text(ROWS.replace(",", ";"))
    assert main(["check", str(path)]) == 1
    assert "Probable cause: its cells are separated by semicolons. Set delimiter=';'." in capsys.readouterr().err
