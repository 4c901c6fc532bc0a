-- What the endpoint behind result_url does with each POST. A result that is posted twice is stored once.
-- The phone number is not stored: the message_reference leads to it.
INSERT INTO call_results
    (campaign, message_reference, call_id, result, callee_type, attempts, last_attempt_timestamp, duration)
VALUES
    (%(campaign)s, %(message_reference)s, %(call_id)s, %(result)s, %(callee_type)s, %(attempts)s,
     %(last_attempt_timestamp)s, %(duration)s)
ON CONFLICT (campaign, message_reference, call_id) DO NOTHING
