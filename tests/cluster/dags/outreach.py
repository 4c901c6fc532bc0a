"""The DAGs of test_cluster.py.

``outreach`` is what a team would write. ``outreach_held`` is the same, but some campaigns stop on their way until
they may go on, so that something can happen to their worker meanwhile. ``local_file`` hands a file on that isn't in
the storage. The tasks of ``storm`` fail, and the record of its alarms is in the storage.
"""

from __future__ import annotations

import os
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_queuecalls.operators.queuecalls import QueueCallsOperator
from tests.support.moments import MOMENTS
from tests.support.numbers import contact_file
from tests.support.outreach import START_DATE, START_URL, outreach_dag
from tests.support.s3 import BUCKET, STORAGE
from tests.support.storm import storm_dag


class Held(QueueCallsOperator):
    """Stops its first try's upload, says so in the storage, and waits there for leave to go on.

    On each worker the first one stops in the middle of the upload, and further ones before they read the response.
    """

    def execute(self, context: Any) -> dict[str, Any]:
        ti = context["ti"]
        if ti.try_number == 1 and ti.map_index < context["params"]["held"]:
            moment = "in mid-body" if _is_first_here() else "before the response"
            MOMENTS[moment](partial(self._wait, f"held/{ti.map_index}", moment))
        return super().execute(context)

    def _wait(self, key: str, moment: str) -> None:
        from airflow.providers.amazon.aws.hooks.s3 import S3Hook

        storage = S3Hook(STORAGE)
        storage.load_string(moment, key, BUCKET, replace=True)
        while not storage.check_for_key("go", BUCKET):
            time.sleep(0.5)


def _is_first_here() -> bool:
    try:
        Path(os.environ["AIRFLOW_HOME"], "held").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


@task(queue="worker-1")
def write_locally() -> str:
    """Write a contact file where only this worker finds it."""
    file = Path(tempfile.gettempdir(), "calls.csv")
    file.write_bytes(contact_file(312, 0, 10))
    return str(file)


outreach = outreach_dag("outreach", QueueCallsOperator)
outreach_held = outreach_dag("outreach_held", Held)
storm = storm_dag(start_url=START_URL, to_variable="oncall")
with DAG("local_file", schedule=None, start_date=START_DATE):
    QueueCallsOperator(task_id="call", contacts=write_locally(), start_url=START_URL, queue="worker-2")
