"""The few names that moved between Airflow 2.11 and 3.x."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import (
        Asset,
        BaseHook,
        BaseNotifier,
        BaseOperator,
        BaseOperatorLink,
        BaseSensorOperator,
        Context,
        PokeReturnValue,
    )
    from airflow.sdk.bases.decorator import DecoratedOperator, TaskDecorator, determine_kwargs, task_decorator_factory
    from airflow.sdk.definitions.context import context_merge
    from airflow.sdk.exceptions import AirflowFailException, AirflowNotFoundException, AirflowSkipException
    from airflow.sdk.log import mask_secret
else:
    try:
        from airflow.sdk import BaseOperator, BaseOperatorLink, Context
    except ImportError:
        from airflow.models import BaseOperator, BaseOperatorLink
        from airflow.utils.context import Context
    try:
        from airflow.sdk.bases.decorator import DecoratedOperator, TaskDecorator, task_decorator_factory
    except ImportError:
        from airflow.decorators.base import DecoratedOperator, TaskDecorator, task_decorator_factory
    try:
        from airflow.sdk.definitions.context import context_merge
    except ImportError:
        from airflow.utils.context import context_merge
    try:
        from airflow.sdk.bases.decorator import determine_kwargs
    except ImportError:
        from airflow.utils.operator_helpers import determine_kwargs
    try:
        from airflow.sdk import BaseNotifier
    except ImportError:
        from airflow.notifications.basenotifier import BaseNotifier
    try:
        from airflow.sdk import Asset, BaseSensorOperator, PokeReturnValue
    except ImportError:
        from airflow.datasets import Dataset as Asset
        from airflow.sensors.base import BaseSensorOperator, PokeReturnValue
    try:
        from airflow.sdk import BaseHook
    except ImportError:
        from airflow.hooks.base import BaseHook
    try:
        from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
    except ImportError:
        from airflow.exceptions import AirflowFailException, AirflowSkipException
    try:
        from airflow.sdk.exceptions import AirflowNotFoundException
    except ImportError:
        from airflow.exceptions import AirflowNotFoundException
    try:
        from airflow.sdk.log import mask_secret
    except ImportError:
        try:
            from airflow.sdk.execution_time.secrets_masker import mask_secret
        except ImportError:
            from airflow.utils.log.secrets_masker import mask_secret

__all__ = [
    "AirflowFailException",
    "AirflowNotFoundException",
    "AirflowSkipException",
    "Asset",
    "BaseHook",
    "BaseNotifier",
    "BaseOperator",
    "BaseOperatorLink",
    "BaseSensorOperator",
    "Context",
    "DecoratedOperator",
    "PokeReturnValue",
    "TaskDecorator",
    "conf",
    "context_merge",
    "determine_kwargs",
    "has_storage",
    "mask",
    "object_storage_path",
    "running_task",
    "task_decorator_factory",
    "variable",
    "xcom",
]

#: Airflow masks no shorter texts, and warns about them.
SHORTEST_MASKED = 5


def conf() -> Any:
    """Airflow's configuration."""
    try:
        from airflow.sdk.configuration import conf
    except ImportError:
        from airflow.configuration import conf
    return conf


def mask(text: str) -> None:
    """Let Airflow's logs show a text as ``***``, unless it is too short. An extra protection: no log of ours contains the
    text."""
    if len(text) >= SHORTEST_MASKED:
        mask_secret(text)


def object_storage_path(url: str) -> Any:
    """Airflow's path to a file in any storage. Imported when it is needed: it takes a while."""
    try:
        from airflow.sdk import ObjectStoragePath
    except ImportError:
        from airflow.io.path import ObjectStoragePath  # type: ignore[import-not-found,no-redef]
    return ObjectStoragePath(url)


def has_storage(scheme: str) -> bool:
    """Whether a provider that is installed has a storage for URLs of this scheme."""
    try:
        from airflow.sdk.io import has_fs
    except ImportError:  # before 3.1
        from airflow.io import has_fs  # type: ignore[attr-defined,no-redef]
    return has_fs(scheme)


def running_task() -> Any:
    """The task instance whose task runs in this process; None outside of one."""
    from airflow.exceptions import AirflowException  # type: ignore[attr-defined]

    try:
        from airflow.sdk import get_current_context
    except ImportError:
        from airflow.operators.python import get_current_context  # type: ignore[import-not-found,no-redef]
    try:
        return get_current_context()["ti"]
    except (RuntimeError, AirflowException):  # as Airflow 3 and Airflow 2 raise
        return None


def variable(key: str) -> Any:
    """The value of one of Airflow's Variables, as text; None where there is none."""
    try:
        from airflow.sdk import Variable
    except ImportError:
        from airflow.models import Variable

        return Variable.get(key, default_var=None)  # type: ignore[call-arg]
    return Variable.get(key, default=None)


def xcom() -> Any:
    """Airflow's XCom, which asks its configuration for a backend when it is imported."""
    try:
        from airflow.sdk.execution_time.xcom import XCom
    except ImportError:
        from airflow.models import XCom
    return XCom
