"""The section ``[queuecalls]`` of Airflow's configuration."""

from __future__ import annotations

from airflow_provider_queuecalls._airflow.compat import conf
from airflow_provider_queuecalls.exceptions import InvalidContactRules, Violation
from airflow_provider_queuecalls.files.duckdb_session import LEAST_MEMORY, MEMORY_LIMIT
from airflow_provider_queuecalls.parameters import is_unset, show

SECTION = "queuecalls"
#: Where the API server of Airflow 3.1 or later has the pages of campaigns, below its own path.
PAGES_PATH = "/queuecalls/campaigns"


def option(name: str) -> str | None:
    """The value of an option; None where it is not set."""
    value = conf().get(SECTION, name, fallback=None)
    return None if is_unset(value) else str(value).strip()


def check_memory_mb() -> int:
    """The memory that a check may use, in MiB. Raises :class:`InvalidContactRules` if it is not a number or too small."""
    value = option("check_memory_mb")
    if value is None:
        return MEMORY_LIMIT
    try:
        if (memory := int(value)) >= LEAST_MEMORY:
            return memory
        problem = "is too small"
    except ValueError:
        problem = "is not a number"
    rule = f"a whole number of MiB, at least {LEAST_MEMORY}; default is {MEMORY_LIMIT}"
    where = f"[{SECTION}] in Airflow's configuration"
    raise InvalidContactRules([Violation("check_memory_mb", problem, rule, where, show(value))])
