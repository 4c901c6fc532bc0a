"""The URL to which the service posts a campaign's results. It proves by itself that it was made with the secret.

The service requests the URL before it queues a campaign, so a receiver must know it without looking anything up.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence

from airflow_provider_queuecalls.client.campaign import BY_NAME
from airflow_provider_queuecalls.exceptions import QueueCallsError

#: With a shorter secret, whoever knows one URL could find the secret by trying, and make the URLs of all campaigns.
SHORTEST_SECRET = 16
_SIGNATURE_LENGTH = 40


def read_secrets(text: str) -> tuple[str, ...]:
    """Read secrets separated by commas or whitespace. The first one signs, all of them are accepted."""
    secrets = tuple(secret for secret in re.split(r"[\s,]+", text) if secret)
    if not secrets or min(map(len, secrets)) < SHORTEST_SECRET:
        problem = f"has fewer than {SHORTEST_SECRET} characters" if secrets else "is not set"
        raise QueueCallsError(
            f"The secret of the results URLs {problem}. Make one with: python -c 'import secrets; print(secrets.token_urlsafe())'"
        )
    return secrets


def results_url(base: str, key: str, secrets: Sequence[str]) -> str:
    """Return the ``result_url`` of the campaign with this key below the receiver's public URL, signed with the first secret."""
    url = f"{base.rstrip('/')}/{key}/{_signature(key, secrets[0])}"
    try:
        if "?" in base or "#" in base:
            raise ValueError("has a query or a fragment")
        return str(BY_NAME["result_url"].read(url))
    except ValueError as problem:
        raise QueueCallsError(
            f"The URL of the results receiver cannot be used: with the campaign's path, it {problem}. It must be an "
            "absolute http(s) URL without credentials and query, such as https://results.example.com/queuecalls."
        ) from None


def key_of(path: str, secrets: Sequence[str]) -> str | None:
    """Return the key of the campaign whose results URL ends in this path; None if no secret has made it.

    What comes before the last two parts doesn't matter: a proxy may add or remove a prefix.
    """
    *_, key, signature = ("", "", *path.split("/"))
    # All secrets are compared, each in constant time, so the time says nothing about them.
    made = [hmac.compare_digest(_signature(key, secret).encode(), signature.encode()) for secret in secrets]
    return key if any(made) else None


def _signature(key: str, secret: str) -> str:
    signed = hmac.new(secret.encode(), f"queuecalls results {key}".encode(), hashlib.sha256)
    return signed.hexdigest()[:_SIGNATURE_LENGTH]
