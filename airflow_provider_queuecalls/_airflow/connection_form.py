"""The connection form of Airflow before 3.2, made of what is declared for newer versions.

Its libraries are imported when a field is made, because Airflow 3.0 and 3.1 replace them with others while they read the
form.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def form_field(declared: Mapping[str, Any]) -> Any:
    """Return the form field for one of the provider's ``conn-fields``."""
    from wtforms import BooleanField, PasswordField, StringField

    schema = declared["schema"]
    shown = {"label": declared["label"], "description": declared["description"]}
    if schema.get("format") == "password":
        return PasswordField(**shown, widget=_secret_widget())
    # Airflow 2 does not restore a stored false: a box that is checked by default would check itself again. So a switch
    # with the default true is a text field, whose description names both values and the default.
    if "boolean" in schema["type"] and not schema["default"]:
        return BooleanField(**shown)
    return StringField(**shown, widget=_text_widget())


def _text_widget() -> Any:
    from flask_appbuilder.fieldwidgets import BS3TextFieldWidget

    class Text(BS3TextFieldWidget):  # type: ignore[misc]
        """Shows an object as JSON."""

        def __call__(self, field: Any, **attributes: Any) -> Any:
            if isinstance(field.data, dict):
                field.data = json.dumps(field.data)
            return super().__call__(field, **attributes)

    return Text()


def _secret_widget() -> Any:
    from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget

    class Secret(BS3PasswordFieldWidget):  # type: ignore[misc]
        """Shows a placeholder for a stored secret, which saving the form keeps."""

        def __call__(self, field: Any, **attributes: Any) -> Any:
            from airflow.www.views import SENSITIVE_FIELD_PLACEHOLDER  # type: ignore[import-not-found]

            if field.data:
                field.data = SENSITIVE_FIELD_PLACEHOLDER
                self.hide_value = False
            return super().__call__(field, **attributes)

    return Secret()
