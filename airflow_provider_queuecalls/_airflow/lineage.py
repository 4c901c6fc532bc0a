"""What is reported to OpenLineage about a campaign. Needs the extra ``openlineage``; nothing imports it at module level."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import attrs
from airflow.providers.openlineage.extractors import OperatorLineage
from airflow.providers.openlineage.sqlparser import SQLParser
from openlineage.client.event_v2 import Dataset
from openlineage.client.facet_v2 import RunFacet

from airflow_provider_queuecalls._airflow.storage import Location, local_path, url_of
from airflow_provider_queuecalls.outcome import Outcome

FACET = "queuecalls_campaign"
NAMESPACE = "queuecalls"


@attrs.define
class CampaignRunFacet(RunFacet):
    """What became of the campaign, in numbers. ``contacts`` are the rows sent, or to be sent."""

    campaignName: str  # noqa: N815  # OpenLineage's spelling
    outcome: str
    contacts: int
    rejected: int
    duplicates: int
    suppressed: int
    callIds: int  # noqa: N815
    digest: str
    dryRun: bool  # noqa: N815
    zones: dict[str, dict[str, int]]


def campaign_lineage(
    result: Mapping[str, Any], service_url: str, *, read: Iterable[Location], written: Iterable[Location]
) -> OperatorLineage[Dataset, RunFacet]:
    """Report which files became which campaign, and how many contacts, by the result of the task.

    The campaign is among the outputs where it was queued, or may have been. Files are named as OpenLineage's naming
    conventions say, without connections, credentials and queries.
    """
    campaign = Dataset(namespace=f"{NAMESPACE}://{urlsplit(service_url).netloc}", name=result["campaign_name"])
    exists = Outcome(result["outcome"]) in (Outcome.QUEUED, Outcome.UNKNOWN)
    facet = CampaignRunFacet(
        campaignName=result["campaign_name"],
        outcome=result["outcome"],
        contacts=result["contacts"],
        rejected=result["rejected"],
        duplicates=result["duplicates"],
        suppressed=result["suppressed"],
        callIds=result["call_id_count"],
        digest=result["digest"],
        dryRun=result["dry_run"],
        zones=result["zones"],
    )
    return OperatorLineage(
        inputs=[_file(location) for location in read],
        outputs=[*([campaign] if exists else []), *(_file(location) for location in written)],
        run_facets={FACET: facet},
    )


def next_list_lineage(
    files: Iterable[Location], database: tuple[str, str], *, written: Iterable[Location]
) -> OperatorLineage[Dataset, RunFacet]:
    """Report that the list that was sent and the results of its calls became the next list."""
    namespace, name = database
    return OperatorLineage(
        inputs=[*map(_file, files), Dataset(namespace=namespace, name=name)], outputs=[*map(_file, written)]
    )


def tables_read(hook: Any, sql: str, connection: Any) -> list[Dataset]:
    """Return the tables that a query reads, if the database's hook supports OpenLineage.

    The statement is not reported, because it may contain personal data.
    """
    if (database := hook.get_openlineage_database_info(connection)) is None:
        return []
    parser = SQLParser(hook.get_openlineage_database_dialect(connection), hook.get_openlineage_default_schema())
    found = parser.generate_openlineage_metadata_from_sql(
        sql=sql, hook=hook, database_info=database, use_connection=False
    )
    return list(found.inputs)


def _file(location: Location) -> Dataset:
    if (url := url_of(location)) is None:
        return Dataset(namespace="file", name=os.path.abspath(local_path(location)))
    parts = urlsplit(url)
    return Dataset(namespace=f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", name=parts.path.lstrip("/"))
