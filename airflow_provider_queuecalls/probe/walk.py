"""Goes through the steps of the probe, and uses what one of them has shown in the next."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from urllib.parse import urlsplit

from airflow_provider_queuecalls.client.campaign import Campaign, letters_of
from airflow_provider_queuecalls.client.client import Client, Head
from airflow_provider_queuecalls.client.endpoint import Endpoint
from airflow_provider_queuecalls.exceptions import NotSent
from airflow_provider_queuecalls.outcome import Outcome
from airflow_provider_queuecalls.probe.names import SECURE_NAMES, guesses
from airflow_provider_queuecalls.probe.sending import LimitReached, Seen, Sender
from airflow_provider_queuecalls.probe.steps import BY_NAME, CAMPAIGN, NAMES, REACH, SECURE, STEPS, UNKNOWN_FIELD, Step

#: How long a campaign of the probe may call.
CALL_SECONDS = 1_800
#: How often other names are tried: each time an error may name one more field.
MOST_GUESSES = 5
REDIRECTED = "the target of the redirect"
#: Words that mean queued without asking the person.
GOOD_WORDS = frozenset(
    {"accepted", "accept", "ok", "okay", "success", "successful", "queued", "enqueued"}
    | {"scheduled", "created", "submitted", "received", "done", "true", "started", "1"}
)
CREDENTIALS_REFUSED = (401, 403)


class Person(Protocol):
    """Who sits in front of the probe, or a script."""

    def agrees(self, step: Step) -> bool:
        """Explain a step, and ask whether it is to be done."""
        ...

    def answers(self, step: Step, seen: Seen) -> Mapping[str, str]:
        """Show what was seen, and ask what only a person knows; nothing for what they do not know."""
        ...

    def report(self, text: str) -> None:
        """Show a line."""
        ...


@dataclass
class Learned:
    """What the probe has found out: what was seen in each step, and which settings of the connection follow."""

    heads: dict[str, Head | str] = field(default_factory=dict)
    #: The status code and the target of each redirect.
    redirects: list[tuple[int | None, str]] = field(default_factory=list)
    seen: dict[str, Seen] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    #: Settings that nobody has confirmed: they follow from words in a response.
    guessed: set[str] = field(default_factory=set)
    #: The name that was tried for the field of ``secure``.
    secure_name: str = ""


class Walk:
    """One walk through the steps. Raises :class:`InvalidCampaign` for URLs that no campaign may have.

    :param endpoint: the connection
    :param sender: what sends
    :param person: who agrees and answers
    :param start_url: the script of all campaigns
    """

    def __init__(
        self,
        endpoint: Endpoint,
        sender: Sender,
        person: Person,
        *,
        start_url: str,
        result_url: str | None,
        log: logging.Logger,
    ) -> None:
        self.learned = Learned()
        self._endpoint = endpoint
        self._sender = sender
        self._person = person
        self._urls = {"start_url": start_url, "result_url": result_url}
        Campaign(start_url=start_url, result_url=result_url)  # before the first step, not once a call has been made
        self._log = log
        self._last_name = self._queued_name = ""
        self._run = letters_of(secrets.token_hex())[:6]

    def go(self, only: Collection[str] = ()) -> None:
        """Do all steps, or only some, each if the person agrees."""
        special: Mapping[str, Callable[[Step], None]] = {
            REACH: self._reach,
            NAMES: self._try_names,
            SECURE: self._try_secure,
        }
        needed = {CAMPAIGN for step in STEPS if step.name in only and step.repeats_name}
        chosen = {*only, *needed, *({UNKNOWN_FIELD} if SECURE in only else ())}
        for step in STEPS:
            if chosen and step.name not in chosen:
                self.learned.left_out[step.name] = "not chosen"
            elif reason := self._reason_to_leave_out(step):
                self.learned.left_out[step.name] = reason
            elif not self._person.agrees(step):
                self.learned.left_out[step.name] = "declined"
            else:
                try:
                    special.get(step.name, self._campaign)(step)
                except LimitReached as error:
                    self.learned.left_out[step.name] = str(error)

    def _reason_to_leave_out(self, step: Step) -> str | None:
        seen, first = self.learned.seen, self.learned.seen.get(CAMPAIGN)
        heads = self.learned.heads.values()
        is_lost = any(found.status_code is None and found.outcome is Outcome.NOT_SENT for found in seen.values())
        if step.rows and (is_lost or (heads and not any(isinstance(head, Head) for head in heads))):
            return "the host was not reached"
        if step.name == NAMES and (first is None or first.is_queued or first.status_code in CREDENTIALS_REFUSED):
            return "not needed"
        if step.name == "basic" and not self._endpoint.basic_auth:
            return "the connection has basic_auth: false"
        if step.name == SECURE and (UNKNOWN_FIELD not in seen or seen[UNKNOWN_FIELD].outcome is not Outcome.REFUSED):
            return "without a service that refuses fields that it does not know, no response can show it"
        is_later = step.name not in (REACH, "wrong_pin", CAMPAIGN, NAMES, "basic")
        return "no campaign was queued" if is_later and first is not None and not self._queued_name else None

    def _reach(self, step: Step) -> None:
        """Ask over https and http, without credentials: the host may turn out to be another one."""
        url = urlsplit(self._endpoint.url)
        for scheme in dict.fromkeys((url.scheme, "https", "http")):
            self._ask_head(scheme, url._replace(scheme=scheme).geturl())
        head = self.learned.heads[url.scheme]
        if isinstance(head, Head):
            self._follow(head.status_code, head.location)
        self._person.answers(step, Seen(Outcome.NOT_SENT, head.status_code if isinstance(head, Head) else None))

    def _ask_head(self, what: str, url: str) -> None:
        try:
            self.learned.heads[what] = Client(
                replace(self._endpoint, url=url, basic_auth=False), log=self._log
            ).send_head()
        except NotSent as error:
            self.learned.heads[what] = str(error)

    def _campaign(self, step: Step) -> None:
        names = {**self._endpoint.field_names, **step.field_names}
        endpoint = replace(self._endpoint, field_names=names, **step.endpoint)
        seen = self._keep(step, self._send(step, endpoint, step.campaign))
        first = self.learned.seen.get(CAMPAIGN)
        if step.name == "basic" and seen.is_queued and first and first.status_code in CREDENTIALS_REFUSED:
            self._learn(basic_auth=False)
            self._try_wrong_pin_again("without HTTP Basic")

    def _try_names(self, step: Step) -> None:
        """Send the required fields under other names, until a campaign is queued."""
        found, names, tried = self.learned.seen[CAMPAIGN], dict(self._endpoint.field_names), list[dict[str, str]]()
        for _ in range(MOST_GUESSES):
            others = (names | guess for guess in guesses(found.mentioned, names) if names | guess not in tried)
            if (guess := next(others, None)) is None:
                break
            names = guess
            tried.append(names)
            found = self._keep(step, self._send(step, replace(self._endpoint, field_names=names), {}))
            if found.is_queued:
                self._learn(field_names=names)
                self._try_wrong_pin_again("under the names that were accepted")
                return

    def _try_secure(self, step: Step) -> None:
        """Send it by the connection's name, or by the likeliest one: an error may list the names that are accepted."""
        names, unknown = self._endpoint.field_names, self.learned.seen.get(UNKNOWN_FIELD)
        listed = [name for name in SECURE_NAMES if unknown and name in unknown.mentioned]
        self.learned.secure_name = name = names.get("secure") or [*listed, *SECURE_NAMES][0]
        endpoint = replace(self._endpoint, field_names={**names, "secure": name})
        if self._keep(step, self._send(step, endpoint, step.campaign)).is_queued and "secure" not in names:
            self._learn(field_names=endpoint.field_names)

    def _try_wrong_pin_again(self, how: str) -> None:
        """What was refused before may have been refused for something else."""
        before = self.learned.seen.get("wrong_pin")
        if before and (before.status_code not in CREDENTIALS_REFUSED or not self._endpoint.basic_auth):
            self._person.report(f"The wrong PIN is tried again, {how}.")
            self._campaign(BY_NAME["wrong_pin"])

    def _send(self, step: Step, endpoint: Endpoint, parameters: Mapping[str, Any]) -> Seen:
        """Send a step's campaign. If the service redirects to https on its own host, use that from now on."""
        name = self._queued_name if step.repeats_name else f"probe.{self._run}.{step.name}{self._sender.requests_left}"
        times = {} if "expiration_time" in parameters else {"expiration_timestamp": int(time.time()) + CALL_SECONDS}
        campaign = Campaign(**{**self._urls, "campaign_name": name, **times, **parameters})
        seen = self._sender.send(endpoint, campaign, step.rows)
        if self._follow(seen.status_code, seen.location):
            seen = self._sender.send(replace(endpoint, url=self._endpoint.url), campaign, step.rows)
        self._last_name = name
        return seen

    def _follow(self, status_code: int | None, location: str | None) -> bool:
        """Use another URL from now on, if it is https on the same host: login and PIN go to no other."""
        if location is None:
            return False
        self.learned.redirects.append((status_code, location))
        here, there = urlsplit(self._endpoint.url), urlsplit(location)
        if there.scheme != "https" or there.hostname != here.hostname or there.geturl() == here.geturl():
            return False
        self._endpoint = replace(self._endpoint, url=there.geturl())
        self.learned.settings["host"] = there.geturl()
        self._ask_head(REDIRECTED, there.geturl())
        self._person.report("The service redirects to https on the same host. The next requests go there.")
        return True

    def _keep(self, step: Step, seen: Seen) -> Seen:
        """Ask the person, and keep what was seen. A word that says queued is used from now on."""
        seen = replace(seen, answers=self._person.answers(step, seen))
        if (
            step.name in (CAMPAIGN, NAMES, "basic")
            and seen.outcome is Outcome.UNKNOWN
            and (pair := self._queued_pair(seen))
        ):
            self._learn(queued_values={**self._endpoint.queued_values, pair[0]: pair[1]})
            if seen.answers.get("rang") != "yes":
                self.learned.guessed.add("queued_values")
        self.learned.seen[step.name] = seen
        # Also what was seen before a word was known.
        self.learned.seen = {name: self._read_again(found) for name, found in self.learned.seen.items()}
        if self.learned.seen[step.name].is_queued and step.name != "wrong_pin":
            self._queued_name = self._queued_name or self._last_name
        return self.learned.seen[step.name]

    def _queued_pair(self, seen: Seen) -> tuple[str, str] | None:
        """The name and the value that say queued in a response that is not known."""
        if seen.answers.get("rang") == "no":
            return None
        # A word before a number, which may be a count.
        good = sorted((pair for pair in seen.values if pair[1] in GOOD_WORDS), key=lambda pair: pair[1].isdigit())
        wrong_pin = self.learned.seen.get("wrong_pin")
        if seen.answers.get("rang") == "yes" and wrong_pin is not None and not good:
            good = [pair for pair in seen.values if pair not in wrong_pin.values]
        return next(iter(good), None)

    def _read_again(self, seen: Seen) -> Seen:
        """A response that is like the one that says queued, but does not have its word, says that nothing was queued."""
        known = self._endpoint.queued_values.items()
        formats = {found.format for found in self.learned.seen.values() if any(pair in known for pair in found.values)}
        if seen.outcome is not Outcome.UNKNOWN or seen.format not in formats:
            return seen
        is_queued = any(pair in known for pair in seen.values)
        return replace(seen, outcome=Outcome.QUEUED if is_queued else Outcome.REFUSED)

    def _learn(self, **settings: Any) -> None:
        """Use settings of the connection from now on."""
        self.learned.settings |= settings
        self._endpoint = replace(self._endpoint, **settings)
