"""Every order in which tries can run, freeze, wake up, die and be repeated, while people answer: at most one complete
request per permission.

The search is exhaustive. A try is a list of steps, and so is a person, who looks at the record and answers later; any of
them may be the next to happen, for any try or person, or never. What happens is replayed from the start with real ledgers
on one store.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from airflow_provider_queuecalls.exceptions import AlreadySent, NotSent, OutcomeUnknown
from airflow_provider_queuecalls.records.sent.entry import State
from airflow_provider_queuecalls.records.sent.ledger import Ledger, Overtaken, Try
from airflow_provider_queuecalls.records.sent.resolving import resolve
from tests.unit.records.sent.memory_store import MemoryStore, ReplacingStore
from tests.unit.records.sent.test_ledger import KEY, LIST, RESULT


@dataclass(frozen=True)
class Planned:
    """A try, and what the service does with its request."""

    scope: str
    resend: bool = False
    response: str = "queued"  # or "not accepted", or "lost"


@dataclass(frozen=True)
class Person:
    """Somebody who looks at the record, and then says whether the campaign is at the service, rightly or wrongly."""

    queued: bool


#: Tries of one or more tasks with the same campaign, each with what made it: a retry, Clear, a person's resend.
STORIES: dict[str, Sequence[Planned | Person]] = {
    "a task and its retries": [Planned("a"), Planned("a"), Planned("a")],
    "two tasks with one campaign": [Planned("a"), Planned("b"), Planned("b")],
    "a resend beside a frozen try": [Planned("a"), Planned("a/clear", resend=True), Planned("a/clear", resend=True)],
    "two tasks that resend": [
        Planned("a", resend=True), Planned("b", resend=True), Planned("a", resend=True),
    ],
    "a refusal that comes late": [
        Planned("a", response="not accepted"), Planned("a/clear", resend=True), Planned("b"),
    ],
    "a resend that is refused": [
        Planned("a"), Planned("b", resend=True, response="not accepted"), Planned("b", resend=True),
    ],
    "a person who sends again": [Planned("a"), Person(queued=False), Planned("a"), Planned("a")],
    "a person who goes on": [Planned("a"), Person(queued=True), Planned("a"), Planned("b")],
    "two people who disagree": [Planned("a"), Person(queued=False), Person(queued=True), Planned("a")],
    "two people who agree": [Planned("a"), Person(queued=False), Person(queued=False), Planned("a")],
    "a person who is asked after a lost response": [
        Planned("a", response="lost"), Person(queued=False), Planned("a", response="lost"), Person(queued=True),
    ],
    "a person beside a resend": [Planned("a"), Person(queued=False), Planned("a/clear", resend=True)],
}  # fmt: skip


class World:
    """One store, one service, and the tries and people so far."""

    def __init__(self, store: MemoryStore, plans: Sequence[Planned | Person], two_marks: bool) -> None:
        self.store, self.queued, self.sent_back = store, 0, 0
        #: Whether a receipt is on record for a response, and how many requests were completed after it without a resend.
        self.proven, self.in_spite_of_proof = False, 0
        self.ledgers: dict[int, Ledger] = {}
        self.shown: dict[int, int] = {}
        self.actors = [
            self._steps(number, plan, two_marks) if isinstance(plan, Planned) else self._answer(number, plan)
            for number, plan in enumerate(plans, 1)
        ]

    def state(self) -> Any:
        """All that decides what can happen from here on: the record, and what each try believes of it."""
        entries = sorted((number, _shown(entry)) for number, entry in self.store.entries.items())
        beliefs = sorted(
            (number, ledger._generation, _shown(ledger._found and ledger._found.to_json()))
            for number, ledger in self.ledgers.items()
        )
        return self.queued, self.sent_back, self.proven, tuple(entries), tuple(beliefs), tuple(self.shown.items())

    def _answer(self, number: int, person: Person) -> Iterator[str]:
        """What a person does: they see a request without a response, look for its campaign, and say what they found."""
        ledger = Ledger(self.store, KEY, Try(0, "a person", token=f"token-{number}"))
        generation, asked = ledger.read()
        if asked is None or asked.state is not State.COMPLETE:
            return
        self.shown[number] = generation
        yield "looked"
        try:
            resolve(ledger, generation, queued=person.queued, by="Ann", force=True)
        except OutcomeUnknown:
            return
        self.sent_back += not person.queued

    def _steps(self, number: int, plan: Planned, two_marks: bool) -> Iterator[str]:
        """What a delivery does, with a pause after each step that others can see."""
        ledger = Ledger(self.store, KEY, Try(number, plan.scope, plan.resend, token=f"token-{number}"))
        self.ledgers[number] = ledger
        try:
            if ledger.find(LIST, 3) is not None:
                return
            yield "found nothing"
            proven = self.proven
            ledger.record_intent(complete=not two_marks)
            yield "intent"
            if two_marks:
                proven = self.proven
                ledger.record_complete()
                yield "complete"
            self.in_spite_of_proof += proven and not plan.resend
        except (AlreadySent, NotSent, OutcomeUnknown):
            return
        self.queued += plan.response != "not accepted"
        yield "the service has it"
        try:
            if plan.response == "queued":
                ledger.record_receipt(RESULT)
                self.proven = True
            elif plan.response == "lost":
                ledger.record_unknown()
            else:
                ledger.withdraw()
        except Overtaken:
            return


def _shown(entry: Any) -> tuple[str, ...]:
    return (entry["state"], entry["token"], *entry["resend_scopes"]) if entry else ()


def search(kind: type[MemoryStore], plans: Sequence[Planned | Person], *, two_marks: bool) -> tuple[int, int, int]:
    """By how many campaigns any order of steps exceeds what was asked for, how many requests were completed in spite of proof,
    and how many states were seen.

    People asked for one, for one more in each scope of a resend, and for one more with each accepted answer that it is
    not queued.
    """
    asked_for = 1 + len({plan.scope for plan in plans if isinstance(plan, Planned) and plan.resend})
    seen: set[Any] = set()
    todo: list[tuple[int, ...]] = [()]
    most, in_spite_of_proof = -asked_for, 0
    while todo and most <= 0:
        path = todo.pop()
        world = World(kind(), plans, two_marks)
        progress = ["waiting"] * len(plans)
        for index in path:
            progress[index] = next(world.actors[index], "ended")
        while (state := (tuple(progress), world.state())) not in seen:
            seen.add(state)
            most = max(most, world.queued - asked_for - world.sent_back)
            in_spite_of_proof = max(in_spite_of_proof, world.in_spite_of_proof)
            going_on = [index for index in range(len(plans)) if progress[index] != "ended"]
            if not going_on:
                break
            # What one of them does next happens in this world, which needs no replay; the others' steps come later.
            todo += [(*path, index) for index in going_on[1:]]
            path = (*path, going_on[0])
            progress[going_on[0]] = next(world.actors[going_on[0]], "ended")
    return most, in_spite_of_proof, len(seen)


@pytest.mark.parametrize("two_marks", [False, True])
@pytest.mark.parametrize("story", STORIES)
def test_no_order_of_steps_queues_more_than_was_asked_for(story: str, two_marks: bool) -> None:
    most, in_spite_of_proof, states = search(MemoryStore, STORIES[story], two_marks=two_marks)
    assert -2 < most <= 0
    assert in_spite_of_proof == 0
    assert states > 20


@pytest.mark.parametrize(
    "story", ["two tasks with one campaign", "a resend beside a frozen try", "two people who agree"]
)
def test_the_search_finds_a_store_that_does_not_compare(story: str) -> None:
    most, _, _ = search(ReplacingStore, STORIES[story], two_marks=False)
    assert most > 0
