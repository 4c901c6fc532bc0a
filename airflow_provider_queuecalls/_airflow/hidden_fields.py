"""Template fields whose rendered values Airflow must not show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_queuecalls.parameters import is_unset

if TYPE_CHECKING:
    import jinja2

    from airflow_provider_queuecalls._airflow.compat import BaseOperator, Context
else:
    BaseOperator = object


class HidesFields(BaseOperator):
    """Base of operators whose ``hidden_fields`` Airflow stores and shows as ``***``."""

    hidden_fields: Sequence[str] = ()

    def _do_render_template_fields(
        self,
        parent: Any,
        template_fields: Iterable[str],
        context: Context,
        jinja_env: jinja2.Environment,
        seen_oids: set[int],
    ) -> None:
        super()._do_render_template_fields(parent, template_fields, context, jinja_env, seen_oids)
        for name in self.hidden_fields if parent is self else ():
            if not is_unset(value := getattr(self, name)):
                setattr(self, name, Hidden(value))


class Hidden:
    """A rendered value that Airflow shows as ``***``."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return "***"


def revealed(value: Any) -> Any:
    """The value itself, of a field that is hidden."""
    return value.value if isinstance(value, Hidden) else value
