"""Names of form fields, guessed from what an error mentions."""

from __future__ import annotations

import pytest

from airflow_provider_queuecalls.probe.names import USUAL, guesses


@pytest.mark.parametrize(
    ("mentioned", "names", "guess"),
    [
        (["phone_file", "is", "missing"], {}, {"contacts": "phone_file"}),
        (["numbersFile", "start_url", "campaignTitle"], {}, {"contacts": "numbersFile", "campaign_name": "campaignTitle"}),
        (["Required", "parameter", "user", "is", "not", "there"], {}, {"login": "user"}),
        (["password", "user"], {"login": "user"}, {"pin": "password"}),
        (["contact_list", "campaign_name", "name", "max_retry"], {}, {"contacts": "contact_list", "campaign_name": "name", "max_retries": "max_retry"}),
        (["contact_list", "name"], {"contacts": "contact_list"}, {"campaign_name": "name"}),
        (["call_parameter", "URL", "HTTP", "must"], {}, {"contacts": USUAL[0]}),
        ([], {"contacts": USUAL[0]}, {"contacts": USUAL[1]}),
    ],
)  # fmt: skip
def test_the_first_guess(mentioned: list[str], names: dict[str, str], guess: dict[str, str]) -> None:
    assert next(guesses(mentioned, names)) == guess
