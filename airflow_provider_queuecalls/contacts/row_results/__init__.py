"""What becomes of each line of a contact file: in memory if the file is small, else in DuckDB."""
