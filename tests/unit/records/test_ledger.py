"""The ledger alone: what is on record, and what the next attempt may do."""

from __future__ import annotations

import json
import multiprocessing
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from airflow_provider_queuecalls.exceptions import AlreadySent, NotSent, OutcomeUnknown
from airflow_provider_queuecalls.records.ledger import Attempt, Ledger
from airflow_provider_queuecalls.records.stores import Entry, LocalStore

RESULT = {"outcome": "queued", "campaign_name": "spring", "queued_at": "2026-11-23T09:00:00+00:00"}


def attempt(**changes: Any) -> Attempt:
    given = {"campaign_name": "spring", "digest": "sha256:a", "contacts": 3, "try_number": 1, "resend_scope": "run-1/3"}
    return Attempt(**{**given, **changes})


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "receipts" / "spring.json")


def sent(store: Any, **changes: Any) -> None:
    """One attempt that is answered."""
    ledger = Ledger(store, attempt(**changes))
    assert ledger.settled() is None
    ledger.record_intent()
    ledger.record_receipt(RESULT)


def test_with_nothing_on_record_a_campaign_may_be_sent(store: LocalStore) -> None:
    assert Ledger(store, attempt()).settled() is None


def test_a_receipt_settles_the_same_list(store: LocalStore) -> None:
    sent(store)
    assert Ledger(store, attempt(try_number=2)).settled() == RESULT


def test_a_receipt_for_another_list_stops(store: LocalStore) -> None:
    sent(store)
    with pytest.raises(AlreadySent, match="another contact file") as caught:
        Ledger(store, attempt(digest="sha256:b")).settled()
    assert caught.value.campaign_name == "spring"


def test_an_intent_without_a_receipt_stops_and_says_what_to_look_up(store: LocalStore) -> None:
    ledger = Ledger(store, attempt())
    ledger.settled()
    ledger.record_intent()
    with pytest.raises(OutcomeUnknown) as caught:
        Ledger(store, attempt(try_number=2)).settled()
    intent = json.loads((store._path).read_text())["intent"]
    for told in ("'spring'", "try 1", intent["host"], intent["time"], "mark this task as successful", "resend=True"):
        assert told in str(caught.value)


def test_an_intent_tells_who_what_and_when(store: LocalStore) -> None:
    ledger = Ledger(store, attempt())
    ledger.settled()
    ledger.record_intent()
    intent = store.read()["intent"]  # type: ignore[index]
    assert set(intent) == {
        "campaign_name", "digest", "contacts", "time", "host", "try_number", "resend_scope", "resend",
    }  # fmt: skip


def test_an_intent_that_is_withdrawn_leaves_nothing(store: LocalStore) -> None:
    ledger = Ledger(store, attempt())
    ledger.settled()
    ledger.record_intent()
    ledger.withdraw()
    assert store.read() is None
    assert list(store._path.parent.iterdir()) == []


def test_withdrawing_without_an_intent_takes_nothing_away(store: LocalStore) -> None:
    sent(store)
    ledger = Ledger(store, attempt(resend_scope="run-2/3", resend=True))
    assert ledger.settled() is None
    ledger.withdraw()
    assert Ledger(store, attempt()).settled() == RESULT


def test_a_request_that_failed_before_its_intent_leaves_that_of_another(store: LocalStore) -> None:
    ours, theirs = Ledger(store, attempt()), Ledger(store, attempt(resend_scope="run-2/3"))
    assert ours.settled() is theirs.settled() is None
    theirs.record_intent()
    ours.withdraw()
    with pytest.raises(OutcomeUnknown):
        Ledger(store, attempt()).settled()


def test_resend_overrules_once_for_a_decision(store: LocalStore) -> None:
    sent(store)
    sent(store, resend_scope="run-1/6", resend=True, try_number=4)
    assert Ledger(store, attempt(resend_scope="run-1/6", resend=True, try_number=5)).settled() == RESULT
    assert store.read()["receipt"]["resend"] is True  # type: ignore[index]
    sent(store, resend_scope="run-1/9", resend=True, try_number=7)


def test_a_resend_that_was_broken_off_is_not_repeated_by_a_retry(store: LocalStore) -> None:
    sent(store)
    ledger = Ledger(store, attempt(resend_scope="run-1/6", resend=True))
    ledger.settled()
    ledger.record_intent()
    with pytest.raises(OutcomeUnknown):
        Ledger(store, attempt(resend_scope="run-1/6", resend=True, try_number=5)).settled()


def test_a_resend_that_was_refused_leaves_the_first_receipt(store: LocalStore) -> None:
    sent(store)
    ledger = Ledger(store, attempt(resend_scope="run-1/6", resend=True))
    ledger.settled()
    ledger.record_intent()
    ledger.withdraw()
    assert Ledger(store, attempt()).settled() == RESULT


def test_whoever_comes_second_does_not_send(store: LocalStore) -> None:
    first, second = Ledger(store, attempt()), Ledger(store, attempt(resend_scope="run-2/3"))
    assert first.settled() is second.settled() is None
    first.record_intent()
    with pytest.raises(OutcomeUnknown):
        second.record_intent()
    first.record_receipt(RESULT)
    third = Ledger(store, attempt(resend_scope="run-3/3"))
    third._before = None
    with pytest.raises(AlreadySent):
        third.record_intent()


class Failing:
    """A store with a disk that fails."""

    place = "a broken disk"

    def __init__(self, fails: str, entry: Entry | None = None) -> None:
        self.fails, self.entry = fails, entry

    def __getattr__(self, name: str) -> Any:
        def call(*_: object) -> Any:
            if name == self.fails:
                raise OSError(5, "secret words of the store")
            return self.entry if name == "read" else True

        return call


@pytest.mark.parametrize("fails", ["read", "create"])
def test_what_cannot_be_put_on_record_is_not_sent(fails: str) -> None:
    ledger = Ledger(Failing(fails), attempt())
    step = ledger.settled if fails == "read" else ledger.record_intent
    with pytest.raises(NotSent, match="a broken disk") as caught:
        step()
    assert caught.value.sent is False
    assert "secret words" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '"x"', "\ud83d"])
def test_an_entry_that_cannot_be_read_stops(content: str, store: LocalStore) -> None:
    store._path.parent.mkdir()
    store._path.write_bytes(content.encode(errors="surrogatepass"))
    with pytest.raises(NotSent, match="could not be read"):
        Ledger(store, attempt()).settled()


def test_an_entry_is_for_its_owner_only(store: LocalStore) -> None:
    sent(store)
    assert stat.S_IMODE(store._path.stat().st_mode) == 0o600


def _create(path: str, start: Any, wins: Any) -> None:
    store = LocalStore(Path(path))
    start.wait()
    if store.create({"intent": {"pid": os.getpid()}}):
        wins.put(os.getpid())


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_of_many_at_once_one_is_first(kind: str, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    start, wins = context.Event(), context.Queue()
    workers = [
        (threading.Thread if kind == "threads" else context.Process)(
            target=_create, args=(str(tmp_path / "spring.json"), start, wins)
        )
        for _ in range(8)
    ]
    for worker in workers:
        worker.start()
    start.set()
    for worker in workers:
        worker.join()
    assert wins.get(timeout=5)
    assert wins.empty()


class Life(RuleBasedStateMachine):
    """One task instance's life in any order: tries that end in every way, crashes, retries, clears, resends.

    The service is as unkind as it may be: whatever was sent in full was queued, answer or no answer.
    """

    @initialize()
    def begin(self) -> None:
        self.kept: Entry | None = None
        self.rings = self.allowed = 0
        self.tries, self.clears = 0, 0
        self.resend = False

    # The store: what is kept survives whatever becomes of the task.
    place = "memory"

    def read(self) -> Entry | None:
        return self.kept

    def create(self, entry: Entry) -> bool:
        if self.kept is None:
            self.kept = entry
            return True
        return False

    def replace(self, entry: Entry) -> None:
        self.kept = entry

    def remove(self) -> None:
        self.kept = None

    @rule(ending=st.sampled_from(
        ["answered", "answer lost", "not sent", "refused", "killed before the intent", "killed after the intent",
         "killed while sending", "killed before the receipt", "receipt not recorded"]
    ), digest=st.sampled_from(["a", "b"]))  # fmt: skip
    def a_try(self, ending: str, digest: str) -> None:
        self.tries += 1
        ledger = Ledger(
            self, attempt(digest=digest, try_number=self.tries, resend_scope=f"run/{self.clears}", resend=self.resend)
        )
        try:
            if ledger.settled() is not None or ending == "killed before the intent":
                return
            ledger.record_intent()
        except (AlreadySent, OutcomeUnknown):
            return
        if ending in ("not sent", "refused"):
            ledger.withdraw()
            return
        if ending == "killed after the intent":
            return
        self.rings += 1
        if ending == "answered":
            ledger.record_receipt(RESULT)

    @rule(resend=st.booleans())
    def clear(self, resend: bool) -> None:
        """A person clears the task, with receipts kept elsewhere, and may decide to send again."""
        self.clears += 1
        self.resend = resend
        self.allowed += resend

    @precondition(lambda self: self.rings)
    @rule()
    def look(self) -> None:
        assert self.kept is not None

    @invariant()
    def nobody_is_called_twice_without_a_decision(self) -> None:
        assert getattr(self, "rings", 0) <= 1 + getattr(self, "allowed", 0)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=300, stateful_step_count=30, deadline=None)
