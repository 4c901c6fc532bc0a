"""Values that a function returns: what becomes a campaign, and what the errors say about the rest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_queuecalls._airflow.compat import AirflowSkipException
from airflow_provider_queuecalls.exceptions import InvalidContactRules, InvalidContacts
from airflow_provider_queuecalls.sandbox.server import Sandbox
from tests.support.decorated import called, failure, run_function

ANN, BOB = "16175550143", "16175550178"


def test_a_dataframe_is_called_by_its_columns(sandbox: Sandbox) -> None:
    import polars

    dataframe = polars.DataFrame(
        {"score": [0.5, 0.7], "mobile": [int(BOB), int(ANN)], "message_reference": [None, "ref"]}
    )
    assert run_function(lambda: dataframe, columns={"phone_number": "mobile"})["contacts"] == 2
    assert called(sandbox) == [(BOB, None, None), (ANN, "ref", None)]
    floats = polars.DataFrame({"phone_number": [float(BOB)]})
    assert "read it with dtype=str, or convert it to 'Int64'" in str(failure(lambda: floats))


def test_a_lazy_frame_is_to_be_collected() -> None:
    import polars

    error = failure(lambda: polars.LazyFrame({"phone_number": [ANN]}))
    assert "returned a LazyFrame, a query that has not run yet" in str(error)
    assert "Return a DataFrame: call .collect() on it." in str(error)


@pytest.mark.parametrize("kind", [str, Path, "file://{}".format, "s3"])
def test_a_path_may_be_returned(
    kind: Any, sandbox: Sandbox, tmp_path: Path, bucket: Any, request: pytest.FixtureRequest
) -> None:
    content = f"number;age\n{ANN};44\n"
    path = tmp_path / "calls.csv"
    path.write_text(content)
    if kind == "s3":
        from airflow_provider_queuecalls._airflow.compat import object_storage_path

        bucket.put_object(Key="calls.csv", Body=content.encode())
        given: Any = object_storage_path(f"s3://storage@{bucket.name}/calls.csv")
    else:
        given = kind(path)
    rules = {"has_header": True, "delimiter": ";", "columns": {"phone_number": "number"}}
    assert run_function(lambda: given, **rules)["contacts"] == 1
    assert called(sandbox) == [(ANN, None, None)]
    assert path.exists()


def test_columns_are_for_mappings_too(sandbox: Sandbox) -> None:
    run_function(
        lambda: [{"Mobile": ANN, "who": "ref"}], columns={"phone_number": "mobile", "message_reference": "who"}
    )
    assert called(sandbox) == [(ANN, "ref", None)]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "The function '<lambda>' returned None"),
        (5, "returned an int"),
        (b"16175550143", "returned a bytes of 11"),
        ({"phone_number": ANN}, "returned a dict of 1"),
        ([ANN], "Row 1 of the function '<lambda>' is a string of 11 characters"),
        (ANN, "The value does not look like a path"),
        (f"{ANN},ref", "The value does not look like a path"),
        (f"phone_number\n{ANN}\n", "The value does not look like a path"),
        ("", "has no path"),
        ("/no/such/file.csv", "does not exist"),
        ([(ANN, 0.5)], "Row 1 of the function '<lambda>': message_reference is a float"),
        ([{"number": ANN}], "has no column 'phone_number'"),
        (
            [{"phone_number": ANN, "call_parameters": "x"}],
            "has 'call_parameters', which is probably meant as call_parameter",
        ),
        (object(), "returned an object"),
    ],
)
def test_a_value_that_is_not_contacts_is_an_error_that_does_not_show_it(
    given: Any, words: str, sandbox: Sandbox, temporary: Path
) -> None:
    error = failure(lambda: given)
    assert isinstance(error, InvalidContacts)
    assert words in str(error)
    assert "5550143" not in str(error)
    assert sandbox.journal == []
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("rule", [{"has_header": True}, {"delimiter": ";"}])
def test_parameters_of_a_file_are_refused_with_rows(rule: Any) -> None:
    assert "has_header and delimiter apply to files only" in str(failure(lambda: [(ANN,)], **rule))


def test_columns_of_a_file_without_a_header_line_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "calls.csv"
    path.write_text(f"{ANN}\n")
    error = failure(lambda: str(path), columns={"phone_number": "x"})
    assert "columns has no effect here" in str(error)


def test_wrong_rules_are_reported_before_the_function_runs() -> None:
    error = failure(lambda: pytest.fail("was run"), on_invalid="perhaps")
    assert isinstance(error, InvalidContactRules)


def test_a_generator_is_closed_at_once_when_a_row_is_wrong() -> None:
    steps = []

    def contacts() -> Iterator[Any]:
        try:
            yield (0.5,)
            yield (0.5,)
        finally:
            steps.append("closed")

    error = failure(contacts)
    assert "Row 1" in str(error)
    assert steps == ["closed"]


def test_an_error_of_the_functions_own_stays_what_it_is() -> None:
    for error in (ValueError("odd"), AirflowSkipException("no"), FileNotFoundError("gone"), MemoryError("much")):

        def contacts(error: BaseException = error) -> Iterator[Any]:
            yield (ANN,)
            raise error

        with pytest.raises(type(error)) as caught:
            run_function(contacts)
        assert caught.value is error
