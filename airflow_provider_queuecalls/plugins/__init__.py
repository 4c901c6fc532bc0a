"""Plugin for Airflow's API server."""
