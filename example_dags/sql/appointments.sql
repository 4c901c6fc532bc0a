-- The appointments of one day. %(day)s is the parameter style of PostgreSQL's driver; SQLite's is :day.
-- Keep the ORDER BY: with it, a retry reads the same list again.
SELECT mobile AS phone_number,
       reference AS message_reference,
       spoken_time AS call_parameter
FROM appointments
WHERE day = %(day)s
  AND mobile IS NOT NULL
ORDER BY reference
