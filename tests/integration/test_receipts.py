"""Receipts where they are kept: in a folder of this machine, and in a real S3 API."""

from __future__ import annotations

import errno
import itertools
import json
import os
import threading
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_queuecalls._airflow import receipts as receipts_module
from airflow_provider_queuecalls._airflow import stores as stores_module
from airflow_provider_queuecalls._airflow.compat import AirflowFailException
from airflow_provider_queuecalls._airflow.stores import RemoteStore
from airflow_provider_queuecalls.exceptions import NotSent
from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook
from airflow_provider_queuecalls.operators.queuecalls import QueueCallsOperator
from tests.conftest import Connect
from tests.support import fault_server as faults
from tests.support.logs import everything_logged
from tests.support.moved import AIRFLOW, IS_AIRFLOW_2
from tests.support.patience import PATIENCE_SECONDS
from tests.support.s3 import first_writers_meet, s3_connection
from tests.support.sending import FORKSERVER, send, send_and_tell, send_and_tell_from_a_process, senders_meet
from tests.support.task import execute

if TYPE_CHECKING:
    from pytest_mock import MockerFixture

SENDERS = 2


@pytest.fixture
def sends(small_list: Path, receipts: str) -> Callable[..., dict[str, Any]]:
    return lambda **changes: send(**{"contacts": str(small_list), "receipts_path": receipts, **changes})


def at_once_in_threads(*arguments: Any) -> None:
    with senders_meet(threading.Barrier(SENDERS)):
        run_all(threading.Thread, send_and_tell, *arguments)


def at_once_in_processes(*arguments: Any) -> None:
    given = (FORKSERVER.Barrier(SENDERS), dict(os.environ), *arguments)
    workers = run_all(FORKSERVER.Process, send_and_tell_from_a_process, *given)
    assert [worker.exitcode for worker in workers] == [0] * SENDERS


def run_all(kind: Any, target: Any, *arguments: Any) -> list[Any]:
    workers = [kind(target=target, args=(*arguments, f"run-{number}"), daemon=True) for number in range(SENDERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return workers


@pytest.mark.parametrize(
    "at_once",
    [
        pytest.param(
            at_once_in_threads, marks=pytest.mark.skipif(IS_AIRFLOW_2, reason="there, threads run no operators")
        ),
        at_once_in_processes,
    ],
)
def test_of_several_at_the_same_moment_one_sends(
    at_once: Any, receipts: str, small_list: Path, service: faults.FaultServer
) -> None:
    outcomes = FORKSERVER.Queue()
    with first_writers_meet(SENDERS) if receipts.startswith("s3:") else nullcontext():
        at_once(outcomes, {"contacts": str(small_list), "receipts_path": receipts})
    came = [outcomes.get(timeout=PATIENCE_SECONDS) for _ in range(SENDERS)]
    assert len(service.uploads) == 1, came
    assert [outcome for outcome, _ in came].count("queued") == 1, came
    ((outcome, words),) = [one for one in came if one[0] != "queued"]
    assert outcome in ("AlreadySent", "OutcomeUnknown"), words
    assert "'spring'" in words
    assert "sent nothing" in words or "still be under way" in words


@pytest.mark.parametrize("obeyed", [True, False])
def test_a_bucket_creates_an_entry_once_if_it_obeys_the_condition(
    obeyed: bool, bucket: Any, mocker: MockerFixture
) -> None:
    from moto.s3.responses import S3Response

    put, conditions = S3Response.put_object, []

    def received(request: S3Response) -> Any:
        conditions.append(request.headers.get("If-None-Match"))
        if not obeyed:
            request.headers = {name: value for name, value in request.headers.items() if name != "If-None-Match"}
        return put(request)

    mocker.patch.object(S3Response, "put_object", received)
    store = RemoteStore(f"s3://storage@{bucket.name}/receipts", "spring")
    assert (store.exclusive, store.probe()) == (obeyed, obeyed)
    assert [store.create(1, {"try_number": number}) for number in (1, 2)] == [True, not obeyed]
    assert store.last() == (1, {"try_number": 1 if obeyed else 2})
    assert conditions == ["*"] * 6
    names = [file.key for file in bucket.objects.all()]
    assert names == ["receipts/queuecalls-records.txt", "receipts/spring/000001.json"]


def test_a_storage_that_does_not_respond_holds_a_task_for_a_minute_at_most(
    service: faults.FaultServer, small_list: Path, mocker: MockerFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stores_module.OPERATION_SECONDS == 60
    mocker.patch.object(stores_module, "OPERATION_SECONDS", 0.5)
    with faults.FaultServer(faults.hang()) as silent:
        monkeypatch.setenv("AIRFLOW_CONN_SILENT", s3_connection(silent.url))
        with pytest.raises(NotSent, match="did not respond in time"):
            send(contacts=str(small_list), receipts_path="s3://silent@bucket/receipts")
    assert service.uploads == []


def test_a_receipt_is_kept_and_returned_to_whoever_comes_next(sends: Any, service: faults.FaultServer) -> None:
    first = sends()
    assert sends(run_id="manual__2") == first
    assert len(service.posts) == 1


def test_another_list_under_the_name_is_not_sent(
    sends: Any, small_list: Path, tmp_path: Path, service: faults.FaultServer
) -> None:
    sends()
    other = tmp_path / "other.csv"
    other.write_text(small_list.read_text().splitlines()[0])
    with pytest.raises(AirflowFailException, match=r"with a list that differs from this one: .* Nothing was sent"):
        sends(contacts=str(other), run_id="manual__2")
    assert len(service.posts) == 1
    assert sends(contacts=str(other), campaign_name="summer")["outcome"] == "queued"


def test_a_campaign_that_was_refused_leaves_nothing_on_record(sends: Any, connect: Any) -> None:
    with faults.FaultServer(faults.respond(403), faults.QUEUED) as server:
        connect(server.url)
        with pytest.raises(AirflowFailException, match="refused"):
            sends()
        assert sends()["outcome"] == "queued"


def test_a_lost_response_stops_whoever_comes_next(sends: Any, connect: Any) -> None:
    with faults.FaultServer(faults.close(), faults.QUEUED) as server:
        connect(server.url)
        for words in ("the connection was closed without a response", "try 1 on "):
            with pytest.raises(AirflowFailException, match=words):
                sends()
        assert len(server.posts) == 1


def test_a_check_that_fails_says_what_an_earlier_try_has_sent(
    sends: Any, small_list: Path, bucket: Any, connect: Any
) -> None:
    """Else somebody sends the list under another name, since its task failed and says that nothing was sent."""
    is_gone = {"contacts": str(small_list.with_name("gone.csv"))}
    is_gone_from_a_storage = {"contacts": f"s3://storage@{bucket.name}/gone.csv"}
    with faults.FaultServer(faults.QUEUED, faults.close()) as server:
        connect(server.url)
        for changes in (is_gone, {"max_rejects": -1}):
            assert "try 1" not in fails(sends, **changes)
        sends()
        for changes in (is_gone, is_gone_from_a_storage, {"max_rejects": -1}, {"max_per_period": "often"}):
            message = fails(sends, **changes)
            assert "\nCampaign 'spring' was already queued by try 1 on host " in message
            assert message.endswith(" If this is a retry, leave the task as it is.")
        fails(sends, campaign_name="summer")
        assert "\nCampaign 'summer' may be queued: try 1 on host " in fails(sends, campaign_name="summer", **is_gone)
        assert len(server.posts) == 2


def test_a_check_that_fails_says_so_if_the_record_cannot_be_read(service: faults.FaultServer, tmp_path: Path) -> None:
    message = fails(send, contacts="/no/such/file.csv", receipts_path=str(tmp_path / "no such folder"))
    assert message.startswith("The contact file '/no/such/file.csv' does not exist")
    assert "\nThe record of campaign 'spring' in " in message


def fails(sends: Callable[..., Any], **changes: Any) -> str:
    """The message of the task's failure."""
    with pytest.raises(AirflowFailException) as caught:
        sends(**changes)
    return str(caught.value)


@pytest.mark.parametrize(
    ("where", "problem"),
    [
        ("{file}", "Not a directory"),
        ("s3://storage@no-such-bucket-at-all/receipts", "it does not exist; check bucket and key"),
        ("s3://undefined@bucket/receipts", "the connection in its URL is not defined"),
        ("nosuchscheme://bucket/receipts", "Airflow has no storage for this scheme"),
        ("database", "it is a SQLite file, so each machine would have records of its own"),
    ],
)
@pytest.mark.usefixtures("bucket", "results_database")
def test_where_nothing_can_be_recorded_nothing_is_sent(
    where: str, problem: str, small_list: Path, tmp_path: Path, service: faults.FaultServer
) -> None:
    file = tmp_path / "a file where a folder should be"
    file.touch()
    with pytest.raises(NotSent, match=rf"its record in .* could not be .*{problem}.* It is safe to try again"):
        send(contacts=str(small_list), receipts_path=where.format(file=file))
    assert service.uploads == []


def test_where_the_disk_fails_nothing_is_sent_until_it_works_again(
    small_list: Path, receipts_folder: Path, service: faults.FaultServer, mocker: Any
) -> None:
    failing = mocker.patch("os.fsync", side_effect=OSError(errno.EIO, "disk"))
    with pytest.raises(NotSent, match=r"could not be written \(disk\)"):
        send(contacts=str(small_list), receipts_path=str(receipts_folder))
    assert service.uploads == []
    mocker.stop(failing)
    assert send(contacts=str(small_list), receipts_path=str(receipts_folder))["outcome"] == "queued"


def test_a_receipt_that_cannot_be_kept_is_an_error_in_the_log_of_a_task_that_succeeds(
    small_list: Path, receipts_folder: Path, service: faults.FaultServer, mocker: Any
) -> None:
    parameters = {"contacts": str(small_list), "receipts_path": str(receipts_folder)}
    link, entries = os.link, itertools.count()

    def fail_at_the_receipt(*names: str) -> None:
        if next(entries):
            raise OSError(errno.ENOSPC, "disk")
        link(*names)

    failing = mocker.patch("os.link", fail_at_the_receipt)
    with everything_logged() as logs:
        assert send(**parameters)["outcome"] == "queued"
    (error,) = {log.message for log in logs if log.level == "error"}
    assert "The record of this campaign could not be updated (OSError)" in error
    assert "The campaign is queued: do not let it be sent again." in error
    mocker.stop(failing)
    with pytest.raises(AirflowFailException, match="recorded no response"):
        send(**parameters)
    assert len(service.posts) == 1


def test_a_log_that_is_gone_does_not_cost_the_response(
    small_list: Path, receipts_folder: Path, service: faults.FaultServer, mocker: Any
) -> None:
    """As that of a task whose worker was killed."""
    gone = mocker.Mock(side_effect=BrokenPipeError)
    mocker.patch.object(QueueCallsHook, "log", mocker.Mock(info=gone))
    assert send(contacts=str(small_list), receipts_path=str(receipts_folder))["outcome"] == "queued"
    assert gone.called


def test_airflows_configuration_may_say_where_receipts_go(
    small_list: Path, receipts: str, service: faults.FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__RECEIPTS_PATH", receipts)
    first = send(contacts=str(small_list), receipts_path=None)
    assert send(contacts=str(small_list), receipts_path=receipts) == first
    assert len(service.posts) == 1


@pytest.mark.parametrize("unset", [None, "", " ", "None"])
def test_a_task_without_a_record_is_refused_and_names_the_choices(
    unset: str | None, service: faults.FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the contact file is even fetched: here it does not exist."""
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__RECEIPTS_PATH", "")
    with pytest.raises(AirflowFailException, match="receipts_path is not set") as caught:
        send(contacts="/no/such/file.csv", receipts_path=unset)
    for choice in ("RECEIPTS_PATH=s3://conn@bucket/", "queuecalls records init /data/", 'receipts_path="none"'):
        assert choice in str(caught.value)
    assert service.requests == []


def test_a_dry_run_needs_no_record(
    small_list: Path, service: faults.FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__RECEIPTS_PATH", "")
    assert send(contacts=str(small_list), receipts_path=None, dry_run=True)["outcome"] == "not sent"


@pytest.mark.parametrize("in_configuration", [True, False])
def test_who_accepts_to_keep_no_record_is_warned_in_every_run(
    in_configuration: bool, small_list: Path, service: faults.FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__RECEIPTS_PATH", " none\n" if in_configuration else "")
    for _ in range(2):
        with everything_logged() as logs:
            send(contacts=str(small_list), receipts_path=None if in_configuration else " none")
        assert len({log.message for log in logs if "no record of what is sent" in log.message}) == 1
    assert len(service.posts) == 2


def test_a_task_with_a_record_does_not_warn(sends: Any, service: faults.FaultServer) -> None:
    with everything_logged() as logs:
        sends()
    assert not [log for log in logs if "no record of what is sent" in log.message]


@pytest.mark.parametrize("path", ["receipts", "./receipts", "~nobody-here/receipts", 3, ["/data"]])
def test_a_relative_path_is_refused(path: Any, service: faults.FaultServer) -> None:
    with pytest.raises(AirflowFailException, match=r"receipts_path .*is not an absolute path; it must be"):
        send(contacts="/no/such/file.csv", receipts_path=path)
    assert service.requests == []


@pytest.mark.parametrize("spelling", ["{}", " {}\n", "~/{name}", "file://{}", "FILE://localhost{}", Path("{}")])
def test_every_spelling_of_a_folder_is_the_same_folder(
    spelling: str | Path, receipts_folder: Path, small_list: Path, service: faults.FaultServer, monkeypatch: Any
) -> None:
    monkeypatch.setenv("HOME", str(receipts_folder.parent))
    send(contacts=str(small_list), receipts_path=str(receipts_folder))
    path = type(spelling)(str(spelling).format(receipts_folder, name=receipts_folder.name))
    send(contacts=str(small_list), receipts_path=path)
    assert len(service.posts) == 1


def test_a_share_that_is_not_mounted_is_not_taken_for_a_folder_without_records(
    receipts_folder: Path, small_list: Path, service: faults.FaultServer
) -> None:
    parameters = {"contacts": str(small_list), "receipts_path": str(receipts_folder)}
    send(**parameters)
    mounted = receipts_folder.rename(receipts_folder.with_name("mounted elsewhere"))
    receipts_folder.mkdir()
    with pytest.raises(NotSent, match=r"has no file queuecalls-records\.txt; mount .* queuecalls records init /"):
        send(**parameters)
    receipts_folder.rmdir()
    mounted.rename(receipts_folder)
    send(**parameters)
    assert len(service.posts) == 1


@pytest.mark.parametrize(("library", "scheme"), [("s3fs", "s3"), ("s3fs", "S3A"), ("gcsfs", "gs"), ("adlfs", "abfs")])
def test_a_library_that_would_replace_a_record_is_refused(
    library: str, scheme: str, service: faults.FaultServer, mocker: MockerFixture
) -> None:
    mocker.patch.object(receipts_module, "version", {library: "2024.10.0"}.__getitem__)
    with pytest.raises(
        AirflowFailException, match=rf"{library} 2024\.10\.0 is installed.* {library} 2024\.12 or later"
    ):
        send(contacts="/no/such/file.csv", receipts_path=f"{scheme}://storage@bucket/receipts")
    assert service.requests == []


@pytest.mark.skipif(AIRFLOW < (3, 3), reason="tasks have no state")
@pytest.mark.parametrize("is_known", [True, False])
def test_what_a_task_has_in_its_state_counts_when_receipts_path_is_set_later(
    is_known: bool, small_list: Path, receipts: str, connect: Connect
) -> None:
    """It would send its list again when it is cleared."""
    given = {"contacts": str(small_list), "start_url": "https://ivr.example.com/x.vxml", "campaign_name": "spring"}
    state: dict[str, Any] = {}
    store = SimpleNamespace(
        get=state.get, set=lambda key, value, **_: state.update({key: json.loads(json.dumps(value))})
    )
    with faults.FaultServer(faults.QUEUED if is_known else faults.close(), faults.QUEUED) as service:
        connect(service.url)
        for receipts_path in (None, receipts, receipts):
            task = QueueCallsOperator(task_id="call", receipts_path=receipts_path, **given)
            with nullcontext() if is_known else pytest.raises(AirflowFailException, match="Cannot tell whether"):
                assert execute(task, task_state_store=store)["outcome"] == "queued"
    assert len(service.posts) == 1
