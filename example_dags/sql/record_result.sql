-- What the endpoint behind result_url does with each POST. The same result may come twice: it stays one row.
-- The number that was called isn't kept: the reference leads to it.
INSERT INTO call_results
    (campaign, message_reference, call_id, result, callee_type, attempts, last_attempt_timestamp, duration)
VALUES
    (%(campaign)s, %(message_reference)s, %(call_id)s, %(result)s, %(callee_type)s, %(attempts)s,
     %(last_attempt_timestamp)s, %(duration)s)
ON CONFLICT (campaign, message_reference, call_id) DO NOTHING
