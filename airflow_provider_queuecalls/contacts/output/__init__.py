"""What a check returns and writes: the report, the cleaned copy, and the rejects."""
