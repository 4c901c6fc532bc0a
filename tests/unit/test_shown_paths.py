"""What messages show of a value in place of a path: never data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_queuecalls.contacts import ContactRules, check
from airflow_provider_queuecalls.exceptions import InvalidContacts
from airflow_provider_queuecalls.parameters import path_to_show, show_path

NUMBER = "17775550100"


@pytest.mark.parametrize(
    "path",
    [
        "/data/outreach/calls.csv", "calls.csv", "./calls", "../out/today.CSV.GZ", "~/calls",
        "/data/2026-01-05/calls-20260105.csv", "/data/20260105T060000/part-0001.csv",
        "/data/manual__2026-01-05T06:00:00+00:00/calls.csv", "/data/2026-01-05T06:00:00.123456Z.csv",
        "s3://conn@bucket/out/calls.csv", "do-not-call.qc", "calls.jsonl", "calls.ndjson", "/data/with blanks/Märchen.csv",
    ],
)  # fmt: skip
def test_a_path_is_shown(path: str) -> None:
    assert path_to_show(path) == path
    assert show_path(Path("/data/calls.csv")) == "'/data/calls.csv'"


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (f"/data/{NUMBER}.csv", "/data/###########.csv"),
        (f"/data/{NUMBER}/calls.csv", "/data/###########/calls.csv"),
        ("/data/+1 (777) 555-0100.csv", "/data/+# (###) ###-####.csv"),
        ("/data/2026-01-05-7775550100.csv", "/data/####-##-##-##########.csv"),
        ("/data/\u0661\u0667\u0667\u0667\u0665\u0665\u0665.csv", "/data/#######.csv"),
        ("s3://conn@bucket/%31%37%37%37%35%35%35", "s3://conn@bucket/%##%##%##%##%##%##%##"),
        ("s3://key:secret@bucket/x.csv", "s3://key:***@bucket/x.csv"),
        ("s3://key:sec/r@t@bucket/x.csv", "s3://key:***@bucket/x.csv"),
        ("s3://key:sec?r@t@bucket/x.csv", "s3://…"),
        ("https://host/x.csv?token=secret", "https://host/x.csv"),
        ("/" + "x" * 300, "/" + "x" * 199 + "…"),
    ],
)
def test_numbers_and_secrets_in_a_path_are_not_shown(path: str, shown: str) -> None:
    assert path_to_show(path) == shown


@pytest.mark.parametrize(
    "value",
    [
        *(NUMBER, f"{NUMBER},REF-88", f"REF|{NUMBER}", "REF-88", "Ann Lee", "ann.lee@example.com", "0171/123456"),
        *(f"phone_number\n{NUMBER}\n", f"/{NUMBER},REF-88.csv", "/data/REF;88.csv", f"x\n{NUMBER}.csv", 'say "hi".csv'),
        *("/tmp/\u202e.csv", b"/data/calls.csv", 17775550100, None, ["/data/calls.csv"]),
    ],
)
def test_a_value_that_is_not_a_path_is_not_shown(value: Any) -> None:
    assert path_to_show(value) is None
    assert show_path(value).startswith("(")


@pytest.mark.parametrize("value", [f"{NUMBER},REF-88", f"REF-88|{NUMBER}", NUMBER, f"/data/{NUMBER}.csv"])
def test_data_in_place_of_a_path_appears_in_no_message(value: str, tmp_path: Path) -> None:
    good = tmp_path / "calls.csv"
    good.write_text(f"{NUMBER}\n")
    for path, lists in ((value, None), (good, [value])):
        with pytest.raises(InvalidContacts) as caught:
            check(path, ContactRules(suppress=lists))
        assert "does not exist on" in str(caught.value)
        assert NUMBER not in str(caught.value)
        assert "REF-88" not in str(caught.value)


def test_a_file_named_after_a_number_is_checked_and_not_named(tmp_path: Path) -> None:
    path = tmp_path / f"{NUMBER}.csv"
    path.write_text("nobody\n")
    with pytest.raises(InvalidContacts, match="are rejected") as caught:
        check(path)
    assert NUMBER not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ([NUMBER, NUMBER], "a list of 2"),
        (({"phone_number": NUMBER},), "a tuple of 1"),
        ({"phone_number": NUMBER}, "a dict of 1"),
        (17775550100, "an int"),
        (iter(()), "a tuple_iterator"),
    ],
)
def test_contacts_in_place_of_a_path_are_told_what_takes_them(value: Any, kind: str) -> None:
    with pytest.raises(InvalidContacts) as caught:
        check(value)
    assert f"The contact file is given as {kind}, not as a path" in str(caught.value)
    assert "@task.queuecalls" in str(caught.value)
    assert NUMBER not in str(caught.value)


def test_a_dataframe_in_place_of_a_path_is_told_what_takes_it() -> None:
    import pandas

    with pytest.raises(InvalidContacts, match=r"is given as a DataFrame of 2, not as a path.*@task\.queuecalls"):
        check(pandas.DataFrame({"phone_number": [NUMBER] * 2}))
