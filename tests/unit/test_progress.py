"""Progress is logged about every five seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_queuecalls.progress import Throttle

if TYPE_CHECKING:
    from pytest_mock import MockerFixture


def test_a_throttle_is_due_once_in_five_seconds(mocker: MockerFixture) -> None:
    clock = mocker.patch("airflow_provider_queuecalls.progress.time.monotonic", return_value=100.0)
    throttle = Throttle()
    due = []
    for second in (100, 104.9, 105, 106, 109.9, 110, 131, 132):
        clock.return_value = second
        if throttle.due():
            due.append(second)
    assert due == [105, 110, 131]
