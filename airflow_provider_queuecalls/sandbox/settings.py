"""The settings of a sandbox: what the command's options say."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

from airflow_provider_queuecalls.sandbox import DEFAULT_LOGIN, DEFAULT_PIN

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    """The settings of a sandbox.

    :param login: The login name that it accepts.
    :param pin: The PIN that it accepts.
    :param field_names: Other names of form fields, as in the connection's extra.
    :param speed: How many seconds pass on its clock in one real second; 0 stands still until it is put forward.
    :param seed: Another seed gives another mix of answered and failed calls.
    :param response_format: ``xml`` as the vendor's single call, ``json`` as its sibling products, or ``text``.
    :param response_names: Other names and words in responses, by those of :class:`~.responses.Names`.
    :param errors: ``failed`` refuses with HTTP 200 and ``failed`` in the body, as the vendor does; ``http`` with HTTP
        401, 409 or 422.
    :param unique_names: Refuse a campaign whose name is taken.
    :param checks_pin: Refuse a wrong PIN.
    :param basic_auth: Whether HTTP Basic is ``optional``, ``required``, or ``refused``.
    :param redirect: Respond to everything with 302: to ``https`` on the same host and port, or to a URL.
    :param unknown_fields: ``refuse`` or ``ignore`` fields that are not documented.
    :param duplicates: ``queue`` each row of a number that is given twice, ``drop`` all but the first, or ``refuse`` the file.
    :param bad_rows: ``refuse`` a file with a row that is not valid, or ``skip`` the row.
    :param quoting: ``refuse`` a row with a quote, or ``read`` it as in RFC 4180.
    :param expired: ``refuse`` a campaign that has expired, or ``accept`` it and call nobody.
    :param check_urls: Queue nothing unless start_url and result_url respond with 200.
    :param callback_hosts: Hosts that are called back besides this machine; ``*`` is any.
    :param calling_hours: Hours to compare attempts with, as QueueCallsOperator accepts them.
    :param max_upload_bytes: The largest request body.
    """

    login: str = DEFAULT_LOGIN
    pin: str = field(default=DEFAULT_PIN, repr=False)
    field_names: Mapping[str, str] = field(default_factory=dict)
    speed: float = 1.0
    seed: int = 0
    response_format: Literal["xml", "json", "text"] = "xml"
    response_names: Mapping[str, str] = field(default_factory=dict)
    errors: Literal["failed", "http"] = "failed"
    unique_names: bool = True
    checks_pin: bool = True
    basic_auth: Literal["optional", "required", "refused"] = "optional"
    redirect: str | None = None
    unknown_fields: Literal["refuse", "ignore"] = "refuse"
    duplicates: Literal["queue", "drop", "refuse"] = "queue"
    bad_rows: Literal["refuse", "skip"] = "refuse"
    quoting: Literal["refuse", "read"] = "refuse"
    expired: Literal["refuse", "accept"] = "refuse"
    check_urls: bool = False
    callback_hosts: Collection[str] = ()
    calling_hours: str | None = None
    max_upload_bytes: int = 1 << 30
