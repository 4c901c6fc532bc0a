"""Dials, as the sandbox's clock says: nobody's phone rings, and everything that follows from ringing happens."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterator

from airflow_provider_queuecalls.sandbox import numbers
from airflow_provider_queuecalls.sandbox.callbacks import Callback, Callbacks
from airflow_provider_queuecalls.sandbox.clock import Clock
from airflow_provider_queuecalls.sandbox.store import (
    COMPLETED,
    EXPIRED,
    FAILED,
    TALKING,
    WAITING,
    Call,
    QueuedCampaign,
    Store,
)

log = logging.getLogger("airflow_provider_queuecalls.sandbox")
LONGEST_PAUSE, SHORTEST_PAUSE = 60.0, 0.02


class Dialer:
    """Lets happen to calls what is due: second by second of the sandbox's clock, and never twice.

    ``seed`` decides what happens to numbers that aren't magic.
    """

    def __init__(self, store: Store, clock: Clock, callbacks: Callbacks, seed: int) -> None:
        self._store = store
        self._clock = clock
        self._callbacks = callbacks
        self._seed = seed
        self._one_at_a_time = threading.Lock()
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="queuecalls-dialer", daemon=True)

    def start(self) -> None:
        """Follow the clock from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the second that is being dialled."""
        self._stopping.set()
        self._woken.set()
        self._thread.join()

    def wake(self) -> None:
        """Look at the clock again: it, or what is queued, has changed."""
        self._woken.set()

    def catch_up(self) -> None:
        """Let everything happen that is due by now, callbacks included."""
        with self._one_at_a_time:
            now = self._clock.now()
            campaigns: dict[int, QueuedCampaign] = {}
            while not self._stopping.is_set() and (due := self._store.due(now)):
                for campaign_id in {call.campaign_id for call in due} - set(campaigns):
                    if campaign := self._store.campaign(campaign_id):
                        campaigns[campaign_id] = campaign
                changes = [
                    (call, happens_to(call, campaigns[call.campaign_id], self._seed))
                    for call in due
                    if call.campaign_id in campaigns
                ]
                # A reset between two steps leaves nothing to change.
                if not changes or not self._store.change(changes):
                    campaigns.clear()
                    continue
                self._callbacks.send(
                    [
                        callback
                        for before, after in changes
                        for callback in callbacks(before, after, campaigns[after.campaign_id])
                        if self._callbacks.allows(callback.url)
                    ]
                )

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._woken.clear()
            try:
                self.catch_up()
                pause = self._pause()
            except sqlite3.Error:
                log.exception("the sandbox cannot keep what happens to its calls")
                pause = LONGEST_PAUSE
            self._woken.wait(pause)

    def _pause(self) -> float:
        due, speed = self._store.next_due(), self._clock.speed
        if due is None or speed == 0:
            return LONGEST_PAUSE
        return min(max((due - self._clock.now()) / speed, SHORTEST_PAUSE), LONGEST_PAUSE)


def happens_to(call: Call, campaign: QueuedCampaign, seed: int) -> Call:
    """What becomes of a call at the second it is due."""
    at = call.due_at or 0
    if call.state == TALKING:
        return call._replace(state=COMPLETED, due_at=None)
    if campaign.expires_at is not None and at >= campaign.expires_at:
        return call._replace(state=EXPIRED, due_at=None)
    attempt = numbers.attempt(call.phone_number, call.attempts + 1, seed)
    call = call._replace(
        attempts=call.attempts + 1, last_attempt=attempt.result, last_attempt_at=at,
        callee_type=attempt.callee_type, duration=attempt.duration,
    )  # fmt: skip
    if attempt.duration is not None:
        return call._replace(state=TALKING, due_at=at + attempt.duration)
    if call.attempts > campaign.max_retries:
        return call._replace(state=FAILED, due_at=None)
    again = at + campaign.retry_interval
    return call._replace(state=WAITING, due_at=min(again, campaign.expires_at or again))


def callbacks(before: Call, after: Call, campaign: QueuedCampaign) -> Iterator[Callback]:
    """Who has to be told, with the documented fields. What the row says goes before what the campaign says."""
    parameters = campaign.parameters
    told = {
        "phone_number": after.phone_number,
        "message_reference": after.message_reference or parameters.get("message_reference", ""),
        "call_id": str(after.call_id),
    }
    if after.state == TALKING:
        spoken = after.call_parameter or parameters.get("call_parameters", "")
        yield Callback(
            "start_url",
            parameters["start_url"],
            {**told, "call_parameters": spoken},
            after.last_attempt_at or 0,
            campaign.id,
        )
    elif after.state in (COMPLETED, FAILED, EXPIRED) and parameters.get("result_url"):
        result = {
            "result": "completed" if after.state == COMPLETED else "failed",
            "callee_type": after.callee_type or "",
            "attempts": str(after.attempts),
            "last_attempt_timestamp": str(after.last_attempt_at or 0),
            "duration": str(after.duration or 0),
        }
        yield Callback("result_url", parameters["result_url"], {**told, **result}, before.due_at or 0, campaign.id)
