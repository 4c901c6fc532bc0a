"""A contact file written from rows, DataFrames, and Arrow tables."""
