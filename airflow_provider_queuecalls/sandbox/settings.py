"""How a sandbox behaves: all that its command's options say."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from airflow_provider_queuecalls.sandbox import DEFAULT_LOGIN, DEFAULT_PIN


@dataclass(frozen=True)
class Settings:
    """How a sandbox behaves.

    ``speed`` is that of its clock, 0 stands still until it is put forward. ``answers`` is ``xml`` or ``json``,
    ``errors`` is ``failed`` (2xx and failed, as the vendor) or ``http`` (codes). ``check_urls`` wants start_url and
    result_url to answer 200 before anything is queued. ``callback_hosts`` are called back besides this machine; ``*``
    is any. ``field_names`` are other names of form fields, as in the connection's extra.
    """

    login: str = DEFAULT_LOGIN
    pin: str = field(default=DEFAULT_PIN, repr=False)
    field_names: Mapping[str, str] = field(default_factory=dict)
    speed: float = 1.0
    seed: int = 0
    answers: str = "xml"
    errors: str = "failed"
    unique_names: bool = True
    check_urls: bool = False
    callback_hosts: Collection[str] = ()
    max_upload_bytes: int = 1 << 30
