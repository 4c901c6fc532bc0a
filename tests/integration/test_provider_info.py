"""The provider's metadata, by its effect on Airflow."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import subprocess
import sys
from typing import Any

import pytest

from airflow_provider_queuecalls.client.connection import DEFAULT_HOST, FIELDS
from airflow_provider_queuecalls.get_provider_info import get_provider_info
from airflow_provider_queuecalls.value_types import SECRET
from tests.support.command import newly_imported


@pytest.fixture(scope="module")
def manager(airflow: Any) -> Any:
    from airflow.providers_manager import ProvidersManager

    return ProvidersManager()


def test_airflow_finds_the_provider_by_the_distributions_name(manager: Any) -> None:
    name = get_provider_info()["package-name"]
    assert importlib.metadata.metadata("airflow-provider-queuecalls")["Name"] == name
    assert manager.providers[name].version == importlib.metadata.version(name)


def test_the_metadata_are_what_airflows_schema_asks_for(airflow: Any) -> None:
    from pathlib import Path

    import jsonschema

    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
    assert list(jsonschema.validators.validator_for(schema)(schema).iter_errors(get_provider_info())) == []


def test_every_module_that_is_named_exists() -> None:
    info = get_provider_info()
    for kind in ("operators", "hooks", "sensors", "triggers"):
        for entry in info[kind]:
            for module in entry["python-modules"]:
                assert importlib.import_module(module).__name__ == module


def test_airflow_knows_the_notifier(manager: Any) -> None:
    assert set(get_provider_info()["notifications"]) <= set(manager.notification)
    for path in get_provider_info()["notifications"]:
        module, _, name = path.rpartition(".")
        assert callable(getattr(importlib.import_module(module), name))


def test_the_transfer_and_its_integrations_exist(manager: Any) -> None:
    integrations = {
        entry["integration-name"]
        for provider in manager.providers.values()
        for entry in provider.data.get("integrations", [])
    }
    for entry in get_provider_info()["transfers"]:
        assert importlib.import_module(entry["python-module"])
        assert {entry["source-integration-name"], entry["target-integration-name"]} <= integrations


def test_the_connection_type_leads_to_the_hook(manager: Any) -> None:
    hook = manager.hooks["queuecalls"]
    assert (hook.hook_name, hook.connection_type) == ("queuecalls", "queuecalls")
    assert hook.connection_id_attribute_name == "queuecalls_conn_id"
    assert hook.connection_testable


def test_airflow_knows_the_link_without_which_2_11_shows_none(manager: Any) -> None:
    assert "airflow_provider_queuecalls.links.queuecalls.CampaignLink" in manager.extra_links_class_names


#: Prints the connection form as this Airflow has it, in a process of its own: 3.1 makes it under other conditions.
SHOW_FORM = """
import json
try:
    from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
except ImportError:  # Airflow 2
    from airflow.providers_manager import ProvidersManager
    manager = ProvidersManager()
    widgets = {name.split("__")[-1]: info for name, info in manager.connection_form_widgets.items() if "__queuecalls__" in name}
    given = {name: info.field.kwargs for name, info in widgets.items()}
    fields = {name: (given[name]["label"], given[name]["description"], widgets[name].is_sensitive) for name in given}
    behaviour = manager.field_behaviours["queuecalls"]
    standard = {name: (behaviour["relabeling"][name], behaviour["placeholders"][name]) for name in ("host", "password")}
else:
    (form,) = [meta for meta in HookMetaService.hook_meta_data() if meta.connection_type == "queuecalls"]
    shown = dict(form.extra_fields or {})
    fields = {
        name: (field["schema"]["title"], field["description"], field["schema"].get("format") == "password")
        for name, field in shown.items()
    }
    standard = {name: (getattr(form.standard_fields, name).title, getattr(form.standard_fields, name).placeholder) for name in ("host", "password")}
print("form:", json.dumps({"fields": fields, "standard": standard}))
"""


@pytest.fixture(scope="module")
def form(airflow: Any) -> Any:
    if airflow.__version__.startswith("3.0.") and importlib.util.find_spec("wtforms") is None:
        pytest.skip("Airflow 3.0 has forms with the FAB provider only")
    done = subprocess.run([sys.executable, "-c", SHOW_FORM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.partition("form: ")[2].splitlines()[0])


def test_the_connection_form_has_every_field_with_label_and_help(form: Any) -> None:
    extras = {entry.name: entry for entry in FIELDS if not entry.standard}
    assert set(form["fields"]) == set(extras)
    for name, entry in extras.items():
        label, words, secret = form["fields"][name]
        assert (label, secret) == (entry.label, entry.type is SECRET)
        assert entry.doc in words
        assert f"Accepts {entry.rule}. Default: {entry.default_text}." in words
    assert "Accepts true or false. Default: true." in form["fields"]["basic_auth"][1]
    assert "Default: 300 seconds." in form["fields"]["read_timeout"][1]


def test_the_connection_forms_standard_fields_have_our_labels_and_placeholders(form: Any) -> None:
    assert form["standard"] == {"host": ["Host", DEFAULT_HOST], "password": ["PIN", "the sender's PIN"]}


def test_airflow_loads_the_hook_without_a_deprecation_warning() -> None:
    code = (
        "import warnings; from airflow.exceptions import AirflowProviderDeprecationWarning as Deprecated\n"
        "from airflow.providers_manager import ProvidersManager\n"
        "warnings.simplefilter('error', Deprecated); print('hook:', ProvidersManager().hooks['queuecalls'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "hook: HookInfo(hook_class_name='airflow_provider_queuecalls.hooks.queuecalls.QueueCallsHook'" in done.stdout


def test_airflow_shows_all_of_it() -> None:
    command = ["airflow", "providers", "get", "airflow-provider-queuecalls", "--full", "-o", "json"]
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, check=True)
    (shown,), _ = json.JSONDecoder().raw_decode(done.stdout[done.stdout.index("[{") :])
    info = get_provider_info()
    assert set(shown) >= set(info)
    for name in ("package-name", "name", "integrations", "operators", "hooks", "extra-links"):
        assert shown[name] == info[name]
    assert "receipts_path" in shown["config"]["queuecalls"]["options"]
    assert set(shown["connection-types"][0]["conn-fields"]) == {entry.name for entry in FIELDS if not entry.standard}


def test_no_link_says_that_the_vendors_page_is_this_providers_documentation(manager: Any) -> None:
    """The project has no public address yet. Only the integration, which is the service itself, names the vendor's page."""
    assert importlib.metadata.metadata("airflow-provider-queuecalls").get_all("Project-URL") is None
    assert not manager.providers["airflow-provider-queuecalls"].data.get("documentation-url")
    (integration,) = get_provider_info()["integrations"]
    assert integration["external-doc-url"].startswith("https://api-docs.plumvoice.com/")


def test_the_metadata_import_nothing_but_the_standard_library_and_us() -> None:
    modules = newly_imported("import airflow_provider_queuecalls.get_provider_info as info; info.get_provider_info()")
    assert {name.partition(".")[0] for name in modules} - sys.stdlib_module_names == {"airflow_provider_queuecalls"}


def test_our_options_are_airflows(airflow: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW__QUEUECALLS__RECEIPTS_PATH", raising=False)
    code = "from airflow_provider_queuecalls._airflow.compat import conf; print('path:', repr(conf().get('queuecalls', 'receipts_path')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "path: ''" in done.stdout
