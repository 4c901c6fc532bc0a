"""The provider's metadata for Airflow. Every Airflow process imports this module."""

from __future__ import annotations

from typing import Any

from airflow_provider_queuecalls.client.connection import FIELDS, Field
from airflow_provider_queuecalls.client.endpoint import CONN_TYPE
from airflow_provider_queuecalls.value_types import SECRET

PACKAGE = "airflow-provider-queuecalls"
NAME = "queuecalls"


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata, by the schema of Airflow's provider packages."""
    return {
        "package-name": PACKAGE,
        "name": NAME,
        "description": "Turns a contact file into a calling campaign with the queuecalls web service.",
        "integrations": [
            {
                "integration-name": NAME,
                "external-doc-url": "https://api-docs.plumvoice.com/reference/post_queuecalls-php",
            }
        ],
        "operators": [
            {
                "integration-name": NAME,
                "python-modules": [
                    "airflow_provider_queuecalls.operators.queuecalls",
                    "airflow_provider_queuecalls.operators.call_results",
                    "airflow_provider_queuecalls.operators.split_contacts",
                ],
            }
        ],
        "sensors": [{"integration-name": NAME, "python-modules": ["airflow_provider_queuecalls.sensors.queuecalls"]}],
        "triggers": [{"integration-name": NAME, "python-modules": ["airflow_provider_queuecalls.triggers.queuecalls"]}],
        "hooks": [{"integration-name": NAME, "python-modules": ["airflow_provider_queuecalls.hooks.queuecalls"]}],
        "transfers": [
            {
                "source-integration-name": "Common SQL",
                "target-integration-name": NAME,
                "python-module": "airflow_provider_queuecalls.transfers.sql_to_queuecalls",
            }
        ],
        "task-decorators": [
            {"name": NAME, "class-name": "airflow_provider_queuecalls.decorators.queuecalls.queuecalls_task"}
        ],
        "notifications": ["airflow_provider_queuecalls.notifications.queuecalls.QueueCallsNotifier"],
        "extra-links": ["airflow_provider_queuecalls.links.queuecalls.CampaignLink"],
        "config": {
            "queuecalls": {
                "description": "Options of airflow-provider-queuecalls.",
                "options": {
                    "receipts_path": {
                        "description": (
                            "Folder for the records of all campaigns, so that no campaign is sent twice, also after Clear "
                            "and across deployments: any URL of ObjectStoragePath, such as s3://conn@bucket/queuecalls; an "
                            "absolute path that all workers share, of a folder made by 'queuecalls records init'; 'database' "
                            "for the results database, if it is PostgreSQL; or 'none' to keep no record. Each campaign has a folder in it, with small JSON files. If it is empty, "
                            "Airflow 3.3 keeps the record in the task's own state, which Clear deletes in Airflow 3.4 or "
                            "later; earlier versions send nothing."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "s3://conn@bucket/queuecalls",
                        "default": "",
                    },
                    "check_memory_mb": {
                        "description": (
                            "Memory that the check of a contact file may use, in MiB, at least 256. Files and suppression "
                            "lists of any size fit into the default; with more, large ones are compared in fewer steps."
                        ),
                        "version_added": "0.1.0",
                        "type": "integer",
                        "example": "2048",
                        "default": "512",
                    },
                    "max_per_period": {
                        "description": (
                            "How often a number may be called in a period of time, such as 3/24h, by all campaigns that operators, "
                            "deliver(), and 'queuecalls send' send: the default of the parameter max_per_period. It needs results_database and results_secret."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "3/24h",
                        "default": "",
                    },
                    "results_url": {
                        "description": (
                            "Public URL of the receiver that 'queuecalls results serve' runs. A task with "
                            "collect_results=True makes the result_url of its campaign from it, and one with speak its start_url."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "https://results.example.com/queuecalls",
                        "default": "",
                    },
                    "results_secret": {
                        "description": (
                            "Secret that signs the result_url and the script of each campaign, of at least 16 characters, the same as the "
                            "receiver's. Several are separated by commas: the first one signs, all of them are accepted. The record "
                            "for max_per_period is hashed with a key that is derived from it."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "sensitive": True,
                        "example": None,
                        "default": "",
                    },
                    "results_database": {
                        "description": (
                            "Database of campaigns and results: a URL such as postgresql://USER:PASSWORD@HOST/DATABASE or "
                            "sqlite:///FILE, or the id of an Airflow connection. If it is set, each campaign that a task sends is listed in it "
                            "with its outcome. If results_secret is set too, the API server of Airflow 3 receives results at "
                            "/queuecalls/results."
                        ),
                        "version_added": "0.1.0",
                        "type": "string",
                        "sensitive": True,
                        "example": None,
                        "default": "",
                    },
                },
            }
        },
        "connection-types": [
            {
                "connection-type": CONN_TYPE,
                "hook-name": "queuecalls",
                "hook-class-name": "airflow_provider_queuecalls.hooks.queuecalls.QueueCallsHook",
                "ui-field-behaviour": ui_field_behaviour(),
                "conn-fields": conn_fields(),
            }
        ],
    }


def ui_field_behaviour() -> dict[str, Any]:
    """Return what becomes of the form's fields: Airflow's own are hidden or get labels, all get placeholders."""
    placeholders = {entry.name: entry.example or entry.default_text for entry in FIELDS}
    return {
        "hidden-fields": ["extra"],
        "relabeling": {entry.name: entry.label for entry in FIELDS if entry.standard},
        "placeholders": {name: placeholder for name, placeholder in placeholders.items() if placeholder},
    }


def conn_fields() -> dict[str, Any]:
    """Return the form's fields for the connection's extra, as Airflow from 3.2 on reads them."""
    return {entry.name: _conn_field(entry) for entry in FIELDS if not entry.standard}


def _conn_field(entry: Field) -> dict[str, Any]:
    form_type = entry.type.form_type
    schema: dict[str, Any] = {"type": [form_type, "null"]}
    if entry.type is SECRET:
        schema["format"] = "password"
    elif entry.default not in (None, {}) and (form_type != "string" or isinstance(entry.default, str)):
        schema["default"] = entry.default
    example = f" Example: {entry.example}" if entry.example else ""
    description = f"{entry.doc} Accepts {entry.rule}. Default: {entry.default_text}.{example}"
    return {"label": entry.label, "description": description, "schema": schema}
