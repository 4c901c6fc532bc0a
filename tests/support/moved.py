"""The names of Airflow's that only tests need, and that moved between 2.11 and 3.x."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

#: As in (3, 2).
AIRFLOW = tuple(map(int, version("apache-airflow").split(".")[:2]))
IS_AIRFLOW_2 = AIRFLOW < (3, 0)
#: A module that newer Airflows have, what is written with it, and what is written without it.
_SPELLINGS = (
    (
        "airflow.sdk",
        "from airflow.sdk import DAG, task",
        "from airflow import DAG\nfrom airflow.decorators import task",
    ),
    ("airflow.sdk", "from airflow.sdk import DAG\n", "from airflow import DAG\n"),
    ("airflow.sdk", "dag_run.run_after", "logical_date"),
    (
        "airflow.dag_processing.dagbag",
        "from airflow.dag_processing.dagbag import DagBag",
        "from airflow.models.dagbag import DagBag",
    ),
)


def for_this_airflow(code: str) -> str:
    """Python that is written for the newest Airflow, with the imports of the one that is here."""
    for module, newer, older in _SPELLINGS:
        if find_spec(module) is None:
            code = code.replace(newer, older)
    return code


def dag_bag(path: str) -> Any:
    """The DAGs of a file or folder."""
    return first_of("airflow.dag_processing.dagbag:DagBag", "airflow.models.dagbag:DagBag")(path)


def xcom_model() -> Any:
    """The table of XCom."""
    return first_of("airflow.models.xcom:XComModel", "airflow.models.xcom:XCom")


def xcom_value(row: Any) -> Any:
    """What a row of that table holds."""
    return row.value if IS_AIRFLOW_2 else type(row).deserialize_value(row)


def serialized_dag() -> Any:
    """What turns a DAG into data and back."""
    objects = "airflow.serialization.serialized_objects"
    return first_of(f"{objects}:DagSerialization", f"{objects}:SerializedDAG")


def first_of(*places: str) -> Any:
    """The first of several ``module:name`` that this Airflow has."""
    for place in places:
        module, _, name = place.partition(":")
        with suppress(ImportError, AttributeError):
            return getattr(import_module(module), name)
    raise ImportError(f"this Airflow has none of {', '.join(places)}")
