"""Every public parameter is documented in the docstring that an editor shows, by the tables where they declare it."""

from __future__ import annotations

import importlib
import inspect
import re
from typing import Any

import pytest

from airflow_provider_queuecalls.client.campaign import Campaign
from airflow_provider_queuecalls.client.client import Client
from airflow_provider_queuecalls.contacts import ContactRules
from airflow_provider_queuecalls.decorators.queuecalls import DecoratedQueueCallsOperator
from airflow_provider_queuecalls.get_provider_info import get_provider_info
from airflow_provider_queuecalls.parameters import Parameter
from airflow_provider_queuecalls.value_types import INTEGER
from tools import tables


def public_classes() -> list[type]:
    """The classes that people construct."""
    info = get_provider_info()
    modules = [
        name
        for kind in ("operators", "hooks", "sensors")
        for entry in info.get(kind, [])
        for name in entry["python-modules"]
    ]
    modules += [entry["python-module"] for entry in info["transfers"]]
    modules += [name.rpartition(".")[0] for name in info["notifications"]]
    found = [
        member
        for module in map(importlib.import_module, modules)
        for name, member in inspect.getmembers(module, inspect.isclass)
        if member.__module__ == module.__name__ and re.search("(Operator|Hook|Sensor|Notifier)$", name)
    ]
    return [*found, DecoratedQueueCallsOperator, Campaign, ContactRules, Client]


def undocumented(cls: Any) -> set[str]:
    """The parameters of a class's constructor that its docstring has no ``:param`` for."""
    parameters = inspect.signature(cls.__init__ if "__init__" in vars(cls) else cls).parameters.values()
    named = {each.name for each in parameters if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)} - {"self"}
    return named - set(re.findall(r":param (\w+): \S", cls.__doc__ or ""))


@pytest.mark.parametrize("cls", public_classes(), ids=lambda cls: cls.__name__)
def test_every_parameter_of_a_public_class_is_documented(cls: type) -> None:
    assert undocumented(cls) == set()


def test_a_parameter_without_documentation_is_found() -> None:
    class Example:
        """:param known: what it is"""

        def __init__(self, known: int, forgotten: int) -> None: ...

    assert undocumented(Example) == {"forgotten"}


def test_the_tables_and_docstrings_are_current() -> None:
    for (path, name), parameters in tables.DOCUMENTED.items():
        source = (tables.ROOT / "airflow_provider_queuecalls" / path).read_text(encoding="utf-8")
        assert tables.documented(source, name, parameters) == source


SOURCE = '''class Other:
    """:param tries: not this class"""


class Example:
    """What it is.

    :param by_hand: stays as
        it is
    :param tries: stale
        for long

    And more.
    """

    tries = 1
'''
TRIES = Parameter(name="tries", type=INTEGER, doc="How often.", minimum=0, maximum=10, default=3)
NEW = Parameter(name="new", type=INTEGER, doc="Something else.", required=True)


def test_entries_are_replaced_and_added_and_others_left_alone() -> None:
    made = tables.documented(SOURCE, "Example", [NEW, TRIES])
    entries = "    :param tries: How often. Accepts a whole number from 0 to 10. Default: 3.\n    :param new: Something else. Accepts a whole number. Required.\n"
    assert made == SOURCE.replace("    :param tries: stale\n        for long\n", entries)
    assert tables.documented(made, "Example", [NEW, TRIES]) == made


def test_entries_are_added_to_a_docstring_without_any() -> None:
    source = 'class Example:\n    """What it is.\n\n    More.\n    """\n'
    made = 'class Example:\n    """What it is.\n\n    More.\n\n    :param new: Something else. Accepts a whole number. Required.\n    """\n'
    assert tables.documented(source, "Example", [NEW]) == made
