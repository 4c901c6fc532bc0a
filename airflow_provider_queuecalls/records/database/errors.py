"""What is shown of a database's error: never its own text, which may repeat a row or a password."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_provider_queuecalls.exceptions import QueueCallsError

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

#: What PostgreSQL reports if a lock, or the end of a statement, was waited for too long.
_TOO_LONG = ("55P03", "57014")
#: The classes of SQLSTATE (ISO/IEC 9075-2, and those that PostgreSQL adds), by its first two characters.
_SQLSTATE_CLASSES = {
    "02": "no data", "07": "dynamic SQL error", "08": "connection exception", "0A": "feature not supported", "21": "cardinality violation",
    "22": "data exception", "23": "integrity constraint violation", "24": "invalid cursor state", "25": "invalid transaction state",
    "26": "invalid SQL statement name", "28": "invalid authorization", "2F": "SQL routine exception", "34": "invalid cursor name",
    "38": "external routine exception", "39": "external routine invocation exception", "3D": "invalid catalog name",
    "3F": "invalid schema name", "40": "transaction rollback", "42": "syntax error or access rule violation",
    "44": "WITH CHECK OPTION violation", "53": "insufficient resources", "54": "program limit exceeded",
    "55": "object not in prerequisite state", "57": "operator intervention", "58": "system error", "HV": "foreign data wrapper error",
    "HY": "driver error", "P0": "error raised by a procedure", "XX": "internal error",
}  # fmt: skip


def describe_error(error: BaseException) -> str:
    """An error's class, and its SQLSTATE or SQLite's name for it. Errors of this package explain themselves."""
    error = getattr(error, "orig", None) or error  # SQLAlchemy wraps that of the driver
    if isinstance(error, QueueCallsError):
        return str(error)
    name = type(error).__name__
    if is_of_sqlite(error):
        code = getattr(error, "sqlite_errorname", None)  # from Python 3.11 on
        return f"{name} ({code})" if code else name
    state = _sqlstate(error)
    return f"{name} (SQLSTATE {state}: {_SQLSTATE_CLASSES[state[:2]]})" if state else name


def _sqlstate(error: BaseException) -> str:
    """The SQLSTATE of a driver's error; empty if it has none."""
    for state in (getattr(error, "sqlstate", None), getattr(error, "pgcode", None)):
        if isinstance(state, str) and re.fullmatch("[0-9A-Z]{5}", state) and state[:2] in _SQLSTATE_CLASSES:
            return state
    return ""


def is_of_sqlite(error: BaseException) -> bool:
    """Whether an error is of Python's own driver for SQLite."""
    return type(error).__module__ == "sqlite3"


@contextmanager
def translate_sqlalchemy_errors(url: URL) -> Iterator[None]:
    """Turn an error of the results database into one that names it and says what to check. ``url`` is that of a ``Database``."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except SQLAlchemyError as error:
        check = (
            "that its folder exists, that this user can write to it, and that the disk is not full"
            if url.drivername.startswith("sqlite")
            else "that the server can be reached, and that it accepts user, password, and database; its log may say more"
        )
        if _sqlstate(getattr(error, "orig", None) or error) in _TOO_LONG:
            check = (
                "which process holds a lock or keeps the server busy, such as one that is frozen, in pg_stat_activity"
            )
        raise QueueCallsError(
            f"The results database {url!r} cannot be used: {describe_error(error)}. Check {check}."
        ) from None
