"""The operator that turns the result of a query into a calling campaign."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_queuecalls._airflow.hidden_fields import revealed
from airflow_provider_queuecalls._airflow.storage import ContactFile
from airflow_provider_queuecalls.contacts import ContactRules
from airflow_provider_queuecalls.operators.queuecalls import QueueCallsOperator
from airflow_provider_queuecalls.parameters import show_conn_id

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_queuecalls._airflow.compat import Context

__all__ = ["SqlToQueueCallsOperator"]

#: Parameters of the operator that apply to contact files only.
_OF_A_FILE = ("contacts", "has_header", "delimiter")


class SqlToQueueCallsOperator(QueueCallsOperator):
    """Queue a calling campaign to the contacts that a query returns, on any database that has a DbApiHook in Airflow.

    Columns are found by name, in any order and case: ``phone_number``, ``message_reference``, and ``call_parameter``, or
    the names in ``columns``. Other columns are not sent, and their names are logged. Rows are streamed into a temporary
    contact file in the order of the result, one line each, so line 7 in a report is row 7. The file is checked and sent
    as :class:`~airflow_provider_queuecalls.operators.queuecalls.QueueCallsOperator` does.

    Values are texts, whole numbers, Decimals, UUIDs, and NULL. A value of another type fails the task and is reported
    with row and column. No row ever appears in a log or an exception. Give the query an ORDER BY: if a later try gets
    the same contacts in another order, their digest differs, and they do not count as the list that was sent.

    :param sql: one statement that returns rows (templated), or the path of a ``.sql`` file with it; it is never
        committed
    :param sql_conn_id: the Connection to the database
    :param parameters: a list or a mapping of values to bind to the statement, in the style of the database's driver;
        shown as ``***`` once rendered
    :param hook_params: arguments for the database's hook, such as ``{"database": "outreach"}``

    All other parameters are those of QueueCallsOperator, without ``contacts``, ``has_header``, and ``delimiter``.
    """

    template_fields: Sequence[str] = (
        *("sql", "sql_conn_id", "parameters", "hook_params"),
        *(name for name in QueueCallsOperator.template_fields if name not in _OF_A_FILE),
    )
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers: ClassVar[dict[str, str]] = {"sql": "sql"}
    hidden_fields: Sequence[str] = (*QueueCallsOperator.hidden_fields, "parameters")

    def __init__(
        self,
        *,
        sql: str,
        sql_conn_id: str,
        parameters: Sequence[Any] | Mapping[str, Any] | str | None = None,
        hook_params: Mapping[str, Any] | str | None = None,
        **kwargs: Any,
    ) -> None:
        # A query's result has names of columns, as a file with a header line has.
        super().__init__(contacts="", has_header=True, delimiter=",", **kwargs)
        self.sql = sql
        self.sql_conn_id = sql_conn_id
        self.parameters = parameters
        self.hook_params = hook_params

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """Report to OpenLineage which tables became which campaign, also if the task failed."""
        from airflow_provider_queuecalls._airflow.lineage import tables_read
        from airflow_provider_queuecalls._airflow.query import database_hook

        if (lineage := super().get_openlineage_facets_on_complete(task_instance)) is not None:
            hook = database_hook(self.sql_conn_id, self.hook_params)
            tables = tables_read(hook, self.sql, hook.get_connection(self.sql_conn_id))
            lineage.inputs = [*tables, *lineage.inputs]
        return lineage

    @contextmanager
    def _contact_file(self, context: Context) -> Iterator[ContactFile]:  # noqa: ARG002
        from airflow_provider_queuecalls._airflow.query import query_result
        from airflow_provider_queuecalls.contacts.from_rows.writing import write_contact_file

        rules = ContactRules.of(self)
        what = f"the query on {show_conn_id(self.sql_conn_id)}"
        self.log.info("Running %s", what)
        with (
            query_result(
                self.sql, revealed(self.parameters), conn_id=self.sql_conn_id, hook_params=self.hook_params
            ) as (names, rows),
            write_contact_file(rows, rules, what, names=names, log=self.log.info, stop=self.stop) as contacts,
        ):
            yield ContactFile(contacts, rules.for_rows(), [])
