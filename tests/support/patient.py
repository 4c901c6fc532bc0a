"""A notifier for a real Airflow on a machine that is busy with other tests, where Airflow's own responses may take seconds."""

from __future__ import annotations

from airflow_provider_queuecalls.notifications import queuecalls
from tests.support.patience import PATIENCE_SECONDS


class PatientNotifier(queuecalls.QueueCallsNotifier):
    """Is not given up after 20 seconds. Deadlines import it by its name, which sets the limit there too."""


queuecalls.TOTAL_SECONDS = PATIENCE_SECONDS
