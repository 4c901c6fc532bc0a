"""A query's result, row by row, from any database that Airflow has a DbApiHook for; never all of it in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from importlib import import_module
from typing import Any

from airflow_provider_queuecalls._airflow.compat import BaseHook
from airflow_provider_queuecalls.client.response import Redaction
from airflow_provider_queuecalls.contacts.rules import COLUMNS
from airflow_provider_queuecalls.contacts.writing import ROWS_AT_ONCE
from airflow_provider_queuecalls.exceptions import CheckFailed, UnreadableContacts
from airflow_provider_queuecalls.kinds import read_structure
from airflow_provider_queuecalls.parameters import is_unset

_TAKES = "It takes one statement that gives rows, as SELECT does"
#: Errors, as PEP 249 and Python call them, whose words are about the statement and never about a row.
_TELLING = {"ProgrammingError", "NotSupportedError"}
#: Errors that no further try will cure: those, values that cannot be cast, and parameters that don't fit the statement.
_LASTING = _TELLING | {"DataError", "TypeError", "LookupError", "ValueError"}
_OWN_WORDS = "Its own words are left out, since they may quote a row: run the query by hand to see them."
#: A shorter parameter hides nobody, and would be found in every word.
_SHORTEST_SECRET = 4


@contextmanager
def query_result(
    sql: object, parameters: object, *, conn_id: str, hook_params: object
) -> Iterator[tuple[list[str], Iterator[Sequence[object]]]]:
    """Run a query; give the names of its columns, and its rows in their order as they are asked for.

    PostgreSQL and MySQL keep the result on the server's side; other drivers fetch it in portions, as far as they can.
    Nothing is committed. ``parameters`` are bound by the driver, in its own style.

    Raises :class:`UnreadableContacts` for a statement that cannot be run or gives no rows and for a connection that
    isn't one to a database, :class:`CheckFailed` where another try may help. Neither says anything of a row.
    """
    values = _structured("parameters", parameters)
    hook = database_hook(conn_id, hook_params)
    statement = _statement(sql)
    with _in_words(f"The database {conn_id!r} cannot be reached", values):
        connection = hook.get_conn()
    with closing(connection), ExitStack() as stack:
        with _in_words(f"The query on {conn_id!r} cannot be run", values):
            cursor = _streaming_cursor(connection)
            stack.callback(_close, cursor)
            cursor.execute(statement, *([] if values is None else [values]))
            # A server-side cursor describes itself with its first rows; elsewhere, what gives no rows mustn't be asked.
            first = cursor.fetchmany(ROWS_AT_ONCE) if cursor.description or hasattr(cursor, "itersize") else ()
        if not cursor.description:
            raise UnreadableContacts(f"The query on {conn_id!r} gave no result at all. Nothing was sent. {_TAKES}.")

        names = [str(column[0]) for column in cursor.description]

        def rows() -> Iterator[Sequence[object]]:
            portion = first
            while portion:
                # A connection may be set to give mappings.
                yield from (
                    [row[name] for name in names] if isinstance(row, Mapping) else tuple(row) for row in portion
                )
                with _in_words(f"The result of the query on {conn_id!r} cannot be read to its end", values):
                    portion = cursor.fetchmany(ROWS_AT_ONCE)

        yield names, rows()


def _close(cursor: Any) -> None:
    # Whatever it says: all rows are there by now, or the error that ends it is under way.
    with suppress(Exception):
        cursor.close()


def _statement(sql: object) -> str:
    if not isinstance(sql, str) or is_unset(sql):
        raise UnreadableContacts(f"sql is {'empty' if is_unset(sql) else f'a {type(sql).__name__}'}. {_TAKES}.")
    if (count := len(kinds := _kinds(sql))) != 1:
        raise UnreadableContacts(f"sql has {count} statements. Nothing was run or sent. {_TAKES}.")
    if kinds[0] != "SELECT":
        # With a RETURNING it would give rows, and then be undone: nothing is committed here.
        raise UnreadableContacts(f"sql is a statement to {kinds[0]}. Nothing was run or sent. {_TAKES}.")
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
            raise UnreadableContacts(f"{name} {problem}. Nothing was sent.") from None
    if not isinstance(value, list | tuple | Mapping):
        raise UnreadableContacts(f"{name} is a {type(value).__name__}; it takes a list or a mapping. Nothing was sent.")
    return value


def database_hook(conn_id: str, hook_params: object) -> Any:
    """Airflow's hook for a database. Raises :class:`UnreadableContacts` for a connection that isn't one to a database."""
    arguments = _structured("hook_params", hook_params) or {}
    try:
        from airflow.providers.common.sql.hooks.sql import DbApiHook
    except ImportError:
        raise UnreadableContacts(
            "A query needs apache-airflow-providers-common-sql, which is not installed. Nothing was sent. "
            "Install airflow-provider-queuecalls[sql], and the provider of the database."
        ) from None
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
        raise UnreadableContacts(f"The connection {conn_id!r} {problem}. Nothing was sent.") from None
    if not isinstance(hook, DbApiHook):
        raise UnreadableContacts(
            f"The connection {conn_id!r} is of type {connection.conn_type!r}, which is no database. Nothing was sent."
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
def _in_words(problem: str, values: Any) -> Iterator[None]:
    """Say what went wrong with a database, and whether another try may help."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  # each driver has errors of its own
        told = _words(error, values)
        # SQLite says OperationalError to almost everything.
        lasting = "locked" not in str(error) if _of_sqlite(error) else _is_a(error, _LASTING)
        kind = UnreadableContacts if lasting else CheckFailed
        advice = f"{_TAKES}." if lasting and told else "It may be tried again." if not lasting else _OWN_WORDS
        raise kind(f"{problem}: {type(error).__name__}{told}. Nothing was sent. {advice}") from None


def _words(error: Exception, values: Any) -> str:
    """The error's own words, where they can be about the statement only: others quote rows."""
    if not (_of_sqlite(error) or _is_a(error, _TELLING)):
        return ""
    given = values.values() if isinstance(values, Mapping) else values or ()
    redact = Redaction((str(value) for value in given if len(str(value)) >= _SHORTEST_SECRET), COLUMNS)
    first_line, _, _ = str(error).partition("\n")
    # SQLite quotes a cell that isn't UTF-8.
    return f": {redact(first_line.partition(' with text ')[0])}".rstrip(".")


def _of_sqlite(error: Exception) -> bool:
    return type(error).__module__ == "sqlite3"


def _is_a(error: Exception, names: set[str]) -> bool:
    """Whether an error is of one of these classes, whichever driver's."""
    return not names.isdisjoint(base.__name__ for base in type(error).__mro__)
