"""The ledger alone: what is on record, and what the next try may do."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_queuecalls.exceptions import AlreadySent, NotSent, OutcomeUnknown, QueueCallsError
from airflow_provider_queuecalls.records.sent.entry import CampaignKey, Entry, State
from airflow_provider_queuecalls.records.sent.ledger import Ledger, Overtaken, Try
from airflow_provider_queuecalls.records.sent.resolving import resolve
from tests.unit.records.sent.memory_store import (
    FailingStore,
    InterruptedStore,
    MemoryStore,
    RepeatingStore,
    ReplacingStore,
    UnsureStore,
)

LOGIN = "outreach-login"
KEY = CampaignKey.of("spring", "https://calls.example/webservice/queuecalls.php", LOGIN)
RESULT = {"outcome": "queued", "campaign_name": "spring", "queued_at": "2026-11-23T09:00:00+00:00"}
LIST, OTHER_LIST = "sha256:a", "sha256:b"


def ledger(store: Any, *, scope: str = "run-1/3", resend: bool = False, number: int = 1) -> Ledger:
    return Ledger(store, KEY, Try(number, scope, resend))


def sent(store: Any, **this: Any) -> None:
    """One try whose campaign is queued."""
    ours = ledger(store, **this)
    assert ours.find(LIST, 3) is None
    ours.record_intent()
    ours.record_complete()
    ours.record_receipt(RESULT)


def test_a_receipt_and_its_repetition_say_when_the_response_arrived() -> None:
    store = MemoryStore()
    ours = started(store, complete=True)
    for body in ("", "shown"):
        ours.record_receipt({**RESULT, "body": body})
        _, entry = ours.read()
        assert entry is not None
        assert entry.queued_at == RESULT["queued_at"]


def started(store: Any, *, complete: bool, **this: Any) -> Ledger:
    """A try that is about to send its first block, or its last."""
    ours = ledger(store, **this)
    assert ours.find(LIST, 3) is None
    ours.record_intent(complete=complete)
    return ours


def sent_anyway(_: MemoryStore, slow: Ledger) -> None:
    slow.record_receipt(RESULT)


def answered_by_another(store: MemoryStore, _: Ledger) -> None:
    resolve(ledger(store), 1, queued=False, by="Bob", force=True)


def sent_again(store: MemoryStore, _: Ledger) -> None:
    started(store, complete=True, scope="run-1/6", resend=True)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def last(store: MemoryStore) -> Entry:
    found = store.last()
    assert found is not None
    return Entry.from_json(found[1])


def test_a_campaign_without_a_record_may_be_sent(store: MemoryStore) -> None:
    assert ledger(store).find(LIST, 3) is None


def test_a_receipt_returns_its_result_for_the_same_list(store: MemoryStore) -> None:
    sent(store)
    assert ledger(store, number=2).find(LIST, 3) == RESULT


def test_a_receipt_stops_another_list(store: MemoryStore) -> None:
    sent(store)
    with pytest.raises(AlreadySent, match="a suppression list, or a rule of the check has changed") as caught:
        ledger(store).find(OTHER_LIST, 3)
    assert caught.value.campaign_name == "spring"
    assert "resend" not in str(caught.value)


def test_a_complete_request_without_a_receipt_stops_and_says_what_to_look_up(store: MemoryStore) -> None:
    started(store, complete=True)
    with pytest.raises(OutcomeUnknown) as caught:
        ledger(store, number=2).find(LIST, 3)
    entry = last(store)
    assert entry.started_at in str(caught.value)
    ways = [
        f"run: queuecalls records resolve {way} {store.command_arguments}\n" for way in ("--queued", "--not-queued")
    ]
    for said in ("'spring'", KEY.service, "try 1", entry.host, *ways):
        assert said in str(caught.value)


@pytest.mark.parametrize(
    ("minutes", "said"),
    [
        (-3_000 * 24 * 60, "That is in the future, since a clock is wrong, so the request may still be under way"),
        (59, "That was less than an hour ago, so the request may still be under way"),
        (61, ""),
    ],
)
def test_a_young_request_may_still_be_under_way(minutes: int, said: str, store: MemoryStore) -> None:
    ours = started(store, complete=True)
    began = datetime.now(timezone.utc) - timedelta(minutes=minutes)
    store.entries[1]["started_at"] = began.isoformat(timespec="seconds")
    with pytest.raises(OutcomeUnknown) as caught:
        ledger(store).find(LIST, 3)
    assert said in str(caught.value)
    assert ("may still be under way" in str(caught.value)) is bool(said)
    ours.record_unknown()
    assert not last(store).may_be_under_way


def test_a_store_that_does_not_compare_has_no_intent_to_take_over() -> None:
    store = ReplacingStore()
    started(store, complete=False)
    assert last(store).state is State.COMPLETE
    with pytest.raises(OutcomeUnknown):
        ledger(store, number=2).find(LIST, 3)


def test_an_intent_that_is_not_complete_is_taken_over(store: MemoryStore) -> None:
    frozen = started(store, complete=False)
    sent(store, number=2)
    with pytest.raises(AlreadySent):
        frozen.record_complete()
    assert last(store).state is State.RECEIPT


def test_a_record_names_who_sent_what_and_when_but_no_login(store: MemoryStore) -> None:
    started(store, complete=True)
    entry = store.entries[1]
    assert (entry["campaign_name"], entry["digest"], entry["contacts"], entry["try_number"]) == ("spring", LIST, 3, 1)
    assert LOGIN not in str(entry)


@pytest.mark.parametrize("complete", [False, True])
def test_a_withdrawn_intent_leaves_the_campaign_open(complete: bool, store: MemoryStore) -> None:
    started(store, complete=complete).withdraw()
    assert last(store).state is State.OPEN
    sent(store, number=2)


def test_a_withdrawn_resend_leaves_the_receipt_and_the_permission(store: MemoryStore) -> None:
    sent(store)
    started(store, complete=True, scope="run-1/6", resend=True).withdraw()
    assert ledger(store, scope="run-9/9").find(LIST, 3) == RESULT
    sent(store, scope="run-1/6", resend=True)


@pytest.mark.parametrize("complete", [False, True])
@pytest.mark.parametrize("kept", [False, True])
def test_an_intent_whose_write_seems_to_fail_is_withdrawn_if_it_was_kept(kept: bool, complete: bool) -> None:
    store = InterruptedStore(kept=kept)
    ours = ledger(store)
    assert ours.find(LIST, 3) is None
    store.interrupted = True
    with pytest.raises(NotSent):
        ours.record_intent(complete=complete)
    store.interrupted = False
    ours.withdraw()
    assert (last(store).state if kept else store.last()) == (State.OPEN if kept else None)
    sent(store, number=2)


def test_withdrawing_without_an_intent_changes_nothing(store: MemoryStore) -> None:
    sent(store)
    ours = ledger(store, scope="run-2/3", resend=True)
    assert ours.find(LIST, 3) is None
    ours.withdraw()
    assert ledger(store).find(LIST, 3) == RESULT


def test_a_resend_that_was_used_up_says_so(store: MemoryStore, caplog: pytest.LogCaptureFixture) -> None:
    """As after Clear if the task has fewer retries than before: Airflow's counter does not show that it was cleared."""
    sent(store, resend=True)
    assert not caplog.messages
    assert ledger(store, resend=True).find(LIST, 3) == RESULT
    assert "To send it once more, clear the task again." in caplog.text


def test_resend_sends_once_in_a_scope(store: MemoryStore) -> None:
    sent(store)
    sent(store, scope="run-1/6", resend=True, number=4)
    assert ledger(store, scope="run-1/6", resend=True, number=5).find(LIST, 3) == RESULT
    sent(store, scope="run-1/9", resend=True, number=7)


def test_a_record_remembers_every_scope(store: MemoryStore) -> None:
    """Two tasks that resend one campaign, each killed before its response, do not overrule each other."""
    sent(store)
    for scope in ("one/3", "two/3"):
        started(store, complete=True, scope=scope, resend=True)
    for scope in ("one/3", "two/3"):
        with pytest.raises(OutcomeUnknown):
            ledger(store, scope=scope, resend=True, number=2).find(LIST, 3)


def test_a_slow_refusal_does_not_undo_what_came_after_it(store: MemoryStore) -> None:
    slow = started(store, complete=True)
    sent(store, scope="run-1/6", resend=True)
    with pytest.raises(Overtaken):
        slow.withdraw()
    assert ledger(store, scope="run-2/3").find(LIST, 3) == RESULT


def test_a_slow_receipt_does_not_replace_what_came_after_it(store: MemoryStore) -> None:
    slow = started(store, complete=True)
    sent(store, scope="run-1/6", resend=True)
    with pytest.raises(Overtaken):
        slow.record_receipt({**RESULT, "queued_at": "later"})
    assert last(store).result == RESULT


@pytest.mark.parametrize("complete", [False, True])
def test_of_two_tasks_at_the_same_moment_one_sends(complete: bool, store: MemoryStore) -> None:
    first, second, third = ledger(store), ledger(store, scope="run-2/3"), ledger(store, scope="run-3/3")
    assert first.find(LIST, 3) is second.find(LIST, 3) is third.find(LIST, 3) is None
    first.record_intent(complete=complete)
    with pytest.raises(OutcomeUnknown if complete else AlreadySent, match=r"at the same time|still be under way"):
        second.record_intent(complete=complete)
    first.record_receipt(RESULT)
    with pytest.raises(AlreadySent, match=r"was queued by another task at .* Clear it to get its result"):
        third.record_intent(complete=complete)


@pytest.mark.parametrize("operation", ["last", "create"])
def test_a_record_that_cannot_be_kept_stops_the_request(operation: str) -> None:
    with pytest.raises(NotSent, match="in memory could not be") as caught:
        sent(FailingStore(operation))
    assert caught.value.sent is False
    assert "own words" not in str(caught.value)


@pytest.mark.parametrize("kind", [UnsureStore, RepeatingStore])
def test_an_entry_that_is_kept_in_spite_of_an_error_is_ones_own(kind: type[MemoryStore]) -> None:
    store = kind()
    sent(store)
    assert ledger(store).find(LIST, 3) == RESULT


def asked(store: MemoryStore) -> int:
    """The generation of a request without a response."""
    started(store, complete=True)
    return max(store.entries)


def test_a_person_who_finds_the_campaign_lets_the_next_try_return_its_result(store: MemoryStore) -> None:
    resolve(ledger(store), asked(store), queued=True, by="Ann", calls=3)
    found = ledger(store, number=2).find(LIST, 3)
    assert found is not None
    assert {name: found[name] for name in ("outcome", "campaign_name", "contacts", "digest", "call_id_count")} == {
        "outcome": "queued", "campaign_name": "spring", "contacts": 3, "digest": LIST, "call_id_count": 3,
    }  # fmt: skip
    assert found["queued_at"] == store.entries[1]["started_at"]
    assert (found["resolved_by"], last(store).resolved_by) == ("Ann", "Ann")
    assert last(store).resolved_at is not None
    with pytest.raises(AlreadySent):
        ledger(store).find(OTHER_LIST, 3)


def test_a_person_who_does_not_find_the_campaign_lets_the_next_try_send_it_once(store: MemoryStore) -> None:
    resolve(ledger(store), asked(store), queued=False, by="Ann", force=True)
    assert (last(store).state, last(store).resolved_by) == (State.OPEN, "Ann")
    started(store, complete=True, number=2)
    with pytest.raises(OutcomeUnknown):
        ledger(store, number=3).find(LIST, 3)


def test_that_it_is_not_queued_is_refused_while_the_request_may_be_under_way(store: MemoryStore) -> None:
    generation = asked(store)
    with pytest.raises(OutcomeUnknown, match=r"under way at .* less than an hour ago.*\n(.*\n)*.*--force") as caught:
        resolve(ledger(store), generation, queued=False, by="Ann")
    assert "The answer of Ann was not put on record, and nothing was sent." in str(caught.value)
    assert last(store).state is State.COMPLETE
    resolve(ledger(store), generation, queued=True, by="Ann")


def test_that_a_request_is_under_way_counts_from_the_end_of_its_file(store: MemoryStore, mocker: Any) -> None:
    slow = started(store, complete=False)
    long_ago = datetime.now(timezone.utc) - timedelta(minutes=70)
    slow._own = replace(slow._written(), started_at=long_ago.isoformat(timespec="seconds"))
    slow.record_complete()
    assert last(store).may_be_under_way


@pytest.mark.parametrize("sent_meanwhile", [None, "intent", "complete"])
def test_a_response_that_proves_it_overrules_an_answer(sent_meanwhile: str | None, store: MemoryStore) -> None:
    slow = started(store, complete=True)
    resolve(ledger(store), 1, queued=False, by="Ann", force=True)
    other = sent_meanwhile and started(store, complete=sent_meanwhile == "complete", scope="run-1/4", number=2)
    if sent_meanwhile == "complete":
        with pytest.raises(Overtaken):
            slow.record_receipt(RESULT)
        return
    slow.record_receipt(RESULT)
    if other:
        with pytest.raises(AlreadySent, match=r"was queued by another task at .* This task sent nothing"):
            other.record_complete()
        other.withdraw()
    assert last(store).state is State.RECEIPT
    assert ledger(store, scope="run-1/4", number=3).find(LIST, 3) == RESULT
    assert ledger(store, scope="run-1/5", resend=True).find(LIST, 3) is None


def test_a_response_does_not_overrule_a_person_who_resends(store: MemoryStore) -> None:
    slow = started(store, complete=True)
    resend = started(store, complete=False, scope="run-1/4", resend=True)
    with pytest.raises(Overtaken):
        slow.record_receipt(RESULT)
    resend.withdraw()
    slow.record_receipt(RESULT)
    assert ledger(store, scope="run-1/5").find(LIST, 3) == RESULT


@pytest.mark.parametrize("complete", [True, False])
def test_a_process_that_stood_still_for_an_hour_sends_nothing(complete: bool, store: MemoryStore, mocker: Any) -> None:
    frozen = ledger(store)
    frozen.find(LIST, 3)
    if not complete:
        frozen.record_intent()
    mocker.patch("airflow_provider_queuecalls.records.sent.entry.LONGEST_REQUEST_SECONDS", 0)
    with pytest.raises(NotSent, match=r"stood still .* It is safe to try again"):
        frozen.record_intent(complete=True) if complete else frozen.record_complete()
    frozen.withdraw()
    assert last(store).state is State.OPEN


def test_a_result_proves_nothing_where_an_earlier_request_may_have_queued_its_call(store: MemoryStore) -> None:
    started(store, complete=True).withdraw()
    started(store, complete=True, scope="run-1/4")
    assert not last(store).sent_before
    started(store, complete=True, scope="run-1/5", resend=True)
    resolve(ledger(store), max(store.entries), queued=False, by="Ann", force=True)
    started(store, complete=True, scope="run-1/6")
    assert last(store).sent_before


@pytest.mark.parametrize("before", ["queued", "unknown"])
def test_a_resend_that_is_broken_off_permits_nobody_else_to_send(before: str, store: MemoryStore) -> None:
    sent(store) if before == "queued" else started(store, complete=True)
    started(store, complete=False, scope="run-1/4", resend=True, number=2)
    for list_ in (LIST, OTHER_LIST):
        with pytest.raises(AlreadySent, match=r"before try 2 on .* Nothing was sent.* with resend") as caught:
            ledger(store, scope="run-1/5").find(list_, 3)
        assert str(caught.value).startswith(ledger(store).describe_earlier_try())
    assert ledger(store, scope="run-1/4").find(LIST, 3) is None
    assert ledger(store, scope="run-1/5", resend=True).find(LIST, 3) is None


class StateOfOneTask(MemoryStore):
    """As the state of a task: it has one record, whatever the campaign is called."""

    other_names_count = True


def renamed(store: MemoryStore, *, scope: str = "run-1/3", resend: bool = False) -> Ledger:
    return Ledger(store, replace(KEY, campaign_name="spring-2"), Try(2, scope, resend))


def test_a_task_that_has_queued_a_campaign_does_not_send_it_under_another_name() -> None:
    """Such as a name with the time of the try."""
    store = StateOfOneTask()
    sent(store)
    with pytest.raises(
        AlreadySent, match=r"has queued campaign 'spring', .* is now 'spring-2'. Nothing was sent"
    ) as caught:
        renamed(store).find(LIST, 3)
    assert "with resend" in str(caught.value)
    assert "'spring' was already queued" in renamed(store).describe_earlier_try()
    again = renamed(store, scope="run-1/4", resend=True)
    assert again.find(LIST, 3) is None
    again.record_intent()
    again.withdraw()
    assert last(store).campaign_name == "spring"


@pytest.mark.parametrize("state", ["receipt", "complete", "intent"])
def test_what_was_recorded_elsewhere_before_counts_until_there_is_an_entry(state: str, store: MemoryStore) -> None:
    """As where a task has sent its campaign with the record in its own state, and then receipts_path is set."""
    before = StateOfOneTask()
    before.command_arguments = "--task outreach once call -1"
    sent(before) if state == "receipt" else started(before, complete=state == "complete")
    store.before = before
    kept = dict(before.entries)
    if state == "receipt":
        assert ledger(store).find(LIST, 3) == RESULT
        assert ledger(store, scope="run-1/4", resend=True).find(LIST, 3) is None
    elif state == "complete":
        with pytest.raises(OutcomeUnknown, match=r"resolve --not-queued --task outreach once call -1"):
            ledger(store).find(LIST, 3)
        generation, _ = ledger(store).read()
        resolve(ledger(store), generation, queued=False, by="Ann", force=True)
        assert (last(store).state, min(store.entries)) == (State.OPEN, 1)
    else:
        sent(store)
        assert ledger(store).find(LIST, 3) == RESULT
    assert before.entries == kept


def test_a_task_whose_outcome_is_unknown_does_not_send_under_another_name() -> None:
    store = StateOfOneTask()
    started(store, complete=True)
    with pytest.raises(OutcomeUnknown, match="whether campaign 'spring' was queued"):
        renamed(store).find(LIST, 3)


@pytest.mark.parametrize("refused", [True, False])
def test_what_queued_nothing_permits_another_name(refused: bool) -> None:
    store = StateOfOneTask()
    earlier = started(store, complete=refused)
    if refused:
        earlier.withdraw()
    ours = renamed(store)
    assert ours.find(LIST, 3) is None
    ours.record_intent(complete=True)
    ours.record_receipt({**RESULT, "campaign_name": "spring-2"})
    assert (last(store).campaign_name, last(store).sent_before) == ("spring-2", False)
    with pytest.raises(AlreadySent, match="has queued campaign 'spring-2'"):
        ledger(store).find(LIST, 3)


@pytest.mark.parametrize("queued", [False, True])
@pytest.mark.parametrize("change", [sent_anyway, answered_by_another, sent_again])
def test_an_answer_is_refused_if_the_record_has_changed(change: Any, queued: bool, store: MemoryStore) -> None:
    slow = started(store, complete=True)
    change(store, slow)
    entries = dict(store.entries)
    with pytest.raises(OutcomeUnknown, match=r"has changed since it was shown.* nothing was sent") as caught:
        resolve(ledger(store), 1, queued=queued, by="Ann", force=True)
    assert caught.value.sent is False
    assert store.entries == entries


@pytest.mark.parametrize("operation", ["last", "create"])
def test_an_answer_that_cannot_be_kept_is_an_error(operation: str, store: MemoryStore) -> None:
    failing = FailingStore(operation)
    failing.entries = {asked(store): store.entries[1]}
    with pytest.raises(QueueCallsError, match="in memory could not be") as caught:
        resolve(ledger(failing), 1, queued=False, by="Ann", force=True)
    if operation == "create":
        assert "The answer of Ann was not put on record, and nothing was sent. Clear the task" in str(caught.value)


DAMAGED: list[Any] = [None, [], {}, "x", {"intent": {}}, {"intent": None}, 0]


@pytest.mark.parametrize("entry", DAMAGED)
def test_a_damaged_record_stops_and_names_a_way_out(entry: Any, store: MemoryStore) -> None:
    store.entries[1] = entry
    with pytest.raises(OutcomeUnknown, match=r"memory/000001\.json is not valid .* remove that entry") as caught:
        ledger(store, resend=True).find(LIST, 3)
    assert caught.value.sent is False


@given(
    name=st.sampled_from(sorted(Entry.__dataclass_fields__)), value=st.sampled_from([None, 1, True, "", [], {}, 1.5])
)
def test_an_entry_with_a_wrong_value_is_damaged_or_reads_the_same(name: str, value: Any) -> None:
    store = MemoryStore()
    sent(store)
    number, entry = max(store.entries.items())
    store.entries[number] = {**entry, name: value}
    try:
        found = ledger(store).find(LIST, 3)
    except (OutcomeUnknown, AlreadySent):
        return
    assert found in (RESULT, value)


@pytest.mark.parametrize(
    "other",
    [
        CampaignKey.of("summer", KEY.service, LOGIN),
        CampaignKey.of("spring", "https://sandbox.example/queuecalls.php", LOGIN),
        CampaignKey.of("spring", KEY.service, "another-login"),
    ],
)
def test_another_name_service_or_account_is_another_campaign(other: CampaignKey, store: MemoryStore) -> None:
    assert other.digest != KEY.digest
    sent(store)
    with pytest.raises(OutcomeUnknown, match=r"it is about campaign 'spring'"):
        Ledger(store, other, Try(1, "run-1/3")).find(LIST, 3)


def test_a_try_that_forgets_the_future_sends_once_more_and_logs_a_warning(
    store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    sent(store)
    started = datetime.fromisoformat(last(store).started_at)
    for forgets_after, result in ((started, RESULT), (started - timedelta(seconds=1), None)):
        assert "in the future" not in caplog.text
        this_try = Try(1, "alarm", forgets_after=forgets_after.isoformat(timespec="seconds"))
        assert Ledger(store, KEY, this_try).find(LIST, 3) == result
    assert f"at {last(store).started_at}, which is in the future" in caplog.text


def test_a_try_that_forgets_what_is_old_sends_once_more(store: MemoryStore) -> None:
    sent(store)
    started = datetime.fromisoformat(last(store).started_at)
    for forgets_before, result in ((started, RESULT), (started + timedelta(seconds=1), None)):
        this_try = Try(1, "alarm", forgets_before=forgets_before.isoformat(timespec="seconds"))
        ours = Ledger(store, KEY, this_try)
        assert ours.find(LIST, 3) == result
    twin = Ledger(store, KEY, replace(this_try, token="twin"))
    assert twin.find(OTHER_LIST, 3) is None
    ours.record_intent(complete=True)
    with pytest.raises((AlreadySent, OutcomeUnknown)):
        twin.record_intent(complete=True)
    ours.withdraw()
    assert last(store).result == RESULT, "the old receipt counts again, and is forgotten again"
