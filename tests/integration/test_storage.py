"""Contact files, suppression lists, and rejects in object storage: a real S3 API on this machine, and the operator."""

from __future__ import annotations

import gzip
import json
import os
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_queuecalls import progress
from airflow_provider_queuecalls._airflow import storage
from airflow_provider_queuecalls._airflow.compat import AirflowFailException, object_storage_path
from airflow_provider_queuecalls.contacts.split.parameters import RECORD
from airflow_provider_queuecalls.contacts.suppression.building import build_suppression_list
from airflow_provider_queuecalls.exceptions import InvalidContacts, NotSent
from airflow_provider_queuecalls.operators.split_contacts import SplitContactsOperator
from airflow_provider_queuecalls.parameters import show_path
from airflow_provider_queuecalls.stopping import StopRequest
from tests.support import fault_server as faults
from tests.support.in_storage import failure, read, run, sent, url
from tests.support.logs import everything_logged
from tests.support.s3 import make_older

ANN, BOB, CAY = "16175550143", "16175550178", "12025550119"


def test_an_object_is_sent_as_it_is(bucket: Any, service: faults.FaultServer, temporary: Path) -> None:
    content = f"{ANN},ref,Märchen\n{BOB}\n".encode()
    bucket.put_object(Key="out/calls.csv", Body=content)
    assert run(contacts=url(bucket, "out/calls.csv"))["contacts"] == 2
    assert sent(service) == content
    assert list(temporary.iterdir()) == []


def test_a_path_object_leads_there_too(bucket: Any, service: faults.FaultServer) -> None:
    bucket.put_object(Key="calls.csv", Body=f"{ANN}\n".encode())
    bucket.put_object(Key="dnc.csv", Body=f"{BOB}\n".encode())
    run(
        contacts=object_storage_path(url(bucket, "calls.csv")),
        suppress=[object_storage_path(url(bucket, "dnc.csv"))],
        rejects_path=object_storage_path(url(bucket, "rejects.csv")),
    )
    assert sent(service) == f"{ANN}\n".encode()
    assert read(bucket, "rejects.csv").startswith("line,reason,")


def test_a_built_suppression_list_keeps_its_age(bucket: Any, service: faults.FaultServer, tmp_path: Path) -> None:
    listed, built = tmp_path / "dnc.csv", tmp_path / "dnc.qc"
    listed.write_text(f"{BOB}\n")
    os.utime(listed, (time.time() - 5 * 86_400,) * 2)
    build_suppression_list(built, [listed])
    bucket.put_object(Key="calls.csv", Body=f"{ANN}\n{BOB}\n".encode())
    bucket.put_object(Key="dnc.qc", Body=built.read_bytes())
    given = {"contacts": url(bucket, "calls.csv"), "suppress": url(bucket, "dnc.qc")}
    assert run(**given, suppress_max_age=6)["suppressed"] == 1
    assert sent(service) == f"{ANN}\n".encode()
    assert "was built of a list that was last changed 5 days ago" in str(failure(**given, suppress_max_age=4))


@pytest.mark.parametrize("shape", ["{}", "file://{}", "file://localhost{}", "FILE://{}"])
def test_a_file_url_is_a_local_path(shape: str, tmp_path: Path, service: faults.FaultServer) -> None:
    path = tmp_path / "calls.csv"
    path.write_text(f"{ANN}\n")
    run(contacts=shape.format(path))
    assert sent(service) == f"{ANN}\n".encode()


def test_a_file_url_of_another_machine_is_refused() -> None:
    assert "three slashes" in str(failure(contacts="file://server/calls.csv"))


def test_everything_may_lie_in_storage(bucket: Any, service: faults.FaultServer, temporary: Path) -> None:
    bucket.put_object(Key="calls.csv", Body=f"{ANN},=1+1\n{BOB}\nnobody\n{ANN}\n".encode())
    bucket.put_object(Key="dnc.csv", Body=f"+1 {BOB[1:4]} {BOB[4:7]} {BOB[7:]}\n".encode())
    result = run(
        contacts=url(bucket, "calls.csv"),
        suppress=[url(bucket, "dnc.csv")],
        suppress_max_age="1 day",
        rejects_path=url(bucket, "rejects/today.csv"),
        on_invalid="skip",
        duplicates="drop",
    )
    assert {name: result[name] for name in ("contacts", "rejected", "duplicates", "suppressed")} == {
        "contacts": 1, "rejected": 1, "duplicates": 1, "suppressed": 1,
    }  # fmt: skip
    assert sent(service) == f"{ANN},=1+1\n".encode()
    assert read(bucket, "rejects/today.csv").splitlines() == [
        "line,reason,phone_number,message_reference,call_parameter",
        f"2,suppressed,{BOB}",
        "3,invalid_number,nobody",
        f"4,duplicate,{ANN}",
    ]
    assert list(temporary.iterdir()) == []


TASK = """QueueCallsOperator(
    task_id="queue", start_url="https://ivr.example.com/x", campaign_name="spring", on_invalid="skip", has_header=True,
    contacts="{bucket}/{{{{ dag.dag_id }}}}/calls.csv", suppress=["{bucket}/dnc.csv"],
    rejects_path="{bucket}/rejects.csv", receipts_path="{bucket}/receipts",
)"""


def test_a_dag_run_has_all_its_files_in_storage(
    bucket: Any, run_tasks: Any, service: faults.FaultServer, temporary: Path
) -> None:
    content = f"phone_number,message_reference,age\n{ANN},ref,44\nnobody\n{BOB}\n"
    bucket.put_object(Key="all_in_storage/calls.csv", Body=content.encode())
    bucket.put_object(Key="dnc.csv", Body=f"{BOB}\n".encode())
    task = TASK.format(bucket=url(bucket, "").rstrip("/"))
    first, again = (run_tasks(task, dag_id="all_in_storage") for _ in range(2))
    assert first.states == again.states == {"queue": "success"}
    assert sent(service) == f"{ANN},ref\n".encode()
    assert read(bucket, "rejects.csv").splitlines()[1:] == ["3,invalid_number,nobody", f"4,suppressed,{BOB}"]
    assert "Columns that are not sent: 'age'." in first.printed
    _intent, receipt = bucket.objects.filter(Prefix="receipts/")
    assert json.loads(receipt.get()["Body"].read())["result"] == first.xcom == again.xcom
    assert "was already queued" in again.printed
    assert list(temporary.iterdir()) == []


def test_rejects_are_delivered_also_when_the_check_fails(bucket: Any, service: faults.FaultServer) -> None:
    bucket.put_object(Key="calls.csv", Body=f"{ANN}\nnobody\n".encode())
    error = failure(contacts=url(bucket, "calls.csv"), rejects_path=url(bucket, "rejects.csv"))
    assert isinstance(error, InvalidContacts)
    assert show_path(url(bucket, "calls.csv")) in str(error)
    assert "2,invalid_number,nobody" in read(bucket, "rejects.csv")
    assert service.requests == []


def test_a_folder_in_storage_has_the_parts_of_one_split(bucket: Any, temporary: Path) -> None:
    given: dict[str, Any] = {
        "contacts": url(bucket, "calls.csv"),
        "folder": url(bucket, "parts"),
        "campaign_name": "spring",
    }

    def split(**parameters: Any) -> Any:
        task = SplitContactsOperator(task_id="split", calling_hours="08:00-21:00", **{**given, **parameters})
        planned = SimpleNamespace(run_after=datetime(2099, 1, 15, 11, tzinfo=timezone.utc))
        ti = SimpleNamespace(dag_id="d", task_id="split", run_id="r", map_index=-1)
        return task.execute({"ti": ti, "dag_run": planned})  # type: ignore[typeddict-item]

    bucket.put_object(Key="calls.csv", Body=f"{ANN}\n{CAY}\n".encode())
    bucket.put_object(Key="tomorrow.csv", Body=f"{BOB}\n".encode())
    parts = split(carry_over_path=url(bucket, "tomorrow.csv"))
    assert [part["campaign_name"] for part in parts] == ["spring.2099-01-15T1315Z_2099-01-16T0155Z_1"]
    assert parts[0]["contacts"].startswith(url(bucket, "parts/2099"))
    assert read(bucket, "tomorrow.csv") == ""
    record = read(bucket, f"parts/{RECORD}")
    assert json.loads(record)["campaign_name"] == "spring"
    assert split() == parts
    bucket.put_object(Key="calls.csv", Body=f"{BOB}\n{ANN}\n{CAY}\n".encode())
    with pytest.raises(AirflowFailException, match=r"has the parts of another split\. What differs: the list"):
        split()
    assert read(bucket, f"parts/{RECORD}") == record
    assert read(bucket, parts[0]["contacts"].partition("/parts/")[2].join(("parts/", ""))) == f"{ANN}\n{CAY}\n"
    # Of two tries at the same moment, the second finds the record of the first.
    path = storage.remote_path(url(bucket, f"parts/{RECORD}"))
    assert not storage.create_object(path.fs, path.path, b"other")
    assert storage.keep_first(url(bucket, f"parts/{RECORD}"), b"other", "The record of the split") == record.encode()
    same = {"rejects_path": url(bucket, "x/../same.csv"), "carry_over_path": url(bucket, "same.csv")}
    with pytest.raises(AirflowFailException, match=r"The rejects file .* would be replaced"):
        split(folder=url(bucket, "others"), **same)
    assert list(temporary.iterdir()) == []


def test_a_stopped_task_replaces_no_file(bucket: Any, temporary: Path) -> None:
    bucket.put_object(Key="next.csv", Body=b"of yesterday")
    stop = StopRequest()

    def write() -> None:
        with storage.writable_copy(url(bucket, "next.csv"), "The list", stop) as path:
            Path(path or "").write_text("of today")
            stop.request()

    with pytest.raises(NotSent, match="was stopped"):
        write()
    assert read(bucket, "next.csv") == "of yesterday"
    assert list(temporary.iterdir()) == []


def test_rejects_that_cannot_be_delivered_keep_the_campaign_from_being_sent(
    bucket: Any, service: faults.FaultServer
) -> None:
    bucket.put_object(Key="calls.csv", Body=f"{ANN}\n".encode())
    error = failure(contacts=url(bucket, "calls.csv"), rejects_path="s3://storage@no-such-bucket/rejects.csv")
    assert "The rejects file 's3://storage@no-such-bucket/rejects.csv'" in str(error)
    assert service.requests == []


def test_rejects_that_cannot_be_delivered_do_not_hide_why_the_check_failed(
    bucket: Any, service: faults.FaultServer
) -> None:
    bucket.put_object(Key="calls.csv", Body=f"{ANN}\nnobody\n".encode())
    with everything_logged() as logs:
        error = failure(contacts=url(bucket, "calls.csv"), rejects_path="s3://storage@no-such-bucket/rejects.csv")
    assert isinstance(error, InvalidContacts)
    assert "invalid_number" in str(error)
    assert [log for log in logs if "The rejects file 's3://storage@no-such-bucket/rejects.csv' c" in log.message]
    assert service.requests == []


@pytest.mark.parametrize(
    "alias",
    [
        "s3://storage@{}/out/calls.csv",
        " s3://storage@{}/out/calls.csv",
        "s3://{}/out/calls.csv",
        "S3A://another@{}/out/../out//calls.csv",
    ],
)
@pytest.mark.parametrize("role", ["contacts", "suppress"])
def test_rejects_never_replace_a_file_that_is_read(
    bucket: Any, service: faults.FaultServer, tmp_path: Path, alias: str, role: str
) -> None:
    """Refused before the file is read: here it does not even exist."""
    contacts = tmp_path / "calls.csv"
    contacts.write_text(f"{ANN}\n")
    files = {"contacts": contacts, role: url(bucket, "out/calls.csv")}
    for rejects_path in (alias.format(bucket.name), object_storage_path(url(bucket, "out/calls.csv"))):
        error = failure(**files, rejects_path=rejects_path)
        assert isinstance(error, InvalidContacts)
        assert f"{show_path(url(bucket, 'out/calls.csv'))} and rejects_path are the same file" in str(error)
    assert list(bucket.objects.all()) == service.requests == []


def test_the_age_of_a_list_is_that_of_the_object(bucket: Any, service: faults.FaultServer) -> None:
    bucket.put_object(Key="calls.csv", Body=f"{ANN}\n".encode())
    bucket.put_object(Key="dnc.csv", Body=f"{BOB}\n".encode())
    run(contacts=url(bucket, "calls.csv"), suppress=[url(bucket, "dnc.csv")], suppress_max_age="1 hour", dry_run=True)
    make_older(bucket, "dnc.csv", timedelta(hours=1))
    error = failure(contacts=url(bucket, "calls.csv"), suppress=[url(bucket, "dnc.csv")], suppress_max_age="1 hour")
    assert "was last changed" in str(error)
    assert show_path(url(bucket, "dnc.csv")) in str(error)
    assert service.requests == []


def test_a_long_fetch_logs_its_progress_and_ends_with_a_stop(bucket: Any, temporary: Path, mocker: Any) -> None:
    bucket.put_object(Key="calls.csv", Body=b"x" * (9 << 20))
    mocker.patch.object(progress, "INTERVAL_SECONDS", 0)
    logged: list[str] = []

    def log(text: str, *values: object) -> None:
        logged.append(text % values)
        if len(logged) == 6:
            stop.request()

    stop = StopRequest()
    with storage.fetched(url(bucket, "calls.csv"), "The contact file", log, stop) as path:
        assert logged[0].startswith("Fetched 4 of 9 MB (44 %) of 's3://storage@")
        assert Path(path).stat().st_size == 9 << 20
    assert len(logged) == 4
    with (
        pytest.raises(NotSent, match="was stopped"),
        storage.fetched(url(bucket, "calls.csv"), "The contact file", log, stop),
    ):
        pytest.fail("was fetched to the end")
    assert len(logged) == 6
    assert list(temporary.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system has no path for an open file")
def test_a_copy_has_no_name_so_nothing_is_left_of_a_killed_process(bucket: Any, temporary: Path) -> None:
    bucket.put_object(Key="calls.csv", Body=f"{ANN}\n".encode())
    with storage.fetched(url(bucket, "calls.csv"), "The contact file", print, StopRequest()) as path:
        assert list(temporary.iterdir()) == []
        assert Path(path).read_text() == f"{ANN}\n"


def test_compressed_objects_are_unpacked(bucket: Any, service: faults.FaultServer, temporary: Path) -> None:
    content = f"{ANN},ref\n{BOB}\n{CAY}\n".encode()
    bucket.put_object(Key="calls.csv.gz", Body=gzip.compress(content))
    bucket.put_object(Key="dnc.csv.gz", Body=gzip.compress(f"{CAY}\n".encode()))
    result = run(contacts=url(bucket, "calls.csv.gz"), suppress=[url(bucket, "dnc.csv.gz")])
    assert (result["contacts"], result["suppressed"]) == (2, 1)
    assert sent(service) == f"{ANN},ref\n{BOB}\n".encode()
    assert b'filename="calls.csv"' in bytes(service.posts[0].body)
    assert list(temporary.iterdir()) == []


@pytest.fixture(autouse=True)
def a_connection(connect: Any, airflow: Any) -> None:
    connect("http://127.0.0.1:1")
