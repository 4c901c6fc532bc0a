-- One row for the result of each call, and one row for each run.
CREATE TABLE call_results (
    campaign TEXT NOT NULL,
    message_reference TEXT NOT NULL,
    call_id TEXT NOT NULL,
    result TEXT NOT NULL,
    callee_type TEXT,
    attempts INTEGER,
    last_attempt_timestamp BIGINT,
    duration INTEGER,
    PRIMARY KEY (campaign, message_reference, call_id)
);
CREATE TABLE call_summaries (
    campaign TEXT PRIMARY KEY,
    campaign_name TEXT NOT NULL,
    digest TEXT NOT NULL,
    queued_at TEXT NOT NULL,
    contacts INTEGER NOT NULL,
    results INTEGER NOT NULL,
    completed INTEGER NOT NULL,
    reached INTEGER NOT NULL,
    answering_machines INTEGER NOT NULL
);
