"""What the probe has learned: the open points, the settings of the connection, a profile for the sandbox, and a text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from airflow_provider_queuecalls import __version__
from airflow_provider_queuecalls.outcome import Outcome
from airflow_provider_queuecalls.probe.sending import Seen
from airflow_provider_queuecalls.probe.steps import BY_NAME, CAMPAIGN, NAMES, REACH, SECURE, UNKNOWN_FIELD
from airflow_provider_queuecalls.probe.walk import CREDENTIALS_REFUSED, Learned

QUEUED, REFUSED = Outcome.QUEUED, Outcome.REFUSED
NOT_KNOWN = "Not known"


@dataclass(frozen=True)
class Point:
    """One open point: the step that is about it, the question, what was seen, and the sandbox's settings for that."""

    step: str
    question: str
    answer: str
    profile: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Rule:
    """What a campaign that is queued, and one that is refused, says about the service. ``{how}`` is the response."""

    step: str
    question: str
    queued: tuple[str, Mapping[str, Any]]
    refused: tuple[str, Mapping[str, Any]]


RULES = (
    Rule(
        "wrong_pin", "Does the service check the PIN?",
        ("NO: IT ACCEPTS A WRONG PIN ({how}). Whoever knows the login can place calls: tell the vendor", {"checks_pin": False}),
        ("Yes: a wrong PIN is refused ({how})", {"checks_pin": True}),
    ),
    Rule(
        "basic", "Does the service need HTTP Basic?",
        ("No: login and PIN in the form are enough, so basic_auth can be false", {"basic_auth": "optional"}),
        ("Yes: without it, the campaign is refused ({how})", {"basic_auth": "required"}),
    ),
    Rule(
        "repeat", "What happens to a repeated campaign name?",
        ("It is accepted: the name does not protect from a second campaign", {"unique_names": False}),
        ("It is refused ({how})", {"unique_names": True}),
    ),
    Rule(
        "quoted", "Does the service read quotes in the contact file?",
        ("A row with quotes is accepted", {"quoting": "read"}),
        ("A row with quotes is refused ({how})", {"quoting": "refuse"}),
    ),
    Rule(
        "bad_row", "What happens to a list with a bad row?",
        ("The rest of the list is queued", {"bad_rows": "skip"}),
        ("The whole list is refused ({how})", {"bad_rows": "refuse"}),
    ),
    Rule(
        "expired", "What happens to a campaign that has expired?",
        ("It is accepted", {"expired": "accept"}),
        ("It is refused ({how})", {"expired": "refuse"}),
    ),
    Rule(
        UNKNOWN_FIELD, "Does the service refuse fields that it does not know?",
        ("No, it ignores them. So a campaign that is queued does not show that the names of optional fields are right", {"unknown_fields": "ignore"}),
        ("Yes ({how})", {"unknown_fields": "refuse"}),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Report:
    """The report. All of it may be shown to others, except that ``settings`` may have the name of a host."""

    settings: Mapping[str, Any]
    profile: Mapping[str, Any]
    points: tuple[Point, ...]
    text: str

    @property
    def json(self) -> str:
        """The report as a JSON text. The sandbox accepts it as a profile."""
        points = [{"step": p.step, "question": p.question, "answer": p.answer} for p in self.points]
        data = {"settings": self.settings, "profile": self.profile, "points": points, "text": self.text}
        return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def make_report(learned: Learned) -> Report:
    """Make the report of a walk."""
    points = tuple(_points(learned))
    profile: dict[str, Any] = {}
    for point in points:
        profile |= point.profile
    return Report(learned.settings, profile, points, _text(learned, points))


def _points(learned: Learned) -> Iterator[Point]:
    yield _hosts(learned)
    yield from _form(learned)
    yield _response(learned)
    for rule in RULES:
        seen = learned.seen.get(rule.step)
        text, profile = {QUEUED: rule.queued, REFUSED: rule.refused}.get(seen.outcome, ("", {})) if seen else ("", {})
        if rule.step == "basic" and learned.settings.get("basic_auth") is False:
            yield Point(
                "basic",
                rule.question,
                "No, it refuses HTTP Basic: basic_auth must be false.",
                {"basic_auth": "refused"},
            )
        elif seen and text and (seen.is_queued or _is_about(learned, seen)):
            yield Point(rule.step, rule.question, f"{text.format(how=seen.how)}.{_rang(seen)}", profile)
        else:
            yield _open(learned, rule.step, rule.question)
    yield _twice(learned)
    yield _secure(learned)


def _hosts(learned: Learned) -> Point:
    question, found = "Does the host speak https?", []
    for scheme, head in learned.heads.items():
        if isinstance(head, str):
            found.append(f"{scheme}: {head}")
            continue
        to = head.location and f", redirects to {'https' if head.location.startswith('https') else 'another URL'}"
        found.append(
            f"{scheme}: HTTP {head.status_code}{f', {head.tls_version}' if head.tls_version else ''}{to or ''}"
        )
    if learned.redirects and "host" not in learned.settings:
        found.append("the redirect was not followed, since it leads to another host or not to https")
    if code := next((code for code, location in learned.redirects if location.startswith("https:")), None):
        found.append(f"it redirects plain http ({code}) to https")
        if not any(seen.status_code and not seen.location for seen in learned.seen.values()):
            found.append("no campaign got a response there: find out why before you use the host in the settings")
        return Point(REACH, question, f"{'; '.join(found)}.", {"redirect": "https"})
    return Point(REACH, question, f"{'; '.join(found)}.") if found else _open(learned, REACH, question)


def _form(learned: Learned) -> Iterator[Point]:
    question, names = "Are the names of the form fields right?", {**learned.settings.get("field_names", {})}
    first, renamed = learned.seen.get(CAMPAIGN), learned.seen.get(NAMES)
    unknown = learned.seen.get(UNKNOWN_FIELD)
    are_proven = first and first.is_queued and unknown and unknown.outcome is REFUSED
    if SECURE in learned.seen:
        names.pop("secure", None)
    if names:
        yield Point(NAMES, question, f"No: the service accepts {json.dumps(names)}.", {"field_names": names})
    elif queued := next((seen for name, seen in learned.seen.items() if seen.is_queued and name != "wrong_pin"), None):
        which = (
            "Yes, also those of optional fields" if are_proven and not renamed else "Those of the required fields are"
        )
        yield Point(CAMPAIGN, question, f"{which}: a campaign was queued ({queued.how}).")
    elif first and renamed:
        yield Point(
            NAMES, question, f"No, and none of the guesses was accepted ({renamed.how}). Ask the vendor for the names."
        )
    elif first:
        yield Point(CAMPAIGN, question, f"{NOT_KNOWN}: the campaign was not queued ({first.how}). {_reason(first)}")
    else:
        yield _open(learned, CAMPAIGN, question)
    question, again = "Does max_retries work under this name?", first.answers.get("rang_again") if first else None
    answers = {
        "yes": "Yes: the phone rang again.",
        "no": 'Perhaps not: the phone did not ring again. Set field_names to {"max_retries": "max_retry"} and run --only campaign.',
    }
    its_name = "Its name is right, since the service refuses fields that it does not know" if are_proven else NOT_KNOWN
    yield Point(
        CAMPAIGN,
        question,
        answers.get(again or "", f"{its_name}; only a person can tell whether the phone rang again."),
    )


def _response(learned: Learned) -> Point:
    question, queued = "What does a response look like?", [seen for seen in learned.seen.values() if seen.is_queued]
    refused = [seen for seen in learned.seen.values() if seen.outcome is REFUSED and seen.location is None]
    refused = [seen for seen in refused if seen is not learned.seen.get("wrong_pin")] or refused
    if not queued:
        shown = "; ".join(dict.fromkeys(seen.how for seen in learned.seen.values()))
        return Point(CAMPAIGN, question, f"No campaign was queued. {shown}".strip())
    profile: dict[str, Any] = (
        {"response_format": queued[0].format.lower()}
        if queued[0].format in ("XML", "JSON")
        else {"response_format": "text"}
    )
    values = dict(queued[0].values)
    pair = next(iter(learned.settings.get("queued_values", {}).items()), None) or next(
        ((name, values[name]) for name in ("status",) if name in values), None
    )
    names: dict[str, str] = {}
    if pair:
        names = {"queued": pair[1], **({} if pair[0] in ("status", "text") else {"status": pair[0]})}
        words = [dict(seen.values).get(pair[0]) for seen in refused]
        if words and words[-1]:
            names["failed"] = words[-1]
    profile["response_names"] = names
    codes = [seen.status_code or 0 for seen in refused if seen.status_code not in CREDENTIALS_REFUSED]
    if codes:
        profile["errors"] = "http" if codes[0] >= 400 else "failed"
    answer = f"Queued: {queued[0].how}, {queued[0].call_ids} call ids."
    if refused:
        answer += f" Refused: {refused[0].how}."
    if "queued_values" in learned.settings:
        said = json.dumps(learned.settings["queued_values"])
        confirmed = (
            "Nobody has confirmed that the phone rang" if "queued_values" in learned.guessed else "The phone rang"
        )
        answer += f" It says queued in a way that is not known here: queued_values must be {said}. {confirmed}."
    return Point(CAMPAIGN, question, answer, profile)


def _twice(learned: Learned) -> Point:
    question, seen = "Does a number that is in the list twice get two calls?", learned.seen.get("twice")
    if seen and seen.outcome is REFUSED:
        return Point("twice", question, f"The list is refused ({seen.how}).", {"duplicates": "refuse"})
    if seen and seen.is_queued:
        calls = int(seen.answers.get("rings", seen.call_ids))
        source = "the phone" if "rings" in seen.answers else "the call ids"
        found = {2: ("Yes: two calls", {"duplicates": "queue"}), 1: ("No: one call", {"duplicates": "drop"})}
        if calls in found:
            answer, profile = found[calls]
            return Point("twice", question, f"{answer}, by {source}.", profile)
    return _open(learned, "twice", question)


def _secure(learned: Learned) -> Point:
    question, name = "What is the form field for secure called?", learned.secure_name
    seen, unknown = learned.seen.get(SECURE), learned.seen.get(UNKNOWN_FIELD)
    if seen and seen.is_queued:
        names = {**learned.settings.get("field_names", {}), "secure": name}
        return Point(SECURE, question, f"{name}: a campaign with it was queued.{_rang(seen)}", {"field_names": names})
    if seen and seen.outcome is REFUSED:
        return Point(SECURE, question, f"{NOT_KNOWN}: {name} was refused ({seen.how}). Ask the vendor.")
    if unknown and unknown.is_queued:
        answer = (
            f"{NOT_KNOWN}: with a wrong name, a campaign would be queued all the same, and its calls would run outside the secure "
            "environment. Ask the vendor."
        )
        return Point(SECURE, question, answer)
    return _open(learned, SECURE, question)


def _is_about(learned: Learned, refused: Seen) -> bool:
    """Whether a refusal is about what the step has changed: everything else was accepted, or it is about the credentials."""
    first = learned.seen.get(CAMPAIGN)
    accepted = any(seen.is_queued for seen in learned.seen.values())
    by_code = (
        refused.status_code in CREDENTIALS_REFUSED and first is not None and first.status_code != refused.status_code
    )
    return refused.location is None and (accepted or by_code or not first)


def _open(learned: Learned, step: str, question: str) -> Point:
    seen = learned.seen.get(step)
    reason = learned.left_out.get(step, "the step was not done") if seen is None else f"{seen.how}. {_reason(seen)}"
    return Point(step, question, f"{NOT_KNOWN}: {reason.rstrip('. ')}.")


def _reason(seen: Seen) -> str:
    return (seen.error_text or seen.problem)[:300]


def _rang(seen: Seen) -> str:
    return {"yes": " The phone rang.", "no": " The phone did not ring."}.get(seen.answers.get("rang", ""), "")


def _text(learned: Learned, points: tuple[Point, ...]) -> str:
    """The report for an issue. It names no host."""
    day = f"{datetime.now(timezone.utc):%Y-%m-%d}"
    lines = [f"queuecalls probe {__version__}, {day}", ""]
    lines += [f"- {point.question} {point.answer}" for point in points]
    shown = {key: "(a URL of the service)" if key == "host" else value for key, value in learned.settings.items()}
    lines += ["", f"Settings of the connection that follow: {json.dumps(shown) if shown else 'none'}"]
    limited = [name for name, reason in learned.left_out.items() if "limit" in reason]
    if limited:
        again = " ".join(f"--only {name}" for name in limited)
        lines.append(f"For the rest, put the settings into the connection, and run the probe again with {again}")
    for name, seen in learned.seen.items():
        body = seen.body or seen.problem
        lines += ["", f"{BY_NAME[name].title}: {seen.outcome.value}, {seen.how}", f"    {' '.join(body.split())[:500]}"]
    return "\n".join(lines) + "\n"
