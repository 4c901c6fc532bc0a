"""``@task.queuecalls``: turn the contacts that a function returns into a calling campaign."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from airflow_provider_queuecalls._airflow.compat import (
    DecoratedOperator,
    context_merge,
    determine_kwargs,
    task_decorator_factory,
)
from airflow_provider_queuecalls._airflow.hidden_fields import revealed
from airflow_provider_queuecalls._airflow.storage import ContactFile
from airflow_provider_queuecalls.contacts import ContactRules
from airflow_provider_queuecalls.exceptions import InvalidContacts
from airflow_provider_queuecalls.operators.queuecalls import QueueCallsOperator
from airflow_provider_queuecalls.parameters import describe, is_location

if TYPE_CHECKING:
    from airflow_provider_queuecalls._airflow.compat import Context, TaskDecorator
    from airflow_provider_queuecalls._airflow.storage import Location

__all__ = ["DecoratedQueueCallsOperator", "queuecalls_task"]

_ACCEPTED = "Yield or return contacts, or return a DataFrame of pandas or polars, an Arrow table, or the path or URL of a contact file"


class DecoratedQueueCallsOperator(DecoratedOperator, QueueCallsOperator):
    """Queue a calling campaign to the contacts that a function returns or yields.

    :param python_callable: the function. It yields or returns contacts: tuples of phone_number, message_reference, and
        call_parameter, or mappings with these names (or those of ``columns``; other keys are not sent, and logged).
        Or it returns a DataFrame of pandas or polars or an Arrow table with these columns (or, with pyarrow, any
        object with ``__arrow_c_stream__``), or the path or URL of a contact file, as ``contacts`` takes it
    :param op_args: positional arguments of the function (templated); may be contacts, so their rendered values are shown
        as ``***``
    :param op_kwargs: keyword arguments of the function, as ``op_args``

    Contacts are written to a temporary contact file as they come, one line each, so line 7 in a report is row 7, and
    memory does not grow with their number. An error of the function fails the task like any other, and nothing is sent.
    """

    custom_operator_name = "@task.queuecalls"
    template_fields: Sequence[str] = (
        *DecoratedOperator.template_fields,
        *(name for name in QueueCallsOperator.template_fields if name != "contacts"),
    )

    hidden_fields = (*QueueCallsOperator.hidden_fields, "op_args", "op_kwargs")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(contacts="", **kwargs)

    def execute(self, context: Context) -> dict[str, Any]:
        """Queue the campaign, without what DecoratedOperator does with the value that a function returns."""
        return QueueCallsOperator.execute(self, context)

    @contextmanager
    def _contact_file(self, context: Context) -> Iterator[ContactFile]:
        from airflow_provider_queuecalls.contacts.from_rows.tables import read_table
        from airflow_provider_queuecalls.contacts.from_rows.writing import write_contact_file

        # Rows may have names, as a file with a header line. Checked before the function runs, which may take a while.
        rules = ContactRules.of(self, has_header=True)
        origin = f"the function {self.python_callable.__name__!r}"
        sources: list[Location] = []
        with ExitStack() as stack:
            given = self._call_function(context)
            table = read_table(given)
            if table is None and is_location(given):
                rules = ContactRules.of(self)
                sources.append(given)
                contacts = stack.enter_context(self._fetched(given))
            else:
                self._assert_rows(given if table is None else (), origin)
                if isinstance(given, Generator):
                    stack.callback(given.close)
                contacts = stack.enter_context(
                    write_contact_file(table or given, rules, origin, log=self.log.info, stop=self.stop)
                )
                rules = rules.for_rows()
            yield ContactFile(contacts, rules, sources)

    def _call_function(self, context: Context) -> Any:
        args, kwargs = revealed(self.op_args), revealed(self.op_kwargs)
        context_merge(context, kwargs)
        return self.python_callable(*args, **determine_kwargs(self.python_callable, args, context))

    def _assert_rows(self, rows: object, origin: str) -> None:
        from airflow_provider_queuecalls.contacts.from_rows.tables import is_lazy

        subject = f"{origin[0].upper()}{origin[1:]}"
        if is_lazy(rows):
            raise InvalidContacts(
                f"{subject} returned {describe(rows)}, a query that has not run yet. Nothing was sent. Return a "
                "DataFrame: call .collect() on it."
            )
        if not isinstance(rows, Iterable) or isinstance(rows, bytes | bytearray | Mapping):
            raise InvalidContacts(f"{subject} returned {describe(rows)}. Nothing was sent. {_ACCEPTED}.")
        given = ContactRules.of(self, columns=None)
        if given.has_header or given.delimiter != ",":
            raise InvalidContacts(
                f"{subject} returned rows, and has_header and delimiter apply to files only. Nothing was sent. Leave "
                "them out, and do not yield a row of names."
            )


def queuecalls_task(python_callable: Callable[..., Any] | None = None, **kwargs: Any) -> TaskDecorator:
    """Turn a function into a task that queues a calling campaign; takes the parameters of QueueCallsOperator."""
    # Airflow would infer multiple_outputs from what the function returns, which is not what goes to XCom.
    return task_decorator_factory(
        python_callable=python_callable,
        decorated_operator_class=DecoratedQueueCallsOperator,
        **{"multiple_outputs": False, **kwargs},
    )
