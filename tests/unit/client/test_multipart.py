"""The multipart body: two independent parsers read back exactly what was put in."""

from __future__ import annotations

import hashlib
import io
import os
import re
import tempfile
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.formparser import parse_form_data

from airflow_provider_queuecalls.client.campaign import Campaign
from airflow_provider_queuecalls.client.multipart import MultipartBody, Upload, UploadBroken, safe_file_name
from tests.support.multipart import parse

BLOCK = 4096
#: No lone surrogates: they have no UTF-8, and a Campaign refuses them.
TEXTS = st.text(st.characters(codec="utf-8"), max_size=3000) | st.sampled_from(
    ["", '"', "\r\n", "\r\n\r\n", "--", '"; filename="x', "\r\nContent-Disposition: form-data", "é" * 255, "\x00"]
)
NAMES = st.from_regex(r"\A[A-Za-z0-9_.\[\]-]{1,64}\Z")
SIZES = st.sampled_from([0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 10 * BLOCK + 7]) | st.integers(0, 5 * BLOCK)


def upload(file: BinaryIO, content: bytes, name: str = "calls.csv", *, digest: bool = False) -> Upload:
    file.seek(0)
    file.truncate()
    file.write(content)
    file.flush()
    return Upload(file, name, len(content), f"sha256:{hashlib.sha256(content).hexdigest()}" if digest else None)


def drain(body: MultipartBody, block: int = BLOCK) -> bytes:
    return b"".join(iter(lambda: body.read(block), b""))


@given(
    fields=st.lists(st.tuples(NAMES, TEXTS), max_size=6, unique_by=lambda field: field[0]),
    file_name=TEXTS,
    size=SIZES,
    seed=st.randoms(use_true_random=False),
    block=st.sampled_from([1, 7, BLOCK, BLOCK + 1, 1 << 20]),
)
def test_two_parsers_read_back_what_was_put_in(
    fields: list[tuple[str, str]], file_name: str, size: int, seed: Any, block: int
) -> None:
    content = seed.randbytes(size)
    with tempfile.TemporaryFile() as file:
        position = len(fields) // 2
        parts: list[tuple[str, str | Upload]] = [*fields]
        parts.insert(position, ("the-file", upload(file, content, file_name, digest=True)))
        body = MultipartBody(parts)
        data = drain(body, block if size < 100 or block > 100 else BLOCK)
    assert len(data) == len(body) == body.sent

    parts_read = parse(body.content_type, data)
    expected = [(f'form-data; name="{name}"'.encode(), value.encode()) for name, value in fields]
    expected.insert(position, (f'form-data; name="the-file"; filename="{safe_file_name(file_name)}"'.encode(), content))
    assert [(part.disposition, part.content) for part in parts_read] == expected
    assert all(set(part.headers) <= {b"Content-Disposition", b"Content-Type"} for part in parts_read)

    environ = {
        "wsgi.input": io.BytesIO(data),
        "CONTENT_LENGTH": str(len(data)),
        "CONTENT_TYPE": body.content_type,
        "REQUEST_METHOD": "POST",
    }
    _, form, files = parse_form_data(environ, max_form_memory_size=None)
    assert list(form.items()) == fields
    assert [(name, item.filename, item.read()) for name, item in files.items()] == [
        ("the-file", safe_file_name(file_name), content)
    ]


@pytest.mark.parametrize("name", ["", 'a"b', "a\r\nX-Injected: 1", "a b", "é", "a;b", "a=b", "x" * 65])
def test_a_field_name_that_needs_escaping_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="a field name"):
        MultipartBody([(name, "value")])


@given(TEXTS)
def test_a_file_name_is_one_that_every_parser_reads_alike(name: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,100}", safe_file_name(name))


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("calls.csv", "calls.csv"),
        ("/data/out/calls.csv", "calls.csv"),
        ('a"b\r\nc.csv', "a_b__c.csv"),
        ("kontakte für märz.csv", "kontakte_f_r_m_rz.csv"),
        (f"{'x' * 300}.csv", f"{'x' * 96}.csv"),
        ("", "contacts.csv"),
        ("/", "contacts.csv"),
    ],
)
def test_a_file_name_keeps_what_is_safe(name: str, safe: str) -> None:
    assert safe_file_name(name) == safe


def test_the_body_never_holds_more_than_a_block(mocker: Any) -> None:
    with tempfile.TemporaryFile(buffering=0) as file:
        watched = mocker.Mock(wraps=file)
        body = MultipartBody([("a", "b"), ("file", Upload(watched, "calls.csv", file.truncate(1 << 20)))])
        assert max(len(block) for block in iter(lambda: body.read(BLOCK), b"")) <= BLOCK
    sizes = [size for (size,), _ in watched.read.call_args_list]
    assert sum(sizes) >= 1 << 20
    assert max(sizes) <= BLOCK


def test_lines_and_bytes_are_counted() -> None:
    with tempfile.TemporaryFile() as file:
        body = MultipartBody([("file", upload(file, b"1\n2\n3"))])
        assert (body.sent, body.complete) == (0, False)
        drain(body, 16)
        assert (body.sent, body.complete, body.lines) == (len(body), True, 2)


@pytest.mark.parametrize("size", [0, 1, BLOCK, 3 * BLOCK + 1])
@pytest.mark.parametrize("block", [7, BLOCK])
def test_the_end_of_the_file_is_told_before_it_leaves(size: int, block: int) -> None:
    reported: list[int] = []
    with tempfile.TemporaryFile() as file:
        body = MultipartBody(
            [("file", upload(file, b"x" * size)), ("a", "b")], before_file_end=lambda: reported.append(body.sent)
        )
        before = body._file_end
        data = drain(body, block)
    assert body.file_complete
    assert data[before - 5 : before + 2].endswith(b"\r\n"), "the file ends here"
    assert [sent < before <= sent + block for sent in reported] == [True]


def test_only_lines_that_were_sent_are_counted() -> None:
    with tempfile.TemporaryFile() as file:
        content = b"12\n" * 200_000
        body = MultipartBody([("a", "\n"), ("file", upload(file, content)), ("b", "\n")])
        assert body.lines == 0
        start = body.read(300_000).index(content[:100])
        assert body.lines == (300_000 - start) // 3
        file.truncate(30)
        assert body.lines == 10


def changed_in_place(path: Path) -> None:
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"X")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def truncated(path: Path) -> None:
    os.truncate(path, 3 * BLOCK)


def grown(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


@pytest.mark.parametrize("change", [changed_in_place, truncated, grown])
def test_a_file_that_changes_is_never_sent_to_its_end(change: Any, tmp_path: Path) -> None:
    path = tmp_path / "calls.csv"
    content = b"16175550100,ref,par\n" * BLOCK
    path.write_bytes(content)
    with path.open("rb", buffering=0) as file:
        checked = Upload(file, path.name, len(content), f"sha256:{hashlib.sha256(content).hexdigest()}")
        body = MultipartBody([("file", checked)])
        body.read(BLOCK)
        change(path)
        with pytest.raises(UploadBroken, match="changed"):
            drain(body)
        assert not body.complete


def test_a_file_that_changes_after_its_end_was_read_is_sent(tmp_path: Path) -> None:
    path = tmp_path / "calls.csv"
    content = b"16175550100,ref,par\n" * BLOCK
    path.write_bytes(content)
    with path.open("rb", buffering=0) as file:
        checked = Upload(file, path.name, len(content), f"sha256:{hashlib.sha256(content).hexdigest()}")
        whole = drain(MultipartBody([("file", checked)]))
        body = MultipartBody([("file", checked)])
        sent = body.read(whole.index(content) + len(content))
        assert body.file_complete
        grown(path)
        sent += drain(body)
    assert sent.replace(body.boundary.encode(), whole[2:34]) == whole


@pytest.mark.parametrize("names", [{}, {"login": "user", "contacts": "list", "campaign_name": "title"}])
def test_a_body_that_is_cut_inside_the_file_has_no_other_field(names: dict[str, str]) -> None:
    campaign = Campaign(start_url="https://ivr.example/x", campaign_name="spring", message_reference="ref-1")
    content = b"16175550100,ref,par\n" * 50
    with tempfile.TemporaryFile() as file:
        given = {"login": "bob", "pin": "4711", "contacts": upload(file, content)}
        body = MultipartBody(campaign.form(given, names))
        data = drain(body)
    names = {"contacts": "phone_number_list", "login": "login", "campaign_name": "campaign_name"} | names
    end_of_file = data.index(content) + len(content)
    for cut in range(len(data)):
        found = re.findall(rb'name="([^"]+)"(?:;[^\r]*\r\n[^\r]*)?\r\n\r\n(.*?)\r\n--', data[:cut], re.DOTALL)
        complete = [name.decode() for name, _ in found]
        if cut < end_of_file:
            assert complete == []
            assert b"4711" not in data[:cut]
        elif complete:
            assert complete[0] == names["contacts"]
            assert complete[-1] != names["campaign_name"] or len(complete) == len(campaign.form(given, names))
    assert data[: end_of_file - len(content)].count(b"name=") == 2, "of the field and of the file"


def test_a_file_that_is_replaced_is_sent_as_it_was_checked(tmp_path: Path) -> None:
    path, other = tmp_path / "calls.csv", tmp_path / "other.csv"
    content = b"16175550100,ref,par\n" * BLOCK
    path.write_bytes(content)
    other.write_bytes(b"16175550199,ref,par\n" * BLOCK)
    with path.open("rb", buffering=0) as file:
        body = MultipartBody([("file", Upload(file, path.name, len(content), None))])
        start = body.read(BLOCK)
        other.replace(path)
        assert content in start + drain(body)


def test_a_failing_disk_cuts_the_body_short(mocker: Any, tmp_path: Path) -> None:
    path = tmp_path / "calls.csv"
    path.write_bytes(b"x" * 100)
    with path.open("rb", buffering=0) as file:
        broken = mocker.Mock(wraps=file)
        broken.read.side_effect = OSError(5, "Input/output error")
        body = MultipartBody([("file", Upload(broken, path.name, 100))])
        with pytest.raises(UploadBroken, match="Input/output error"):
            drain(body)


def test_progress_is_told_about_every_five_seconds(mocker: Any) -> None:
    clock = mocker.patch("airflow_provider_queuecalls.progress.time.monotonic", return_value=100.0)
    reported: list[tuple[int, int]] = []
    with tempfile.TemporaryFile() as file:
        body = MultipartBody(
            [("file", upload(file, b"x" * 10_000))], progress=lambda sent, total: reported.append((sent, total))
        )
        for second in range(12):
            clock.return_value = 100.0 + second
            body.read(500)
    assert reported == [(6 * 500, len(body)), (11 * 500, len(body))]
