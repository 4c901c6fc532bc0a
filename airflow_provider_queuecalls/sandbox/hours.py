"""Attempts outside calling hours: which they are, and how many each campaign has had."""

from __future__ import annotations

from collections import Counter

from airflow_provider_queuecalls.contacts.hours.calling_hours import CallingHours
from airflow_provider_queuecalls.contacts.hours.places import place_of
from airflow_provider_queuecalls.contacts.rows.phone_numbers import digits
from airflow_provider_queuecalls.sandbox.store import Call, QueuedCampaign


class AttemptsOutsideHours:
    """Compares attempts with calling hours, by the clock where the number may be. It counts them since it was made.

    :param calling_hours: The hours, as QueueCallsOperator accepts them; None for no comparison.
    """

    def __init__(self, calling_hours: str | None) -> None:
        self._hours = None if calling_hours is None else CallingHours.read(calling_hours)
        self.counts = Counter[int]()

    def add(self, call: Call, campaign: QueuedCampaign) -> None:
        """Count the last attempt of a call, if it was outside hours."""
        self.counts[campaign.id] += self.contains(call, campaign)

    def contains(self, call: Call, campaign: QueuedCampaign) -> bool:
        """Whether the last attempt of a call was outside hours. A number without a known time zone always is."""
        if self._hours is None or call.last_attempt_at is None:
            return False
        moment = call.last_attempt_at - campaign.ahead
        return not self._hours.openings(place_of(int(digits(call.phone_number))), moment, moment + 1)
