"""Requests to a campaign's own URLs: before it is queued, when a call connects, and after a call.

Only this machine is called back, unless another host is allowed: a trial campaign must not reach real systems.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

import requests

from airflow_provider_queuecalls.client.hosts import is_loopback
from airflow_provider_queuecalls.sandbox.journal import SENT, Entry, Journal

AT_ONCE = 8
TIMEOUT_SECONDS = 5
ANY_HOST = "*"


@dataclass(frozen=True)
class Callback:
    """One POST about one call, to the URL that the parameter ``name`` contains."""

    name: str
    url: str
    fields: Mapping[str, str]
    at: int
    campaign_id: int


class Callbacks:
    """Sends callbacks to this machine and to the allowed hosts (``*`` is any), once each, and records them in the journal."""

    def __init__(self, journal: Journal, allowed_hosts: Collection[str] = ()) -> None:
        self._journal = journal
        self._allowed = {host.lower() for host in allowed_hosts}
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="queuecalls-callback")

    def allows(self, url: str) -> bool:
        """Whether the host of a URL may be called back."""
        host = urlsplit(url).hostname or ""
        return is_loopback(host) or bool(self._allowed & {host, ANY_HOST})

    def problem(self, url: str) -> str | None:
        """Why a URL does not respond with 200 to a GET request; None if it does."""
        if not self.allows(url):
            return "is on another machine, which the sandbox does not call unless --callback-host names it"
        status, problem = _request("GET", url, None)
        if problem:
            return f"does not respond ({problem})"
        return None if status == 200 else f"responds with HTTP {status} instead of 200"

    def send(self, callbacks: Sequence[Callback]) -> None:
        """Send callbacks, several at once, and wait for all of them."""
        self._journal.add(self._pool.map(_sent, callbacks))

    def close(self) -> None:
        """Send nothing more."""
        self._pool.shutdown(cancel_futures=True)


def _sent(callback: Callback) -> Entry:
    status, problem = _request("POST", callback.url, callback.fields)
    about = f"{callback.name} for call {callback.fields['call_id']}"
    return Entry(
        at=callback.at, direction=SENT, method="POST", url=callback.url, fields=callback.fields,
        campaign_id=callback.campaign_id, status=status,
        note=f"{about}: not delivered ({problem}), and not sent again." if problem else f"{about}.",
    )  # fmt: skip


def _request(method: str, url: str, fields: Mapping[str, str] | None) -> tuple[int | None, str]:
    """Make a request for its status code only. Redirects aren't followed: they might lead to another host."""
    with requests.Session() as session:
        session.trust_env = False
        try:
            with session.request(
                method, url, data=fields, timeout=TIMEOUT_SECONDS, allow_redirects=False, stream=True
            ) as response:
                return response.status_code, ""
        except requests.RequestException as error:
            return None, type(error).__name__
        except ValueError:  # not a host name
            return None, "InvalidURL"
