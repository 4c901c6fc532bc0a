"""``@task.queuecalls``: a function whose rows become a calling campaign."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_queuecalls._airflow.compat import (
    DecoratedOperator,
    context_merge,
    determine_kwargs,
    task_decorator_factory,
)
from airflow_provider_queuecalls.exceptions import InvalidContacts
from airflow_provider_queuecalls.operators.queuecalls import ContactFile, QueueCallsOperator

if TYPE_CHECKING:
    from airflow_provider_queuecalls._airflow.compat import Context, TaskDecorator
    from airflow_provider_queuecalls._airflow.storage import Location

_GIVES = "Yield contacts, or return them, a frame, or the path or URL of a contact file"


class DecoratedQueueCallsOperator(DecoratedOperator, QueueCallsOperator):
    """Queue a calling campaign to the contacts that a function gives.

    :param python_callable: the function. It yields or returns contacts: tuples of phone_number, message_reference and
        call_parameter, or mappings with these names (or those of ``columns``; other keys are ignored); or it returns a
        frame of pandas, polars or Arrow with these columns; or the path or URL of a contact file, as ``contacts`` is
    :param op_args: what to call it with (templated)
    :param op_kwargs: what to call it with by name (templated)

    What is yielded is written to a contact file as it comes, one line for each, so that line 7 of a report is row 7,
    and never all of it in memory. An error of the function fails the task as any other, before anything is sent.
    """

    custom_operator_name = "@task.queuecalls"
    template_fields: Sequence[str] = (
        *DecoratedOperator.template_fields,
        *(name for name in QueueCallsOperator.template_fields if name != "contacts"),
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {**DecoratedOperator.template_fields_renderers}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(contacts="", **kwargs)

    def execute(self, context: Context) -> dict[str, Any]:
        """Queue the campaign. What DecoratedOperator does with a function's value is not for this one."""
        return QueueCallsOperator.execute(self, context)

    @contextmanager
    def _contact_file(self, context: Context) -> Iterator[ContactFile]:
        from airflow_provider_queuecalls.contacts.frames import frame_rows
        from airflow_provider_queuecalls.contacts.writing import written

        # Rows may name their columns, as a header line does. Said before the function runs, which may take a while.
        rules = self._rules(has_header=True)
        origin = f"the function {self.python_callable.__name__!r}"
        sources: list[Location] = []
        with ExitStack() as stack:
            given = self._called(context)
            names, rows = frame_rows(given) or (None, given)
            if names is None and (isinstance(given, str | os.PathLike) or hasattr(given, "protocol")):
                _assert_path(given, origin)
                rules = self._rules()
                sources.append(given)
                contacts = stack.enter_context(self._fetched(given))
            else:
                self._assert_rows(rows, origin)
                if isinstance(rows, Generator):
                    stack.callback(rows.close)
                contacts = stack.enter_context(written(rows, rules, origin, names=names, log=self.log.info))
                rules = rules.for_rows()
            yield ContactFile(contacts, rules, sources)

    def _called(self, context: Context) -> Any:
        context_merge(context, self.op_kwargs)
        return self.python_callable(*self.op_args, **determine_kwargs(self.python_callable, self.op_args, context))

    def _assert_rows(self, rows: object, origin: str) -> None:
        if not isinstance(rows, Iterable) or isinstance(rows, bytes | bytearray | Mapping):
            kind = "None" if rows is None else f"a {type(rows).__name__}"
            raise InvalidContacts(f"{origin[0].upper()}{origin[1:]} returned {kind}. Nothing was sent. {_GIVES}.")
        given = self._rules(columns=None)
        if given.has_header or given.delimiter != ",":
            raise InvalidContacts(
                f"{origin[0].upper()}{origin[1:]} gave rows, and has_header and delimiter are about a file. Nothing "
                "was sent. Take them out, and a row of names too."
            )


def _assert_path(given: object, origin: str) -> None:
    """A contact that was returned as a text would be shown, as a path that doesn't exist."""
    if isinstance(given, str) and re.match(r"\s*\+?(tel:)?[\d ().+-]{7,}\s*(,|;|$)|.*[\r\n]", given):
        raise InvalidContacts(
            f"{origin[0].upper()}{origin[1:]} returned a text that is no path but looks like contacts. Nothing was "
            f"sent. {_GIVES}."
        )


def queuecalls_task(python_callable: Callable[..., Any] | None = None, **kwargs: Any) -> TaskDecorator:
    """Make a function a task that queues a calling campaign; parameters are those of QueueCallsOperator."""
    # Not to be guessed from what the function returns: that isn't what goes to XCom.
    return task_decorator_factory(
        python_callable=python_callable,
        decorated_operator_class=DecoratedQueueCallsOperator,
        **{"multiple_outputs": False, **kwargs},
    )
