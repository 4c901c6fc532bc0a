"""The value of ``speak``, and the URL of its script."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_queuecalls.exceptions import InvalidCampaign, QueueCallsError
from airflow_provider_queuecalls.records.receiver.urls import key_of, results_url, script_of, script_url
from airflow_provider_queuecalls.voice.speech import Speech, read_speech
from tests.support.command import REPOSITORY

BASE, KEY = "https://results.example.com/queuecalls", "0123456789abcdef" * 2
OLD, NEW = "the-secret-of-last-year", "the-secret-of-this-year"
CHOICES = {"1": "confirmed", "2": "canceled"}


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (None, None),
        (" None", None),
        (False, None),
        ("false", None),
        (True, Speech()),
        ("True", Speech()),
        ({}, Speech()),
        ('{"repeat": "3", "language": " es-US"}', Speech(repeat=3, language="es-US")),
        ("{'choices': {1: 'confirmed', '2': ' canceled'}}", Speech(choices=CHOICES)),
        ({"choices": "{'1': 'confirmed', '2': 'canceled'}"}, Speech(choices=CHOICES)),
        (
            {"choices": CHOICES, "prompts": {"offer": "", "thanks": "Bye."}},
            Speech(choices=CHOICES, prompts={"offer": "", "thanks": "Bye."}),
        ),
        (
            {"language": "de-DE", "choices": {"1": "ja"}, "prompts": {"offer": "Eins.", "thanks": "Danke."}},
            Speech(language="de-DE", choices={"1": "ja"}, prompts={"offer": "Eins.", "thanks": "Danke."}),
        ),
    ],
)
def test_speak_is_read_as_a_dag_or_a_template_gives_it(given: Any, read: Speech | None) -> None:
    assert read_speech(given) == read


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("loudly", "speak is neither true nor false"),
        ([], "speak is a value of type list"),
        ("{nonsense}", "speak is neither JSON nor"),
        ({"volume": 11}, "a setting that is not one of language, repeat, choices, prompts"),
        ({"repeat": 6}, r"speak\['repeat'\] is 6, which is too large"),
        ({"repeat": 0, "language": "English!"}, r"(?s)speak\['language'\] is 'English!'.*speak\['repeat'\] is 0"),
        ({"choices": {"10": "ten"}}, "a key that is not one digit"),
        ({"choices": {"1": " "}}, "has an empty choice"),
        ({"choices": {"1": "con\nfirmed"}}, "a control character"),
        ({"choices": "1"}, r"speak\['choices'\] is a value of type int"),
        ({"choices": {"1": "a"}, "prompts": {"goodbye": "Bye."}}, "a name that is not known: 'goodbye'"),
        ({"prompts": {"offer": "Press 1."}}, r"speak\['prompts'\] has no effect here"),
        ({"language": "de-DE", "choices": {"1": "ja"}, "prompts": {"offer": "x"}}, r"speak\['prompts'\]\['thanks'\] is missing"),
    ],
)  # fmt: skip
def test_what_is_not_valid_is_explained(given: Any, said: str) -> None:
    with pytest.raises(InvalidCampaign, match=said):
        read_speech(given)


TEXTS = st.text(min_size=1, max_size=20)


@given(
    language=st.sampled_from(["en-US", "fr-CA"]), repeat=st.integers(1, 5),
    choices=st.dictionaries(st.sampled_from("0123456789"), TEXTS), prompts=st.dictionaries(st.sampled_from(["offer", "thanks"]), TEXTS),
)  # fmt: skip
def test_settings_become_a_short_text_and_back(**settings: Any) -> None:
    speech = Speech(**settings)
    assert re.fullmatch("[A-Za-z0-9_-]+", speech.text)
    assert Speech.from_text(speech.text) == speech
    for secret in (OLD, NEW):
        path = "/".join(
            script_url("http://h", KEY, Speech(), [secret]).replace(Speech().text, speech.text).split("/")[3:]
        )
        assert script_of(path, [NEW, OLD]) is None or speech == Speech()


def test_a_script_and_the_results_of_a_campaign_have_different_signatures() -> None:
    speech = Speech(choices=CHOICES)
    url = script_url(BASE, KEY, speech, [OLD])
    assert script_of(f"/any/prefix{url.removeprefix(BASE)}", [NEW, OLD]) == (KEY, speech)
    assert script_of(url, [NEW]) is None
    assert key_of(url, [OLD]) is None
    for key in (KEY, f"{KEY}/{speech.text}"):
        assert script_of(results_url(BASE, key, [OLD]), [OLD]) is None
    assert script_of(url.replace(speech.text, Speech().text), [OLD]) is None


@pytest.mark.parametrize(
    ("base", "settings", "said"),
    [
        (BASE, {"prompts": {"offer": "".join(map(chr, range(200, 300)))}}, r"speak\['prompts'\] is too long; it must be .* 255 bytes; it has \d+ too"),
        (BASE, {"choices": {str(key): f"{key * 7919**5}" for key in range(1, 10)}}, r"speak\['choices'\] is too long"),
        (f"{BASE}/{'x' * 150}", {"choices": CHOICES}, r"The URL of the results receiver \(\[queuecalls\] results_url, or --base\) cannot be used: .* has 2"),
        ("nonsense", {}, "does not start with http"),
    ],
)  # fmt: skip
def test_a_url_that_is_too_long_for_the_service_is_explained(base: str, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(QueueCallsError, match=said):
        script_url(base, KEY, Speech(**settings), [NEW])


def test_the_documented_proxies_pass_the_paths_of_scripts_and_of_results() -> None:
    page = (REPOSITORY / "docs" / "results.md").read_text("utf-8")
    patterns = re.findall(r"(?:location ~ \^|path: )(/queuecalls/\S+\$)", page)
    urls = [
        results_url(BASE, KEY, [NEW]),
        *(script_url(BASE, KEY, speech, [NEW]) for speech in (Speech(), Speech(choices=CHOICES))),
    ]
    assert len(patterns) == 2
    assert all(
        re.match(pattern, url.removeprefix("https://results.example.com")) for pattern in patterns for url in urls
    )
    assert not any(
        re.match(pattern, path) for pattern in patterns for path in ("/health", "/queuecalls/", f"/queuecalls/{KEY}")
    )


def test_the_usual_settings_fit() -> None:
    prompts = {"offer": "Press 1 to confirm or 2 to cancel. Press 9 if we should not call again."}
    speech = Speech(choices={**CHOICES, "9": "do not call"}, prompts=prompts)
    assert len(script_url(BASE, KEY, speech, [NEW])) < 200
