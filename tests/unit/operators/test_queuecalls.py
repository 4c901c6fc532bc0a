"""The operator as a DAG author and Airflow's machinery meet it; what it does on a wire is tested elsewhere."""

from __future__ import annotations

import copy
import inspect
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_queuecalls._airflow.compat import AirflowFailException
from airflow_provider_queuecalls._airflow.question import ask_if_unknown
from airflow_provider_queuecalls.client.campaign import Campaign, default_campaign_name
from airflow_provider_queuecalls.exceptions import InvalidCampaign, InvalidConnection, InvalidContacts, OutcomeUnknown
from airflow_provider_queuecalls.operators.queuecalls import QueueCallsOperator
from airflow_provider_queuecalls.parameters import describe
from airflow_provider_queuecalls.records.sent.entry import CampaignKey
from airflow_provider_queuecalls.records.sent.ledger import Ledger, Try
from tests.support.command import newly_imported
from tests.support.logs import everything_logged
from tests.support.moved import AIRFLOW, serialized_dag
from tests.unit.records.sent.memory_store import FailingStore, MemoryStore

XCOM_KEYS = [
    "outcome", "campaign_key", "campaign_name", "contacts", "rejected", "duplicates", "suppressed", "call_ids",
    "call_id_count", "digest", "queued_at", "expiration_timestamp", "calls_from", "zones", "dry_run", "response",
]  # fmt: skip
CONTEXT: Any = {
    "ti": SimpleNamespace(
        dag_id="reminders", task_id="call", run_id="manual__1", map_index=-1, try_number=1, max_tries=0
    )
}
GOOD = {"start_url": "https://ivr.example.com/x.vxml", "dry_run": True}


@pytest.fixture(autouse=True)
def connection(airflow: Any, connect: Any) -> None:
    connect("https://calls.example")


@pytest.fixture
def contacts(tmp_path: Path) -> str:
    path = tmp_path / "calls.csv"
    path.write_text("16175550100,ref,par\n\n16175550101\n")
    return str(path)


def operator(**parameters: Any) -> QueueCallsOperator:
    return QueueCallsOperator(task_id="call", **{"contacts": "calls.csv", **GOOD, **parameters})


def failure(**parameters: Any) -> BaseException:
    """The error that ends the task without a retry."""
    with pytest.raises(AirflowFailException) as caught:
        operator(**parameters).execute(CONTEXT)
    assert caught.value.__context__ is not None
    assert str(caught.value) == str(caught.value.__context__)
    return caught.value.__context__


def test_every_parameter_is_templated_and_keyword_only() -> None:
    parameters = inspect.signature(QueueCallsOperator.__init__).parameters
    ours = [name for name, parameter in parameters.items() if parameter.kind is inspect.Parameter.KEYWORD_ONLY]
    assert set(ours) == set(QueueCallsOperator.template_fields)
    assert set(Campaign.names()) < set(ours)


def test_parameters_are_kept_as_they_were_given() -> None:
    given: dict[str, Any] = {name: object() for name in QueueCallsOperator.template_fields}
    task = QueueCallsOperator(task_id="call", **given)
    assert {name: getattr(task, name) for name in given} == given


def test_a_dry_run_does_everything_but_the_request(contacts: str) -> None:
    result = operator(contacts=contacts, expiration_timestamp="2999-12-31T23:00:00-01:00").execute(CONTEXT)
    assert list(result) == XCOM_KEYS
    assert result["expiration_timestamp"] == 32503680000
    assert result["outcome"] == "not sent"
    assert result["dry_run"] is True
    assert result["contacts"] == 2
    assert result["campaign_name"] == default_campaign_name("reminders", "call", "manual__1")
    assert (result["queued_at"], result["response"], result["call_ids"], result["call_id_count"]) == (None, None, [], 0)


@pytest.mark.parametrize(
    ("parameters", "kind"),
    [
        ({"max_retries": "11"}, InvalidCampaign),
        ({"start_url": "{{ nothing }}"}, InvalidCampaign),
        ({"secure": True}, InvalidCampaign),
        ({"dry_run": ""}, InvalidCampaign),
        ({"on_unknown": "skip"}, InvalidCampaign),
        ({"answer_timeout": "soon"}, InvalidCampaign),
        ({"answer_timeout": "2 days"}, InvalidCampaign),
        ({"dry_run": "None"}, InvalidCampaign),
        ({"dry_run": None}, InvalidCampaign),
        *(
            ({"expected_digest": empty}, InvalidCampaign)
            for empty in ("", "None", None, 3, "sha256:", "sha256:" + "x" * 64)
        ),
        ({"contacts": "/no/such/file.csv"}, InvalidContacts),
        ({"contacts": ""}, InvalidContacts),
        ({"contacts": None}, InvalidContacts),
        ({"contacts": "None"}, InvalidContacts),
        ({"contacts": 3}, InvalidContacts),
        ({"contacts": ["a.csv"]}, InvalidContacts),
    ],
)
def test_a_dry_run_finds_what_is_wrong(parameters: dict[str, Any], kind: type, contacts: str) -> None:
    assert isinstance(failure(**{"contacts": contacts, **parameters}), kind)


def test_only_the_expected_list_passes(contacts: str) -> None:
    digest = operator(contacts=contacts).execute(CONTEXT)["digest"]
    assert operator(contacts=contacts, expected_digest=f" {digest}\n").execute(CONTEXT)["digest"] == digest
    Path(contacts).write_text("16175550100,ref,par\n16175550102\n")
    error = failure(contacts=contacts, expected_digest=digest, campaign_name="spring")
    assert isinstance(error, InvalidContacts)
    assert error.campaign_name == "spring"
    assert error.report.valid == 2
    assert f"expected_digest is {digest}. Nothing was sent." in str(error)


def test_a_dry_run_finds_a_wrong_connection(contacts: str, connect: Any) -> None:
    connect("http://calls.example")
    assert isinstance(failure(contacts=contacts), InvalidConnection)


def test_airflow_before_3_1_cannot_ask(contacts: str) -> None:
    parameters = {"contacts": contacts, "on_unknown": "ask", "answer_timeout": "2 days"}
    if AIRFLOW >= (3, 1):
        assert operator(**parameters).execute(CONTEXT)["dry_run"] is True
    else:
        said = "on_unknown is 'ask', which needs Airflow 3.1 or later; it must be 'fail' with this version of Airflow"
        assert said in str(failure(**parameters))


@pytest.mark.parametrize(
    ("on_unknown", "stopped", "complete"), [("fail", False, True), ("ask", True, True), ("ask", False, False)]
)
def test_nobody_is_asked_without_ask_by_a_stopped_task_or_without_a_record(
    on_unknown: str, stopped: bool, complete: bool, connect: Any
) -> None:
    connect("https://calls.example")
    task = operator()
    key = CampaignKey.of("spring", task.hook.endpoint.url, task.hook.endpoint.login)
    ledger = Ledger(MemoryStore(), key, Try(1, "scope"))
    if complete:
        ledger.find("sha256:", 3)
        ledger.record_intent(complete=True)
    if stopped:
        task.stop.request()
    error = OutcomeUnknown("the response was lost", campaign_name="spring")
    parameters = {"on_unknown": on_unknown, "answer_timeout": None}
    asking = ask_if_unknown(task, CONTEXT, task.hook.client, lambda _: ledger, parameters=parameters, sources=[])
    with pytest.raises(OutcomeUnknown) as caught, asking:
        raise error
    assert caught.value is error


def test_a_record_that_cannot_be_read_is_why_nobody_is_asked(connect: Any) -> None:
    connect("https://calls.example")
    task, error = operator(), OutcomeUnknown("the response was lost", campaign_name="spring")
    parameters = {"on_unknown": "ask", "answer_timeout": None}

    def open_ledger(key: CampaignKey) -> Ledger:
        return Ledger(FailingStore("last"), key, Try(1, "scope"))

    asking = ask_if_unknown(task, CONTEXT, task.hook.client, open_ledger, parameters=parameters, sources=[])
    with everything_logged() as logs, pytest.raises(OutcomeUnknown) as caught, asking:
        raise error
    assert caught.value is error
    (said,) = {" ".join(log.parts) for log in logs if "Did not ask, because the record cannot be read: " in log.message}
    assert "could not be read (OSError)" in said


def test_an_error_of_the_contact_file_names_the_campaign() -> None:
    assert failure(contacts="/no/such/file.csv", campaign_name="spring").campaign_name == "spring"  # type: ignore[attr-defined]


def test_a_map_index_has_a_campaign_name_of_its_own(contacts: str) -> None:
    names = set()
    for index in (-1, 0, 1):
        context: Any = {"ti": SimpleNamespace(**{**vars(CONTEXT["ti"]), "map_index": index})}
        names.add(operator(contacts=contacts).execute(context)["campaign_name"])
    assert len(names) == 3


def test_it_survives_deepcopy(contacts: str) -> None:
    task = operator(contacts=contacts)
    assert copy.deepcopy(task).execute(CONTEXT) == task.execute(CONTEXT)


def test_it_survives_serialisation() -> None:
    from airflow import DAG

    with DAG("reminders", start_date=datetime(2026, 1, 1, tzinfo=timezone.utc), schedule=None) as dag:
        operator(contacts="{{ ds }}.csv", max_retries=3)
        QueueCallsOperator.partial(task_id="mapped", **GOOD).expand(contacts=["a.csv", "b.csv"])
    again = serialized_dag().from_dict(serialized_dag().to_dict(dag))
    task = again.get_task("call")
    assert (task.contacts, task.max_retries, task.dry_run) == ("{{ ds }}.csv", 3, True)
    assert set(task.template_fields) == set(QueueCallsOperator.template_fields)
    assert again.get_task("mapped").expand_input.value == {"contacts": ["a.csv", "b.csv"]}
    assert [again.get_task(name).extra_links for name in ("call", "mapped")] == [["Campaign"], ["Campaign"]]


@pytest.mark.parametrize("native", [False, True])
def test_templates_are_rendered_and_references_are_not_shown(native: bool, contacts: str) -> None:
    from airflow import DAG

    with DAG(
        "d", start_date=datetime(2026, 1, 1, tzinfo=timezone.utc), schedule=None, render_template_as_native_obj=native
    ):
        task = operator(
            contacts="{{ path }}", max_retries="{{ n }}", message_reference="{{ who }}", call_parameters="{{ none }}",
            scheduled_timestamp="{{ at }}", campaign_name="{{ none }}", dry_run="{{ yes }}",
        )  # fmt: skip
    at = datetime(2099, 1, 1, tzinfo=timezone.utc)
    values = {"path": contacts, "n": 3, "who": "patient 88", "none": None, "at": at, "yes": True}
    context: Any = {**CONTEXT, **values}
    task.render_template_fields(context)
    assert str(task.max_retries) == "3"
    assert str(task.message_reference) == repr(task.message_reference) == "***"
    assert task.execute(CONTEXT)["contacts"] == 2
    assert task._campaign(CONTEXT, collect_results=False).message_reference == "patient 88"
    assert task._campaign(CONTEXT, collect_results=False).call_parameters is None


def test_parsing_a_dag_imports_nothing_heavy() -> None:
    heavy = (
        "requests",
        "urllib3",
        "duckdb",
        "defusedxml",
        "starlette",
        "uvicorn",
        "sqlite3",
        "airflow_provider_queuecalls.hooks.queuecalls",
    )
    modules = newly_imported(
        "import airflow_provider_queuecalls.operators.queuecalls, airflow_provider_queuecalls.get_provider_info",
        after="from airflow_provider_queuecalls._airflow.compat import BaseOperator",
    )
    assert "airflow_provider_queuecalls.operators.queuecalls" in modules
    assert modules.isdisjoint(heavy)


@pytest.mark.parametrize(
    "value", [5, True, ["rejects.csv"], {}, datetime(2026, 12, 1, tzinfo=timezone.utc), b"rejects.csv"]
)
def test_a_rejects_path_that_is_not_a_path_is_not_retried(value: Any, contacts: str) -> None:
    error = failure(contacts=contacts, rejects_path=value)
    assert isinstance(error, InvalidContacts)
    assert f"The rejects file is given as {describe(value)}, not as a path. Nothing was sent. Give a local" in str(
        error
    )


@pytest.mark.parametrize(("value", "problem"), [("a lot", "not a number"), ("255", "too small"), ("-1", "too small")])
def test_the_memory_of_a_check_is_a_setting_that_is_validated(
    value: str, problem: str, contacts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__CHECK_MEMORY_MB", value)
    message = f"check_memory_mb is '{value}', which is {problem}; it must be a whole number of MiB, at least 256"
    assert message in str(failure(contacts=contacts))


def test_a_larger_memory_for_the_check_is_accepted(contacts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__QUEUECALLS__CHECK_MEMORY_MB", "2048")
    assert operator(contacts=contacts).execute(CONTEXT)["contacts"] == 2
