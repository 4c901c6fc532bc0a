"""A running receiver of results, as ``queuecalls results serve`` is one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from airflow_provider_queuecalls.cli.results import DATABASE, SECRET
from tests.support.command import Program, command

OLD, NEW = "the-secret-of-last-year", "the-secret-of-this-year"


@contextmanager
def receiver(url: str, port: int = 0) -> Iterator[tuple[Program, str]]:
    """Run the receiver; give its process and the base of its results URLs."""
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv(SECRET, f"{NEW}\n{OLD}")
            environment.setenv(DATABASE, url)
            process, printed = stack.enter_context(command("results", "serve", "--port", str(port)))
        (base,) = re.findall(r"listens on (\S+)\. ", printed)
        yield process, base
