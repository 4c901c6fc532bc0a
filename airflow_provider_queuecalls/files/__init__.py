"""Files: how they are opened, read line by line or with DuckDB, and written."""
