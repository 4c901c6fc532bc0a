"""The steps of the probe, in one table: what each one sends, why, and what only a person can say about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: Stands for the one phone number in the rows of a step. A row has no other number.
NUMBER = "{number}"
WRONG_PIN = "not-the-pin"
#: In a form, a time that has passed. Not as a timestamp: a campaign with one is refused before it is sent.
LONG_AGO = "2001-01-01 00:00 UTC"
YES_NO = ("yes", "no")


@dataclass(frozen=True)
class Question:
    """A question that only a person can answer, and the answers that are accepted."""

    name: str
    text: str
    answers: tuple[str, ...] = YES_NO


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step.

    :param name: What ``--only`` calls it.
    :param title: What is found out, in a few words.
    :param why: Why that is open.
    :param sends: What is sent, for the person who is asked about it.
    :param rows: The contact file, with :data:`NUMBER` for the phone number; none for a step without a campaign.
    :param campaign: Parameters of the campaign besides its name, start_url, and expiration.
    :param endpoint: What differs from the connection.
    :param field_names: Names of form fields, in addition to the connection's.
    :param repeats_name: Whether the campaign has the name of the step ``campaign``.
    :param questions: What is asked afterwards.
    """

    name: str
    title: str
    why: str
    sends: str
    rows: tuple[str, ...] = (NUMBER,)
    campaign: Mapping[str, Any] = field(default_factory=dict)
    endpoint: Mapping[str, Any] = field(default_factory=dict)
    field_names: Mapping[str, str] = field(default_factory=dict)
    repeats_name: bool = False
    questions: tuple[Question, ...] = ()

    @property
    def calls(self) -> int:
        """How often the phone may ring."""
        return sum(row.count(NUMBER) for row in self.rows) * (1 + int(self.campaign.get("max_retries", 0)))


RANG = Question("rang", "Did your phone ring?")
REACH, CAMPAIGN, NAMES = "reach", "campaign", "names"
UNKNOWN_FIELD, SECURE = "unknown_field", "secure"

STEPS: tuple[Step, ...] = (
    Step(
        name=REACH, title="Reach the host: https, TLS, redirects", rows=(),
        why="The vendor documents only http. With it, login, PIN, and contacts travel unencrypted.",
        sends="HEAD requests over https and http, without login and PIN. Nothing can be queued.",
    ),
    Step(
        name="wrong_pin", title="Try a wrong PIN", endpoint={"pin": WRONG_PIN, "password": WRONG_PIN},
        why="How the service refuses is not documented: with an HTTP code, or with 200 and a word in the response.",
        sends="One campaign to your number, with your login and a wrong PIN. Your phone should not ring.",
        questions=(RANG,),
    ),
    Step(
        name=CAMPAIGN, title="Send a campaign with every documented field", rows=(f"{NUMBER},probe-row,probe-cell",),
        why="The names of the form fields and the format of the response are inferred. max_retries has two names in the vendor's pages.",
        sends="One campaign to your number, with one more attempt after a minute. Do not answer the first time; answer the second.",
        campaign={
            "message_reference": "probe-reference", "call_parameters": "probe-parameters", "max_retries": 1,
            "retry_interval": 60, "scheduled_timestamp": 0,
        },
        questions=(
            RANG,
            Question("rang_again", "Did it ring a second time, about a minute later?"),
            Question("said", "What did it say: your script, nothing, or something else?", ("script", "nothing", "else")),
        ),
    ),
    Step(
        name=NAMES, title="Try other names of form fields",
        why="The campaign was not queued. The response may say which names the service expects.",
        sends="The campaign again with only the required fields under other names, at most five times.",
        questions=(RANG,),
    ),
    Step(
        name="basic", title="Leave HTTP Basic out", endpoint={"basic_auth": False},
        why="The vendor's page asks for HTTP Basic, and a known client sends login and PIN in the form only.",
        sends="One campaign to your number, with login and PIN in the form only.",
        questions=(RANG,),
    ),
    Step(
        name="repeat", title="Repeat a campaign's name", repeats_name=True,
        why="Names must be unique. What happens to a repeated one is not documented.",
        sends="One campaign to your number, with the name of the campaign that was queued before.",
        questions=(RANG,),
    ),
    Step(
        name="twice", title="Give a number twice", rows=(NUMBER, NUMBER),
        why="Whether the service calls a number twice that is in the list twice is not documented.",
        sends="One campaign with your number in two rows.",
        questions=(Question("rings", "How many times did your phone ring?", ("0", "1", "2")),),
    ),
    Step(
        name="quoted", title="Quote a cell", rows=(f'"{NUMBER}","probe, row"',),
        why="Whether the service reads quotes in the contact file is not documented.",
        sends="One campaign to your number, with quotes in the row.",
        questions=(RANG,),
    ),
    Step(
        name="bad_row", title="Add a bad row", rows=(NUMBER, "not-a-number"),
        why="Whether one bad row makes the service refuse the whole list is not documented.",
        sends="One campaign with your number, and a row without a number.",
        questions=(RANG,),
    ),
    Step(
        name="expired", title="Send a campaign that has expired", campaign={"expiration_time": LONG_AGO},
        why="Whether the service refuses such a campaign or ignores the expiration is not documented.",
        sends="One campaign to your number that expired in 2001. Your phone should not ring.",
        questions=(RANG,),
    ),
    Step(
        name=UNKNOWN_FIELD, title="Send a field that no service knows", campaign={"secure": True},
        field_names={"secure": "queuecalls_probe"},
        why="If the service ignores such a field, a campaign is queued even if the name of an optional field is wrong.",
        sends="One campaign to your number, with one more field, called queuecalls_probe.",
        questions=(RANG,),
    ),
    Step(
        name=SECURE, title="Find the name of the field for secure", campaign={"secure": True},
        why="The name of the field that runs a call in the HIPAA/PCI environment is not documented.",
        sends="One campaign to your number in that environment, only if the service refuses fields that it does not know.",
        questions=(RANG,),
    ),
)  # fmt: skip
BY_NAME: Mapping[str, Step] = {step.name: step for step in STEPS}
