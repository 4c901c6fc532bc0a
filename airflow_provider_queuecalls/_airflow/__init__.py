"""What only the Airflow side needs: names that moved between versions, storage, queries, lineage, receipts."""
