"""A contact file that changes during the upload."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path

import pytest

from airflow_provider_queuecalls.client.multipart import Upload
from airflow_provider_queuecalls.exceptions import NotSent, OutcomeUnknown
from tests.conftest import Connect
from tests.integration.conftest import LARGE_BYTES, write_rows
from tests.support.fault_server import Exchange, FaultServer
from tests.support.outcomes import MIDWAY, QUEUED_XML, assert_outcome, queue, says


@pytest.mark.parametrize("size", [0, LARGE_BYTES // 2, LARGE_BYTES + 12], ids=["emptied", "cut", "grown"])
def test_a_file_whose_size_changes_during_the_upload_is_not_sent_completely(
    size: int, connect: Connect, tmp_path: Path
) -> None:
    contacts = write_rows(tmp_path / "calls.csv", LARGE_BYTES // 12)

    def change(exchange: Exchange) -> None:
        exchange.receive(MIDWAY)
        os.truncate(contacts, size)
        exchange.receive()
        if exchange.request.received == exchange.request.length:
            exchange.respond(200, QUEUED_XML)

    with FaultServer(change) as server:
        connect(server.url)
        result = queue(contacts)
    assert_outcome(result, NotSent, None)
    assert MIDWAY <= server.posts[0].received < server.posts[0].length
    assert server.connections == 1


def test_a_checked_digest_that_differs_is_not_sent_completely(connect: Connect, small_list: Path) -> None:
    with small_list.open("rb") as file, FaultServer(says(QUEUED_XML)) as server:
        connect(server.url)
        result = queue(Upload(file, "calls.csv", small_list.stat().st_size, digest="sha256:other"))
    assert isinstance(result, NotSent)
    assert server.posts[0].received < server.posts[0].length


def test_queued_is_not_believed_where_the_last_block_could_not_be_sent(connect: Connect, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "calls.csv", 30_000)
    reads: list[int] = []
    first_block_sent, closed = threading.Event(), threading.Event()

    def respond_and_close(exchange: Exchange) -> None:
        first_block_sent.wait()
        exchange.respond(200, QUEUED_XML)
        exchange.reset()
        closed.set()

    class LateFile(io.FileIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if reads:
                first_block_sent.set()
                closed.wait()
            block = super().read(-1 if size is None else size)
            reads.append(len(block))
            return block

    with LateFile(path) as file, FaultServer(respond_and_close) as server:
        connect(server.url)
        result = queue(Upload(file, "calls.csv", path.stat().st_size))
    assert sum(reads[:2]) == path.stat().st_size, "two blocks, the second of them the last"
    assert_outcome(result, OutcomeUnknown, 200)
