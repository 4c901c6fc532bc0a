"""Contact files and suppression lists that are compressed."""

from __future__ import annotations

import gzip
import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_queuecalls.contacts import ContactRules, check, compression, open_contacts
from airflow_provider_queuecalls.contacts.source import open_source
from airflow_provider_queuecalls.exceptions import CheckFailed, InvalidContacts, NotSent
from airflow_provider_queuecalls.stopping import StopRequest

ANN, BOB = "16175550143", "16175550178"
CONTENT = f"{ANN},ref,Märchen\n{BOB}\n".encode()


def zstd(data: bytes) -> bytes:
    import pyarrow

    return bytes(pyarrow.compress(data, "zstd", asbytes=True))


Pack = Callable[[bytes], bytes]
FORMATS = [pytest.param(gzip.compress, "gz", id="gzip"), pytest.param(zstd, "zst", id="zstd")]
both = pytest.mark.parametrize(("pack", "extension"), FORMATS)


@pytest.fixture(autouse=True)
def nothing_is_left(temporary: Path) -> Iterator[None]:
    yield
    assert list(temporary.iterdir()) == []


def file(tmp_path: Path, content: bytes, name: str = "calls.csv.gz") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


def refused(path: Path, kind: type[Exception] = InvalidContacts, **rules: Any) -> str:
    with pytest.raises(kind) as caught:
        check(path, ContactRules(**rules))
    return str(caught.value)


@both
def test_the_unpacked_bytes_are_checked_and_sent(pack: Pack, extension: str, tmp_path: Path, temporary: Path) -> None:
    with check(file(tmp_path, pack(CONTENT), f"calls.csv.{extension}")) as found:
        assert found.upload.file.read() == CONTENT
        assert (found.upload.name, found.upload.size) == ("calls.csv", len(CONTENT))
        assert found.report.digest == f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
        assert list(temporary.iterdir()) == []


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


def test_a_name_without_the_extension_stays(tmp_path: Path) -> None:
    with open_contacts(file(tmp_path, gzip.compress(CONTENT), "calls.v1")) as upload:
        assert (upload.name, upload.file.read()) == ("calls.v1", CONTENT)


@both
def test_a_suppression_list_may_be_compressed_and_keeps_its_age(pack: Pack, extension: str, tmp_path: Path) -> None:
    contacts = file(tmp_path, CONTENT, "calls.csv")
    listed = file(tmp_path, pack(f"{BOB}\n".encode()), f"dnc.{extension}")
    with check(contacts, ContactRules(suppress=[listed], suppress_max_age="1 day")) as found:
        assert found.report.suppressed == 1
    os.utime(listed, (time.time() - 3 * 86_400,) * 2)
    assert "was last changed 3 days ago" in refused(contacts, suppress=[listed], suppress_max_age="1 day")


@both
@pytest.mark.parametrize("cut", [6, 20, -1, -9])
def test_an_incomplete_file_is_refused(pack: Pack, extension: str, cut: int, tmp_path: Path) -> None:
    message = refused(file(tmp_path, pack(CONTENT * 100)[:cut]))
    assert "cannot be unpacked: its " in message
    assert "data is incomplete. Nothing was sent" in message


@both
def test_a_damaged_file_is_refused(pack: Pack, extension: str, tmp_path: Path) -> None:
    packed = pack(b"".join(os.urandom(20).hex().encode() + b"\n" for _ in range(500)))
    for place in range(20, len(packed) - 30, len(packed) // 20):
        damaged = packed[:place] + bytes([packed[place] ^ 0x55]) + packed[place + 1 :]
        # Zstandard has a checksum only if the writer adds one, and then the rows are not valid.
        assert refused(file(tmp_path, damaged), on_invalid="skip")
    assert "data is damaged" in refused(file(tmp_path, packed[:20] + b"\xff" * 200 + packed[220:]))
    assert "data is damaged" in refused(file(tmp_path, pack(CONTENT) + b"garbage"))


def test_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(CONTENT))
    packed[-8] ^= 1
    assert "its gzip data is damaged" in refused(file(tmp_path, bytes(packed)))


@both
def test_what_unpacks_to_far_more_than_its_size_is_refused_before_the_disk_is_full(
    pack: Pack, extension: str, tmp_path: Path, mocker: Any
) -> None:
    mocker.patch.object(compression, "_SMALL_BYTES", 1 << 20)
    written = mocker.spy(compression, "write_all")
    bomb = file(tmp_path, pack(b"0" * (200 << 20)))
    limit = max(1 << 20, 500 * bomb.stat().st_size)
    assert f"unpacks to more than {limit:,} bytes" in refused(bomb)
    assert sum(len(call.args[1]) for call in written.call_args_list) <= limit


def test_the_unpacked_size_has_an_absolute_bound(tmp_path: Path, mocker: Any) -> None:
    mocker.patch.object(compression, "MAX_BYTES", 3 << 20)
    assert "unpacks to more than 3,145,728 bytes" in refused(file(tmp_path, gzip.compress(CONTENT * 100_000)))


def test_room_is_left_on_the_disk(tmp_path: Path, mocker: Any) -> None:
    mocker.patch.object(compression, "SPARE_BYTES", 1 << 60)
    message = refused(file(tmp_path, gzip.compress(CONTENT)), CheckFailed)
    assert "No space left on device. Nothing was sent. Make room in" in message


def test_a_stop_ends_the_unpacking(tmp_path: Path) -> None:
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
    mocker.patch.object(compression, "write_all", side_effect=lambda *_: path.open("ab").write(b"x"))
    assert "changed while it was being checked" in refused(path, CheckFailed)


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


def test_without_a_library_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = file(tmp_path, zstd(CONTENT))
    for name in ("compression.zstd", "backports.zstd", "pyarrow"):
        monkeypatch.setitem(sys.modules, name, None)
    assert "Install backports.zstd" in refused(path)
