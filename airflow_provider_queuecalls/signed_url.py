"""URLs that prove by themselves that they were made with the secret.

The service requests a campaign's URLs before it queues the campaign, so a receiver must know them without looking anything up.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence

from airflow_provider_queuecalls.exceptions import QueueCallsError
from airflow_provider_queuecalls.parameters import Parameter

#: With a shorter secret, whoever knows one URL could find the secret by trying, and make the URLs of all campaigns.
SHORTEST_SECRET = 16
_SIGNATURE_LENGTH = 40


def read_secrets(text: str, setting: str = "[queuecalls] results_secret") -> tuple[str, ...]:
    """Read secrets separated by commas or whitespace. The first one signs, all of them are accepted.

    Raises :class:`QueueCallsError`, which names the setting.
    """
    secrets = tuple(secret for secret in re.split(r"[\s,]+", text) if secret)
    if not secrets or min(map(len, secrets)) < SHORTEST_SECRET:
        problem = f"has fewer than {SHORTEST_SECRET} characters" if secrets else "is not set"
        raise QueueCallsError(
            f"{setting} {problem}. Make a secret with: python -c 'import secrets; print(secrets.token_urlsafe())'"
        )
    return secrets


def signed_url(base: str, purpose: str, path: str, secrets: Sequence[str]) -> str:
    """Return the URL of a path below the receiver's public URL, signed for this purpose with the first secret."""
    return f"{base.rstrip('/')}/{path}/{_signature(purpose, path, secrets[0])}"


def assert_usable(base: str, url: str, parameter: Parameter) -> None:
    """Raise :class:`QueueCallsError` if a URL below that base is not valid as the value of a parameter."""
    try:
        if "?" in base or "#" in base:
            raise ValueError("has a query or a fragment")
        parameter.read(url)
    except ValueError as problem:
        raise QueueCallsError(
            f"The URL of the results receiver ([queuecalls] results_url, or --base) cannot be used: the URL made from it {problem}. It must be an "
            "absolute http(s) URL without credentials and query, such as https://results.example.com/queuecalls."
        ) from None


def parts_of(path: str, purpose: str, count: int, secrets: Sequence[str]) -> list[str] | None:
    """Return the parts of the signed path with which a URL's path ends; None if no secret has signed it for this purpose.

    What comes before these parts doesn't matter: a proxy may add or remove a prefix.
    """
    *parts, signature = ([""] * count + path.split("/"))[-count - 1 :]
    # All secrets are compared, each in constant time, so the time says nothing about them.
    made = [
        hmac.compare_digest(_signature(purpose, "/".join(parts), secret).encode(), signature.encode())
        for secret in secrets
    ]
    return parts if any(made) else None


def _signature(purpose: str, path: str, secret: str) -> str:
    signed = hmac.new(secret.encode(), f"queuecalls {purpose} {path}".encode(), hashlib.sha256)
    return signed.hexdigest()[:_SIGNATURE_LENGTH]
