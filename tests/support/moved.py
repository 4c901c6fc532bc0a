"""The names of Airflow's that only tests need, and that moved between 2.11 and 3.x."""

from __future__ import annotations

from typing import Any

#: What DAG files begin with.
DAG_IMPORTS = """
try:
    from airflow.sdk import DAG, task
except ImportError:
    from airflow import DAG
    from airflow.decorators import task
"""


def dag_bag(path: str) -> Any:
    """The DAGs of a file or folder."""
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:
        from airflow.models.dagbag import DagBag
    return DagBag(path)


def xcom_model() -> Any:
    """The table of XCom."""
    try:
        from airflow.models.xcom import XComModel
    except ImportError:
        from airflow.models.xcom import XCom as XComModel
    return XComModel


def serialized_dag() -> Any:
    """What turns a DAG into data and back."""
    try:
        from airflow.serialization.serialized_objects import DagSerialization
    except ImportError:
        from airflow.serialization.serialized_objects import SerializedDAG as DagSerialization
    return DagSerialization
