"""How files and campaigns are reported to OpenLineage. That they are, test_lineage.py in integration shows by real DAG runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_queuecalls._airflow.results import dataset_of
from airflow_provider_queuecalls.contacts import Report
from airflow_provider_queuecalls.contacts.hours.places import Place
from airflow_provider_queuecalls.contacts.row_results.base import PlaceCount
from airflow_provider_queuecalls.delivery import Delivery
from airflow_provider_queuecalls.outcome import Outcome

REPORT = Report(
    lines=10,
    blank=0,
    contacts=10,
    valid=3,
    rejected=1,
    duplicates=2,
    suppressed=4,
    reasons={},
    digest="sha256:0",
    places={Place(("CO",), ("America/Denver",)): PlaceCount(3, 1)},
)
SERVICE = "https://calls.example:8443/webservice/queuecalls.php"


def lineage(airflow: Any, read: Any = (), **changes: Any) -> Any:
    from airflow_provider_queuecalls._airflow.lineage import campaign_lineage

    delivery = Delivery(**{"outcome": Outcome.QUEUED, "campaign_name": "spring", "report": REPORT, **changes})
    return campaign_lineage(delivery.result, SERVICE, read=read, written=[])


@pytest.mark.parametrize(
    ("location", "namespace", "name"),
    [
        ("/data/calls.csv", "file", "/data/calls.csv"),
        ("data/../calls.csv", "file", os.path.abspath("calls.csv")),
        (Path("/data/calls für heute.csv"), "file", "/data/calls für heute.csv"),
        ("file:///data/calls%20today.csv", "file", "/data/calls today.csv"),
        ("s3://bucket/out/calls.csv", "s3://bucket", "out/calls.csv"),
        ("s3://storage@bucket/out/calls.csv", "s3://bucket", "out/calls.csv"),
        ("gs://login:4711@bucket/calls.csv", "gs://bucket", "calls.csv"),
        (" hdfs://node:8020/data/calls.csv ", "hdfs://node:8020", "data/calls.csv"),
        ("https://files.example/calls.csv?signature=4711#4711", "https://files.example", "calls.csv"),
    ],
)
def test_a_file_is_named_as_openlineage_names_it_and_without_credentials(
    airflow: Any, location: Any, namespace: str, name: str
) -> None:
    (dataset,) = lineage(airflow, read=[location]).inputs
    assert (dataset.namespace, dataset.name) == (namespace, name)


def test_a_path_of_airflows_object_storage_is_named_as_its_url(airflow: Any) -> None:
    from airflow_provider_queuecalls._airflow.compat import object_storage_path

    (dataset,) = lineage(airflow, read=[object_storage_path("file:///data/calls.csv")]).inputs
    assert (dataset.namespace, dataset.name) == ("file", "/data/calls.csv")


@pytest.mark.parametrize("outcome", Outcome)
def test_the_campaign_is_an_output_where_it_may_exist(airflow: Any, outcome: Outcome) -> None:
    found = [(dataset.namespace, dataset.name) for dataset in lineage(airflow, outcome=outcome).outputs]
    may_exist = outcome in (Outcome.QUEUED, Outcome.UNKNOWN)
    assert found == ([("queuecalls://calls.example:8443", "spring")] if may_exist else [])


@pytest.mark.parametrize("dry_run", [False, True])
def test_the_facet_holds_counts_and_nothing_of_the_response(airflow: Any, dry_run: bool) -> None:
    import attrs

    facet = attrs.asdict(lineage(airflow, dry_run=dry_run).run_facets["queuecalls_campaign"])
    assert {name: value for name, value in facet.items() if not name.startswith("_")} == {
        **{"campaignName": "spring", "outcome": "queued", "contacts": 3, "rejected": 1, "duplicates": 2},
        **{"suppressed": 4, "callIds": 0, "digest": "sha256:0", "dryRun": dry_run},
        "zones": {"America/Denver": {"contacts": 3, "outside_hours": 1}},
    }


@pytest.mark.parametrize(
    ("url", "dataset"),
    [
        ("postgresql://me:4711@db.example/outreach", ("postgres://db.example:5432", "outreach.public.queuecalls_results")),
        ("postgresql+psycopg://db.example:6432/x?password=4711", ("postgres://db.example:6432", "x.public.queuecalls_results")),
        ("sqlite:////data/results.db", ("file", "/data/results.db")),
    ],
)  # fmt: skip
def test_the_results_are_named_without_credentials(url: str, dataset: tuple[str, str]) -> None:
    assert dataset_of(url) == dataset
