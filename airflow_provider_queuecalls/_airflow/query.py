"""A query's result, row by row, from any database that Airflow has a DbApiHook for; never all of it in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from importlib import import_module
from typing import Any

from airflow_provider_queuecalls._airflow.compat import BaseHook
from airflow_provider_queuecalls.contacts.from_rows.writing import ROWS_AT_ONCE
from airflow_provider_queuecalls.exceptions import CheckFailed, InvalidContacts
from airflow_provider_queuecalls.parameters import is_unset, show_conn_id
from airflow_provider_queuecalls.records.database.errors import describe_error, is_of_sqlite
from airflow_provider_queuecalls.stopping import NOTHING_SENT
from airflow_provider_queuecalls.value_types import read_structure

_TAKES = "It must be one statement that returns rows, such as SELECT"
#: Errors, as PEP 249 and Python call them, that no further try will cure: a statement that is not valid, values that
#: cannot be cast, parameters that do not fit the statement.
_LASTING = {"ProgrammingError", "NotSupportedError", "DataError", "TypeError", "LookupError", "ValueError"}
_TEXT_HIDDEN = "The database's own message is not shown, since it may repeat a row"


@contextmanager
def query_result(
    sql: object, parameters: object, *, conn_id: str, hook_params: object
) -> Iterator[tuple[list[str], Iterator[Sequence[object]]]]:
    """Run a query; give the names of its columns, and its rows in their order as they are asked for.

    PostgreSQL and MySQL keep the result on the server's side; other drivers fetch it in portions, as far as they can.
    Nothing is committed. ``parameters`` are bound by the driver, in its own style.

    Raises :class:`InvalidContacts` for a statement that cannot be run or gives no rows and for a connection that
    is not to a database, :class:`CheckFailed` where another try may help. Neither says anything of a row.
    """
    values = _structured("parameters", parameters)
    hook = database_hook(conn_id, hook_params)
    statement = _statement(sql)
    with translate_database_errors(f"The database {show_conn_id(conn_id)} cannot be reached"):
        connection = hook.get_conn()
    with closing(connection), ExitStack() as stack:
        with translate_database_errors(f"The query on {show_conn_id(conn_id)} cannot be run"):
            cursor = _streaming_cursor(connection)
            stack.callback(_close, cursor)
            cursor.execute(statement, *([] if values is None else [values]))
            # Only a server-side cursor has no description before the first fetch. Fetching from a statement without rows is
            # an error.
            first = cursor.fetchmany(ROWS_AT_ONCE) if cursor.description or hasattr(cursor, "itersize") else ()
        if not cursor.description:
            raise InvalidContacts(
                f"The query on {show_conn_id(conn_id)} returned no result. Nothing was sent. {_TAKES}."
            )

        names = [str(column[0]) for column in cursor.description]

        def rows() -> Iterator[Sequence[object]]:
            portion = first
            while portion:
                # A connection may be set to give mappings.
                by_name = isinstance(portion[0], Mapping)
                yield from ([row[name] for name in names] for row in portion) if by_name else map(tuple, portion)
                with translate_database_errors(
                    f"The result of the query on {show_conn_id(conn_id)} cannot be read to its end"
                ):
                    portion = cursor.fetchmany(ROWS_AT_ONCE)

        yield names, rows()


def _close(cursor: Any) -> None:
    # Whatever it says: all rows are there by now, or the error that ends it is under way.
    with suppress(Exception):
        cursor.close()


def _statement(sql: object) -> str:
    if not isinstance(sql, str) or is_unset(sql):
        raise InvalidContacts(f"sql is {'empty' if is_unset(sql) else f'a {type(sql).__name__}'}. {_TAKES}.")
    if (count := len(kinds := _kinds(sql))) != 1:
        raise InvalidContacts(f"sql has {count} statements. Nothing was run or sent. {_TAKES}.")
    if kinds[0] != "SELECT":
        # With a RETURNING it would give rows, and then be undone: nothing is committed here.
        raise InvalidContacts(f"sql is a statement to {kinds[0]}. Nothing was run or sent. {_TAKES}.")
    return sql


def _kinds(sql: str) -> list[str]:
    """What each of the statements in a text does to the database: INSERT, DROP or the like, else SELECT."""
    import sqlparse
    from sqlparse import lexer, tokens

    kinds = []
    for statement in sqlparse.split(sql):
        depth, kind, empty = 0, "", True
        for token, text in lexer.tokenize(statement):  # type: ignore[no-untyped-call]
            empty = empty and (token in tokens.Whitespace or token in tokens.Comment or text == ";")
            depth += (text == "(") - (text == ")")
            if not depth and not kind and token in (tokens.Keyword.DML, tokens.Keyword.DDL):
                kind = text.upper()
        kinds += [] if empty else [kind or "SELECT"]
    return kinds


def _structured(name: str, value: object) -> Any:
    """A list or a mapping, also as the text that templating makes of it; None where it isn't given."""
    if is_unset(value):
        return None
    if isinstance(value, str):
        try:
            value = read_structure(value)
        except ValueError as problem:
            raise InvalidContacts(f"{name} {problem}. Nothing was sent.") from None
    if not isinstance(value, list | tuple | Mapping):
        raise InvalidContacts(f"{name} is a {type(value).__name__}; it must be a list or a mapping. Nothing was sent.")
    return value


def database_hook(conn_id: str, hook_params: object, effect: str = NOTHING_SENT) -> Any:
    """Airflow's hook for a database. Raises :class:`InvalidContacts` for a connection that is not to a database."""
    arguments = _structured("hook_params", hook_params) or {}
    try:
        from airflow.providers.common.sql.hooks.sql import DbApiHook
    except ImportError:
        raise InvalidContacts(
            f"A database needs apache-airflow-providers-common-sql, which is not installed. {effect}. "
            "Install airflow-provider-queuecalls[sql], and the provider of the database."
        ) from None
    if "://" in str(conn_id) or "@" in str(conn_id):  # Airflow may log it, and asks secrets backends for it
        raise InvalidContacts(
            f"The id of the connection to the database is a URL, or has an @, so it is not shown. {effect}. It must be the id of "
            "an Airflow connection, such as 'warehouse': define one with this URL."
        )
    try:
        connection = BaseHook.get_connection(conn_id)
        hook = connection.get_hook(hook_params=arguments)  # type: ignore[no-untyped-call]
    except Exception as error:  # noqa: BLE001  # each version of Airflow has errors of its own
        if type(error).__name__ == "AirflowNotFoundException":
            problem = "is not defined"
        elif isinstance(error, ImportError):
            problem = f"needs {error.name or 'a library'}, which is not installed: install the database's provider"
        elif isinstance(error, TypeError):
            problem = "cannot be used with these hook_params"
        else:
            problem = f"cannot be used ({type(error).__name__}): look at its type, and install the database's provider"
        raise InvalidContacts(f"The connection {show_conn_id(conn_id)} {problem}. {effect}.") from None
    if not isinstance(hook, DbApiHook):
        raise InvalidContacts(
            f"The connection {show_conn_id(conn_id)} is of type {connection.conn_type!r}, which is not a database. {effect}. Use a "
            "connection whose provider has a DbApiHook, such as postgres."
        )
    return hook


def _streaming_cursor(connection: Any) -> Any:
    """A cursor that leaves the result where it is. What drivers do by themselves differs: some fetch all of it."""
    driver = type(connection).__module__.partition(".")[0]
    match driver:
        case "psycopg2":
            return connection.cursor("queuecalls", cursor_factory=import_module("psycopg2.extensions").cursor)
        case "psycopg":
            return connection.cursor("queuecalls", row_factory=import_module("psycopg.rows").tuple_row)
        case "MySQLdb" | "pymysql":
            return connection.cursor(import_module(f"{driver}.cursors").SSCursor)
    cursor = connection.cursor()
    cursor.arraysize = ROWS_AT_ONCE
    return cursor


@contextmanager
def translate_database_errors(
    problem: str, effect: str = NOTHING_SENT, hint: str = ": run the query by hand to see it"
) -> Iterator[None]:
    """Report what went wrong with a database, and whether another try may help."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  # each driver has errors of its own
        # SQLite raises OperationalError for almost everything.
        lasting = "locked" not in str(error) if is_of_sqlite(error) else _is_a(error, _LASTING)
        kind, advice = (InvalidContacts, "") if lasting else (CheckFailed, "It is safe to try again. ")
        raise kind(f"{problem}: {describe_error(error)}. {effect}. {advice}{_TEXT_HIDDEN}{hint}.") from None


def _is_a(error: Exception, names: set[str]) -> bool:
    """Whether an error is of one of these classes, whichever driver's."""
    return not names.isdisjoint(base.__name__ for base in type(error).__mro__)
