"""The trigger: wait for the results of a campaign without a worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from airflow_provider_queuecalls._airflow.results import read_counts, results_database_url
from airflow_provider_queuecalls.exceptions import QueueCallsError
from airflow_provider_queuecalls.records.results.waiting import Wait

__all__ = ["QueueCallsResultsTrigger"]


class QueueCallsResultsTrigger(BaseTrigger):
    """Wait for the results of a campaign, and send an event with their counts.

    Its arguments are absolute times and numbers, so a triggerer that starts again goes on with the same wait. While the
    results database cannot be used, the trigger waits on: the results are stored all the same. If that is still so at the
    end, the event has the error.

    :param poke_interval: The time between two looks at the database, in seconds.
    :param wait: What to wait for, with the fields of :class:`~airflow_provider_queuecalls.records.results.waiting.Wait`.
    """

    def __init__(self, *, poke_interval: float, **wait: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.poke_interval = poke_interval
        self.wait = Wait(**wait)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what the trigger is made of."""
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        return path, {"poke_interval": self.poke_interval, **asdict(self.wait)}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look at the database until the wait has ended."""
        # Airflow's connections may be read only in asgiref's sync thread. The database may be slow, so it has another thread.
        read_url = sync_to_async(results_database_url)
        read = sync_to_async(read_counts, thread_sensitive=False)
        url, logged, wait = None, "", self.wait
        while True:
            try:
                url = url or await read_url()
                counts = await read(url, wait.campaign_key, wait.campaign_name)
            except QueueCallsError as error:
                url, message = None, str(error)
                if wait.end and wait.end[0] <= time.time():
                    yield TriggerEvent({"error": message})  # type: ignore[no-untyped-call]
                    return
                if message != logged:
                    self.log.warning("%s The results are awaited all the same.", message)
            else:
                wait = self.wait.of(counts)
                message = wait.progress(counts)
                if ended_by := wait.ended_by(counts):
                    yield TriggerEvent({"result": wait.result(counts, ended_by)})  # type: ignore[no-untyped-call]
                    return
                if message != logged:
                    self.log.info("Campaign %s has %s", wait.campaign_name, message)
            logged = message
            remaining = wait.end[0] - time.time() if wait.end else self.poke_interval
            await asyncio.sleep(max(0, min(self.poke_interval, remaining)))
