"""A storage that speaks S3's API, on this machine."""

from __future__ import annotations

import itertools
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from unittest import mock

from tests.support.patience import PATIENCE_SECONDS

#: What DAGs call the connection that leads there, and the bucket that they use.
STORAGE, BUCKET = "storage", "outreach"
KEY, SECRET, REGION = "key", "secret", "us-east-1"


@contextmanager
def s3_server() -> Iterator[str]:
    """Run it in threads of this process; give its URL. As in S3, a conditional write is one step."""
    from moto.s3.responses import S3Response
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # it logs each request
    put, turn = S3Response.put_object, threading.Lock()

    def put_in_turn(self: S3Response) -> Any:
        with turn:
            return put(self)

    with mock.patch.object(S3Response, "put_object", put_in_turn):
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        try:
            yield f"http://{host}:{port}"
        finally:
            server.stop()


@contextmanager
def first_writers_meet(number: int) -> Iterator[None]:
    """Hold the first write requests until ``number`` of them have arrived: every writer has then looked for an object
    and found none. The server does it, so that no code of ours can step around it; fails if they don't all arrive."""
    from moto.s3.responses import S3Response

    put, arrivals, meeting = S3Response.put_object, itertools.count(1), threading.Barrier(number)
    met = threading.Event()

    def put_together(self: S3Response) -> Any:
        if next(arrivals) <= number:
            meeting.wait(PATIENCE_SECONDS)
            met.set()
        return put(self)

    with mock.patch.object(S3Response, "put_object", put_together):
        yield
    assert met.is_set(), "the writers did not meet"


def make_older(bucket: Any, key: str, by: timedelta) -> None:
    """Let an object have been written so much earlier."""
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends

    s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets[bucket.name].keys[key].last_modified -= by


def s3_connection(url: str) -> str:
    """The Airflow Connection that leads there, as JSON."""
    extra = {"endpoint_url": url, "region_name": REGION}
    return json.dumps({"conn_type": "aws", "login": KEY, "password": SECRET, "extra": extra})


def new_bucket(url: str, name: str) -> Any:
    """Create a bucket; return boto3's."""
    import boto3

    credentials = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET, "region_name": REGION}
    bucket = boto3.resource("s3", endpoint_url=url, **credentials).Bucket(name)
    bucket.create()
    return bucket
