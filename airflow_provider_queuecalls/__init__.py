"""Airflow provider for the ``queuecalls`` web service: a contact file becomes a calling campaign.

Airflow imports this package in every one of its processes, so it holds nothing but the version.
"""

__version__ = "0.1.0"
