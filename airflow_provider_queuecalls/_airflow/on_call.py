"""Whom an alarm calls: phone numbers from a function, an Airflow Variable, or the connection, never from an argument."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow_provider_queuecalls._airflow.compat import mask, variable
from airflow_provider_queuecalls.exceptions import InvalidCampaign, Violation
from airflow_provider_queuecalls.parameters import is_unset, show
from airflow_provider_queuecalls.value_types import PHONE_NUMBERS, read_phone_numbers

if TYPE_CHECKING:
    from airflow_provider_queuecalls._airflow.compat import Context
    from airflow_provider_queuecalls.client.endpoint import Endpoint
    from airflow_provider_queuecalls.files.writing import LocalCopy

#: A function that gets the context and returns phone numbers.
To: TypeAlias = "Callable[[Context], Any] | None"


def assert_source(to: Any, to_variable: Any) -> None:
    """Raise :class:`InvalidCampaign` if the arguments may have phone numbers themselves, name two sources, or name none that
    :func:`recipients_id` can tell from others."""
    problem, rule, name = "", "", "to"
    if to is not None and not callable(to):
        problem = "is not a function"
        rule = "a function that returns the phone numbers. Put the numbers into an Airflow Variable, and name it in to_variable"
    elif to is not None and to_variable is not None:
        problem, rule = "is given together with to_variable", "unset, or given without to_variable"
    elif to is not None and not _has_own_name(to):
        problem = "has no name of its own, so the people of several notifiers would count as the same"
        rule = (
            "a function that is defined with def at the top level of a module. Define one in place of a lambda, a "
            "functools.partial, a method, or a function inside another one"
        )
    elif to_variable is not None and not (isinstance(to_variable, str) and show(to_variable)):
        name, problem = "to_variable", "may be a phone number" if isinstance(to_variable, str) else "is not a string"
        rule = "the name of an Airflow Variable that has the phone numbers"
    if problem:
        raise _invalid(name, problem, rule)


def _has_own_name(to: Any) -> bool:
    """Whether no other function has this one's name: it is not ``<lambda>``, and not made anew inside of ``<locals>``."""
    return inspect.isfunction(to) and "<" not in to.__qualname__


def recipients_id(to: To, to_variable: str | None, conn_id: str) -> str:
    """A text that identifies the people to call, without looking up their numbers."""
    if to is not None:
        return f"to {to.__module__}.{to.__qualname__}"
    if not is_unset(to_variable):
        return f"to_variable {to_variable}"
    return f"notify_numbers of {conn_id}"


def numbers_to_call(to: To, to_variable: str | None, context: Context, endpoint: Endpoint) -> tuple[str, ...]:
    """Whom to call. Airflow's logs show their numbers as ``***``. Raises :class:`InvalidCampaign` if there is nobody."""
    if to is not None:
        source, value = "to", to(context)
    elif not is_unset(to_variable):
        source, value = "to_variable", variable(str(to_variable))
    else:
        source, value = "notify_numbers", endpoint.notify_numbers
    try:
        numbers = () if is_unset(value) else read_phone_numbers(value)
    except ValueError as problem:
        raise _invalid(source, str(problem), PHONE_NUMBERS.rule) from None
    if not numbers and source == "to_variable":
        wrong = "is not the name of an Airflow Variable that has a phone number"
        raise _invalid(source, wrong, f"the name of one whose value is {PHONE_NUMBERS.rule}", show(to_variable))
    if not numbers:
        raise _invalid(source, "has no phone number", PHONE_NUMBERS.rule)
    for number in numbers:
        mask(number)
    return numbers


@contextmanager
def as_contacts(numbers: Sequence[str]) -> Iterator[LocalCopy]:
    """A contact file of these numbers."""
    from airflow_provider_queuecalls.files.writing import LocalCopy, temporary_file

    with temporary_file(buffering=0) as file:
        file.write("".join(f"{number}\n" for number in numbers).encode())
        yield LocalCopy(file, "on-call.csv", "with the numbers to notify")


def _invalid(name: str, problem: str, rule: str, value: str = "") -> InvalidCampaign:
    return InvalidCampaign([Violation(name, problem, rule, "QueueCallsNotifier", value)])
