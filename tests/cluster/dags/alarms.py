"""A DAG of test_cluster.py: many tasks that fail, on all workers. The record of its calls is in the storage."""

from __future__ import annotations

from tests.support.outreach import START_URL
from tests.support.storm import storm_dag

storm = storm_dag(start_url=START_URL, to_variable="oncall")
