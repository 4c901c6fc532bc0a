"""The table of a call result's fields, and how a post is read."""

from __future__ import annotations

from dataclasses import fields

import pytest

from airflow_provider_queuecalls.records.call_results import FIELDS, CallResult, read_result


def test_a_call_result_has_the_fields_of_the_table() -> None:
    assert [field.name for field in fields(CallResult)] == [field.name for field in FIELDS] == list(CallResult().form())


@pytest.mark.parametrize(
    ("post", "same"),
    [
        ([("result", " completed "), ("call_id", "7")], True),
        ([("call_id", "7"), ("call_id", "7"), ("result", "completed")], True),
        ([("call_id", "7"), ("call_id", "8"), ("result", "completed")], False),
        ([("call_id", "7")], False),
        ([("call_id", "7"), ("result", "completed"), ("more", "")], False),
    ],
)
def test_posts_of_the_same_fields_have_the_same_digest(post: list[tuple[str, str]], same: bool) -> None:
    first = read_result([("call_id", "7"), ("result", "completed")])
    assert (read_result(post).digest == first.digest) is same


def test_a_field_that_came_with_two_values_is_a_problem() -> None:
    posted = read_result([("call_id", "7"), ("call_id", "8"), ("call_id", "9")])
    assert (posted.result.call_id, posted.fields, posted.problems) == (
        None,
        '{"call_id": ["7", "8", "9"]}',
        ("call_id",),
    )
