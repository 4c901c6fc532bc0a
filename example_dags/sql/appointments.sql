-- Whose appointment is on that day. %(day)s is how PostgreSQL's driver marks a parameter; SQLite's says :day.
-- The order belongs to the list: with it, a retry finds the same one.
SELECT mobile AS phone_number,
       reference AS message_reference,
       spoken_time AS call_parameter
FROM appointments
WHERE day = %(day)s
  AND mobile IS NOT NULL
ORDER BY reference
