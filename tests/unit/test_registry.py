"""The file for Apache Airflow's registry of providers: it says of this one what the package itself says."""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
from typing import Any

import pytest
import yaml

from airflow_provider_queuecalls.get_provider_info import get_provider_info
from tests.support.command import REPOSITORY

REGISTRY: dict[str, Any] = yaml.safe_load((REPOSITORY / ".airflow-registry.yaml").read_text("utf-8"))
#: What the names of the classes end with that a kind of module holds.
ENDINGS = {
    "operators": "Operator",
    "hooks": "Hook",
    "sensors": "Sensor",
    "triggers": "Trigger",
    "transfers": "Operator",
}


def shipped(kind: str) -> list[str]:
    """The classes and functions of one kind that the provider's metadata name or lead to."""
    names = []
    for entry in get_provider_info().get(kind, []):
        if isinstance(entry, str):
            names.append(entry)
        elif "class-name" in entry:
            names.append(entry["class-name"])
        else:
            for module in entry.get("python-modules") or [entry["python-module"]]:
                classes = inspect.getmembers(importlib.import_module(module), inspect.isclass)
                names += [
                    f"{module}.{name}"
                    for name, found in classes
                    if found.__module__ == module and name.endswith(ENDINGS[kind])
                ]
    return sorted(names)


def test_it_is_about_this_distribution() -> None:
    info = get_provider_info()
    assert (
        REGISTRY["package-name"]
        == importlib.metadata.metadata("airflow-provider-queuecalls")["Name"]
        == info["package-name"]
    )
    assert REGISTRY["display-name"] == info["name"]
    assert REGISTRY["description"] == info["description"]


@pytest.mark.parametrize("kind", [*ENDINGS, "notifications", "task-decorators"])
def test_it_lists_all_that_is_shipped_and_nothing_else(kind: str) -> None:
    assert sorted(entry["module"] for entry in REGISTRY.get(kind, [])) == shipped(kind)


def test_operators_and_hooks_are_found_at_all() -> None:
    assert shipped("operators")
    assert shipped("hooks")


def test_every_entry_says_what_it_is_for() -> None:
    entries = [entry for section in REGISTRY.values() if isinstance(section, list) for entry in section]
    assert entries
    assert all(entry["description"] for entry in entries)
