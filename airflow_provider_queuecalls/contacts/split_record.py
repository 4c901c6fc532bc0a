"""The record of a split: a file in its folder, so that a folder has the parts of one split only.

If a list has changed, contacts move to other parts. The parts that were queued are not queued again, but the others would
be, and would call some people a second time. So the first split of a folder writes its record, and every later one must be
the same. The record contains no phone number.
"""

from __future__ import annotations

import json
from typing import Any

from airflow_provider_queuecalls.contacts.check import CheckedContacts
from airflow_provider_queuecalls.contacts.split import RECORD, SpansCheck, Split, span_name
from airflow_provider_queuecalls.exceptions import InvalidContacts
from airflow_provider_queuecalls.parameters import show_path

#: What decides which contacts are in which campaign, by its key in the record, with the words of messages.
_DECIDES = {
    "campaign_name": "campaign_name",
    "digest": "the list (the contact file, a suppression list, or a rule of the check)",
    "max_contacts": "max_contacts",
    "spans": "the spans (by, start, calling_hours, unknown_zone, min_window, carry_over_path, or the time zone data)",
}


def record_of(checked: CheckedContacts, split: Split, hours: SpansCheck | None, campaign_name: str) -> bytes:
    """The record of a split, as it is written."""
    spans = hours and {
        " ".join((*place.regions, str(place))): span_name(hours.part_of(place)) for place in checked.report.sent_places
    }
    values = (campaign_name, checked.upload.digest, split.max_contacts, spans)
    return json.dumps(dict(zip(_DECIDES, values, strict=True)), indent=1, sort_keys=True).encode()


def assert_same_split(record: bytes, kept: bytes, folder: str) -> None:
    """Raise :class:`InvalidContacts` if the record that a folder has is not that of this split."""
    now, before = json.loads(record), _read(kept)
    changed = [words for key, words in _DECIDES.items() if before.get(key) != now[key]]
    if not changed:
        return
    raise InvalidContacts(
        f"The folder {show_path(folder)} has the parts of another split. What differs: {', '.join(changed)}. No part was "
        "written: contacts would move to other parts, and some of them would be called twice. Queue the parts that are there, "
        "or split the list in a new run, with another folder and another campaign_name. If no part was queued, delete the files "
        f"in the folder, also {RECORD}, and try again."
    )


def _read(kept: bytes) -> dict[str, Any]:
    try:
        read = json.loads(kept)
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}
