"""Every parameter of a campaign: what templating yields, what is refused, and what reaches the form."""

from __future__ import annotations

import copy
import pickle
import re
import time
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_queuecalls.client.campaign import (
    BY_NAME,
    DEFAULT_NAME_LENGTH,
    PARAMETERS,
    Campaign,
    default_campaign_name,
)
from airflow_provider_queuecalls.exceptions import InvalidCampaign
from airflow_provider_queuecalls.value_types import URL

START_URL = "https://ivr.example.com/start.vxml"
FUTURE = 4_070_908_800  # 2099; the ids of parametrized tests must not change from run to run
UNSET = [None, "", "  ", "\n", "None", " None "]

GOOD = {
    "start_url": START_URL,
    "result_url": "http://ivr.example.com/result?x=1",
    "campaign_name": "spring recall",
    "message_reference": "ref",
    "call_parameters": "a=b",
    "max_retries": 3,
    "retry_interval": 900,
    "scheduled_timestamp": FUTURE,
    "expiration_timestamp": FUTURE + 60,
    "scheduled_time": "jan 1st, 2099 10:05AM EST",
    "expiration_time": "jan 2nd, 2099 10:05AM EST",
    "secure": True,
}
FORM_NAMES = {"secure": "is_pci"}


def form(**values: object) -> dict[str, str]:
    campaign = Campaign(**{"start_url": START_URL, **values})  # type: ignore[arg-type]
    fields = campaign.form({"login": "bob", "pin": "4711", "contacts": "FILE"}, FORM_NAMES)
    return dict(fields)


def violations(**values: object) -> dict[str, str]:
    """The violations of a campaign, by parameter."""
    with pytest.raises(InvalidCampaign) as caught:
        Campaign(**{"start_url": START_URL, **values})  # type: ignore[arg-type]
    return {violation.parameter: violation.problem for violation in caught.value.violations}


def test_a_campaign_shows_no_url_that_may_be_signed_and_no_text_for_a_person() -> None:
    names = ("start_url", "result_url", "message_reference", "call_parameters")
    campaign = Campaign(**dict.fromkeys(names, START_URL))  # type: ignore[arg-type]
    assert START_URL not in repr(campaign)


def test_the_table_has_every_parameter_of_the_document_in_its_order() -> None:
    assert [parameter.source for parameter in PARAMETERS] == [
        f"parameter {position} of the service's queuecalls page" for position in range(1, 16)
    ]
    assert set(Campaign.names()) == {p.name for p in PARAMETERS} - {"login", "pin", "contacts"} | {"start_late"}


def test_the_form_has_the_file_first_and_the_credentials_last() -> None:
    values = {name: value for name, value in GOOD.items() if name not in ("scheduled_time", "expiration_time")}
    fields = Campaign(**values).form({"login": "bob", "pin": "4711", "contacts": "FILE"}, FORM_NAMES)  # type: ignore[arg-type]
    assert fields == [
        ("phone_number_list", "FILE"),
        ("start_url", START_URL),
        ("result_url", "http://ivr.example.com/result?x=1"),
        ("message_reference", "ref"),
        ("call_parameters", "a=b"),
        ("max_retries", "3"),
        ("retry_interval", "900"),
        ("scheduled_timestamp", str(FUTURE)),
        ("expiration_timestamp", str(FUTURE + 60)),
        ("is_pci", "1"),
        ("login", "bob"),
        ("pin", "4711"),
        ("campaign_name", "spring recall"),
    ]


@pytest.mark.parametrize("unset", UNSET)
@pytest.mark.parametrize("name", [name for name in Campaign.names() if name != "start_url"])
def test_an_unset_parameter_is_not_sent(name: str, unset: object) -> None:
    assert set(form(**{name: unset})) == {"login", "pin", "phone_number_list", "start_url"}


@pytest.mark.parametrize("unset", UNSET)
def test_start_url_is_required(unset: object) -> None:
    assert violations(start_url=unset) == {"start_url": "is missing"}


@pytest.mark.parametrize(
    ("name", "given_value", "sent"),
    [
        ("max_retries", "3", "3"),
        ("max_retries", " 10 ", "10"),
        ("max_retries", 0, "0"),
        ("max_retries", "0", "0"),
        ("retry_interval", 60, "60"),
        ("retry_interval", "172800", "172800"),
        ("retry_interval", timedelta(minutes=15), "900"),
        ("retry_interval", "15 minutes", "900"),
        ("retry_interval", "PT15M", "900"),
        ("retry_interval", str(timedelta(minutes=15)), "900"),
        ("message_reference", 12345, "12345"),
        ("message_reference", "  kept as it is\r\nsecond line", "  kept as it is\r\nsecond line"),
        ("campaign_name", " spring\n", "spring"),
        ("start_url", f"{START_URL}\n", START_URL),
        ("scheduled_timestamp", 0, "0"),
        ("scheduled_timestamp", "0", "0"),
        ("scheduled_timestamp", str(FUTURE), str(FUTURE)),
        ("scheduled_timestamp", datetime(2099, 1, 1, 12, tzinfo=timezone.utc), "4070952000"),
        ("scheduled_timestamp", datetime(2099, 1, 1, 12, tzinfo=timezone(timedelta(hours=-5))), "4070970000"),
        ("scheduled_timestamp", "2099-01-01T12:00:00Z", "4070952000"),
        ("scheduled_timestamp", "2099-01-01 12:00:00+00:00", "4070952000"),
        ("scheduled_timestamp", "2099-01-01T12:00:00.123456+00:00", "4070952000"),
        ("scheduled_timestamp", "2099-01-01T07:00-05:00", "4070952000"),
        ("scheduled_timestamp", "2099-01-01T07:00[America/New_York]", "4070952000"),
        ("scheduled_timestamp", "2099-01-01 07:00 America/New_York", "4070952000"),
        ("scheduled_timestamp", "2099-01-01 12:00 UTC", "4070952000"),
        ("scheduled_time", "now", "now"),
        ("expiration_time", "oct 14th, 2099 11:05PM EST", "oct 14th, 2099 11:05PM EST"),
    ],
)
def test_a_value_is_normalized(name: str, given_value: object, sent: str) -> None:
    assert form(**{name: given_value})[name] == sent


@pytest.mark.parametrize(
    ("value", "sent"), [(True, "1"), (" TRUE ", "1"), (1, "1"), ("1", "1"), (False, None), ("False", None), ("0", None)]
)
def test_a_flag_is_sent_if_it_is_on(value: object, sent: str | None) -> None:
    assert form(secure=value).get("is_pci") == sent


WRONG_TYPES = [
    *(1.0, 2.5, float("nan"), [], ["x"], {}, {"a": 1}, (), b"bytes", object, Decimal(1), date(2099, 1, 1)),
    datetime(2099, 1, 1),  # a time without a zone, where a time is accepted
]


@pytest.mark.parametrize("value", WRONG_TYPES, ids=repr)
@pytest.mark.parametrize("name", [name for name in Campaign.names() if name != "start_late"])
def test_a_value_of_a_wrong_type_is_refused(name: str, value: object) -> None:
    assert set(violations(**{name: value})) == {name}


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize("name", [name for name in Campaign.names() if name != "secure"])
def test_a_bool_is_refused_where_it_is_not_a_flag(name: str, value: bool) -> None:
    assert violations(**{name: value}) == {name: "is a value of type bool"}


NO_TIMES = ("tomorrow", "2099-13-01T00:00Z", "2099-01-01T10:00 Mars/Olympus", "1.5", "1e9", "2099-01-01T25:00Z")
NO_TIMESTAMP = "is not a UNIX time in seconds between the years 2001 and 9999"


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        *[("scheduled_timestamp", text, "has no time zone") for text in ("2099-01-01T10:00", "2099-01-01 10:00:00.5")],
        ("scheduled_timestamp", datetime(2099, 1, 1), "has no time zone"),
        ("expiration_timestamp", datetime(1970, 1, 1, tzinfo=timezone.utc), "is not between the years 2001 and 9999"),
        ("expiration_timestamp", "1970-01-01T00:00:00Z", "is not between the years 2001 and 9999"),
        *[("scheduled_timestamp", text, "is not a time in ISO 8601") for text in NO_TIMES],
        *[("scheduled_timestamp", number, NO_TIMESTAMP) for number in (-1, "-1", 1, 3600, 20261123, FUTURE * 1000)],
        ("scheduled_timestamp", "9" * 30, "is not a whole number"),
        ("max_retries", -1, "is too small"),
        ("max_retries", 11, "is too large"),
        ("max_retries", "11", "is too large"),
        ("retry_interval", 59, "is too small"),
        ("retry_interval", timedelta(seconds=90.5), "is not a whole number of seconds"),
        ("retry_interval", "3 days", "is too large"),
        ("retry_interval", 172_801, "is too large"),
        ("max_retries", "three", "is not a whole number"),
        ("max_retries", "3.0", "is not a whole number"),
        ("max_retries", "٣", "is not a whole number"),
        ("max_retries", "1_0", "is not a whole number"),
        ("secure", "yes", "is neither true nor false"),
        ("secure", 2, "is neither true nor false"),
    ],
)
def test_a_value_that_is_not_valid_is_refused(name: str, value: object, problem: str) -> None:
    assert violations(**{name: value}) == {name: problem}


@pytest.mark.parametrize("name", [p.name for p in PARAMETERS if p.max_length and p.name in Campaign.names()])
def test_a_string_has_a_limit_in_bytes(name: str) -> None:
    parameter = BY_NAME[name]
    assert parameter.max_length
    start = "https://x/" if parameter.type is URL else ""
    longest = start + "a" * (parameter.max_length - len(start))
    assert form(**{name: longest})[name] == longest
    assert violations(**{name: f"{longest}a"}) == {name: f"has {parameter.max_length + 1} characters"}
    assert re.fullmatch(r"has \d+ bytes in UTF-8", violations(**{name: longest.replace("aa", "aé")})[name])


@pytest.mark.parametrize(
    "url",
    [
        "ivr.example.com/start", "/start.vxml", "ftp://ivr.example.com/x", "javascript:alert(1)", "https://",
        "https:///x", "https://bob:4711@ivr.example.com/x", "https://bob@ivr.example.com/x",
        "https://ivr.example.com/a b", "https://ivr.example.com/a\u00a0b", "https://ivr.example.com/a\nb",
        "https://ivr.example.com/a\x00b", "https://ivr.example.com:port/x", "https://[::1/x",
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["start_url", "result_url"])
def test_what_is_no_absolute_url_is_refused(name: str, url: str) -> None:
    assert set(violations(**{name: url})) == {name}


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\x00b", "a\x1bb", "a\x85b"])
@pytest.mark.parametrize("name", ["campaign_name", "scheduled_time", "expiration_time"])
def test_a_control_character_is_refused_where_it_could_forge_a_log_line(name: str, text: str) -> None:
    assert violations(**{name: text}) == {name: "contains a control character or a line break"}


@pytest.mark.parametrize("name", ["campaign_name", "message_reference", "call_parameters", "start_url"])
def test_half_a_character_is_refused(name: str) -> None:
    assert set(violations(**{name: "https://x/\ud800"})) == {name}


@pytest.mark.parametrize("kind", ["scheduled", "expiration"])
def test_both_forms_of_one_time_are_refused(kind: str) -> None:
    found = violations(**{f"{kind}_timestamp": FUTURE, f"{kind}_time": "+3 days"})
    assert f"{kind}_time" in found[f"{kind}_timestamp"]


def test_both_forms_are_refused_even_if_the_timestamp_is_zero() -> None:
    assert set(violations(scheduled_timestamp=0, scheduled_time="+3 days")) == {"scheduled_timestamp"}


@pytest.mark.parametrize("offset", [0, -1])
def test_an_expiration_that_is_not_after_the_start_is_refused(offset: int) -> None:
    found = violations(scheduled_timestamp=FUTURE, expiration_timestamp=FUTURE + offset)
    assert found == {"expiration_timestamp": "is too early"}


def test_a_start_in_the_past_starts_at_once_and_is_warned_of() -> None:
    campaign = Campaign(start_url=START_URL, scheduled_timestamp=int(time.time()) - 60)
    assert campaign.warnings() == ["scheduled_timestamp has passed: the calls start at once."]


@pytest.mark.parametrize(("expression", "count"), [("+3 days", 1), ("now", 1), ("oct 14th, 2099 11:05PM EST", 0)])
def test_a_relative_time_is_warned_of(expression: str, count: int) -> None:
    assert len(Campaign(start_url=START_URL, scheduled_time=expression).warnings()) == count


def test_all_violations_are_reported_together_with_parameter_rule_and_source() -> None:
    with pytest.raises(InvalidCampaign) as caught:
        Campaign(
            start_url="nowhere", max_retries=11, retry_interval=1.5,  # type: ignore[arg-type]
            expiration_timestamp="tomorrow", secure=True,
            campaign_name="spring", field_names={},
        )  # fmt: skip
    assert [violation.parameter for violation in caught.value.violations] == [
        "start_url", "max_retries", "retry_interval", "expiration_timestamp", "secure",
    ]  # fmt: skip
    for violation in caught.value.violations:
        assert str(violation) in str(caught.value)
        assert (BY_NAME[violation.parameter].rule in str(violation)) is (violation.parameter != "secure")
        assert BY_NAME[violation.parameter].source in str(caught.value)
    assert caught.value.campaign_name == "spring"


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("max_retries", "eleven", "max_retries is 'eleven', which is not a whole number; it must be a whole number from 0 to 10"),
        ("retry_interval", timedelta(days=3), "retry_interval is 3 days, 0:00:00, which is too large"),
        ("scheduled_timestamp", "2099-01-01T10:00", "scheduled_timestamp is '2099-01-01T10:00', which has no time zone"),
        ("secure", "yes", "secure is 'yes', which is neither true nor false; it must be true or false"),
        ("campaign_name", "a\nb", "campaign_name is 'a\\nb', which contains a control character or a line break"),
    ],
)  # fmt: skip
def test_an_error_repeats_a_value_that_is_harmless(name: str, value: object, sentence: str) -> None:
    with pytest.raises(InvalidCampaign) as caught:
        Campaign(**{"start_url": START_URL, name: value})  # type: ignore[arg-type]
    assert sentence in str(caught.value)


def test_secure_without_a_wire_name_is_refused_with_the_way_out() -> None:
    campaign = Campaign(start_url=START_URL, secure=True)
    with pytest.raises(InvalidCampaign, match="field_names") as caught:
        campaign.form({"login": "bob", "pin": "4711", "contacts": "FILE"}, {})
    assert "outside the secure environment" in str(caught.value)
    assert '{"secure": "…"}' in str(caught.value)


def test_any_wire_name_can_be_overridden() -> None:
    given_values = {"login": "bob", "pin": "4711", "contacts": "FILE"}
    names = {"max_retries": "max_retry", "login": "user", "contacts": "list"}
    fields = Campaign(start_url=START_URL, max_retries=1).form(given_values, names)
    assert [name for name, _ in fields] == ["list", "start_url", "max_retry", "user", "pin"]


def test_an_error_survives_pickling() -> None:
    with pytest.raises(InvalidCampaign) as caught:
        Campaign(start_url=None, campaign_name="spring")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.violations, again.campaign_name) == (
        str(caught.value), caught.value.violations, "spring",
    )  # fmt: skip
    assert str(copy.copy(again)) == str(again)


NAMES = st.text(min_size=1, max_size=300)


@given(NAMES, NAMES, NAMES, st.integers(-1, 100_000))
def test_the_default_name_is_safe_short_and_the_same_on_every_try(dag: str, task: str, run: str, index: int) -> None:
    name = default_campaign_name(dag, task, run, index)
    assert re.fullmatch(r"[A-Za-z0-9._-]+", name)
    assert len(name) <= DEFAULT_NAME_LENGTH
    assert name == default_campaign_name(dag, task, run, index)
    assert Campaign(start_url=START_URL, campaign_name=name).campaign_name == name


@given(st.tuples(NAMES, NAMES, NAMES, st.integers(-1, 9)), st.tuples(NAMES, NAMES, NAMES, st.integers(-1, 9)))
def test_default_names_differ_between_task_instances(
    one: tuple[str, str, str, int], other: tuple[str, str, str, int]
) -> None:
    assert (default_campaign_name(*one) == default_campaign_name(*other)) == (one == other)


def test_a_default_name_can_be_read() -> None:
    name = default_campaign_name("reminders", "call_customers", "scheduled__2026-11-23T06:18:34+00:00", 7)
    assert re.fullmatch(r"reminders\.call_customers\.scheduled__2026-11-23T06_18_34\.7\.[a-p]{12}", name)
