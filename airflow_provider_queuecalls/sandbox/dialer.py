"""Simulates the calls that are due by the sandbox's clock: no phone rings, but everything else that follows happens."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from airflow_provider_queuecalls.records.call_results import COMPLETED, FAILED, CallResult
from airflow_provider_queuecalls.sandbox import numbers
from airflow_provider_queuecalls.sandbox.callbacks import Callback, Callbacks
from airflow_provider_queuecalls.sandbox.clock import Clock
from airflow_provider_queuecalls.sandbox.hours import AttemptsOutsideHours
from airflow_provider_queuecalls.sandbox.store import Call, QueuedCampaign, Store, expired_note

log = logging.getLogger("airflow_provider_queuecalls.sandbox")
#: How the last attempt of a call ended that was answered, and whose script cannot be read.
SCRIPT_FAILED = "script failed"
LONGEST_PAUSE, SHORTEST_PAUSE = 60.0, 0.02


class Dialer:
    """Simulates the calls, second by second of the sandbox's clock.

    :param seed: Decides how calls to ordinary numbers end.
    :param outside_hours: Counts the attempts that are outside calling hours.
    """

    def __init__(
        self, store: Store, clock: Clock, callbacks: Callbacks, seed: int, outside_hours: AttemptsOutsideHours
    ) -> None:
        self._outside_hours = outside_hours
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
        """Stop after the second that is being simulated."""
        self._stopping.set()
        self._woken.set()
        self._thread.join()

    def wake(self) -> None:
        """Look at the clock again: it has changed, or a campaign was queued."""
        self._woken.set()

    def catch_up(self) -> None:
        """Simulate everything that is due by now, callbacks included."""
        with self._one_at_a_time:
            now = self._clock.now()
            campaigns: dict[int, QueuedCampaign] = {}
            expired = Counter[int]()
            while not self._stopping.is_set() and (due := self._store.due(now)):
                for campaign_id in {call.campaign_id for call in due} - set(campaigns):
                    if campaign := self._store.campaign(campaign_id):
                        campaigns[campaign_id] = campaign
                changes = [
                    (call, next_state(call, campaigns[call.campaign_id], self._seed))
                    for call in due
                    if call.campaign_id in campaigns
                ]
                # A reset between two steps leaves nothing to change.
                if not changes or not self._store.change(changes):
                    campaigns.clear()
                    continue
                for before, after in changes:
                    if after.attempts > before.attempts:
                        self._outside_hours.add(after, campaigns[after.campaign_id])
                expired.update(after.campaign_id for _, after in changes if after.state == "expired")
                failed = self._send_callbacks(changes, campaigns)
                ended = [(after, without_script(after)) for _, after in changes if after.call_id in failed]
                if ended and self._store.change(ended):
                    self._send_callbacks(ended, campaigns)
            for campaign_id, calls in expired.items():
                if campaign := campaigns.get(campaign_id):
                    log.warning("Campaign %d: %s", campaign_id, expired_note(calls, campaign.expires_at))

    def _send_callbacks(
        self, changes: Sequence[tuple[Call, Call]], campaigns: Mapping[int, QueuedCampaign]
    ) -> set[int]:
        """Send the callbacks about changes. Returns the ids of calls whose script cannot be read."""
        return self._callbacks.send(
            [
                callback
                for before, after in changes
                for callback in callbacks(before, after, campaigns[after.campaign_id], self._seed)
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
                log.exception("the sandbox cannot record what happens to its calls")
                pause = LONGEST_PAUSE
            self._woken.wait(pause)

    def _pause(self) -> float:
        due, speed = self._store.next_due(), self._clock.speed
        if due is None or speed == 0:
            return LONGEST_PAUSE
        return min(max((due - self._clock.now()) / speed, SHORTEST_PAUSE), LONGEST_PAUSE)


def next_state(call: Call, campaign: QueuedCampaign, seed: int) -> Call:
    """The call after the second at which it is due."""
    at = call.due_at or 0
    if call.state == "connected":
        return replace(call, state="completed", due_at=None)
    if campaign.expires_at is not None and at >= campaign.expires_at:
        return replace(call, state="expired", due_at=None)
    attempt = numbers.attempt(call.phone_number, call.attempts + 1, seed)
    call = replace(
        call, attempts=call.attempts + 1, last_attempt=attempt.result, last_attempt_at=at,
        callee_type=attempt.callee_type, duration=attempt.duration,
    )  # fmt: skip
    if attempt.duration is not None:
        return replace(call, state="connected", due_at=at + attempt.duration)
    if call.attempts > campaign.max_retries:
        return replace(call, state="failed", due_at=None)
    again = at + campaign.retry_interval
    return replace(call, state="waiting", due_at=min(again, campaign.expires_at or again))


def without_script(call: Call) -> Call:
    """The call that was answered, and whose script cannot be read. It is not repeated: somebody has answered."""
    return replace(call, state="failed", last_attempt=SCRIPT_FAILED, duration=0, due_at=None)


def callbacks(before: Call, after: Call, campaign: QueuedCampaign, seed: int) -> Iterator[Callback]:
    """The callbacks about a change, with the documented fields. A row's values take precedence over the campaign's."""
    parameters = campaign.parameters
    about = {
        "phone_number": after.phone_number,
        "message_reference": after.message_reference or parameters.get("message_reference", ""),
        "call_id": str(after.call_id),
    }
    if after.state == "connected":
        fields = about | {"call_parameters": after.call_parameter or parameters.get("call_parameters", "")}
        callee = numbers.Callee(after.phone_number, after.callee_type, seed)
        yield Callback("start_url", parameters["start_url"], fields, after.last_attempt_at or 0, campaign.id, callee)
    elif after.state != "waiting" and parameters.get("result_url"):
        result = CallResult(
            **about, result=COMPLETED if after.state == "completed" else FAILED, callee_type=after.callee_type,
            attempts=after.attempts, last_attempt_timestamp=after.last_attempt_at or 0, duration=after.duration or 0,
        )  # fmt: skip
        at = after.last_attempt_at if after.last_attempt == SCRIPT_FAILED else before.due_at
        yield Callback("result_url", parameters["result_url"], result.form(), at or 0, campaign.id)
