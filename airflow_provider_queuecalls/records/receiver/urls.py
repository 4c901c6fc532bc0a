"""The URLs of a campaign at the receiver: the one to which the service posts its results, and that of its script.

The path of the script's URL has all settings, so that any receiver can serve it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from airflow_provider_queuecalls.client.campaign import BY_NAME
from airflow_provider_queuecalls.exceptions import InvalidCampaign, Violation
from airflow_provider_queuecalls.signed_url import assert_usable, parts_of, signed_url
from airflow_provider_queuecalls.voice.speech import Speech

#: What the URLs are signed for.
_RESULTS, _SCRIPT = "results", "script"


def results_url(base: str, key: str, secrets: Sequence[str]) -> str:
    """Return the ``result_url`` of the campaign with this key below the receiver's public URL."""
    url = signed_url(base, _RESULTS, key, secrets)
    assert_usable(base, url, BY_NAME["result_url"])
    return url


def key_of(path: str, secrets: Sequence[str]) -> str | None:
    """Return the key of the campaign whose results URL ends in this path; None if no secret has made it."""
    parts = parts_of(path, _RESULTS, 1, secrets)
    return None if parts is None else parts[0]


def script_url(base: str, key: str, speech: Speech, secrets: Sequence[str]) -> str:
    """Return the ``start_url`` of the campaign with this key below the receiver's public URL.

    Raises :class:`InvalidCampaign` if it is too long for the service.
    """
    settings, parameter = speech.text, BY_NAME["start_url"]
    url = signed_url(base, _SCRIPT, f"{key}/{settings}", secrets)
    excess = len(url.encode()) - (parameter.max_length or 0)
    if 0 < excess <= len(settings) - len(Speech().text):
        lengths = {
            name: len(settings) - len(replace(speech, **{name: default}).text)
            for name, default in vars(Speech()).items()
        }
        longest = max(lengths, key=lambda name: lengths[name])
        rule = f"shorter, so that the start_url of the script has at most {parameter.max_length} bytes; it has {excess} too many"
        raise InvalidCampaign([Violation(f"speak[{longest!r}]", "is too long", rule, parameter.source)])
    assert_usable(base, url, parameter)
    return url


def script_of(path: str, secrets: Sequence[str]) -> tuple[str, Speech] | None:
    """Return the campaign's key and the settings of the script whose URL ends in this path; None if no secret has made it."""
    parts = parts_of(path, _SCRIPT, 2, secrets)
    return None if parts is None else (parts[0], Speech.from_text(parts[1]))
