"""Files in object storage that cannot be read or written: what the errors say, and that nothing is sent."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_queuecalls._airflow import storage
from airflow_provider_queuecalls.exceptions import CheckFailed, InvalidContacts, NotSent
from airflow_provider_queuecalls.parameters import show_path
from tests.support import fault_server as faults
from tests.support.command import Program
from tests.support.in_storage import failure, run, url

ANN = "16175550143"


@pytest.mark.parametrize("parameter", ["contacts", "suppress"])
@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("s3://storage@{bucket}/missing.csv", "does not exist"),
        ("s3://storage@no-such-bucket-at-all/calls.csv", "does not exist"),
        ("s3://undefined@{bucket}/calls.csv", "the connection in its URL is not defined"),
        ("nosuchscheme://bucket/calls.csv", "Airflow has no storage for this scheme"),
        ("s3://storage@{bucket}", "its URL or connection is not accepted (ValueError)"),
        ("s3://no_scheme@{bucket}/calls.csv", "its URL or connection is not accepted (ValueError)"),
    ],
)
def test_a_file_that_cannot_be_fetched_is_named_and_nothing_is_sent(  # noqa: PLR0917
    location: str,
    words: str,
    parameter: str,
    bucket: Any,
    service: faults.FaultServer,
    temporary: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connection = {"conn_type": "aws", "login": "key", "password": "s", "extra": {"endpoint_url": "localhost:9000"}}
    monkeypatch.setenv("AIRFLOW_CONN_NO_SCHEME", json.dumps(connection))
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
    requests.post(ask, data=b"0", timeout=60).raise_for_status()
    yield
    requests.post(ask, data=b"inf", timeout=60).raise_for_status()


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
    with Program(WITHOUT, missing, url(bucket, "calls.csv")) as process:
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


def test_a_password_in_a_url_is_not_shown() -> None:
    error = failure(contacts="nosuchscheme://bob:4711@host/calls.csv?token=4711")
    assert "nosuchscheme://bob:***@host/calls.csv" in str(error)
    assert "4711" not in str(error)


@pytest.fixture(autouse=True)
def a_connection(connect: Any, airflow: Any) -> None:
    connect("http://127.0.0.1:1")
