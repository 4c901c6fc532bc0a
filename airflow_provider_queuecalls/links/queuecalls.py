"""The link from a task's page to its campaign."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_queuecalls._airflow.compat import BaseOperatorLink, xcom

if TYPE_CHECKING:
    from airflow_provider_queuecalls._airflow.compat import BaseOperator, Context

__all__ = ["CampaignLink"]


class CampaignLink(BaseOperatorLink):
    """Leads to the campaign in the vendor's campaign manager, as the connection's extra ``campaign_url`` says.

    Without one, it leads to the campaign's page in Airflow 3.1 or later, if ``[queuecalls] results_database`` is set.
    """

    name = "Campaign"
    #: On Airflow 3 the task's page reads the link here, so it is there even if the worker is lost after :meth:`push`.
    xcom_key = "campaign_url"

    @classmethod
    def push(cls, operator: BaseOperator, context: Context, url: str | None) -> None:
        """Push the link's URL to XCom before the request is made; there is no link without a URL."""
        operator.campaign_url = url or ""
        if url:
            context["ti"].xcom_push(key=cls.xcom_key, value=url)

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """Return the URL that was pushed, or an empty text.

        Airflow 3 asks the worker, whose operator has it; Airflow 2 asks the web server, which has to look in XCom.
        """
        if (url := getattr(operator, "campaign_url", None)) is not None:
            return str(url)
        return xcom().get_value(ti_key=ti_key, key=self.xcom_key) or ""
