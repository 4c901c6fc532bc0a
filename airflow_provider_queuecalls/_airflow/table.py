"""Rows of people's data in a table of a database that Airflow has a DbApiHook for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import islice
from typing import Any

from airflow_provider_queuecalls._airflow.query import database_hook, translate_database_errors
from airflow_provider_queuecalls.exceptions import InvalidNextList, Violation
from airflow_provider_queuecalls.parameters import show, show_conn_id
from airflow_provider_queuecalls.stopping import NOTHING_WRITTEN, StopRequest

#: The columns before those of the rows. Two accounts may have campaigns of one name, so the key tells them apart.
CAMPAIGN = ("campaign_key", "campaign_name")
_ROWS_AT_ONCE = 1_000
_TABLE = re.compile(r"[A-Za-z_][\w$]*(\.[A-Za-z_][\w$]*){0,2}")


def replace_rows(
    conn_id: str,
    table: str,
    campaign: tuple[str, str],
    rows: Iterator[Sequence[Any]],
    *,
    columns: Sequence[str],
    stop: StopRequest,
) -> None:
    """Replace a campaign's rows in a table, in one transaction where the database has them. Of the campaign, give key and name.

    Without the hook's ``insert_rows``: it commits in between, and logs the rows if one of them cannot be inserted.
    """
    if not _TABLE.fullmatch(table):
        rule = "[database.][schema.]table, each of letters, digits, _ and $, not starting with a digit"
        raise InvalidNextList([Violation("output_table", "is not an unquoted name", rule, value=show(table))])
    hook = database_hook(conn_id, None, NOTHING_WRITTEN)
    translated = partial(translate_database_errors, effect=NOTHING_WRITTEN, hint="")
    names = (*CAMPAIGN, *columns)
    # The table's name was checked, and the others are ours.
    delete = f"DELETE FROM {table} WHERE {CAMPAIGN[0]} = {hook.placeholder}"  # noqa: S608
    insert = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join([hook.placeholder] * len(names))})"  # noqa: S608
    with translated(f"The database {show_conn_id(conn_id)} cannot be reached"):
        connection = hook.get_conn()
    with closing(connection), closing(connection.cursor()) as cursor:
        with translated(f"The campaign's rows in table {table} on {show_conn_id(conn_id)} cannot be replaced"):
            cursor.execute(delete, campaign[:1])
        while some := [(*campaign, *row) for row in islice(rows, _ROWS_AT_ONCE)]:
            stop.raise_if_requested()
            with translated(f"Rows cannot be inserted into table {table} on {show_conn_id(conn_id)}"):
                cursor.executemany(insert, some)
        with translated(
            f"The rows in table {table} on {show_conn_id(conn_id)} cannot be committed",
            effect="They may have been replaced",
        ):
            connection.commit()
