"""The one place of the probe that sends: one phone number, at most ten requests, and at most ten calls."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from airflow_provider_queuecalls.client.campaign import Campaign
from airflow_provider_queuecalls.client.client import Client
from airflow_provider_queuecalls.client.endpoint import Endpoint
from airflow_provider_queuecalls.client.multipart import Upload
from airflow_provider_queuecalls.exceptions import QueueCallsError, WireError
from airflow_provider_queuecalls.files.writing import temporary_file
from airflow_provider_queuecalls.outcome import Outcome
from airflow_provider_queuecalls.probe.steps import NUMBER

MOST_CALLS = MOST_REQUESTS = 10


class LimitReached(QueueCallsError):
    """What is to be sent might exceed the ten requests, or the ten calls."""


@dataclass(frozen=True)
class Seen:
    """What was seen of one campaign. All of it is harmless but ``mentioned``, which is not shown."""

    outcome: Outcome
    status_code: int | None = None
    format: str = ""
    values: tuple[tuple[str, str], ...] = ()
    body: str = ""
    error_text: str = ""
    problem: str = ""
    call_ids: int = 0
    location: str | None = None
    mentioned: tuple[str, ...] = field(default=(), repr=False)
    answers: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_queued(self) -> bool:
        """Whether the response says queued."""
        return self.outcome is Outcome.QUEUED

    @property
    def how(self) -> str:
        """The response in a few words."""
        if self.status_code is None:
            return self.problem or "no response"
        said = ", ".join(f"{name} is {value!r}" for name, value in self.values[:3])
        return f"HTTP {self.status_code}{f', {self.format}' if self.format else ''}{f', {said}' if said else ''}"


class Sender:
    """Sends campaigns to one phone number. Before each one, it counts the calls that this may cause. They are given back only
    if the service refuses the campaign.

    :param number: the only phone number that is ever sent
    """

    def __init__(self, number: str, log: logging.Logger) -> None:
        self.calls_left = MOST_CALLS
        self.requests_left = MOST_REQUESTS
        self._number = number
        self._log = log

    def send(self, endpoint: Endpoint, campaign: Campaign, rows: Sequence[str]) -> Seen:
        """Send one campaign to the number. Raises :class:`LimitReached` if it might be one too many."""
        calls = sum(row.count(NUMBER) for row in rows) * (1 + int(campaign.max_retries or 0))
        if calls > self.calls_left or not self.requests_left:
            raise LimitReached(f"The limit of {MOST_CALLS} calls and {MOST_REQUESTS} requests is reached.")
        self.calls_left -= calls
        self.requests_left -= 1
        content = "".join(f"{row.replace(NUMBER, self._number)}\n" for row in rows).encode()
        with closing(temporary_file(buffering=0)) as file:
            file.write(content)
            upload = Upload(file, "probe.csv", len(content))
            try:
                response = Client(endpoint, log=self._log).exchange(upload, campaign)
            except WireError as error:
                return Seen(error.outcome, problem=f"no response ({type(error).__name__})")
        if response.outcome is Outcome.REFUSED:
            self.calls_left += calls
        return Seen(
            response.outcome, response.status_code, response.format, response.values, response.body, response.error_text,
            response.problem, response.call_id_count, response.location, response.mentioned,
        )  # fmt: skip
