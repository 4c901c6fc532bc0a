"""Contact files and suppression lists that cannot be opened, and those that are compressed."""

from __future__ import annotations

import gzip
import hashlib
import os
import platform
import random
import re
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_queuecalls.contacts import ContactRules, check, open_contacts
from airflow_provider_queuecalls.exceptions import CheckFailed, InvalidContacts, NotSent
from airflow_provider_queuecalls.files import reading
from airflow_provider_queuecalls.files.reading import open_source
from airflow_provider_queuecalls.stopping import StopRequest
from tests.unit.contacts.checking import Contacts, reasons, refused, unprivileged

ANN, BOB = "16175550143", "16175550178"
CONTENT = f"{ANN},ref,Märchen\n{BOB}\n".encode()


def test_the_error_for_a_missing_file_has_the_host_name(tmp_path: Path) -> None:
    error = refused(tmp_path / "gone.csv")
    assert error.report is None
    assert platform.node() in str(error)
    assert "only on the worker" in str(error)


@pytest.mark.parametrize("path", ["", " ", "None", "nul\0byte"])
def test_a_value_that_is_not_a_path_is_refused(path: str) -> None:
    assert refused(Path(path) if path.strip("\0") != path else path).report is None  # type: ignore[arg-type]


def test_a_directory_is_refused(tmp_path: Path) -> None:
    assert "is a directory" in str(refused(tmp_path))


def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "is a pipe" in str(refused(tmp_path / "pipe"))


def test_a_socket_is_refused(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(tmp_path / "socket"))
        assert refused(tmp_path / "socket").report is None


def test_a_file_without_read_permission_is_refused(contacts: Contacts) -> None:
    path = contacts(ANN)
    path.chmod(0)
    with unprivileged():
        assert "Permission denied" in str(refused(path))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (ANN.encode("utf-16"), "UTF-16"),
        (b"\xfe\xff" + ANN.encode("utf-16-be"), "UTF-16"),
        (b"PK\x03\x04xl/workbook.xml", "workbook"),
    ],
)
def test_the_error_for_another_file_format_names_it(contacts: Contacts, content: bytes, words: str) -> None:
    error = refused(contacts(content), on_invalid="skip")
    assert error.report is None
    assert words in str(error)


@pytest.mark.usefixtures("results_kept")
def test_utf_16_without_a_byte_order_mark_and_latin_1_are_rejected_row_by_row(contacts: Contacts) -> None:
    assert reasons(contacts(f"{ANN}\n".encode("utf-16-le"))) == {"control_character": 2}
    assert reasons(contacts(f"{ANN},Müller\n".encode("latin-1"))) == {"not_utf8": 1}


# Compressed files.

Pack = Callable[[bytes], bytes]


def zstd(data: bytes) -> bytes:
    import pyarrow

    return bytes(pyarrow.compress(data, "zstd", asbytes=True))


FORMATS = [pytest.param(gzip.compress, "gz", id="gzip"), pytest.param(zstd, "zst", id="zstd")]
both = pytest.mark.parametrize(("pack", "extension"), FORMATS)


def file(tmp_path: Path, content: bytes, name: str = "calls.csv.gz") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


def message(path: Path, kind: type[Exception] = InvalidContacts, **rules: Any) -> str:
    """The message of the error that a check raises."""
    with pytest.raises(kind) as caught:
        check(path, ContactRules(**rules))
    assert "was sent" not in str(caught.value), "a check does not know what is sent after it"
    return str(caught.value)


@both
def test_the_unpacked_bytes_are_checked_and_sent(pack: Pack, extension: str, tmp_path: Path, workspace: Path) -> None:
    with check(file(tmp_path, pack(CONTENT), f"calls.csv.{extension}")) as found:
        assert found.upload.file.read() == CONTENT
        assert (found.upload.name, found.upload.size) == ("calls.csv", len(CONTENT))
        assert found.report.digest == f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
        assert list(workspace.iterdir()) == []


@both
def test_a_large_file_is_read_by_duckdb(pack: Pack, extension: str, tmp_path: Path) -> None:
    content = b"".join(b"%d,ref-%d\n" % (16172000000 + number, number) for number in range(50_000))
    with check(file(tmp_path, pack(content), f"calls.csv.{extension}")) as found:
        assert found.report.valid == 50_000
        assert found.upload.file.read() == content


@both
def test_a_file_of_several_members_is_unpacked_to_its_end(pack: Pack, extension: str, tmp_path: Path) -> None:
    with check(file(tmp_path, pack(f"{ANN}\n".encode()) + pack(f"{BOB}\n".encode()))) as found:
        assert found.report.valid == 2


def test_a_file_name_without_the_extension_is_kept(tmp_path: Path) -> None:
    with open_contacts(file(tmp_path, gzip.compress(CONTENT), "calls.v1")) as upload:
        assert (upload.name, upload.file.read()) == ("calls.v1", CONTENT)


@both
def test_a_suppression_list_may_be_compressed_and_keeps_its_age(pack: Pack, extension: str, tmp_path: Path) -> None:
    contacts = file(tmp_path, CONTENT, "calls.csv")
    suppression_list = file(tmp_path, pack(f"{BOB}\n".encode()), f"suppression_list.{extension}")
    with check(contacts, ContactRules(suppress=[suppression_list], suppress_max_age="1 day")) as found:
        assert found.report.suppressed == 1
    os.utime(suppression_list, (time.time() - 3 * 86_400,) * 2)
    assert "was last changed 3 days ago" in message(contacts, suppress=[suppression_list], suppress_max_age="1 day")


@both
@pytest.mark.parametrize("cut", [6, 20, -1, -9])
def test_an_incomplete_file_is_refused(pack: Pack, extension: str, cut: int, tmp_path: Path) -> None:
    text = message(file(tmp_path, pack(CONTENT * 100)[:cut]))
    assert "cannot be unpacked: its " in text
    assert "data is incomplete. Let the upstream task write it again." in text


def test_any_damage_to_a_gzip_file_is_found(tmp_path: Path) -> None:
    """It has a checksum. Zstandard has one only if the writer adds it."""
    digits = random.Random(1)
    content = b"".join(b"%d,%s\n" % (16172000000 + row, digits.randbytes(20).hex().encode()) for row in range(500))
    packed = gzip.compress(content)
    with check(file(tmp_path, packed)) as found:
        assert found.report.valid == 500
    for place in (*range(20, len(packed) - 30, len(packed) // 20), len(packed) - 8):
        damaged = packed[:place] + bytes([packed[place] ^ 0x55]) + packed[place + 1 :]
        said = message(file(tmp_path, damaged), on_invalid="skip", duplicates="drop")
        assert re.search("its gzip data is (damaged|incomplete)", said)


@both
def test_a_damaged_file_is_refused(pack: Pack, extension: str, tmp_path: Path) -> None:
    packed = pack(os.urandom(10_000).hex().encode())
    assert "data is damaged" in message(file(tmp_path, packed[:20] + b"\xff" * 200 + packed[220:]))
    assert "data is damaged" in message(file(tmp_path, pack(CONTENT) + b"garbage"))


@both
def test_a_file_that_unpacks_to_far_more_than_its_size_is_refused_before_the_disk_is_full(
    pack: Pack, extension: str, tmp_path: Path, mocker: Any
) -> None:
    mocker.patch.object(reading, "_SMALL_BYTES", 1 << 20)
    written = mocker.spy(reading, "write_all")
    bomb = file(tmp_path, pack(b"0" * (200 << 20)))
    limit = max(1 << 20, 500 * bomb.stat().st_size)
    assert f"unpacks to more than {limit:,} bytes" in message(bomb)
    assert sum(len(call.args[1]) for call in written.call_args_list) <= limit


def test_the_unpacked_size_has_an_absolute_bound(tmp_path: Path, mocker: Any) -> None:
    mocker.patch.object(reading, "MAX_BYTES", 3 << 20)
    assert "unpacks to more than 3,145,728 bytes" in message(file(tmp_path, gzip.compress(CONTENT * 100_000)))


def test_disk_space_is_left_free(tmp_path: Path, mocker: Any) -> None:
    mocker.patch.object(reading, "SPARE_BYTES", 1 << 60)
    text = message(file(tmp_path, gzip.compress(CONTENT)), CheckFailed)
    assert "No space left on device. Make room in" in text


def test_a_stop_request_ends_the_unpacking(tmp_path: Path) -> None:
    stop = StopRequest()
    stop.request()
    with pytest.raises(NotSent, match="was stopped"):
        open_source(file(tmp_path, gzip.compress(CONTENT)), "The contact file", stop)


def test_rejects_never_replace_the_compressed_file(tmp_path: Path) -> None:
    path = file(tmp_path, gzip.compress(CONTENT))
    with pytest.raises(InvalidContacts, match="another file"):
        check(path, rejects_path=path)
    assert gzip.decompress(path.read_bytes()) == CONTENT


def test_a_file_that_changes_while_it_is_unpacked_is_not_sent(tmp_path: Path, mocker: Any) -> None:
    path = file(tmp_path, gzip.compress(CONTENT))
    mocker.patch.object(reading, "write_all", side_effect=lambda *_: path.open("ab").write(b"x"))
    assert "changed while it was being checked" in message(path, CheckFailed)


@pytest.mark.parametrize("library", ["backports.zstd", "pyarrow"])
def test_zstandard_is_read_with_either_library(library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = zstd(CONTENT)
    if sys.version_info >= (3, 14):
        pytest.skip("the standard library reads it")
    pytest.importorskip(library)
    for name in {"backports.zstd", "pyarrow"} - {library}:
        monkeypatch.setitem(sys.modules, name, None)
    with check(file(tmp_path, packed)) as found:
        assert found.upload.file.read() == CONTENT


def test_the_error_for_a_missing_library_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = file(tmp_path, zstd(CONTENT))
    for name in ("compression.zstd", "backports.zstd", "pyarrow"):
        monkeypatch.setitem(sys.modules, name, None)
    assert "Install backports.zstd" in message(path)
