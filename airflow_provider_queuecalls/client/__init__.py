"""The ``queuecalls`` service over HTTP: one campaign, one POST, one response."""

from __future__ import annotations

from airflow_provider_queuecalls.client.campaign import PARAMETERS, Campaign
from airflow_provider_queuecalls.client.endpoint import Endpoint
from airflow_provider_queuecalls.client.response import Response

__all__ = ["PARAMETERS", "Campaign", "Endpoint", "Response"]
