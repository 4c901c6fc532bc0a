"""A response of any length is read within bounded memory, and no further than needed."""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_provider_queuecalls.client.response import Response
from airflow_provider_queuecalls.exceptions import OutcomeUnknown
from tests.conftest import Connect
from tests.integration.conftest import write_rows
from tests.support.fault_server import FaultServer, respond
from tests.support.outcomes import assert_outcome, bounded_memory, queue, says

LONG = 300 << 20


@pytest.mark.parametrize("start", [b'<q status="queued">', b'{"status":"success","x":"', b"", b"<html>"])
def test_an_endless_response_to_a_short_list_is_unknown_and_not_read(
    start: bytes, connect: Connect, small_list: Path
) -> None:
    with FaultServer(respond(200, itertools.chain([start], itertools.repeat(b" " * (1 << 20), 300)))) as server:
        connect(server.url)
        with bounded_memory(32):
            result = queue(small_list)
    assert_outcome(result, OutcomeUnknown, 200)
    assert server.posts[0].response_bytes < LONG // 10


def test_a_zip_bomb_is_unknown_and_not_inflated(connect: Connect, small_list: Path) -> None:
    bomb = gzip.compress(b'<q status="queued">' + b" " * LONG, compresslevel=1)
    with FaultServer(says(bomb, ("Content-Encoding", "gzip"))) as server:
        connect(server.url)
        with bounded_memory(64):
            result = queue(small_list)
    assert_outcome(result, OutcomeUnknown, 200)


def million_ids_as_xml() -> Iterator[bytes]:
    yield b'<queuecalls status="queued">'
    for start in range(1, 1_000_001, 10_000):
        yield b"".join(b'<call call_id="%d" phone_number="12025550143"/>' % i for i in range(start, start + 10_000))
    yield b"</queuecalls>"


def million_ids_as_json() -> Iterator[bytes]:
    yield b'{"status":"success","call_ids":[1'
    for start in range(2, 1_000_002, 10_000):
        yield b"".join(b",%d" % i for i in range(start, min(start + 10_000, 1_000_001)))
    yield b"]}"


@pytest.mark.long
@pytest.mark.parametrize(
    ("ids", "mebibytes"), [(million_ids_as_xml, 48), (million_ids_as_json, 256)], ids=["xml", "json"]
)
def test_a_million_call_ids_are_counted_within_bounded_memory(
    ids: Callable[[], Iterator[bytes]], mebibytes: int, connect: Connect, tmp_path: Path
) -> None:
    contacts = write_rows(tmp_path / "million.csv", 1_000_000)
    with FaultServer(respond(200, ids())) as server:
        connect(server.url)
        with bounded_memory(mebibytes):
            result = queue(contacts)
    assert_outcome(result, None, 200)
    assert isinstance(result, Response)
    assert result.call_id_count == 1_000_000
    assert len(result.call_ids) == 1_000
    assert len(server.posts) == 1
