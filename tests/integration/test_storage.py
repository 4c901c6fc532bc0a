"""Contact files, suppression lists, and rejects in object storage: a real S3 API on this machine, and the operator."""

from __future__ import annotations

import errno
import gzip
import json
import os
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_queuecalls import progress
from airflow_provider_queuecalls._airflow import storage
from airflow_provider_queuecalls._airflow.compat import AirflowFailException, object_storage_path
from airflow_provider_queuecalls.exceptions import CheckFailed, InvalidContacts, NotSent
from airflow_provider_queuecalls.operators.queuecalls import QueueCallsOperator
from airflow_provider_queuecalls.parameters import show_path
from airflow_provider_queuecalls.stopping import StopRequest
from tests.conftest import HOME
from tests.support import fault_server as faults
from tests.support.command import python
from tests.support.dag_run import run_dag_file
from tests.support.moved import for_this_airflow
from tests.support.multipart import parse
from tests.support.s3 import make_older

ANN, BOB, CAY = "16175550143", "16175550178", "12025550119"
QUEUED = b'<queuecalls status="queued"/>'
CONTEXT: Any = {
    "ti": SimpleNamespace(
        dag_id="reminders", task_id="call", run_id="manual__1", map_index=-1, try_number=1, max_tries=0
    )
}


@pytest.fixture
def service(connect: Any) -> Iterator[faults.FaultServer]:
    with faults.FaultServer(faults.answer(200, QUEUED)) as server:
        connect(server.url)
        yield server


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go; nothing may be left there."""
    directory = tmp_path / "tmp"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    return directory


def url(bucket: Any, key: str) -> str:
    return f"s3://storage@{bucket.name}/{key}"


def read(bucket: Any, key: str) -> str:
    return str(bucket.Object(key).get()["Body"].read(), "utf-8")


def run(**parameters: Any) -> dict[str, Any]:
    task = QueueCallsOperator(task_id="call", start_url="https://ivr.example.com/x.vxml", **parameters)
    return task.execute(CONTEXT)


def failure(**parameters: Any) -> BaseException:
    """The error beneath the failure that ends the task without a retry."""
    with pytest.raises(AirflowFailException) as caught:
        run(**parameters)
    return caught.value.__context__  # type: ignore[return-value]


def sent(service: faults.FaultServer) -> bytes:
    (post,) = service.posts
    (content,) = (p.content for p in parse(post.headers["content-type"], bytes(post.body)) if p.file_name)
    return content


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


DAG_FILE = """
from datetime import datetime, timezone
from airflow.sdk import DAG, task
from airflow_provider_queuecalls.parameters import show_path
from airflow_provider_queuecalls.operators.queuecalls import QueueCallsOperator
from airflow_provider_queuecalls.stopping import StopRequest

with DAG("all_in_storage", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc), catchup=False):
    QueueCallsOperator(
        task_id="queue", start_url="https://ivr.example.com/x", campaign_name="spring", on_invalid="skip",
        contacts="{bucket}/{{{{ dag.dag_id }}}}/calls.csv", suppress=["{bucket}/dnc.csv"],
        rejects_path="{bucket}/rejects.csv", receipts_path="{bucket}/receipts",
    )
"""


def test_a_dag_run_has_all_its_files_in_storage(  # noqa: PLR0917
    bucket: Any,
    database: None,
    service: faults.FaultServer,
    temporary: Path,
    request: pytest.FixtureRequest,
    capfd: pytest.CaptureFixture[str],
) -> None:
    bucket.put_object(Key="all_in_storage/calls.csv", Body=f"{ANN},ref\nnobody\n{BOB}\n".encode())
    bucket.put_object(Key="dnc.csv", Body=f"{BOB}\n".encode())
    file = HOME / "dags" / "all_in_storage.py"
    file.write_text(for_this_airflow(DAG_FILE.format(bucket=url(bucket, "").rstrip("/"))))
    request.addfinalizer(file.unlink)
    first, again = (run_dag_file(file, "all_in_storage", capfd) for _ in range(2))
    assert first.states == again.states == {"queue": "success"}
    assert sent(service) == f"{ANN},ref\n".encode()
    assert read(bucket, "rejects.csv").splitlines()[1:] == ["2,invalid_number,nobody", f"3,suppressed,{BOB}"]
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


def test_rejects_that_cannot_be_delivered_keep_the_campaign_from_being_sent(
    bucket: Any, service: faults.FaultServer
) -> None:
    bucket.put_object(Key="calls.csv", Body=f"{ANN}\n".encode())
    error = failure(contacts=url(bucket, "calls.csv"), rejects_path="s3://storage@no-such-bucket/rejects.csv")
    assert "The rejects file 's3://storage@no-such-bucket/rejects.csv'" in str(error)
    assert service.requests == []


def test_the_age_of_a_list_is_that_of_the_object(bucket: Any, service: faults.FaultServer) -> None:
    bucket.put_object(Key="calls.csv", Body=f"{ANN}\n".encode())
    bucket.put_object(Key="dnc.csv", Body=f"{BOB}\n".encode())
    run(contacts=url(bucket, "calls.csv"), suppress=[url(bucket, "dnc.csv")], suppress_max_age="1 hour", dry_run=True)
    make_older(bucket, "dnc.csv", timedelta(hours=1))
    error = failure(contacts=url(bucket, "calls.csv"), suppress=[url(bucket, "dnc.csv")], suppress_max_age="1 hour")
    assert "was last changed" in str(error)
    assert show_path(url(bucket, "dnc.csv")) in str(error)
    assert service.requests == []


@pytest.mark.parametrize("parameter", ["contacts", "suppress"])
@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("s3://storage@{bucket}/missing.csv", "does not exist"),
        ("s3://storage@no-such-bucket-at-all/calls.csv", "does not exist"),
        ("s3://undefined@{bucket}/calls.csv", "the connection in its URL is not defined"),
        ("nosuchscheme://bucket/calls.csv", "Airflow has no storage for this scheme"),
    ],
)
def test_a_file_that_cannot_be_fetched_is_named_and_nothing_is_sent(  # noqa: PLR0917
    location: str, words: str, parameter: str, bucket: Any, service: faults.FaultServer, temporary: Path
) -> None:
    bucket.put_object(Key="calls.csv", Body=f"{ANN}\n".encode())
    where = location.format(bucket=bucket.name)
    error = failure(**{"contacts": url(bucket, "calls.csv"), parameter: where})
    assert isinstance(error, InvalidContacts)
    assert words in str(error)
    assert show_path(where) in str(error)
    assert service.requests == []
    assert list(temporary.iterdir()) == []


def test_without_credentials_it_says_so(bucket: Any, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.put_object(Key="calls.csv", Body=f"{ANN}\n".encode())
    connection = {"conn_type": "aws", "extra": {"endpoint_url": s3_url, "region_name": "us-east-1"}}
    monkeypatch.setenv("AIRFLOW_CONN_KEYLESS", json.dumps(connection))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    error = failure(contacts=f"s3://keyless@{bucket.name}/calls.csv")
    assert "the credentials of its connection do not allow it" in str(error)


@pytest.fixture
def authenticating(s3_url: str) -> Iterator[None]:
    """The storage asks who it is, and knows nobody."""
    import requests

    ask = f"{s3_url}/moto-api/reset-auth"
    requests.post(ask, data=b"0", timeout=10).raise_for_status()
    yield
    requests.post(ask, data=b"inf", timeout=10).raise_for_status()


@pytest.mark.parametrize("parameter", ["contacts", "suppress", "rejects_path"])
def test_with_wrong_credentials_it_says_so(
    parameter: str, bucket: Any, service: faults.FaultServer, small_list: Path, authenticating: None
) -> None:
    error = failure(**{"contacts": str(small_list), parameter: url(bucket, "file.csv")})
    assert "the credentials of its connection do not allow it" in str(error)
    assert show_path(url(bucket, "file.csv")) in str(error)
    assert service.requests == []


def test_receipts_with_wrong_credentials_keep_the_campaign_from_being_sent(
    bucket: Any, service: faults.FaultServer, small_list: Path, authenticating: None
) -> None:
    with pytest.raises(
        NotSent, match=r"could not be read \(the credentials of its connection do not allow it \(PermissionError\)\)"
    ) as caught:
        run(contacts=str(small_list), receipts_path=url(bucket, "receipts"))
    assert show_path(url(bucket, "receipts"))[1:-1] in str(caught.value)
    assert service.requests == []


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("apache-airflow-providers-amazon", "Airflow has no storage for this scheme"),
        ("s3fs", "a library is not installed"),
    ],
)
def test_a_library_that_is_not_installed_is_named(missing: str, words: str, bucket: Any) -> None:
    with python(WITHOUT, missing, url(bucket, "calls.csv")) as process:
        printed, errors = process.communicate()
    assert words in printed, printed + errors
    assert "apache-airflow-providers-amazon[s3fs]" in printed


WITHOUT = """
import importlib.metadata, sys
import importlib_metadata

def hide(module):
    discover = module.Distribution.discover
    module.Distribution.discover = lambda *a, **k: (d for d in discover(*a, **k) if d.metadata["Name"] != sys.argv[1])

hide(importlib.metadata), hide(importlib_metadata)
if sys.argv[1] == "s3fs":
    sys.modules["s3fs"] = None
from airflow_provider_queuecalls._airflow.storage import fetched
from airflow_provider_queuecalls.stopping import StopRequest
try:
    with fetched(sys.argv[2], "The contact file", print, StopRequest()):
        pass
except Exception as error:
    print(type(error).__name__, error)
"""


def test_a_storage_that_is_down_may_be_tried_again(monkeypatch: pytest.MonkeyPatch, connect: Any) -> None:
    connect("http://127.0.0.1:1")
    extra = {"endpoint_url": "http://127.0.0.1:1", "config_kwargs": {"retries": {"max_attempts": 0}}}
    connection = {"conn_type": "aws", "login": "key", "password": "secret-key", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_DOWN", json.dumps(connection))
    with pytest.raises(CheckFailed, match="It is safe to try again") as caught:
        run(contacts="s3://down@bucket/calls.csv")
    assert "secret-key" not in str(caught.value)


def test_there_must_be_room_before_anything_is_fetched(bucket: Any, connect: Any, mocker: Any) -> None:
    connect("http://127.0.0.1:1")
    bucket.put_object(Key="calls.csv", Body=b"x" * 1000)
    mocker.patch("shutil.disk_usage", return_value=SimpleNamespace(free=500))
    with pytest.raises(CheckFailed, match="has room for 0 MB"):
        run(contacts=url(bucket, "calls.csv"))


def test_a_disk_that_fills_up_while_fetching_leaves_nothing_behind(
    bucket: Any, service: faults.FaultServer, temporary: Path, mocker: Any
) -> None:
    bucket.put_object(Key="calls.csv", Body=f"{ANN}\n".encode())
    full = OSError(errno.ENOSPC, "No space left on device")
    mocker.patch.object(storage, "write_all", side_effect=full)
    with pytest.raises(CheckFailed, match=r"could not be read \(No space left on device; make room in "):
        run(contacts=url(bucket, "calls.csv"))
    mocker.stopall()
    assert service.requests == []
    assert list(temporary.iterdir()) == []


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


def test_a_password_in_a_url_is_not_shown() -> None:
    error = failure(contacts="nosuchscheme://bob:4711@host/calls.csv?token=4711")
    assert "nosuchscheme://bob:***@host/calls.csv" in str(error)
    assert "4711" not in str(error)


@pytest.fixture(autouse=True)
def a_connection(connect: Any, airflow: Any) -> None:
    connect("http://127.0.0.1:1")
