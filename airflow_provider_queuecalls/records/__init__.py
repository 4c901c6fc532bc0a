"""What was sent, on record: so that no campaign is sent twice."""
