"""The URL to which the service posts a campaign's results."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_queuecalls.client.campaign import BY_NAME
from airflow_provider_queuecalls.signed_url import assert_usable, parts_of, signed_url

_PURPOSE = "results"


def results_url(base: str, key: str, secrets: Sequence[str]) -> str:
    """Return the ``result_url`` of the campaign with this key below the receiver's public URL."""
    url = signed_url(base, _PURPOSE, key, secrets)
    assert_usable(base, url, BY_NAME["result_url"])
    return url


def key_of(path: str, secrets: Sequence[str]) -> str | None:
    """Return the key of the campaign whose results URL ends in this path; None if no secret has made it."""
    parts = parts_of(path, _PURPOSE, 1, secrets)
    return None if parts is None else parts[0]
