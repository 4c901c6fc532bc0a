"""The connection form of Airflow before 3.2, made of what is declared for newer versions.

Its libraries are imported when a field is made, as Airflow 3.0 and 3.1 put others in their place for the moment.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def form_field(declared: Mapping[str, Any]) -> Any:
    """Make a field out of one of the metadata's ``conn-fields``."""
    from wtforms import BooleanField, PasswordField, StringField

    schema = declared["schema"]
    shown = {"label": declared["label"], "description": declared["description"]}
    if schema.get("format") == "password":
        return PasswordField(**shown, widget=_secret_widget())
    # Airflow 2 doesn't fill in what is false, so a box that is ticked by default would tick itself again.
    if "boolean" in schema["type"] and not schema["default"]:
        return BooleanField(**shown)
    return StringField(**shown, widget=_text_widget())


def _text_widget() -> Any:
    from flask_appbuilder.fieldwidgets import BS3TextFieldWidget

    class Text(BS3TextFieldWidget):  # type: ignore[misc]
        """Shows an object as it is written in JSON."""

        def __call__(self, field: Any, **attributes: Any) -> Any:
            if isinstance(field.data, dict):
                field.data = json.dumps(field.data)
            return super().__call__(field, **attributes)

    return Text()


def _secret_widget() -> Any:
    from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget

    class Secret(BS3PasswordFieldWidget):  # type: ignore[misc]
        """Stands for a secret that is set, so that saving the form keeps it."""

        def __call__(self, field: Any, **attributes: Any) -> Any:
            from airflow.www.views import SENSITIVE_FIELD_PLACEHOLDER  # type: ignore[import-not-found]

            if field.data:
                field.data = SENSITIVE_FIELD_PLACEHOLDER
                self.hide_value = False
            return super().__call__(field, **attributes)

    return Secret()
