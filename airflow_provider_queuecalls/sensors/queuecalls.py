"""The sensor: wait for the results of a campaign, and return their counts."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_queuecalls._airflow.compat import AirflowSkipException, BaseSensorOperator, PokeReturnValue
from airflow_provider_queuecalls._airflow.results import read_counts, results_database_url, set_event_extra
from airflow_provider_queuecalls._airflow.retries import retried_only_if_safe, safe_to_retry
from airflow_provider_queuecalls.client.endpoint import DEFAULT_CONN_ID
from airflow_provider_queuecalls.exceptions import CheckFailed
from airflow_provider_queuecalls.outcome import Outcome
from airflow_provider_queuecalls.records.results.waiting import BY_NAME, Wait, read_wait

if TYPE_CHECKING:
    from airflow_provider_queuecalls._airflow.compat import Context

__all__ = ["QueueCallsResultsSensor"]


class QueueCallsResultsSensor(BaseSensorOperator):
    """Wait for the results of a campaign's calls, and return their counts.

    The sensor reads the database of ``[queuecalls] results_database``, to which a results receiver writes. It is done
    when there is a result for every contact, when ``min_results`` or ``min_share`` is reached, at the ``deadline``, or
    when no result can come any more: ``grace`` after the campaign's ``expiration_timestamp``. These are absolute times, so
    a retry or Clear does not prolong the wait. Without an expiration and a deadline, only the ``timeout`` of all sensors
    limits it.

    Every parameter but ``deferrable`` is templated, and accepts what a template renders.

    :param deferrable: Wait in the triggerer, without a worker. With ``False``, the sensor waits in its ``mode``, ``'poke'``
        or ``'reschedule'``. Default: ``True``.
    :param queued: The result of the task that sent the campaign. After a dry run, the task is skipped. Give this or
        campaign_name. Accepts the result of a QueueCallsOperator, as a mapping or text. Default: none.
    :param campaign_name: The name of the campaign. Give this or queued. Accepts a string without control characters.
        Default: none.
    :param min_results: How many results are enough. Accepts a whole number from 1 to 1,000,000,000. Default: a result
        for every contact.
    :param min_share: The share of the contacts whose results end the wait. Accepts a number above 0 and at most 1, or a
        percentage such as '80%'. Default: a result for every contact.
    :param deadline: When the wait ends, whatever is missing. Accepts a datetime with a time zone, an ISO 8601 time with
        an offset or the name of a time zone, or a UNIX time in seconds. Default: none.
    :param grace: How long to wait after the campaign's expiration_timestamp: the last calls may still be going on then,
        and their results may be late. Accepts a timedelta, a number of minutes, or a string such as '2 hours' or
        'PT2H'. Default: 1 hour.
    :param queuecalls_conn_id: The Airflow connection that sent the campaign called campaign_name: other accounts may have
        campaigns of that name. Default: ``'queuecalls_default'``.

    ``poke_interval``, ``timeout``, and the other parameters of Airflow's sensors apply. In the triggerer, the
    sensor keeps waiting if the database cannot be reached. With ``deferrable=False``, the try fails, unless ``silent_fail=True``.

    Pushes a dict to XCom, and sets it as the ``extra`` of the events of all assets in ``outlets``: ``campaign_name``,
    ``contacts``, ``results`` (calls with a result), ``by_result``, ``by_callee_type``, and ``by_choice`` (counts by value), ``attempts``,
    ``missing`` (contacts without a result), ``reached_share`` (completed calls as a share of the contacts), ``complete``
    (whether there is a result for every contact), and ``ended_by`` (``'complete'``, ``'min_results'``, ``'min_share'``,
    ``'expiration'``, or ``'deadline'``). ``contacts``, ``missing``, and ``reached_share`` are None if the number of
    contacts is not known.
    """

    template_fields: Sequence[str] = (
        "queued",
        "campaign_name",
        "min_results",
        "min_share",
        "deadline",
        "grace",
        "queuecalls_conn_id",
    )
    ui_color = "#d9ece6"
    #: The progress that was logged last.
    _logged_progress = ""

    def __init__(
        self,
        *,
        queued: Mapping[str, Any] | str | None = None,
        campaign_name: str | None = None,
        min_results: int | str | None = None,
        min_share: float | str | None = None,
        deadline: datetime | int | str | None = None,
        grace: timedelta | int | str = "1 hour",
        deferrable: bool = True,
        queuecalls_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.queued = queued
        self.campaign_name = campaign_name
        self.min_results = min_results
        self.min_share = min_share
        self.deadline = deadline
        self.grace = grace
        self.deferrable = deferrable
        self.queuecalls_conn_id = queuecalls_conn_id

    def execute(self, context: Context) -> Any:
        """Look at the database once, and then wait."""
        if not self.deferrable:
            return super().execute(context)
        wait, result = self._look()
        if result is None:
            from airflow_provider_queuecalls.triggers.queuecalls import QueueCallsResultsTrigger

            trigger = QueueCallsResultsTrigger(poke_interval=self.poke_interval, **asdict(wait))
            self.defer(
                trigger=trigger, method_name=self.execute_complete.__name__, timeout=timedelta(seconds=self.timeout)
            )
        return self._finish(context, result)

    def poke(self, context: Context) -> PokeReturnValue:
        """Look at the database once."""
        _, result = self._look()
        return PokeReturnValue(result is not None, result and self._finish(context, result))

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return the counts that the trigger has found."""
        if error := event.get("error"):
            raise CheckFailed(error)
        return self._finish(context, event["result"])

    def _look(self) -> tuple[Wait, dict[str, Any] | None]:
        """Return the wait as it is known by now, and its result if it has ended."""
        from airflow_provider_queuecalls.hooks.queuecalls import QueueCallsHook

        with retried_only_if_safe(self):
            given = read_wait(
                {name: getattr(self, name) for name in BY_NAME}, QueueCallsHook(self.queuecalls_conn_id).key_of
            )
            if given is None:
                raise AirflowSkipException("Nothing was sent: queued is the result of a dry run.")
            url = results_database_url()
            with safe_to_retry():
                counts = read_counts(url, given.campaign_key, given.campaign_name)
        wait = given.of(counts)
        if ended_by := wait.ended_by(counts):
            return wait, wait.result(counts, ended_by)
        if not self._logged_progress:
            outcome = counts.outcome or "not known"
            proof = ", but its results prove that it was queued" if counts.results and outcome != Outcome.QUEUED else ""
            self.log.info(
                "Waiting for campaign %s %s. Its outcome is %s%s.", wait.campaign_name, wait.until, outcome, proof
            )
            if wait.end and wait.end[0] > time.time() + self.timeout:
                self.log.warning(
                    "Airflow ends the wait before that, after the sensor's timeout of %.0f s.", self.timeout
                )
        if (progress := wait.progress(counts)) != self._logged_progress:
            self.log.info("Campaign %s has %s", wait.campaign_name, progress)
            self._logged_progress = progress
        return wait, None

    def _finish(self, context: Context, result: dict[str, Any]) -> dict[str, Any]:
        self.log.info("Results of campaign %s (%s): %s", result["campaign_name"], result["ended_by"], result)
        set_event_extra(self.outlets, context, result)
        return result
