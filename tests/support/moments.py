"""Moments of the one request at which something happens to the task that makes it. Imported by DAGs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_queuecalls.client.multipart import MultipartBody
from airflow_provider_queuecalls.records.sent.ledger import Ledger

Moment = Callable[[Callable[[], None]], None]


def before(owner: type, name: str) -> Moment:
    """The moment before a method is called."""

    def arm(act: Callable[[], None]) -> None:
        method = getattr(owner, name)
        setattr(owner, name, lambda *args, **options: (act(), method(*args, **options))[1])

    return arm


def after(owner: type, name: str, when: Callable[[Any], bool] = lambda _: True) -> Moment:
    """The moment after a method has done its work, once its object is so far."""

    def arm(act: Callable[[], None]) -> None:
        method = getattr(owner, name)

        def patched(self: Any, *args: Any, **options: Any) -> Any:
            result = method(self, *args, **options)
            if when(self):
                act()
            return result

        setattr(owner, name, patched)

    return arm


MOMENTS: Mapping[str, Moment] = {
    "before the intent": before(Ledger, "record_intent"),
    "before the first byte": after(Ledger, "record_intent"),
    # Each block is out before the next one is read.
    "in mid-body": after(MultipartBody, "read", when=lambda body: body.sent > len(body) / 2),
    "before the response": after(MultipartBody, "read", when=lambda body: body.complete),
    "before the receipt": before(Ledger, "record_receipt"),
    "after the receipt": after(Ledger, "record_receipt"),
}
