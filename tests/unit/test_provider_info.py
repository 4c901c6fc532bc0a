"""The provider's metadata, by its effect on Airflow."""

from __future__ import annotations

import importlib
import importlib.metadata
from typing import Any

import pytest

from airflow_provider_queuecalls.connection import FIELDS
from airflow_provider_queuecalls.get_provider_info import get_provider_info


@pytest.fixture(scope="module")
def manager(airflow: Any) -> Any:
    from airflow.providers_manager import ProvidersManager

    return ProvidersManager()


def test_airflow_finds_the_provider_by_the_distributions_name(manager: Any) -> None:
    name = get_provider_info()["package-name"]
    assert importlib.metadata.metadata("airflow-provider-queuecalls")["Name"] == name
    assert manager.providers[name].version == importlib.metadata.version(name)


def test_the_metadata_are_what_airflows_schema_asks_for(airflow: Any) -> None:
    import json
    from pathlib import Path

    import jsonschema

    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
    assert list(jsonschema.validators.validator_for(schema)(schema).iter_errors(get_provider_info())) == []


def test_every_module_that_is_named_exists() -> None:
    info = get_provider_info()
    for kind in ("operators", "hooks"):
        for entry in info[kind]:
            for module in entry["python-modules"]:
                assert importlib.import_module(module).__name__ == module


def test_the_connection_type_leads_to_the_hook(manager: Any) -> None:
    hook = manager.hooks["queuecalls"]
    assert (hook.hook_name, hook.connection_type) == ("queuecalls", "queuecalls")
    assert hook.connection_id_attribute_name == "queuecalls_conn_id"
    assert hook.connection_testable


def test_airflow_knows_the_link_without_which_2_11_shows_none(manager: Any) -> None:
    assert "airflow_provider_queuecalls.links.queuecalls.CampaignLink" in manager.extra_links_class_names


def test_the_connection_form_has_every_field_with_label_and_help() -> None:
    from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService

    (form,) = [meta for meta in HookMetaService.hook_meta_data() if meta.connection_type == "queuecalls"]
    extras = {entry.name: entry for entry in FIELDS if not entry.standard}
    assert set(form.extra_fields or {}) == set(extras)
    for name, entry in extras.items():
        shown = form.extra_fields[name]  # type: ignore[index]
        assert shown["schema"]["title"] == entry.label
        assert entry.doc in shown["description"]
        assert (shown["schema"].get("format") == "password") is entry.secret
    assert form.standard_fields.password.title == "PIN"
    assert form.standard_fields.host.placeholder
    assert not form.standard_fields.host.hidden
