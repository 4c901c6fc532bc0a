"""The posted form, checked by the documented rules.

The rules of its fields are the package's own: the table of parameters and :class:`Campaign`. This module adds what a client
doesn't need: fields that are unknown, repeated or of the wrong type, and the account.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from starlette.datastructures import UploadFile

from airflow_provider_queuecalls.client.campaign import ANY_DELAY, BY_NAME, PARAMETERS, Campaign
from airflow_provider_queuecalls.client.endpoint import Endpoint
from airflow_provider_queuecalls.exceptions import InvalidCampaign, Violation
from airflow_provider_queuecalls.sandbox.rows import ContactFile
from airflow_provider_queuecalls.sandbox.settings import Settings
from airflow_provider_queuecalls.value_types import FILE, FLAG, INTEGER, SECRET, TIMESTAMP, WHOLE_SECONDS

_NUMBERS = (INTEGER, WHOLE_SECONDS, TIMESTAMP, FLAG)


class UnknownField(Violation):
    """A field that is not documented. Its ``parameter`` is the name it was posted by."""


@dataclass(frozen=True)
class Posted:
    """A posted form: its texts, word for word, by their parameters' names, and the contact file.

    ``misplaced`` are unknown and repeated fields, files instead of texts and texts instead of files.
    """

    texts: Mapping[str, str]
    contacts: ContactFile | None
    misplaced: Sequence[Violation]

    @property
    def parameters(self) -> dict[str, str]:
        """The campaign's own texts: all but login and PIN."""
        return {name: text for name, text in self.texts.items() if BY_NAME[name].type is not SECRET}


class FormReader:
    """Reads the forms that are posted to one account. ``account.field_names`` renames fields, as for the client."""

    def __init__(self, account: Endpoint, settings: Settings) -> None:
        self._account = account
        self._settings = settings
        self._wire_names = {
            parameter.name: wire_name
            for parameter in PARAMETERS
            if (wire_name := account.field_names.get(parameter.name, parameter.wire_name))
        }
        self._by_wire_name = {wire_name: BY_NAME[name] for name, wire_name in self._wire_names.items()}

    def read(self, items: Iterable[tuple[str, str | UploadFile]]) -> Posted:
        """Sort the fields of a form."""
        texts: dict[str, str] = {}
        contacts: ContactFile | None = None
        misplaced: list[Violation] = []
        for wire_name, value in items:
            parameter = self._by_wire_name.get(wire_name)
            if parameter is None and self._settings.unknown_fields == "ignore":
                continue
            if parameter is None:
                rule = "one of " + ", ".join(self._by_wire_name)
                misplaced.append(UnknownField(wire_name[:64], "is not a documented field", rule, "the vendor's page"))
            elif parameter.name in texts or (parameter.type is FILE and contacts):
                misplaced.append(parameter.violation("is given more than once"))
            elif isinstance(value, UploadFile) and parameter.type is FILE:
                contacts = ContactFile(value.filename or "", value.file, self._settings)
            elif isinstance(value, str) and parameter.type is not FILE:
                texts[parameter.name] = value
            else:
                misplaced.append(
                    parameter.violation("is text, not a file" if isinstance(value, str) else "is a file, not text")
                )
        return Posted(texts, contacts, misplaced)

    def check(self, posted: Posted) -> tuple[Campaign, ContactFile]:
        """Return the campaign and its contact file, whose rows are still to be read.

        Raises :class:`InvalidCampaign` with everything that is not valid, the contact file's rows included.
        """
        violations = list(self._account_violations(posted.texts))
        campaign: Campaign | None = None
        try:
            texts = {name: posted.texts.get(name) for name in Campaign.names()}
            campaign = Campaign(**texts | {"start_late": ANY_DELAY}, field_names=self._account.field_names)
            if self._settings.expired == "refuse":
                campaign.assert_timely()  # by the real clock, as its sender sees it
        except InvalidCampaign as invalid:
            violations += invalid.violations
        else:
            violations += _spelling_violations(posted.texts)
        if posted.contacts is None:
            violations.append(BY_NAME["contacts"].violation("is missing"))
        if campaign and posted.contacts and not violations and not posted.misplaced:
            return campaign, posted.contacts
        try:
            deque(posted.contacts or (), maxlen=0)
        except InvalidCampaign as invalid:
            violations += invalid.violations
        # A misplaced field isn't missing too.
        reported = {found.parameter for found in posted.misplaced if not isinstance(found, UnknownField)}
        raise InvalidCampaign([*posted.misplaced, *(found for found in violations if found.parameter not in reported)])

    def wire_name(self, name: str) -> str:
        """The name of the field that a parameter is posted in."""
        return self._wire_names[name]

    def fields(self, posted: Posted) -> dict[str, str]:
        """The texts by the names of the fields they were posted in."""
        return {self._wire_names[name]: text for name, text in posted.texts.items()}

    def on_the_wire(self, violation: Violation) -> Violation:
        """The violation by the name of the field that it is about."""
        if isinstance(violation, UnknownField):
            return violation
        return replace(violation, parameter=self._wire_names.get(violation.parameter, violation.parameter))

    def _account_violations(self, texts: Mapping[str, str]) -> Iterator[Violation]:
        for name, expected in (("login", self._account.login), ("pin", self._account.pin)):
            is_checked = name == "login" or self._settings.checks_pin
            try:
                if BY_NAME[name].read(texts.get(name)) != expected and is_checked:
                    yield BY_NAME[name].violation("is not this account's")
            except ValueError as problem:
                yield BY_NAME[name].violation(str(problem))


def _spelling_violations(texts: Mapping[str, str]) -> Iterator[Violation]:
    # A Campaign reads what people write ('true', ISO 8601, blanks around); a client sends digits.
    for name, text in texts.items():
        if BY_NAME[name].type in _NUMBERS and not re.fullmatch(r"[0-9]*", text):
            yield BY_NAME[name].violation("is not written in digits")
