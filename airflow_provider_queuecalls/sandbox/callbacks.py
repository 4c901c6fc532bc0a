"""The addresses that a campaign names: looked at when it is queued, and told what becomes of its calls.

Only this machine is called back, unless another host is allowed: a campaign that was meant for a trial must not
reach the systems of a real one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple
from urllib.parse import urlsplit

import requests

from airflow_provider_queuecalls.client.hosts import is_loopback
from airflow_provider_queuecalls.sandbox.journal import SENT, Entry, Journal

AT_ONCE = 8
SECONDS = 5
ANY_HOST = "*"


class Callback(NamedTuple):
    """One POST about one call, to the address that the parameter ``name`` holds."""

    name: str
    url: str
    fields: Mapping[str, str]
    at: int
    campaign_id: int


class Callbacks:
    """Calls back this machine and the allowed hosts (``*`` is any), and writes it into the journal."""

    def __init__(self, journal: Journal, allowed_hosts: Collection[str] = ()) -> None:
        self._journal = journal
        self._allowed = {host.lower() for host in allowed_hosts}
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="queuecalls-callback")

    def allows(self, url: str) -> bool:
        """Whether the host of a URL may be called back."""
        host = urlsplit(url).hostname or ""
        return is_loopback(host) or bool(self._allowed & {host, ANY_HOST})

    def problem(self, url: str) -> str | None:
        """What is wrong with a URL that has to answer 200 to a GET, in words; None if nothing is."""
        if not self.allows(url):
            return "is not on this machine, so the sandbox doesn't look whether it answers (--callback-host lets it)"
        status, problem = _request("GET", url, None)
        if problem:
            return f"does not answer ({problem})"
        return None if status == 200 else f"answers HTTP {status} and not 200"

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
        campaign_id=callback.campaign_id, status=status, note=f"{about}: not delivered ({problem})." if problem else f"{about}.",
    )  # fmt: skip


def _request(method: str, url: str, fields: Mapping[str, str] | None) -> tuple[int | None, str]:
    """Ask for nothing but the code. Redirects aren't followed: they might lead to another host."""
    with requests.Session() as session:
        session.trust_env = False
        try:
            with session.request(
                method, url, data=fields, timeout=SECONDS, allow_redirects=False, stream=True
            ) as response:
                return response.status_code, ""
        except requests.RequestException as error:
            return None, type(error).__name__
        except ValueError:  # a host name that cannot be one
            return None, "InvalidURL"
